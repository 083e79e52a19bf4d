"""What two rows on the same utterances swap, and what a swap or a draw does to the difference of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ser_bench.metrics import METRICS, speaker_confusions
from ser_bench.predictions import Answers
from ser_bench.rating_metrics import RATING_METRICS, speaker_rating_sums
from ser_bench.stats import BOOTSTRAP_FROM, N_DRAWS, corpora_of, resampling_counts

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TESTED_FROM = 6
"""Speakers from which on a test over speakers can reach 5 %: below, inference is about these speakers only."""

ALL_SWAPS_TO = 13
"""Units up to which every swap is made; of more, :data:`~ser_bench.stats.N_DRAWS` are drawn."""

SWAPS_PER_ROW = 50
"""So many swaps per row of a large table: else none of its p-values could be below 5 % once they are corrected."""

_SEED = 19370119
_CHUNK_CELLS = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What is swapped and drawn: speakers, or utterances ``within`` their speakers.

    ``of`` is the unit of each column, ``strata`` a code per unit or None. ``why_not`` says why nothing can be swapped,
    and is empty where it can; ``interval`` says how the interval is made.
    """

    of: IntArray
    n: int
    strata: IntArray | None
    n_speakers: int
    within: bool = False
    why_not: str = ""
    interval: str = ""

    def method(self, n_swaps: int) -> str:
        """Return in words how p and interval are made."""
        if self.why_not:
            return self.why_not
        swaps = f"{'all ' if self.n <= ALL_SWAPS_TO else ''}{n_swaps:,} swaps of {self.n:,}"
        if not self.within:
            return f"{swaps} speakers; {self.interval}"
        who = "this speaker" if self.n_speakers == 1 else f"these {self.n_speakers} speakers"
        return f"{who} only: {swaps} utterances; {self.interval}"


def units_of(answers: Answers) -> Units:
    """Return what rows with these columns swap and draw."""
    n_unknown, n = int((answers.speakers < 0).sum()), len(answers.speaker_names)
    if n_unknown:
        why = f"none: {n_unknown:,} utterance{'s' * (n_unknown > 1)} of unknown speakers"
        return Units(of=answers.speakers * 0, n=1, strata=None, n_speakers=n, why_not=why)
    if n < TESTED_FROM:
        ids = answers.utterance_ids
        of = np.concatenate([[0], np.cumsum(ids[1:] != ids[:-1])]).astype(np.int64)
        starts = np.searchsorted(of, np.arange(of[-1] + 1))
        words = f"bootstrap of utterances within speakers, {N_DRAWS:,} draws"
        return Units(of=of, n=len(starts), strata=answers.speakers[starts], n_speakers=n, within=True, interval=words)
    strata = corpora_of(answers.speaker_names)
    n_corpora = 1 if strata is None else int(strata.max()) + 1
    words = f"cluster bootstrap over {n} speakers, {N_DRAWS:,} draws"
    if n < BOOTSTRAP_FROM:
        words = f"delete-one-speaker jackknife, t({n - n_corpora})"
    return Units(
        of=answers.speakers,
        n=n,
        strata=strata,
        n_speakers=n,
        interval=f"{words}{', within each corpus' if n_corpora > 1 else ''}",
    )


