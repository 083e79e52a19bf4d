"""Transforms of sound, for children of training utterances and for tests under stress: of samples and a seed alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ser_bench.audio import resample
from ser_bench.errors import UsageError, did_you_mean

Float32 = NDArray[np.float32]
Range = float | tuple[float, float]
"""A number, or the two ends of a range from which each child draws one, all values equally likely."""

PACKAGES = ("librosa", "numpy", "scipy", "soundfile", "soxr")
"""Distributions whose versions decide the samples of a child."""

CHAIN = "chain"
"""The kind under which a suite lists several steps of one child."""


class Transform(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A change of sound. ``version`` is raised whenever its samples may change; it is part of every child's key."""

    version: ClassVar[int] = 1
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        for name, (least, most) in self.bounds.items():
            value = getattr(self, name)
            low, high = value if isinstance(value, tuple) else (value, value)
            if not least <= low <= high <= most:
                got = list(value) if isinstance(value, tuple) else value
                raise ValueError(f"{name} = {got}: a number from {least:g} to {most:g} expected, or [low, high]")

    @property
    def draws(self) -> bool:
        """Whether two seeds can give two results."""
        return any(isinstance(getattr(self, name), tuple) for name in self.bounds)

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return the changed samples, mono float32, shape (n_samples,), at the same rate."""
        raise NotImplementedError

    def in_words(self) -> str:
        """Return the transform as part of a sentence for boards."""
        raise NotImplementedError


class Noise(Transform, frozen=True, kw_only=True, tag="noise"):
    """White Gaussian noise, scaled so that power of the utterance over power of the noise is exactly ``snr_db``.

    Both powers are means over the whole utterance, pauses included.
    """

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"snr_db": (-30, 120)}

    snr_db: Range

    @property
    def draws(self) -> bool:
        """Noise is another one for every seed."""
        return True

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return the samples with the noise added; nothing is clipped."""
        snr_db, noise = _drawn(self.snr_db, random), random.standard_normal(len(samples))
        power = np.mean(np.square(samples, dtype=np.float64)) / max(float(np.mean(np.square(noise))), 1e-12)
        return (samples + math.sqrt(power / 10 ** (snr_db / 10)) * noise).astype(np.float32)

    def in_words(self) -> str:
        """Return e.g. ``white noise at 10 to 20 dB SNR``."""
        return f"white noise at {_span(self.snr_db)} dB SNR"


class Stretch(Transform, frozen=True, kw_only=True, tag="stretch"):
    """Another tempo at the same pitch: a phase vocoder; ``rate`` above 1 is faster (and shorter)."""

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"rate": (0.25, 4)}

    rate: Range

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return round(n / rate) samples."""
        import librosa

        return _float32(librosa.effects.time_stretch(samples, rate=_drawn(self.rate, random)))

    def in_words(self) -> str:
        """Return e.g. ``tempo x 0.8``."""
        return f"tempo x {_span(self.rate)}"


class Pitch(Transform, frozen=True, kw_only=True, tag="pitch"):
    """Another pitch at the same tempo: a phase vocoder, then resampling (soxr HQ). Formants move, too."""

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"semitones": (-24, 24)}

    semitones: Range

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return as many samples as before."""
        import librosa

        return _float32(librosa.effects.pitch_shift(samples, sr=sample_rate_hz, n_steps=_drawn(self.semitones, random)))

    def in_words(self) -> str:
        """Return e.g. ``pitch by -2 to 2 semitones``."""
        return f"pitch by {_span(self.semitones)} semitones"


class Shift(Transform, frozen=True, kw_only=True, tag="shift"):
    """The utterance ``shift_s`` seconds later, or earlier below 0; at most half its length.

    ``fill`` says what stands in the gap: silence (``zero``), or what has left at the other end (``circular``).
    """

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"shift_s": (-60, 60)}

    shift_s: Range
    fill: Literal["zero", "circular"] = "zero"

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return as many samples as before."""
        half = len(samples) // 2
        by = min(max(round(_drawn(self.shift_s, random) * sample_rate_hz), -half), half)
        moved = np.roll(samples, by)
        if self.fill == "zero":
            moved[slice(0, by) if by >= 0 else slice(by, None)] = 0
        return moved

    def in_words(self) -> str:
        """Return e.g. ``shifted by 0.1 s (circular)``."""
        return f"shifted by {_span(self.shift_s)} s ({self.fill})"


class Speed(Transform, frozen=True, kw_only=True, tag="speed"):
    """Played ``factor`` times as fast, so the pitch moves too (speed perturbation): resampling, soxr HQ."""

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"factor": (0.25, 4)}

    factor: Range

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return about n / factor samples."""
        return resample(samples, round(sample_rate_hz * _drawn(self.factor, random)), sample_rate_hz)

    def in_words(self) -> str:
        """Return e.g. ``speed x 0.9 to 1.1``."""
        return f"speed x {_span(self.factor)}"


