"""Sets made of other sets by name, the waveform, and the rate at which each set gets its samples."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_bench import cells, registry, worker
from ser_bench.audio import AudioSource, decode, facts, resample
from ser_bench.errors import UsageError
from ser_bench.features import Analysis, FeatureSet
from ser_bench.features.derived import PERCENTILES, Functionals, WithDeltas
from ser_bench.store import PackedStore


def _given(frames):
    """A set whose frames are ``frames``, whatever the sound."""
    columns = tuple(f"c{n}" for n in range(frames.shape[1]))
    return FeatureSet(
        name="given", version=1, title="given", kind="frames", columns=columns, compute=lambda analysis: frames
    )


SILENT = Analysis(np.zeros(1, dtype=np.float32), 16000)


@settings(deadline=None, max_examples=30)
@given(n_frames=st.integers(1, 30), seed=st.integers(0, 99))
def test_functionals_are_numpys_statistics_of_each_column(n_frames, seed):
    frames = np.random.RandomState(seed).randn(n_frames, 3).astype(np.float32)
    values = Functionals(_given(frames))(SILENT).reshape(7, 3)
    for column in range(3):
        track = frames[:, column].astype(np.float64)
        expected = [track.mean(), track.std(), *np.percentile(track, PERCENTILES)]
        np.testing.assert_allclose(values[:, column], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_frames", [9, 10, 40])
def test_deltas_are_the_slope_and_the_curvature_of_nine_frames(n_frames):
    frames = np.random.RandomState(0).randn(n_frames, 2).astype(np.float32)
    found = WithDeltas(_given(frames))(SILENT)
    assert np.array_equal(found[:, :2], frames)
    middle, offsets = n_frames // 2, np.arange(-4, 5)
    nine = frames[middle - 4 : middle + 5].astype(np.float64)
    slope, curvature = np.polyfit(offsets, nine, 1)[0], 2 * np.polyfit(offsets, nine, 2)[0]
    np.testing.assert_allclose(found[middle, 2:], [*slope, *curvature], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_frames", [1, 2, 8])
def test_deltas_of_a_constant_are_zero_however_short_it_is(n_frames):
    found = WithDeltas(_given(np.full((n_frames, 2), 7.0, dtype=np.float32)))(SILENT)
    assert found.shape == (n_frames, 6)
    np.testing.assert_allclose(found[:, 2:], 0, atol=1e-5)


def test_a_chained_name_has_a_column_and_a_group_for_each_statistic():
    found = registry.load("features", "logmel64+deltas+functionals")
    assert (found.name, found.kind, len(found.columns)) == ("logmel64+deltas+functionals", "vector", 64 * 3 * 7)
    assert found.columns[0] == "mel_01_mean" and found.columns[-1] == "mel_64_delta2_p95"
    assert list(found.groups) == ["mean", "sd", "p05", "p25", "p50", "p75", "p95"]
    for statistic, (start, stop) in found.groups.items():
        assert {name.rpartition("_")[2] for name in found.columns[start:stop]} == {statistic}
    deltas = registry.load("features", "logmel64+deltas")
    assert deltas.groups == {"static": (0, 64), "delta": (64, 128), "delta2": (128, 192)}
    analysis = Analysis(np.random.RandomState(0).randn(8000).astype(np.float32), 16000)
    assert found(analysis).shape == (1344,) and deltas(analysis).shape[1] == 192


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("logmel64+delta", "unknown step 'delta' (did you mean 'deltas'?)"),
        ("stats180+deltas", "deltas needs frames, 'stats180' holds vector"),
        ("logmel64+functionals+deltas", "deltas needs frames, 'logmel64+functionals' holds vector"),
        ("logmle64+deltas", "unknown feature set 'logmle64' (did you mean 'logmel64'?)"),
    ],
)
def test_a_name_that_can_t_be_made_says_which_part_of_it(name, told):
    with pytest.raises(UsageError, match="feature set") as caught:
        registry.load("features", name)
    assert told in str(caught.value)


def test_a_derived_set_is_keyed_by_its_base(monkeypatch):
    def key():
        return cells.feature_digest("logmel64+deltas", registry.load("features", "logmel64+deltas"), 16000)

    before, digest_of = key(), cells.feature_digest
    assert before == key() != digest_of("logmel64", registry.load("features", "logmel64"), 16000)
    monkeypatch.setattr(cells, "feature_digest", lambda name, *more: "other" if name == "logmel64" else None)
    assert digest_of("logmel64+deltas", registry.load("features", "logmel64+deltas"), 16000) != before


def test_a_set_s_own_rate_stands_over_the_suite_s_in_its_key():
    plain, fixed, own = (
        FeatureSet(
            name="x", version=1, title="", kind="vector", columns=("a",), compute=facts, sample_rate_hz=rate
        )  # any function of a module will do
        for rate in (None, 16000, "native")
    )
    assert [one.rate_hz(8000) for one in (plain, fixed, own)] == [8000, 16000, None]
    keys = {
        (name, rate): cells.feature_digest("stats180", one, rate)
        for name, one in (("plain", plain), ("fixed", fixed), ("own", own))
        for rate in (8000, 16000)
    }
    assert keys["fixed", 8000] == keys["fixed", 16000] == keys["plain", 16000] != keys["plain", 8000]
    assert keys["own", 8000] == keys["own", 16000] != keys["plain", 16000]


def test_each_set_gets_the_samples_at_its_rate_from_one_decoding(tmp_path, monkeypatch):
    time_s = np.arange(11025) / 11025
    soundfile.write(tmp_path / "tone.wav", 0.4 * np.sin(2 * np.pi * 300 * time_s), 11025)
    source = AudioSource(path=str(tmp_path / "tone.wav"))
    seen = {}

    def take(name):
        def compute(analysis):
            seen[name] = (analysis.samples.copy(), analysis.sample_rate_hz)
            return np.zeros(1, dtype=np.float32)

        return FeatureSet(name=name, version=1, title="", kind="vector", columns=("a",), compute=compute)

    monkeypatch.setattr(registry, "load", lambda kind, name: take(name))
    key = facts(source).content_id
    names = {"suite": 8000, "fixed": 16000, "fixed-too": 16000, "own": None}
    task = {
        "items": [[key, b"%s" % str(tmp_path / "tone.wav").encode(), 0.0, None, list(names), key, []]],
        "sets": {name: [str(tmp_path / name), rate] for name, rate in names.items()},
    }
    assert worker.extract_features(task, lambda done, total: None) == {"failed": {}}
    samples, rate = decode(source)
    assert {name: hz for name, (_, hz) in seen.items()} == {name: hz or rate for name, hz in names.items()}
    assert np.array_equal(seen["own"][0], samples)
    assert np.array_equal(seen["fixed"][0], resample(samples, rate, 16000))
    assert all(not PackedStore(tmp_path / name).missing([key]) for name in names)


def test_waveform16k_is_the_sound_as_it_is():
    found = registry.load("features", "waveform16k")
    samples = np.random.RandomState(0).randn(700).astype(np.float32)
    assert np.array_equal(found(Analysis(samples, 16000)), samples[:, None])
    assert (found.kind, found.rate_hz(22050)) == ("frames", 16000)
