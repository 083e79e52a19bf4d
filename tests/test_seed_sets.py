"""The rebuilt systems' feature sets, and those of other packages: equal to separate calls, finite for any sound."""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from ser_bench import registry
from ser_bench.errors import PrerequisiteError
from ser_bench.features import Analysis, opensmile_sets
from ser_bench.features.kaldi_sets import KALDI_FBANK23
from ser_bench.features.opensmile_sets import COMPARE2016, COMPARE2016_16K, EGEMAPS, EGEMAPS_16K
from ser_bench.features.seed_sets import (
    SEED000_186,
    SEED000_193,
    SEED000_IMAGE,
    SEED001_162,
    SEED002_114,
    SEED002_TENSOR,
    SEED003_MFCC40,
    SEED003_MFCC40_MEAN,
)
from tests.processes import python

RATE_HZ = 22_050
SEEDS = (SEED000_193, SEED000_IMAGE, SEED001_162, SEED002_114, SEED002_TENSOR, SEED003_MFCC40, SEED003_MFCC40_MEAN)
OPENSMILE = ((EGEMAPS, EGEMAPS_16K, "eGeMAPSv02"), (COMPARE2016, COMPARE2016_16K, "ComParE_2016"))
STATED = (EGEMAPS_16K, COMPARE2016_16K)


def _noise(n_samples, rate=RATE_HZ):
    """A buzz that swells, and noise."""
    time_s = np.arange(n_samples) / rate
    buzz = np.sign(np.sin(2 * np.pi * 140 * time_s)) * np.sin(2 * np.pi * 0.9 * time_s) ** 2
    return (0.2 * buzz + 0.01 * np.random.RandomState(5).randn(n_samples)).astype(np.float32)


def _seed000(samples, n_mels):
    """Chroma, mel and contrast of the padded signal by librosa's own calls, and its MFCC."""
    import librosa

    padded = librosa.util.fix_length(samples.astype(float), size=116_247)
    signal = ((padded - padded.mean()) / padded.std()).astype(np.float32)
    framing = {"n_fft": 1024, "hop_length": 512}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mel = librosa.feature.melspectrogram(y=signal, sr=RATE_HZ, n_mels=n_mels, **framing)
    return (
        librosa.feature.mfcc(y=signal, sr=RATE_HZ, n_mfcc=40, **framing),
        librosa.feature.chroma_stft(S=np.abs(librosa.stft(signal, **framing)), sr=RATE_HZ),
        mel,
        librosa.feature.spectral_contrast(y=signal, sr=RATE_HZ, **framing),
    )


@pytest.mark.parametrize("n_samples", [3_000, 50_000, 120_000])
def test_seed000_s_five_groups_are_those_of_its_vector_and_the_contrast(n_samples):
    samples = _noise(n_samples)
    analysis = Analysis(samples, RATE_HZ)
    values, vector = SEED000_193(analysis), SEED000_186(analysis)
    contrast = np.log1p(_seed000(samples, 128)[3].mean(axis=1))
    assert list(SEED000_193.groups) == ["mfcc", "chroma", "mel", "contrast", "global"]
    assert np.array_equal(np.concatenate([values[:180], values[187:]]), vector)
    np.testing.assert_allclose(values[180:187], contrast, rtol=1e-5)


@pytest.mark.parametrize("n_samples", [3_000, 120_000])
def test_seed000_image_has_228_frames_of_219_features(n_samples):
    samples = _noise(n_samples)
    image = SEED000_IMAGE(Analysis(samples, RATE_HZ))
    mfcc, *others = _seed000(samples, 160)
    assert image.shape == (228, 219)
    np.testing.assert_allclose(image, np.concatenate([mfcc, *map(np.log1p, others)]).T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1_500, 50_000])
def test_seed001_and_seed002_are_librosa_s_defaults(n_samples):
    import librosa

    samples = _noise(n_samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crossings = librosa.feature.zero_crossing_rate(samples).mean(axis=1)
        level = librosa.feature.rms(y=samples).mean(axis=1)
        chroma = librosa.feature.chroma_stft(S=np.abs(librosa.stft(samples)), sr=RATE_HZ).mean(axis=1)
        cepstra = librosa.feature.mfcc(y=samples, sr=RATE_HZ, n_mfcc=50)
        mel = librosa.feature.melspectrogram(y=samples, sr=RATE_HZ).mean(axis=1)
        magnitudes = librosa.feature.melspectrogram(y=samples, sr=RATE_HZ, n_mels=50, power=1).mean(axis=1)
        decibels = librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=RATE_HZ, n_mels=20), top_db=80)
    analysis = Analysis(samples, RATE_HZ)
    first = np.concatenate([crossings, chroma, cepstra[:20].mean(axis=1), level, mel])
    np.testing.assert_allclose(SEED001_162(analysis), first, rtol=1e-5, atol=1e-6)
    prediction = librosa.lpc(samples, order=12)
    assert prediction[0] == 1.0, "the coefficient that is left out says nothing"
    second = np.concatenate([cepstra.mean(axis=1), magnitudes, prediction[1:], level, crossings])
    np.testing.assert_allclose(SEED002_114(analysis), second, rtol=1e-5, atol=1e-6)
    tensor = SEED002_TENSOR(analysis)
    n_frames = min(50, decibels.shape[1])
    np.testing.assert_allclose(
        tensor.reshape(50, 2, 20).transpose(1, 2, 0)[:, :, :n_frames],
        np.stack([cepstra[:20], decibels])[:, :, :n_frames],
        rtol=1e-5,
        atol=1e-5,
    )
    assert not tensor[n_frames:].any()


