"""Log-mel frames for networks: silence at both ends cut off, and each utterance normalised by itself."""

from __future__ import annotations

import numpy as np

from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.librosa_spectra import Framing, mel_power, numbered

TRIM_DB = 35.0
"""What lies this far below the utterance's loudest frame, at its start and end, is silence."""

FLOOR_DB = 80.0
"""Range below the utterance's loudest value; what lies deeper is set there, an emptied upper band too."""

_LEAST_SPREAD_DB = 1.0
"""Below it an utterance is steady noise, which is not blown up."""


def _frame(sample_rate_hz: int) -> tuple[int, int]:
    """Return window and hop in samples: 40 and 10 ms."""
    return round(0.040 * sample_rate_hz), round(0.010 * sample_rate_hz)


def _trimmed(analysis: Analysis) -> Float32:
    def compute() -> Float32:
        import librosa

        window, hop = _frame(analysis.sample_rate_hz)
        return librosa.effects.trim(analysis.samples, top_db=TRIM_DB, frame_length=window, hop_length=hop)[0]

    return analysis.once("trimmed", compute)


def _compute_trimmed_logmel64(analysis: Analysis) -> Float32:
    """Return log-mel frames, shape (n_frames, 64), of mean 0 and standard deviation 1 over the whole utterance.

    One mean and one deviation for all bands: the long-term spectrum, which says much of the voice, is kept. Bands
    normalised each by itself lost 5 and 9 points of UAR on two folds of CREMA-D.
    """
    import librosa

    window, hop = _frame(analysis.sample_rate_hz)
    framing = Framing(_trimmed, n_fft=1 << (window - 1).bit_length(), hop=hop, window=window)
    decibels = librosa.power_to_db(mel_power(analysis, framing, n_mels=64), amin=1e-20, top_db=FLOOR_DB).T
    spread = max(float(decibels.std()), _LEAST_SPREAD_DB)
    return np.ascontiguousarray((decibels - decibels.mean()) / spread, dtype=np.float32)


LOGMEL64_16K_TRIM = FeatureSet(
    name="logmel64-16k-trim",
    version=1,
    title=(
        "Log-mel frames at 16 kHz, ends trimmed at -35 dB, mean 0 and sd 1 per utterance: 64 bands, Hann "
        "windows of 40 ms, hop 10 ms"
    ),
    kind="frames",
    columns=numbered("mel", 64),
    compute=_compute_trimmed_logmel64,
    sample_rate_hz=16_000,
    level_free=True,
)
