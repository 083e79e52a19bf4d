"""The rebuilt PyTorch networks: their layers, their sizes, and what they are fed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ser_bench.models import seed_networks_torch as seeds
from ser_bench.models.contract import Examples, FitContext, ModelSpec
from ser_bench.registry import import_object, load

torch = pytest.importorskip("torch", reason="pip install '.[torch]'")

CONTEXT = FitContext(n_classes=8, class_names=tuple("abcdefgh"), seed=0)


def build(spec: ModelSpec, **params: Any) -> Any:
    return import_object(spec.factory)(**{**spec.params, **params})


def frames(lengths: list[int], n_columns: int, mean: float = 0.0) -> Examples:
    values = np.random.RandomState(0).normal(mean, 2.0, (sum(lengths), n_columns)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    columns = tuple(f"column {i}" for i in range(n_columns))
    return Examples.of_frames(values, columns, offsets, classes=np.arange(len(lengths)) % 8)


def n_parameters(spec: ModelSpec, n_columns: int, n_outputs: int, measured: dict[str, Any] | None = None) -> int:
    model = build(spec)
    model.measured = measured or {}
    return sum(p.numel() for p in model.build(n_columns, n_outputs).parameters())


@pytest.mark.parametrize(
    ("spec", "n_columns", "n_outputs", "published"),
    [
        (seeds.SEED000_CNN1D, 186, 8, 576_008),
        (seeds.SEED000_CNN2D, 219, 8, 2_205_958),
        # linear (in + 1) x out, and two numbers per unit of the batch norms
        (seeds.SEED000_MLP, 186, 8, 187 * 372 + 373 * 744 + 745 * 744 + 745 * 372 + 373 * 8 + 2 * (2 * 372 + 2 * 744)),
        (seeds.SEED002_CNN1D, 60, 4, 100 * 6 + (60 * 100 + 1) * 4),
        (seeds.SEED002_CNN2D, 40, 4, 16 * (20 + 1) + 64 * (160 + 1) + 128 * (640 + 1) + 129 * 4),
        (seeds.SEED002_CNN_LSTM, 40, 4, 16 * 21 + 64 * 161 + 2 * 4 * 128 * (128 + 128 + 2) + 257 * 4),
    ],
    ids=lambda value: value.name if isinstance(value, ModelSpec) else None,
)
def test_the_number_of_parameters_is_the_sources(
    spec: ModelSpec, n_columns: int, n_outputs: int, published: int
) -> None:
    assert n_parameters(spec, n_columns, n_outputs) == published


def test_source_004s_network_has_45_steps_of_128_channels_at_691_frames() -> None:
    n_steps = ((691 - 10) // 3 + 1) // 5
    expected = 128 * (10 * 23 + 1) + (n_steps * 128 + 1) * 128 + 129 * 4
    assert (n_steps, n_parameters(seeds.SEED004_CNN, 23, 4, {"n_frames": 691})) == (45, expected)


@pytest.mark.parametrize(
    ("spec", "examples", "shape"),
    [
        (seeds.SEED000_CNN1D, Examples(values=np.ones((2, 186), np.float32), columns=("x",) * 186), (2, 1, 186)),
        (seeds.SEED000_CNN1D, Examples(values=np.ones((2, 12), np.float32), columns=("x",) * 12), (2, 1, 33)),
        (seeds.SEED000_CNN2D, frames([100, 300], 52), (2, 1, 228, 52)),
        (seeds.SEED000_CNN2D, frames([100, 300], 12), (2, 1, 228, 24)),
        (seeds.SEED002_CNN2D, frames([30, 60], 40), (2, 2, 20, 50)),
        (seeds.SEED002_CNN2D, frames([30, 60], 8), (2, 2, 16, 50)),
    ],
)
def test_inputs_are_cut_and_filled_up_to_what_the_layers_take(
    spec: ModelSpec, examples: Examples, shape: tuple[int, ...]
) -> None:
    (fed,) = build(spec).inputs(examples, np.array([0, 1]), None)
    assert fed.shape == shape


def test_the_smallest_image_that_source_000s_network_takes_leaves_one_value_a_channel() -> None:
    model = build(seeds.SEED000_CNN2D, n_channels=4, n_frames=181)
    layers = model.layers(24, 8)
    convolved = torch.nn.Sequential(*layers[:8])(torch.zeros(1, 1, 181, 24))
    assert convolved.shape == (1, 2, 1, 1)


def test_the_two_maps_of_source_002_are_halves_of_the_columns() -> None:
    examples = frames([50], 40)
    (maps,) = build(seeds.SEED002_CNN2D).inputs(examples, np.array([0]), None)
    values = examples.frames(0)
    assert np.array_equal(maps[0, 0], values[:, :20].T) and np.array_equal(maps[0, 1], values[:, 20:].T)
    with pytest.raises(ValueError, match="two maps of equal height expected, 7 columns"):
        build(seeds.SEED002_CNN2D).inputs(frames([50], 7), np.array([0]), None)


def test_source_004s_frames_are_z_scores_of_training_and_padding_is_0() -> None:
    train = frames([40, 60, 80], 23, mean=5.0)
    model = build(seeds.SEED004_CNN, epochs=1)
    model.fit(train, None, CONTEXT)
    values = train.shared.astype(np.float64)
    assert model.measured["n_frames"] == int(60 + np.std([40, 60, 80])) == 76
    assert (model.measured["mean"], model.measured["sd"]) == pytest.approx((values.mean(), values.std()))
    (fed,) = model.inputs(train, np.array([0, 2]), None)
    assert fed.shape == (2, 1, 76, 23) and not fed[0, 0, 40:].any()
    assert fed[0, 0, :40] == pytest.approx((train.frames(0) - values.mean()) / values.std(), abs=1e-4)


def test_their_training_is_the_sources() -> None:
    adam = {"betas": (0.9, 0.98), "eps": 1e-9}
    for spec, more in ((seeds.SEED000_MLP, adam), (seeds.SEED004_CNN, {"betas": (0.9, 0.999), "eps": 1e-8})):
        model = build(spec)
        optimiser = model.training.optimiser(torch.nn.Linear(1, 1))
        assert type(optimiser).__name__ == "Adam" and optimiser.param_groups[0]["lr"] == 1e-4
        assert {name: optimiser.param_groups[0][name] for name in more} == more
    assert build(seeds.SEED004_CNN).training.class_weights and not build(seeds.SEED000_MLP).training.class_weights
    schedules = {spec.name: build(spec).training.schedule for spec in (seeds.SEED002_CNN2D, seeds.SEED002_CNN_LSTM)}
    assert schedules == {"seed002-cnn2d": seeds.ONE_CYCLE, "seed002-cnn-lstm": None}


def test_source_000s_weights_start_he_uniform() -> None:
    model = build(seeds.SEED000_MLP)
    first = model.build(186, 8)[0].weight.detach()
    bound = np.sqrt(6 / 186)
    assert 0.99 * bound < float(first.abs().max()) <= bound


@pytest.mark.parametrize("name", ["seed000-cnn2d", "seed002-cnn2d", "seed002-cnn-lstm", "seed004-cnn"])
def test_the_sets_they_are_fed_by_default_fit(name: str) -> None:
    spec = load("models", name)
    columns = load("features", spec.features).columns
    small = {"n_channels": 4} if name == "seed000-cnn2d" else {}
    model = build(spec, epochs=1, **small)
    model.fit(frames([228, 228, 228, 200], len(columns)), None, CONTEXT)
    assert model.facts["epochs"] == 1
