"""What a leak does to rankings and choices: a run with its gap against its control, as Markdown for the docs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from ser_bench.errors import DataError
from ser_bench.records import Gap, GapRow, RunRecord, read_gap, read_records
from ser_bench.report.markdown import inert, pipes
from ser_bench.report.text import METRICS, interval, params, score


def render_leaks(folder: Path) -> str:
    """Return two tables of a run folder: how the models rank with and without the leak, and what a search chose.

    Raises:
        DataError: If the run has no gap, or its control does not lie beside it.
    """
    records = read_records(folder)
    gap = read_gap(folder, records)
    if gap is None:
        raise DataError(f"{folder}: no gap was measured", hint=f"ser-bench run --suite {records[0].suite.name} --gap")
    controls = {record.run_id: record for record in read_records(folder.parent / gap.control_folder)}
    ours = {record.run_id: record for record in records}
    parts = [f"Without: {inert(records[0].suite.protocol)}.", f"With: {inert(gap.control)}.", _ranking(gap)]
    parts.append(_order(gap.rows))
    chosen = list(_choices([(ours[row.run_id], controls[row.control_run_id]) for row in gap.rows]))
    if chosen:
        parts.append(pipes(["Model", "Chosen without the leak", "Chosen with it"], chosen, left=3))
    return "\n\n".join(parts) + "\n"


def _ranking(gap: Gap) -> str:
    metric = METRICS[gap.primary]
    header = ["Model", "Rank without", f"{metric} without", "Rank with", f"{metric} with", "Difference [95 %]"]
    rows = [
        [
            inert(row.row),
            str(1 + sum(other.disjoint > row.disjoint for other in gap.rows)),
            score(row.disjoint),
            str(1 + sum(other.control > row.control for other in gap.rows)),
            score(row.control),
            f"{row.gap.value:+.3f} {interval(row.gap) if row.gap.low is not None else ''}".strip(),
        ]
        for row in sorted(gap.rows, key=lambda row: (-row.disjoint, row.row))
    ]
    return pipes(header, rows, left=1)


def _order(rows: Sequence[GapRow]) -> str:
    """Return how many pairs of models change places."""
    pairs = list(combinations(rows, 2))
    swapped = sum((one.disjoint - two.disjoint) * (one.control - two.control) < 0 for one, two in pairs)
    without, with_leak = max(rows, key=lambda row: row.disjoint).row, max(rows, key=lambda row: row.control).row
    first = f"{inert(without)} leads without the leak, {inert(with_leak)} with it"
    if without == with_leak:
        first = f"{inert(without)} leads in both"
    return f"Of {len(pairs)} pairs of models, {swapped} stand in the other order; {first}."


def _choices(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> Iterator[list[str]]:
    for one, other in pairs:
        if one.model.chosen or other.model.chosen:
            yield [inert(one.row), *(inert(_told(record)) for record in (one, other))]


def _told(record: RunRecord) -> str:
    """Return ``C=1.0 (3 of 5), C=10.0 (2 of 5)``."""
    counts = Counter(params(chosen) for chosen in record.model.chosen.values())
    n = sum(counts.values())
    return ", ".join(f"{what} ({k} of {n})" for what, k in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
