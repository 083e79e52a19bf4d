"""A small convolutional network on log-mel frames, in Keras on TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import DataError, PrerequisiteError
from ser_bench.models.array_files import read_arrays, write_arrays
from ser_bench.models.contract import FitContext, Float32, Ints, ModelSpec
from ser_bench.models.frame_network import KERNELS, STRIDE, WIDTHS, FrameNetwork, softmax

WEIGHTS = "weights.npz"


class KerasCnn(FrameNetwork):
    """Four strided convolutions over time and frequency, mean and max pooling over time, one dense layer.

    Parameters and training are those of :class:`FrameNetwork`. The same seed gives the same bits.
    """

    def save(self, folder: Path) -> None:
        """Write the fitted weights, and what a model of the same parameters needs to predict with them."""
        note = {"present": self._present.tolist(), "n_classes": self._n_classes, "n_frames": self._n_frames}
        n_columns = self._network.inputs[0].shape[2]
        write_arrays(folder / WEIGHTS, self._weights(), {**note, "n_columns": n_columns})

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote.

        Raises:
            DataError: If the file is missing or damaged, or holds another network's weights.
        """
        weights, note = read_arrays(folder / WEIGHTS)
        self._present, self._n_classes = np.array(note["present"], dtype=np.int64), int(note["n_classes"])
        self._n_frames, self._soft = int(note["n_frames"]), False
        context = FitContext(n_classes=self._n_classes, class_names=(), seed=0)
        self._build(note["n_columns"], len(self._present), context)
        put_weights(self._network, weights, folder)

    def _build(self, n_columns: int, n_classes: int, context: FitContext) -> None:
        keras, tensorflow = start_keras(context.threads)
        keras.utils.clear_session()
        keras.utils.set_random_seed(context.seed)
        frames = keras.Input((self._n_frames // 2, n_columns))
        mask = keras.Input((self._n_frames // STRIDE,))
        maps = keras.ops.expand_dims(frames, -1)
        for width, kernel in zip(WIDTHS, KERNELS, strict=True):
            maps = keras.layers.Conv2D(width * self.n_channels, kernel, strides=2, padding="same", use_bias=False)(maps)
            maps = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(maps))
        steps = keras.layers.Reshape((self._n_frames // STRIDE, -1))(maps)
        valid = keras.ops.expand_dims(mask, -1)
        mean = keras.ops.sum(steps * valid, axis=1) / keras.ops.sum(valid, axis=1)
        peak = keras.ops.max(steps * valid, axis=1)  # after a ReLU nothing lies below 0
        pooled = keras.layers.Dropout(self.dropout)(keras.ops.concatenate([mean, peak], axis=1))
        self._network = keras.Model([frames, mask], keras.layers.Dense(n_classes)(pooled))
        losses = keras.losses
        self._network.compile(
            optimizer=keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay),
            loss=(losses.CategoricalCrossentropy if self._soft else losses.SparseCategoricalCrossentropy)(
                from_logits=True
            ),
        )
        network = self._network
        # One trace for every batch size: a signature without one would trace again for batches of 64, the rest, and 1.
        self._logits = tensorflow.function(
            lambda frames, mask: network([frames, mask], training=False),
            input_signature=[tensorflow.TensorSpec((None, *i.shape[1:]), tensorflow.float32) for i in network.inputs],
        )

    def _step(self, frames: Float32, mask: Float32, targets: Ints | Float32) -> float:
        self._network.reset_metrics()
        return float(self._network.train_on_batch([frames, mask], targets))

    def _probabilities(self, frames: Float32, mask: Float32) -> NDArray[np.float64]:
        return softmax(self._logits(frames, mask).numpy())

    def _weights(self) -> Any:
        return self._network.get_weights()

    def _restore(self, weights: Any) -> None:
        self._network.set_weights(weights)

    def _n_parameters(self) -> int:
        return int(sum(np.prod(weight.shape) for weight in self._network.trainable_weights))


def put_weights(network: Any, weights: list[NDArray[Any]], folder: Path) -> None:
    """Give a network the weights that were saved in ``folder``.

    Raises:
        DataError: If they are another network's.
    """
    try:
        network.set_weights(weights)
    except ValueError as error:
        raise DataError(f"{folder / WEIGHTS}: weights of another network: {error}") from None


def start_keras(threads: int) -> tuple[Any, Any]:
    """Return keras and tensorflow, deterministic and held to a number of threads.

    Raises:
        PrerequisiteError: If keras was started on another backend.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # isort: skip
    import keras

    if keras.backend.backend() != "tensorflow":
        raise PrerequisiteError(f"keras runs on {keras.backend.backend()!r} in this process, tensorflow expected")
    # TensorFlow takes these before its first operation only; the same value again is no change.
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    tensorflow.config.experimental.enable_op_determinism()
    return keras, tensorflow


KERAS_CNN = ModelSpec(
    name="keras-cnn",
    title="small 2-D CNN on log-mel frames (Keras, TensorFlow)",
    family="network",
    framework="keras",
    factory="ser_bench.models.keras_cnn:KerasCnn",
    params={
        "epochs": 30,
        "batch_size": 32,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "dropout": 0.5,
        "n_channels": 8,
        "patience": 10,
    },
    input="frames",
    features="logmel64",
    requires=("keras", "tensorflow"),
    extra="keras",
    uses_dev=True,
    soft_targets=True,
    packages=("keras", "numpy", "tensorflow", "tensorflow-cpu"),
)
