"""featurewiz's selection of columns, on the training rows of each fit, and a classifier on what it selected.

Runs in the environment ``featurewiz``, since featurewiz forces old versions; see :mod:`ser_bench.environments`.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ser_bench.models.contract import Examples, FitContext, ModelSpec, Prediction
from ser_bench.models.scikit import ScikitModel
from ser_bench.models.xgboost_model import XGB_CLASSIFIER, XGB_PACKAGES, XGBOOST, XgboostModel

_FAILED = re.compile(r"[^\n]*(?:crashing|erroring)[^\n]*")
"""What featurewiz prints where a stage fails; it then goes on, with all columns of that stage."""


class FeaturewizModel:
    """featurewiz in front of a classifier.

    featurewiz first drops of each pair of correlated columns the one with less mutual information with the class
    (SULOV), then keeps what XGBoost finds important in ever smaller sets of columns.

    Args:
        classifier: What sees the selected columns: an import path, or a table of it and its parameters, e.g.
            ``{"import": "sklearn.tree:DecisionTreeClassifier", "max_depth": 10}``.
        corr_limit: Magnitude of Pearson's correlation from which on two columns are too much alike.
    """

    def __init__(self, classifier: str | Mapping[str, Any], corr_limit: float = 0.7) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self._corr_limit = corr_limit
        with _undisturbed():
            import featurewiz  # noqa: F401 - so that no clock counts it
        described = {"import": classifier} if isinstance(classifier, str) else dict(classifier)
        path = described.pop("import")
        self._classifier = XgboostModel(**described) if path == XGB_CLASSIFIER else ScikitModel(path, **described)

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Select columns on ``train``, and fit the classifier on them; ``dev`` is not looked at.

        Afterwards ``facts`` holds the classifier's, and ``selected``, the columns in featurewiz's order.

        Raises:
            ValueError: If featurewiz's selection failed.
        """
        selected = _select(train, self._corr_limit)
        self._kept = np.sort(selected)
        self._classifier.fit(self._only(train), None, context)
        self.facts = {**self._classifier.facts, "selected": [train.columns[at] for at in selected]}

    def predict(self, examples: Examples) -> Prediction:
        """Return the classifier's answer."""
        return self._classifier.predict(self._only(examples))

    def _only(self, examples: Examples) -> Examples:
        names = tuple(examples.columns[at] for at in self._kept)
        return replace(examples, values=examples.values[:, self._kept], columns=names, groups={})


def _select(train: Examples, corr_limit: float) -> list[int]:
    """Return the positions of the columns that featurewiz selects, the most important of each of its sets first."""
    import pandas as pd
    from featurewiz import featurewiz

    # Text for classes would be an error, and two classes numbered other than 0 and 1 make its XGBoost crash; brackets
    # and signs in the name of a column make it rename columns. So whole numbers from 0 on, and names made here.
    names = [f"c{at:05d}" for at in range(len(train.columns))]
    table = pd.DataFrame(train.values.astype(np.float64), columns=names)
    table["target"] = np.unique(train.targets, return_inverse=True)[1].astype(np.int64)
    said = io.StringIO()
    with _undisturbed(), contextlib.redirect_stdout(said):
        answer = featurewiz(table, "target", corr_limit=corr_limit, verbose=0)
    print(said.getvalue(), file=sys.stderr)
    failed = _FAILED.search(said.getvalue())
    if failed:
        raise ValueError(f"featurewiz's selection failed, and would have kept all columns: {failed.group().strip()}")
    found = [] if answer is None else [names.index(name) for name in answer[0]]
    if not found:
        raise ValueError("featurewiz selected no column")
    return found


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what featurewiz does to its process: it seeds both random streams, and replaces ``warnings.warn``."""
    numpys, pythons, warn = np.random.get_state(), random.getstate(), warnings.warn
    try:
        with warnings.catch_warnings():
            yield
    finally:
        warnings.warn = warn
        random.setstate(pythons)
        np.random.set_state(numpys)


FEATUREWIZ_XGB = ModelSpec(
    name="featurewiz-xgb",
    title="XGBoost on the columns that featurewiz selects",
    family="tree",
    framework="featurewiz",
    factory="ser_bench.models.featurewiz_xgb:FeaturewizModel",
    params={"classifier": {"import": XGB_CLASSIFIER, **XGBOOST.params}, "corr_limit": 0.7},
    environment="featurewiz",
    narrows=True,
    packages=(*XGB_PACKAGES, "featurewiz", "tensorflow", "tensorflow-cpu"),
)
