"""From a suite to checked folds: find and audit the corpora, map labels, split; every exclusion counted."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench import machine
from ser_bench.audio import AudioFacts, AudioSource, file_digest
from ser_bench.children import Child, after_split, before_split, check_classes, in_words, parents_of
from ser_bench.corpora.audit import Audit, audit, fingerprint
from ser_bench.corpora.contract import Corpus
from ser_bench.corpora.huggingface import DatasetsReader
from ser_bench.corpora.locate import data_folder, find_corpus_folder, resolve_corpus
from ser_bench.corpora.sounds import near_duplicate_groups
from ser_bench.emotions import Scheme
from ser_bench.errors import DataError, LeakageError, PrerequisiteError, UsageError, did_you_mean
from ser_bench.labelling import Float64, Labelled, in_numbers, label, ratings_of, refuse_unequal_scales, vote_shares
from ser_bench.pool import run_task
from ser_bench.protocols import CrossCorpus, LeaveOneCorpusOut, Split, make_folds
from ser_bench.protocols.spec import asks_for_sentences
from ser_bench.records import CorpusRef
from ser_bench.registry import import_object
from ser_bench.store import PackedStore, digest
from ser_bench.suites import Suite
from ser_bench.utterances import UtteranceTable

Progress = Callable[[str, int], Callable[[int], None]]
"""Called with (what, total); returns a function that is called with the number of steps just done."""

_BATCH = 24
_EXAMPLES = 5
_PREPARATION_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a run works with: the store, the executor, how tasks are to be run, and whom to tell.

    Attributes:
        store: Folder of the content-addressed store.
        executor: Runs tasks; anything that speaks ``concurrent.futures.Executor``.
        worker: Settings of the worker processes (threads, log, memory_mib, python).
        timeout_s: Time limit of one fit.
        progress: Where progress goes.
    """

    store: Path
    executor: Executor
    worker: Mapping[str, Any]
    timeout_s: float
    progress: Progress

    def submit(self, task: dict[str, Any], **worker: Any) -> Any:
        """Hand a task to the executor, for a worker whose settings differ by ``worker``; return its future."""
        limit = self.timeout_s if task["task"] == "cell" else _PREPARATION_S
        return self.executor.submit(run_task, {**task, "worker": {**self.worker, **worker}, "timeout_s": limit})


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The utterances of a suite, with their classes and folds.

    Attributes:
        table: The utterances that are used, corpus after corpus, each in the order of its ids.
        classes: Class index per row.
        votes: What the annotators said, as shares of the classes, shape (n_utterances, n_classes), NaN in rows
            without a vote on a class; None where no utterance has one.
        scheme: The label scheme.
        split: The legal folds.
        corpora: What was found, per corpus.
        roots: Corpus name -> its folder.
        audits: The audits, for ``check`` and for messages.
        near_duplicates: Groups of rows that sound the same: reported, never refused.
        children: What augmentation makes of the utterances, for their training alone; they are no rows of ``table``.
        child_rows: Children that are rows of ``table``, its last ones: augmentation before the split, a published
            mistake. No suite has both.
        ratings: What models are asked for where the scheme is one of numbers: these, on the corpus's scale, one per
            row; else None. The classes are their levels, then, and only deal folds.
    """

    table: UtteranceTable
    classes: NDArray[np.int64]
    votes: Float64 | None
    scheme: Scheme
    split: Split
    corpora: tuple[CorpusRef, ...]
    roots: dict[str, Path]
    audits: tuple[Audit, ...]
    near_duplicates: tuple[tuple[int, ...], ...] = ()
    children: tuple[Child, ...] = ()
    child_rows: tuple[Child, ...] = ()
    ratings: Float64 | None = None

    @cached_property
    def parents(self) -> NDArray[np.int64]:
        """For each row that a fit may see the row that it was made from, -1 for the table's own; children come last."""
        return parents_of(len(self.table), self.children)

    @cached_property
    def origins(self) -> NDArray[np.int64]:
        """For each row that a fit may see the row of the table whose class, speaker and corpus are its own."""
        return np.where(self.parents < 0, np.arange(len(self.parents)), self.parents)

    @cached_property
    def sound_keys(self) -> list[str]:
        """What the features of each row that a fit may see are stored under."""
        return [*self.table.column("content_id"), *(child.key for child in self.children)]

    @cached_property
    def fold_digests(self) -> tuple[str, ...]:
        """For each fold a digest of the samples, speakers and classes of each side and of what is fitted, in order."""
        content, speakers = self.table.column("content_id"), self.table.column("speaker")
        labels = (self.classes if self.ratings is None else self.ratings).tolist()
        lines = [f"{c} {s} {k}" for c, s, k in zip(content, speakers, labels, strict=True)]
        row, names = np.array(lines, dtype=object), "\n".join(self.scheme.classes)
        return tuple(
            digest(names, *("\n".join(row[side]) for side in (f.train, f.dev, f.test, *chain(*f.inner), trained)))
            for f in self.split.folds
            for trained in [np.union1d(f.train, f.dev)]  # the worker's order: file names decide how the two interleave
        )

    @cached_property
    def soft_targets(self) -> NDArray[np.float32]:
        """What the annotators said, and where nobody said anything of a class, the label as certain."""
        certain = np.eye(len(self.scheme.classes))[self.classes]
        found = certain if self.votes is None else np.where(np.isnan(self.votes), certain, self.votes)
        return found.astype(np.float32)

    @property
    def n_usable(self) -> int:
        """Number of utterances that the protocol can use."""
        return len(self.table) - sum(len(rows) for rows in self.split.excluded.values())

    def sources(self) -> list[AudioSource]:
        """Return where the sound of each row that a fit may see lies, and what is done to it."""
        found = sources_of(self.table, self.roots)
        made = [replace(found[child.parent], transforms=child.transforms) for child in self.children + self.child_rows]
        return found[: len(found) - len(self.child_rows)] + made


