"""Gradient-boosted trees of XGBoost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ser_bench.errors import UsageError, did_you_mean
from ser_bench.models.contract import Examples, FitContext, ModelSpec, Prediction
from ser_bench.models.scikit import PACKAGES, ScikitModel

XGB_CLASSIFIER = "xgboost:XGBClassifier"
XGB_PACKAGES = (*PACKAGES, "xgboost", "xgboost-cpu")
"""Either distribution brings the module."""


class XgboostModel(ScikitModel):
    """XGBoost's classifier, several classes in one model, on as many threads as the worker may use.

    Args:
        **params: Its parameters; ``random_state`` is the context's seed unless given here.

    Raises:
        UsageError: If it does not know a parameter: it would leave it aside.
    """

    def __init__(self, **params: Any) -> None:
        super().__init__(XGB_CLASSIFIER, **params)
        from xgboost import XGBClassifier

        known = XGBClassifier().get_params()
        if unknown := [name for name in params if name not in known]:
            raise UsageError(f"{XGB_CLASSIFIER} has no parameter {unknown[0]!r}" + did_you_mean(unknown[0], known))
        self._params = params

    def _unfitted(self, train: Examples, targets: Any, context: FitContext) -> Any:
        from xgboost import XGBClassifier

        return XGBClassifier(**{"n_jobs": context.threads, "random_state": context.seed, **self._params})

    def predict(self, examples: Examples) -> Prediction:
        """Return its labels and probabilities; these come in single precision, so they are made to sum to 1."""
        answer = super().predict(examples)
        assert answer.scores is not None
        return replace(answer, scores=answer.scores / answer.scores.sum(axis=1, keepdims=True))


# Of six settings the best in a grouped 5-fold over RAVDESS's actors 1-21.
XGBOOST = ModelSpec(
    name="xgboost",
    title="XGBoost, 300 trees of depth 4",
    family="tree",
    framework="xgboost",
    factory="ser_bench.models.xgboost_model:XgboostModel",
    params={
        "n_estimators": 300,
        "learning_rate": 0.1,
        "max_depth": 4,
        "subsample": 0.8,
        "colsample_bytree": 0.2,
    },
    requires=("xgboost",),
    extra="xgboost",
    soft_targets=True,
    packages=XGB_PACKAGES,
)
