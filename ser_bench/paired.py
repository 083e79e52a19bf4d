"""Rows on the same utterances: how much better one is than another, how sure that is, and who shares a rank.

With ``S_a``, ``S_b`` the scores of two rows (each the mean over its seeds of the score of its pooled test rows) the
difference is ``S_b - S_a``. The unit that is swapped and drawn is a speaker, with all that was said and all seeds:

================  ===========================================================================================
test              the two rows swap their answers for a random set of speakers; for UAR and WAR these are sign
                  flips of the speakers' shares of the difference, ``sum_k (hits_b - hits_a) / (K n_k)``
p                 two-sided share of swaps with at least this difference: all ``2^(G-1)`` of up to 13 speakers,
                  else ``(1 + count) / (1 + 10,000)`` of drawn ones
interval          from 20 speakers the bootstrap over speakers, below the delete-one-speaker jackknife with t, as in
                  :mod:`ser_bench.stats`; where several corpora are tested speakers are drawn within their corpus
detectable        ``(t_.975 + t_.8) se``: found four times in five at 5 %, if the spread is the one seen here
below 6 speakers  ``2 / 2^G > 5 %``: no test over speakers can reach 5 %. Utterances are swapped, and drawn within
                  their speakers: the answer is about these speakers only, and says so
================  ===========================================================================================

Seeds are averaged within their speaker, so neither p nor interval speaks of other seeds: their spread is a component
of its own (:func:`seed_spread`), to be read beside a difference.

Sources: E. Pitman (1937) J. R. Stat. Soc. Suppl. 4:119-130 for the test, B. Phipson & G. Smyth (2010) Stat. Appl.
Genet. Mol. Biol. 9(1):39 for its p, Q. McNemar (1947) Psychometrika 12:153-157, S. Holm (1979) Scand. J. Stat. 6:65-70.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import DataError
from ser_bench.predictions import Answers
from ser_bench.rating_metrics import BOUNDS
from ser_bench.stats import BOOTSTRAP_FROM, LEVEL, jackknife_error, t_quantile
from ser_bench.swaps import (
    ALL_SWAPS_TO,
    TESTED_FROM,
    Cells,
    Gaps,
    HitGaps,
    SumGaps,
    draws_of,
    n_swaps,
    sign_flips,
    statistic_of,
    sums_of,
    units_of,
)

FloatArray = NDArray[np.float64]

__all__ = [
    "ALPHA",
    "TESTED_FROM",
    "Paired",
    "Pairing",
    "compare_rows",
    "holm",
    "rank_groups",
    "seed_scores",
    "seed_spread",
]

ALPHA = 1 - LEVEL
POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The difference of two rows on the same utterances.

    Attributes:
        value: ``theirs`` less ``ours``, each the mean over its seeds of the score of its pooled rows; None where a
            score is undefined.
        low: Lower bound of the interval, of 95 % unless another level was asked for; None where there is none.
        high: Upper bound.
        p: Two-sided; None where speakers are unknown, or a score is undefined.
        p_naive: McNemar's exact test of the first seeds, which takes utterances as independent; None for numbers.
        detectable: The smallest difference that would be found four times in five at 5 %, given the spread seen here;
            None where no two units differ.
        method: How p and interval were made, or ``none: `` and why there are none.
        n_speakers: Known speakers.
        n: Utterances.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_naive: float | None
    detectable: float | None
    method: str
    n_speakers: int
    n: int


def compare_rows(ours: Answers, theirs: Answers, *, n_classes: int, primary: str, level: float = LEVEL) -> Paired:
    """Return ``theirs`` less ``ours`` on the same utterances, with interval and p.

    Args:
        ours: A row's answers; the base, say.
        theirs: Another row's answers for the same utterances; the head, say.
        n_classes: Number of classes (``len(record.suite.classes)``); 0 for numbers.
        primary: The score: a key of ``METRICS`` or ``RATING_METRICS``.
        level: What the interval covers, of both sides together: 0.9 where each bound is to hold with 95 %.

    Raises:
        DataError: If the two rows answer for other utterances, speakers or truths.
    """
    return Pairing([ours, theirs], n_classes=n_classes, primary=primary).compare([0], 1, level)[0]


def seed_scores(answers: Answers, *, n_classes: int, primary: str) -> FloatArray:
    """Return the score of each seed's pooled rows, shape (n_seeds,); NaN where it is undefined."""
    everybody = np.zeros(len(answers.truth), dtype=np.int64)
    sums, statistic = sums_of(answers.truth, answers.predicted, everybody, n_classes), statistic_of(primary)
    return statistic(sums[:, 0].astype(np.float64))


