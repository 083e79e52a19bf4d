"""Models of scikit-learn, and any other estimator with its interface, by import path."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import UsageError, did_you_mean
from ser_bench.models.contract import Examples, FitContext, ModelSpec, Prediction
from ser_bench.models.estimator_files import read_estimator, write_estimator
from ser_bench.registry import import_object

Float64 = NDArray[np.float64]

Targets = Literal["classes", "values"]

FACTORY = "ser_bench.models.scikit:ScikitModel"
PACKAGES = ("numpy", "scikit-learn", "scipy")


class ScikitModel:
    """A classifier with scikit-learn's interface, as a model.

    The estimator sees float64 rows and classes numbered 0..k-1 among those present in training, since some
    (gradient boosting libraries) refuse gaps. Its labels are its own; scores never decide a label.

    Args:
        path: Import path, e.g. ``sklearn.svm:SVC``; as a parameter of a row it is called ``import``, which no
            parameter of an estimator can be.
        **params: Its parameters. ``random_state`` is the context's seed unless given here. An estimator within is a
            table: ``{"import": "sklearn.tree:DecisionTreeClassifier", "max_depth": 10}``.

    Raises:
        UsageError: If there is no such class, it is no classifier, or it does not know a parameter.
    """

    TARGETS: ClassVar[Targets] = "classes"

    def __init__(self, path: str = "", /, **params: Any) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self._described = {"import": path, **params}
        _estimator_class(self._described["import"], self.TARGETS)
        _check(self._described)

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Fit on ``train`` (vectors); ``dev`` is not looked at.

        With distributions, a row stands there once per class that it has a share of, weighted by the share: for a
        loss that is a sum over rows, such as logistic regression's, that is its cross-entropy with the distribution.

        Afterwards ``facts`` holds, where the estimator knows them, ``n_parameters``, ``n_iter``, ``importances`` and
        ``warnings`` (what it said about not having converged).
        """
        self._n_classes = context.n_classes
        self._present, targets = train.present_targets()
        rows, weights = rows_of(train), {}
        if targets.ndim == 2:
            places, labels = np.nonzero(targets)
            weights = {"sample_weight": targets[places, labels].astype(np.float64)}
            rows, targets = rows[places], labels
        self._fit_estimator(train, rows, targets, context, **weights)

    def _fit_estimator(self, train: Examples, rows: Float64, targets: Any, context: FitContext, **weights: Any) -> None:
        from sklearn.exceptions import ConvergenceWarning

        self._estimator = self._unfitted(train, targets, context)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self._estimator.fit(rows, targets, **weights)
        said = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
        for other in (w for w in caught if w not in said):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        self.facts = {**_facts(self._estimator), **_importances(self._estimator, train.columns)}
        if said:
            self.facts["warnings"] = sorted({str(w.message).split("\n")[0] for w in said})

    def save(self, folder: Path) -> None:
        """Write the fitted estimator; see :mod:`ser_bench.models.estimator_files`.

        Raises:
            UsageError: If it holds types that can't be read back safely.
        """
        note = {"present": self._present.tolist(), "n_classes": self._n_classes}
        write_estimator(folder, self._estimator, note, import_paths(self._described))

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote.

        Raises:
            DataError: If a file is missing, damaged, or holds what is not trusted.
        """
        self._estimator, note = read_estimator(folder, import_paths(self._described))
        self._present, self._n_classes = np.array(note["present"], dtype=np.int64), int(note["n_classes"])

    def _unfitted(self, train: Examples, targets: Any, context: FitContext) -> Any:
        return _instance(self._described, context.seed)

    def predict(self, examples: Examples) -> Prediction:
        """Return the estimator's labels, with ``predict_proba`` or else ``decision_function`` as scores."""
        rows = rows_of(examples)
        labels = self._present[np.asarray(self._estimator.predict(rows)).ravel().astype(np.int64)]
        kind: Literal["probability", "decision", "none"]
        if hasattr(self._estimator, "predict_proba"):
            kind, present = "probability", np.asarray(self._estimator.predict_proba(rows), dtype=np.float64)
        elif hasattr(self._estimator, "decision_function"):
            kind, present = "decision", self._decisions(rows)
        else:
            return Prediction(labels=labels)
        scores = np.zeros((len(labels), self._n_classes))
        scores[:, self._present] = present
        return Prediction(labels=labels, scores=scores, score_kind=kind)

    def _decisions(self, rows: Float64) -> Float64:
        """Return a decision value per row and class present, whichever shape the estimator uses."""
        decisions = np.asarray(self._estimator.decision_function(rows), dtype=np.float64)
        if decisions.ndim == 1:
            return np.stack([-decisions, decisions], axis=1)
        if getattr(self._estimator, "decision_function_shape", None) == "ovo":
            return _votes(decisions, len(self._present))
        return decisions


