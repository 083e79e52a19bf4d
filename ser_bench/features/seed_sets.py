"""The feature sets of the systems that are rebuilt: each holds what its source fed its models.

Where a source's text leaves a setting open, librosa's default stands, and the function that computes the set says so.
All are at 22,050 Hz, librosa's default rate, whatever the suite's is.
"""

from __future__ import annotations

import warnings

import numpy as np

from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.librosa_spectra import PLAIN, Framing, magnitudes, mel_power, mfcc, numbered, tuned_chroma

RATE_HZ = 22_050

SEED000_SAMPLES = 116_247
"""Length, in samples, to which the sets of seed 000 pad or cut: RAVDESS's longest utterance at 22,050 Hz."""

LPC_ORDER = 12
SHORTEST_LPC = 64
"""Samples to which shorter utterances are padded: a prediction of order 12 needs more than it has coefficients."""

TENSOR_FRAMES = 50

EXCERPT_S = (0.5, 3.0)
"""Where the sets of seed 003 begin to listen, and for how long."""


def padded(analysis: Analysis) -> Float32:
    """Return the samples zero-padded or cut to 116,247, then of mean 0 and standard deviation 1."""

    def compute() -> Float32:
        kept = analysis.samples[:SEED000_SAMPLES].astype(np.float64)
        whole = np.pad(kept, (0, SEED000_SAMPLES - kept.shape[0]))
        spread = whole.std() if whole.max() > whole.min() else 1.0
        return ((whole - whole.mean()) / spread).astype(np.float32)

    return analysis.once("padded", compute)


def _excerpt(analysis: Analysis) -> Float32:
    """Return up to 3 s from 0.5 s on; an utterance that ends before is taken from its start."""
    offset, length = (round(seconds * analysis.sample_rate_hz) for seconds in EXCERPT_S)
    samples = analysis.samples[offset:] if len(analysis.samples) > offset else analysis.samples
    return samples[:length]


_PADDED = Framing(padded, n_fft=1024, hop=512, window=1024)
_EXCERPT = Framing(_excerpt, n_fft=2048, hop=512, window=2048)


def _contrast(analysis: Analysis) -> Float32:
    """Return the spectral contrast of the padded signal, shape (7, n_frames), in dB."""

    def compute() -> Float32:
        import librosa

        return librosa.feature.spectral_contrast(S=magnitudes(analysis, _PADDED), sr=analysis.sample_rate_hz)

    return analysis.once(("contrast", _PADDED), compute)


def _global_values(analysis: Analysis) -> Float32:
    samples = padded(analysis)
    high, low = samples.max(), samples.min()
    # Mean and standard deviation by definition: what is left of them in float32 is rounding noise, which a scaler
    # would blow up to the size of a feature.
    return np.array([high, low, 0.0, float(high > low), np.median(samples), high - low], dtype=np.float32)


def _compute_seed000(analysis: Analysis) -> Float32:
    """Return the vector of the first rebuilt system, shape (186,).

    The signal is padded first and normalised then, the order of the source's own code. So ``global_mean`` is 0 and
    ``global_std`` 1 for every utterance: two columns say nothing. The other order would not mend that (the mean stays
    0) and would make ``global_std`` the root of the utterance's duration; logistic regression (C = 0.01, unscaled)
    then has an accuracy of .406 instead of .411 on actors 22-24 of RAVDESS (published: .422). log(x + 1) is taken of
    the time means, as in the source.

    Source: the RAVDESS study whose numbers the suite ``ravdess-actor-holdout`` prints beside its own.
    """
    chroma = np.log1p(tuned_chroma(analysis, _PADDED).mean(axis=1))
    mel = np.log1p(mel_power(analysis, _PADDED).mean(axis=1))
    return np.concatenate([mfcc(analysis, _PADDED, 40).mean(axis=1), chroma, mel, _global_values(analysis)])


def _compute_seed000_five(analysis: Analysis) -> Float32:
    """Return that vector with all five groups of the source's backward selection, shape (193,).

    The source feeds 186 values, and selects among five groups that hold seven more, those of the spectral contrast;
    they stand before the global values. Bands from 200 Hz, six octaves: librosa's defaults.
    """
    values = _compute_seed000(analysis)
    return np.insert(values, 180, np.log1p(_contrast(analysis).mean(axis=1)))


