"""The canonical emotion vocabulary, and the label schemes that turn it, or a dimension's numbers, into classes.

Two maps, never one: a corpus's adapter maps its native labels to canonical emotions, and a scheme
maps canonical emotions to classes. So N corpora and M schemes take N + M tables, not N x M.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ser_bench.errors import DataError, UsageError, did_you_mean

LEVELS = ("high-emotion", "low-emotion", "normal-emotion")
"""How much emotion is shown, whichever it is (BAVED). Levels are no emotions: no scheme but ``native`` keeps them."""

EMOTIONS = tuple(
    sorted(
        (
            *LEVELS,
            *("amused", "angry", "anxious", "apologetic", "assertive", "bored", "calm", "concerned", "contempt"),
            *("disappointed", "disgust", "encouraging", "enthusiastic", "excited", "fear", "frustrated", "happy"),
            *("neutral", "other", "pain", "pleased", "sad", "sarcastic", "sleepy", "surprise"),
        )
    )
)
"""Every canonical emotion, sorted. Adapters map into this tuple and nothing else."""

SYNONYMS = {
    "afraid": "fear",
    "amusement": "amused",
    "ang": "angry",
    "anger": "angry",
    "anxiety": "anxious",
    "boredom": "bored",
    "calmness": "calm",
    "dis": "disgust",
    "disappointment": "disappointed",
    "disgusted": "disgust",
    "enthusiasm": "enthusiastic",
    "excitement": "excited",
    "fea": "fear",
    "fearful": "fear",
    "frustration": "frustrated",
    "hap": "happy",
    "happiness": "happy",
    "joy": "happy",
    "neu": "neutral",
    "neutrality": "neutral",
    "pleasure": "pleased",
    "sadness": "sad",
    "sarcasm": "sarcastic",
    "sleepiness": "sleepy",
    "sur": "surprise",
    "surprised": "surprise",
}
"""Spellings of the same word that user tables may carry; anything else must be mapped by name."""


def check_emotions(words: Iterable[str]) -> None:
    """Refuse a word that is no canonical emotion.

    Raises:
        ValueError: Naming the first one, and the nearest emotion.
    """
    for word in words:
        if word not in EMOTIONS:
            raise ValueError(f"{word!r} is no canonical emotion{did_you_mean(word, EMOTIONS)}")


def canonical_emotion(label: str) -> str | None:
    """Return the canonical emotion that ``label`` spells, whatever its case, or None."""
    word = label.strip().casefold()
    word = SYNONYMS.get(word, word)
    return word if word in EMOTIONS else None


def read_votes(text: str) -> Mapping[str, float]:
    """Return what ``text`` says, JSON such as ``{"angry": 3, "sad": 1}``: canonical emotion -> number of votes.

    Raises:
        ValueError: If it is no such text.
    """
    try:
        votes = json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(votes, dict):
        raise ValueError("a JSON object expected")
    check_emotions(votes)
    for emotion, number in votes.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise ValueError(f"{number!r} votes for {emotion!r} (a number from 0 on expected)")
    try:
        countable = math.isfinite(sum(votes.values()))
    except OverflowError:
        countable = False
    if not countable:
        raise ValueError("more votes than can be counted")
    return votes


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScheme:
    """Which canonical emotions become which classes.

    Attributes:
        name: What suites and boards call it.
        classes: The classes, in the order of every confusion matrix.
        merge: Emotion -> class, for emotions that are counted as another.
        drop: Emotions that the scheme leaves out on purpose.
        rest: What happens to any other emotion: ``drop`` (and count it) or ``refuse`` (an error).
        column: The column of the utterance table that it looks at.
    """

    column: ClassVar[str] = "emotion"
    name: str
    classes: tuple[str, ...]
    rest: Literal["drop", "refuse"]
    merge: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise UsageError(
                f"label scheme {self.name!r}: at least two distinct classes expected, got {list(self.classes)}"
            )
        for emotion, target in self.merge.items():
            if target not in self.classes:
                raise UsageError(
                    f"label scheme {self.name!r}: {emotion!r} merges into {target!r}, which is no class"
                    + did_you_mean(target, self.classes)
                )
        for emotion in (*self.merge, *self.drop):
            if emotion not in EMOTIONS:
                raise UsageError(
                    f"label scheme {self.name!r}: unknown emotion {emotion!r}" + did_you_mean(emotion, EMOTIONS)
                )
        for name in self.classes:
            if name not in EMOTIONS and name not in self.merge.values():
                raise UsageError(
                    f"label scheme {self.name!r}: class {name!r} is no emotion, and none merges into it"
                    + did_you_mean(name, EMOTIONS)
                )
        twice = [e for e in self.drop if e in self.merge or e in self.classes] + [
            e for e in self.merge if e in self.classes
        ]
        if twice:
            raise UsageError(
                f"label scheme {self.name!r}: {twice[0]!r} is given two fates (class, merge or drop: one each)"
            )

    def class_of(self, emotion: str) -> str | None:
        """Return the class of a canonical emotion; None where the scheme drops it.

        Raises:
            DataError: If the scheme refuses emotions that it does not name, and this is one.
        """
        target = self.merge.get(emotion, emotion)
        if target in self.classes:
            return target
        if self.rest == "refuse" and emotion not in self.drop:
            raise DataError(
                f"label scheme {self.name!r} has no place for {emotion!r} (classes: {', '.join(self.classes)})",
                hint="ser-bench list schemes",
            )
        return None

    def class_indices(self, emotions: Sequence[str | None]) -> list[int]:
        """Return the class index of each emotion, -1 where the scheme drops it or there is none."""
        index = {name: i for i, name in enumerate(self.classes)}
        fate: dict[str | None, int] = {None: -1}
        for emotion in {emotion for emotion in emotions if emotion is not None}:
            target = self.class_of(emotion)
            fate[emotion] = -1 if target is None else index[target]
        return [fate[emotion] for emotion in emotions]

    def reason(self, emotion: str | None) -> str:
        """Return under which name the loss of an utterance with this emotion is counted."""
        return "label-missing:emotion" if emotion is None else f"outside-scheme:{emotion}"

    def merged(self, emotions: Iterable[str | None]) -> dict[str, int]:
        """Return how many are counted as another class: ``calm→neutral`` -> utterances, sorted."""
        found = Counter(f"{emotion}→{self.merge[emotion]}" for emotion in emotions if emotion and emotion in self.merge)
        return dict(sorted(found.items()))

    def shares(self, votes: Mapping[str, float]) -> list[float] | None:
        """Return annotators' votes as one share per class, summing to 1; None where no vote falls on a class.

        Votes for an emotion are votes for the class that it merges into. Those for emotions without a class are
        left out, also where the scheme refuses such labels: an annotator may hear what no label says.

        Args:
            votes: Canonical emotion -> number of votes, or their weight, at least 0.
        """
        tally = dict.fromkeys(self.classes, 0.0)
        for emotion, weight in votes.items():
            target = self.merge.get(emotion, emotion)
            if target in tally:
                tally[target] += weight
        whole = sum(tally.values())
        return [weight / whole for weight in tally.values()] if whole > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionScheme:
    """A dimension's numbers in three levels: at most the first cut is low, at least the second is high.

    Or the numbers themselves, where ``numbers`` is true: models are asked for these, and the levels only deal folds.

    Attributes:
        name: What suites and boards call it.
        column: ``arousal``, ``valence`` or ``dominance``.
        cuts: The two cuts, on :attr:`scale`.
        scale: Lowest and highest value. A corpus on another scale is mapped onto this one linearly.
        classes: The levels, in the order of every confusion matrix.
        numbers: Whether models are asked for the number.
    """

    classes: ClassVar[tuple[str, ...]] = ("low", "mid", "high")
    scale: ClassVar[tuple[float, float]] = (1.0, 5.0)
    name: str
    column: str
    cuts: tuple[float, float]
    numbers: bool = False

    def class_indices(self, values: Sequence[float], scale: tuple[float, float]) -> list[int]:
        """Return the level of each value, -1 where there is none (NaN) or it lies outside the scale.

        Args:
            values: As the corpus states them, on ``scale``.
            scale: The corpus's lowest and highest value.
        """
        # The cuts are brought to the corpus's scale, not its values to ours: no value at a cut is moved by rounding.
        (lowest, highest), (low, high) = scale, (self._on(scale, cut) for cut in self.cuts)
        if not lowest < highest:
            raise ValueError(f"a scale from low to high expected, got {scale}")
        return [0 if lowest <= v <= low else 2 if high <= v <= highest else 1 if low < v < high else -1 for v in values]

    def _on(self, scale: tuple[float, float], cut: float) -> float:
        share = (cut - self.scale[0]) / (self.scale[1] - self.scale[0])
        return scale[0] + share * (scale[1] - scale[0])

    def reason(self, value: float) -> str:
        """Return under which name the loss of an utterance is counted: it has no value, or one outside the scale."""
        return f"label-missing:{self.column}" if value != value else f"outside-scale:{self.column}"

    def merged(self, values: Iterable[float]) -> dict[str, int]:
        """Return nothing: levels are no emotions counted as another."""
        return {}


Scheme = LabelScheme | DimensionScheme

DIMENSIONS = ("arousal", "dominance", "valence")
"""The columns of numbers that a corpus may carry, on the scale that its adapter states."""

_FOUR = ("angry", "happy", "neutral", "sad")
_SIX = ("angry", "disgust", "fear", "happy", "neutral", "sad")
_SEVEN = (*_SIX, "surprise")
_EIGHT = ("angry", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        LabelScheme(name="four", classes=_FOUR, drop=("calm",), rest="drop"),
        LabelScheme(name="four-calm-neutral", classes=_FOUR, merge={"calm": "neutral"}, rest="drop"),
        LabelScheme(name="four-excited-happy", classes=_FOUR, merge={"excited": "happy"}, drop=("calm",), rest="drop"),
        LabelScheme(name="six", classes=_SIX, drop=("calm", "surprise"), rest="drop"),
        LabelScheme(name="seven", classes=_SEVEN, merge={"calm": "neutral"}, rest="drop"),
        LabelScheme(name="seven-drop-calm", classes=_SEVEN, drop=("calm",), rest="drop"),
        LabelScheme(name="eight", classes=_EIGHT, rest="drop"),
    )
}
"""The named schemes of emotions. ``native`` is made per corpus by :func:`label_scheme`."""

DIMENSION_SCHEMES = {
    name: DimensionScheme(name=name, column=column, cuts=(2.5, 3.5), numbers=name == column)
    for column in DIMENSIONS
    for name in (f"{column}-3", column)
}
"""The named schemes of numbers: three levels each, and the numbers themselves."""

SCHEME_NAMES = (*SCHEMES, "native", *DIMENSION_SCHEMES)
"""Every name that :func:`label_scheme` knows."""


def label_scheme(name: str, emotions: Iterable[str] = ()) -> Scheme:
    """Return the scheme called ``name``.

    Args:
        name: One of :data:`SCHEME_NAMES`.
        emotions: The corpus's own canonical emotions; ``native`` takes these as its classes.

    Raises:
        UsageError: If there is no such scheme.
    """
    if name == "native":
        return LabelScheme(name="native", classes=tuple(sorted(set(emotions))), rest="refuse")
    scheme: Scheme | None = SCHEMES.get(name) or DIMENSION_SCHEMES.get(name)
    if scheme is None:
        raise UsageError(
            f"unknown label scheme {name!r}" + did_you_mean(name, SCHEME_NAMES),
            hint="ser-bench list schemes",
        )
    return scheme
