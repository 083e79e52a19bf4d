"""What a network on log-mel frames may hear of an utterance: other speeds, tempos and crops, holes in time and band."""

from __future__ import annotations

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from ser_bench.models.contract import Float32

Float64 = NDArray[np.float64]

TOP_HZ = 8_000.0
"""Where the highest mel band ends: half of 16 kHz."""

BAND_HOLES, FRAME_HOLES = (2, 8), (2, 24)
"""How many holes an utterance gets at most, and how wide they are at most, in bands and in frames."""


def retimed_crop(frames: Float32, rate: float, n_frames: int, where: float) -> Float32:
    """Return a stretch of ``frames`` played ``rate`` times as fast, linearly interpolated between frames.

    Args:
        frames: Shape (n, n_columns).
        rate: Above 1: shorter.
        n_frames: Frames of the result, at most; fewer where the retimed utterance is shorter.
        where: Place of the stretch in the utterance, from 0 (its start) to 1 (its end).
    """
    last = len(frames) - 1
    n_retimed = max(1, round(len(frames) / rate))
    n_kept = min(n_retimed, n_frames)
    first = round(where * (n_retimed - n_kept))
    at = np.minimum((first + np.arange(n_kept)) * rate, last).astype(np.float32)
    below = at.astype(np.int64)
    share = (at - below)[:, None]
    return frames[below] * (1 - share) + frames[np.minimum(below + 1, last)] * share


def band_warps(speeds: Float64, n_bands: int) -> Float32:
    """Return what a change of speed does to the frequency axis of log-mel frames, as matrices.

    Frames of shape (n_frames, n_bands) times a matrix are the frames at the other speed: all that was at f hertz is
    at ``speed`` times f. Above what was recorded, the highest band is repeated.

    Args:
        speeds: Shape (n,).
        n_bands: Bands of a mel bank from 0 to :data:`TOP_HZ`.

    Returns:
        Shape (n, n_bands, n_bands).
    """
    top = _mel(np.array(TOP_HZ))
    step = top / (n_bands + 1)
    centres_hz = _hz(step * np.arange(1, n_bands + 1))
    source = np.clip(_mel(centres_hz / speeds[:, None]) / step - 1, 0, n_bands - 1)
    distance = np.abs(np.arange(n_bands)[None, :, None] - source[:, None, :])
    return np.maximum(0, 1 - distance).astype(np.float32)


def cut_holes(batch: Float32, random: RandomState) -> None:
    """Set random bands and stretches of time to 0 (the mean of normalised frames), in place.

    Args:
        batch: Shape (n, n_frames, n_columns). No hole is wider than a quarter of the columns or frames.
        random: Where the holes come from.

    Source: Park et al. (2019), "SpecAugment".
    """
    n, n_frames, n_columns = batch.shape
    bands = _holes(n, n_columns, *BAND_HOLES, random)
    times = _holes(n, n_frames, *FRAME_HOLES, random)
    batch *= bands[:, None, :]
    batch *= times[:, :, None]


def _holes(n: int, size: int, count: int, widest: int, random: RandomState) -> Float32:
    """Return (n, size) ones with up to ``count`` holes of zeros per row."""
    width = random.randint(0, min(widest, size // 4) + 1, (n, count, 1))
    start = np.floor(random.random_sample((n, count, 1)) * (size - width + 1))
    place = np.arange(size)
    outside = (place < start) | (place >= start + width)
    kept: NDArray[np.bool_] = np.all(outside, axis=1)
    return kept.astype(np.float32)


def _mel(hertz: Float64) -> Float64:
    """Return Slaney's mel scale: linear below 1 kHz, logarithmic above; that of librosa's filter banks."""
    return np.where(hertz < 1000, hertz * 0.015, 15 + np.log(np.maximum(hertz, 1000) / 1000) * 27 / np.log(6.4))


def _hz(mels: Float64) -> Float64:
    return np.where(mels < 15, mels / 0.015, 1000 * np.exp((np.maximum(mels, 15) - 15) * np.log(6.4) / 27))