def sources_of(table: UtteranceTable, roots: Mapping[str, Path]) -> list[AudioSource]:
    """Return where the sound of each utterance lies, corpora lying at ``roots``."""
    places = (table.column(name) for name in ("corpus", "path", "start_s", "end_s"))
    return [_source(roots[corpus], path, start, end) for corpus, path, start, end in zip(*places, strict=True)]


def open_corpus(name: str, data: str | None, workshop: Workshop) -> tuple[Corpus, Path]:
    """Return a corpus and its folder; synthetic corpora are made in the store when first asked for.

    Audio that lies inside a dataset's shards is unpacked then, too.

    Raises:
        UsageError: If nobody knows the corpus.
        PrerequisiteError: If it is not on this disk, or its audio can't be unpacked.
    """
    try:
        folder = data_folder(data)
    except PrerequisiteError:
        folder = None
    corpus = resolve_corpus(name, folder)
    if corpus.generate is not None:
        return corpus, _generated(corpus, workshop)
    if corpus.access == "local" and Path(name).is_file():
        return corpus, Path(name).parent
    root = find_corpus_folder(corpus, data_folder(data))
    if isinstance(corpus.reader, DatasetsReader):
        corpus.reader.unpack(root, workshop.progress)
    return corpus, root


def audit_corpus(corpus: Corpus, root: Path, workshop: Workshop, select: Mapping[str, Any] | None = None) -> Audit:
    """Read and audit a corpus; what was decoded once is never decoded again, whatever the file is called."""
    return audit(corpus, root, lambda sources: _facts(sources, workshop, corpus.name), select)


