"""What the librosa sets share: short-time spectra, mel bands, MFCC and chroma, each computed once per utterance.

One short-time spectrum per utterance and framing feeds all sets, and mel filter banks are built once per setting
instead of once per utterance. The values are still those of librosa's separate calls, bit for bit.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ser_bench.features.contract import Analysis, Float32


@dataclass(frozen=True, slots=True)
class Framing:
    """Which signal is cut into which frames; the key under which its spectra are shared.

    Attributes:
        signal: Analysis -> the samples to cut, shape (n_samples,).
        n_fft: Samples per transform.
        hop: Samples between frames, which are centred and zero-padded at both ends.
        window: Samples under the Hann window, centred in the transform.
    """

    signal: Callable[[Analysis], Float32]
    n_fft: int
    hop: int
    window: int


def _samples(analysis: Analysis) -> Float32:
    return analysis.samples


PLAIN = Framing(_samples, n_fft=2048, hop=512, window=2048)
"""librosa's own framing of the utterance as it is."""


@functools.cache
def mel_bank(sample_rate_hz: int, n_fft: int, n_mels: int, top_hz: float) -> Float32:
    """Return librosa's mel filter bank, shape (n_mels, n_fft / 2 + 1)."""
    import librosa

    with warnings.catch_warnings():
        # At high rates the lowest bands are narrower than a bin and stay empty, which is finite and harmless.
        warnings.filterwarnings("ignore", message="Empty filters detected")
        return librosa.filters.mel(sr=sample_rate_hz, n_fft=n_fft, n_mels=n_mels, fmax=top_hz)


@functools.cache
def chroma_bank(sample_rate_hz: int, n_fft: int, tuning: float) -> Float32:
    """Return librosa's chroma filter bank, shape (12, n_fft / 2 + 1), at ``tuning`` semitones beside A440."""
    import librosa

    return librosa.filters.chroma(sr=sample_rate_hz, n_fft=n_fft, tuning=tuning)


def magnitudes(analysis: Analysis, framing: Framing) -> Float32:
    """Return the magnitude spectrum, shape (n_fft / 2 + 1, n_frames)."""

    def compute() -> Float32:
        import librosa

        with warnings.catch_warnings():
            # An utterance shorter than a transform is zero-padded like any other; nothing to warn of.
            warnings.filterwarnings("ignore", message="n_fft=.* is too large")
            spectrum = librosa.stft(
                framing.signal(analysis),
                n_fft=framing.n_fft,
                hop_length=framing.hop,
                win_length=framing.window,
            )
        return np.abs(spectrum)

    return analysis.once(("magnitude", framing), compute)


def mel_power(
    analysis: Analysis, framing: Framing, n_mels: int = 128, *, top: float = 0.5, exponent: int = 2
) -> Float32:
    """Return the mel spectrum, shape (n_mels, n_frames), up to ``top`` times the sample rate.

    It is one of powers, or with ``exponent`` 1 of magnitudes.
    """

    def compute() -> Float32:
        rate = analysis.sample_rate_hz
        spectrum = magnitudes(analysis, framing) ** exponent
        bank = mel_bank(rate, framing.n_fft, n_mels, top * rate)
        # The very expression of librosa.feature.melspectrogram: another one may differ in the last bit.
        return np.einsum("...ft,mf->...mt", spectrum, bank, optimize=True)

    return analysis.once(("mel", framing, n_mels, top, exponent), compute)


def cepstrum(mel: Float32, n: int, top_db: float | None = 80.0) -> Float32:
    """Return ``n`` cepstral coefficients, shape (n, n_frames), of a mel power spectrum."""
    import librosa

    return librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=top_db), n_mfcc=n)


def mfcc(analysis: Analysis, framing: Framing, n: int) -> Float32:
    """Return ``n`` MFCC over 128 mel bands, shape (n, n_frames), at most 80 dB below the utterance's loudest."""
    return analysis.once(("mfcc", framing, n), lambda: cepstrum(mel_power(analysis, framing), n))


def chroma(magnitude: Float32, bank: Float32) -> Float32:
    """Return the chromagram, shape (12, n_frames), each frame's largest class 1, as librosa's chroma_stft does."""
    import librosa

    raw = np.einsum("cf,...ft->...ct", bank, magnitude, optimize=True)
    return librosa.util.normalize(raw, norm=np.inf, axis=-2)


def tuned_chroma(analysis: Analysis, framing: Framing) -> Float32:
    """Return the chromagram of the magnitude, shape (12, n_frames), at the utterance's own tuning."""

    def compute() -> Float32:
        spectrum, rate = magnitudes(analysis, framing), analysis.sample_rate_hz
        return chroma(spectrum, chroma_bank(rate, framing.n_fft, estimate_tuning(spectrum, rate)))

    return analysis.once(("chroma", framing), compute)


def estimate_tuning(magnitude: Float32, sample_rate_hz: int) -> float:
    """Return the deviation from A440 in semitones, [-0.5, 0.5), equal to ``librosa.estimate_tuning``.

    librosa interpolates every bin of the spectrum and then looks at its peaks; here only the peaks are interpolated,
    in the same precision step by step, several times as fast.

    Args:
        magnitude: Shape (n_fft / 2 + 1, n_frames).
        sample_rate_hz: Rate of the signal it was made from.

    Source: ``librosa.piptrack`` (peaks from 150 to 4,000 Hz that reach a tenth of their frame's maximum, placed by
    parabolic interpolation) and ``librosa.pitch_tuning`` (mode of the deviations of the stronger half).
    """
    import librosa

    n_fft = 2 * (magnitude.shape[0] - 1)
    hertz = librosa.fft_frequencies(sr=sample_rate_hz, n_fft=n_fft)
    # The last bin has no neighbour above it; at odd rates below 8 kHz rounding would let it in.
    first, stop = np.searchsorted(hertz[:-1], [150.0, min(4000.0, sample_rate_hz / 2)])
    # Frames as rows lie contiguously in librosa's spectra.
    frames = magnitude.T
    below, here, above = (frames[:, first + shift : stop + shift] for shift in (-1, 0, 1))
    floor = 0.1 * frames.max(axis=1, keepdims=True)
    at = np.nonzero((here > floor) & (here > below) & (here >= above))
    if not at[0].size:
        return 0.0
    below, here, above = below[at], here[at], above[at]
    curvature = (above + below).astype(np.float64) - 2.0 * here.astype(np.float64)
    slope = (above - below).astype(np.float64) / 2.0
    steep = np.abs(slope) >= np.abs(curvature)
    offset = np.where(steep, 0.0, -slope / np.where(steep, 1.0, curvature)).astype(np.float32)
    pitch_hz = ((at[1] + first + offset) * float(sample_rate_hz) / n_fft).astype(np.float32)
    strength = here + 0.5 * ((above - below) / 2) * offset
    return float(librosa.pitch_tuning(pitch_hz[strength >= np.median(strength)]))


def numbered(stem: str, n: int) -> tuple[str, ...]:
    """Return ``n`` column names, ``stem_01`` and so on."""
    return tuple(f"{stem}_{number:0{len(str(n))}d}" for number in range(1, n + 1))
