"""How far predicted probabilities can be believed: calibration error, Brier score and likelihood; lower is better.

With ``p`` the predicted probabilities of a row, ``y`` its true class and K classes:

=====  ==================================================================================================
ece    expected calibration error: ``sum_b n_b / n |share correct in b - mean confidence in b|`` over 15
       equally wide bins ``(b / 15, (b + 1) / 15]`` of the confidence: the probability of the predicted
       class, which need not be the largest one, since the label is the model's own
brier  mean over rows of ``sum_k (p_k - [k = y])^2``, in [0, 2]: Brier's own form, of all classes
nll    mean over rows of ``-ln p_y`` in nats, ``p`` held at or above 1e-15, rows not rescaled afterwards
=====  ==================================================================================================

Sources: C. Guo, G. Pleiss, Y. Sun & K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, for ece;
G. Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 78(1), 1950.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.float64]

N_BINS = 15
"""Bins of confidence: as many as Guo et al. have."""

LEAST = 1e-15
"""Where the logarithm of a probability stops falling: a certain mistake costs 34.5 nats, not infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Mean confidence, share correct and number of rows of each bin that has some, shape (n_bins,) each."""

    confidence: FloatArray
    correct: FloatArray
    n: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error, in [0, 1]."""
        return float((self.n * np.abs(self.correct - self.confidence)).sum() / self.n.sum())


def reliability(truth: IntArray, predicted: IntArray, probabilities: FloatArray) -> Reliability:
    """Return the bins of confidence, from the lowest; a bin's upper end belongs to it, 0 to the first bin.

    Args:
        truth: Class indices, shape (n_rows,).
        predicted: Class indices, same shape.
        probabilities: Shape (n_rows, n_classes).

    Raises:
        ValueError: If there are no rows, or the shapes do not fit.
    """
    _check(truth, probabilities)
    confidence, right = _of_class(probabilities, predicted), truth == predicted
    place = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    n = np.bincount(place, minlength=N_BINS)
    used = np.flatnonzero(n)
    sums = [np.bincount(place, weights=values, minlength=N_BINS)[used] for values in (confidence, right)]
    return Reliability(confidence=sums[0] / n[used], correct=sums[1] / n[used], n=n[used].astype(np.int64))


def expected_calibration_error(truth: IntArray, predicted: IntArray, probabilities: FloatArray) -> float:
    """Return the mean distance of confidence and share correct, in [0, 1]; as :func:`reliability`."""
    return reliability(truth, predicted, probabilities).error


def brier_score(truth: IntArray, probabilities: FloatArray) -> float:
    """Return the mean squared distance of probabilities and truth over all classes; as :func:`reliability`."""
    _check(truth, probabilities)
    of_truth = _of_class(probabilities, truth)
    return float((np.einsum("ij,ij->i", probabilities, probabilities) - 2 * of_truth + 1).mean())


def negative_log_likelihood(truth: IntArray, probabilities: FloatArray) -> float:
    """Return the mean of ``-ln p`` of the true class in nats; as :func:`reliability`."""
    _check(truth, probabilities)
    of_truth = _of_class(probabilities, truth)
    return float(-np.log(np.maximum(of_truth, LEAST)).mean())


def _of_class(probabilities: FloatArray, classes: IntArray) -> FloatArray:
    return probabilities[np.arange(len(classes)), classes]


def _check(truth: IntArray, probabilities: FloatArray) -> None:
    if probabilities.ndim != 2 or len(truth) != len(probabilities) or len(truth) == 0:
        raise ValueError(f"a row of probabilities per truth expected, got {probabilities.shape} for {truth.shape}")