def prepare(suite: Suite, data: str | None, workshop: Workshop) -> Prepared:
    """Return the utterances and folds of a suite.

    Raises:
        PrerequisiteError: If a required corpus is not there.
        DataError: If a corpus can't be used, or holds nothing under the label scheme.
        LeakageError: If the protocol made an illegal fold.
    """
    opened = [open_corpus(name, data, workshop) for name in suite.corpora]
    for name in suite.optional_corpora:
        try:
            opened.append(open_corpus(name, data, workshop))
        except PrerequisiteError:
            continue
    _check_corpora(suite, opened)
    audits = []
    for corpus, root in opened:
        found = audit_corpus(corpus, root, workshop, suite.select or None)
        if not len(found.table):
            raise DataError(
                f"{corpus.name}: no usable utterance under {root} (found {found.n}, dropped {dict(found.dropped)})",
                hint=f"ser-bench check {corpus.name} --data {root.parent}",
            )
        audits.append(found)
    emotions = tuple(sorted({e for found in audits for e in (found.corpus.emotions() or found.per_emotion)}))
    scheme = suite.scheme(emotions)
    _refuse_shared_people(audits)
    refuse_unequal_scales(audits, scheme)
    labelled = [_labelled(found, scheme) for found in audits]
    dropped = {found.corpus.name: of.dropped for found, of in zip(audits, labelled, strict=True)}
    kept = [of.classes >= 0 for of in labelled]
    table = UtteranceTable.concat([found.table.rows(keep) for found, keep in zip(audits, kept, strict=True)])
    classes = np.concatenate([of.classes[keep] for of, keep in zip(labelled, kept, strict=True)])
    clash = _across_corpora(table)
    for name, n in Counter(table.column("corpus")[clash]).items():
        dropped[name]["duplicate-across-speakers"] = dropped[name].get("duplicate-across-speakers", 0) + n
    if clash.all():
        raise DataError(
            f"all {len(clash):,} utterances have equal samples in another corpus of the suite; none is left"
        )
    table, classes = table.rows(~clash), classes[~clash]
    if isinstance(suite.oversample, tuple):
        check_classes(suite.oversample, scheme.classes, "oversample")
    child_rows: tuple[Child, ...] = ()
    if suite.augment_before_split:
        child_rows, table, classes = before_split(suite.augment, table, classes, scheme.classes)
    votes, ratings = vote_shares(table, scheme), ratings_of(table, scheme)
    if suite.targets == "soft" and votes is None:
        raise DataError(
            f'targets = "soft": no utterance of {", ".join(dropped)} has votes on a class of {scheme.name!r}',
            hint='targets = "hard"',
        )
    partial = any(a.expected is not None and a.n < a.expected.utterances for a in audits)
    expected = audits[0].expected if len(audits) == 1 else None
    lost = expected is not None and audits[0].table.n_speakers < expected.speakers  # before the scheme dropped any
    split = make_folds(
        suite.protocol,
        table,
        classes,
        partial=partial,
        expected_speakers=expected.speakers if expected and lost else None,
        unusable=sum(sum(reasons.values()) for reasons in dropped.values()),
    )
    near = _near_duplicates(audits, table)
    split = _noted(split, near, table)
    children: tuple[Child, ...] = ()
    if suite.augment and not suite.augment_before_split:
        disjoint = asks_for_sentences(suite.protocol)
        children = after_split(suite.augment, table, classes, scheme.classes, split.folds, disjoint_sentences=disjoint)
    if suite.augment:
        told = in_words(suite.augment, split.folds, children or child_rows, rows=suite.augment_before_split)
        split = replace(split, notes=(*split.notes, told))
    for reason, rows in split.excluded.items():
        for name, n in Counter(table.column("corpus")[rows]).items():
            dropped[name][reason] = dropped[name].get(reason, 0) + n
    used = np.ones(len(table), dtype=bool)
    for rows in split.excluded.values():
        used[rows] = False
    used[len(used) - len(child_rows) :] = False  # children count as no utterances of their corpus
    corpora = tuple(_corpus_ref(found, table, classes, used, scheme, dropped[found.corpus.name]) for found in audits)
    return Prepared(
        table=table,
        classes=classes,
        votes=votes,
        ratings=ratings,
        scheme=scheme,
        split=split,
        corpora=corpora,
        roots={found.corpus.name: found.root for found in audits},
        audits=tuple(audits),
        near_duplicates=near,
        children=children,
        child_rows=child_rows,
    )


def _near_duplicates(audits: Sequence[Audit], table: UtteranceTable) -> tuple[tuple[int, ...], ...]:
    """Return the groups of rows of ``table`` that sound the same, over all corpora."""
    ids = [name for found in audits for name in found.table.column("utterance_id")]
    facts = [fact for found in audits for fact in found.facts]
    groups = near_duplicate_groups(facts) if len(audits) > 1 else audits[0].near_duplicates
    if not groups:
        return ()
    position = {name: row for row, name in enumerate(table.column("utterance_id"))}
    kept = (tuple(position[ids[i]] for i in group if ids[i] in position) for group in groups)
    return tuple(group for group in kept if len(group) > 1)


