"""Scores of predicted numbers (ratings of arousal, say): CCC, RMSE and Pearson, all of them functions of sums.

A score of one fold, of pooled folds, of a bootstrap draw and of a jackknife replicate is the same function, applied to
arrays that add up over utterances: with ``t`` the truth and ``e = predicted - t`` the error of an utterance, the sums
of the products of ``(1, t, e)``, shape (..., 3, 3), the first entry being n. With means ``m``, variances ``v`` and
covariance ``c`` of truth and predicted, all divided by n:

=======  =============================================  =====================================================
name     formula                                        meaning
=======  =============================================  =====================================================
ccc      ``2 c / (v_t + v_p + (m_t - m_p)^2)``          concordance correlation: in [-1, 1], 0 if constant
rmse     ``sqrt(sum e^2 / n)``                          root mean square error, on the corpus's scale
pearson  ``c / sqrt(v_t v_p)``                          correlation: undefined where one of the two is constant
=======  =============================================  =====================================================

Source: L. I.-K. Lin, "A Concordance Correlation Coefficient to Evaluate Reproducibility", Biometrics 45(1), 1989.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NEAR_CONSTANT = 1e-6
"""A spread below this share of the numbers themselves is rounding."""


def rating_sums(truth: NDArray[Any], predicted: NDArray[Any]) -> FloatArray:
    """Return the sums of the products of (1, truth, error), shape (3, 3).

    Args:
        truth: Numbers, shape (n_utterances,).
        predicted: Numbers, same shape.

    Raises:
        ValueError: If ``truth`` is empty, the shapes differ, or a number is not finite.
    """
    return speaker_rating_sums(truth, predicted, np.zeros(len(truth), dtype=np.int64))[0]


def speaker_rating_sums(truth: NDArray[Any], predicted: NDArray[Any], speakers: NDArray[Any]) -> FloatArray:
    """Return the sums of :func:`rating_sums` per speaker, shape (n_speakers, 3, 3), by ascending code.

    Args:
        truth: Numbers, shape (n_utterances,).
        predicted: Numbers, same shape.
        speakers: Integers, equal where the speaker is equal, same shape; -1 for unknown, as one more speaker.

    Raises:
        ValueError: As :func:`rating_sums`.
    """
    if truth.shape != predicted.shape or truth.ndim != 1 or truth.shape != speakers.shape:
        raise ValueError(f"truth, predicted and speakers, all (n,), expected, got {truth.shape} and {predicted.shape}")
    if len(truth) == 0:
        raise ValueError("truth is empty: at least one utterance expected")
    numbers = np.stack([truth, predicted]).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("truth and predicted have to be finite")
    codes, position = np.unique(speakers, return_inverse=True)
    terms = np.stack([np.ones(len(truth)), numbers[0], numbers[1] - numbers[0]], axis=1)
    sums = np.zeros((len(codes), 3, 3))
    np.add.at(sums, position, terms[:, :, None] * terms[:, None, :])
    return sums


def ccc_of_sums(sums: FloatArray) -> FloatArray:
    """Return the concordance correlation, shape (...); NaN where truth and predicted are one and the same constant."""
    shift, v_truth, v_predicted, covariance, floor = _moments(sums)
    whole = v_truth + v_predicted + shift**2
    return _ratio(2 * np.where(np.minimum(v_truth, v_predicted) > floor, covariance, 0.0), whole, whole > floor)


def rmse_of_sums(sums: FloatArray) -> FloatArray:
    """Return the root mean square error, shape (...)."""
    return np.sqrt(_ratio(sums[..., 2, 2], sums[..., 0, 0], sums[..., 0, 0] > 0))


def pearson_of_sums(sums: FloatArray) -> FloatArray:
    """Return the correlation, shape (...); NaN where truth or predicted is constant but for rounding."""
    _, v_truth, v_predicted, covariance, floor = _moments(sums)
    spread = np.minimum(v_truth, v_predicted) > floor
    return np.clip(_ratio(covariance, np.sqrt(np.where(spread, v_truth * v_predicted, 1.0)), spread), -1.0, 1.0)


RATING_METRICS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "ccc": ccc_of_sums,
    "rmse": rmse_of_sums,
    "pearson": pearson_of_sums,
}
"""Every score of a record of predicted numbers, by its name there."""

BOUNDS = {"ccc": (-1.0, 1.0), "rmse": (0.0, math.inf), "pearson": (-1.0, 1.0)}
"""The least and the largest value of each."""


def ccc(truth: NDArray[Any], predicted: NDArray[Any]) -> float | None:
    """Return the concordance correlation of two series, None where it is undefined; errors as :func:`rating_sums`."""
    value = float(ccc_of_sums(rating_sums(truth, predicted)))
    return None if math.isnan(value) else value


def _moments(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return mean error, variances of truth and predicted, covariance, and the variance that is mere rounding."""
    n = np.maximum(sums[..., 0, 0], 1.0)
    mean_t, mean_e = sums[..., 0, 1] / n, sums[..., 0, 2] / n
    square_t, square_e, product = sums[..., 1, 1] / n, sums[..., 2, 2] / n, sums[..., 1, 2] / n
    v_t, v_e, c_te = square_t - mean_t**2, square_e - mean_e**2, product - mean_t * mean_e
    floor = NEAR_CONSTANT**2 * (square_t + square_e)
    return mean_e, v_t, v_t + v_e + 2 * c_te, v_t + c_te, floor


def _ratio(part: FloatArray, whole: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    out = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=out, where=where)
    return out
