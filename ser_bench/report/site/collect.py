"""Runs in, suites out: which rows stand on one page, and under which names."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ser_bench.records import (
    Gap,
    Publication,
    RunRecord,
    SuiteRef,
    encode,
    read_gap,
    read_publication,
    read_records,
)
from ser_bench.report import board as boards
from ser_bench.report.evidence import StoredAnswers
from ser_bench.report.parts import Board, Row, Table
from ser_bench.report.text import listing, plain, plain_struct, short

_DIGITS = 12
_LONGEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder: its name, unique on the site, where it lies, and what it holds."""

    name: str
    folder: Path
    records: tuple[RunRecord, ...]
    gap: Gap | None
    publication: Publication | None

    @property
    def page(self) -> str:
        """The address of the run's page, below the site."""
        return f"runs/{file_name(self.name)}.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row on the site.

    ``id`` is stable under other rows, ``page`` the address of its details below the site, ``n_ranked`` how many rows
    of its table have a rank.
    """

    id: str
    run: Run
    record: RunRecord
    row: Row
    table: Table
    suite: Suite
    page: str
    n_ranked: int

    @property
    def address(self) -> str:
        """The address of the row's details, below the site."""
        return f"{self.page}#{self.row.anchor}"


@dataclass(slots=True, kw_only=True, eq=False)
class Suite:
    """A page of a suite: all rows under one digest, of any run.

    ``siblings`` are the pages of the same name under other digests, with what differs; ``gaps`` are the protocol gaps
    that the board does not show itself.
    """

    page: str
    board: Board
    entries: list[Entry] = field(default_factory=list)
    siblings: list[tuple[Suite, str]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def file_name(name: str) -> str:
    """Return ``name`` where it is safe as a file name anywhere, else its safe part and a digest of it."""
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_LONGEST].strip("-")
    if safe and safe == name and not re.fullmatch(r"con|prn|aux|nul|(com|lpt)\d", safe):
        return name
    return f"{safe}-{_digest(name)[:8]}".lstrip("-")


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """Return the runs in the order of their names; a folder that is named twice counts once.

    Raises:
        DataError: If a folder holds no records, or one that can't be read.
    """
    found = []
    for folder in sorted({folder.resolve() for folder in folders}):
        records = read_records(folder)
        name = plain(folder.name).encode(errors="replace").decode()
        found.append((name, _digest(*map(encode, records)), folder, records))
    found.sort(key=lambda run: run[:2])
    twice = Counter(run[0] for run in found)
    return [
        Run(
            name=f"{name}-{content[:8]}" if twice[name] > 1 else name,
            folder=folder,
            records=tuple(records),
            gap=read_gap(folder, records),
            publication=read_publication(folder),
        )
        for name, content, folder, records in found
    ]


def suites_of(runs: Sequence[Run], most_details: int) -> list[Suite]:
    """Return the suites of all runs by name; a suite of more than ``most_details`` rows has its details elsewhere."""
    by_suite: dict[tuple[str, int, str], list[tuple[Run, RunRecord]]] = {}
    for run in runs:
        for record in run.records:
            key = (record.suite.name, record.suite.version, record.suite.digest)
            by_suite.setdefault(key, []).append((run, record))
    n_pages = Counter(name for name, _, _ in by_suite)
    found: list[Suite] = []
    for (name, version, digest), members in sorted(by_suite.items(), key=lambda item: item[0]):
        page = name if n_pages[name] == 1 else f"{name}-v{version}-{digest[:8]}"
        found.append(_suite(f"suites/{file_name(page)}.html", members, most_details))
    for suite in found:
        ours = suite.board.suite
        suite.siblings = [
            (other, _differences(ours, other.board.suite))
            for other in found
            if other is not suite and other.board.suite.name == ours.name
        ]
    return found


def _suite(page: str, members: Sequence[tuple[Run, RunRecord]], most_details: int) -> Suite:
    labels, ids = _labels(members), _ids(members)
    sources = dict(zip(ids, members, strict=True))
    records = [
        msgspec.structs.replace(record, row=label, run_id=id)  # the same row of two runs has one run_id
        for id, label, (_, record) in zip(ids, labels, members, strict=True)
    ]
    runs = {run.name: run for run, _ in members}
    gaps = _gaps(members, labels)
    answers = StoredAnswers({id: (run.folder, record) for id, (run, record) in sources.items()})
    publication = _publication(list(runs.values()))
    built = _anchored(boards.build(records, gaps[0] if gaps else None, answers, publication=publication), sources)
    suite = Suite(page=page, board=built, gaps=[plain_struct(gap) for gap in gaps[1:]])
    apart = len(members) > most_details
    for table in built.tables:
        n_ranked = sum(row.rank is not None for row in table.rows)
        for row in table.rows:
            run, record = sources[row.anchor]
            place = f"rows/{row.anchor}.html" if apart else page
            suite.entries.append(
                Entry(
                    id=row.anchor,
                    run=run,
                    record=record,
                    row=row,
                    table=table,
                    suite=suite,
                    page=place,
                    n_ranked=n_ranked,
                )
            )
    return suite


