"""Baselines that learn nothing from features: chance and the most frequent class, or the mean of the numbers."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.models.contract import Examples, FitContext, Ints, ModelSpec, Prediction


class Chance:
    """A fair die with one face per class seen in training, thrown once per utterance.

    The throw is a digest of the seed and the utterance's values. So it does not depend on which other rows are
    asked about, and speakers who say the same list in the same order don't all get the same run of labels.
    """

    def __init__(self) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Note the classes of ``train``."""
        self._present = np.unique(train.targets)
        self._seed = context.seed
        self._shares = np.zeros(context.n_classes)
        self._shares[self._present] = 1 / len(self._present)

    def predict(self, examples: Examples) -> Prediction:
        """Return a label per row, and the same probability for every class seen in training."""
        return Prediction(
            labels=self._present[[self._throw(examples, row) for row in range(len(examples))]].astype(np.int64),
            scores=_repeated(self._shares, len(examples)),
            score_kind="probability",
        )

    def _throw(self, examples: Examples, row: int) -> int:
        values = examples.values[row] if examples.offsets is None else examples.frames(row)
        digest = hashlib.blake2b(f"{self._seed} ".encode(), digest_size=8)
        digest.update(np.asarray(values, dtype="<f4").tobytes())
        return int.from_bytes(digest.digest(), "little") % len(self._present)


class Majority:
    """The most frequent class of training, whatever is asked; the first one where several are."""

    def __init__(self) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Count the classes of ``train``."""
        counts: Ints = np.bincount(train.targets, minlength=context.n_classes)
        self._shares = counts / counts.sum()

    def predict(self, examples: Examples) -> Prediction:
        """Return the most frequent class for every row; the probabilities are the classes' shares of training."""
        n = len(examples)
        labels = np.full(n, np.argmax(self._shares), dtype=np.int64)
        return Prediction(labels=labels, scores=_repeated(self._shares, n), score_kind="probability")


class Mean:
    """The mean of the training rows' ratings, whatever is asked."""

    def __init__(self) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Average the ratings of ``train``."""
        if train.ratings is None:
            raise ValueError("these examples carry no ratings")
        self._mean = float(train.ratings.mean(dtype=np.float64))

    def predict(self, examples: Examples) -> Prediction:
        """Return the mean for every row."""
        return Prediction(ratings=np.full(len(examples), self._mean))


def _repeated(shares: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.tile(shares, (n, 1))


CHANCE = ModelSpec(
    name="chance",
    title="a fair die over the classes of training",
    family="baseline",
    framework="numpy",
    factory="ser_bench.models.baselines:Chance",
    input="any",
    normalise="none",
)
MAJORITY = ModelSpec(
    name="majority",
    title="the most frequent class of training",
    family="baseline",
    framework="numpy",
    factory="ser_bench.models.baselines:Majority",
    input="any",
    normalise="none",
    seeded=False,
)
MEAN = ModelSpec(
    name="mean",
    title="the mean of the numbers in training",
    family="baseline",
    framework="numpy",
    factory="ser_bench.models.baselines:Mean",
    input="any",
    normalise="none",
    targets=("values",),
    seeded=False,
)
