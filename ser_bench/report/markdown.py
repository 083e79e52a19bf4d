"""The board as GitHub-flavoured Markdown, short enough for a README; no name in it can become markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ser_bench.records import Gap, Timing
from ser_bench.references import Reference
from ser_bench.report import comparison, stress_table, systems, wording
from ser_bench.report.parts import Board, GroupTable, Matrix, Notice, Row, Table
from ser_bench.report.text import (
    METRICS,
    NOTHING,
    TARGETS,
    aligned,
    clip,
    count,
    fold_spread,
    interval,
    listing,
    mean_sd,
    measure,
    score,
    short,
    shown_metrics,
    side_metric,
)

_TAME = re.compile(r"(?:[^\W_]|(?<=[^\W_])_(?=[^\W_])|[ .,;()'/%→–—±≥?-]|[:&](?=\s|$)|=(?=[\w.-]))+")
_LINKED = re.compile(r"www\.", re.IGNORECASE)
_NAME_WIDTH = 60
_REASON_WIDTH = 300


def render_markdown(board: Board) -> str:
    """Return the board as Markdown: notices, tables, matrices, published results, data, and how it was measured."""
    parts = [*_head(board)]
    for table in board.tables:
        parts += _table(board, table)
    if board.matrices:
        parts += _matrices(board)
    if board.systems:
        parts += _systems(board)
    if board.gap and not board.gap.control_suite:
        parts += _gap(board.gap)
    if board.suite.references:
        parts += _references(board.suite.references)
    parts += _data(board)
    parts += _measured(board)
    return "\n\n".join(parts) + "\n"


def inert(text: str) -> str:
    """Return ``text`` such that Markdown shows it as it is: words as they are, all else as a code span."""
    if not text:
        return NOTHING
    if _TAME.fullmatch(text) and not _LINKED.search(text):
        return text
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _head(board: Board) -> Iterator[str]:
    suite = board.suite
    yield f"# {inert(suite.title)}"
    yield from map(banner, board.notices)
    yield "\n".join(
        [
            f"- Suite: {inert(suite.name)}, version {suite.version}, digest `{short(suite.digest)}`",
            f"- Protocol: {inert(suite.protocol)}",
            f"- Labels: {inert(suite.labels)} ({_asked(suite.classes)})",
            *(f"- Corpus: {inert(c.title)} ({inert(c.name)}): {wording.corpus_counts(c)}" for c in board.corpora),
            f"- Sample rate: {count(suite.sample_rate_hz)} Hz",
        ]
    )


def banner(notice: Notice) -> str:
    """Return what a reader must know first as a quotation that names its kind."""
    return f"> **{notice.kind.capitalize()}**: {inert(notice.text)}"


def score_table(board: Board, table: Table, n_rows: int | None = None) -> str:
    """Return the scores of a table of the board, of all rows or the first ``n_rows``."""
    primary = board.suite.primary
    _, *others = shown_metrics(primary)
    header = ["Rank", "Model", "Features", "Normalisation", f"{METRICS[primary]} [95 %]"]
    header += [METRICS[name] for name in others]
    of = METRICS[side_metric(primary)]
    header += [f"{of} train / dev / test", f"Per-fold {of}, mean ± sd", "Seeds", "Folds"]
    return pipes(header, [_scores(row, primary, others) for row in table.rows[:n_rows]], left=4)


def _asked(classes: Sequence[str]) -> str:
    if not classes:
        return "a number, on the corpus's scale"
    return f"{count(len(classes))} classes: {', '.join(inert(name) for name in classes)}"


def _table(board: Board, table: Table) -> Iterator[str]:
    yield f"## {inert(table.title)}: {wording.size(table.n_test, table.n_test_speakers)}"
    yield score_table(board, table)
    timed = [row for row in table.rows if row.timing]
    if timed:
        more = [name for name, of in _MORE_COSTS.items() if any(of(row.timing) is not None for row in timed)]
        header = ["Model", "Device", "Fit s", "Latency ms p50 / p95", "RTF", "Peak MiB", *more]
        yield pipes(header, [_costs(row, more) for row in timed], left=2)
    yield from _evidence(table, board.suite.primary)
    if terms := wording.soft_terms(table.rows):
        yield inert(terms)
        header = ["Model", "Trained on", "Cross-entropy", "JS divergence", "Multi-label F1"]
        yield pipes(header, [_soft(row) for row in table.rows if row.soft], left=2)
    if conditions := stress_table.conditions_of(table.rows):
        yield f"### {stress_table.TITLE}"
        primary = board.suite.primary
        yield stress_table.terms_of(conditions, primary)
        header = ["Model", METRICS[primary], *map(inert, conditions)]
        rows = [[_name(row), *stress_table.cells_of(row, conditions, primary)] for row in table.rows if row.stress]
        yield pipes(header, rows, left=1)
    notes = [f"- {row.standing.capitalize()}: {_name(row)}: {_reason(row)}" for row in table.rows if _is_missing(row)]
    notes += [f"- Note: {inert(note)}" for note in table.notes]
    notes += [
        f"- Warning: {inert(clip(text, _REASON_WIDTH))} ({inert(listing(rows))})"
        for text, rows in wording.warnings(table.rows)
    ]
    if notes:
        yield "\n".join(notes)
    if table.groups:
        yield "<details>\n<summary>UAR by group</summary>"
        for groups in table.groups:
            yield inert(f"By {groups.column}: {wording.group_terms(groups)}")
            yield _groups(groups)
        yield "</details>"


def _evidence(table: Table, primary: str) -> Iterator[str]:
    """Yield the differences from the best row, and the table of speakers, seeds and calibration."""
    compared = [(row, row.evidence.difference) for row in table.rows if row.evidence.difference]
    if compared:
        yield f"### {comparison.DIFFERENCES}"
        yield inert(comparison.difference_terms(table.rows))
        cells = [[_name(row), *comparison.difference_cells(difference)] for row, difference in compared]
        yield pipes(["Model", *comparison.difference_columns(primary)], cells, left=1)
    if rows := comparison.spread_rows(table.rows):
        yield f"### {comparison.SPREAD}"
        yield inert(comparison.spread_terms(rows))
        cells = [[_name(row), inert(first), *rest] for row in rows for first, *rest in [comparison.spread_cells(row)]]
        yield pipes(["Model", *comparison.spread_columns(primary)], cells, left=2)


def _groups(groups: GroupTable) -> str:
    counted = zip(groups.values, groups.n, groups.n_speakers, strict=True)
    header = ["Model", *(f"{inert(value)} ({wording.size(n, speakers)})" for value, n, speakers in counted), "Gap"]
    rows = [
        [inert(clip(row.row, _NAME_WIDTH)), *(score(uar) for uar in row.uars), score(row.gap)] for row in groups.rows
    ]
    return pipes(header, rows, left=1)


def _scores(row: Row, primary: str, others: Sequence[str]) -> list[str]:
    place = str(row.rank) if row.standing == "ranked" else NOTHING if row.standing == "unranked" else row.standing
    first = row.scores.get(primary)
    values = [row.scores[name].value if name in row.scores else None for name in others]
    return [
        place,
        _name(row),
        inert(clip(row.features.name, _NAME_WIDTH)) if row.features else NOTHING,
        inert(row.normalisation),
        f"{score(first.value)} {interval(first)}".strip() if first else NOTHING,
        *(score(value) for value in values),
        " / ".join(score(row.sides.get(side)) for side in ("train", "dev", "test")) if row.sides else NOTHING,
        mean_sd(*fold_spread(row)),
        count(len(row.seeds)),
        f"{len(row.folds)} of {row.folds_total}" if row.scores else NOTHING,
    ]


def _batched_ms(timing: Timing) -> float | None:
    batch = timing.latency.batched if timing.latency else None
    return batch.p50_ms / batch.size if batch else None


_MORE_COSTS: dict[str, Callable[[Any], float | None]] = {
    "Batched ms p50": _batched_ms,
    "Peak GPU MiB": lambda timing: timing.peak_gpu_mib,
    "Disk MiB": lambda timing: None if timing.disk_bytes is None else timing.disk_bytes / 2**20,
    "Energy J": lambda timing: timing.energy_j,
}
"""Columns of costs that not every machine or model tells."""


def _costs(row: Row, more: Sequence[str]) -> list[str]:
    assert row.timing is not None
    latency = row.timing.latency
    return [
        _name(row),
        inert(row.model.device),
        measure(row.timing.fit_s),
        f"{measure(latency.p50_ms)} / {measure(latency.p95_ms)}" if latency else NOTHING,
        measure(row.timing.rtf, 2),
        measure(row.timing.peak_mib),
        *(measure(_MORE_COSTS[name](row.timing)) for name in more),
    ]


def _soft(row: Row) -> list[str]:
    assert row.soft is not None
    values = (row.soft.cross_entropy, row.soft.js_divergence, row.soft.multilabel_f1)
    return [_name(row), TARGETS[row.model.targets], *(score(value) for value in values)]


def _name(row: Row) -> str:
    return inert(clip(row.row, _NAME_WIDTH))


def _is_missing(row: Row) -> bool:
    return row.standing in ("failed", "skipped")


def _reason(row: Row) -> str:
    return inert(clip(row.reason or "", _REASON_WIDTH))


def _matrices(board: Board) -> Iterator[str]:
    yield f"<details>\n<summary>{METRICS[board.suite.primary]} by pair of corpora, model by model</summary>"
    for matrix in board.matrices:
        yield f"**{inert(matrix.row)}**"
        yield _matrix(matrix)
    yield "</details>"


def _matrix(matrix: Matrix) -> str:
    rows = [
        [inert(train), *(NOTHING if cell is None else _cell(cell.value, cell.status) for cell in cells)]
        for train, cells in zip(matrix.train, matrix.cells, strict=True)
    ]
    tests = [f"{inert(test)} ({of})" for test, of in zip(matrix.test, matrix.test_sizes, strict=True)]
    return pipes(["train ↓, test →", *tests], rows, left=1)


def _cell(value: float | None, status: str) -> str:
    return score(value) if status == "ok" else status


def _gap(gap: Gap) -> Iterator[str]:
    yield f"## {wording.GAP}"
    header = ["Model", "Unseen speakers", "Shared speakers", "Gap", "95 %", "Speaker probe"]
    yield pipes(header, [[inert(clip(cells[0], _NAME_WIDTH)), *cells[1:]] for cells in wording.gap_cells(gap)], left=1)
    yield inert(wording.gap_terms(gap))


def _systems(board: Board) -> Iterator[str]:
    yield f"## {systems.TITLE}"
    rows = [
        [inert(clip(cell, _NAME_WIDTH)) if i in (0, 8) else cell for i, cell in enumerate(cells)]
        for cells in map(systems.cells_of, board.systems)
    ]
    yield pipes(systems.COLUMNS, rows, left=2)
    yield inert(systems.terms_of(board))


def _references(references: Sequence[Reference]) -> Iterator[str]:
    yield f"## {wording.REFERENCES}"
    yield wording.REFERENCE_TERMS
    header = ["System", "Kind", "Protocol", "Source", "Date", "UAR", "WAR", "macro-F1"]
    rows = [
        [
            inert(clip(of.label, _NAME_WIDTH)),
            of.kind,
            inert(clip(of.protocol, _REASON_WIDTH)),
            inert(clip(of.source, _REASON_WIDTH)),
            inert(of.date or ""),
            *(score(value) for value in (of.uar, of.war, of.macro_f1)),
        ]
        for of in references
    ]
    yield pipes(header, rows, left=5)


def _data(board: Board) -> Iterator[str]:
    yield "## What was left out"
    rows = []
    for corpus in board.corpora:
        for reason, n in wording.exclusions(corpus):
            examples = listing(corpus.examples.get(reason, ()), most=3)
            rows.append([inert(corpus.name), inert(reason), inert(examples), count(n)])
    if rows:
        yield pipes(["Corpus", "Reason", "For example", "Utterances"], rows, left=3)
    else:
        yield "No utterance was excluded."
    lines = [f"- {inert(corpus.name)}: {inert(text)}" for corpus in board.corpora for text in wording.counted(corpus)]
    if lines:
        yield "\n".join(lines)


def _measured(board: Board) -> Iterator[str]:
    yield "## How it was measured"
    lines = [f"- {sentence}" for sentence in wording.definitions(board)]
    lines += [f"- Machine: {inert(wording.machine(machine))}" for machine in board.machines]
    yield "\n".join(lines)
    yield "<details>\n<summary>Where each row comes from</summary>"
    header = ["Row", "Run", "Predictions (SHA-256)", "Test rows", "Corpora"]
    yield pipes(header, [_trace(table, row) for table in board.tables for row in table.rows], left=5)
    yield "</details>"


def _trace(table: Table, row: Row) -> list[str]:
    return [
        inert(row.row if row.train is None else f"{row.row}, {row.train} → {row.test}"),
        inert(row.run_id),
        f"`{short(row.predictions.sha256)}`" if row.predictions else NOTHING,
        inert(short(table.test_fingerprint)),
        inert(", ".join(short(fingerprint) for fingerprint in row.corpora)),
    ]


def pipes(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Return a table of cells that are Markdown already, the first ``left`` columns flush left."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [header, *rows]]
    return aligned(escaped[0], escaped[1:], left=left, style="pipe")
