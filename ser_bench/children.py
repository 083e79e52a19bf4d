"""Children of utterances: listed after the fold, for training rows only; or before it, as a declared mistake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_bench import machine
from ser_bench.augment import PACKAGES, Augment, Seeded
from ser_bench.errors import UsageError, did_you_mean
from ser_bench.protocols import Fold
from ser_bench.protocols.check import Identities, check_folds
from ser_bench.protocols.fold import EMPTY, merged
from ser_bench.store import digest
from ser_bench.training_rows import with_children
from ser_bench.utterances import UtteranceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A sound made from an utterance.

    Attributes:
        parent: The utterance's row in the table.
        utterance_id: A name of its own, which begins with the utterance's.
        content_id: Digest of the utterance's samples.
        key: What its features are stored under: a digest of those samples, the transforms with their seeds, and the
            code that does them. It names no fold.
        transforms: What was done, in order.
    """

    parent: int
    utterance_id: str
    content_id: str
    key: str
    transforms: tuple[Seeded, ...]


def code_digest() -> str:
    """Return a digest of the code that decides a child's samples, beside the decoder's."""
    return digest(machine.source_digest("augment.py"), json.dumps(machine.package_versions(PACKAGES), sort_keys=True))


def list_children(
    entries: Sequence[Augment],
    table: UtteranceTable,
    classes: NDArray[np.int64],
    names: Sequence[str],
    rows: NDArray[np.integer],
) -> tuple[Child, ...]:
    """Return the children of ``rows``, utterance after utterance.

    Args:
        entries: The suite's ``[[augment]]``.
        table: The utterances.
        classes: Class index per row of the table.
        names: The classes' names.
        rows: Whose children to list, as positions.

    Raises:
        UsageError: If an entry names a class that the label scheme does not have.
    """
    for number, entry in enumerate(entries, start=1):
        check_classes(entry.classes, names, f"augment, entry {number}: classes")
    ids, contents, code = table.column("utterance_id"), table.column("content_id"), code_digest()
    children = []
    for row in rows.tolist():
        for number, entry in enumerate(entries, start=1):
            if entry.classes and names[classes[row]] not in entry.classes:
                continue
            for copy in range(1, entry.copies + 1):
                transforms = entry.transforms(contents[row], copy)
                children.append(
                    Child(
                        parent=row,
                        utterance_id=f"{ids[row]}~{number}.{copy}-{entry.name}",
                        content_id=contents[row],
                        key=digest(contents[row], *(one.key for one in transforms), code),
                        transforms=transforms,
                    )
                )
    return tuple(children)


def after_split(
    entries: Sequence[Augment],
    table: UtteranceTable,
    classes: NDArray[np.int64],
    names: Sequence[str],
    folds: Sequence[Fold],
    *,
    disjoint_sentences: bool,
) -> tuple[Child, ...]:
    """Return the children of all utterances that some fold is fitted on; arguments as of :func:`list_children`.

    Raises:
        LeakageError: From :func:`check_children`.
    """
    children = list_children(entries, table, classes, names, merged(*(fold.fitted for fold in folds)))
    check_children(table, folds, children, disjoint_sentences=disjoint_sentences)
    return children


def before_split(
    entries: Sequence[Augment], table: UtteranceTable, classes: NDArray[np.int64], names: Sequence[str]
) -> tuple[tuple[Child, ...], UtteranceTable, NDArray[np.int64]]:
    """Return the children of all utterances, and the table and classes with a row for each of them: a mistake.

    Arguments are those of :func:`list_children`.
    """
    children = list_children(entries, table, classes, names, np.arange(len(table)))
    parents = parents_of(len(table), children)
    grown = with_child_rows(table, children)
    return children, grown, classes[np.where(parents < 0, np.arange(len(parents)), parents)]


def check_classes(wanted: Iterable[str], names: Sequence[str], what: str) -> None:
    """Refuse names that are no class of the label scheme.

    Raises:
        UsageError: Naming the first.
    """
    for name in wanted:
        if name not in names:
            raise UsageError(f"{what}: {name!r} is no class of the label scheme" + did_you_mean(name, names))


def with_child_rows(table: UtteranceTable, children: Sequence[Child]) -> UtteranceTable:
    """Return the table with a row per child below it: its parent's but for id, ``parent``, samples and duration."""
    frame = table.frame.iloc[[child.parent for child in children]].reset_index(drop=True)
    frame = frame.assign(
        parent=frame["utterance_id"],
        utterance_id=pd.Series([child.utterance_id for child in children], dtype=object),
        content_id=pd.Series([child.key for child in children], dtype=object),
        duration_s=np.nan,
    )
    return UtteranceTable.concat([table, UtteranceTable.from_frame(frame)])


def check_children(
    table: UtteranceTable, folds: Iterable[Fold], children: Sequence[Child], *, disjoint_sentences: bool
) -> None:
    """Let :func:`~ser_bench.protocols.check_fold`'s rules judge every fit of every fold with its children.

    Looked at are the fit on the training side, those of the inner folds, and the refit on train + dev.

    Raises:
        LeakageError: If a child stands on a side without its parent, naming the first offenders.
    """
    parents = parents_of(len(table), children)
    grown = []
    for fold in folds:

        def fitted(rows: NDArray[np.int32]) -> NDArray[np.int32]:
            return with_children(rows.astype(np.int64), parents).astype(np.int32)

        inner = tuple((fitted(fit), judge) for fit, judge in fold.inner)
        grown += [
            replace(fold, train=fitted(fold.train), inner=inner),
            replace(fold, train=fitted(fold.fitted), dev=EMPTY, inner=()),
        ]
    check_folds(Identities.of(with_child_rows(table, children)), grown, disjoint_sentences=disjoint_sentences)


def parents_of(n: int, children: Sequence[Child]) -> NDArray[np.int64]:
    """Return for ``n`` utterances and their children below them the row that each was made from, -1 for utterances."""
    return np.concatenate([np.full(n, -1), [child.parent for child in children]]).astype(np.int64)


def in_words(entries: Sequence[Augment], folds: Sequence[Fold], children: Sequence[Child], *, rows: bool) -> str:
    """Return a note for boards: what children there are, and who is trained on them.

    Args:
        entries: The suite's ``[[augment]]``.
        folds: The folds.
        children: The children.
        rows: Whether they are rows of the table, dealt as utterances are.
    """
    kinds = "; ".join(entry.in_words() for entry in entries)
    if rows:
        return (
            f"Augmented before the split, a published mistake: {len(children):,} children ({kinds}, per utterance) are "
            "dealt at random like utterances, apart from their parents, and tested like them."
        )
    parents = np.array([child.parent for child in children], dtype=np.int64)
    n = [int(np.isin(parents, fold.fitted).sum()) for fold in folds]
    span = f"{n[0]:,}" if min(n) == max(n) else f"{min(n):,} to {max(n):,}"
    return (
        f"Augmented after the split, training rows only: {span} children per fold ({kinds}, per utterance); "
        "no child is judged or tested."
    )