def seed_spread(answers: Answers, *, n_classes: int, primary: str) -> float | None:
    """Return the standard deviation (n - 1) over seeds of the score of the pooled rows; None for a single seed.

    It is the variance component that neither interval nor p holds: what training again, with another seed, changes.
    """
    if len(answers.seeds) < 2:
        return None
    return _known(float(np.std(seed_scores(answers, n_classes=n_classes, primary=primary), ddof=1)))


def holm(p: Sequence[float] | FloatArray) -> FloatArray:
    """Return the p-values corrected for their number, in the order given (S. Holm, 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(corrected, 1.0)


def rank_groups(
    scores: Sequence[float], p_against: Callable[[int, Sequence[int]], Sequence[float] | FloatArray]
) -> list[int]:
    """Return the rank of each row; rows that can't be told from the leader of their group share it.

    The best row leads the first group. Going down by score, the first row that is significantly worse than the group's
    leader leads the next group; all between share the rank, which is 1 plus the number of rows in better groups. Rows
    are compared with the leader of their time only. p is corrected by Holm's method for all comparisons that the
    table has made so far, and two-sided at 5 %.

    Args:
        scores: The larger the better; of equals the first leads.
        p_against: Returns the p-values of rows (second argument) against a leader (first); NaN where nobody can tell,
            which is no difference.
    """
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    ranks = [1] * len(order)
    made: list[float] = []
    first = 0
    while first < len(order):
        rest = order[first + 1 :]
        made += np.nan_to_num(np.asarray(p_against(order[first], rest), dtype=np.float64), nan=1.0).tolist()
        worse = holm(made)[len(made) - len(rest) :] < ALPHA
        n_sharing = 1 + (int(worse.argmax()) if worse.any() else len(rest))
        for row in order[first : first + n_sharing]:
            ranks[row] = 1 + first
        first += n_sharing
    return ranks


class Pairing:
    """Rows that answer for the same utterances, laid out so that comparing one with many is a product of matrices."""

    def __init__(self, rows: Iterable[Answers], *, n_classes: int, primary: str) -> None:
        """Take the rows in as :meth:`add` does; at least one has to be there before any is compared.

        Args:
            rows: Their answers.
            n_classes: Number of classes; 0 for numbers.
            primary: As in :func:`compare_rows`.
        """
        self._n_classes, self._primary = n_classes, primary
        self._first: Answers | None = None
        self._lines: list[NDArray[Any]] = []
        self._right: list[NDArray[np.bool_]] = []
        for answers in rows:
            self.add(answers)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._lines)

    @property
    def least_p(self) -> float:
        """The least p that a comparison of these rows can have, before any correction."""
        drawn = self.units.n > ALL_SWAPS_TO
        return 1 / (drawn + self._n_swaps)

    @property
    def _n_swaps(self) -> int:
        return n_swaps(self.units, len(self))

    def add(self, answers: Answers) -> None:
        """Add a row at the end; only what the comparison needs of it is kept.

        Raises:
            DataError: If it answers for other utterances, speakers or truths than the first.
        """
        if self._first is None:
            self._first, self.units = answers, units_of(answers)
            by_class = answers.truth if self._primary == "uar" else np.zeros_like(answers.truth)
            self._cells = Cells(self.units, by_class) if self._primary in ("uar", "war") else None
        _check_same(self._first, answers)
        right = answers.predicted == answers.truth
        self._right.append(right[0])
        self._lines.append(answers.predicted if self._cells is None else self._cells.count(right.mean(axis=0)))

    def p_values(self, ours: Sequence[int], theirs: int) -> FloatArray:
        """Return the p of rows (positions) against another one, shape (len(ours),); NaN where there is none."""
        if not ours or self.units.why_not:
            return np.full(len(ours), np.nan)
        gaps = self._gaps(ours, theirs)
        # a swap that gives the same difference but for rounding counts as one that gives the same
        bound = np.abs(gaps.values()) * (1 - 1e-9) - 1e-12
        n_small = np.zeros(len(ours), dtype=np.int64)
        for signs in sign_flips(self.units.n, self._n_swaps, gaps.width):
            swapped = gaps.flipped(signs)
            n_small += np.count_nonzero(np.abs(swapped, out=swapped) < bound, axis=0)
        drawn = self.units.n > ALL_SWAPS_TO
        return np.where(np.isnan(bound), np.nan, (drawn + self._n_swaps - n_small) / (drawn + self._n_swaps))

    def compare(self, ours: Sequence[int], theirs: int, level: float = LEVEL) -> list[Paired]:
        """Return the row ``theirs`` less each of ``ours`` (positions), with intervals that cover ``level``."""
        if not ours:
            return []
        assert self._first is not None
        values, p = self._gaps(ours, theirs).values(), self.p_values(ours, theirs)
        low, high, error, df = self._intervals(ours, theirs, values, level)
        detectable = (t_quantile(df, (1 + LEVEL) / 2) + t_quantile(df, POWER)) * error
        naive = self._naive(ours, theirs)
        return [
            Paired(
                value=_known(values[i]),
                low=_known(low[i]),
                high=_known(high[i]),
                p=_known(p[i]),
                p_naive=_known(naive[i]),
                detectable=_known(detectable[i]) or None,
                method="none: a score is undefined" if math.isnan(values[i]) else self.units.method(self._n_swaps),
                n_speakers=self.units.n_speakers,
                n=len(self._first.truth),
            )
            for i in range(len(ours))
        ]

    def _gaps(self, ours: Sequence[int], theirs: int) -> Gaps:
        if self._cells is not None:
            lines = np.stack([self._lines[theirs] - self._lines[row] for row in ours])
            return HitGaps(self._cells, lines)
        assert self._first is not None
        truth, unit = self._first.truth, self.units.of
        sums = [sums_of(truth, self._lines[row], unit, self._n_classes).astype(np.float64) for row in (*ours, theirs)]
        return SumGaps(sums[:-1], sums[-1], statistic_of(self._primary))

    def _intervals(
        self, ours: Sequence[int], theirs: int, values: FloatArray, level: float
    ) -> tuple[FloatArray, FloatArray, FloatArray, int]:
        """Return low, high, standard error, shape (len(ours),) each, and the degrees of freedom."""
        units, gaps = self.units, self._gaps(ours, theirs)
        df = max(1, units.n - (1 if units.strata is None else len(np.unique(units.strata))))
        if units.why_not:
            nothing = np.full(len(values), np.nan)
            return nothing, nothing, nothing, df
        if not units.within and units.n < BOOTSTRAP_FROM:
            error = jackknife_error(gaps.differences(1 - np.eye(units.n)), units.strata)
            half = t_quantile(df, (1 + level) / 2) * error
            lowest, highest = BOUNDS.get(self._primary, (0.0, 1.0))
            span = highest - lowest
            return np.maximum(-span, values - half), np.minimum(span, values + half), error, df
        draws = np.concatenate([gaps.differences(times) for times in draws_of(units, gaps.width)])
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)  # NaN where a draw is undefined
        return low, high, draws.std(axis=0, ddof=1), df

    def _naive(self, ours: Sequence[int], theirs: int) -> FloatArray:
        from scipy.special import bdtr

        if not self._n_classes:
            return np.full(len(ours), np.nan)
        one, other = np.stack([self._right[row] for row in ours]), self._right[theirs]
        only_one, only_other = (one & ~other).sum(axis=1), (other & ~one).sum(axis=1)
        tail = bdtr(np.minimum(only_one, only_other).astype(float), only_one + only_other, 0.5)
        return np.asarray(np.minimum(1.0, 2 * tail), dtype=np.float64)


def _check_same(one: Answers, other: Answers) -> None:
    for what, a, b in (
        ("utterances", one.utterance_ids, other.utterance_ids),
        ("speakers", one.speakers, other.speakers),
        ("truths", one.truth, other.truth),
    ):
        if one is not other and (len(a) != len(b) or (a != b).any()):
            n = f"{len(a):,} and {len(b):,} columns" if len(a) != len(b) else f"{int((a != b).sum()):,} columns differ"
            raise DataError(f"rows with other {what} can't be paired ({n})", hint="compare rows of one test set")
    if one.speaker_names != other.speaker_names:
        raise DataError("rows with other speakers can't be paired", hint="compare rows of one test set")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
