"""Regressors with scikit-learn's interface as models of values, and those that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ser_bench.models.contract import Examples, FitContext, ModelSpec, Prediction
from ser_bench.models.estimator_files import read_estimator, write_estimator
from ser_bench.models.scikit import PACKAGES, ScikitModel, Targets, estimator_spec, import_paths, rows_of

FACTORY = f"{__name__}:ScikitRegressor"


class ScikitRegressor(ScikitModel):
    """A regressor with scikit-learn's interface, as a model of values.

    It sees float64 rows and the numbers as the corpus states them; what it answers is not cut to their scale.
    """

    TARGETS: ClassVar[Targets] = "values"

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Fit on ``train`` (vectors with ratings); ``dev`` is not looked at. ``facts`` as of a classifier."""
        if train.ratings is None:
            raise ValueError("a regressor is fitted on ratings: these examples carry none")
        self._fit_estimator(train, rows_of(train), train.ratings.astype(np.float64), context)

    def predict(self, examples: Examples) -> Prediction:
        """Return the estimator's numbers."""
        found = np.asarray(self._estimator.predict(rows_of(examples)), dtype=np.float64)
        return Prediction(ratings=found.reshape(len(examples)))

    def save(self, folder: Path) -> None:
        """Write the fitted estimator; errors as of a classifier."""
        write_estimator(folder, self._estimator, {}, import_paths(self._described))

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote; errors as of a classifier."""
        self._estimator, _ = read_estimator(folder, import_paths(self._described))


def regressor_spec(path: str, params: Mapping[str, Any]) -> ModelSpec:
    """Return a model of values for any regressor with scikit-learn's interface.

    Args:
        path: Import path, e.g. ``sklearn.linear_model:Ridge``.
        params: Its parameters, where they differ from its defaults.

    Raises:
        UsageError: If there is no such class, it is a classifier, or it does not know a parameter.
    """
    return estimator_spec(path, params, ScikitRegressor, FACTORY)


def _spec(name: str, title: str, family: str, path: str, *, seeded: bool, **params: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        family=family,
        framework="scikit-learn",
        factory=FACTORY,
        params={"import": path, **params},
        targets=("values",),
        seeded=seeded,
        packages=PACKAGES,
    )


# No corpus with numbers is at hand: these settings are scikit-learn's defaults, or plain round numbers.
RIDGE = _spec(
    "ridge", "ridge regression, alpha = 100", "linear", "sklearn.linear_model:Ridge", seeded=False, alpha=100.0
)
SVR = _spec("svr", "support vector regression, RBF kernel, C = 1", "kernel", "sklearn.svm:SVR", seeded=False, C=1.0)
RANDOM_FOREST = _spec(
    "random-forest-regressor",
    "random forest of regression trees, 100 trees",
    "tree",
    "sklearn.ensemble:RandomForestRegressor",
    seeded=True,
    n_estimators=100,
)
