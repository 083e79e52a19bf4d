"""Intervals for scores whose sampling unit is the speaker, not the utterance.

Utterances of one speaker resemble each other, so an interval that resamples utterances is far too narrow.
Here whole speakers are drawn or deleted. With ``C_sg`` the confusion matrix of seed ``s`` on speaker ``g``,
and ``f`` a score of a confusion matrix:

====================  ======================================================  ======================
what                  formula                                                 source
====================  ======================================================  ======================
value                 ``mean_s f(sum_g C_sg)``: folds pooled, seeds averaged
draw b                ``mean_s f(sum_g n_bg C_sg)``, n_b ~ Mult(G; 1/G)       Field & Welsh (2007)
bootstrap, G >= 20    2.5 % and 97.5 % quantiles of 10,000 draws              Efron (1979)
replicate (g)         ``mean_s f(sum_h C_sh - C_sg)``                         Tukey (1958)
standard error        ``se^2 = (G-1)/G sum_g (replicate(g) - their mean)^2``  Efron & Stein (1981)
jackknife, G = 3..19  value +- t(G-1; .975) se, within the score's bounds     Tukey (1958)
G <= 2                none: one degree of freedom bounds nothing
several corpora       each draw takes as many speakers of each corpus as it     Field & Welsh (2007)
                      has; squared jackknife errors of corpora add up,
                      t(G - number of corpora)
====================  ======================================================  ======================

The bootstrap of few clusters is too narrow (it divides by G, not G - 1, and lacks the tails of t), which is
why it starts at 20 speakers. On simulated speakers it covers 75, 86 and 91 % at G = 3, 6 and 12, and 93 % at
24; the jackknife covers 95 % from 3 to 19; an interval that ignores speakers 81 % (``tests/test_stats.py``).

An interval speaks about other speakers of the same kind, judged by the same fitted models: what other
training data would change is not in it. Where no two speakers differ it has no width, which proves nothing
about the next speaker.

B. Efron (1979) Ann. Statist. 7:1-26. B. Efron & C. Stein (1981) Ann. Statist. 9:586-596. C. Field & A. Welsh
(2007) J. R. Stat. Soc. B 69:369-390. J. Tukey (1958) Ann. Math. Statist. 29:614.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""Maps confusion matrices (..., K, K), or other sums over utterances, to scores (...); NaN where one is undefined."""

N_DRAWS = 10_000
BOOTSTRAP_FROM = 20
JACKKNIFE_FROM = 3
LEVEL = 0.95
_SEED = 20090906
_CHUNK_CELLS = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A score with its 95 % interval; the fields are those of a record's score.

    Attributes:
        value: The score; None where it is undefined.
        low: Lower bound; None where there is no interval.
        high: Upper bound; None where there is no interval.
        method: How the interval was made, or ``none: `` and why there is none.
        n_speakers: Number of known test speakers.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n_speakers: int


