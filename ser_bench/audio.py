"""The only module that decodes sound: mono float32 at a stated rate, and the facts of a file.

Decoding is libsndfile's (wav, flac, ogg, mp3 and what else it reads), resampling soxr's at its HQ setting,
which is what ``librosa.load`` does; the samples are equal to librosa's.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ser_bench.acoustics import bandwidth_and_fingerprint, clipped_samples

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64")
"""Suffixes that are looked at as audio. What a file holds is decided by its bytes, not by its suffix."""

LOSSLESS = (".wav", ".flac", ".aif", ".aiff", ".au", ".caf", ".w64")

SILENCE_PEAK = 1e-3
"""Peak (full scale = 1) at or below which an utterance counts as silent: -60 dBFS."""

LOWEST_RATE_HZ = 1_000
HIGHEST_RATE_HZ = 768_000
"""Rates outside are a damaged header; resampling from 1 Hz would ask for gigabytes."""

STRETCH_SLACK_S = 0.1
"""By how much a stretch may end after its file does: tables round their times."""

GIT_LFS_POINTER = "a git-lfs pointer, not the sound: git lfs pull"
"""The detail of a file that a clone without git-lfs left in the place of the sound."""

_LENGTH_UNKNOWN = 0x7FFFF000
"""Data lengths from here on (2 GiB) are what programs write that stream a wav and can't know its length."""

Fault = Literal["undecodable", "truncated", "silent"]
Float32 = NDArray[np.float32]
Alteration = Callable[[Float32, int], Float32]
"""(samples, rate in Hz) -> other samples at the same rate; deterministic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSource:
    """One utterance's sound: a file, or a stretch of it.

    Attributes:
        path: The file.
        start_s: Where the stretch starts, in seconds.
        end_s: Where it ends, in seconds; None for the end of the file.
        transforms: What is done to the samples, in order, once they are at the rate asked for.
    """

    path: str
    start_s: float = 0.0
    end_s: float | None = None
    transforms: tuple[Alteration, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """What decoding an utterance once has shown.

    Attributes:
        content_id: Digest of the decoded mono samples and their rate; None where decoding failed.
        sample_rate_hz: Native rate; 0 where decoding failed.
        n_channels: Channels before the mix-down.
        duration_s: Length of the stretch in seconds.
        peak: Largest absolute sample, full scale = 1.
        clipped: Samples in runs at full scale, see :func:`ser_bench.acoustics.clipped_samples`.
        bandwidth_hz: Where the spectrum ends; half the sample rate where it never stops.
        fingerprint: Text by which copies in other formats are found; empty where there is too little to hear.
        fault: Why the utterance can't be used, or None.
        detail: The fault in words.
    """

    content_id: str | None
    sample_rate_hz: int = 0
    n_channels: int = 0
    duration_s: float = 0.0
    peak: float = 0.0
    clipped: int = 0
    bandwidth_hz: float = 0.0
    fingerprint: str = ""
    fault: Fault | None = None
    detail: str = ""


class AudioError(Exception):
    """Sound that can't be used; ``fault`` says in which way."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault: Fault = fault
        self.detail = detail


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def decode(source: AudioSource, sample_rate_hz: int | None = None) -> tuple[Float32, int]:
    """Return an utterance as mono float32, shape (n_samples,), and its rate in Hz.

    Args:
        source: What to decode.
        sample_rate_hz: Rate to resample to (soxr HQ); None keeps the native one.

    Raises:
        AudioError: If the file is no audio, is truncated, holds no samples or samples that are not finite.
    """
    samples, rate, _ = _read(source)
    return at_rate(source, samples, rate, sample_rate_hz or rate), sample_rate_hz or rate


def at_rate(source: AudioSource, samples: Float32, native_hz: int, sample_rate_hz: int) -> Float32:
    """Return the native ``samples`` of a source at ``sample_rate_hz``, with its transforms applied.

    They come after the resampling, so that noise has its stated SNR in the band that a feature set sees, whatever
    the corpus's own rate.
    """
    if native_hz != sample_rate_hz:
        samples = resample(samples, native_hz, sample_rate_hz)
    for transform in source.transforms:
        samples = transform(samples, sample_rate_hz)
    return samples


def decode_known(source: AudioSource, content_id: str) -> tuple[Float32, int]:
    """Return the samples of an utterance whose facts are known, not transformed, and their native rate in Hz.

    Raises:
        AudioError: As :func:`decode`, and if the samples are no longer those of ``content_id``: what is computed
            from them would be stored under the wrong name.
    """
    samples, rate, _ = _read(source)
    if _content_id(samples, rate) != content_id:
        raise AudioError("undecodable", "its samples have changed since this run looked at them")
    return samples, rate