def draws_of(units: Units, width: int) -> Iterator[FloatArray]:
    """Yield how often each draw takes each unit, shape (chunk, n_units), chunks fit for ``width`` numbers a draw."""
    return resampling_counts(units.n, max(1, _CHUNK_CELLS // max(units.n, width)), units.strata)


def n_swaps(units: Units, n_rows: int) -> int:
    """Return how many swaps a table of so many rows takes: all, or more than its corrected p-values need."""
    if units.n <= ALL_SWAPS_TO:
        return 2 ** (units.n - 1)
    return max(N_DRAWS, 0 if units.within else SWAPS_PER_ROW * n_rows)


def sign_flips(n_units: int, n: int, width: int) -> Iterator[FloatArray]:
    """Yield -1 for each unit that is swapped, else 1, shape (chunk, n_units): ``n`` of them, chunks as in the draws.

    Swapping all the others gives the same difference with the other sign, so of few units the last never is. More
    swaps start with the same ones as fewer.
    """
    chunk, random = max(1, _CHUNK_CELLS // max(n_units, width)), np.random.RandomState(_SEED)
    for start in range(0, n, chunk):
        at = np.arange(start, min(start + chunk, n))
        if n_units > ALL_SWAPS_TO:
            bits = random.randint(2, size=(len(at), n_units), dtype=np.int64)
        else:
            bits = at[:, None] >> np.arange(n_units) & 1
        yield np.asarray(1 - 2 * bits, dtype=np.float64)


class Gaps(Protocol):
    """Differences of one row and several; ``width`` is how many numbers a draw or a swap costs."""

    width: int

    def values(self) -> FloatArray:
        """Return the differences as they are, shape (n_rows,)."""

    def differences(self, times: FloatArray) -> FloatArray:
        """Return them with each unit taken so many times, shape (n_draws, n_rows)."""

    def flipped(self, signs: FloatArray) -> FloatArray:
        """Return them with the units of sign -1 swapped, shape (n_swaps, n_rows)."""


class Cells:
    """The columns counted by unit and true class, in the order of units."""

    def __init__(self, units: Units, classes: NDArray[Any]) -> None:
        used, code = np.unique(classes, return_inverse=True)
        cells, self._of = np.unique(units.of * len(used) + code, return_inverse=True)
        self.unit, self.code = cells // len(used), cells % len(used)
        self.n = np.bincount(self._of).astype(np.float64)
        self.spoken = np.zeros((units.n, len(used)))
        self.spoken[self.unit, self.code] = self.n
        self.starts = np.searchsorted(self.unit, np.arange(units.n))

    def count(self, hits: FloatArray) -> FloatArray:
        """Return the hits of each cell, of a share per column."""
        return np.bincount(self._of, weights=hits, minlength=len(self.n)).astype(np.float64)

    def worth(self, times: FloatArray) -> FloatArray:
        """Return what a hit in each cell adds to the score of each draw, shape (n_draws, n_cells)."""
        spoken = times @ self.spoken
        whole = (spoken > 0).sum(axis=1, keepdims=True) * spoken
        share = np.divide(1.0, whole, out=np.zeros_like(whole), where=whole > 0)
        return times[:, self.unit] * share[:, self.code]


class HitGaps:
    """UAR and WAR: sums over cells, so that all rows are one product."""

    def __init__(self, cells: Cells, lines: FloatArray) -> None:
        self._cells, self._lines = cells, lines
        self.width = max(len(lines), len(cells.n))
        worth = cells.worth(np.ones((1, len(cells.spoken))))
        self._shares = np.add.reduceat(worth * lines, cells.starts, axis=1)

    def values(self) -> FloatArray:
        """Return the differences as they are."""
        return self._shares.sum(axis=1)

    def differences(self, times: FloatArray) -> FloatArray:
        """Return them with each unit taken so many times."""
        return self._cells.worth(times) @ self._lines.T

    def flipped(self, signs: FloatArray) -> FloatArray:
        """Return them with some units swapped."""
        return signs @ self._shares.T


class SumGaps:
    """Any score of sums over units, row by row; with unequal numbers of seeds each meets each."""

    def __init__(self, ours: Sequence[FloatArray], theirs: FloatArray, statistic: Callable[[Any], FloatArray]) -> None:
        self._ours, self._theirs, self._score = ours, theirs, statistic
        self.width = math.prod(theirs.shape[2:]) * max(math.lcm(len(theirs), len(one)) for one in ours)

    def values(self) -> FloatArray:
        """Return the differences as they are."""
        return self.differences(np.ones((1, self._theirs.shape[1])))[0]

    def differences(self, times: FloatArray) -> FloatArray:
        """Return them with each unit taken so many times."""
        theirs = self._mean(np.einsum("bu,su...->bs...", times, self._theirs, optimize=True))
        ours = [self._mean(np.einsum("bu,su...->bs...", times, one, optimize=True)) for one in self._ours]
        return np.stack([theirs - one for one in ours], axis=1)

    def flipped(self, signs: FloatArray) -> FloatArray:
        """Return them with some units swapped."""
        swapped = (1 - signs) / 2
        found = []
        for one in self._ours:
            n_seeds = math.lcm(len(one), len(self._theirs))
            ours, theirs = (of[np.arange(n_seeds) % len(of)] for of in (one, self._theirs))
            moved = np.einsum("bu,su...->bs...", swapped, theirs - ours, optimize=True)
            found.append(self._mean(theirs.sum(axis=1) - moved) - self._mean(ours.sum(axis=1) + moved))
        return np.stack(found, axis=1)

    def _mean(self, sums: FloatArray) -> FloatArray:
        return np.asarray(self._score(sums).mean(axis=1))


def sums_of(truth: NDArray[Any], lines: NDArray[Any], unit: IntArray, n_classes: int) -> NDArray[Any]:
    """Return sums by seed and unit: confusion matrices, or the products of :mod:`ser_bench.rating_metrics`."""
    if n_classes:
        return np.stack([speaker_confusions(truth, line, unit, n_classes) for line in lines])
    return np.stack([speaker_rating_sums(truth, line, unit) for line in lines])


def statistic_of(primary: str) -> Callable[[Any], FloatArray]:
    """Return the score by its name in a record."""
    return {**METRICS, **RATING_METRICS}[primary]