def test_seed003_listens_for_three_seconds_from_half_a_second_on():
    import librosa

    samples = _noise(5 * RATE_HZ)
    heard = librosa.feature.mfcc(y=samples[RATE_HZ // 2 : RATE_HZ // 2 + 3 * RATE_HZ], sr=RATE_HZ, n_mfcc=40)
    frames = SEED003_MFCC40(Analysis(samples, RATE_HZ))
    np.testing.assert_allclose(frames, heard.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(SEED003_MFCC40_MEAN(Analysis(samples, RATE_HZ)), heard.mean(axis=1), rtol=1e-5)
    short = samples[: RATE_HZ // 2]
    assert len(SEED003_MFCC40(Analysis(short, RATE_HZ))) == 1 + len(short) // 512, "too short to skip anything"


def _fbank(samples, n_bands=23, rate=16_000):
    """Kaldi's filter bank, written out: windows inside the signal, mean off, pre-emphasis, Povey window, log mel."""
    scaled = samples.astype(np.float64) * 32_768
    starts = np.arange(0, len(scaled) - 400 + 1, 160)
    frames = np.stack([scaled[start : start + 400] for start in starts])
    frames -= frames.mean(axis=1, keepdims=True)
    frames -= 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(frames * window, 512)) ** 2
    mel = lambda hertz: 1127.0 * np.log1p(hertz / 700.0)  # noqa: E731
    edges = np.linspace(mel(20.0), mel(rate / 2), n_bands + 2)
    at = mel(np.arange(257) * rate / 512)
    up = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.clip(np.minimum(up, down), 0, None)
    bank[:, -1] = 0
    return np.log(np.maximum(power @ bank.T, np.finfo(np.float32).eps))


@pytest.mark.parametrize("n_samples", [400, 559, 560, 16_000])
def test_kaldi_fbank23_is_kaldi_s_filter_bank(n_samples):
    pytest.importorskip("kaldi_native_fbank")
    samples = _noise(n_samples, 16_000)
    frames = KALDI_FBANK23(Analysis(samples, 16_000))
    assert frames.shape == (1 + (n_samples - 400) // 160, 23)
    np.testing.assert_allclose(frames, _fbank(samples), atol=2e-3)


@pytest.mark.parametrize(("feature_set", "stated", "name"), OPENSMILE)
def test_opensmile_sets_are_the_package_s_own(feature_set, stated, name, tmp_path):
    pytest.importorskip("opensmile")
    np.save(tmp_path / "samples.npy", _noise(24_000, 24_000))
    done = python("-c", THEIRS_AND_OURS, feature_set.name, name, str(tmp_path))
    assert done.returncode == 0, done.stderr
    theirs = json.loads((tmp_path / "columns.json").read_text())
    assert [re.sub(r"\[(\d+)\]", r"_\1", column) for column in theirs] == list(feature_set.columns)
    assert np.array_equal(np.load(tmp_path / "theirs.npy"), np.load(tmp_path / "ours.npy"))
    assert feature_set.rate_hz(16_000) is None, "openSMILE does not resample"
    assert stated.rate_hz(22_050) == 16_000 and stated.columns == feature_set.columns
    assert stated.compute is feature_set.compute


THEIRS_AND_OURS = """
import json, sys
import numpy as np, opensmile
from ser_bench.features.contract import Analysis
from ser_bench.registry import load
ours, theirs, folder = sys.argv[1:]
samples = np.load(folder + "/samples.npy")
found = opensmile.Smile(feature_set=theirs, feature_level="func").process_signal(samples, 24_000)
json.dump(list(found.columns), open(folder + "/columns.json", "w"))
np.save(folder + "/theirs.npy", found.to_numpy()[0])
np.save(folder + "/ours.npy", load("features", ours)(Analysis(samples, 24_000)))
"""
"""Run in a fresh interpreter: after TensorFlow, which other tests load, openSMILE can't start."""


@pytest.mark.parametrize("feature_set", [EGEMAPS, COMPARE2016])
def test_beside_tensorflow_opensmile_says_that_it_can_not_start(feature_set, monkeypatch):
    opensmile_sets._extractor.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    with pytest.raises(PrerequisiteError, match="needs one of its own"):
        feature_set(Analysis(_noise(24_000, 24_000), 24_000))


@pytest.mark.parametrize("feature_set", [EGEMAPS, COMPARE2016])
def test_what_opensmile_leaves_undefined_is_an_error(feature_set):
    pytest.importorskip("opensmile")
    code = (
        "import sys, numpy as np\nfrom ser_bench.features.contract import Analysis\n"
        "from ser_bench.registry import load\n"
        f"load('features', {feature_set.name!r})(Analysis(np.random.RandomState(0).randn(500).astype('f'), {RATE_HZ}))"
    )
    assert "ValueError" in (said := python("-c", code).stderr) and "is not finite" in said


@pytest.mark.parametrize("feature_set", [*SEEDS, KALDI_FBANK23], ids=lambda found: found.name)
@pytest.mark.parametrize("n_samples", [1, 70, 2047, 130_000])
def test_silence_steady_and_broken_sound_gives_finite_values(n_samples, feature_set):
    for name in feature_set.requires:
        pytest.importorskip(name)
    rate = feature_set.rate_hz(RATE_HZ)
    click = np.zeros(n_samples, dtype=np.float32)
    click[n_samples // 2] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for samples in (np.zeros_like(click), np.full_like(click, 0.3), click, _noise(n_samples, rate)):
            assert np.isfinite(feature_set(Analysis(samples, rate))).all()


@pytest.mark.parametrize(
    "feature_set", [*SEEDS, EGEMAPS, COMPARE2016, *STATED, KALDI_FBANK23], ids=lambda found: found.name
)
def test_columns_and_groups_name_every_value_once(feature_set):
    assert registry.load("features", feature_set.name) is feature_set
    assert len(set(feature_set.columns)) == len(feature_set.columns)
    assert not set("[]<") & set("".join(feature_set.columns))
    covered = [at for start, stop in feature_set.groups.values() for at in range(start, stop)]
    assert covered == list(range(len(feature_set.columns))) or not feature_set.groups
    if feature_set.name.startswith("seed"):
        for group, (start, stop) in feature_set.groups.items():
            assert {name.split("_")[0] for name in feature_set.columns[start:stop]} == {group}


GOLDEN = {
    ("seed000-193", 1): {"mfcc_40": 1.352, "chroma_12": 0.5894, "mel_128": 0.2951, "contrast_7": 2.614},
    ("seed000-image", 1): {"mfcc_01": -400.6, "chroma_01": 0.5939, "mel_001": 0.005947, "contrast_1": 4.134},
    ("seed001-162", 1): {"zcr": 0.08747, "chroma_01": 0.8634, "mfcc_20": 2.815, "rms": 0.09852, "mel_128": 0.01925},
    ("seed002-114", 1): {"mfcc_50": 11.97, "mel_50": 0.03353, "lpc_01": -0.8763, "lpc_12": 0.01583, "zcr": 0.08747},
    ("seed002-tensor", 1): {"mfcc_01": -239, "mfcc_20": -2.496, "mel_01": -7.371, "mel_20": -21.34},
    ("seed003-mfcc40", 1): {"mfcc_01": -233.5, "mfcc_40": -5.588},
    ("seed003-mfcc40-mean", 1): {"mfcc_01": -181, "mfcc_40": 2.081},
    ("kaldi-fbank23", 1): {"mel_01": 20.45, "mel_23": 22.39},
}
"""Of the middle frame; who changes them raises the set's version."""


@pytest.mark.parametrize("feature_set", [*SEEDS, KALDI_FBANK23], ids=lambda found: found.name)
def test_values_have_not_changed_under_an_unchanged_version(feature_set):
    for name in feature_set.requires:
        pytest.importorskip(name)
    rate = feature_set.rate_hz(RATE_HZ)
    frames = np.atleast_2d(feature_set(Analysis(_noise(40_000, rate), rate)))
    middle = dict(zip(feature_set.columns, frames[len(frames) // 2], strict=True))
    for column, expected in GOLDEN[feature_set.name, feature_set.version].items():
        assert middle[column] == pytest.approx(expected, rel=2e-3, abs=1e-4), column


@pytest.mark.corpus
def test_the_sets_take_real_speech(corpora_root: Path):
    pytest.importorskip("opensmile")
    pytest.importorskip("kaldi_native_fbank")
    paths = [
        str(sorted(p for p in (corpora_root / corpus).rglob("*") if p.suffix in (".flac", ".wav"))[100])
        for corpus in ("ravdess", "crema-d", "tess")
    ]
    names = [found.name for found in (*SEEDS, EGEMAPS, COMPARE2016, *STATED, KALDI_FBANK23)]
    done = python("-c", REAL_SPEECH, json.dumps(paths), json.dumps(names), str(RATE_HZ))
    assert done.returncode == 0, done.stderr


REAL_SPEECH = """
import json, sys
import numpy as np
from ser_bench.audio import AudioSource, decode
from ser_bench.features.contract import Analysis
from ser_bench.registry import load
paths, names, rate_hz = map(json.loads, sys.argv[1:])
for path in paths:
    for feature_set in [load("features", name) for name in names]:
        values = feature_set(Analysis(*decode(AudioSource(path=path), feature_set.rate_hz(rate_hz))))
        assert np.ptp(values) > 1, (path, feature_set.name)
"""
"""Run in a fresh interpreter, as openSMILE asks for."""
