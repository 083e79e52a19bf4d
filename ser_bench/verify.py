"""A submission checked from its own files: folds dealt again, every figure made anew, nothing believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_bench import registry
from ser_bench.corpora.audit import fingerprint
from ser_bench.corpora.contract import Corpus
from ser_bench.emotions import SCHEME_NAMES, DimensionScheme, LabelScheme
from ser_bench.errors import DataError, PrerequisiteError, SerBenchError
from ser_bench.gap import control_suite, gap_faults
from ser_bench.prediction_check import prediction_faults
from ser_bench.prepare import Prepared
from ser_bench.protocols import Split, make_folds
from ser_bench.protocols.fold import EMPTY
from ser_bench.records import UTTERANCES, RunRecord, SuiteRef, read_gap, read_publication, read_records
from ser_bench.refusals import refusals
from ser_bench.rescoring import fold_faults, form_faults, read_frame, score_faults, table_faults, tested_twice
from ser_bench.run_audit import run_table
from ser_bench.submissions import file_faults, reference_faults
from ser_bench.suites import Suite, digest, load_suite, suite_names, with_labels
from ser_bench.utterances import UtteranceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found in one run folder.

    Attributes:
        name: The folder's name.
        suite: The suite's name; None where its records can't be read.
        rows: The labels of its rows.
        n_predictions: Stored lines of predictions.
        faults: What is wrong, in words; empty where all is well.
        notes: What could not be checked, or is worth knowing.
    """

    name: str
    suite: str | None = None
    rows: tuple[str, ...] = ()
    n_predictions: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verify_run(
    folder: Path, *, suite: Suite | None = None, on_disk: Callable[[Suite], Prepared] | None = None
) -> Verdict:
    """Return what is wrong with a run folder, whoever filled it; nothing in it is executed, nothing is written.

    Args:
        folder: The run folder.
        suite: The suite that it is held against; None for the shipped one that its records name.
        on_disk: Finds a suite's corpora here, so that ids, speakers, labels and samples are compared with them.

    Raises:
        PrerequisiteError: If ``on_disk`` finds no corpora.
    """
    records, faults = _readable(folder)
    rows = tuple(_label(record) for record in records)
    if faults:
        return Verdict(name=folder.name, rows=rows, faults=tuple(faults))
    run = _Run(folder=folder, records=records, table=run_table(folder)[0], classes=_classes(folder))
    faults = list(run.row_faults())
    notes: list[str] = []
    if not faults:
        faults = _caught(lambda: [*_gap(folder, records), *_refused(folder, records)])
        faults += _caught(lambda: run.suite_faults(suite, on_disk, notes))
    if any(record.timing for record in records):
        notes.append("times, memory and machines are as stated: no file can prove them")
    return Verdict(
        name=folder.name,
        suite=records[0].suite.name,
        rows=rows,
        n_predictions=sum(record.predictions.n for record in records if record.predictions),
        faults=tuple(dict.fromkeys(faults)),
        notes=tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run folder whose files can be read; ``classes`` maps utterance ids to class names, None under numbers."""

    folder: Path
    records: Sequence[RunRecord]
    table: UtteranceTable
    classes: pd.Series | None

    @property
    def scored(self) -> list[RunRecord]:
        return [record for record in self.records if record.predictions is not None]

    def row_faults(self) -> Iterator[str]:
        """Yield where rows contradict their predictions, or these the table."""
        if len({(r.suite.name, r.suite.digest, r.suite.classes, r.suite.canary) for r in self.records}) > 1:
            yield "its records are of several suites"
        if (self.classes is None) == bool(self.records[0].suite.classes):
            yield f"{UTTERANCES} has to have a column 'class_name' where its suite has classes, and only there"
        elif self.classes is not None and not set(self.classes) <= set(self.records[0].suite.classes):
            yield f"{UTTERANCES} names a class that the records do not know"
        for record in self.scored:
            frame = read_frame(self.folder, record)
            found = table_faults(record, frame, self.table, self.classes) or fold_faults(record, frame)
            if not found:
                found = [*prediction_faults(self.folder, record), *score_faults(record, frame, self.table)]
            yield from (f"{_label(record)}: {fault}" for fault in found)

    def suite_faults(
        self, given: Suite | None, on_disk: Callable[[Suite], Prepared] | None, notes: list[str]
    ) -> Iterator[str]:
        """Yield where a run is not what its suite and the corpora here make of it; note what can't be told."""
        first = self.records[0]
        suite = given or shipped_suite(first.suite)
        prepared = on_disk(suite) if suite and on_disk else None
        dealt = None
        if suite is None:
            notes.append(f"no suite {first.suite.name} ships: its folds were not dealt again (--suite FILE)")
        elif (indices := self.class_indices(suite, prepared)) is None:
            notes.append("its folds were not dealt again: nobody here knows the scale of its numbers (--data DIR)")
        else:
            if self.classes is not None:
                yield from _label_faults(self.table, self.classes, suite)
            dealt = self.dealt(suite, indices)
            if first.suite.name == f"{suite.name}-control":  # random folds, as ``run --gap`` makes them
                n_usable = len(self.table) - sum(map(len, dealt.excluded.values()))
                suite = control_suite(suite, dealt, n_usable)
                dealt = self.dealt(suite, indices)
        if prepared is not None:
            yield from _against_corpora(self.table, self.classes, prepared)
            notes += _copies(self.table, prepared)
        for record in self.scored:
            found = _suite_faults(record, suite) if suite else []
            if dealt and suite and not found:
                found = [*_corpus_faults(record, suite, self.table, dealt), *_dealt_faults(record, dealt)]
                found += self.asked_faults(record, dealt)
            twice = tested_twice(record, read_frame(self.folder, record)) if dealt is None or found else []
            if dealt is None:  # a suite's own folds may test an utterance twice; nobody knows whether these do
                notes += [f"{_label(record)}: {note}" for note in twice]
            else:
                found += twice
            yield from (f"{_label(record)}: {fault}" for fault in found)

    def class_indices(self, suite: Suite, prepared: Prepared | None) -> NDArray[np.int64] | None:
        """Return what folds are dealt by: classes, or the levels of numbers; None where nobody here knows their scale.

        Raises:
            DataError: If a number is none on the scale of its corpus.
        """
        if self.classes is not None:
            place = {name: index for index, name in enumerate(self.records[0].suite.classes)}
            named = self.classes.reindex(self.table.column("utterance_id"))
            return np.array([place[name] for name in named], dtype=np.int64)
        scheme, corpora = suite.scheme(()), self.table.column("corpus")
        if not isinstance(scheme, DimensionScheme):
            return None
        levels = np.full(len(self.table), -1, dtype=np.int64)
        for name, scales in _scales(set(corpora), prepared).items():
            if scheme.column not in scales:
                return None
            own = corpora == name
            levels[own] = scheme.class_indices(list(self.table.column(scheme.column)[own]), scales[scheme.column])
        if (levels < 0).any():
            first = self.table.column("utterance_id")[levels < 0][0]
            raise DataError(
                f"{int((levels < 0).sum()):,} utterances have no {scheme.column} on its scale, first {first}"
            )
        return levels

    def dealt(self, suite: Suite, indices: NDArray[np.int64]) -> Split:
        """Return the folds that a suite's protocol makes of the run's utterances."""
        corpora = {corpus.name: corpus for record in self.records for corpus in record.corpora}
        expected = next(iter(corpora.values())).expected_speakers if len(corpora) == 1 else None
        return make_folds(
            suite.protocol,
            self.table,
            indices,
            partial=any(corpus.partial for corpus in corpora.values()),
            expected_speakers=expected if expected and self.table.n_speakers < expected else None,
            unusable=sum(sum(corpus.dropped.values()) for corpus in corpora.values()),
        )

    def asked_faults(self, record: RunRecord, dealt: Split) -> list[str]:
        """Return where predictions are not about the rows that the suite's folds fit and test."""
        frame, ids = read_frame(self.folder, record), self.table.column("utterance_id")
        sides = frame.groupby(["fold", "side"])["utterance_id"].agg(set)
        return [
            f"{fold.fold_id}: its {side} rows are not those of the suite's fold"
            for fold in dealt.folds
            for side, rows in (("train", fold.fitted), ("test", fold.test))
            if (fold.fold_id, side) in sides and sides[fold.fold_id, side] != set(ids[rows])
        ]


def _readable(folder: Path) -> tuple[list[RunRecord], list[str]]:
    """Return the records of a run folder, and what keeps its files from being read any further."""
    faults = file_faults(folder)
    if faults:
        return [], faults
    try:
        records = read_records(folder)
        read_publication(folder)
        run_table(folder)
    except DataError as error:
        return [], [error.message]
    faults = reference_faults(folder, records)
    for record in () if faults else records:
        if record.predictions is not None:
            faults += [f"{_label(record)}: {fault}" for fault in form_faults(record, read_frame(folder, record))]
    return records, faults


def _caught(check: Callable[[], Iterable[str]]) -> list[str]:
    """Return what a check finds, or why it could not be made of what the submission holds."""
    try:
        return list(check())
    except PrerequisiteError:
        raise
    except SerBenchError as error:
        return [error.message]


def _gap(folder: Path, records: Sequence[RunRecord]) -> list[str]:
    gap = read_gap(folder, records)
    if gap is None:
        return []
    control = folder.parent / gap.control_folder
    if control.name != gap.control_folder:
        return [f"the gap's control lies at {gap.control_folder!r}, the name of a folder beside the run expected"]
    if control.is_dir() and _readable(control)[1]:
        return [f"the gap's control, {control.name}, can't be read"]
    return gap_faults(folder, records)


def _refused(folder: Path, records: Sequence[RunRecord]) -> list[str]:
    """Return what a board may not be published with, and does not say."""
    publication = read_publication(folder)
    told = publication.overrides if publication else {}
    return [
        f"{sentence} (published only with --allow-{what}, and then its board says so)"
        for what, sentences in refusals(folder, records).items()
        for sentence in sentences
        if sentence not in told.get(what, ())
    ]


def shipped_suite(of: SuiteRef) -> Suite | None:
    """Return the shipped suite that a record names, or whose control it names; under the record's labels."""
    known = suite_names()
    name = next((name for name in (of.name, of.name.removesuffix("-control")) if name in known), None)
    if name is None:
        return None
    suite = load_suite(name)
    return with_labels(suite, of.labels) if of.labels in SCHEME_NAMES and of.labels != suite.labels else suite


def _suite_faults(record: RunRecord, suite: Suite) -> list[str]:
    """Return where a record names another suite than the one of its name, or other classes than its labels give."""
    of = record.suite
    if of.version != suite.version:
        return [f"version {of.version} of {of.name}, here it is {suite.version}: its scores may differ"]
    if of.digest != digest(suite):
        return [f"its suite is not the {suite.name} that is known here (digest {of.digest}, not {digest(suite)})"]
    labels = suite.labels if isinstance(suite.labels, str) else suite.labels.name
    stated = (of.primary, of.targets, of.sample_rate_hz, of.labels)
    found = (suite.primary, suite.targets, suite.sample_rate_hz, labels)
    faults = [
        f"its suite states {one}, here it is {other}" for one, other in zip(stated, found, strict=True) if one != other
    ]
    scheme = suite.scheme(tuple(sorted(of.classes)))
    if isinstance(scheme, LabelScheme) and scheme.classes != of.classes:
        faults.append(f"classes {', '.join(of.classes)}; {of.labels} has {', '.join(scheme.classes)}")
    return faults


def _label_faults(table: UtteranceTable, classes: pd.Series, suite: Suite) -> Iterator[str]:
    """Yield where an utterance's class is not what the label scheme makes of its emotion."""
    scheme = suite.scheme(tuple(sorted(set(classes))))
    if not isinstance(scheme, LabelScheme):
        return
    ids = table.column("utterance_id")
    indices = scheme.class_indices(list(table.column("emotion")))
    made = [scheme.classes[index] if index >= 0 else None for index in indices]
    wrong = classes.reindex(ids).to_numpy() != np.array(made, dtype=object)
    if wrong.any():
        yield f"the class of {int(wrong.sum()):,} utterances is not that of their emotion, first {ids[wrong][0]}"


def _dealt_faults(record: RunRecord, dealt: Split) -> list[str]:
    """Return where a record's folds are not those that its suite's protocol deals."""
    pair = (record.train, record.test) if record.train else None
    folds = {
        fold.fold_id: made
        for fold, made in zip(dealt.folds, dealt.digests, strict=True)
        if pair is None or fold.pair == pair
    }
    stated = {fold.fold_id: fold.digest for fold in record.folds}
    faults = [f"fold {name} is missing" for name in sorted({*folds} - {*stated})]
    faults += [f"fold {name} is none of the suite's" for name in sorted({*stated} - {*folds})]
    if wrong := sorted(name for name in {*folds} & {*stated} if folds[name] != stated[name]):
        faults.append(f"other folds than the suite deals ({', '.join(wrong[:5])}: digest differs)")
    if record.folds_total != (total := len(folds) if pair else dealt.total):
        faults.append(f"{record.folds_total} folds stated in all, {total} expected")
    declares = sorted({name for fold in dealt.folds for name in fold.declares})
    if sorted(record.suite.declares) != declares:
        faults.append(f"declares {sorted(record.suite.declares)}, the suite's folds declare {declares}")
    return faults


def _corpus_faults(record: RunRecord, suite: Suite, table: UtteranceTable, dealt: Split) -> list[str]:
    """Return where a record's corpora are not what the table holds, or not what their adapters say."""
    used = np.ones(len(table), dtype=bool)
    for unusable in dealt.excluded.values():
        used[unusable] = False
    used &= np.array([parent is None for parent in table.column("parent")])
    pair = (record.train, record.test) if record.train else None
    asked = [side for fold in dealt.folds if pair in (None, fold.pair) for side in (fold.fitted, fold.test)]
    absent = set(table.column("corpus")[np.concatenate([EMPTY, *asked])]) - {corpus.name for corpus in record.corpora}
    faults = [f"{name} is in its folds, and none of its corpora" for name in sorted(absent)]
    for corpus in record.corpora:
        rows = table.rows((table.column("corpus") == corpus.name) & used)
        found = (len(rows), rows.n_speakers, fingerprint(rows))
        stated = (corpus.n_used, corpus.speakers, corpus.fingerprint)
        for what, one, other in zip(("utterances", "speakers", "fingerprint"), stated, found, strict=True):
            if one != other:
                faults.append(f"{corpus.name}: {what} {one} stated, {other} in the table")
        if corpus.n != corpus.n_used + sum(corpus.dropped.values()):
            faults.append(f"{corpus.name}: {corpus.n} found, but used and dropped add up to something else")
        known = registry.load("corpora", corpus.name) if corpus.name in registry.entries("corpora") else None
        expected = known.expected(known.selection(suite.select or None)) if isinstance(known, Corpus) else None
        whole = (expected.utterances, expected.speakers) if expected else (None, None)
        if isinstance(known, Corpus) and whole != (corpus.expected, corpus.expected_speakers):
            of = f"{corpus.expected} utterances of {corpus.expected_speakers} speakers"
            faults.append(f"{corpus.name}: {of} expected, its adapter says otherwise")
    return faults


def _against_corpora(table: UtteranceTable, classes: pd.Series | None, prepared: Prepared) -> list[str]:
    """Return where a run's utterances contradict the corpora that lie here: ids, speakers, classes."""
    ids, ours = table.column("utterance_id"), prepared.table
    place = pd.Series(np.arange(len(ours)), index=ours.column("utterance_id")).reindex(ids)
    unknown = ids[place.isna().to_numpy()]
    faults = [f"{len(unknown):,} utterances are not in the corpora here, first {unknown[0]}"] if len(unknown) else []
    there = place.notna().to_numpy()
    rows = place[there].to_numpy().astype(np.int64)
    stated = {"speaker": (table.column("speaker")[there], ours.column("speaker")[rows])}
    if classes is not None:
        names = np.array(prepared.scheme.classes, dtype=object)
        stated["class"] = (classes.reindex(ids).to_numpy()[there], names[prepared.classes[rows]])
    elif prepared.ratings is not None:
        stated["number"] = (table.column(prepared.scheme.column)[there], prepared.ratings[rows])
    for what, (one, other) in stated.items():
        wrong = one != other
        if wrong.any():
            faults.append(
                f"{what} of {int(wrong.sum()):,} utterances is not the corpora's, first {ids[there][wrong][0]}"
            )
    return faults


def _scales(names: Iterable[str], prepared: Prepared | None) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """Return corpus -> scales of its numbers, of the corpora at hand, else as registered."""
    if prepared is not None:
        here = {audit.corpus.name: audit.corpus.scales for audit in prepared.audits}
        return {name: here.get(name, {}) for name in names}
    known = registry.entries("corpora")
    return {name: registry.load("corpora", name).scales if name in known else {} for name in names}


def _copies(table: UtteranceTable, prepared: Prepared) -> list[str]:
    """Return in how far another copy of the corpora was used."""
    ours = dict(zip(prepared.table.column("utterance_id"), prepared.table.column("content_id"), strict=True))
    ids = table.column("utterance_id")
    content = zip(ids, table.column("content_id"), strict=True)
    others = sum(name in ours and ours[name] != samples for name, samples in content)
    absent = len(set(ours) - set(ids))
    notes = [f"{others:,} of {len(ids):,} utterances have other samples here: another copy"] if others else []
    return notes + ([f"{absent:,} utterances lie here that it does not use"] if absent else [])


def _classes(folder: Path) -> pd.Series | None:
    """Return class name by utterance id; None where numbers are asked for."""
    frame = pd.read_parquet(folder / UTTERANCES)
    return frame.set_index("utterance_id")["class_name"] if "class_name" in frame else None


def _label(record: RunRecord) -> str:
    return f"{record.row} {record.train}→{record.test}" if record.train else record.row
