"""Features of test audio under stress: per condition extracted into the store, and laid out for the cells of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ser_bench.cells import Cell, conditions_of, slug
from ser_bench.children import Child, code_digest
from ser_bench.matrices import extract
from ser_bench.prepare import Prepared, Workshop
from ser_bench.protocols.fold import merged
from ser_bench.store import PackedStore, digest
from ser_bench.stress import read_condition
from ser_bench.suites import Suite

Stressed = dict[str | None, dict[str, Any] | str]
"""Feature set -> what a cell's task says of its stress, or why its features can't be had."""


def lay_out_stressed(
    cells: Sequence[Cell], prepared: Prepared, suite: Suite, workshop: Workshop, scratch: Path
) -> Stressed:
    """Extract what is missing of the rows that ``cells`` test, under the suite's conditions, and lay out the matrices.

    A changed sound is stored as a child of its utterance is: under the utterance's samples, the transforms with their
    seeds, and the code that does them.
    """
    cells = [cell for cell in cells if conditions_of(cell.row, suite) and not cell.row.members]
    sets = {cell.row.features: cell.row.feature_set for cell in cells if cell.row.features and cell.row.feature_set}
    if not sets:
        return {}
    rows = merged(*(prepared.split.folds[cell.fold].test for cell in cells))
    np.save(scratch / "stressed.npy", rows)
    changed = {name: _changed(prepared, rows.tolist(), name) for name in suite.stress}
    child = {one.key: one for children in changed.values() for one in children}
    source = prepared.sources()
    sources = {key: replace(source[one.parent], transforms=one.transforms) for key, one in child.items()}
    stores, failed = extract(sets, sources, child, workshop, suite.sample_rate_hz)
    laid: Stressed = {}
    for name, found in sets.items():
        matrices = [
            _matrix(stores[name], f"{name} under {condition}", children, failed, scratch)
            for condition, children in changed.items()
        ]
        conditions = [
            [condition, values, offsets if found.kind == "frames" else None]
            for condition, (values, offsets, _) in zip(changed, matrices, strict=True)
        ]
        why = next((why for *_, why in matrices if why), None)
        laid[name] = why or {"rows": str(scratch / "stressed.npy"), "conditions": conditions}
    return laid


def _changed(prepared: Prepared, rows: Sequence[int], name: str) -> list[Child]:
    """Return the rows under a condition; one that is a child itself is changed once more."""
    condition, code = read_condition(name), code_digest()
    keys, ids = prepared.sound_keys, prepared.table.column("utterance_id")
    first = len(prepared.table) - len(prepared.child_rows)
    children = []
    for row in rows:
        own = prepared.child_rows[row - first] if row >= first else None
        transforms = condition.transforms(keys[row])
        children.append(
            Child(
                parent=row,
                utterance_id=f"{ids[row]}~{name}",
                content_id=own.content_id if own else keys[row],
                key=digest(keys[row], *(one.key for one in transforms), code),
                transforms=(*(own.transforms if own else ()), *transforms),
            )
        )
    return children


def _matrix(
    store: PackedStore, what: str, children: Sequence[Child], failed: dict[str, str], scratch: Path
) -> tuple[str, str, str | None]:
    """Return the files of the values and of their offsets, or why there are none."""
    keys = [one.key for one in children]
    target = scratch / f"{slug(what)[-40:]}-{digest(what)[:8]}.npy"
    offsets = target.with_suffix(".offsets.npy")
    why = None
    if bad := store.missing(keys):
        first = children[keys.index(bad[0])].utterance_id
        why = f"features {what}: {len(bad)} utterances failed, first {first}: {failed.get(bad[0], 'no answer')}"
    else:
        np.save(offsets, store.gather(keys, target))
    return str(target), str(offsets), why
