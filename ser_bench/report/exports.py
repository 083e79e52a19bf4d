"""The files that a run folder shows only on request: CSV, LaTeX, a badge, model cards, all predictions in one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ser_bench.errors import UsageError, did_you_mean
from ser_bench.records import RunRecord
from ser_bench.report.badge import render_badge
from ser_bench.report.board import render_json
from ser_bench.report.csv_table import render_csv
from ser_bench.report.latex import render_latex
from ser_bench.report.model_index import render_model_index, rows_of_models
from ser_bench.report.parts import Board
from ser_bench.report.predictions_table import predictions_table
from ser_bench.report.text import slug

_RENDERERS = {
    "csv": ("leaderboard.csv", render_csv),
    "latex": ("leaderboard.tex", render_latex),
    "json": ("leaderboard.json", render_json),
    "badge": ("badge.svg", render_badge),
}
_PARQUET = "predictions.parquet"
_CARDS = "model-index-*.yml"

KINDS = (*_RENDERERS, "model-index", "parquet")
"""What can be asked for."""


def parse_kinds(text: str) -> tuple[str, ...]:
    """Return the kinds that ``csv,latex`` names.

    Raises:
        UsageError: If one of them is unknown.
    """
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--export {kind}: no such kind{did_you_mean(kind, KINDS)}", hint=f"--export {KINDS[0]}")
    return kinds


def render_exports(
    board: Board, folder: Path, records: Sequence[RunRecord], kinds: Collection[str]
) -> dict[str, bytes]:
    """Return file name -> content of the ``kinds`` of one board; the same records give the same bytes.

    Args:
        board: The board of ``records``.
        folder: Their run folder, for the predictions.
        records: The records of one suite, in any order.
        kinds: Some of :data:`KINDS`.

    Raises:
        DataError: If predictions are asked for that are not there.
    """
    files = {name: render(board) for kind, (name, render) in _RENDERERS.items() if kind in kinds}
    if "model-index" in kinds:
        files |= {_CARDS.replace("*", slug(row)): render_model_index(board, row) for row in rows_of_models(board)}
    if "parquet" in kinds:
        files[_PARQUET] = predictions_table(folder, records)
    return files


def kinds_in(folder: Path) -> set[str]:
    """Return the kinds that lie in ``folder``, to be kept up to date; not the JSON, which every run folder has."""
    found = {kind for kind, (name, _) in _RENDERERS.items() if kind != "json" and (folder / name).is_file()}
    found |= {"parquet"} if (folder / _PARQUET).is_file() else set()
    return found | ({"model-index"} if any(folder.glob(_CARDS)) else set())


def stale_files(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Return the names of ``files`` that ``folder`` lacks or holds otherwise, and of model cards that are too many."""
    differing = [name for name, data in files.items() if not _is(folder / name, data)]
    return differing + sorted(path.name for path in folder.glob(_CARDS) if path.name not in files)


def _is(path: Path, data: bytes) -> bool:
    if not path.is_file():
        return False
    stored = path.read_bytes()
    return stored == data or (path.name == _PARQUET and _same_rows(stored, data))


def _same_rows(stored: bytes, data: bytes) -> bool:
    """Whether two Parquet files hold the same; their bytes depend on the release of pyarrow, too."""
    from io import BytesIO

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bool(pq.read_table(BytesIO(stored)).equals(pq.read_table(BytesIO(data))))
    except (OSError, pa.ArrowException):
        return False
