"""What small networks on frames share, whatever the framework: one length, batches, the choice of the epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.models.contract import Examples, FitContext, Float32, Ints, Prediction

STRIDE = 32
"""Frames per step of the pooled sequence: pairs averaged here, then four convolutions of stride 2."""

WIDTHS, KERNELS = (1, 2, 4, 8), (5, 3, 3, 3)
"""Channels (in ``n_channels``) and kernel sizes of the four convolutions."""

_PREDICT_ROWS = 64


class FrameNetwork(ABC):
    """A network on frames of one length, trained for a number of epochs; a framework fills in the ``_`` methods.

    Utterances are brought to one length, fitted on training: the mean + 1 sd of theirs. Where a longer one is cut
    is drawn anew in each epoch; prediction takes its beginning. Frames are averaged in pairs. Padding is masked
    out of the pooling, so it weighs nothing.

    Where the training rows carry distributions, the loss is the cross-entropy with these.

    With dev examples, the weights of the epoch with the best dev UAR are kept and the epoch is reported in
    ``chosen``; without, training takes all ``epochs``.

    Args:
        epochs: Passes over the training rows, at most.
        batch_size: Rows per step.
        learning_rate: Of AdamW, constant.
        weight_decay: Of AdamW.
        dropout: Share of the pooled features that is dropped in training.
        n_channels: Channels of the first convolution; each of the other three has twice as many as the one before.
        patience: Epochs without a better dev UAR after which training stops.
    """

    def __init__(
        self,
        *,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        dropout: float = 0.5,
        n_channels: int = 8,
        patience: int = 10,
    ) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.n_channels = n_channels
        self.patience = patience

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Train on ``train`` (frames).

        Afterwards ``facts`` holds ``n_parameters``, ``epochs`` and ``curve``: per epoch the training loss and,
        with dev examples, the dev UAR.

        Raises:
            PrerequisiteError: If the context's device is not there.
        """
        self._n_frames = common_length(train.lengths)
        self._n_classes = context.n_classes
        self._present, targets = train.present_targets()
        self._soft = targets.ndim == 2
        self._build(len(train.columns), len(self._present), context)
        random = np.random.RandomState(context.seed)
        best_uar, best_epoch, best_weights = -1.0, 0, None
        curve: list[dict[str, Any]] = []
        for epoch in range(1, self.epochs + 1):
            curve.append({"epoch": epoch, "train_loss": self._train_epoch(train, targets, random)})
            context.progress(epoch, self.epochs)
            if dev is None:
                continue
            uar = curve[-1]["dev_uar"] = mean_recall(dev.targets, self.predict(dev).labels)
            if uar > best_uar:
                best_uar, best_epoch, best_weights = uar, epoch, self._weights()
            elif epoch - best_epoch >= self.patience:
                break
        if best_weights is not None:
            self._restore(best_weights)
            self.chosen = {"epochs": best_epoch}
        self.facts = {"n_parameters": self._n_parameters(), "epochs": len(curve), "curve": curve}

    def predict(self, examples: Examples) -> Prediction:
        """Return the most probable class per row and the probabilities, computed a batch at a time."""
        scores = np.zeros((len(examples), self._n_classes))
        for rows in examples.batches(_PREDICT_ROWS):
            frames, mask = paired_frames(examples, rows, self._n_frames, None)
            scores[np.ix_(rows, self._present)] = self._probabilities(frames, mask)
        labels = self._present[np.argmax(scores[:, self._present], axis=1)].astype(np.int64)
        return Prediction(labels=labels, scores=scores, score_kind="probability")

    def _train_epoch(self, train: Examples, targets: Ints | Float32, random: np.random.RandomState) -> float:
        """Take one pass in a new order; return the mean loss per row."""
        order = random.permutation(len(train)).astype(np.int64)
        total = 0.0
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            frames, mask = paired_frames(train, rows, self._n_frames, random)
            total += self._step(frames, mask, targets[rows]) * len(rows)
        return total / len(order)

    @abstractmethod
    def _build(self, n_columns: int, n_classes: int, context: FitContext) -> None:
        """Make network and optimiser, on the context's device, from its seed, with its threads."""

    @abstractmethod
    def _step(self, frames: Float32, mask: Float32, targets: Ints | Float32) -> float:
        """Take one optimiser step towards classes (n,) or shares (n, n_classes); return the batch's mean loss."""

    @abstractmethod
    def _probabilities(self, frames: Float32, mask: Float32) -> NDArray[np.float64]:
        """Return (n, n_classes) probabilities on the host, rows summing to 1."""

    @abstractmethod
    def _weights(self) -> Any:
        """Return a copy of everything that training changes in the network."""

    @abstractmethod
    def _restore(self, weights: Any) -> None:
        """Put back what :meth:`_weights` returned."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Return the number of trained parameters."""


def typical_length(lengths: Ints) -> int:
    """Return the mean + 1 sd of ``lengths``, but at most the longest, at least 1."""
    return max(1, min(int(lengths.max()), round(float(lengths.mean() + lengths.std()))))


def common_length(lengths: Ints) -> int:
    """Return the length to which utterances are brought: the typical one of ``lengths``, in whole strides."""
    return -(-typical_length(lengths) // STRIDE) * STRIDE


def paired_frames(
    examples: Examples, rows: Ints, n_frames: int, random: np.random.RandomState | None
) -> tuple[Float32, Float32]:
    """Return frames (n, n_frames / 2, n_columns), pairs averaged, and the pooled sequence's mask (n, n_frames / 32).

    Args:
        examples: Frame examples.
        rows: Positions, shape (n,).
        n_frames: The common length.
        random: Where a longer utterance is cut; None: its beginning is taken.
    """
    batch = np.zeros((len(rows), n_frames, len(examples.columns)), dtype=np.float32)
    mask = np.zeros((len(rows), n_frames // STRIDE), dtype=np.float32)
    for place, row in enumerate(rows.tolist()):
        frames = examples.frames(row)
        spare = len(frames) - n_frames
        start = random.randint(spare + 1) if random is not None and spare > 0 else 0
        cut = frames[start : start + n_frames]
        batch[place, : len(cut)] = cut
        mask[place, : -(-len(cut) // STRIDE)] = 1
    pairs = batch.reshape(len(rows), n_frames // 2, 2, -1)
    return pairs.mean(axis=2), mask


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities, shape as ``logits`` (n, n_classes), in float64 so that rows sum to 1."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def mean_recall(truth: Ints, predicted: Ints) -> float:
    """Return the UAR over the classes in ``truth``."""
    return float(np.mean([(predicted[truth == c] == c).mean() for c in np.unique(truth)]))