class Gain(Transform, frozen=True, kw_only=True, tag="gain"):
    """Another level; nothing is clipped."""

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"gain_db": (-60, 60)}

    gain_db: Range

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return the samples times 10^(gain_db / 20)."""
        return samples * np.float32(10 ** (_drawn(self.gain_db, random) / 20))

    def in_words(self) -> str:
        """Return e.g. ``gain of -6 dB``."""
        return f"gain of {_span(self.gain_db)} dB"


class Clip(Transform, frozen=True, kw_only=True, tag="clip"):
    """Cut off at full scale, as whatever stores integers does."""

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return the samples, those beyond -1 and 1 at -1 and 1."""
        return _clipped(samples)

    def in_words(self) -> str:
        """Return ``clipped at full scale``."""
        return "clipped at full scale"


class Lowpass(Transform, frozen=True, kw_only=True, tag="lowpass"):
    """Without what lies above ``cutoff_hz``: a Butterworth filter of order 8, forwards and backwards.

    So it shifts no phase, and takes 6 dB at the cut-off and 96 dB per octave above it. At a rate of which half is no
    more than the cut-off there is nothing to take away.
    """

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"cutoff_hz": (50, 48000)}

    cutoff_hz: Range

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return as many samples as before."""
        from scipy.signal import butter, sosfiltfilt

        cutoff_hz = _drawn(self.cutoff_hz, random)
        if 2 * cutoff_hz >= sample_rate_hz:
            return samples
        sections = butter(8, cutoff_hz, fs=sample_rate_hz, output="sos")
        return _float32(sosfiltfilt(sections, samples.astype(np.float64), padlen=min(27, len(samples) - 1)))

    def in_words(self) -> str:
        """Return e.g. ``low-passed at 4000 Hz``."""
        return f"low-passed at {_span(self.cutoff_hz)} Hz"


class _Coding(NamedTuple):
    """How libsndfile is asked for a codec: what it writes, at which rate, and how small (0 to 1; None: fixed)."""

    title: str
    container: str
    subtype: str
    rate_hz: int
    level: float | None = None
    mode: str | None = None


CODECS = {
    "gsm": _Coding("GSM full rate (13 kbit/s, 8 kHz)", "WAV", "GSM610", 8000),
    "mp3": _Coding("MP3 at 64 kbit/s", "MP3", "MPEG_LAYER_III", 48000, (320 - 64) / (320 - 32), "CONSTANT"),
    "opus": _Coding("Opus at about 24 kbit/s", "OGG", "OPUS", 48000, (256 - 24) / (256 - 6)),
    "ulaw": _Coding("G.711 mu-law (64 kbit/s, 8 kHz)", "WAV", "ULAW", 8000),
}
"""Name of a codec -> what is asked of libsndfile; its scale of sizes runs from the highest bit rate to the lowest."""


class Codec(Transform, frozen=True, kw_only=True, tag="codec"):
    """Encoded and decoded again, by libsndfile: at the codec's own rate, clipped at full scale."""

    name: Literal["gsm", "mp3", "opus", "ulaw"]

    def apply(self, samples: Float32, sample_rate_hz: int, random: np.random.RandomState) -> Float32:
        """Return as many samples as before, at the same rate and in the same places."""
        import soundfile

        of, file = CODECS[self.name], BytesIO()
        size = {} if of.level is None else {"compression_level": of.level, "bitrate_mode": of.mode}
        before = resample(samples, sample_rate_hz, of.rate_hz)
        soundfile.write(file, _clipped(before), of.rate_hz, format=of.container, subtype=of.subtype, **size)
        file.seek(0)
        heard, _ = soundfile.read(file, dtype="float32")
        return _of_length(resample(_of_length(heard, len(before)), of.rate_hz, sample_rate_hz), len(samples))

    def in_words(self) -> str:
        """Return e.g. ``through Opus at about 24 kbit/s``."""
        return f"through {CODECS[self.name].title}"


