"""The Keras networks of two rebuilt systems: the 1-D CNN on 162 means, and the CNN-LSTM on MFCC frames."""

from __future__ import annotations

from typing import Any

from ser_bench.models.keras_module import keras_model


def seed001_cnn(input_shape: tuple[int, ...], n_classes: int) -> Any:
    """Return the CNN of seed 001 for vectors (n_columns,): four convolutions, each with max-pooling, and a dense layer.

    The source names the layers, kernel sizes of "3 or 5", pooling of 3 with stride 2 and ReLU; widths are those usual
    for this family of projects: 256, 256, 128, 64, dropout .2 after the third, dense 32, dropout .3. The larger kernel
    is taken for the first two convolutions, the smaller one for the others.

    Source: seed 001 (TESS + SAVEE + RAVDESS + CREMA-D, 8 classes).
    """
    import keras

    layers: list[Any] = [keras.Input(input_shape), keras.layers.Reshape((*input_shape, 1))]
    for width, kernel, dropout in ((256, 5, 0.0), (256, 5, 0.0), (128, 3, 0.2), (64, 3, 0.0)):
        layers.append(keras.layers.Conv1D(width, kernel, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling1D(3, strides=2, padding="same"))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    layers += [keras.layers.Flatten(), keras.layers.Dense(32, activation="relu"), keras.layers.Dropout(0.3)]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])


def seed003_baseline(input_shape: tuple[int, ...], n_classes: int) -> Any:
    """Return the baseline of seed 003 for frames (n_frames, 40): the two convolutions alone.

    Source: seed 003 (7 classes, MFCC frames of 3 s).
    """
    import keras

    layers = [*_convolutions(input_shape), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])


def seed003_cnn_lstm(input_shape: tuple[int, ...], n_classes: int, units: int = 512) -> Any:
    """Return the CNN-LSTM of seed 003 for frames (n_frames, 40).

    Two convolutions (64, 128; the source also names a third of 256, after which two steps of the 3 s would be left),
    two LSTM layers of 512 ``units`` over the six steps, flattened, dense 128, 64 and 32.

    Source: seed 003 (7 classes, MFCC frames of 3 s).
    """
    import keras

    layers = _convolutions(input_shape)
    layers += [keras.layers.LSTM(units, return_sequences=True) for _ in range(2)]
    layers.append(keras.layers.Flatten())
    for width in (128, 64, 32):
        layers += [
            keras.layers.Dense(width),
            keras.layers.LeakyReLU(),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
        ]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])


def _convolutions(input_shape: tuple[int, ...]) -> list[Any]:
    import keras

    layers: list[Any] = [keras.Input(input_shape)]
    for width in (64, 128):
        layers += [
            keras.layers.Conv1D(width, 5, padding="same", activation="elu"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling1D(5, padding="same"),
            keras.layers.Dropout(0.3),
        ]
    return layers


_PLATEAU_003 = {"monitor": "dev_accuracy", "factor": 0.3, "patience": 3, "min_lr": 1e-5}

SEED001_CNN = keras_model(
    name="seed001-cnn",
    title="1-D CNN of seed 001 on 162 means (Keras)",
    build="ser_bench.models.seed_networks_keras:seed001_cnn",
    features="seed001-162",
    uses_dev=False,
    epochs=200,
    plateau={"monitor": "loss", "factor": 0.4, "patience": 2, "min_lr": 1e-7},
    patience=None,
)
SEED003_BASELINE = keras_model(
    name="seed003-baseline",
    title="two convolutions of seed 003 on MFCC frames (Keras)",
    build="ser_bench.models.seed_networks_keras:seed003_baseline",
    input="frames",
    features="seed003-mfcc40",
    epochs=50,
    batch_size=64,
    optimiser="RMSprop",
    plateau=_PLATEAU_003,
    patience=None,
    n_frames=130,
)
SEED003_CNN_LSTM = keras_model(
    name="seed003-cnn-lstm",
    title="CNN-LSTM of seed 003 on MFCC frames (Keras)",
    build="ser_bench.models.seed_networks_keras:seed003_cnn_lstm",
    units=512,
    input="frames",
    features="seed003-mfcc40",
    epochs=50,
    batch_size=64,
    optimiser="RMSprop",
    plateau=_PLATEAU_003,
    patience=None,
    n_frames=130,
)
