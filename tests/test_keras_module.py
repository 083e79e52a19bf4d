"""Keras networks: anybody's in twenty lines, and those of the rebuilt systems as their sources state them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ser_bench.models.contract import Examples, FitContext
from ser_bench.registry import import_object, load

pytest.importorskip("keras", reason="needs ser-bench[keras]")

N_CLASSES = 5
CONTEXT = FitContext(n_classes=N_CLASSES, class_names=tuple("abcde"), seed=3)


def two_layers(input_shape: tuple[int, ...], n_classes: int, width: int = 8) -> Any:
    import keras

    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(width, activation="relu")]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])


def vectors(n: int = 60, width: int = 6, seed: int = 0) -> Examples:
    state = np.random.RandomState(seed)
    classes = np.array([0, 2, 3])[np.arange(n) % 3]
    values = state.randn(n, width).astype(np.float32)
    values[np.arange(n), classes] += 3
    return Examples(values=values, columns=tuple(f"c{i}" for i in range(width)), classes=classes)


def built(**params: Any) -> Any:
    settings = {"epochs": 8, "batch_size": 16, "optimiser": "Adam", "learning_rate": 0.02, **params}
    return import_object("ser_bench.models.keras_module:KerasModule")("tests.test_keras_module:two_layers", **settings)


def test_somebodys_network_learns_and_a_class_absent_in_training_scores_0() -> None:
    model = built()
    model.fit(vectors(), None, CONTEXT)
    answer = model.predict(vectors(seed=1))
    assert (answer.labels == vectors().targets).mean() > 0.8
    assert answer.scores is not None and not answer.scores[:, [1, 4]].any()
    assert np.allclose(answer.scores.sum(axis=1), 1)
    assert model.facts["n_parameters"] == (6 * 8 + 8) + (8 * 3 + 3)


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    scores = []
    for seed in (0, 0, 1):
        model = built(epochs=2)
        model.fit(vectors(), None, FitContext(n_classes=N_CLASSES, class_names=tuple("abcde"), seed=seed))
        scores.append(model.predict(vectors(seed=1)).scores)
    assert np.array_equal(scores[0], scores[1]) and not np.array_equal(scores[0], scores[2])


def test_dev_chooses_the_epoch_and_patience_ends_the_training() -> None:
    model = built(epochs=30, patience=2)
    model.fit(vectors(), vectors(seed=1), CONTEXT)
    curve = model.facts["curve"]
    best = max(point["dev_uar"] for point in curve)
    assert curve[model.chosen["epochs"] - 1]["dev_uar"] == best
    assert len(curve) == model.chosen["epochs"] + 2 < 30


def test_the_learning_rate_falls_where_what_the_schedule_watches_stands_still() -> None:
    plateau = {"monitor": "dev_accuracy", "factor": 0.5, "patience": 1, "min_delta": 2.0}
    model = built(epochs=4, plateau=plateau)
    model.fit(vectors(), vectors(seed=1), CONTEXT)
    rates = [point["learning_rate"] for point in model.facts["curve"]]
    assert rates[-1] < rates[0]
    model.fit(vectors(), None, CONTEXT)  # the refit: without dev the training loss stands in


def test_frames_are_cut_and_padded_to_the_stated_length() -> None:
    lengths = np.array([3, 9, 5])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    frames = np.ones((17, 2), dtype=np.float32)
    train = Examples.of_frames(frames, ("a", "b"), offsets, classes=np.array([0, 1, 0]))
    model = built(epochs=1, n_frames=6)
    model.fit(train, None, CONTEXT)
    assert model.facts["n_parameters"] == (6 * 2 * 8 + 8) + (8 * 2 + 2)


@pytest.mark.parametrize(
    ("name", "shape", "n_classes", "n_parameters"),
    [
        ("seed001-cnn", (162,), 8, 475_368),
        ("seed003-baseline", (130, 40), 7, 59_719),
        ("seed003-cnn-lstm", (130, 40), 7, 3_870_663),
    ],
)
def test_the_rebuilt_networks_have_the_parameters_of_their_architectures(
    name: str, shape: tuple[int, ...], n_classes: int, n_parameters: int
) -> None:
    network = import_object(load("models", name).params["build"])(shape, n_classes)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == n_parameters
    assert network.output_shape == (None, n_classes)
