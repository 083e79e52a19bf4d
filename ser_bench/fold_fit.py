"""One model on one fold with one seed, inside a worker: rows, normalisation, search, refit, predictions, saved model.

A worker in another Python environment imports this module, so it must not need more than numpy.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median_low, mode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.equal_parts import speaker_folds
from ser_bench.errors import UsageError
from ser_bench.metrics import METRICS, confusion_matrix
from ser_bench.models.contract import Examples, FitContext, Model, Prediction
from ser_bench.normalise import Normaliser
from ser_bench.rating_metrics import RATING_METRICS, rating_sums
from ser_bench.training_rows import with_children, with_repeats

Report = Callable[[int, int], None]
Rows = NDArray[np.int64]

INNER_FOLDS = 3
"""Folds by speaker that a search makes of the training rows where the protocol gives it neither dev nor inner folds."""

SHUFFLES = 5
"""How often a column is shuffled to see what it was worth."""

MOST_SHUFFLED = 20
"""Columns that are shuffled, one at a time, where a set has no groups and the model ranks its columns itself."""


class FoldFit:
    """One model x seed x fold: the rows, the normalisation, the search on dev or inner folds, the refit.

    ``searches`` holds pairs (rows to fit, rows to judge): train and dev, or the inner folds of a nested protocol, or
    inner folds ``dealt`` here, by speaker, for a search that the protocol gives neither.
    """

    def __init__(self, task: dict[str, Any], scratch: Path, progress: Report) -> None:
        self.task = task
        with np.load(task["data"], allow_pickle=False) as data:
            self.classes: Rows = data["classes"]
            self.ratings: NDArray[np.float64] | None = data.get("ratings")
            self.speakers: Rows = data["speakers"]
            self.corpora: Rows = data["corpora"]
            self.parents: Rows = data["parents"] if "parents" in data else np.full(len(self.classes), -1)
            self.train, self.dev, self.test = (data[f"{side}_{task['fold']}"].astype(np.int64) for side in _SIDES)
            inner = [[data[f"{part}_{task['fold']}_{n}"] for part in ("fit", "judge")] for n in range(task["inner"])]
        self.searches: list[tuple[Rows, Rows]] = [
            (fit.astype(np.int64), judge.astype(np.int64)) for fit, judge in inner
        ]
        if not self.searches and len(self.dev):
            self.searches = [(self.train, self.dev)]
        self.values: NDArray[np.float32] = np.load(task["values"], mmap_mode="r", allow_pickle=False)
        self.offsets: Rows | None = np.load(task["offsets"], allow_pickle=False) if task["offsets"] else None
        self.columns = tuple(task["columns"])
        self.column_groups = {name: (start, stop) for name, (start, stop) in task.get("groups", {}).items()}
        self.distributions: NDArray[np.float32] | None = None
        if task["soft_targets"]:
            self.distributions = self._soft_targets(task["data"], len(task["class_names"]))
        if task.get("permute"):
            self._permute_training_labels()
        self.context = FitContext(
            n_classes=len(task["class_names"]),
            class_names=tuple(task["class_names"]),
            seed=task["seed"],
            device=task["device"],
            threads=task["threads"],
            scratch=scratch,
            progress=progress,
        )
        self.checkpoints = Path(task["out"]).with_suffix(".checkpoints")
        self.chosen: dict[str, Any] = {}
        self.search: list[dict[str, Any]] = []
        self.selector_facts: dict[str, Any] = {}
        self.dev_curve: Any = None
        self.normaliser: Normaliser
        self.n_tried = 0
        self.judged_rows: Rows = self.dev[:0]
        self.judged_labels: NDArray[Any] = self.dev[:0]
        self.fitted_rows = np.setdiff1d(np.union1d(self.train, self.dev), self.test)  # a dev set may hold test rows
        self.dealt = bool(task["grid"] or task.get("selects")) and not self.searches
        if self.dealt:
            self.searches = self._inner_folds()

    def _inner_folds(self) -> list[tuple[Rows, Rows]]:
        rows = self.fitted_rows
        dealt = speaker_folds(self.speakers[rows], self.classes[rows], INNER_FOLDS)
        return [(rows[fit], rows[judge]) for fit, judge in dealt]

    def _soft_targets(self, data: str, n_classes: int) -> NDArray[np.float32]:
        """Return the stored distributions without the shares of classes that no training row is labelled with.

        A pair of corpora is trained and tested on the classes that both have; so are its soft targets. Where nothing
        is left of a row, its label is certain.
        """
        with np.load(data, allow_pickle=False) as arrays:
            shares = arrays["distributions"].astype(np.float64)
        shares[:, np.setdiff1d(np.arange(n_classes), self.classes[np.union1d(self.train, self.dev)])] = 0.0
        gone = ~shares.any(axis=1)
        shares[gone] = np.eye(n_classes)[self.classes[gone]]
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)

    def load(self) -> None:
        """Import what the model needs, so that no clock counts it."""
        for name in self.task["requires"]:
            importlib.import_module(name)
        self._build({})

    def fit(self) -> None:
        """Choose on dev or inner folds where the model can, then fit on all training rows."""
        self._seed_everything()
        if self.searches and (self.task["uses_dev"] or self.task["grid"] or self.task.get("selects")):
            self._choose()
        self.seen = self._seen_by_a_fit(self.fitted_rows)
        self._normalise_by(self.seen)
        self._seed_everything()
        self.model = self._build(self.chosen)
        self.model.fit(self.examples(self.seen, with_classes=True), None, self.context_of("refit"))

    def _seen_by_a_fit(self, rows: Rows) -> Rows:
        """Return utterances to fit on with their children, and with repeats of rare classes, where asked for."""
        if self.task.get("augment"):
            rows = with_children(rows, self.parents)
        return with_repeats(rows, self.classes, self.task.get("oversample", ()), self.task["seed"])

    def context_of(self, fit: str) -> FitContext:
        """Return the context of one of the cell's fits: each finds its own checkpoint again after a kill."""
        return replace(self.context, checkpoint=self.checkpoints / fit)

    def _choose(self) -> None:
        """Choose by the best mean score on what is judged: the grid first, of equals the first; then the selection."""
        grid = self.task["grid"]
        points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        best: _Tried | None = None
        if grid or self.task["uses_dev"]:
            tried = self._try(points)
            best = max(tried, key=lambda one: one.score)
            self.chosen = {**best.params, **_settled(best.found)}
            self.search = [{"params": one.params, "score": one.score, "scores": one.scores} for one in tried]
        if self.task.get("selects"):
            selector: Any = self._build(self.chosen)
            columns = Examples(values=self.values[:0], columns=self.columns, groups=self.column_groups)
            self.chosen |= selector.select(columns, self._scores_of)
            self.selector_facts = selector.facts
            best = self._try([self.chosen])[0]
        assert best is not None
        self.dev_curve = best.curves[0] if len(self.searches) == 1 else None
        self.judged_rows = np.concatenate([judge for _, judge in self.searches])
        self.judged_labels = np.concatenate(best.labels)

    def _scores_of(self, points: Sequence[Mapping[str, Any]]) -> list[float]:
        return [one.score for one in self._try([{**self.chosen, **point} for point in points])]

    def _try(self, points: Sequence[dict[str, Any]]) -> list[_Tried]:
        """Fit every point on the one side of every pair of rows, and judge it on the other."""
        tried = [_Tried(params=point, scores=[], found=[], labels=[], curves=[]) for point in points]
        for pair, (fit, judge) in enumerate(self.searches):
            seen = self._seen_by_a_fit(fit)
            self._normalise_by(seen)
            train = self.examples(seen, with_classes=True)
            dev = self.examples(judge, with_classes=True)
            for number, one in enumerate(tried, start=self.n_tried):
                model = self._build(one.params)
                model.fit(train, dev if self.task["uses_dev"] else None, self.context_of(f"{pair}-{number}"))
                answer = checked(model.predict(self.examples(judge)), len(judge), self.context.n_classes)
                one.scores.append(self._score(judge, answer))
                one.found.append(model.chosen if self.task["uses_dev"] else {})
                one.labels.append(answer.answers)
                one.curves.append(model.facts.get("curve"))
        self.n_tried += len(tried)
        return tried

    def _score(self, rows: Rows, answer: Prediction) -> float:
        if self.ratings is not None:
            sums = rating_sums(self.ratings[rows], answer.answers)
            return float(RATING_METRICS[self.task["primary"]](sums))
        confusion = confusion_matrix(self.classes[rows], answer.labels, self.context.n_classes)
        return float(METRICS[self.task["primary"]](confusion.astype(np.float64)))

    def permutation_importances(self) -> dict[str, float]:
        """Return what the primary score loses when a group of columns, or one, is shuffled among the judged rows.

        Models with what was chosen are fitted on the one side of each pair of rows that a search has, or would have;
        means over pairs and shuffles. Test rows are not looked at.
        """
        spans, pairs = dict(self.column_groups), self.searches or self._inner_folds()
        if not spans:
            own: dict[str, float] = next(iter(self.model.facts.get("importances", {}).values()), {})
            named = sorted(own, key=own.__getitem__, reverse=True)[:MOST_SHUFFLED] or self.columns
            spans = {name: (at := self.columns.index(name), at + 1) for name in named}
        lost, own_normaliser = dict.fromkeys(spans, 0.0), self.normaliser
        state = np.random.RandomState(self.task["seed"])
        for pair, (fit, judge) in enumerate(pairs):
            seen = self._seen_by_a_fit(fit)
            self._normalise_by(seen)
            model = self._build(self.chosen)
            model.fit(self.examples(seen, with_classes=True), None, self.context_of(f"permuted-{pair}"))
            whole = self.examples(judge)
            score = self._score(judge, model.predict(whole))
            orders = [state.permutation(len(judge)) for _ in range(SHUFFLES)]
            for name, (start, stop) in spans.items():
                for order in orders:
                    values = whole.values.copy()
                    values[:, start:stop] = whole.values[order, start:stop]
                    left = self._score(judge, model.predict(replace(whole, values=values)))
                    lost[name] += (score - left) / (SHUFFLES * len(pairs))
        self.normaliser = own_normaliser
        return lost

    def predict(self, rows: Rows) -> Prediction:
        """Return the fitted model's answer for ``rows``, one label each."""
        return checked(self.model.predict(self.examples(rows)), len(rows), self.context.n_classes)

    def predict_stressed(self, rows: Rows, values: str, offsets: str | None) -> Prediction:
        """Return the fitted model's answer for the test rows, by features of changed sound.

        These are normalised as the unchanged ones are, transductive kinds too: by the moments of unchanged sound.

        Args:
            rows: What is laid out, as positions in the table, ascending; the test rows are among them.
            values: ``.npy`` file, laid out as the unchanged values are.
            offsets: ``.npy`` file with the offsets, or None for vectors.
        """
        laid_out = np.load(values, mmap_mode="r", allow_pickle=False)
        bounds = np.load(offsets, allow_pickle=False) if offsets else None
        examples = self._examples(laid_out, bounds, np.searchsorted(rows, self.test), self.groups[rows])
        return checked(self.model.predict(examples), len(self.test), self.context.n_classes)

    def saved_bytes(self, folder: Path) -> int | None:
        """Return the size of the fitted model as it saves itself into a new ``folder``; None where it can't."""
        model: Any = self.model
        if not hasattr(model, "save"):
            return None
        folder.mkdir()
        model.save(folder)
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def keep(self, folder: Path, test: Prediction) -> dict[str, Any]:
        """Save the fitted model; return how its inputs are normalised.

        What was saved is read back, and has to answer as the model does.

        Args:
            folder: Not there yet.
            test: What the model says of the test rows.

        Raises:
            UsageError: If the model's class can't be saved, or what is read back answers otherwise.
        """
        model: Any = self.model
        if not (hasattr(model, "save") and hasattr(model, "load")):
            raise UsageError(f"{type(model).__name__} has no save and load")
        folder.mkdir()
        model.save(folder)
        again: Any = self._build(self.chosen)
        again.load(folder)
        found = checked(again.predict(self.examples(self.test)), len(self.test), self.context.n_classes)
        if not _alike(test, found, self.context.device == "cpu"):
            raise UsageError("what was saved answers otherwise than what was fitted")
        return {"normaliser": self.normaliser.to_plain()}

    def examples(self, rows: Rows, *, with_classes: bool = False) -> Examples:
        """Return ``rows`` as the model sees them: normalised, and without what is to be predicted when predicting."""
        told: dict[str, Any] = {}
        if with_classes and self.ratings is not None:
            told = {"ratings": self.ratings[rows].astype(np.float32), "speakers": self.speakers[rows]}
        elif with_classes:
            soft = None if self.distributions is None else self.distributions[rows]
            told = {"classes": self.classes[rows], "distributions": soft, "speakers": self.speakers[rows]}
        return self._examples(self.values, self.offsets, rows, self.groups, **told)

    def _examples(
        self, values: NDArray[np.float32], offsets: Rows | None, rows: Rows, groups: Rows, **told: Any
    ) -> Examples:
        """Return ``rows`` of laid-out values, whose groups stand in the same order, as the model sees them."""
        if offsets is None:
            normalised = self.normaliser.apply(values[rows], groups[rows])
            return Examples(values=normalised, columns=self.columns, groups=self.column_groups, **told)
        normaliser = self.normaliser
        return Examples.of_frames(
            values,
            self.columns,
            offsets,
            groups=self.column_groups,
            rows=rows,
            transform=lambda frames, row: normaliser.apply(frames, np.full(len(frames), groups[row])),
            **told,
        )

    def laid_out(self, row: int) -> NDArray[np.float32]:
        """Return the laid-out values of the utterance at ``row``, shape (n_frames, n_columns); 1 for vectors."""
        start, end = (row, row + 1) if self.offsets is None else self.offsets[row : row + 2]
        return self.values[start:end]

    def fresh(self, values: Sequence[NDArray[np.float32]], rows: Sequence[int]) -> Examples:
        """Return freshly extracted values of the utterances at ``rows`` as examples, as :meth:`examples` would.

        Args:
            values: Per utterance, shape (n_frames, n_columns); 1 for vectors.
            rows: As many positions in the table.
        """
        offsets = None if self.offsets is None else np.cumsum([0, *map(len, values)]).astype(np.int64)
        return self._examples(np.concatenate(values), offsets, np.arange(len(rows)), self.groups[list(rows)])

    @property
    def groups(self) -> Rows:
        """The group of every utterance that normalisation by speaker or corpus goes by."""
        return self.speakers if self.task["normalise"] == "speaker" else self.corpora

    def _normalise_by(self, rows: Rows) -> None:
        kind, values, groups = self.task["normalise"], self.values, np.where(self.parents < 0, self.groups, -1)
        if kind == "all":  # utterances alone, as in the groups: children stand behind them
            n = int((self.parents < 0).sum())
            values = values[: n if self.offsets is None else self.offsets[n]]
        self.normaliser = Normaliser.fit(kind, values, self.offsets, rows, groups)

    def _build(self, chosen: dict[str, Any]) -> Model:
        module, _, name = self.task["factory"].partition(":")
        factory = getattr(importlib.import_module(module), name)
        return factory(**{**self.task["params"], **chosen})

    def _permute_training_labels(self) -> None:
        """Shuffle the labels of the training speakers among each speaker's own rows: the canary."""
        state = np.random.RandomState(self.task["seed"])
        order = np.arange(len(self.classes))
        rows = np.union1d(self.train, self.dev)
        for speaker in np.unique(self.speakers[rows]):
            own = rows[self.speakers[rows] == speaker]
            order[own] = state.permutation(own)
        order = np.where(self.parents < 0, order, order[self.parents])
        self.classes = self.classes[order]
        self.ratings = None if self.ratings is None else self.ratings[order]
        self.distributions = None if self.distributions is None else self.distributions[order]

    def _seed_everything(self) -> None:
        random.seed(self.task["seed"])
        np.random.seed(self.task["seed"])


