"""Conditions under which test audio is heard (``noise:20``, ``codec:opus``): read, named, turned into transforms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ser_bench.augment import CODECS, AnyTransform, Augment, Clip, Codec, Gain, Lowpass, Noise, Seeded
from ser_bench.errors import PrerequisiteError, UsageError, did_you_mean

SIDE = "stress:"
"""What stands before a condition where predictions say their side."""

_HINT = "--stress noise:20,gain:-12,lowpass:4000,codec:opus"

_CODEC = "codec"
_MEASURED: dict[str, tuple[type[Noise] | type[Gain] | type[Lowpass], str, str]] = {
    "noise": (Noise, "snr_db", "DB"),
    "gain": (Gain, "gain_db", "DB"),
    "lowpass": (Lowpass, "cutoff_hz", "HZ"),
}
_KINDS = (*_MEASURED, _CODEC)
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}(\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Condition:
    """What is done to test audio; ``name`` is the same however the condition was written."""

    name: str
    steps: tuple[AnyTransform, ...]

    def transforms(self, sound: str) -> tuple[Seeded, ...]:
        """Return the steps for one utterance; seeds hang on ``sound``, a digest of its samples, and the condition.

        No child of an utterance shares them: children are counted from 1.
        """
        return Augment(steps=self.steps).transforms(sound, 0)

    def in_words(self) -> str:
        """Return e.g. ``white noise at 20 dB SNR``."""
        return ", then ".join(step.in_words() for step in self.steps)


def read_condition(text: str) -> Condition:
    """Return the condition that ``text`` spells.

    Raises:
        UsageError: If it spells none; the message names the nearest, and what there is.
    """
    kind, colon, value = (part.strip() for part in text.partition(":"))
    if kind not in _KINDS:
        near = did_you_mean(kind, _KINDS)
        raise UsageError(f"unknown condition {text!r}{near if 'did' in near else ''}: {_known()} expected", hint=_HINT)
    if kind == _CODEC:
        if value not in CODECS:
            raise UsageError(f"condition {text!r}: unknown codec {value!r}" + did_you_mean(value, CODECS), hint=_HINT)
        return Condition(f"{kind}:{value}", (Codec(name=value),))  # type: ignore[arg-type]
    transform, key, unit = _MEASURED[kind]
    least, most = transform.bounds[key]
    if not colon or not _NUMBER.fullmatch(value) or not least <= float(value) <= most:
        raise UsageError(
            f"condition {text!r}: {kind}:{unit} with a number from {least:g} to {most:g} expected", hint=_HINT
        )
    number = float(f"{float(value):g}") + 0.0  # what the name says, and 0 for -0
    step = transform(**{key: number})
    return Condition(f"{kind}:{number:g}", (step, Clip()) if kind == "gain" else (step,))


def read_conditions(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the conditions that ``texts`` spell, by kind and then from the lowest number to the highest.

    Raises:
        UsageError: If one spells none, or two are the same.
    """
    names = [read_condition(text).name for text in texts]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"condition {twice!r} is named twice")
    return tuple(sorted(names, key=_place))


def check_codecs(names: Sequence[str]) -> None:
    """Encode and decode a moment of silence with each codec that the conditions ask for.

    Raises:
        PrerequisiteError: If one of them can't, with what is installed here.
    """
    for name in names:
        (step, *_) = read_condition(name).steps
        if not isinstance(step, Codec):
            continue
        import soundfile

        try:
            step.apply(np.zeros(800, dtype=np.float32), 8000, np.random.RandomState(0))
        except (soundfile.SoundFileError, TypeError, ValueError) as error:  # the last two: older releases of soundfile
            raise PrerequisiteError(
                f"condition {name!r}: libsndfile {soundfile.__libsndfile_version__} and soundfile "
                f"{soundfile.__version__} can't write {CODECS[step.name].title} ({error})",
                hint="pip install --upgrade soundfile (0.13 or later), or the run without that condition",
            ) from None


def _place(name: str) -> tuple[int, float, str]:
    kind, _, value = name.partition(":")
    return _KINDS.index(kind), float(value) if kind in _MEASURED else 0.0, value


def _known() -> str:
    measured = [
        f"{kind}:{unit} ({of.bounds[key][0]:g} to {of.bounds[key][1]:g})" for kind, (of, key, unit) in _MEASURED.items()
    ]
    return f"{', '.join(measured)} or {_CODEC}:{'|'.join(CODECS)}"