def score_with_interval(
    confusions: NDArray[Any],
    statistic: Statistic,
    *,
    n_unknown: int = 0,
    lowest: float = 0.0,
    highest: float = 1.0,
    counted: bool = True,
    strata: NDArray[np.integer[Any]] | None = None,
) -> Estimate:
    """Return the mean over seeds of a score of the pooled folds, with the interval that its speakers allow.

    A class that no drawn (or remaining) speaker utters is left out of that draw, as ``statistic`` leaves out
    any class absent from truth. Where a draw leaves the score undefined there is no interval: to drop such
    draws would be to bound another quantity.

    Args:
        confusions: Counts by seed and test speaker, shape (n_seeds, n_speakers, K, K).
        statistic: The score.
        n_unknown: Test utterances whose speaker is unknown. They count in the score, as one more entry of the
            speaker axis, and there is no interval, since nobody knows what to resample.
        lowest: The least value that the score can take: 0, or -1 for a difference of scores.
        highest: The largest one.
        counted: Whether the arrays are counts of answers by truth, which no two seeds may have unequal rows of; else
            other sums over utterances, such as those of :mod:`ser_bench.rating_metrics`.
        strata: A code per speaker, such as that of its corpus, shape (n_speakers,): speakers are drawn and left out
            within each; None: all are one.

    Raises:
        ValueError: If the shape is another, a speaker has no utterance, or seeds scored unequal utterances.
    """
    counts = np.asarray(confusions, dtype=np.float64)
    _check(counts, counted)
    n_speakers = counts.shape[1] - (n_unknown > 0)
    value = float(statistic(counts.sum(axis=1)).mean())

    def without(reason: str) -> Estimate:
        known = None if math.isnan(value) else value
        return Estimate(value=known, low=None, high=None, method=f"none: {reason}", n_speakers=n_speakers)

    if math.isnan(value):
        return without("the score is undefined")
    if n_unknown:
        return without(f"{n_unknown:,} utterance{'s' * (n_unknown > 1)} of unknown speakers")
    n_strata = 1 if strata is None else len(np.unique(strata))
    if n_speakers < JACKKNIFE_FROM - 1 + n_strata:
        of = f" of {n_strata} corpora" if n_strata > 1 else ""
        return without(f"{n_speakers} speaker{'s' * (n_speakers > 1)}{of}")
    within = ", within each corpus" if n_strata > 1 else ""
    if n_speakers < BOOTSTRAP_FROM:
        replicates = jackknife_replicates(counts, statistic)
        if np.isnan(replicates).any():
            return without(f"undefined without some of the {n_speakers} speakers")
        half = t_quantile(n_speakers - n_strata, (1 + LEVEL) / 2) * float(jackknife_error(replicates, strata))
        low, high = max(lowest, value - half), min(highest, value + half)
        method = f"delete-one-speaker jackknife, t({n_speakers - n_strata}){within}"
    else:
        draws = bootstrap_draws(counts, statistic, strata)
        n_undefined = int(np.isnan(draws).sum())
        if n_undefined:
            return without(f"undefined in {n_undefined:,} of {N_DRAWS:,} draws of {n_speakers} speakers")
        low, high = (float(q) for q in np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        method = f"cluster bootstrap over {n_speakers} speakers, {N_DRAWS:,} draws{within}"
    return Estimate(value=value, low=low, high=high, method=method, n_speakers=n_speakers)


def jackknife_replicates(confusions: NDArray[Any], statistic: Statistic) -> FloatArray:
    """Return the mean over seeds of ``statistic`` with each speaker left out in turn, shape (n_speakers,).

    Args:
        confusions: Shape (n_seeds, n_speakers, K, K).
        statistic: The score.
    """
    return statistic(confusions.sum(axis=1, keepdims=True) - confusions).mean(axis=0)


def bootstrap_draws(
    confusions: NDArray[Any], statistic: Statistic, strata: NDArray[np.integer[Any]] | None = None
) -> FloatArray:
    """Return the mean over seeds of ``statistic`` in each draw of speakers, shape (:data:`N_DRAWS`,).

    The draws depend on the number of speakers and their strata only, so that all seeds, scores and models meet the
    same ones.

    Args:
        confusions: Shape (n_seeds, n_speakers, K, K).
        statistic: The score.
        strata: As in :func:`resampling_counts`.
    """
    n_seeds, n_speakers, *square = confusions.shape
    by_speaker = np.moveaxis(confusions, 1, 0).reshape(n_speakers, -1).astype(np.float64)
    chunk = max(1, _CHUNK_CELLS // max(by_speaker.shape))
    # einsum, not matmul: products this small cost BLAS more in waking its threads than in work.
    return np.concatenate(
        [
            statistic(np.einsum("bg,gc->bc", times, by_speaker).reshape(-1, n_seeds, *square)).mean(axis=1)
            for times in resampling_counts(n_speakers, chunk, strata)
        ]
    )


def resampling_counts(
    n_speakers: int, chunk: int = N_DRAWS, strata: NDArray[np.integer[Any]] | None = None
) -> Iterator[FloatArray]:
    """Yield how often each draw takes each speaker, shape (at most chunk, n_speakers).

    The same :data:`N_DRAWS` rows come whatever the chunk: ``RandomState``'s stream is frozen for good.

    Args:
        n_speakers: Speakers, or whatever else is drawn.
        chunk: Draws at a time.
        strata: A code per speaker, shape (n_speakers,): as many are drawn of each code as it has; None: all are one.
    """
    random = np.random.RandomState(_SEED)
    sizes = np.array([n_speakers]) if strata is None else np.unique(strata, return_counts=True)[1]
    by_stratum = np.arange(n_speakers) if strata is None else np.argsort(strata, kind="stable")
    first, size = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
    for start in range(0, N_DRAWS, chunk):
        n = min(chunk, N_DRAWS - start)
        # an array of bounds has a stream of its own: without strata the draws stay those that were published
        bound = n_speakers if len(sizes) == 1 else size
        drawn = by_stratum[first + random.randint(bound, size=(n, n_speakers), dtype=np.int64)]
        drawn += n_speakers * np.arange(n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n * n_speakers).reshape(n, n_speakers).astype(np.float64)


def jackknife_error(replicates: FloatArray, strata: NDArray[np.integer[Any]] | None = None) -> FloatArray:
    """Return the standard error of scores from their values with each speaker left out in turn, shape (...).

    Args:
        replicates: Shape (n_speakers, ...).
        strata: A code per speaker, as in :func:`resampling_counts`: the squared errors of the strata add up. A stratum
            of one speaker adds nothing, as if there were no other like that one.
    """
    codes = np.zeros(len(replicates), dtype=np.int64) if strata is None else strata
    square = np.zeros(replicates.shape[1:])
    for code in np.unique(codes):
        of = replicates[codes == code]
        square = square + (len(of) - 1) / len(of) * np.square(of - of.mean(axis=0)).sum(axis=0)
    return np.sqrt(square)


def corpora_of(speakers: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the strata of speakers named ``corpus:name``: a code each, or None where all are of one corpus."""
    names, codes = np.unique([name.partition(":")[0] for name in speakers], return_inverse=True)
    return codes.astype(np.int64) if len(names) > 1 else None


def t_quantile(df: int, level: float) -> float:
    """Return the quantile of Student's t with ``df`` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(df, level))


def side_by_side(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return two stacks of matrices (..., K, K) as the diagonal blocks of one, so that speakers are drawn once."""
    k = one.shape[-1]
    both = np.zeros((*one.shape[:-2], 2 * k, 2 * k))
    both[..., :k, :k], both[..., k:, k:] = one, other
    return both


def difference(statistic: Statistic) -> Statistic:
    """Return the score of the second of two stacks :func:`side_by_side` less that of the first."""

    def of(counts: FloatArray) -> FloatArray:
        k = counts.shape[-1] // 2
        return statistic(counts[..., k:, k:]) - statistic(counts[..., :k, :k])

    return of


def fold_mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1) over folds; the latter is None for a single fold.

    This is not the headline: small folds weigh as much as large ones, and each fold averages over the classes
    that it happens to have. Nor is it a standard error, since folds share their training rows.

    Raises:
        ValueError: If there are no values.
    """
    if len(values) == 0:
        raise ValueError("scores of at least one fold expected, got none")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _check(confusions: FloatArray, counted: bool) -> None:
    shape = confusions.shape
    if len(shape) != 4 or shape[2] != shape[3] or 0 in shape:
        raise ValueError(f"confusions of shape (n_seeds, n_speakers, K, K), none of them 0, expected, got {shape}")
    silent = np.flatnonzero(~confusions.any(axis=(2, 3)).all(axis=0))
    if len(silent):
        raise ValueError(f"each speaker needs an utterance, speaker {silent[0]} (by position) has none")
    spoken = confusions.sum(axis=3)
    unequal = np.flatnonzero((spoken != spoken[0]).any(axis=(1, 2)))
    if counted and len(unequal):
        raise ValueError(f"seed {unequal[0]} (by position) scored other utterances than seed 0")
