"""The scores of a row under a condition, and what it loses there: both from sums by seed and speaker."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from ser_bench.metrics import METRICS
from ser_bench.rating_metrics import BOUNDS, RATING_METRICS
from ser_bench.records import Score, StressScore
from ser_bench.stats import Statistic, difference, score_with_interval, side_by_side


def stress_score(
    condition: str,
    clean: NDArray[Any],
    stressed: NDArray[Any],
    *,
    primary: str,
    n: int,
    n_unknown: int,
    strata: NDArray[Any] | None = None,
) -> StressScore:
    """Return the scores of changed sound, and the primary score of unchanged sound less that of changed sound.

    The drop's interval resamples (or deletes) a speaker from both at once, as their utterances are the same.

    Args:
        condition: Its name.
        clean: Confusion matrices by seed and speaker, shape (n_seeds, n_speakers, K, K); of numbers the sums of
            :func:`~ser_bench.rating_metrics.speaker_rating_sums`.
        stressed: The same of what was answered under the condition.
        primary: The score whose drop is told.
        n: Test utterances of one seed.
        n_unknown: How many of them are of unknown speakers.
        strata: A code per speaker, as in :func:`~ser_bench.stats.score_with_interval`.
    """
    statistics: dict[str, Statistic] = RATING_METRICS if primary in RATING_METRICS else METRICS
    counted = statistics is METRICS

    def score(sums: NDArray[Any], statistic: Statistic, lowest: float, highest: float) -> Score:
        found = score_with_interval(
            sums, statistic, n_unknown=n_unknown, lowest=lowest, highest=highest, counted=counted, strata=strata
        )
        return Score(**asdict(found))

    low, high = BOUNDS.get(primary, (0.0, 1.0))
    return StressScore(
        condition=condition,
        n=n,
        scores={
            name: score(stressed, statistic, *BOUNDS.get(name, (0.0, 1.0))) for name, statistic in statistics.items()
        },
        drop=score(side_by_side(stressed, clean), difference(statistics[primary]), low - high, high - low),
    )
