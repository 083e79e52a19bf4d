"""Feature matrices: extracted in parallel into the store, laid out once for all cells of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.audio import AudioSource
from ser_bench.cells import ORACLE, Row, feature_digest, oracle_values, slug
from ser_bench.children import Child
from ser_bench.features.contract import FeatureSet
from ser_bench.features.tables import TableRows, table_of
from ser_bench.normalise import near_constant_columns
from ser_bench.prepare import Prepared, Workshop, is_cross_corpus
from ser_bench.store import PackedStore, digest
from ser_bench.suites import Suite

_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A feature set over the table, as workers map it.

    Attributes:
        values: ``.npy`` file with one row per utterance (vectors) or frame.
        offsets: ``.npy`` file with the utterances' offsets, or None for vectors.
        columns: Column names.
        warnings: What a reader of a score should know of the values.
    """

    values: str
    offsets: str | None
    columns: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def lay_out(
    rows: Sequence[Row], prepared: Prepared, suite: Suite, workshop: Workshop, *, canary: str | None, scratch: Path
) -> dict[str | None, Features | str]:
    """Extract what is missing for ``rows``, every utterance decoded once for all sets, and lay out the matrices.

    Returns:
        Feature set -> its matrix, or why there is none (None: the matrix of models that look at no values).
    """
    laid: dict[str | None, Features | str] = {}
    sets = {row.features: row.feature_set for row in rows if row.features and row.feature_set}
    if any(row.feature_set is None for row in rows):
        laid[None] = _tickets(prepared, scratch)
    if canary == ORACLE:
        for name, found in sets.items():
            values, offsets = oracle_values(found, prepared)
            laid[name] = _laid_out(scratch, name, found.kind, found.columns, values, offsets)
        return laid
    for name, found in sets.items():
        if table := table_of(found):
            augmented = any(row.augment and row.features == name for row in rows)
            laid[name] = _joined(table, found, prepared, scratch, augmented and bool(prepared.children))
    sets = {name: found for name, found in sets.items() if name not in laid}
    keys = prepared.sound_keys
    child = {one.key: one for one in prepared.children + prepared.child_rows}
    source = dict(zip(keys, prepared.sources(), strict=True))
    stores, failed = extract(sets, source, child, workshop, suite.sample_rate_hz)
    for name, found in sets.items():
        bad = stores[name].missing(keys)
        if bad:
            path = prepared.table.column("path")[prepared.origins[keys.index(bad[0])]]
            laid[name] = (
                f"features {name}: {len(bad)} utterances failed, first {path}: {failed.get(bad[0], 'no answer')}"
            )
            continue
        target = _target(scratch, name)
        offsets = stores[name].gather(keys, target)
        laid[name] = _described(found, target, offsets, prepared, is_cross_corpus(suite))
    return laid


def _tickets(prepared: Prepared, scratch: Path) -> Features:
    """Return what models that look at no features are fed: a number drawn from each utterance's digest.

    It tells utterances apart (a chance model throws its die per utterance) and tells nothing about their sound.
    """
    numbers = [int(content[:6], 16) / 2**24 for content in prepared.sound_keys]
    np.save(scratch / "tickets.npy", np.array(numbers, dtype=np.float32)[:, None])
    return Features(values=str(scratch / "tickets.npy"), offsets=None, columns=("ticket",))


def extract(
    sets: Mapping[str, FeatureSet],
    source: Mapping[str, AudioSource],
    child: Mapping[str, Child],
    workshop: Workshop,
    suite_rate_hz: int,
) -> tuple[dict[str, PackedStore], dict[str, str]]:
    """Extract what is missing, every utterance decoded once for all sets.

    Args:
        sets: Name -> feature set.
        source: What the features are stored under -> where the sound lies. Of an utterance it is the ``content_id``.
        child: Those of them that are children.
        workshop: Store, executor, progress.
        suite_rate_hz: Rate of sets that state none.

    Returns:
        The sets' stores, and for what could not be extracted the reason.
    """
    stores = {
        name: PackedStore(workshop.store / "features" / f"{slug(name)}-{feature_digest(name, found, suite_rate_hz)}")
        for name, found in sets.items()
    }
    return stores, _extract(
        stores, source, child, workshop, {name: found.rate_hz(suite_rate_hz) for name, found in sets.items()}
    )


