"""Anybody's Keras model as a model: they write the network, the training is ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ser_bench.models.array_files import read_arrays, write_arrays
from ser_bench.models.contract import Examples, FitContext, Float32, Ints, ModelSpec, Prediction
from ser_bench.models.frame_network import mean_recall, typical_length
from ser_bench.models.keras_cnn import WEIGHTS, put_weights, start_keras
from ser_bench.registry import import_object

_PARAMS = {
    "epochs": 50,
    "batch_size": 32,
    "optimiser": "Adam",
    "learning_rate": 1e-3,
    "plateau": None,
    "patience": 10,
    "n_frames": None,
}


class KerasModule:
    """A network from elsewhere, trained by cross-entropy, with early stopping on dev.

    It is called with float32 tensors: vectors (n, n_columns), or frames (n, n_frames, n_columns), cut or padded with
    zeros to a common length; and gives probabilities (n, n_classes), so its last layer is a softmax. The same seed
    and threads give the same bits.

    Args:
        build: ``module:callable``; called with (input_shape, n_classes), and ``own`` as keywords, it gives a
            ``keras.Model``, not compiled. ``input_shape`` is (n_columns,) or (n_frames, n_columns).
        epochs: Passes over the training rows, at most.
        batch_size: Rows per step.
        optimiser: Name of a class of ``keras.optimizers``.
        learning_rate: Its first learning rate.
        plateau: Arguments of ``keras.callbacks.ReduceLROnPlateau``; ``monitor`` is ``loss``, or ``dev_accuracy``,
            for which the training loss stands in where there is no dev set, as in the refit. None: constant rate.
        patience: Epochs without a better dev UAR after which training stops; None: never.
        n_frames: The common length of frames; None: the mean + 1 sd of training's.
        own: Further parameters, for ``build``.
    """

    def __init__(
        self,
        build: str,
        *,
        epochs: int,
        batch_size: int,
        optimiser: str,
        learning_rate: float,
        plateau: Mapping[str, Any] | None = None,
        patience: int | None = None,
        n_frames: int | None = None,
        **own: Any,
    ) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.path, self.own = build, own
        self.epochs, self.batch_size, self.patience = epochs, batch_size, patience
        self.optimiser, self.learning_rate, self.plateau = optimiser, learning_rate, plateau
        self.n_frames = n_frames

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Train on ``train``; with ``dev``, keep the weights of the epoch with the best dev UAR.

        Afterwards ``facts`` holds ``n_parameters``, ``epochs`` and ``curve``: per epoch the training loss, the
        learning rate and, with dev examples, the dev UAR.
        """
        keras = start_keras(context.threads)[0]
        keras.utils.clear_session()
        keras.utils.set_random_seed(context.seed)
        self._n_classes = context.n_classes
        self._present, targets = train.present_targets()
        self._length = None if train.offsets is None else self.n_frames or typical_length(train.lengths)
        self._shape = (len(train.columns),) if self._length is None else (self._length, len(train.columns))
        self._network = import_object(self.path)(self._shape, len(self._present), **self.own)
        shares = targets if targets.ndim == 2 else np.eye(len(self._present), dtype=np.float32)[targets]
        self._network.compile(
            optimizer=getattr(keras.optimizers, self.optimiser)(self.learning_rate),
            loss=keras.losses.CategoricalCrossentropy(),
        )
        watch = self._watch(keras, dev, context)
        self._network.fit(
            self._batches(keras, train, shares, np.random.RandomState(context.seed)),
            epochs=self.epochs,
            callbacks=[watch, *self._schedule(keras, dev)],
            shuffle=False,
            verbose=0,
        )
        if watch.best is not None:
            self._network.set_weights(watch.best)
            self.chosen = {"epochs": watch.best_epoch}
        n = sum(int(np.prod(weight.shape)) for weight in self._network.trainable_weights)
        self.facts = {"n_parameters": n, "epochs": len(watch.curve), "curve": watch.curve}

    def predict(self, examples: Examples) -> Prediction:
        """Return the most probable class per row and the probabilities, computed a batch at a time."""
        scores = np.zeros((len(examples), self._n_classes))
        for rows in examples.batches(256):
            found = np.asarray(self._network(self._inputs(examples, rows), training=False), dtype=np.float64)
            scores[np.ix_(rows, self._present)] = found / found.sum(axis=1, keepdims=True)
        labels = self._present[np.argmax(scores[:, self._present], axis=1)].astype(np.int64)
        return Prediction(labels=labels, scores=scores, score_kind="probability")

    def save(self, folder: Path) -> None:
        """Write the fitted weights, and what a model of the same parameters needs to predict with them."""
        note = {"present": self._present.tolist(), "n_classes": self._n_classes, "shape": self._shape}
        write_arrays(folder / WEIGHTS, self._network.get_weights(), note)

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote: ``build`` makes the network anew, and gets the weights.

        Keras's own format describes the network itself, and reading it can run what it describes.

        Raises:
            DataError: If the file is missing or damaged, or holds another network's weights.
        """
        start_keras(1)
        weights, note = read_arrays(folder / WEIGHTS)
        self._present, self._n_classes = np.array(note["present"], dtype=np.int64), int(note["n_classes"])
        self._shape = tuple(note["shape"])
        self._length = self._shape[0] if len(self._shape) == 2 else None
        self._network = import_object(self.path)(self._shape, len(self._present), **self.own)
        put_weights(self._network, weights, folder)

    def _inputs(self, examples: Examples, rows: Ints) -> Float32:
        return examples.values[rows] if self._length is None else examples.padded(rows, self._length)

    def _batches(self, keras: Any, train: Examples, shares: Any, random: np.random.RandomState) -> Any:
        """Return the training rows as Keras reads them: in a new order each epoch, a batch in memory at a time."""
        size, inputs = self.batch_size, self._inputs

        class Batches(keras.utils.PyDataset):
            def __init__(self) -> None:
                super().__init__()
                self.order = random.permutation(len(train)).astype(np.int64)

            def __len__(self) -> int:
                return -(-len(train) // size)

            def __getitem__(self, number: int) -> tuple[Any, Any]:
                rows = self.order[number * size : (number + 1) * size]
                return inputs(train, rows), shares[rows]

            def on_epoch_end(self) -> None:
                self.order = random.permutation(len(train)).astype(np.int64)

        return Batches()

    def _schedule(self, keras: Any, dev: Examples | None) -> list[Any]:
        if self.plateau is None:
            return []
        settings = dict(self.plateau)
        if dev is None and settings.get("monitor") == "dev_accuracy":
            settings["monitor"] = "loss"
        mode = "min" if settings.get("monitor") == "loss" else "max"
        return [keras.callbacks.ReduceLROnPlateau(**{"mode": mode, **settings})]

    def _watch(self, keras: Any, dev: Examples | None, context: FitContext) -> Any:
        """Return the callback that judges each epoch on dev, keeps the best weights and draws the curve."""
        model = self

        class Watch(keras.callbacks.Callback):
            best: Any = None
            best_epoch = 0
            best_uar = -1.0

            def __init__(self) -> None:
                super().__init__()
                self.curve: list[dict[str, Any]] = []

            def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
                network = model._network
                rate = float(np.asarray(network.optimizer.learning_rate))
                self.curve.append({"epoch": epoch + 1, "train_loss": float(logs["loss"]), "learning_rate": rate})
                context.progress(epoch + 1, model.epochs)
                if dev is None:
                    return
                labels = model.predict(dev).labels
                uar = self.curve[-1]["dev_uar"] = mean_recall(dev.targets, labels)
                logs["dev_accuracy"] = float((labels == dev.targets).mean())  # what the schedule may watch
                if uar > self.best_uar:
                    self.best_uar, self.best_epoch, self.best = uar, epoch + 1, network.get_weights()
                elif model.patience is not None and epoch + 1 - self.best_epoch >= model.patience:
                    network.stop_training = True

        return Watch()


def keras_model(
    *,
    name: str,
    build: str,
    title: str | None = None,
    input: Literal["vector", "frames"] = "vector",
    features: str | None = None,
    packages: Sequence[str] = (),
    uses_dev: bool = True,
    **params: Any,
) -> ModelSpec:
    """Return the specification of a Keras network as a model, without importing it.

    Args:
        name: What suites and boards call it.
        build: ``module:callable``, see :class:`KerasModule`.
        title: One line for lists and boards.
        input: Whether it takes vectors or frames.
        features: The set used where a suite names none for this kind.
        packages: Distributions whose versions decide its results, beside numpy, keras and tensorflow.
        uses_dev: Whether dev examples choose the epoch.
        params: Other defaults than those of :class:`KerasModule`, and the network's own parameters.
    """
    return ModelSpec(
        name=name,
        title=title or f"{build} (Keras)",
        family="network",
        framework="keras",
        factory=f"{__name__}:KerasModule",
        params={"build": build, **_PARAMS, **params},
        input=input,
        features=features,
        requires=("keras", "tensorflow"),
        extra="keras",
        uses_dev=uses_dev,
        soft_targets=True,
        packages=("keras", "numpy", "tensorflow", "tensorflow-cpu", *packages),
    )