_SIDES = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A point of a search: per pair of rows its primary score, what the model chose itself, said and predicted."""

    params: dict[str, Any]
    scores: list[float]
    found: list[dict[str, Any]]
    labels: list[NDArray[Any]]
    curves: list[Any]

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))


def _settled(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what models on several inner folds chose as one choice: of numbers the (lower) median, else the mode."""
    choices = {name: [one[name] for one in found if name in one] for one in found for name in one}
    return {
        name: median_low(values) if all(isinstance(v, int | float) for v in values) else mode(values)
        for name, values in choices.items()
    }


def checked(prediction: Prediction, n: int, n_classes: int) -> Prediction:
    """Return a model's answer for ``n`` rows as it is.

    Raises:
        ValueError: If it breaks the contract.
    """
    if not n_classes:
        ratings = np.asarray(prediction.answers)
        if prediction.ratings is None or ratings.shape != (n,) or not np.isfinite(ratings).all():
            raise ValueError(f"predict returned no finite number for each of {n} utterances: {ratings.shape}")
        return prediction
    labels = np.asarray(prediction.labels)
    if labels.shape != (n,):
        raise ValueError(f"predict returned labels of shape {labels.shape} for {n} utterances")
    if not np.issubdtype(labels.dtype, np.integer) or (n and (labels.min() < 0 or labels.max() >= n_classes)):
        raise ValueError(f"predict returned labels outside 0..{n_classes - 1} (dtype {labels.dtype})")
    if prediction.scores is not None:
        scores = np.asarray(prediction.scores)
        if scores.shape != (n, n_classes):
            raise ValueError(f"predict returned scores of shape {scores.shape}, ({n}, {n_classes}) expected")
        if not np.isfinite(scores).all():
            raise ValueError("predict returned scores that are not finite")
    return prediction


def _alike(one: Prediction, other: Prediction, on_cpu: bool) -> bool:
    """Whether two answers are the same but for rounding, which on another device is coarser."""
    if one.ratings is not None and other.ratings is not None:
        return np.allclose(one.ratings, other.ratings, rtol=0, atol=1e-6 if on_cpu else 1e-2)
    if one.scores is None or other.scores is None:
        return one.scores is other.scores and np.array_equal(one.labels, other.labels)
    close = np.allclose(one.scores, other.scores, rtol=0, atol=1e-6 if on_cpu else 1e-2)
    return close and (not on_cpu or np.array_equal(one.labels, other.labels))
