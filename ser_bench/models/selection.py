"""Selection of columns by trying, around any estimator of scikit-learn; fitting and judging are the worker's.

Source: the backward selection of the RAVDESS study behind the suite ``ravdess-actor-holdout``, over its five groups.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ser_bench import registry
from ser_bench.errors import PrerequisiteError, UsageError, did_you_mean
from ser_bench.models.contract import Examples, FitContext, Prediction
from ser_bench.models.scikit import ScikitModel

ScoresOf = Callable[[Sequence[Mapping[str, Any]]], Sequence[float]]


class BackwardModel(ScikitModel):
    """An estimator on groups of columns; :meth:`select` drops groups one by one.

    Args:
        path: As of :class:`~ser_bench.models.scikit.ScikitModel`.
        groups: The groups to use, or to start from; None: all columns.
        **params: The estimator's parameters.
    """

    def __init__(self, path: str = "", /, *, groups: Sequence[str] | None = None, **params: Any) -> None:
        super().__init__(path, **params)
        self._groups = groups

    def select(self, columns: Examples, scores_of: ScoresOf) -> dict[str, Any]:
        """Drop the group without which the score is best, until every drop makes it worse; equal is not worse.

        Raises:
            UsageError: If the feature set has no groups.
        """
        if not columns.groups:
            raise UsageError(
                f"backward selection is over groups of columns, and this feature set has none; {', '.join(_grouped())} "
                "have some",
                hint="ser-bench list features",
            )
        kept = list(self._groups or columns.groups)
        (best,) = scores_of([{"groups": kept}])
        path: list[dict[str, Any]] = [{"step": 0, "score": best}]
        while len(kept) > 1:
            tried = [[name for name in kept if name != dropped] for dropped in kept]
            scores = scores_of([{"groups": names} for names in tried])
            place = int(np.argmax(scores))
            if scores[place] < best:
                break
            path.append({"step": len(path), "dropped": kept[place], "score": scores[place]})
            best, kept = scores[place], tried[place]
        self.facts["selection"] = path
        return {"groups": kept}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Fit on the columns of the groups."""
        super().fit(self._only(train), dev, context)

    def predict(self, examples: Examples) -> Prediction:
        """Return the answer of the estimator, which sees the columns of the groups."""
        return super().predict(self._only(examples))

    def _only(self, examples: Examples) -> Examples:
        if self._groups is None:
            return examples
        if unknown := [name for name in self._groups if name not in examples.groups]:
            raise UsageError(f"unknown group of columns {unknown[0]!r}" + did_you_mean(unknown[0], examples.groups))
        spans = [examples.groups[name] for name in self._groups]
        return _with_columns(examples, [at for start, stop in spans for at in range(start, stop)])


class SequentialModel(ScikitModel):
    """An estimator on single columns; :meth:`select` adds them one by one.

    scikit-learn's own sequential selection would judge on whatever splits it is given, of rows that were normalised
    together; here every try is normalised by the rows that it is fitted on.

    Args:
        path: As of :class:`~ser_bench.models.scikit.ScikitModel`.
        n_columns: The most that are added.
        columns: The columns to use, or to start from; None: all, and to start from none.
        **params: The estimator's parameters.
    """

    def __init__(
        self, path: str = "", /, *, n_columns: int = 20, columns: Sequence[str] | None = None, **params: Any
    ) -> None:
        super().__init__(path, **params)
        self._n_columns, self._columns = n_columns, columns

    def select(self, columns: Examples, scores_of: ScoresOf) -> dict[str, Any]:
        """Add the column with which the score is best until ``n_columns`` are there; keep those up to the best score.

        So a step that helps nothing ends nothing: the next one may.
        """
        start = list(self._columns or ())
        path: list[dict[str, Any]] = []
        while len(path) < min(self._n_columns, len(columns.columns) - len(start)):
            kept = start + [step["added"] for step in path]
            left = [name for name in columns.columns if name not in kept]
            scores = scores_of([{"columns": [*kept, name]} for name in left])
            place = int(np.argmax(scores))
            path.append({"step": len(path) + 1, "added": left[place], "score": scores[place]})
        best = int(np.argmax([step["score"] for step in path])) + 1
        self.facts["selection"] = path
        return {"columns": start + [step["added"] for step in path[:best]]}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Fit on the columns that were chosen."""
        super().fit(self._only(train), dev, context)

    def predict(self, examples: Examples) -> Prediction:
        """Return the answer of the estimator, which sees the columns that were chosen."""
        return super().predict(self._only(examples))

    def _only(self, examples: Examples) -> Examples:
        if self._columns is None:
            return examples
        if unknown := [name for name in self._columns if name not in examples.columns]:
            raise UsageError(f"unknown column {unknown[0]!r}" + did_you_mean(unknown[0], examples.columns))
        return _with_columns(examples, [examples.columns.index(name) for name in self._columns])


def _with_columns(examples: Examples, kept: Sequence[int]) -> Examples:
    names = tuple(examples.columns[at] for at in kept)
    return replace(examples, values=examples.values[:, list(kept)], columns=names, groups={})


def _grouped() -> list[str]:
    """Return the feature sets whose columns come in groups."""
    found = []
    for name in sorted(registry.entries("features")):
        with contextlib.suppress(PrerequisiteError):
            found += [name] if registry.load("features", name).groups else []
    return found
