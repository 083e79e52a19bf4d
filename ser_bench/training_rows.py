"""Which rows a fit sees: its training rows, the children made from these, and repeats of rare classes.

A worker in another Python environment imports this module, so it must not need more than numpy.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def with_children(rows: Ints, parents: Ints) -> Ints:
    """Return ``rows``, then the children of these rows and of no others.

    Args:
        rows: Utterances, as positions.
        parents: For every position the one that it was made from, -1 for utterances.
    """
    return np.concatenate([rows, np.flatnonzero((parents >= 0) & np.isin(parents, rows))])


def with_repeats(rows: Ints, classes: Ints, rare: Iterable[int], seed: int) -> Ints:
    """Return ``rows``, then repeats of them, so that each class of ``rare`` is as frequent as the most frequent one.

    Every row of a class is repeated as often as any other, or once more; the seed decides which. A class without a
    row stays without.

    Args:
        rows: Positions.
        classes: Class index of every position.
        rare: The classes to raise.
        seed: What the choice hangs on.
    """
    parts = [rows]
    most = int(np.bincount(classes[rows]).max()) if len(rows) else 0
    for index in rare:
        own = rows[classes[rows] == index]
        if len(own):
            parts.append(np.resize(np.random.RandomState(seed).permutation(own), most - len(own)))
    return np.concatenate(parts)
