"""The training loop of all torch models: epochs, early stopping on dev, checkpoints that survive a kill."""

from __future__ import annotations

import math
import os
import random as python_random
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from ser_bench.errors import DataError, PrerequisiteError
from ser_bench.models.contract import Examples, FitContext, Ints, Prediction
from ser_bench.models.frame_network import mean_recall, softmax
from ser_bench.models.tensor_files import read_tensors, write_tensors
from ser_bench.models.torch_settings import Training, torch_optimiser, warm_up_and_cosine
from ser_bench.models.torch_state import TrainingState
from ser_bench.rating_metrics import ccc

__all__ = ["TorchModel", "Training", "mixed_up", "torch_optimiser", "warm_up_and_cosine"]

_PREDICT_ROWS = 64
_WEIGHTS = "weights.safetensors"


class TorchModel(ABC):
    """A network with its training; a subclass says what the network is and what it is fed.

    The same seed and threads give the same bits on one machine, whether or not a fit was killed and resumed: all
    randomness of an epoch is drawn from its seed and number.

    Where the training rows carry ratings, the network has one output, which learns their z-scores by 1 - CCC.

    With dev examples, the weights of the epoch with the best dev UAR (or CCC) are kept, and the epoch is reported in
    ``chosen`` as ``epochs``; without, training takes all epochs of its settings. ``facts`` holds ``n_parameters``,
    ``epochs`` (taken) and ``curve``: per epoch ``epoch``, ``train_loss`` and, with dev examples, ``dev_uar`` or
    ``dev_ccc``.

    Args:
        training: The settings.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self._ratings: tuple[float, float] | None = None

    def measure(self, train: Examples) -> dict[str, Any]:
        """Return what :meth:`inputs` and :meth:`build` need to know of the training rows, as plain data.

        It is ``self.measured`` from then on, and saved with the weights.
        """
        return {}

    @abstractmethod
    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return a new module, with the context's seed in torch's generator; its call gives (n, n_outputs) logits."""

    @abstractmethod
    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return the arrays that the module is called with for ``rows``, one item of each per row.

        Args:
            examples: Where the rows are.
            rows: Positions, shape (n,).
            random: For what is drawn anew in each epoch; None when predicting.
        """

    def augment(self, inputs: tuple[Any, ...], targets: Any, random: RandomState) -> tuple[tuple[Any, ...], Any]:
        """Return a training batch as it is learnt from; for mixup and the like, see :func:`mixed_up`.

        Args:
            inputs: Tensors on the device.
            targets: Tensor of positions (n,), shares (n, n_outputs) or z-scores of ratings (n,); any may be returned.
            random: The epoch's generator.
        """
        return inputs, targets

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Return the batch's mean loss: the cross-entropy with classes or shares, weighted and smoothed as set.

        With ratings it is 1 - CCC of the batch.
        """
        import torch

        if self._ratings is not None:
            return 1 - _concordance(outputs[:, 0], targets)

        smoothing = self.training.label_smoothing
        return torch.nn.functional.cross_entropy(outputs, targets, weight=self._weight, label_smoothing=smoothing)

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Train on ``train``, or go on where a fit with the same checkpoint folder was killed.

        Raises:
            PrerequisiteError: If the context's device is not there.
            ArithmeticError: If the loss is no longer finite.
        """
        self._prepare(context.device, context.threads)
        self._n_classes = context.n_classes
        self._ratings = None if train.ratings is None else _mean_and_sd(train.ratings)
        self._present, targets = self._aims(train)
        weighted = self.training.class_weights and self._ratings is None
        self._weight = self._class_weights(targets) if weighted else None
        self.measured = self.measure(train)
        _seed(context.seed, 0)
        self._n_columns = len(train.columns)
        self._place(self.build(self._n_columns, len(self._present)))
        state = TrainingState(self._network, self.training)
        state.resume(context.checkpoint)
        self._judged = self._network if state.averaged is None else state.averaged
        while state.epoch < self.training.epochs and not state.stopped:
            started = time.monotonic()
            random = _seed(context.seed, state.epoch + 1)
            entry = {"epoch": state.epoch + 1, "train_loss": self._train_epoch(state, train, targets, random)}
            if dev is not None:
                entry |= self._judge(dev)
            state.end_epoch(entry, self._judged, time.monotonic() - started)
            state.save(context.checkpoint)
            context.progress(state.epoch, self.training.epochs)
        state.save(context.checkpoint, last=True)
        self._conclude(state)

    def predict(self, examples: Examples) -> Prediction:
        """Return the most probable class per row and the probabilities, or the ratings, a batch at a time."""
        if self._ratings is not None:
            mean, sd = self._ratings
            found = [self.outputs(examples, rows)[:, 0] for rows in examples.batches(_PREDICT_ROWS)]
            return Prediction(ratings=mean + sd * np.concatenate(found).astype(np.float64))
        scores = np.zeros((len(examples), self._n_classes))
        for rows in examples.batches(_PREDICT_ROWS):
            scores[np.ix_(rows, self._present)] = softmax(self.outputs(examples, rows))
        labels = self._present[np.argmax(scores[:, self._present], axis=1)].astype(np.int64)
        return Prediction(labels=labels, scores=scores, score_kind="probability")

    def outputs(self, examples: Examples, rows: Ints) -> NDArray[np.float32]:
        """Return the fitted network's outputs for ``rows``, shape (len(rows), n_outputs), in full precision."""
        import torch

        self._judged.eval()
        with torch.inference_mode():
            return self._judged(*self._on_device(self.inputs(examples, rows, None))).float().cpu().numpy()

    def save(self, folder: Path) -> None:
        """Write the fitted weights, and what a model of the same parameters needs to predict with them."""
        note = {"present": self._present.tolist(), "n_classes": self._n_classes, "measured": self.measured}
        note["ratings"] = self._ratings
        write_tensors(folder / _WEIGHTS, self._judged.state_dict(), {**note, "n_columns": self._n_columns})

    def load(self, folder: Path, *, device: str = "cpu", threads: int = 1) -> None:
        """Take back what :meth:`save` wrote; the model can then predict.

        Raises:
            DataError: If the file is missing or damaged, or holds another network's weights.
        """
        tensors, note = read_tensors(folder / _WEIGHTS)
        self._prepare(device, threads)
        self._n_classes, self._n_columns, self.measured = note["n_classes"], note["n_columns"], note["measured"]
        self._present, self._ratings = np.array(note["present"], dtype=np.int64), note.get("ratings")
        self._place(self.build(self._n_columns, len(self._present)))
        try:
            self._network.load_state_dict(tensors)
        except RuntimeError as error:
            raise DataError(f"{folder / _WEIGHTS}: weights of another network: {error}") from None
        self._judged = self._network

    def _aims(self, train: Examples) -> tuple[Ints, NDArray[Any]]:
        """Return the classes that the outputs stand for, and what each row's are to be."""
        if train.ratings is None or self._ratings is None:
            return train.present_targets()
        mean, sd = self._ratings
        return np.zeros(1, dtype=np.int64), ((train.ratings - mean) / sd).astype(np.float32)

    def _judge(self, dev: Examples) -> dict[str, float]:
        answer = self.predict(dev)
        if dev.ratings is not None:
            return {"dev_ccc": ccc(dev.ratings, answer.answers) or 0.0}
        return {"dev_uar": mean_recall(dev.targets, answer.labels)}

    def _prepare(self, device: str, threads: int) -> None:
        import torch

        self._device = _device(device)
        # cuBLAS is deterministic only with a workspace of its own, and reads this when it first starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads)
        wanted = self.training.mixed_precision and self._device.type == "cuda"
        self._mixed_precision = wanted and torch.cuda.is_bf16_supported()

    def _place(self, network: Any) -> None:
        import torch

        layout = torch.channels_last if self.training.channels_last else torch.preserve_format
        self._network = network.to(self._device, memory_format=layout)

    def _train_epoch(self, state: TrainingState, train: Examples, targets: Any, random: RandomState) -> float:
        """Take one pass in a new order; return the mean loss per row."""
        import torch

        self._network.train()
        batches = list(_batches(random.permutation(len(train)).astype(np.int64), self.training.batch_size))
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for done, rows in enumerate(batches):
            inputs = self._on_device(self.inputs(train, rows, random))
            inputs, wanted = self.augment(inputs, torch.from_numpy(targets[rows]).to(self._device), random)
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._mixed_precision):
                outputs = self._network(*inputs)
            loss = self.loss(outputs.float(), wanted)
            state.step(loss, done / len(batches))
            total += loss.detach() * len(rows)
        mean = float(total) / len(train)
        if not math.isfinite(mean):
            raise ArithmeticError(f"training diverged: the loss of epoch {state.epoch + 1} is {mean}")
        return mean

    def _on_device(self, arrays: tuple[NDArray[Any], ...]) -> tuple[Any, ...]:
        import torch

        tensors = (torch.from_numpy(array).to(self._device) for array in arrays)
        if not self.training.channels_last:
            return tuple(tensors)
        return tuple(t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors)

    def _class_weights(self, targets: NDArray[Any]) -> Any:
        import torch

        frequency = np.bincount(targets) if targets.ndim == 1 else targets.sum(axis=0)
        weights = (len(targets) / (len(frequency) * frequency)).astype(np.float32)
        return torch.from_numpy(weights).to(self._device)

    def _conclude(self, state: TrainingState) -> None:
        if state.best is not None:
            self._judged.load_state_dict(state.best)
            self.chosen = {"epochs": state.best_epoch}
        n_parameters = sum(p.numel() for p in self._network.parameters() if p.requires_grad)
        self.facts = {"n_parameters": n_parameters, "epochs": state.epoch, "curve": state.curve}
        if state.out_of_time and state.epoch < self.training.epochs:
            said = f"stopped by its budget of {self.training.seconds:g} s"
            self.facts["warnings"] = [f"{said} after {state.epoch} of {self.training.epochs} epochs"]