def _noted(split: Split, near: Sequence[Sequence[int]], table: UtteranceTable) -> Split:
    """Return the split with a note on near-duplicates that stand on the fitted and the tested side of a fold."""
    astride = [
        group
        for group in near
        if any(np.isin(group, fold.fitted).any() and np.isin(group, fold.test).any() for fold in split.folds)
    ]
    if not astride:
        return split
    first = " = ".join(str(name) for name in table.column("utterance_id")[list(astride[0])])
    n = len(astride)
    note = (
        f"{n:,} group{'s' if n > 1 else ''} of utterances that sound the same stand{'' if n > 1 else 's'} on the "
        f"training and the test side of a fold (first: {first}): reported, not refused."
    )
    return replace(split, notes=(*split.notes, note))


def is_cross_corpus(suite: Suite) -> bool:
    """Whether the suite's rows are pairs of what was trained on and the corpus that is tested."""
    return isinstance(suite.protocol, CrossCorpus | LeaveOneCorpusOut)


def _check_corpora(suite: Suite, opened: Sequence[tuple[Corpus, Path]]) -> None:
    """Refuse corpora that are the same one twice or share a name, and pairs that name none of them."""
    where: dict[str, Path] = {}
    for corpus, root in opened:
        if corpus.name in where:
            raise UsageError(
                f"two corpora of the suite are called {corpus.name!r}: {where[corpus.name]} and {root}",
                hint="name each corpus once, and tables by names of their own",
            )
        where[corpus.name] = root
    if isinstance(suite.protocol, CrossCorpus | LeaveOneCorpusOut):
        if len(opened) < 2:
            what = "a cross-corpus protocol" if isinstance(suite.protocol, CrossCorpus) else "leaving one corpus out"
            raise UsageError(f"{what} needs at least two corpora, got {', '.join(where)}")
        trained = suite.protocol.train if isinstance(suite.protocol, CrossCorpus) else ()
        for name in (*trained, *suite.protocol.test):
            if name not in where and name not in suite.optional_corpora:
                raise UsageError(
                    f"the protocol names {name!r}, which is no corpus of the suite" + did_you_mean(name, where)
                )


def _refuse_shared_people(audits: Sequence[Audit]) -> None:
    """Refuse tables of one folder that name the same speakers: as two corpora, they would count as other people."""
    for position, one in enumerate(audits):
        for other in audits[:position]:
            names = [{str(s).partition(":")[2] for s in a.table.column("speaker") if s} for a in (one, other)]
            shared = sorted(names[0] & names[1])
            if shared and one.root == other.root:
                raise LeakageError(
                    f"{other.corpus.name} and {one.corpus.name} lie in one folder and share {len(shared)} speakers "
                    f"({', '.join(shared[:3])}): the same people would stand on both sides",
                    hint="one table with all utterances, and a speaker-disjoint protocol",
                )


def _labelled(found: Audit, scheme: Scheme) -> Labelled:
    of = label(found, scheme)
    if (of.classes < 0).all():
        raise DataError(
            f"{found.corpus.name}: label scheme {scheme.name!r} keeps none of its {len(of.classes)} utterances",
            hint=f"ser-bench show losses {found.corpus.name}",
        )
    return of


def _across_corpora(table: UtteranceTable) -> NDArray[np.bool_]:
    """Mark rows whose samples lie in more than one corpus: no side of a cross-corpus fold may hold them."""
    content, corpus = table.codes("content_id"), table.codes("corpus")
    pairs = np.unique(np.stack([content, corpus]), axis=1)[0]
    shared, n_corpora = np.unique(pairs, return_counts=True)
    return np.isin(content, shared[n_corpora > 1])


def _corpus_ref(
    found: Audit,
    table: UtteranceTable,
    classes: NDArray[np.int64],
    used: NDArray[np.bool_],
    scheme: Scheme,
    dropped: dict[str, int],
) -> CorpusRef:
    corpus = found.corpus
    own = (table.column("corpus") == corpus.name) & used
    rows = table.rows(own)
    counts = np.bincount(classes[own], minlength=len(scheme.classes))
    examples = {reason: tuple(ids[:_EXAMPLES]) for reason, ids in found.examples.items() if reason in dropped}
    return CorpusRef(
        name=corpus.name,
        title=corpus.title,
        version=corpus.version,
        licence=corpus.licence,
        n=found.n,
        n_used=len(rows),
        speakers=rows.n_speakers,
        expected=found.expected.utterances if found.expected else None,
        expected_speakers=found.expected.speakers if found.expected else None,
        dropped=dict(dropped),
        merged=scheme.merged(rows.column(scheme.column)),
        copies=found.copies,
        unselected=dict(found.unselected),
        per_class={} if in_numbers(scheme) else {name: int(n) for name, n in zip(scheme.classes, counts, strict=True)},
        fingerprint=fingerprint(rows),
        synthetic=corpus.access == "synthetic",
        examples=examples,
    )


