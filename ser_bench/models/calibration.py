"""Probabilities for estimators of scikit-learn, calibrated on speakers that the estimator was not fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ser_bench.equal_parts import speaker_folds
from ser_bench.errors import DataError
from ser_bench.models.contract import Examples, FitContext
from ser_bench.models.scikit import ScikitModel


class CalibratedModel(ScikitModel):
    """An estimator whose decision values become probabilities; the most probable class is its label.

    The map is fitted on decision values of training rows, each made by an estimator that was fitted without that row's
    speaker; the estimator itself is fitted on all of them. Scores on held-out rows of known speakers would be too sure.

    Args:
        path: As of :class:`~ser_bench.models.scikit.ScikitModel`.
        calibration: A method of ``sklearn.calibration.CalibratedClassifierCV``: ``sigmoid`` (Platt's, class by class),
            ``isotonic``, or ``temperature`` (needs scikit-learn 1.8).
        folds: Folds by speaker.
        **params: The estimator's parameters.
    """

    def __init__(self, path: str = "", /, *, calibration: str = "sigmoid", folds: int = 5, **params: Any) -> None:
        super().__init__(path, **params)
        self._calibration, self._folds = calibration, folds

    def _unfitted(self, train: Examples, targets: Any, context: FitContext) -> Any:
        from sklearn.calibration import CalibratedClassifierCV

        assert train.speakers is not None
        if unknown := int((train.speakers < 0).sum()):
            raise DataError(
                f"calibration is on folds by speaker, and {unknown} of {len(train)} training rows have no known speaker"
            )
        pairs = speaker_folds(train.speakers, targets, self._folds)
        for fit, _ in pairs:
            if missing := np.setdiff1d(targets, targets[fit]).tolist():
                name = context.class_names[self._present[missing[0]]]
                raise DataError(f"calibration is on folds by speaker, and {name!r} is spoken in only one of them")
        estimator = super()._unfitted(train, targets, context)
        return CalibratedClassifierCV(estimator, method=self._calibration, cv=pairs, ensemble=False)