AnyTransform = Noise | Stretch | Pitch | Shift | Speed | Gain | Clip | Lowpass | Codec
KINDS: dict[str, type[Transform]] = {str(kind.__struct_config__.tag): kind for kind in AnyTransform.__args__}


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[augment]]`` of a suite: what is done to an utterance, step after step, and to which.

    Attributes:
        steps: The transforms, in order.
        copies: Children per utterance.
        classes: Classes whose utterances get children; all where none is named.
        seed: What the draws hang on, beside the utterance, the steps and the number of the copy.
    """

    steps: tuple[AnyTransform, ...]
    copies: int = 1
    classes: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps = []: at least one expected")
        if self.copies < 1:
            raise ValueError(f"copies = {self.copies}: at least 1 expected")
        if self.copies > 1 and not any(step.draws for step in self.steps):
            raise ValueError(f"copies = {self.copies} of steps that draw nothing are all equal; give a range")

    @property
    def name(self) -> str:
        """The kinds of the steps, ``stretch+pitch``."""
        return "+".join(str(step.__struct_config__.tag) for step in self.steps)

    def in_words(self) -> str:
        """Return e.g. ``2 by tempo x 0.8, then pitch by 2 semitones (only surprise)``."""
        only = f" (only {', '.join(self.classes)})" if self.classes else ""
        return f"{self.copies} by {', then '.join(step.in_words() for step in self.steps)}{only}"

    def transforms(self, content_id: str, copy: int) -> tuple[Seeded, ...]:
        """Return what makes a child: each step with a seed of its own, drawn from all that tells the child.

        Args:
            content_id: Digest of the utterance's samples.
            copy: Which of its children by this entry, from 1.
        """
        told = (content_id, *(f"{_text(step)} {step.version}" for step in self.steps), str(copy), str(self.seed))
        return tuple(
            Seeded(step, hashlib.sha256("\x1f".join((*told, str(place))).encode()).hexdigest()[:32])
            for place, step in enumerate(self.steps)
        )


@dataclass(frozen=True, slots=True)
class Seeded:
    """A transform with its seed (32 hexadecimal digits): the same samples give the same result, on every call."""

    transform: Transform
    seed: str

    def __call__(self, samples: Float32, sample_rate_hz: int) -> Float32:
        """Return the changed samples, mono float32, shape (n_samples,), at the same rate."""
        words = np.frombuffer(bytes.fromhex(self.seed), dtype=">u4")
        return self.transform.apply(samples, sample_rate_hz, np.random.RandomState(words.astype(np.uint32)))

    @property
    def key(self) -> str:
        """All that decides what it does but the code, as text."""
        return f"{_text(self.transform)} {self.transform.version} {self.seed}"

    def to_plain(self) -> list[str]:
        """Return it in plain types, for another process."""
        return [_text(self.transform), self.seed]

    @staticmethod
    def from_plain(plain: Sequence[str]) -> Seeded:
        """Return what :meth:`to_plain` was asked for."""
        transform, seed = plain
        return Seeded(msgspec.json.decode(transform, type=AnyTransform), seed)


def read_augment(tables: object, where: str) -> tuple[Augment, ...]:
    """Return the entries that a suite's ``[[augment]]`` tables spell.

    A table is one transform (``kind``, its keys), or ``kind = "chain"`` with ``steps``, and may have ``copies``,
    ``classes`` and ``seed``.

    Raises:
        UsageError: If one does not fit; the message names the entry, and the nearest known word.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{where}: augment: tables expected", hint='[[augment]]\nkind = "noise"\nsnr_db = [10, 20]')
    return tuple(_entry(table, f"{where}: augment, entry {number}") for number, table in enumerate(tables, start=1))


def _entry(table: dict[str, Any], where: str) -> Augment:
    own = {key: table[key] for key in Augment.__struct_fields__ if key in table}
    rest = {key: value for key, value in table.items() if key not in own}
    if table.get("kind") == CHAIN:
        del rest["kind"]
        if not isinstance(own.get("steps"), list):
            raise UsageError(f"{where}: a chain takes steps = [{{ kind = …, … }}, …]")
        _refuse_unknown(rest, {"kind", *Augment.__struct_fields__}, where)
        steps = own["steps"]
    else:
        if "steps" in own:
            raise UsageError(f'{where}: steps = […] belongs to kind = "{CHAIN}"')
        steps, rest = [rest], {}
    for step in steps:
        kind = step.get("kind") if isinstance(step, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            known = [*KINDS, CHAIN]
            if kind is None:
                raise UsageError(f"{where}: a kind is missing (known: {', '.join(sorted(known))})")
            raise UsageError(f"{where}: unknown kind {kind!r}" + did_you_mean(str(kind), known))
        _refuse_unknown(step, {"kind", *KINDS[kind].__struct_fields__}, f"{where}, {kind}")
    try:
        return msgspec.convert({**own, "steps": steps}, Augment)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        path = place.rstrip("`").lstrip(".")
        raise UsageError(f"{where}: {problem}" + (f" (at {path})" if path and "steps" in table else "")) from None


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}" + did_you_mean(key, known))


def _text(transform: Transform) -> str:
    return json.dumps(msgspec.to_builtins(transform), sort_keys=True)


def _drawn(value: Range, random: np.random.RandomState) -> float:
    return float(random.uniform(*value)) if isinstance(value, tuple) else float(value)


def _span(value: Range) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def _clipped(samples: Float32) -> Float32:
    return np.clip(samples, -1.0, 1.0)


def _of_length(samples: Float32, n: int) -> Float32:
    return np.pad(samples[:n], (0, max(0, n - len(samples))))


def _float32(samples: NDArray[Any]) -> Float32:
    return np.ascontiguousarray(samples, dtype=np.float32)