def resample(samples: Float32, rate_hz: int, target_hz: int) -> Float32:
    """Return ``samples`` at ``target_hz``, ceil(n * target / rate) of them, as ``librosa.resample`` does."""
    import soxr

    n_target = int(np.ceil(samples.shape[0] * (float(target_hz) / rate_hz)))
    resampled = soxr.resample(samples, rate_hz, target_hz, quality="HQ")
    if resampled.shape[0] >= n_target:
        return np.ascontiguousarray(resampled[:n_target], dtype=np.float32)
    return np.pad(resampled, (0, n_target - resampled.shape[0])).astype(np.float32)


def facts(source: AudioSource) -> AudioFacts:
    """Decode once and say what is there; a fault is a fact, not an exception."""
    try:
        samples, rate, n_channels = _read(source)
    except AudioError as error:
        return AudioFacts(content_id=None, fault=error.fault, detail=error.detail)
    peak = float(np.abs(samples).max())
    silent = peak <= SILENCE_PEAK
    bandwidth_hz, fingerprint = (0.0, "") if silent else bandwidth_and_fingerprint(samples, rate)
    return AudioFacts(
        content_id=_content_id(samples, rate),
        sample_rate_hz=rate,
        n_channels=n_channels,
        duration_s=samples.shape[0] / rate,
        peak=peak,
        clipped=clipped_samples(samples),
        bandwidth_hz=bandwidth_hz,
        fingerprint=fingerprint,
        fault="silent" if silent else None,
        detail=f"peak {peak:.2g} of full scale, {SILENCE_PEAK:g} or less counts as silent" if silent else "",
    )


def _content_id(samples: Float32, rate_hz: int) -> str:
    digest = hashlib.sha256(f"{rate_hz} ".encode())
    digest.update(np.ascontiguousarray(samples, dtype="<f4").tobytes())
    return digest.hexdigest()[:32]


def _read(source: AudioSource) -> tuple[Float32, int, int]:
    import soundfile

    path = Path(source.path)
    try:
        with soundfile.SoundFile(os.fsencode(source.path)) as handle:  # a folder's name may be no text
            rate = int(handle.samplerate)
            if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
                raise AudioError("undecodable", f"its header states a sample rate of {rate} Hz")
            first, last = _stretch(source, rate, handle.frames)
            if first:
                handle.seek(first)
            block = handle.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError("undecodable", _why_undecodable(path, error.error_string)) from None
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise AudioError("undecodable", f"no audio that libsndfile can decode ({error})") from None
    except MemoryError:  # a damaged header can promise any number of samples
        raise AudioError("undecodable", "its header promises more samples than memory can hold") from None
    if block.shape[0] < last - first:
        raise AudioError("truncated", f"{block.shape[0]} of {last - first} samples could be decoded")
    missing = _missing_wav_bytes(path)
    if missing:
        raise AudioError("truncated", f"its header promises {missing} bytes more than the file holds")
    if block.shape[0] == 0:
        raise AudioError("undecodable", "it holds no samples")
    samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise AudioError("undecodable", "it holds samples that are not finite numbers")
    return np.ascontiguousarray(samples), rate, int(block.shape[1])


def _why_undecodable(path: Path, reason: str) -> str:
    if path.is_file():
        with path.open("rb") as handle:
            start = handle.read(32)
        if not start:
            return "the file is empty"
        if start.startswith(b"version https://git-lfs"):
            return GIT_LFS_POINTER
    return f"no audio that libsndfile can decode ({reason})"


def _stretch(source: AudioSource, rate_hz: int, n_samples: int) -> tuple[int, int]:
    """Return the first sample of a stretch and the one after its last."""
    if source.start_s == 0 and source.end_s is None:
        return 0, n_samples
    file_s = n_samples / rate_hz
    end_s = file_s if source.end_s is None else source.end_s
    if not 0 <= source.start_s < min(end_s, file_s):
        until = "its end" if source.end_s is None else f"{end_s:g} s"
        raise AudioError("undecodable", f"no sound from {source.start_s:g} s to {until}: the file is {file_s:g} s long")
    if end_s > file_s + STRETCH_SLACK_S:
        raise AudioError("truncated", f"the stretch ends at {end_s:g} s, the file at {file_s:g} s")
    return round(source.start_s * rate_hz), min(round(end_s * rate_hz), n_samples)


def _missing_wav_bytes(path: Path) -> int:
    """Return by how many bytes a RIFF/WAVE file falls short of its header; 0 for whole and for other files.

    libsndfile shortens such a file in silence, so the header has to be read here.
    """
    with path.open("rb") as handle:
        riff = handle.read(12)
        if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            return 0
        size = handle.seek(0, 2)
        at = 12
        while at + 8 <= size:
            handle.seek(at)
            name, length = struct.unpack("<4sI", handle.read(8))
            if name == b"data":
                return 0 if length >= _LENGTH_UNKNOWN else max(at + 8 + length - size, 0)
            at += 8 + length + (length & 1)
    return 0
