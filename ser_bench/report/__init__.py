"""Records in, leaderboard out: Markdown, one HTML file, JSON, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_bench.predictions import Answers
from ser_bench.records import Gap, Publication, RunRecord, read_gap, read_publication
from ser_bench.report import board
from ser_bench.report.badge import render_badge
from ser_bench.report.board import render_json
from ser_bench.report.csv_table import render_csv
from ser_bench.report.evidence import StoredAnswers
from ser_bench.report.exports import kinds_in, render_exports
from ser_bench.report.html import render_html
from ser_bench.report.latex import render_latex
from ser_bench.report.markdown import render_markdown
from ser_bench.report.model_index import render_model_index
from ser_bench.report.parts import Board
from ser_bench.report.terminal import render_terminal
from ser_bench.store import write_atomically

__all__ = [
    "Board",
    "StoredAnswers",
    "board",
    "board_files",
    "read_board",
    "render_badge",
    "render_csv",
    "render_files",
    "render_html",
    "render_json",
    "render_latex",
    "render_markdown",
    "render_model_index",
    "render_terminal",
    "write_reports",
]


def render_files(
    records: Sequence[RunRecord],
    gap: Gap | None = None,
    answers: Mapping[str, Answers] | None = None,
    *,
    publication: Publication | None = None,
) -> dict[str, bytes]:
    """Return file name -> content of everything that a run folder shows; the same records give the same bytes.

    Args:
        records: The records of one suite, in any order.
        gap: The stored protocol gap of the same run, where it was measured.
        answers: By run_id; of a run folder they are ``StoredAnswers.of_run(folder, records)``.
        publication: What published records are to be read with.

    Raises:
        DataError: If there are no records, or they belong to different suites.
    """
    return board_files(board.build(records, gap, answers, publication=publication))


def board_files(built: Board) -> dict[str, bytes]:
    """Return file name -> content of what every run folder shows of its board."""
    return {
        "leaderboard.md": render_markdown(built).encode(),
        "leaderboard.json": render_json(built),
        "index.html": render_html(built).encode(),
    }


def read_board(folder: Path, records: Sequence[RunRecord]) -> Board:
    """Return the board of a run ``folder`` and of its ``records``; errors as :func:`render_files`."""
    answers = StoredAnswers.of_run(folder, records)
    return board.build(records, read_gap(folder, records), answers, publication=read_publication(folder))


def write_reports(folder: Path, records: Sequence[RunRecord]) -> None:
    """Write the board of a run ``folder``, and anew what was exported there before; errors as :func:`render_files`.

    Each file appears whole or not at all.
    """
    built = read_board(folder, records)
    files = board_files(built) | render_exports(built, folder, records, kinds_in(folder))
    for name, data in files.items():
        write_atomically(folder / name, data)
