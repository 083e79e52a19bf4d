"""Normalisation: fitted on training rows only, or transductive and label-free; the same for vectors and frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ser_bench import normalise
from ser_bench.errors import UsageError
from ser_bench.normalise import DESCRIPTIONS, Normaliser, near_constant_columns

TRAIN = np.arange(40)
GROUPS = np.repeat([0, 1, 2], [20, 20, 10])

matrices = hnp.arrays(np.float32, (50, 3), elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False))


def speech(seed: int = 0) -> np.ndarray:
    random = np.random.RandomState(seed)
    return (random.normal(0, 1, (50, 4)) * [1, 10, 0.01, 3] + [0, 5, -300, 1] + GROUPS[:, None]).astype(np.float32)


@given(matrices, hnp.arrays(np.float32, (10, 3), elements=st.floats(-1e4, 1e4, width=32)))
def test_standard_looks_at_training_rows_only(values: np.ndarray, other_test_rows: np.ndarray) -> None:
    changed = np.concatenate([values[:40], other_test_rows])
    first = Normaliser.fit("standard", values, None, TRAIN, GROUPS)
    second = Normaliser.fit("standard", changed, None, TRAIN, GROUPS)
    assert np.array_equal(first.training.mean, second.training.mean)
    assert np.array_equal(first.training.scale, second.training.scale)


def test_standard_gives_training_rows_mean_0_and_sd_1() -> None:
    values = speech()
    training = Normaliser.fit("standard", values, None, TRAIN, GROUPS).apply(values[:40], GROUPS[:40])
    assert training.dtype == np.float32
    assert training.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-3)
    assert training.std(axis=0) == pytest.approx(np.ones(4), rel=1e-3)


@given(matrices)
def test_every_kind_returns_finite_float32_of_the_same_shape(values: np.ndarray) -> None:
    for kind in DESCRIPTIONS:
        done = Normaliser.fit(kind, values, None, TRAIN, GROUPS).apply(values, GROUPS)
        assert done.shape == values.shape and done.dtype == np.float32 and np.isfinite(done).all()


def test_a_value_far_outside_the_least_spread_of_training_stays_finite() -> None:
    values = np.full((len(GROUPS), 1), 1.1754944e-38, dtype=np.float32)
    values[TRAIN[0]] = 0.0
    values[np.setdiff1d(np.arange(len(GROUPS)), TRAIN)] = 1.0
    done = Normaliser.fit("standard", values, None, TRAIN, GROUPS).apply(values, GROUPS)
    assert np.isfinite(done).all()


def test_a_constant_column_is_centred_and_not_blown_up() -> None:
    values = speech()
    values[:, 1] = 0.1
    done = Normaliser.fit("standard", values, None, TRAIN, GROUPS).apply(values, GROUPS)
    assert np.abs(done[:, 1]).max() < 1e-6


def test_none_returns_the_values_as_they_are() -> None:
    values = speech()
    assert np.array_equal(Normaliser.fit("none", values, None, TRAIN, GROUPS).apply(values, GROUPS), values)


@pytest.mark.parametrize("kind", ["speaker", "corpus"])
def test_transductive_kinds_give_every_group_mean_0_and_sd_1_test_side_included(kind: str) -> None:
    values = speech()
    done = Normaliser.fit(kind, values, None, TRAIN, GROUPS).apply(values, GROUPS)
    for code in range(3):
        own = done[np.isin(GROUPS, code)]
        assert own.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-3)
        assert own.std(axis=0) == pytest.approx(np.ones(4), rel=1e-2)


def test_the_control_that_is_fitted_on_all_rows_gives_all_rows_mean_0() -> None:
    values = speech()
    done = Normaliser.fit("all", values, None, TRAIN, GROUPS).apply(values, GROUPS)
    assert done.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-3)
    assert done[TRAIN].mean(axis=0) != pytest.approx(np.zeros(4), abs=1e-3)


def test_unknown_speakers_and_speakers_of_one_row_fall_back_to_the_training_moments() -> None:
    values = speech()
    groups = GROUPS.copy()
    groups[-1], groups[-2] = -1, 7
    done = Normaliser.fit("speaker", values, None, TRAIN, groups).apply(values, groups)
    standard = Normaliser.fit("standard", values, None, TRAIN, groups).apply(values, groups)
    assert np.array_equal(done[-2:], standard[-2:])
    assert not np.array_equal(done[:-2], standard[:-2])


def test_one_row_is_normalised_as_it_is_among_all_rows() -> None:
    values = speech()
    for kind in DESCRIPTIONS:
        fitted = Normaliser.fit(kind, values, None, TRAIN, GROUPS)
        assert np.array_equal(fitted.apply(values[44:45], GROUPS[44:45])[0], fitted.apply(values, GROUPS)[44])


@given(st.lists(st.integers(1, 5), min_size=6, max_size=6), st.permutations(range(6)))
def test_frames_are_normalised_by_the_frames_of_the_training_utterances(lengths: list[int], order: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.random.RandomState(sum(lengths)).normal(3, 2, (offsets[-1], 2)).astype(np.float32)
    rows = np.array(order[:3])
    fitted = Normaliser.fit("standard", values, offsets, rows, np.zeros(6, dtype=np.int64))
    frames = np.concatenate([values[offsets[row] : offsets[row + 1]] for row in rows])
    assert fitted.training.mean == pytest.approx(frames.mean(axis=0), rel=1e-5)


def test_moments_do_not_depend_on_how_rows_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    values = speech()
    whole = Normaliser.fit("speaker", values, None, TRAIN, GROUPS)
    monkeypatch.setattr(normalise, "_CHUNK_ROWS", 7)
    parts = Normaliser.fit("speaker", values, None, TRAIN, GROUPS)
    assert parts.training.scale == pytest.approx(whole.training.scale, rel=1e-12)
    assert parts.groups[2].mean == pytest.approx(whole.groups[2].mean, rel=1e-12)


def test_near_constant_columns_names_those_that_hold_rounding_only() -> None:
    values = speech()
    values[:, 1] = 0.0
    values[:, 3] = 1000.0
    values[0, 3] = 1000.0005
    assert near_constant_columns(values).tolist() == [1, 3]


def test_an_unknown_kind_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'speaker'"):
        Normaliser.fit("speakers", speech(), None, TRAIN, GROUPS)


def test_no_training_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        Normaliser.fit("standard", speech(), None, TRAIN[:0], GROUPS)
