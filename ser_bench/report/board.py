"""The board: all that the writers show, computed once from the records, so that no two files can disagree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, get_args

import msgspec

from ser_bench.errors import DataError
from ser_bench.predictions import Answers
from ser_bench.records import Gap, Publication, RunRecord, SuiteRef, Timing, encode
from ser_bench.report import wording
from ser_bench.report.evidence import tell
from ser_bench.report.parts import (
    Board,
    Cell,
    GroupRow,
    GroupTable,
    Machine,
    Matrix,
    Notice,
    Row,
    Standing,
    System,
    Table,
)
from ser_bench.report.text import plain_struct

_STANDINGS = get_args(Standing)
_UNSCORED: dict[str, Any] = {
    "scores": {},
    "sides": {},
    "fold_scores": (),
    "per_class": (),
    "confusion": (),
    "by_group": {},
    "soft": None,
    "search": (),
    "selection": {},
    "importances": (),
    "curves": (),
    "stress": (),
    "uar_fold_mean": None,
    "uar_fold_sd": None,
    "uar_seed_sd": None,
    "ccc_fold_mean": None,
    "ccc_fold_sd": None,
    "ccc_seed_sd": None,
    "timing": None,
}
"""A row that is not ok shows no number, whatever its record holds."""


def build(
    records: Sequence[RunRecord],
    gap: Gap | None = None,
    answers: Mapping[str, Answers] | None = None,
    *,
    publication: Publication | None = None,
) -> Board:
    """Return the board of the records of one suite, whatever their order.

    ``gap`` is the stored protocol gap of the same run, where it was measured; ``answers`` maps run_id to what the row
    answered (see :class:`~ser_bench.report.evidence.StoredAnswers`), without which there is no evidence and ranks
    follow the order of scores; ``publication`` is what published records are to be read with.

    Rows stand in one table only where they were scored on the same test rows (the same ``test_fingerprint``).

    Raises:
        DataError: If there are no records, or they belong to different suites.
    """
    records = sorted((plain_struct(record) for record in records), key=_order)
    suite = _suite(records)
    machines = _machines(records)
    groups = _groups(records)
    pairs = [(group[0].train, group[0].test) for group in groups]
    tables = tuple(
        _table(i, group, pairs.count(pair) > 1, machines, answers)
        for i, (group, pair) in enumerate(zip(groups, pairs, strict=True), start=1)
    )
    return Board(
        suite=suite,
        notices=tuple(
            Notice(kind=kind, text=text)
            for kind, text in (
                *wording.published(plain_struct(publication) if publication else None),
                *wording.notices(suite, records),
            )
        ),
        corpora=tuple(sorted(_unique(c for r in records for c in r.corpora), key=lambda c: (c.name, c.fingerprint))),
        tables=tables,
        matrices=_matrices(suite.primary, tables),
        machines=machines,
        gap=plain_struct(gap) if gap is not None else None,
        systems=_systems(suite, tables, plain_struct(gap) if gap is not None else None),
    )


def render_json(board: Board) -> bytes:
    """Return the board as JSON, indented by 1; :class:`~ser_bench.report.parts.Board` documents its keys."""
    return msgspec.json.format(msgspec.json.encode(board, order="deterministic"), indent=1) + b"\n"


def _order(record: RunRecord) -> tuple[Any, ...]:
    return (record.train or "", record.test or "", record.row, record.run_id, encode(record))


def _unique(values: Iterable[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return tuple(found)


def _machines(records: Sequence[RunRecord]) -> tuple[Machine, ...]:
    """Return what ran the records; rows that name other packages of one environment share an entry."""
    found: list[Machine] = []
    for record in records:
        for i, machine in enumerate(found):
            if both := _merged(machine, record):
                found[i] = both
                break
        else:
            found.append(Machine(environment=record.environment, code=record.code))
    return tuple(found)


def _merged(machine: Machine, record: RunRecord) -> Machine | None:
    """Return the two as one; None where they contradict each other."""
    ours, theirs = machine.environment, record.environment
    both, again = (
        msgspec.structs.replace(a, packages=a.packages | b.packages, gpu=a.gpu or b.gpu)
        for a, b in ((ours, theirs), (theirs, ours))
    )
    return Machine(environment=both, code=machine.code) if both == again and machine.code == record.code else None


def _suite(records: Sequence[RunRecord]) -> SuiteRef:
    if not records:
        raise DataError("a board needs at least one run record, got none", hint="ser-bench run --suite demo")
    suites = sorted({(r.suite.name, r.suite.version, r.suite.digest) for r in records})
    if len(suites) > 1:
        names = ", ".join(f"{name} v{version} ({digest})" for name, version, digest in suites)
        raise DataError(
            f"one board shows one suite, got records of {len(suites)} suites: {names}", hint="ser-bench report RUN"
        )
    return msgspec.structs.replace(
        records[0].suite,
        classes=_unique(name for r in records for name in r.suite.classes),
        declares=tuple(sorted({name for r in records for name in r.suite.declares})),
        canary=", ".join(sorted({r.suite.canary for r in records if r.suite.canary})) or None,
        notes=_unique(note for r in records for note in r.suite.notes),
        references=_unique(reference for r in records for reference in r.suite.references),
        bands=_unique(band for r in records for band in r.suite.bands),
    )


def _groups(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Split records by pair and test rows; rows without scores stand with the largest group of their pair."""
    groups: list[list[RunRecord]] = []
    for _, of_pair in groupby(records, key=lambda r: (r.train or "", r.test or "")):
        scored: dict[str, list[RunRecord]] = {}
        others: list[RunRecord] = []
        for record in of_pair:
            (scored.setdefault(record.test_fingerprint, []) if record.status == "ok" else others).append(record)
        ordered = [group for _, group in sorted(scored.items(), key=lambda item: (-len(item[1]), item[0]))]
        groups += [ordered[0] + others, *ordered[1:]] if ordered else [others]
    return groups


