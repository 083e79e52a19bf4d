"""Saved models asked about sound files: each whole, or in windows, in this process alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench import model_files
from ser_bench.audio import SILENCE_PEAK, AudioError, AudioSource, Float32, at_rate, decode
from ser_bench.errors import DataError, SerBenchError, UsageError
from ser_bench.features.contract import Analysis, FeatureSet
from ser_bench.fold_fit import checked
from ser_bench.model_files import Member, ModelFile, Normalisation
from ser_bench.models.contract import Examples, Prediction
from ser_bench.normalise import Moments, Normaliser
from ser_bench.registry import import_object

_TOGETHER = 64
"""Windows that are asked about at a time, so that an hour of sound needs no more memory than a minute."""

_DEEPEST = 8
"""How deep fusions of fusions may go, before a file must be one that names itself."""

_UNFIT = (ValueError, IndexError, KeyError, TypeError, AttributeError, RuntimeError, ArithmeticError)
"""What a model raises over weights, or values of a sound, that do not fit it."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One fitted model: its feature set, under its registered name, the rate of its samples, what is done to values."""

    features: str
    feature_set: FeatureSet
    sample_rate_hz: int | None
    normaliser: Normaliser
    model: Any
    weight: float

    def predict(self, values: Sequence[Float32], n_classes: int) -> Prediction:
        """Return the answer for utterances.

        Args:
            values: What the feature set gives for each.
            n_classes: Number of classes.
        """
        columns, groups = self.feature_set.columns, dict(self.feature_set.groups)
        laid = np.concatenate([one.reshape(-1, len(columns)) for one in values])
        normalised = self.normaliser.apply(laid, np.zeros(len(laid), dtype=np.int64))
        if self.feature_set.kind == "vector":
            examples = Examples(values=normalised, columns=columns, groups=groups)
        else:
            offsets = np.cumsum([0, *map(len, values)]).astype(np.int64)
            examples = Examples.of_frames(normalised, columns, offsets, groups=groups)
        return checked(self.model.predict(examples), len(values), n_classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """A model that can be asked: one part, or the parts that a fusion averages.

    Attributes:
        file: What its folder says of it.
        parts: At least one.
        warnings: What may make it answer otherwise than when it was saved.
    """

    file: ModelFile
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model says of a file, or of a window of it.

    Attributes:
        start_s: Where it starts, in seconds.
        end_s: Where it ends.
        label: A class; None where there is nothing to hear, and for numbers.
        scores: Class -> score; None where the model gives none.
        value: The number that a model of arousal, valence or dominance answers; None for classes.
    """

    start_s: float
    end_s: float
    label: str | None
    scores: Mapping[str, float] | None
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """What a model says of one file.

    Attributes:
        path: The file.
        whole: The answer; None where there is an ``error``.
        windows: The answers of its windows, where they were asked for.
        score_kind: ``probability``, ``decision`` or ``none``.
        error: Why there is no answer.
    """

    path: str
    whole: Answer | None = None
    windows: tuple[Answer, ...] = ()
    score_kind: str = "none"
    error: str | None = None


def load_model(folder: Path, *, trust_code: bool = False) -> SavedModel:
    """Return the saved model in ``folder``, ready to be asked. Nothing that a file says is run.

    Args:
        folder: A folder with ``model.json``.
        trust_code: See :func:`ser_bench.model_files.spec_of`.

    Raises:
        DataError: If a file is damaged, contradicts what is installed, or the features are others here.
        PrerequisiteError: If something that it needs is not installed.
        UsageError: If it asks for code, or its normalisation needs more than single files.
    """
    file = model_files.read(folder)
    warnings: list[str] = []
    parts = _parts(folder, file, 1.0, trust_code, warnings, _DEEPEST)
    return SavedModel(file=file, parts=tuple(parts), warnings=tuple(dict.fromkeys(warnings)))


def _parts(
    folder: Path, file: ModelFile, weight: float, trust_code: bool, warnings: list[str], depth: int
) -> list[Part]:
    try:
        if not file.members:
            return [_part(folder, file, weight, trust_code, warnings)]
        found = []
        for member in file.members:
            below = _member_folder(folder, member, depth)
            told = model_files.read(below)
            if told.classes != file.classes:
                raise DataError(f"its member {member.row!r} has other classes")
            found += _parts(below, told, weight * member.weight, trust_code, warnings, depth - 1)
        return found
    except SerBenchError as error:
        if str(folder) in error.message:
            raise
        raise type(error)(f"{folder}: {error.message}", hint=error.hint) from error


def _member_folder(folder: Path, member: Member, depth: int) -> Path:
    if not depth:
        raise DataError("its members are fusions of fusions without end")
    if any(Path(name).name != name or name in ("", ".", "..") for name in (member.row, member.folder)):
        raise DataError(f"its member {member.row!r}/{member.folder!r} lies outside its folder")
    return folder.resolve().parent.parent / member.row / member.folder


def _part(folder: Path, file: ModelFile, weight: float, trust_code: bool, warnings: list[str]) -> Part:
    if file.model is None or file.features is None or file.normaliser is None:
        raise DataError("it holds neither a model with features and normaliser, nor members")
    kind = file.normaliser.kind
    if kind in model_files.TRANSDUCTIVE:
        raise UsageError(
            f"it is normalised by each {kind}'s own mean and sd: that takes all of a {kind}'s utterances, and a file "
            "is one",
            hint="a model that can be asked: ser-bench run … --normalise standard --keep-models",
        )
    spec = model_files.spec_of(file.model, trust_code=trust_code)
    feature_set = model_files.features_of(file.features, file.sample_rate_hz)
    model_files.check_files(file.model, folder)
    warnings += model_files.differences(file.model, spec)
    try:
        model: Any = import_object(spec.factory)(**{**file.model.params, **file.model.chosen})
        model.load(folder)
    except _UNFIT as error:
        raise DataError(f"its weights don't fit {spec.name}: {error}") from error
    return Part(
        features=file.features.name,
        feature_set=feature_set,
        sample_rate_hz=feature_set.rate_hz(file.sample_rate_hz),
        normaliser=_normaliser(file.normaliser, len(feature_set.columns)),
        model=model,
        weight=weight,
    )


def _normaliser(saved: Normalisation, n_columns: int) -> Normaliser:
    if saved.mean is None or saved.scale is None:
        return Normaliser(saved.kind, None)
    if not len(saved.mean) == len(saved.scale) == n_columns:
        raise DataError(f"its normaliser is of {len(saved.mean)} columns, its features of {n_columns}")
    return Normaliser(saved.kind, Moments(np.array(saved.mean), np.array(saved.scale)))


def windows(duration_s: float, window_s: float, hop_s: float) -> list[Span]:
    """Return windows that cover a file, as (start, end) in seconds.

    They start every ``hop_s``, and are ``window_s`` long; where they leave a rest, a last one ends with the file. A
    file no longer than a window is one.
    """
    if duration_s <= window_s:
        return [(0.0, duration_s)]
    starts = np.arange(int((duration_s - window_s) / hop_s) + 1) * hop_s
    spans = [(start, min(start + window_s, duration_s)) for start in starts.tolist()]
    if spans[-1][1] < duration_s - 1e-6:
        spans.append((duration_s - window_s, duration_s))
    return spans


def ask(model: SavedModel, path: str, window_s: float | None = None, hop_s: float | None = None) -> FileAnswer:
    """Return what a model says of a file; what is wrong with the file is an answer, too.

    With windows, the file's scores (or its number) are the means of those of its windows that are not silent, and its
    label is the class of the highest (without scores: the most frequent label).

    Args:
        model: The model.
        path: The file.
        window_s: Length of the windows; None: the file is asked about as a whole.
        hop_s: From one window's start to the next one's; None: ``window_s``.
    """
    try:
        if not Path(path).is_file():  # a pipe or a device would never end
            raise AudioError("undecodable", "no such file" if not Path(path).exists() else "no regular file")
        samples, native_hz = decode(AudioSource(path=path))
        duration_s = len(samples) / native_hz
        spans = windows(duration_s, window_s, hop_s or window_s) if window_s else [(0.0, duration_s)]
        audible = [span for span in spans if np.abs(_cut(samples, native_hz, span)).max() > SILENCE_PEAK]
        if not audible:
            raise AudioError("silent", "nothing to hear")
        predictions = _predictions(model, AudioSource(path=path), samples, native_hz, audible)
    except (AudioError, *_UNFIT) as error:
        return FileAnswer(path=path, error=str(error).strip() or type(error).__name__)
    classes = model.file.classes
    found = {span: _answer(span, one, classes) for span, one in zip(audible, predictions, strict=True)}
    answers = tuple(
        found.get(span) or Answer(start_s=span[0], end_s=span[1], label=None, scores=None) for span in spans
    )
    return FileAnswer(
        path=path,
        whole=_answer((0.0, duration_s), _summed_up(predictions), classes),
        windows=answers if window_s else (),
        score_kind=predictions[0].score_kind,
    )


def _cut(samples: Float32, rate_hz: int, span: Span) -> Float32:
    start = round(span[0] * rate_hz)
    return samples[start : max(start + 1, round(span[1] * rate_hz))]


def _predictions(
    model: SavedModel, source: AudioSource, samples: Float32, native_hz: int, spans: Sequence[Span]
) -> list[Prediction]:
    """Return the answer for each span, as a prediction of one row."""
    rates = {part.sample_rate_hz or native_hz for part in model.parts}
    sound = {rate: at_rate(source, samples, native_hz, rate) for rate in rates}
    found: list[Prediction] = []
    for start in range(0, len(spans), _TOGETHER):
        some = spans[start : start + _TOGETHER]
        analyses = {rate: [Analysis(_cut(sound[rate], rate, span), rate) for span in some] for rate in rates}
        values = {
            part.features: [part.feature_set(one) for one in analyses[part.sample_rate_hz or native_hz]]
            for part in {part.features: part for part in model.parts}.values()
        }
        asked = [part.predict(values[part.features], len(model.file.classes)) for part in model.parts]
        found += _averaged(asked, [part.weight for part in model.parts])
    return found


def _averaged(asked: Sequence[Prediction], weights: Sequence[float]) -> list[Prediction]:
    """Return one prediction per row: a single model's own, or the weighted mean of several models' probabilities."""
    if len(asked) == 1:
        (one,) = asked
        if one.ratings is not None:
            return [Prediction(ratings=rating) for rating in one.ratings[:, None]]
        scores = [None] * len(one.labels) if one.scores is None else list(one.scores[:, None])
        return [
            Prediction(labels=label, scores=row, score_kind=one.score_kind)
            for label, row in zip(one.labels[:, None], scores, strict=True)
        ]
    if any(one.score_kind != "probability" for one in asked):
        raise ValueError("a member of the fusion gives no probabilities to average")
    mean = sum(weight * one.scores for one, weight in zip(asked, weights, strict=True) if one.scores is not None)
    return [_of_scores(row[None], "probability") for row in np.asarray(mean)]


def _of_scores(scores: NDArray[np.float64], kind: Any) -> Prediction:
    return Prediction(labels=scores.argmax(axis=1).astype(np.int64), scores=scores, score_kind=kind)


def _summed_up(predictions: Sequence[Prediction]) -> Prediction:
    if len(predictions) == 1:
        return predictions[0]
    ratings = [one.ratings for one in predictions if one.ratings is not None]
    if ratings:
        return Prediction(ratings=np.mean(ratings, axis=0))
    scores = [one.scores for one in predictions if one.scores is not None]
    if scores:
        return _of_scores(np.mean(scores, axis=0), predictions[0].score_kind)
    counts = np.bincount(np.concatenate([one.labels for one in predictions]))
    return Prediction(labels=np.argmax(counts, keepdims=True).astype(np.int64))


def _answer(span: Span, prediction: Prediction, classes: Sequence[str]) -> Answer:
    if prediction.ratings is not None:
        return Answer(start_s=span[0], end_s=span[1], label=None, scores=None, value=float(prediction.ratings[0]))
    scores = prediction.scores
    told = None if scores is None else dict(zip(classes, scores[0].tolist(), strict=True))
    return Answer(start_s=span[0], end_s=span[1], label=classes[int(prediction.labels[0])], scores=told)
