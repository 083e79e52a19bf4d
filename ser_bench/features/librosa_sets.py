"""The general feature sets made with librosa: what sums spectra up per utterance, and log-mel frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.librosa_spectra import (
    PLAIN,
    Framing,
    cepstrum,
    chroma,
    chroma_bank,
    magnitudes,
    mel_power,
    mfcc,
    numbered,
    tuned_chroma,
)

LEVEL_FREE_TOP = 0.45
"""Share of the sample rate above which ``level-free90`` looks at nothing: resamplers empty the band above it."""


def _levelled(analysis: Analysis) -> Float32:
    """Return the samples scaled to a root mean square of 1; digital silence stays as it is."""

    def compute() -> Float32:
        rms = np.sqrt(np.mean(np.square(analysis.samples, dtype=np.float64)))
        return (analysis.samples / (rms if rms > 0 else 1.0)).astype(np.float32)

    return analysis.once("levelled", compute)


_LEVELLED = Framing(_levelled, n_fft=2048, hop=512, window=2048)


def _compute_mfcc40_mean(analysis: Analysis) -> Float32:
    return mfcc(analysis, PLAIN, 40).mean(axis=1)


def _compute_stats180(analysis: Analysis) -> Float32:
    parts = (mfcc(analysis, PLAIN, 40), tuned_chroma(analysis, PLAIN), mel_power(analysis, PLAIN))
    return np.concatenate([part.mean(axis=1) for part in parts])


def _compute_level_free90(analysis: Analysis) -> Float32:
    """Return what recording level and an emptied upper band leave as it is, shape (90,).

    At a root mean square of 1 the floor of the logarithm lies under every recording; without ``top_db`` nothing hangs
    on an utterance's loudest frame; and c0, which holds the level, is dropped. Chroma keeps to A440: an estimated
    tuning is the mode of a histogram, which rounding can move by semitone fractions.
    """
    coefficients = cepstrum(mel_power(analysis, _LEVELLED, top=LEVEL_FREE_TOP), 40, top_db=None)[1:]
    n_bins = int(LEVEL_FREE_TOP * _LEVELLED.n_fft) + 1
    bank = chroma_bank(analysis.sample_rate_hz, _LEVELLED.n_fft, 0.0)[:, :n_bins]
    classes = chroma(magnitudes(analysis, _LEVELLED)[:n_bins], bank)
    return np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1), classes.mean(axis=1)])


def _compute_logmel64(analysis: Analysis) -> Float32:
    """Return log-mel frames in dB re 1, shape (n_frames, 64), n_frames = 1 + n_samples // hop.

    The window is 40 ms and the hop 10 ms, to the nearest sample; the transform is the next power of two, so that it
    is fast and no band lies between two bins. The floor is fixed at -100 dB: no frame depends on another one.
    """
    import librosa

    window, hop = round(0.040 * analysis.sample_rate_hz), round(0.010 * analysis.sample_rate_hz)
    framing = Framing(PLAIN.signal, n_fft=1 << (window - 1).bit_length(), hop=hop, window=window)
    decibels: NDArray[Any] = librosa.power_to_db(mel_power(analysis, framing, n_mels=64), amin=1e-10, top_db=None)
    return np.ascontiguousarray(decibels.T)


_MFCC, _CHROMA, _MEL = numbered("mfcc", 40), numbered("chroma", 12), numbered("mel", 128)
MFCC40_MEAN = FeatureSet(
    name="mfcc40-mean",
    version=1,
    title="Time means of 40 MFCC (n_fft 2048, hop 512, 128 mel bands)",
    kind="vector",
    columns=_MFCC,
    compute=_compute_mfcc40_mean,
)

STATS180 = FeatureSet(
    name="stats180",
    version=1,
    title="Time means of 40 MFCC, 12 chroma of the magnitude and 128 mel powers (n_fft 2048, hop 512)",
    kind="vector",
    columns=_MFCC + _CHROMA + _MEL,
    compute=_compute_stats180,
    groups={"mfcc": (0, 40), "chroma": (40, 52), "mel": (52, 180)},
)

LEVEL_FREE90 = FeatureSet(
    name="level-free90",
    version=1,
    title=(
        "At RMS 1 and below 0.45 x the sample rate: means and standard deviations of 39 MFCC (without c0, mfcc_01), "
        "means of 12 chroma at A440 (n_fft 2048, hop 512)"
    ),
    kind="vector",
    columns=tuple(f"{name}_{what}" for what in ("mean", "std") for name in _MFCC[1:]) + _CHROMA,
    compute=_compute_level_free90,
    level_free=True,
    groups={"mfcc": (0, 78), "chroma": (78, 90)},
)

LOGMEL64 = FeatureSet(
    name="logmel64",
    version=1,
    title="Log-mel frames in dB: 64 bands up to half the sample rate, Hann windows of 40 ms, hop 10 ms",
    kind="frames",
    columns=numbered("mel", 64),
    compute=_compute_logmel64,
)