def _table(
    number: int,
    group: Sequence[RunRecord],
    split: bool,
    machines: Sequence[Machine],
    answers: Mapping[str, Answers] | None,
) -> Table:
    head = next((r for r in group if r.status == "ok"), group[0])
    lines = [(_row(record, wording.reason(record, group), machines), record) for record in group]

    def value(row: Row) -> float:
        found = row.scores.get(head.suite.primary)
        return -2.0 if found is None or found.value is None else found.value

    lines.sort(key=lambda line: (_STANDINGS.index(line[0].standing), -value(line[0]), line[0].row, line[0].run_id))
    rows = [row for row, _ in lines]
    scores = [value(row) for row in rows]
    told = tell([record for _, record in lines], scores, _compared(rows, scores), answers or {})
    ranked = [value(row) for row in rows if row.standing == "ranked"]
    placed = tuple(
        msgspec.structs.replace(
            row,
            anchor=f"row-{number}-{i}",
            rank=_rank(value(row), ranked, told.ranks.get(i - 1)) if row.standing == "ranked" else None,
            evidence=told.evidence[i - 1],
        )
        for i, row in enumerate(rows, start=1)
    )
    notes = [*wording.table_notes(group, split=split)]
    if answers is not None:
        notes += wording.comparison_notes(placed, [rows[i].row for i in told.missing], told.least_p)
    n_present = len(head.suite.classes) - len(head.absent_classes)
    return Table(
        title=wording.table_title(head, split),
        train=head.train,
        test=head.test,
        test_fingerprint=head.test_fingerprint,
        n_test=head.n_test,
        n_test_speakers=head.n_test_speakers,
        n_classes=n_present,
        constant_uar=1 / n_present if n_present and head.status == "ok" else None,
        rows=placed,
        groups=_group_tables(placed),
        notes=tuple(notes),
    )


def _compared(rows: Sequence[Row], scores: Sequence[float]) -> list[int]:
    """Return the positions of the rows that are held against the best of them.

    Those are the ranked ones; where nothing is ranked those that stand in order of their score, but not the ones that
    are normalised with their test rows beside others.
    """
    found = [i for i, row in enumerate(rows) if row.standing == "ranked"]
    if not found:
        scored = [i for i, row in enumerate(rows) if row.standing == "unranked" and scores[i] > -2]
        found = [i for i in scored if rows[i].normalisation not in wording.TRANSDUCTIVE] or scored
    return found


def _rank(value: float, ranked: Sequence[float], shared: int | None) -> int:
    return 1 + sum(other > value for other in ranked) if shared is None else shared


