"""The librosa sets: equal to librosa's separate calls, finite for any sound, level-free where they say so."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_bench.audio import AudioSource, decode
from ser_bench.features import librosa_spectra, seed_sets
from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.librosa_sets import (
    LEVEL_FREE90,
    LOGMEL64,
    MFCC40_MEAN,
    STATS180,
)
from ser_bench.features.librosa_spectra import estimate_tuning
from ser_bench.features.seed_sets import SEED000_186

SETS = (MFCC40_MEAN, STATS180, SEED000_186, LEVEL_FREE90, LOGMEL64)
LENGTHS = (1, 511, 1024, 1500, 2048, 2049, 30_000, 120_000)
"""Shorter than a hop, than either transform, exactly as long, and longer than seed000-186 keeps."""


@pytest.fixture(autouse=True)
def _no_warning_leaks() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _voice(n_samples: int, sample_rate_hz: int = 22_050) -> Float32:
    """A gliding harmonic tone with two resonances, a pause and faint noise."""
    random = np.random.RandomState(7)
    time_s = np.arange(n_samples) / sample_rate_hz
    phase = 2 * np.pi * np.cumsum(180 + 40 * np.sin(2 * np.pi * 1.3 * time_s)) / sample_rate_hz
    gains = [1 / k + 0.8 * np.exp(-(((180 * k - 700) / 300) ** 2)) for k in range(1, 20)]
    voiced = sum(gain * np.sin(k * phase) for k, gain in enumerate(gains, 1))
    envelope = np.clip(np.sin(2 * np.pi * 2 * time_s), 0, 1)
    return (0.1 * envelope * voiced + 3e-5 * random.randn(n_samples)).astype(np.float32)


def _real(root: Path, n: int = 2) -> Iterator[tuple[Float32, int]]:
    """Utterances of each corpus at its own rate and at the one of most suites."""
    for corpus, rate in (("ravdess", 22_050), ("ravdess", 48_000), ("crema-d", None), ("tess", None)):
        files = sorted(path for path in (root / corpus).rglob("*") if path.suffix in (".flac", ".wav"))
        for path in islice(files, 0, None, len(files) // n):
            yield decode(AudioSource(path=str(path)), rate)


def _librosa_mfcc40_mean(samples: Float32, rate: int) -> Float32:
    import librosa

    return librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=40, n_fft=2048, hop_length=512).mean(axis=1)


def _librosa_stats180(samples: Float32, rate: int) -> Float32:
    import librosa

    chroma = librosa.feature.chroma_stft(S=np.abs(librosa.stft(samples, n_fft=2048, hop_length=512)), sr=rate)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=2048, hop_length=512)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=40)
    return np.concatenate([part.mean(axis=1) for part in (mfcc, chroma, mel)])


def _librosa_seed000(samples: Float32, rate: int) -> Float32:
    import librosa

    padded = librosa.util.fix_length(samples.astype(float), size=116_247)
    signal = ((padded - padded.mean()) / padded.std()).astype(np.float32)
    framing = {"n_fft": 1024, "hop_length": 512}
    mfcc = librosa.feature.mfcc(y=signal, sr=rate, n_mfcc=40, **framing).mean(axis=1)
    chroma = librosa.feature.chroma_stft(S=np.abs(librosa.stft(signal, **framing)), sr=rate).mean(axis=1)
    mel = librosa.feature.melspectrogram(y=signal, sr=rate, **framing).mean(axis=1)
    whole = [signal.max(), signal.min(), 0, 1, np.median(signal), np.ptp(signal)]
    return np.concatenate([mfcc, np.log1p(chroma), np.log1p(mel), np.array(whole, dtype=np.float32)])


def _librosa_logmel64(samples: Float32, rate: int) -> Float32:
    import librosa

    window, hop = round(0.04 * rate), round(0.01 * rate)
    n_fft = 2 ** int(np.ceil(np.log2(window)))
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=n_fft, hop_length=hop, win_length=window, n_mels=64)
    return librosa.power_to_db(mel, top_db=None).T


def _librosa_level_free90(samples: Float32, rate: int) -> Float32:
    import librosa

    signal = (samples / np.sqrt(np.mean(samples.astype(float) ** 2))).astype(np.float32)
    mel = librosa.feature.melspectrogram(y=signal, sr=rate, n_fft=2048, hop_length=512, fmax=0.45 * rate)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=40)[1:]
    magnitude = np.abs(librosa.stft(signal, n_fft=2048, hop_length=512))
    magnitude[librosa.fft_frequencies(sr=rate, n_fft=2048) > 0.45 * rate] = 0
    chroma = librosa.feature.chroma_stft(S=magnitude, sr=rate, tuning=0.0)
    return np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1), chroma.mean(axis=1)])


SEPARATE_CALLS: dict[str, Callable[[Float32, int], Float32]] = {
    "mfcc40-mean": _librosa_mfcc40_mean,
    "stats180": _librosa_stats180,
    "seed000-186": _librosa_seed000,
    "logmel64": _librosa_logmel64,
}


def _check_equals_librosa(samples: Float32, rate: int) -> None:
    shared = Analysis(samples, rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {name: call(samples, rate) for name, call in SEPARATE_CALLS.items()}
        level_free = _librosa_level_free90(samples, rate)
    for feature_set in SETS:
        if feature_set is LEVEL_FREE90:
            # Its chroma leaves the emptied bins out of the sum instead of adding zeros: equal but for rounding.
            np.testing.assert_allclose(feature_set(shared), level_free, rtol=1e-4, atol=1e-4)
        else:
            assert np.array_equal(feature_set(shared), expected[feature_set.name]), feature_set.name


@pytest.mark.parametrize("n_samples", LENGTHS)
@pytest.mark.parametrize("rate", [11_025, 22_050, 48_000])
def test_values_equal_those_of_librosas_separate_calls(n_samples: int, rate: int) -> None:
    _check_equals_librosa(_voice(n_samples, rate), rate)


@pytest.mark.corpus
def test_values_equal_those_of_librosas_separate_calls_on_real_speech(corpora_root: Path) -> None:
    for samples, rate in _real(corpora_root):
        _check_equals_librosa(samples, rate)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.sampled_from([4_000, 8_000, 11_025, 22_050, 48_000]),
    coarse=st.booleans(),
    n_fft=st.sampled_from([512, 1024, 2048]),
)
def test_tuning_equals_librosas_also_among_ties(seed: int, rate: int, coarse: bool, n_fft: int) -> None:
    import librosa

    magnitude = np.random.RandomState(seed).rayleigh(size=(n_fft // 2 + 1, 9)).astype(np.float32)
    if coarse:  # neighbours that are equal, and peaks that the parabola can't place
        magnitude = np.round(magnitude)
    assert estimate_tuning(magnitude, rate) == librosa.estimate_tuning(S=magnitude, sr=rate)


@pytest.mark.corpus
def test_tuning_equals_librosas_on_real_speech(corpora_root: Path) -> None:
    import librosa

    for samples, rate in _real(corpora_root, n=10):
        for n_fft in (1024, 2048):
            magnitude = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=512))
            assert estimate_tuning(magnitude, rate) == librosa.estimate_tuning(S=magnitude, sr=rate)


@pytest.mark.parametrize("feature_set", SETS, ids=lambda feature_set: feature_set.name)
@pytest.mark.parametrize("rate", [7_993, 22_050, 48_000, 96_000])
@pytest.mark.parametrize("n_samples", [1, 700, 2047, 50_000, 130_000])
def test_silence_steady_and_broken_sound_gives_finite_values(
    n_samples: int, rate: int, feature_set: FeatureSet
) -> None:
    click = np.zeros(n_samples, dtype=np.float32)
    click[n_samples // 2] = 1.0
    late = _voice(n_samples, rate)
    late[: n_samples // 2] = 0.0
    for samples in (np.zeros_like(click), np.full_like(click, 0.3), np.full_like(click, 1e-5), click, late):
        assert np.isfinite(feature_set(Analysis(samples, rate))).all()


@settings(deadline=None, max_examples=30)
@given(gain_db=st.floats(-30, 20), rate=st.sampled_from([11_025, 22_050]))
def test_level_free90_does_not_move_with_the_recording_level(gain_db: float, rate: int) -> None:
    samples = _voice(40_000, rate)
    louder = (samples * 10 ** (gain_db / 20)).astype(np.float32)
    np.testing.assert_allclose(
        LEVEL_FREE90(Analysis(louder, rate)), LEVEL_FREE90(Analysis(samples, rate)), rtol=1e-5, atol=1e-4
    )


@pytest.mark.corpus
@pytest.mark.parametrize("gain_db", [-30, -7, 20])
def test_level_free90_does_not_move_with_the_level_of_real_speech(corpora_root: Path, gain_db: float) -> None:
    for samples, rate in _real(corpora_root):
        louder = (samples * 10 ** (gain_db / 20)).astype(np.float32)
        np.testing.assert_allclose(
            LEVEL_FREE90(Analysis(louder, rate)), LEVEL_FREE90(Analysis(samples, rate)), rtol=1e-5, atol=1e-3
        )


def test_level_free90_does_not_see_whether_the_upper_band_is_empty() -> None:
    rate, n_samples = 11_025, 40_000
    full = _voice(n_samples, rate) + 0.02 * np.random.RandomState(3).randn(n_samples).astype(np.float32)
    spectrum = np.fft.rfft(full)
    spectrum[np.fft.rfftfreq(n_samples, 1 / rate) > 0.46 * rate] = 0
    emptied = np.fft.irfft(spectrum, n_samples).astype(np.float32)
    kept, lost = (LEVEL_FREE90(Analysis(samples, rate)) for samples in (full, emptied))
    # At the utterance's two cut ends the emptied band rings into the others; elsewhere nothing is left of it.
    np.testing.assert_allclose(lost, kept, atol=0.05)
    mean, emptied_mean = (STATS180(Analysis(samples, rate))[:40] for samples in (full, emptied))
    assert np.abs(emptied_mean - mean).max() > 1.0, "the control shows that the emptied band is there to be seen"


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("n_samples", [1, 399, 400, 30_000])
def test_logmel64_has_a_frame_every_ten_milliseconds(n_samples: int, rate: int) -> None:
    frames = LOGMEL64(Analysis(_voice(n_samples, rate), rate))
    assert frames.shape == (1 + n_samples // round(0.01 * rate), 64)
    assert frames.dtype == np.float32


def test_logmel64_of_a_frame_does_not_depend_on_how_loud_others_are() -> None:
    samples = _voice(44_100)
    quiet_end = samples.copy()
    quiet_end[:22_050] *= np.float32(100.0)
    before, after = (LOGMEL64(Analysis(signal, 22_050)) for signal in (samples, quiet_end))
    assert np.array_equal(before[-90:], after[-90:])


def test_one_spectrum_per_framing_feeds_all_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    import librosa

    transforms: list[int] = []
    stft = librosa.stft

    def counted(samples: Float32, **settings: int) -> Float32:
        transforms.append(settings["n_fft"])
        return stft(samples, **settings)

    monkeypatch.setattr(librosa, "stft", counted)
    analysis = Analysis(_voice(30_000), 22_050)
    for feature_set in SETS:
        feature_set(analysis)
    assert sorted(transforms) == [1024, 1024, 2048, 2048]  # padded, log-mel; plain, levelled


def test_mel_banks_are_built_once_not_per_utterance() -> None:
    librosa_spectra.mel_bank.cache_clear()
    for _ in range(3):
        LOGMEL64(Analysis(_voice(3_000), 22_050))
    assert librosa_spectra.mel_bank.cache_info().misses == 1


def test_seed000_186_sees_nothing_beyond_its_116247_samples() -> None:
    samples = _voice(130_000)
    cut = SEED000_186(Analysis(samples[:116_247], 22_050))
    assert np.array_equal(SEED000_186(Analysis(samples, 22_050)), cut)


def test_seed000_186_states_the_mean_and_deviation_that_normalising_left() -> None:
    values = dict(zip(SEED000_186.columns, SEED000_186(Analysis(_voice(50_000), 22_050)), strict=True))
    signal = seed_sets.padded(Analysis(_voice(50_000), 22_050))
    assert signal.mean(dtype=float) == pytest.approx(values["global_mean"], abs=1e-6)
    assert signal.std(dtype=float) == pytest.approx(values["global_std"], abs=1e-6)


@pytest.mark.parametrize("feature_set", SETS, ids=lambda feature_set: feature_set.name)
def test_columns_and_groups_name_every_value_once(feature_set: FeatureSet) -> None:
    assert len(set(feature_set.columns)) == len(feature_set.columns)
    assert not set("[]<") & set("".join(feature_set.columns))
    for group, (start, stop) in feature_set.groups.items():
        assert {name.split("_")[0] for name in feature_set.columns[start:stop]} == {group}
    covered = [at for start, stop in feature_set.groups.values() for at in range(start, stop)]
    assert covered == list(range(len(feature_set.columns))) or not feature_set.groups


GOLDEN = {
    ("mfcc40-mean", 1): {
        "mfcc_01": -455,
        "mfcc_02": 123.2,
        "mfcc_11": -7.772,
        "mfcc_21": -6.941,
        "mfcc_31": 2.356,
        "mfcc_40": 2.009,
    },
    ("stats180", 1): {
        "mfcc_01": -455,
        "mfcc_02": 123.2,
        "chroma_01": 0.5059,
        "chroma_06": 0.5259,
        "mel_001": 6.6e-06,
        "mel_039": 1.881,
        "mel_084": 0.0135,
        "mel_128": 6.259e-08,
    },
    ("seed000-186", 1): {
        "mfcc_01": -369.9,
        "mfcc_02": 44.72,
        "chroma_01": 0.5453,
        "chroma_07": 0.6108,
        "mel_001": 0.001955,
        "mel_042": 4.603,
        "mel_088": 0.3768,
        "global_max": 7.691,
        "global_range": 15.39,
    },
    ("level-free90", 1): {
        "mfcc_02_mean": 154.7,
        "mfcc_03_mean": -83.34,
        "mfcc_24_mean": -8.303,
        "mfcc_08_std": 19.35,
        "mfcc_30_std": 20.09,
        "chroma_01": 0.5305,
        "chroma_12": 0.5033,
    },
    ("logmel64", 1): {
        "mel_01": -82.37,
        "mel_02": -81.49,
        "mel_17": -83.68,
        "mel_33": -80.33,
        "mel_49": -77.4,
        "mel_64": -82.05,
    },
}


@pytest.mark.parametrize("feature_set", SETS, ids=lambda feature_set: feature_set.name)
def test_values_have_not_changed_under_an_unchanged_version(feature_set: FeatureSet) -> None:
    values = np.atleast_2d(feature_set(Analysis(_voice(40_000), 22_050)))[-1]
    for column, expected in GOLDEN[feature_set.name, feature_set.version].items():
        assert values[feature_set.columns.index(column)] == pytest.approx(expected, rel=2e-3, abs=2e-3), (
            f"{feature_set.name}: {column} changed; if that is meant, raise FeatureSet.version, record the new values "
            "here and name the suites whose scores move in CHANGELOG.md"
        )