def _extract(
    stores: Mapping[str, PackedStore],
    source: Mapping[str, AudioSource],
    child: Mapping[str, Child],
    workshop: Workshop,
    rates_hz: Mapping[str, int | None],
) -> dict[str, str]:
    for store in stores.values():
        store.set_damaged_aside(source)
    missing = {name: set(store.missing(source)) for name, store in stores.items()}
    todo = [key for key in source if any(key in keys for keys in missing.values())]
    failed: dict[str, str] = {}
    if not todo:
        return failed
    step = workshop.progress(f"features ({', '.join(n for n, keys in missing.items() if keys)})", len(todo))

    def submit(keys: Sequence[str]) -> Future[dict[str, Any]]:
        items = [
            [
                k,
                os.fsencode(source[k].path),
                source[k].start_s,
                source[k].end_s,
                [n for n, keys in missing.items() if k in keys],
                *([child[k].content_id, [t.to_plain() for t in child[k].transforms]] if k in child else [k, []]),
            ]
            for k in keys
        ]
        sets = {name: [str(store.folder), rates_hz[name]] for name, store in stores.items() if missing[name]}
        # Workers of their own: a cell may have left a framework in the others beside which openSMILE can't start.
        return workshop.submit({"task": "features", "items": items, "sets": sets}, framework="features")

    batches = [todo[at : at + _BATCH] for at in range(0, len(todo), _BATCH)]
    first = submit(batches[0])
    wait([first])  # on a fresh machine librosa compiles its kernels now: once, not in every worker at the same time
    pending = {first: batches[0]} | {submit(batch): batch for batch in batches[1:]}
    while pending:
        retry: dict[Future[dict[str, Any]], list[str]] = {}
        for future in as_completed(list(pending)):
            batch, answer = pending[future], future.result()
            if answer["ok"]:
                failed |= answer["failed"]
                step(len(batch))
            elif len(batch) == 1:
                failed[batch[0]] = answer["reason"]
                step(1)
            else:  # one utterance took the worker down; the others are asked for again, one at a time
                retry |= {submit([key]): [key] for key in batch}
        pending = retry
    for store in stores.values():
        store.refresh()
    return failed


def _laid_out(
    scratch: Path,
    name: str,
    kind: str,
    columns: tuple[str, ...],
    values: NDArray[np.float32],
    offsets: NDArray[np.int64],
) -> Features:
    target = _target(scratch, name)
    np.save(target, values)
    return Features(values=str(target), offsets=_offsets_file(target, offsets, kind), columns=columns)


def _target(scratch: Path, name: str) -> Path:
    return scratch / f"{slug(name)[-40:]}-{digest(name)[:8]}.npy"  # names can be paths, and slugs alike


def _joined(table: TableRows, found: FeatureSet, prepared: Prepared, scratch: Path, augmented: bool) -> Features | str:
    """Return a table's values of the utterances; why there are none for a model that is fed their children, too."""
    if augmented:
        return f"features {found.name}: a table made elsewhere holds no augmented children: augment = false"
    target = _target(scratch, table.sha256)
    np.save(target, table.of(list(prepared.table.column("utterance_id"))))
    told = f"{found.name} was made elsewhere: its cost is not known, nor on which utterances it was fitted, if on any"
    features = _described(found, target, np.empty(0, dtype=np.int64), prepared, cross_corpus=False)
    return replace(features, warnings=(told, *features.warnings))


def _offsets_file(target: Path, offsets: NDArray[np.int64], kind: str) -> str | None:
    if kind == "vector":
        return None
    path = target.with_suffix(".offsets.npy")
    np.save(path, offsets)
    return str(path)


def _described(
    found: FeatureSet, target: Path, offsets: NDArray[np.int64], prepared: Prepared, cross_corpus: bool
) -> Features:
    """Return the laid-out features, with a warning for columns that are (nearly) constant within a corpus."""
    warnings = []
    if found.kind == "vector":
        values = np.load(target, mmap_mode="r", allow_pickle=False)[: len(prepared.table)]
        corpora = prepared.table.column("corpus")
        for name in dict.fromkeys(corpora):
            columns = near_constant_columns(np.asarray(values[corpora == name]))
            if len(columns):
                first = ", ".join(found.columns[i] for i in columns[:3])
                share = f"{len(columns)} of {len(found.columns)} columns"
                warnings.append(f"{found.name}: {share} are (nearly) constant on {name} (first: {first})")
    if cross_corpus and not found.level_free:
        warnings.append(f"{found.name}: depends on the recording level, which differs between corpora")
    return Features(
        values=str(target),
        offsets=_offsets_file(target, offsets, found.kind),
        columns=found.columns,
        warnings=tuple(warnings),
    )
