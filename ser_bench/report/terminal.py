"""The board as a compact table for a terminal, at most 116 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ser_bench.records import Gap
from ser_bench.references import Reference
from ser_bench.report import comparison, stress_table, systems, wording
from ser_bench.report.parts import Board, Row, Table
from ser_bench.report.text import METRICS, NOTHING, aligned, clip, interval, listing, measure, score, shown_metrics

WIDTH = 116
_MODEL_WIDTH = 20
_FEATURES_WIDTH = 12
_SPEAKER_WIDTH = 16
_SYSTEM_WIDTH = 27
_PROTOCOL_WIDTH = 44


def render_terminal(board: Board) -> str:
    """Return the board in at most :data:`WIDTH` columns: notices, tables, why rows are missing, published results."""
    suite = board.suite
    lines = [clip(f"{suite.title} ({suite.name} v{suite.version})", WIDTH)]
    for notice in board.notices:
        lines += _wrapped(f"{notice.kind}: {notice.text}", "! ")
    for table in board.tables:
        lines += ["", *_table(table, suite.primary)]
    if board.systems:
        lines += ["", *_systems(board)]
    if board.gap and not board.gap.control_suite:
        lines += ["", *_gap(board.gap)]
    if suite.references:
        lines += ["", *_references(suite.references)]
    return "\n".join(lines) + "\n"


def _table(table: Table, primary: str) -> Iterator[str]:
    _, *others = shown_metrics(primary)
    yield clip(f"{table.title}: {wording.size(table.n_test, table.n_test_speakers)}", WIDTH)
    header = [
        "#",
        "model",
        "features",
        METRICS[primary],
        "95 %",
        *(METRICS[name].removeprefix("macro-") for name in others),
    ]
    header += ["train", "fit s", "ms p50", "RTF"]
    yield from aligned(
        header, [_cells(row, primary, others) for row in table.rows], left=3, style="simple"
    ).splitlines()
    yield from _evidence(table, primary)
    yield from _stress(table, primary)
    for row in table.rows:
        if row.standing in ("failed", "skipped"):
            yield from _wrapped(f"{clip(row.row, _MODEL_WIDTH)}: {clip(row.reason or '', 200)}", f"{row.standing}: ")
    for note in table.notes:
        yield from _wrapped(note, "  ")
    for text, rows in wording.warnings(table.rows):
        yield from _wrapped(f"{clip(text, 200)} ({listing(rows)})", "! ")


def _evidence(table: Table, primary: str) -> Iterator[str]:
    """Yield a line per row on what it lies behind the best one, its worst speaker and its calibration error."""
    rows = comparison.spread_rows(table.rows)
    if not rows:
        return
    leader = comparison.leader_of(rows)
    yield ""
    yield f"behind: the best row, {clip(leader, _MODEL_WIDTH)}, less this one" if leader else comparison.SPREAD
    header = ["model", "behind [95 %]", "p (Holm)", "naive p", "detectable", "worst speaker", "there", "ECE"]
    lines = []
    for row in rows:
        difference, spread = row.evidence.difference, comparison.spread_cells(row)
        behind, p_holm, _, naive, least = comparison.difference_cells(difference) if difference else [NOTHING] * 5
        worst = [clip(spread[0], _SPEAKER_WIDTH), spread[1], spread[4]]
        lines.append([clip(row.row, _MODEL_WIDTH), behind, p_holm, naive, least, *worst])
    yield from aligned(header, lines, left=1, style="simple").splitlines()


def _stress(table: Table, primary: str) -> Iterator[str]:
    """Yield what each row loses, a line per row and condition: conditions side by side outgrow a terminal."""
    conditions = stress_table.conditions_of(table.rows)
    if not conditions:
        return
    yield ""
    yield from _wrapped(f"{stress_table.TITLE}: {stress_table.terms_of(conditions, primary)}", "")
    lines = []
    for row in table.rows:
        if row.stress:
            first, *drops = stress_table.cells_of(row, conditions, primary)
            model, named = clip(row.row, _MODEL_WIDTH), zip(conditions, drops, strict=True)
            lines += [[model, clip(name, _SPEAKER_WIDTH), first, drop] for name, drop in named]
    header = ["model", "condition", f"{METRICS[primary]} without", "drop [95 %]"]
    yield from aligned(header, lines, left=2, style="simple").splitlines()


def _gap(gap: Gap) -> Iterator[str]:
    yield wording.GAP
    header = ["model", "unseen speakers", "shared speakers", "gap", "95 %", "speaker probe"]
    rows = [[clip(cells[0], _MODEL_WIDTH), *cells[1:]] for cells in wording.gap_cells(gap)]
    yield from aligned(header, rows, left=1, style="simple").splitlines()
    yield from _wrapped(wording.gap_terms(gap), "  ")


def _systems(board: Board) -> Iterator[str]:
    """Yield the published systems by accuracy, which most sources state; the other files show UAR too."""
    yield systems.TITLE
    header = ["model", "published", "reproduced WAR", "honest WAR", "difference WAR"]
    shown = [[cells[i] for i in (0, 1, 2, 4, 6)] for cells in map(systems.cells_of, board.systems)]
    rows = [[clip(cells[0], _MODEL_WIDTH), *cells[1:]] for cells in shown]
    yield from aligned(header, rows, left=2, style="simple").splitlines()
    yield from _wrapped(systems.terms_of(board), "  ")


def _references(references: Sequence[Reference]) -> Iterator[str]:
    yield wording.REFERENCES
    header = ["system", "kind", "protocol", "date", "UAR", "WAR", "F1"]
    rows = [
        [
            clip(of.label, _SYSTEM_WIDTH),
            of.kind,
            clip(of.protocol, _PROTOCOL_WIDTH),
            clip(of.date or NOTHING, 7),
            *(score(value) for value in (of.uar, of.war, of.macro_f1)),
        ]
        for of in references
    ]
    yield from aligned(header, rows, left=4, style="simple").splitlines()


def _cells(row: Row, primary: str, others: list[str]) -> list[str]:
    first = row.scores.get(primary)
    timing, latency = row.timing, row.timing.latency if row.timing else None
    return [
        {"ranked": str(row.rank), "reference": "ref"}.get(row.standing, NOTHING),
        clip(row.row, _MODEL_WIDTH),
        clip(row.features.name, _FEATURES_WIDTH) if row.features else NOTHING,
        score(first.value) if first else row.standing,
        interval(first) if first and first.low is not None else NOTHING,
        *(score(row.scores[name].value) if name in row.scores else NOTHING for name in others),
        score(row.sides.get("train")),
        measure(timing.fit_s if timing else None),
        measure(latency.p50_ms if latency else None),
        measure(timing.rtf if timing else None, 2),
    ]


def _wrapped(text: str, head: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
