"""Dealing groups of rows into parts that each get their share of every class, the same on every machine.

A worker in another Python environment imports this module, so it must not need more than numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import DataError

Ints = NDArray[np.int64]


def hashed_order(names: Sequence[str], salt: str, within: Ints | None = None) -> Ints:
    """Return the positions of ``names`` ordered by the SHA-256 of salt and name, first by ``within`` where given."""
    start = hashlib.sha256(f"{salt}\x1f".encode("utf-8", "surrogateescape"))
    digests = bytearray()
    for name in names:
        one = start.copy()
        one.update(name.encode("utf-8", "surrogateescape"))
        digests += one.digest()
    words = np.frombuffer(bytes(digests), dtype=">u8").reshape(-1, 4)
    keys = [words[:, 3], words[:, 2], words[:, 1], words[:, 0]]
    return np.lexsort(keys if within is None else [*keys, within]).astype(np.int64)


def stratified_parts(counts: Ints, names: Sequence[str], k: int, salt: str) -> Ints:
    """Deal groups into ``k`` parts so that every part gets its share of every class.

    Groups are dealt from the largest to the smallest (ties by SHA-256 of salt and name), each to the part
    whose class shares overlap least with its own; that is the greedy step which minimises the squared deviation of all
    parts' class shares from 1/k.

    Args:
        counts: Rows per group and class, shape (n_groups, n_classes).
        names: A stable name per group.
        k: Number of parts.
        salt: What else the order hangs on (the protocol's seed).

    Returns:
        The part of each group, shape (n_groups,); with fewer groups than parts some parts stay empty.
    """
    share = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    size = counts.sum(axis=1)
    filled = np.zeros((k, counts.shape[1]))
    rows = np.zeros(k, dtype=np.int64)
    part = np.empty(len(names), dtype=np.int64)
    for group in hashed_order(names, salt, -size):
        overlap = np.round(filled @ share[group], 12)
        best = int(np.lexsort((rows, overlap))[0])
        part[group] = best
        filled[best] += share[group]
        rows[best] += size[group]
    return part


def speaker_folds(speakers: Ints, classes: Ints, k: int) -> list[tuple[Ints, Ints]]:
    """Return up to ``k`` pairs (fit, judge) of positions among training rows; no speaker stands on both sides.

    Each known speaker is judged in one pair and fitted on in the others. A row of an unknown speaker stands in none,
    since nobody can tell who shares it. Nothing is drawn: speakers are dealt by how much they speak of each class, and
    the order of their codes.

    Args:
        speakers: A code per row, in the order of the speakers' names; -1 for unknown.
        classes: Class index per row.
        k: Number of folds; with fewer speakers there are as many folds as speakers.

    Raises:
        DataError: If fewer than two speakers are known.
    """
    known = np.flatnonzero(speakers >= 0)
    present, place = np.unique(speakers[known], return_inverse=True)
    if len(present) < 2:
        raise DataError(
            f"inner folds are grouped by speaker, and the {len(speakers)} training rows have {len(present)} known "
            "speaker(s); at least 2 expected"
        )
    counts = np.zeros((len(present), int(classes[known].max()) + 1), dtype=np.int64)
    np.add.at(counts, (place, classes[known]), 1)
    names = [str(number) for number in range(len(present))]
    part = stratified_parts(counts, names, min(k, len(present)), "inner folds")[place]
    return [(known[part != number], known[part == number]) for number in range(part.max() + 1)]