def _row(record: RunRecord, reason: str | None, machines: Sequence[Machine]) -> Row:
    fields = {name: getattr(record, name) for name in Row.__struct_fields__ if hasattr(record, name)}
    if record.status != "ok":
        fields |= _UNSCORED
    fields |= {
        "anchor": "",
        "rank": None,
        "standing": _standing(record, reason),
        "reason": reason,
        "classes": record.suite.classes,
        "chosen_by": wording.chosen_by(record),
        "timing": _without_samples(fields["timing"]),
        "warnings": (*record.warnings, *wording.implausible(record)),
        "machine": next(i for i, machine in enumerate(machines) if _merged(machine, record)),
        "corpora": tuple(c.fingerprint for c in record.corpora),
    }
    return Row(**fields)


def _without_samples(timing: Timing | None) -> Timing | None:
    if timing is None or timing.latency is None:
        return timing
    return msgspec.structs.replace(timing, latency=msgspec.structs.replace(timing.latency, samples_ms=(), probe_ms=()))


def _standing(record: RunRecord, reason: str | None) -> Standing:
    if record.status != "ok":
        return record.status
    if record.model.family == "baseline":
        return "reference"
    return "ranked" if reason is None else "unranked"


def _group_tables(rows: Sequence[Row]) -> tuple[GroupTable, ...]:
    """Return a table per column by which the test rows differ; records that count them otherwise have their own."""
    found: dict[Any, list[GroupRow]] = {}
    for row in rows:
        for column, scores in sorted(row.by_group.items()):
            if scores is None or len(scores.groups) < 2:
                continue
            counts = tuple((group.value, group.n, group.n_speakers) for group in scores.groups)
            uars = tuple(group.uar for group in scores.groups)
            known = [uar for uar in uars if uar is not None]
            gap = max(known) - min(known) if known else None
            found.setdefault((column, scores.classes, counts, scores.n_unknown), []).append(
                GroupRow(row=row.row, anchor=row.anchor, uars=uars, gap=gap)
            )
    tables = []
    for (column, classes, counts, n_unknown), of in sorted(found.items(), key=lambda item: item[0]):
        values, n, n_speakers = zip(*counts, strict=True)
        tables.append(
            GroupTable(
                column=column,
                classes=classes,
                values=values,
                n=n,
                n_speakers=n_speakers,
                n_unknown=n_unknown,
                rows=tuple(of),
            )
        )
    return tuple(tables)


def _systems(suite: SuiteRef, tables: Sequence[Table], gap: Gap | None) -> tuple[System, ...]:
    """Return the rows that a published counterpart has, or else those that the suite's own references are about."""
    rows = {row.row: row for table in tables for row in table.rows if row.scores}
    if gap is not None and gap.control_suite:
        return tuple(
            System(
                row=of.row,
                published=of.published,
                reproduced=of.reproduced,
                honest=of.honest,
                differences=of.differences,
                cut=rows[of.row].model.cut,
            )
            for of in gap.rows
        )
    return tuple(
        System(
            row=row.row,
            published=of,
            reproduced=row.scores,
            honest={} if suite.declares or row.normalisation == "all" else row.scores,
            differences={},
            cut=row.model.cut,
        )
        for of in suite.references
        for row in rows.values()
        if row.row == of.row
    )


def _matrices(primary: str, tables: Sequence[Table]) -> tuple[Matrix, ...]:
    # leave one corpus out has a training set of its own for every test set: a list, not a matrix
    pairs = [t for t in tables if t.train is not None and t.test is not None and " + " not in t.train]
    train, test = (tuple(sorted({getattr(t, side) for t in pairs})) for side in ("train", "test"))
    sizes = tuple(
        " or ".join(sorted({wording.size(t.n_test, t.n_test_speakers) for t in pairs if t.test == name and t.n_test}))
        for name in test
    )
    cells: dict[str, dict[tuple[str | None, str | None], Cell]] = {}
    for table in pairs:
        for row in table.rows:
            found = row.scores.get(primary)
            cell = Cell(value=found.value if found else None, status=_status(row), anchor=row.anchor)
            cells.setdefault(row.row, {})[table.train, table.test] = cell
    return tuple(
        Matrix(
            row=row,
            train=train,
            test=test,
            test_sizes=sizes,
            cells=tuple(tuple(of.get((a, b)) for b in test) for a in train),
        )
        for row, of in sorted(cells.items())
    )


def _status(row: Row) -> str:
    return row.standing if row.standing in ("failed", "skipped") else "ok"
