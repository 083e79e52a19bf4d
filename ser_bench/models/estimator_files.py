"""A fitted estimator in files that run no code when read: skops for scikit-learn, XGBoost's own JSON for XGBoost."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_bench.errors import DataError, UsageError
from ser_bench.registry import import_object
from ser_bench.store import write_atomically

_DISTANCES = ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")
_OPTIMISERS = ("AdamOptimizer", "SGDOptimizer")
_KERNELS = ("ConstantKernel", "DotProduct", "Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel")

TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
    *(f"sklearn.metrics._dist_metrics.{name}Distance64" for name in _DISTANCES),
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    *(f"sklearn.neural_network._stochastic_optimizers.{name}" for name in _OPTIMISERS),
    "sklearn.tree._tree.Tree",
)
"""Types that a file may hold beside those that skops itself trusts: they are data, and run nothing of a file's."""

_SKOPS, _XGBOOST, _NOTE = "estimator.skops", "estimator.json", "note.json"


def write_estimator(folder: Path, estimator: Any, note: Mapping[str, Any], paths: Sequence[str]) -> None:
    """Write a fitted estimator and a note that JSON can hold.

    Args:
        folder: Where to.
        estimator: Of scikit-learn, XGBoost, or the classes at ``paths``.
        note: What else is needed.
        paths: Import paths of the classes that it was described by.

    Raises:
        UsageError: If it holds something else, which nobody could read back without trusting the file.
    """
    if _is_xgboost(type(estimator).__module__):
        estimator.save_model(folder / _XGBOOST)
    else:
        import skops.io

        data = skops.io.dumps(estimator)
        untrusted = sorted({*skops.io.get_untrusted_types(data=data)} - {*TRUSTED, *_classes(paths)})
        if untrusted:
            raise UsageError(f"{type(estimator).__name__} holds {', '.join(untrusted)}, which no file is trusted with")
        write_atomically(folder / _SKOPS, data)
    write_atomically(folder / _NOTE, json.dumps(dict(note)).encode())


def read_estimator(folder: Path, paths: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the estimator and the note that :func:`write_estimator` wrote.

    Raises:
        DataError: If a file is missing, damaged, or holds anything but what is trusted.
    """
    try:
        note: dict[str, Any] = json.loads((folder / _NOTE).read_bytes())
        if _is_xgboost(paths[0]):
            estimator = import_object(paths[0])()
            estimator.load_model(folder / _XGBOOST)
        else:
            import skops.io

            estimator = skops.io.load(folder / _SKOPS, trusted=[*TRUSTED, *_classes(paths)])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder}: no estimator that ser-bench wrote: {error}") from None
    if not hasattr(estimator, "predict"):
        raise DataError(f"{folder}: its file holds no estimator, but a {type(estimator).__name__}")
    return estimator, note


def _is_xgboost(module: str) -> bool:
    return module.replace(":", ".").partition(".")[0] == "xgboost"


def _classes(paths: Sequence[str]) -> list[str]:
    """Return the names that the classes at import paths bear in a file; scikit-learn's need no word of ours."""
    own = [import_object(path) for path in paths if path.partition(".")[0] != "sklearn"]
    return [f"{found.__module__}.{found.__qualname__}" for found in own]