def _generated(corpus: Corpus, workshop: Workshop) -> Path:
    folder = workshop.store / "synthetic" / machine.source_digest("synth.py") / corpus.name
    if not folder.is_dir():
        expected = corpus.expects[0].utterances if corpus.expects else 0
        step = workshop.progress(f"make {corpus.name} (synthetic)", expected)
        import_object(corpus.generate or "")(corpus.name, folder, step)
    return folder


def _source(root: Path, path: str, start_s: float, end_s: float) -> AudioSource:
    return AudioSource(
        path=str(root / path),
        start_s=0.0 if np.isnan(start_s) else float(start_s),
        end_s=None if np.isnan(end_s) else float(end_s),
    )


def _facts(sources: Sequence[AudioSource], workshop: Workshop, name: str) -> list[AudioFacts]:
    """Return the facts of ``sources``: bytes are hashed every time, decoded once; faults are looked at anew."""
    versions = json.dumps(machine.package_versions(("numpy", "scipy", "soundfile")))
    source = machine.source_digest("audio.py", "acoustics.py")
    store = PackedStore(workshop.store / "facts" / digest(source, versions)[:16])
    with ThreadPoolExecutor(4) as threads:
        digests = dict(
            zip(paths := sorted({s.path for s in sources}), threads.map(_digest_or_none, paths), strict=True)
        )
    keys = [digest(digests[s.path] or "", repr(s.start_s), repr(s.end_s)) for s in sources]
    pending = {key: s for key, s in zip(keys, sources, strict=True) if digests[s.path] is not None}
    store.set_damaged_aside(pending)
    todo = [(key, pending[key]) for key in store.missing(pending)]
    faulty: dict[str, dict[str, Any]] = {}
    if todo:
        step = workshop.progress(f"decode {name}", len(todo))
        batches = [todo[at : at + _BATCH] for at in range(0, len(todo), _BATCH)]
        for batch, future in [(batch, _submit_facts(batch, store, workshop)) for batch in batches]:
            faulty |= _faulty(batch, future, store, workshop)
            step(len(batch))
        store.refresh()
    sound = store.read([key for key in pending if key not in faulty])
    found = {key: AudioFacts(**json.loads(values.tobytes())) for key, values in sound}
    found |= {key: AudioFacts(**facts) for key, facts in faulty.items()}
    unread = _undecodable("the file can't be read")
    return [found[key] if digests[s.path] else unread for key, s in zip(keys, sources, strict=True)]


def _undecodable(detail: str) -> AudioFacts:
    return AudioFacts(content_id=None, fault="undecodable", detail=detail)


def _submit_facts(batch: Sequence[tuple[str, AudioSource]], store: PackedStore, workshop: Workshop) -> Any:
    items = [[key, os.fsencode(s.path), s.start_s, s.end_s] for key, s in batch]
    return workshop.submit({"task": "facts", "items": items, "store": str(store.folder)})


def _faulty(
    batch: Sequence[tuple[str, AudioSource]], future: Any, store: PackedStore, workshop: Workshop
) -> dict[str, dict[str, Any]]:
    """Return the facts of what could not be decoded; a batch whose worker died is tried one utterance at a time.

    Raises:
        PrerequisiteError: If the store can't be written; that says nothing about the utterances.
    """
    answer = future.result()
    if answer["ok"]:
        return dict(answer["faulty"])
    if not answer.get("died"):
        raise PrerequisiteError(
            f"facts of {len(batch)} utterances can't be stored under {store.folder}: {answer['reason']}",
            hint="--store DIR, where DIR can be written to and has room",
        )
    if len(batch) == 1:
        return {batch[0][0]: asdict(_undecodable(f"decoding it failed: {answer['reason']}"))}
    alone = [([item], _submit_facts([item], store, workshop)) for item in batch]
    return {key: facts for item, again in alone for key, facts in _faulty(item, again, store, workshop).items()}


def _digest_or_none(path: str) -> str | None:
    try:
        return file_digest(path) if Path(path).is_file() else None  # a pipe or a device would never end
    except OSError:
        return None
