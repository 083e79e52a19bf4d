"""The scores of predicted numbers in a record: pooled with intervals over speakers, and by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.rating_metrics import BOUNDS, RATING_METRICS, ccc, ccc_of_sums, rating_sums, rmse_of_sums
from ser_bench.rating_metrics import speaker_rating_sums as by_speaker
from ser_bench.records import FoldScore, Score
from ser_bench.stats import fold_mean_sd, score_with_interval

Float64 = NDArray[np.float64]
Series = tuple[Float64, Float64]
"""Truth and predicted numbers of the same utterances, shape (n,) each."""


def rating_fields(
    seeds: Sequence[Series],
    speakers: NDArray[np.int64],
    folds: Sequence[FoldScore],
    strata: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Return the score fields of a record of predicted numbers.

    Args:
        seeds: The pooled test rows of each seed, all in the same order.
        speakers: A code per test row, -1 where unknown.
        folds: The scores by seed and fold.
        strata: A code per speaker, as in :func:`~ser_bench.stats.score_with_interval`.
    """
    sums = np.stack([by_speaker(truth, predicted, speakers) for truth, predicted in seeds])
    unknown = int((speakers < 0).sum())
    scores = {}
    for name, statistic in RATING_METRICS.items():
        low, high = BOUNDS[name]
        found = score_with_interval(
            sums, statistic, n_unknown=unknown, lowest=low, highest=high, counted=False, strata=strata
        )
        scores[name] = Score(**asdict(found))
    of_seeds = ccc_of_sums(sums.sum(axis=1))
    by_fold = [
        mean_of_known([f.test_ccc for f in folds if f.fold_id == name])
        for name in dict.fromkeys(f.fold_id for f in folds)
    ]
    known = [value for value in by_fold if value is not None]
    mean, sd = fold_mean_sd(known) if known else (None, None)
    return {
        "scores": scores,
        "ccc_fold_mean": mean,
        "ccc_fold_sd": sd,
        "ccc_seed_sd": float(np.std(of_seeds, ddof=1)) if len(seeds) > 1 and np.isfinite(of_seeds).all() else None,
        "sides": {
            "train": mean_of_known([fold.train_ccc for fold in folds]),
            "dev": mean_of_known([fold.dev_ccc for fold in folds]),
            "test": scores["ccc"].value,
        },
        "fold_scores": tuple(folds),
    }


def rating_fold(sides: Mapping[str, Series], **more: Any) -> FoldScore:
    """Return the scores of one seed and fold.

    Args:
        sides: ``train``, ``dev`` (which may be empty) and ``test``.
        more: The other fields.
    """
    found: dict[str, Any] = {f"{side}_ccc": ccc(*series) if len(series[0]) else None for side, series in sides.items()}
    return FoldScore(**found, test_rmse=float(rmse_of_sums(rating_sums(*sides["test"]))), **more)


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are there, None where there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
