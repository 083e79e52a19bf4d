"""Dealing rows and groups of rows into parts: stratified by class, and the same on every machine."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_bench.equal_parts import hashed_order

Codes = NDArray[np.int64]


def factorised(values: NDArray[Any]) -> tuple[Codes, list[str]]:
    """Return a code per row and what it stands for, in sorted order; null is -1."""
    codes, uniques = pd.factorize(pd.Series(values, dtype=object), sort=True)
    return codes.astype(np.int64), [str(name) for name in uniques]


def connected(first: Codes, second: Codes) -> Codes:
    """Return a code per row, equal where rows are linked by ``first`` or by ``second`` in any number of steps."""
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    label = a.astype(np.int64)
    while True:
        for codes in (b, a):
            least = np.full(codes.max() + 1, len(label), dtype=np.int64)
            np.minimum.at(least, codes, label)
            merged = least[codes]
            if codes is a and (merged == label).all():
                return label
            label = merged


def evenly_drawn(
    rows: Codes, speakers: Codes, speaker_names: Sequence[str], ids: NDArray[Any], n: int, load: Codes, salt: str
) -> Codes:
    """Draw ``n`` of ``rows``, spread over their speakers as evenly as possible.

    Each pick goes to a speaker of whom the fewest rows are drawn here, then to one of whom the fewest are drawn at
    all (``load``), then by SHA-256; which of the speaker's rows it is, SHA-256 decides too.

    Args:
        rows: Positions to draw from.
        speakers: Speaker code per row of the table.
        speaker_names: Name per speaker code.
        ids: A stable name per row of the table.
        n: How many to draw; all of ``rows`` where there are fewer.
        load: Rows drawn so far per speaker code; counted up.
        salt: What else the order hangs on.

    Returns:
        The drawn positions, ascending.
    """
    left = np.bincount(speakers[rows], minlength=len(speaker_names))
    present = np.flatnonzero(left)
    order = hashed_order([speaker_names[int(speaker)] for speaker in present], salt)
    turns = [(0, int(load[speaker]), turn, int(speaker)) for turn, speaker in enumerate(present[order])]
    heapq.heapify(turns)
    picks: dict[int, int] = {}
    for _ in range(min(n, len(rows))):
        here, there, turn, speaker = heapq.heappop(turns)
        picks[speaker] = here + 1
        load[speaker] += 1
        if here + 1 < left[speaker]:
            heapq.heappush(turns, (here + 1, there + 1, turn, speaker))
    drawn = []
    own = rows[np.isin(speakers[rows], list(picks))]
    for speaker, n_picked in picks.items():
        of = own[speakers[own] == speaker]
        drawn.append(of[hashed_order([str(ids[row]) for row in of], salt)[:n_picked]])
    return np.sort(np.concatenate(drawn)) if drawn else rows[:0]