def _compute_seed000_image(analysis: Analysis) -> Float32:
    """Return the image of the first rebuilt system as frames, shape (228, 219).

    Columns are 40 MFCC, 12 chroma, 160 mel and 7 contrast: 219; frames are 1 + 116,247 // 512 = 228. (The source's
    "228 x 219" is thus frames x features.) log(x + 1) is taken value by value of chroma, mel and contrast; MFCC are
    over 128 mel bands as in the vector. Of 160 bands at n_fft 1024 the lowest few hold no bin and are 0 throughout.
    """
    mel = mel_power(analysis, _PADDED, 160)
    logs = [np.log1p(part) for part in (tuned_chroma(analysis, _PADDED), mel, _contrast(analysis))]
    return np.concatenate([mfcc(analysis, _PADDED, 40), *logs]).T


def _compute_seed001(analysis: Analysis) -> Float32:
    """Return time means of zero crossings, chroma, MFCC, level and mel powers, shape (162,).

    The text names no settings: librosa's defaults (n_fft 2048, hop 512), and the whole utterance.
    """
    frames = (tuned_chroma(analysis, PLAIN), mfcc(analysis, PLAIN, 20), mel_power(analysis, PLAIN))
    chroma, cepstra, mel = (part.mean(axis=1) for part in frames)
    return np.concatenate([_crossings(analysis), chroma, cepstra, _level(analysis), mel])


def _compute_seed002(analysis: Analysis) -> Float32:
    """Return time means of 50 MFCC and 50 mel magnitudes, 12 prediction coefficients, level, crossings: (114,).

    "The first 50 melspectrogram values" are read as 50 bands over the whole spectrum, of magnitudes (power = 1).
    Linear prediction is over the whole utterance (Burg's method), and its first coefficient, always 1, is left out.
    """
    import librosa

    samples = analysis.samples
    voiced = np.pad(samples, (0, max(0, SHORTEST_LPC - len(samples))))
    prediction = librosa.lpc(voiced, order=LPC_ORDER)[1:]
    mel = mel_power(analysis, PLAIN, 50, exponent=1).mean(axis=1)
    cepstra = mfcc(analysis, PLAIN, 50).mean(axis=1)
    return np.concatenate([cepstra, mel, prediction, _level(analysis), _crossings(analysis)])


def _compute_seed002_tensor(analysis: Analysis) -> Float32:
    """Return 20 MFCC and 20 log-mel bands of the first 50 frames, shape (50, 40).

    ``frames.reshape(50, 2, 20).transpose(1, 2, 0)`` is the source's (2, 20, 50). The text says "the first 50 sec" of
    what its shape shows to be frames (1.2 s at hop 512); mel powers are in dB re 1, at most 80 below the loudest.
    What is shorter is padded with zeros at the end.
    """
    import librosa

    decibels = librosa.power_to_db(mel_power(analysis, PLAIN, 20), top_db=80.0)
    frames = np.concatenate([mfcc(analysis, PLAIN, 20), decibels]).T[:TENSOR_FRAMES]
    return np.pad(frames, ((0, TENSOR_FRAMES - len(frames)), (0, 0)))


def _compute_seed003(analysis: Analysis) -> Float32:
    """Return MFCC frames of up to 3 s from 0.5 s on, shape (n_frames, 40); n_fft 2048, hop 512, 128 mel bands."""
    return mfcc(analysis, _EXCERPT, 40).T


def _compute_seed003_mean(analysis: Analysis) -> Float32:
    return mfcc(analysis, _EXCERPT, 40).mean(axis=1)


def _level(analysis: Analysis) -> Float32:
    """Return the time mean of the frames' root mean squares, shape (1,)."""
    import librosa

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=.* is too large")
        return librosa.feature.rms(y=analysis.samples).mean(axis=1)


def _crossings(analysis: Analysis) -> Float32:
    """Return the time mean of the frames' shares of zero crossings, shape (1,)."""
    import librosa

    return librosa.feature.zero_crossing_rate(analysis.samples).mean(axis=1)


_MFCC, _CHROMA, _MEL = numbered("mfcc", 40), numbered("chroma", 12), numbered("mel", 128)
_CONTRAST = numbered("contrast", 7)
_GLOBAL = tuple(f"global_{name}" for name in ("max", "min", "mean", "std", "median", "range"))