def estimator_spec(
    path: str, params: Mapping[str, Any], model: type[ScikitModel] = ScikitModel, factory: str = FACTORY
) -> ModelSpec:
    """Return a model for any estimator with scikit-learn's interface, with no plug-in.

    Args:
        path: Import path, e.g. ``sklearn.svm:SVC``.
        params: Its parameters, where they differ from its defaults.
        model: What makes a model of it.
        factory: Where that stands.

    Raises:
        UsageError: As :class:`ScikitModel`.
    """
    model(path, **params)
    accepted = _accepted_parameters(import_object(path))
    top = path.replace(":", ".").split(".")[0]
    owners = ["scikit-learn"] if top == "sklearn" else packages_distributions().get(top, [])
    settings = ", ".join(f"{name}={value}" for name, value in params.items())
    return ModelSpec(
        name=path,
        title=f"{path.replace(':', '.')}({settings})",
        family="estimator",
        framework=owners[0] if owners else top,
        factory=factory,
        params={"import": path, **params},
        targets=(model.TARGETS,),
        seeded=accepted is None or ("random_state" in accepted and "random_state" not in params),
        packages=tuple(sorted({*PACKAGES, *owners})),
    )


def _estimator_class(path: str, targets: Targets) -> Any:
    from sklearn.base import ClassifierMixin, RegressorMixin

    found = import_object(path)
    hint = "--model sklearn.svm:SVC" if targets == "classes" else "--model sklearn.svm:SVR"
    if not inspect.isclass(found) or not (hasattr(found, "fit") and hasattr(found, "predict")):
        raise UsageError(f"{path} is no estimator class with fit and predict", hint=hint)
    if targets == "classes" and issubclass(found, RegressorMixin):
        raise UsageError(f"{path} is a regressor; a classifier is expected", hint=hint)
    if targets == "values" and issubclass(found, ClassifierMixin):
        raise UsageError(f"{path} is a classifier; the suite asks for values, so a regressor is expected", hint=hint)
    return found


def _accepted_parameters(estimator: Any) -> frozenset[str] | None:
    """Return the names that a class's constructor takes; None where it takes any (``**kwargs``)."""
    parameters = inspect.signature(estimator).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters)


def _check(described: Mapping[str, Any]) -> None:
    """Raise a UsageError where an estimator, or one within it, can't be imported or does not know a parameter."""
    path = described["import"]
    accepted = _accepted_parameters(import_object(path))
    for name, value in described.items():
        if name != "import" and accepted is not None and name not in accepted:
            raise UsageError(f"{path} has no parameter {name!r}" + did_you_mean(name, accepted))
        if isinstance(value, Mapping) and "import" in value:
            _check(value)


def import_paths(described: Mapping[str, Any]) -> list[str]:
    """Return the import paths of an estimator and of those within it, its own first."""
    within = [value for value in described.values() if isinstance(value, Mapping) and "import" in value]
    return [str(described["import"]), *(path for inner in within for path in import_paths(inner))]


def _instance(described: Mapping[str, Any], seed: int) -> Any:
    """Return the estimator that is described, unfitted; it and those within it draw from ``seed``."""
    made = import_object(described["import"])
    params = {
        name: _instance(value, seed) if isinstance(value, Mapping) and "import" in value else value
        for name, value in described.items()
        if name != "import"
    }
    if "random_state" in (_accepted_parameters(made) or ()):
        params.setdefault("random_state", seed)
    return made(**params)


def rows_of(examples: Examples) -> Float64:
    """Return vectors as estimators take them: float64, contiguous."""
    if examples.offsets is not None:
        raise ValueError("a scikit-learn estimator takes vectors, not frames")
    return np.ascontiguousarray(examples.values, dtype=np.float64)


def _votes(pairs: Float64, n_classes: int) -> Float64:
    """Return one value per class from one-against-one decisions: votes, ties broken by bounded confidence.

    Args:
        pairs: Shape (n, n_classes * (n_classes - 1) / 2), positive for the first class of a pair.
        n_classes: Number of classes.

    Source: what ``decision_function_shape="ovr"`` of scikit-learn's SVC computes.
    """
    votes = np.zeros((len(pairs), n_classes))
    confidence = np.zeros((len(pairs), n_classes))
    for column, (first, second) in enumerate(combinations(range(n_classes), 2)):
        decision = pairs[:, column]
        votes[:, first] += decision >= 0
        votes[:, second] += decision < 0
        confidence[:, first] += decision
        confidence[:, second] -= decision
    return votes + confidence / (3 * (np.abs(confidence) + 1))


def _facts(estimator: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if hasattr(estimator, "coef_"):
        facts["n_parameters"] = int(np.size(estimator.coef_) + np.size(getattr(estimator, "intercept_", ())))
    elif hasattr(estimator, "coefs_"):
        facts["n_parameters"] = sum(array.size for array in (*estimator.coefs_, *estimator.intercepts_))
    iterations = getattr(estimator, "n_iter_", None)
    if iterations is not None and np.size(iterations):
        facts["n_iter"] = int(np.max(iterations))
    return facts


def _importances(estimator: Any, columns: Sequence[str]) -> dict[str, Any]:
    """Return what the estimator says of its columns: impurity or gain of trees, mean magnitude of coefficients."""
    if hasattr(estimator, "feature_importances_"):
        kind = getattr(estimator, "importance_type", "impurity") or "gain"  # XGBoost's default is None, and means gain
        values = np.asarray(estimator.feature_importances_, dtype=np.float64)
    elif hasattr(estimator, "coef_"):
        kind, values = "coefficients", np.abs(np.atleast_2d(estimator.coef_)).mean(axis=0)
    else:
        return {}
    if values.shape != (len(columns),):  # a pipeline of somebody's that makes columns of its own
        return {}
    return {"importances": {kind: dict(zip(columns, values.tolist(), strict=True))}}