def mixed_up(inputs: tuple[Any, ...], targets: Any, random: RandomState, *, alpha: float) -> tuple[Any, Any]:
    """Return every row mixed with another one of the batch: inputs and targets in the same shares.

    Args:
        inputs: Floating tensors whose first axis is the rows.
        targets: Shares of the classes, shape (n, n_classes).
        random: Where order and share come from.
        alpha: Of the symmetric beta distribution of the share; 0 leaves the rows as they are.

    Source: Zhang et al. (2018), "mixup: beyond empirical risk minimization".
    """
    import torch

    if not alpha:
        return inputs, targets
    share = float(random.beta(alpha, alpha))
    other = torch.from_numpy(random.permutation(len(targets))).to(targets.device)
    return tuple(torch.lerp(x[other], x, share) for x in inputs), torch.lerp(targets[other], targets, share)


def _mean_and_sd(ratings: NDArray[Any]) -> tuple[float, float]:
    return float(ratings.mean(dtype=np.float64)), float(ratings.std(dtype=np.float64)) or 1.0


def _concordance(predicted: Any, truth: Any) -> Any:
    """Return the CCC of a batch, differentiable; see :mod:`ser_bench.rating_metrics`."""
    p, t = predicted - predicted.mean(), truth - truth.mean()
    whole = p.square().mean() + t.square().mean() + (predicted.mean() - truth.mean()).square()
    return 2 * (p * t).mean() / (whole + 1e-8)


def _batches(order: Ints, size: int) -> Iterator[Ints]:
    """Yield ``order`` in pieces; a single row left over joins the last one, since batch norm can't take it alone."""
    n = len(order)
    ends = list(range(size, n, size))
    if ends and n - ends[-1] == 1:
        ends.pop()
    yield from np.split(order, ends)


def _seed(seed: int, epoch: int) -> RandomState:
    """Seed every generator that a module may draw from; return the loop's own."""
    import torch

    torch.manual_seed(seed * 1_000_003 + epoch)
    python_random.seed(seed * 1_000_003 + epoch)
    np.random.seed([seed, epoch])
    return RandomState([seed, epoch])


def _device(name: str) -> Any:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        there = f"PyTorch {torch.__version__}, {'no CUDA device' if torch.version.cuda else 'built without CUDA'}"
        raise PrerequisiteError(
            f"device 'cuda' was asked for, and there is only the CPU ({there})", hint="--device cpu"
        )
    return torch.device(name)
