"""The residual network and what it hears: augmentation, padding, and the frames made for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_bench.features.contract import Analysis
from ser_bench.features.trimmed_logmel import LOGMEL64_16K_TRIM
from ser_bench.models.contract import Examples, FitContext
from ser_bench.models.frame_augmentation import TOP_HZ, band_warps, cut_holes, retimed_crop
from ser_bench.models.se_resnet import HEARD_SPEEDS, HEARD_TEMPOS, SeResnet

COLUMNS = tuple(f"mel_{band}" for band in range(1, 65))
CONTEXT = FitContext(n_classes=8, class_names=tuple("abcdefgh"), seed=0)


def _examples(n: int = 24, seed: int = 0, n_classes: int = 8) -> Examples:
    random = np.random.RandomState(seed)
    lengths = random.randint(20, 260, n)
    shared = random.standard_normal((lengths.sum(), len(COLUMNS))).astype(np.float32)
    return Examples.of_frames(
        shared, COLUMNS, np.concatenate([[0], np.cumsum(lengths)]), classes=np.arange(n, dtype=np.int64) % n_classes
    )


def _fitted(**params: Any) -> SeResnet:
    pytest.importorskip("torch")
    model = SeResnet(**{"epochs": 2, "batch_size": 8, **params})
    model.fit(_examples(), None, CONTEXT)
    return model


def test_a_network_of_eight_classes_has_333_thousand_parameters() -> None:
    facts = _fitted(epochs=1).facts
    assert facts["n_parameters"] == 331_458
    assert facts["n_variants_tried"] >= 1


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    first, again = _fitted(), _fitted()
    assert np.array_equal(first.predict(_examples()).scores, again.predict(_examples()).scores)
    assert first.facts == again.facts
    other = SeResnet(epochs=2, batch_size=8)
    other.fit(_examples(), None, FitContext(n_classes=8, class_names=CONTEXT.class_names, seed=1))
    assert not np.array_equal(first.predict(_examples()).scores, other.predict(_examples()).scores)


def test_annotators_shares_are_learnt_and_not_the_labels() -> None:
    pytest.importorskip("torch")
    told = _examples()
    shares = np.full((24, 8), 0.05, dtype=np.float32)
    shares[:, 3] = 0.65
    told = Examples.of_frames(told.shared, COLUMNS, told.offsets, classes=told.classes, distributions=shares)
    model = SeResnet(epochs=10, batch_size=8, learning_rate=0.01)
    model.fit(told, None, CONTEXT)
    assert model.predict(told).labels.tolist() == [3] * 24


def test_a_dev_set_changes_nothing() -> None:
    pytest.importorskip("torch")
    model = SeResnet(epochs=2, batch_size=8)
    model.fit(_examples(), _examples(seed=1), CONTEXT)
    assert model.chosen == {}
    assert np.array_equal(model.predict(_examples()).scores, _fitted().predict(_examples()).scores)


def test_the_probabilities_of_an_utterance_do_not_depend_on_its_neighbours() -> None:
    model, together = _fitted(), _examples(40, seed=3)
    scores = model.predict(together).scores
    assert scores.sum(axis=1) == pytest.approx(np.ones(40))
    for row in (int(np.argmin(together.lengths)), 7, int(np.argmax(together.lengths))):
        alone = Examples.of_frames(together.shared, COLUMNS, together.offsets, rows=np.array([row]))
        assert model.predict(alone).scores[0] == pytest.approx(scores[row], abs=1e-6)


def test_prediction_is_the_mean_of_nine_hearings() -> None:
    import torch

    model, told = _fitted(), _examples(6)
    found = model.predict(told).scores
    heard = []
    for speed in HEARD_SPEEDS:
        for tempo in HEARD_TEMPOS:
            images, mask = model._heard(told, np.arange(6), np.full(6, speed), np.full(6, tempo))
            with torch.inference_mode():
                heard.append(model._judged(torch.from_numpy(images), torch.from_numpy(mask)).softmax(1).numpy())
    assert np.allclose(found, np.mean(heard, axis=0), atol=1e-6)
    assert np.ptp(heard, axis=0).max() > 1e-4


def test_padding_of_any_length_leaves_the_logits_as_they_are() -> None:
    torch = pytest.importorskip("torch")
    network = SeResnet().build(64, 8).eval()
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.bias)  # else a layer of zeros gives zeros, and nothing could be seen
    images = torch.randn(1, 1, 75, 64)
    longer = torch.nn.functional.pad(images, (0, 0, 0, 58))
    mask = torch.ones(1, 75)
    with torch.inference_mode():
        plain, padded = network(images, mask), network(longer, torch.nn.functional.pad(mask, (0, 58)))
        unmasked = network(longer, torch.ones(1, 133))
    assert torch.allclose(plain, padded, atol=1e-5)
    assert not torch.allclose(plain, unmasked, atol=1e-3)


def test_training_hears_crops_that_differ_and_prediction_whole_utterances_unchanged() -> None:
    model, examples, rows = SeResnet(), _examples(), np.arange(24)
    random = np.random.RandomState(0)
    first, second = (model.inputs(examples, rows, random) for _ in range(2))
    assert first[0].shape[1] == 1 and first[0].shape[2] <= 192 and first[0].shape[3] == 64
    assert first[1].shape == (24, first[0].shape[2])
    n = min(first[0].shape[2], second[0].shape[2])
    assert not np.array_equal(first[0][:, :, :n], second[0][:, :, :n])
    images, mask = model.inputs(examples, rows, None)
    assert mask.sum(axis=1).tolist() == examples.lengths.tolist()
    for row in (0, 5, 23):
        assert np.array_equal(images[row, 0, : examples.lengths[row]], examples.frames(row))


def test_only_training_hears_holes() -> None:
    ones = np.ones((5 * 80, len(COLUMNS)), dtype=np.float32)
    examples = Examples.of_frames(ones, COLUMNS, np.arange(6) * 80)
    for random, holes in ((np.random.RandomState(0), True), (None, False)):
        images, mask = SeResnet().inputs(examples, np.arange(5), random)
        assert bool((images[:, 0][mask == 1] == 0).any()) is holes


def test_mixing_hears_all_of_both_rows_and_keeps_targets_whole() -> None:
    torch = pytest.importorskip("torch")
    model = SeResnet(mixup=5.0)
    model._present = np.arange(3)
    images, mask = (
        torch.arange(1.0, 5.0).reshape(4, 1, 1, 1).expand(4, 1, 6, 2),
        torch.tensor([[1.0] * 6] * 2 + [[1.0, 0, 0, 0, 0, 0]] * 2),
    )
    (mixed, heard), shares = model.augment((images, mask), torch.tensor([0, 1, 2, 0]), np.random.RandomState(1))
    assert mixed.shape == images.shape and not torch.equal(mixed, images)
    assert set(heard.unique().tolist()) <= {0.0, 1.0} and bool((heard >= mask).all())
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 1, 1])


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 400),
    rate=st.floats(0.7, 1.35),
    n_frames=st.integers(1, 250),
    where=st.floats(0, 1, exclude_max=True),
)
def test_a_retimed_crop_lies_on_the_line_between_the_frames(n: int, rate: float, n_frames: int, where: float) -> None:
    frames = np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)
    crop = retimed_crop(frames, rate, n_frames, where)
    assert len(crop) == min(max(1, round(n / rate)), n_frames)
    assert crop.min() >= 0 and crop.max() <= n - 1
    np.testing.assert_allclose(np.diff(crop[:-1, 0]), rate, rtol=1e-2)


def test_a_retimed_crop_at_the_old_rate_is_the_utterance() -> None:
    frames = np.random.RandomState(0).standard_normal((50, 3)).astype(np.float32)
    assert np.array_equal(retimed_crop(frames, 1.0, 192, 0.5), frames)


def test_band_warps_bring_a_tone_to_its_new_frequency() -> None:
    librosa = pytest.importorskip("librosa")
    centres_hz = librosa.mel_frequencies(66, fmin=0, fmax=TOP_HZ)[1:-1]
    tone = np.exp(-0.5 * ((np.arange(64) - 30) / 2) ** 2).astype(np.float32)[None]
    for speed, warp in zip((0.85, 1.0, 1.15), band_warps(np.array([0.85, 1.0, 1.15]), 64), strict=True):
        place = float((tone @ warp)[0] @ np.arange(64) / (tone @ warp).sum())
        assert np.interp(place, np.arange(64), centres_hz) == pytest.approx(speed * centres_hz[30], rel=0.01)
    np.testing.assert_allclose(band_warps(np.array([1.0]), 64)[0], np.eye(64), atol=1e-5)
    np.testing.assert_allclose(band_warps(np.array([0.85, 1.15]), 64).sum(axis=1), 1, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), n_frames=st.integers(1, 200), n_columns=st.integers(1, 64))
def test_holes_are_zeros_and_leave_a_quarter_at_least(seed: int, n_frames: int, n_columns: int) -> None:
    batch = np.ones((3, n_frames, n_columns), dtype=np.float32)
    cut_holes(batch, np.random.RandomState(seed))
    assert set(np.unique(batch)) <= {0.0, 1.0}
    assert batch.mean(axis=(1, 2)).min() >= 0.25


def test_trimmed_frames_are_normalised_as_a_whole_and_know_no_silence_at_the_ends() -> None:
    rate, random = 16_000, np.random.RandomState(0)
    voice = (random.standard_normal(rate) * (1 + np.sin(np.arange(rate) / 500))).astype(np.float32) * np.float32(0.1)
    silence = np.zeros(rate // 2, dtype=np.float32)
    frames = LOGMEL64_16K_TRIM(Analysis(np.concatenate([silence, voice, silence]), rate))
    assert abs(len(frames) - 100) <= 6
    np.testing.assert_allclose(frames.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(), 1, atol=1e-3)
    louder = LOGMEL64_16K_TRIM(Analysis(np.concatenate([silence, voice * np.float32(5), silence]), rate))
    np.testing.assert_allclose(louder, frames, atol=1e-3)


@pytest.mark.parametrize("n_samples", [1, 300, 5_000])
def test_trimmed_frames_of_silence_and_steady_sound_are_finite(n_samples: int) -> None:
    for samples in (np.zeros(n_samples), np.full(n_samples, 0.3), np.eye(1, n_samples)[0]):
        assert np.isfinite(LOGMEL64_16K_TRIM(Analysis(samples.astype(np.float32), 16_000))).all()