SEED000_186 = FeatureSet(
    name="seed000-186",
    version=1,
    title=(
        "Padded to 116,247 samples, then z-normalised: time means of 40 MFCC, log(x + 1) of those of 12 chroma and "
        "128 mel powers, 6 global values (n_fft 1024, hop 512)"
    ),
    kind="vector",
    columns=_MFCC + _CHROMA + _MEL + _GLOBAL,
    compute=_compute_seed000,
    sample_rate_hz=RATE_HZ,
    groups={"mfcc": (0, 40), "chroma": (40, 52), "mel": (52, 180), "global": (180, 186)},
)

SEED000_193 = FeatureSet(
    name="seed000-193",
    version=1,
    title="seed000-186 and log(x + 1) of the time means of 7 spectral contrasts: all five groups to select from",
    kind="vector",
    columns=_MFCC + _CHROMA + _MEL + _CONTRAST + _GLOBAL,
    compute=_compute_seed000_five,
    sample_rate_hz=RATE_HZ,
    groups={"mfcc": (0, 40), "chroma": (40, 52), "mel": (52, 180), "contrast": (180, 187), "global": (187, 193)},
)

SEED000_IMAGE = FeatureSet(
    name="seed000-image",
    version=1,
    title=(
        "Padded to 116,247 samples, then z-normalised: 228 frames of 40 MFCC and log(x + 1) of 12 chroma, 160 mel "
        "powers, 7 spectral contrasts (n_fft 1024, hop 512)"
    ),
    kind="frames",
    columns=_MFCC + _CHROMA + numbered("mel", 160) + _CONTRAST,
    compute=_compute_seed000_image,
    sample_rate_hz=RATE_HZ,
    groups={"mfcc": (0, 40), "chroma": (40, 52), "mel": (52, 212), "contrast": (212, 219)},
)

SEED001_162 = FeatureSet(
    name="seed001-162",
    version=1,
    title="Time means of zero crossings, 12 chroma, 20 MFCC, level and 128 mel powers (n_fft 2048, hop 512)",
    kind="vector",
    columns=("zcr", *_CHROMA, *numbered("mfcc", 20), "rms", *_MEL),
    compute=_compute_seed001,
    sample_rate_hz=RATE_HZ,
    groups={"zcr": (0, 1), "chroma": (1, 13), "mfcc": (13, 33), "rms": (33, 34), "mel": (34, 162)},
)

SEED002_114 = FeatureSet(
    name="seed002-114",
    version=1,
    title=(
        "Time means of 50 MFCC and 50 mel magnitudes, 12 linear prediction coefficients, time means of level and zero "
        "crossings (n_fft 2048, hop 512)"
    ),
    kind="vector",
    columns=(*numbered("mfcc", 50), *numbered("mel", 50), *numbered("lpc", LPC_ORDER), "rms", "zcr"),
    compute=_compute_seed002,
    sample_rate_hz=RATE_HZ,
    groups={"mfcc": (0, 50), "mel": (50, 100), "lpc": (100, 112), "rms": (112, 113), "zcr": (113, 114)},
)

SEED002_TENSOR = FeatureSet(
    name="seed002-tensor",
    version=1,
    title="The first 50 frames of 20 MFCC and 20 log-mel bands (80 dB), zero-padded at the end (n_fft 2048, hop 512)",
    kind="frames",
    columns=numbered("mfcc", 20) + numbered("mel", 20),
    compute=_compute_seed002_tensor,
    sample_rate_hz=RATE_HZ,
    groups={"mfcc": (0, 20), "mel": (20, 40)},
)

SEED003_MFCC40 = FeatureSet(
    name="seed003-mfcc40",
    version=1,
    title="Frames of 40 MFCC of up to 3 s from 0.5 s on (n_fft 2048, hop 512, 128 mel bands)",
    kind="frames",
    columns=_MFCC,
    compute=_compute_seed003,
    sample_rate_hz=RATE_HZ,
)

SEED003_MFCC40_MEAN = FeatureSet(
    name="seed003-mfcc40-mean",
    version=1,
    title="Time means of 40 MFCC of up to 3 s from 0.5 s on (n_fft 2048, hop 512, 128 mel bands)",
    kind="vector",
    columns=_MFCC,
    compute=_compute_seed003_mean,
    sample_rate_hz=RATE_HZ,
)