def _ids(members: Sequence[tuple[Run, RunRecord]]) -> list[str]:
    """Return an id per row that stays the same when other rows come and go."""
    found: dict[str, None] = {}
    for run, record in members:
        words = (run.name, record.run_id, record.train or "", record.test or "", record.row)
        spellings = (f"r{_digest(*words, str(n))[:_DIGITS]}" for n in itertools.count())
        found[next(id for id in spellings if id not in found)] = None
    return list(found)


def _labels(members: Sequence[tuple[Run, RunRecord]]) -> list[str]:
    """Return the rows' labels; those that stand in several runs bear the run's name, and after that a number."""
    keys = [(record.train, record.test, plain(record.row)) for _, record in members]
    twice = Counter(keys)
    labels: list[str] = []
    taken: set[tuple[str | None, str | None, str]] = set()
    for key, (run, record) in zip(keys, members, strict=True):
        wanted = f"{record.row} ({run.name})" if twice[key] > 1 else record.row
        spellings = itertools.chain([wanted], (f"{wanted} {n}" for n in itertools.count(2)))
        label = next(name for name in spellings if (*key[:2], plain(name)) not in taken)
        taken.add((*key[:2], plain(label)))
        labels.append(label)
    return labels


def _gaps(members: Sequence[tuple[Run, RunRecord]], labels: Sequence[str]) -> list[Gap]:
    """Return the gaps of the runs, one per control, the rows under the names that they have on the page."""
    names = {(run.name, record.run_id): label for (run, record), label in zip(members, labels, strict=True)}
    found: dict[tuple[Any, ...], list[Gap]] = {}
    for run in {run.name: run for run, _ in members}.values():
        gap = run.gap
        rows = [(row, names.get((run.name, row.run_id))) for row in (gap.rows if gap else ())]
        named = tuple(msgspec.structs.replace(row, row=name) for row, name in rows if name is not None)
        if gap and named:
            # where one of them is a published protocol, it comes first: the board itself shows one
            key = (gap.control_suite is None, gap.control_suite or "", gap.control, gap.n_test, gap.n_speakers)
            found.setdefault((*key, gap.primary), []).append(msgspec.structs.replace(gap, rows=named))
    return [
        msgspec.structs.replace(
            gaps[0],
            rows=tuple(row for gap in gaps for row in gap.rows),
            control_folder=listing(sorted({gap.control_folder for gap in gaps})),
        )
        for _, gaps in sorted(found.items(), key=lambda item: item[0])
    ]


def _publication(runs: Sequence[Run]) -> Publication | None:
    """Return what the published ones of the runs are to be read with; where there are several runs, whose it is."""
    overrides: dict[str, tuple[str, ...]] = {}
    remarks: dict[str, str] = {}
    for run in runs:
        whose = f"{run.name}: " if len(runs) > 1 else ""
        for what, sentences in (run.publication.overrides if run.publication else {}).items():
            overrides[what] = (*overrides.get(what, ()), *(f"{whose}{sentence}" for sentence in sentences))
        for corpus, remark in (run.publication.remarks if run.publication else {}).items():
            known = remarks.get(corpus)
            remarks[corpus] = remark if known in (None, remark) else f"{known}; {remark}"
    return Publication(overrides=overrides, remarks=remarks) if overrides or remarks else None


def _anchored(built: Board, sources: Mapping[str, tuple[Run, RunRecord]]) -> Board:
    """Return the board with its rows' ids for anchors, and their own run_ids again."""
    replace = msgspec.structs.replace
    new = {row.anchor: row.run_id for table in built.tables for row in table.rows}

    def renamed(part: Any) -> Any:
        return replace(part, anchor=new[part.anchor])

    return replace(
        built,
        tables=tuple(
            replace(
                table,
                rows=tuple(replace(renamed(row), run_id=plain(sources[row.run_id][1].run_id)) for row in table.rows),
                groups=tuple(replace(of, rows=tuple(map(renamed, of.rows))) for of in table.groups),
            )
            for table in built.tables
        ),
        matrices=tuple(
            replace(matrix, cells=tuple(tuple(cell and renamed(cell) for cell in line) for line in matrix.cells))
            for matrix in built.matrices
        ),
    )


def _differences(ours: SuiteRef, theirs: SuiteRef) -> str:
    """Return in words what two suites of one name differ in."""
    named = {
        "version": "version",
        "protocol": "protocol",
        "labels": "labels",
        "classes": "classes",
        "sample_rate_hz": "sample rate",
        "primary": "primary metric",
        "declares": "declared leaks",
        "canary": "canary",
        "targets": "targets",
    }
    differs = [title for field, title in named.items() if getattr(ours, field) != getattr(theirs, field)]
    where = f"differs in {listing(differs)}" if differs else "differs in its folds, labels, corpora or features"
    return f"version {theirs.version}, digest {short(theirs.digest)}: {where}, so its rows are not ranked with these"


def _digest(*parts: str | bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="backslashreplace") if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()
