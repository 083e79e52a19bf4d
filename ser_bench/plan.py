"""The plan of one run: its rows, cells and records, and where each lies; all of it a function of what goes in."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from ser_bench import machine
from ser_bench.cells import Cell, Row, cell_keys, slug
from ser_bench.prepare import Prepared, Workshop, is_cross_corpus
from ser_bench.protocols import in_words
from ser_bench.protocols.spec import asks_for_sentences
from ser_bench.records import CorpusRef, SuiteRef
from ser_bench.store import digest
from ser_bench.suites import Suite
from ser_bench.suites import digest as suite_digest

SCORING_SOURCES = (
    "recording.py",
    "scoring.py",
    "choices.py",
    "curves.py",
    "groups.py",
    "metrics.py",
    "rating_metrics.py",
    "rating_scores.py",
    "stats.py",
    "stress_scores.py",
)
"""Source that a record depends on beside its cells: where it changes, records are written anew, from stored cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One record to be: a row, for cross-corpus suites on one (train, test) pair.

    Attributes:
        name: File name of its record, numbered in the plan's order.
        row: The row.
        pair: (train corpus, test corpus), or None.
        cells: Its cells.
        run_id: A digest of all that decides the record, so the same row has the same id anywhere.
    """

    name: str
    row: Row
    pair: tuple[str, str] | None
    cells: tuple[Cell, ...]
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One invocation of ``run``.

    Attributes:
        suite: The suite, command-line changes applied.
        rows: What is to run.
        prepared: Utterances and folds.
        workshop: Store, executor, progress.
        solo: Executor of the solo pass.
        out: Where run folders go.
        canary: ``permuted``, ``oracle`` or None.
        failures: Key of a cell -> why it failed; filled while running.
        keep_models: Whether fitted models are saved in the run's folder.
        unkept: Label of a row -> why its models can't be kept; filled while running.
        notes: What else the user should know of kept models; filled while running.
    """

    suite: Suite
    rows: Sequence[Row]
    prepared: Prepared
    workshop: Workshop
    solo: Executor
    out: Path
    canary: str | None = None
    failures: dict[str, str] = field(default_factory=dict)
    keep_models: bool = False
    unkept: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def cells(self) -> dict[str, list[Cell]]:
        """Row label -> its cells, seed after seed; none for skipped rows."""
        return {
            row.label: [] if row.skip else cell_keys(row, self.prepared, self.suite, self.canary) for row in self.rows
        }

    @cached_property
    def planned(self) -> tuple[Planned, ...]:
        """The records of this run, in order."""
        pairs = dict.fromkeys(f.pair for f in self.prepared.split.folds) if is_cross_corpus(self.suite) else [None]
        return tuple(
            self._planned(number, row, pair)
            for number, (row, pair) in enumerate((r, p) for r in self.rows for p in pairs)
        )

    def _planned(self, number: int, row: Row, pair: tuple[str, str] | None) -> Planned:
        folds = self.prepared.split.folds
        cells = tuple(c for c in self.cells[row.label] if pair is None or folds[c.fold].pair == pair)
        decisive = msgspec.json.encode([self.suite_ref, self.corpora_of(pair), row.label, pair, row.skip, row.device])
        run_id = digest(
            decisive.decode(),
            machine.source_digest(*SCORING_SOURCES),
            *filter(None, [row.cut, " ".join(self.suite.stress)]),
            *(f"{c.key} {c.fold} {c.seed}" for c in cells),
        )[:16]
        return Planned(
            name=f"{number:03d}-{slug(row.label, *(pair or ()))}", row=row, pair=pair, cells=cells, run_id=run_id
        )

    def corpora_of(self, pair: tuple[str, str] | None) -> tuple[CorpusRef, ...]:
        """Return the corpora of a record."""
        names = {*pair[0].split(" + "), pair[1]} if pair else set()
        return tuple(corpus for corpus in self.prepared.corpora if pair is None or corpus.name in names)

    @cached_property
    def suite_ref(self) -> SuiteRef:
        """The suite as records state it."""
        return SuiteRef(
            name=self.suite.name,
            version=self.suite.version,
            title=self.suite.title,
            digest=suite_digest(self.suite),
            protocol=in_words(self.suite.protocol),
            labels=self.prepared.scheme.name,
            classes=() if self.prepared.ratings is not None else self.prepared.scheme.classes,
            sample_rate_hz=self.suite.sample_rate_hz,
            primary=self.suite.primary,
            declares=tuple(sorted({d for fold in self.prepared.split.folds for d in fold.declares})),
            dev_only=tuple(
                sorted(
                    {d for fold in self.prepared.split.folds for d in fold.dev_only}
                    - {d for fold in self.prepared.split.folds for d in fold.declares - fold.dev_only}
                )
            ),
            disjoint=("sentence",) if asks_for_sentences(self.suite.protocol) else (),
            canary=self.canary,
            notes=(*self.suite.notes, *self.prepared.split.notes),
            references=self.suite.references,
            bands=self.suite.bands,
            targets=self.suite.targets,
        )

    @cached_property
    def folder(self) -> Path:
        """The run's folder: the same plan on the same data always has the same one."""
        return self.out / f"{slug(self.suite.name)}-{digest(*(p.run_id for p in self.planned))[:8]}"

    def cell_path(self, cell: Cell) -> Path:
        """Where a cell's result lies; shared by all runs under the same ``--out``."""
        return self.out / "cells" / cell.key[:2] / f"{cell.key}.npz"
