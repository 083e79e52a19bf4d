"""The model contract, over every registered model, and what each family promises beyond it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_bench.errors import PrerequisiteError, UsageError
from ser_bench.models import scikit
from ser_bench.models.contract import Examples, FitContext, Model, ModelSpec
from ser_bench.models.frame_network import STRIDE, FrameNetwork, softmax
from ser_bench.models.scikit import ScikitModel, estimator_spec
from ser_bench.registry import entries, import_object, load

pytestmark = pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")

SPECS = {name: load("models", name) for name in entries("models")}
NAMES = [name for name, of in SPECS.items() if not (of.combines or of.pretrained) and "classes" in of.targets]
"""Fusions have no rows of their own, what starts from an encoder needs one (tests/test_encoders.py), and what predicts
numbers alone is asked for these in tests/test_ratings.py."""

N_CLASSES = 5
PRESENT = (0, 2, 3)
QUICK: dict[str, dict[str, Any]] = {
    name: {"epochs": 12, "batch_size": 60, "n_channels": 4, "learning_rate": 0.02}
    for name in ("torch-cnn", "keras-cnn")
}
QUICK |= {
    name: {"epochs": 12, "batch_size": 60, "learning_rate": 0.003}
    for name in entries("models")
    if name.startswith(("seed000-", "seed002-", "seed004-"))
}
QUICK |= {
    name: {"epochs": 12, "batch_size": 60, "learning_rate": 0.003}
    for name in ("seed001-cnn", "seed003-baseline", "seed003-cnn-lstm")
}
QUICK["seed003-cnn-lstm"] |= {"units": 16}
QUICK["seed000-cnn2d"] |= {"n_channels": 16, "n_frames": 181, "batch_size": 20, "epochs": 8}
QUICK |= {name: {"epochs": 12, "learning_rate": 0.003} for name in ("hf-head", "attentive-head")}
QUICK["se-resnet"] = {"epochs": 12, "batch_size": 20, "learning_rate": 0.01, "mixup": 0.0}


@cache
def _spec(name: str) -> ModelSpec:
    spec: ModelSpec = load("models", name)
    if spec.environment:
        pytest.skip(f"{name} runs in an environment of its own: ser-bench env create {spec.environment}")
    for module in spec.requires:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{name} needs {module}: pip install 'ser-bench[{spec.extra}]'")
    return spec


def _build(name: str, **params: Any) -> Model:
    spec = _spec(name)
    return import_object(spec.factory)(**{**spec.params, **QUICK.get(name, {}), **params})


def _context(seed: int = 0, device: str = "cpu") -> FitContext:
    names = tuple(f"class {i}" for i in range(N_CLASSES))
    return FitContext(n_classes=N_CLASSES, class_names=names, seed=seed, device=device)


def _examples(
    name: str, seed: int, spread: float, n_per_class: int = 60, classes: tuple[int, ...] = PRESENT
) -> Examples:
    """Return rows whose classes lie 1 apart in every column, with noise of sd ``spread``."""
    random = np.random.RandomState(seed)
    targets = random.permutation(np.repeat(classes, n_per_class)).astype(np.int64)
    speakers = np.arange(len(targets)) % 6
    columns = tuple(f"column {i}" for i in range(8))
    if _spec(name).input != "frames":
        values = targets[:, None] - 2 + random.normal(0, spread, (len(targets), len(columns)))
        groups = {"one half": (0, 4), "other half": (4, 8)}
        told = {"classes": targets, "speakers": speakers, "groups": groups}
        return Examples(values=values.astype(np.float32), columns=columns, **told)
    lengths = random.randint(40, 100, len(targets))
    values = np.repeat(targets, lengths)[:, None] - 2 + random.normal(0, spread, (lengths.sum(), len(columns)))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Examples.of_frames(values.astype(np.float32), columns, offsets, classes=targets, speakers=speakers)


@cache
def _fitted(name: str, seed: int = 0, spread: float = 3.0) -> Model:
    model = _build(name)
    model.fit(_examples(name, 0, spread), None, _context(seed))
    return model


def _questions(name: str, spread: float = 3.0) -> Examples:
    return _examples(name, 1, spread, n_per_class=10)


def _row(examples: Examples, row: int) -> Examples:
    if examples.offsets is None:
        return Examples(values=examples.values[row : row + 1], columns=examples.columns)
    only = np.array([row], dtype=np.int64)
    return Examples.of_frames(examples.shared, examples.columns, examples.offsets, rows=only)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_have_the_contracts_shapes_and_dtypes(name: str) -> None:
    prediction = _fitted(name).predict(_questions(name))
    assert prediction.labels.shape == (30,) and prediction.labels.dtype == np.int64
    assert set(prediction.labels.tolist()) <= set(PRESENT)
    assert (prediction.scores is None) == (prediction.score_kind == "none")
    if prediction.scores is not None:
        assert prediction.scores.shape == (30, N_CLASSES) and prediction.scores.dtype == np.float64
        assert np.isfinite(prediction.scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_classes_absent_in_training_score_0_and_probabilities_sum_to_1(name: str) -> None:
    prediction = _fitted(name).predict(_questions(name))
    assert prediction.scores is not None
    assert not prediction.scores[:, [1, 4]].any()
    assert prediction.scores[:, PRESENT].any()
    if prediction.score_kind == "probability":
        assert prediction.scores.sum(axis=1) == pytest.approx(np.ones(30), abs=1e-9)
        assert prediction.scores.min() >= 0


@pytest.mark.parametrize("name", NAMES)
def test_one_row_alone_gets_the_label_it_gets_among_others(name: str) -> None:
    questions = _questions(name)
    together = _fitted(name).predict(questions)
    for row in (0, 17):
        alone = _fitted(name).predict(_row(questions, row))
        assert alone.labels.tolist() == [together.labels[row]]
        assert alone.scores == pytest.approx(together.scores[row : row + 1], abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    first = _fitted(name).predict(_questions(name))
    again = _build(name)
    again.fit(_examples(name, 0, 3.0), None, _context(0))
    second = again.predict(_questions(name))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.scores, second.scores)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_changes_seeded_models_and_no_others(name: str) -> None:
    first, second = (_fitted(name, seed).predict(_questions(name)) for seed in (0, 1))
    same = np.array_equal(first.labels, second.labels) and np.array_equal(first.scores, second.scores)
    assert same is not _spec(name).seeded


@pytest.mark.parametrize("name", NAMES)
def test_learning_models_learn_what_is_plain_and_leave_their_rows_alone(name: str) -> None:
    if _spec(name).family == "baseline":
        pytest.skip("a baseline learns nothing")
    train = _examples(name, 0, 0.1)
    fed = train.values if train.shared is None else train.shared
    before = fed.copy()
    model = _fitted(name, 0, 0.1)
    questions = _questions(name, 0.1)
    assert np.array_equal(model.predict(questions).labels, questions.targets)
    assert np.array_equal(fed, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_dev_set_chooses_parameters_that_the_model_takes_back(name: str) -> None:
    if not _spec(name).uses_dev:
        pytest.skip("makes no use of a dev set")
    model = _build(name, patience=3)
    model.fit(_examples(name, 0, 0.3), _examples(name, 2, 0.3, n_per_class=8), _context())
    curve = model.facts["curve"]
    best = max(point["dev_uar"] for point in curve)
    first_best = next(point["epoch"] for point in curve if point["dev_uar"] == best)
    assert model.chosen == {"epochs": first_best}
    assert len(curve) == min(first_best + 3, 12)
    refit = _build(name, **model.chosen)
    refit.fit(_examples(name, 0, 0.3), None, _context())
    assert refit.facts["epochs"] == first_best


@pytest.mark.parametrize("name", [name for name in NAMES if "classes" in load("models", name).targets])
def test_what_a_model_saves_answers_as_it_does(name: str, tmp_path: Path) -> None:
    model: Any = _fitted(name)
    if not hasattr(model, "save"):
        pytest.skip("can't be saved")
    model.save(tmp_path)
    again: Any = _build(name)
    again.load(tmp_path)
    expected, found = model.predict(_questions(name)), again.predict(_questions(name))
    assert np.array_equal(expected.labels, found.labels) and expected.score_kind == found.score_kind
    close = 1e-6 if _spec(name).framework == "keras" else 0
    assert np.allclose(expected.scores, found.scores, rtol=0, atol=close)


@pytest.mark.parametrize("name", NAMES)
def test_specs_state_what_a_record_needs(name: str) -> None:
    spec = load("models", name)
    assert spec.name == name
    assert spec.title and spec.family and "cpu" in spec.devices
    assert spec.framework in spec.packages
    assert bool(spec.requires) == (spec.extra is not None)


def test_the_die_is_fair_over_the_classes_of_training() -> None:
    model = _fitted("chance")
    values = np.arange(3000, dtype=np.float32)[:, None]
    counts = np.bincount(model.predict(Examples(values=values, columns=("ticket",))).labels, minlength=N_CLASSES)
    assert counts[[1, 4]].tolist() == [0, 0]
    assert (np.abs(counts[list(PRESENT)] - 1000) < 100).all()


def test_majority_takes_the_first_of_equally_frequent_classes() -> None:
    values = np.zeros((5, 1), dtype=np.float32)
    model = _build("majority")
    model.fit(Examples(values=values, columns=("x",), classes=np.array([4, 3, 3, 4, 0])), None, _context())
    prediction = model.predict(Examples(values=values, columns=("x",)))
    assert prediction.labels.tolist() == [3] * 5
    assert prediction.scores is not None and prediction.scores[0].tolist() == [0.2, 0, 0, 0.4, 0.4]


@pytest.mark.parametrize(
    "path", ["sklearn.svm:SVC", "sklearn.linear_model:LogisticRegression", "sklearn.linear_model:Perceptron"]
)
def test_two_classes_get_two_scores_and_the_estimators_own_labels(path: str) -> None:
    train = _examples("logreg", 0, 2.0, classes=(1, 4))
    model = ScikitModel(path)
    model.fit(train, None, _context())
    prediction = model.predict(train)
    assert prediction.scores is not None and not prediction.scores[:, [0, 2, 3]].any()
    assert np.array_equal(np.where(prediction.scores[:, 4] > prediction.scores[:, 1], 4, 1), prediction.labels)


def test_one_against_one_decisions_become_one_score_per_class() -> None:
    train = _examples("logreg", 0, 2.0, classes=(0, 1, 3, 4))
    models = [ScikitModel("sklearn.svm:SVC", decision_function_shape=shape) for shape in ("ovo", "ovr")]
    for model in models:
        model.fit(train, None, _context())
    ovo, ovr = (model.predict(train).scores for model in models)
    assert ovo == pytest.approx(ovr, abs=1e-9)


def test_svc_never_fits_its_own_probabilities() -> None:
    for name in ("svm-linear", "svm-rbf"):
        assert _fitted(name).predict(_questions(name)).score_kind == "decision"


class NearestMean:
    """An estimator of somebody else's: no base class, no scores, labels as floats in a column."""

    def __init__(self, **anything: Any) -> None:
        self.anything = anything

    def fit(self, rows: np.ndarray, targets: np.ndarray) -> None:
        assert targets.tolist() == np.unique(targets, return_inverse=True)[1].tolist()
        self.means = np.array([rows[targets == c].mean(axis=0) for c in range(targets.max() + 1)])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.square(rows[:, None] - self.means).sum(axis=2).argmin(axis=1)[:, None].astype(float)


def test_an_estimator_of_a_third_party_works_by_its_path() -> None:
    spec = estimator_spec("tests.test_models:NearestMean", {"whatever": 1})
    model = import_object(spec.factory)(**spec.params)
    model.fit(_examples("logreg", 0, 0.1), None, _context())
    questions = _questions("logreg", 0.1)
    prediction = model.predict(questions)
    assert np.array_equal(prediction.labels, questions.targets)
    assert (prediction.scores, prediction.score_kind) == (None, "none")


def test_an_estimators_packages_hold_the_distribution_that_owns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = estimator_spec("sklearn.svm.SVC", {"C": 10})
    assert (ours.framework, ours.title) == ("scikit-learn", "sklearn.svm.SVC(C=10)")
    monkeypatch.setattr(scikit, "packages_distributions", lambda: {"tests": ["someones-trees"]})
    theirs = estimator_spec("tests.test_models:NearestMean", {})
    assert theirs.framework == "someones-trees"
    assert {"someones-trees", "scikit-learn", "numpy"} <= set(theirs.packages)


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("sklearn.svm:SVC", {"gama": 1}, "no parameter 'gama' .did you mean 'gamma'"),
        ("sklearn.svm:SVX", {}, "can't be imported"),
        ("sklearn.svm:SVR", {}, "is a regressor"),
        ("sklearn.preprocessing:StandardScaler", {}, "no estimator class"),
        ("sklearn.svm:l1_min_c", {}, "no estimator class"),
    ],
)
def test_what_is_no_classifier_is_refused_before_anything_runs(path: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        estimator_spec(path, params)


def test_the_contexts_seed_gives_way_to_a_random_state_of_the_users() -> None:
    assert estimator_spec("sklearn.tree:DecisionTreeClassifier", {}).seeded
    assert not estimator_spec("sklearn.tree:DecisionTreeClassifier", {"random_state": 3}).seeded
    scores = []
    for seed in (0, 1):
        model = ScikitModel("sklearn.ensemble:RandomForestClassifier", n_estimators=3, random_state=3)
        model.fit(_examples("logreg", 0, 3.0), None, _context(seed))
        scores.append(model.predict(_questions("logreg")).scores)
    assert np.array_equal(*scores)


def test_what_did_not_converge_is_said() -> None:
    model = ScikitModel("sklearn.linear_model:LogisticRegression", max_iter=1)
    model.fit(_examples("logreg", 0, 3.0), None, _context())
    assert "failed to converge" in model.facts["warnings"][0]
    assert model.facts["n_parameters"] == 3 * 8 + 3
    assert "warnings" not in _fitted("logreg").facts


def test_xgboost_takes_the_workers_threads_and_refuses_a_parameter_that_it_would_leave_aside() -> None:
    pytest.importorskip("xgboost", reason="pip install '.[xgboost]'")
    from ser_bench.models.xgboost_model import XgboostModel

    model = XgboostModel(n_estimators=2)
    model.fit(_examples("xgboost", 0, 1.0), None, replace(_context(seed=7), threads=2))
    assert (model._estimator.n_jobs, model._estimator.random_state) == (2, 7)
    assert set(model.facts["importances"]) == {"gain"}
    with pytest.raises(UsageError, match=r"no parameter 'max_dept' \(did you mean 'max_depth'\?\)"):
        XgboostModel(max_dept=3)


def test_scikit_learn_refuses_frames() -> None:
    frames = Examples.of_frames(np.zeros((4, 2), np.float32), ("a", "b"), np.array([0, 2, 4]), classes=np.array([0, 1]))
    with pytest.raises(ValueError, match="vectors"):
        scikit.ScikitModel("sklearn.svm:SVC").fit(frames, None, _context())


def test_a_missing_gpu_is_a_missing_prerequisite() -> None:
    _spec("torch-cnn")
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(PrerequisiteError, match=r"'cuda' was asked for.*PyTorch"):
        _build("torch-cnn").fit(_examples("torch-cnn", 0, 0.1), None, _context(device="cuda"))


class _Recorder(FrameNetwork):
    """A network that only notes what it is fed."""

    def _build(self, n_columns: int, n_classes: int, context: FitContext) -> None:
        self.fed: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_classes_seen = n_classes

    def _step(self, frames: np.ndarray, mask: np.ndarray, targets: np.ndarray) -> float:
        self.fed.append((frames, mask))
        return float(len(targets))

    def _probabilities(self, frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self.fed.append((frames, mask))
        return softmax(np.zeros((len(frames), self._n_classes_seen)))

    def _n_parameters(self) -> int:
        return 0

    def _weights(self) -> None:
        return None

    def _restore(self, weights: object) -> None:
        raise AssertionError("nothing is restored without a dev set")


def _counting(lengths: list[int]) -> Examples:
    """Return utterances whose frames are 1, 2, 3 ..., so that a cut shows where it was made."""
    values = np.concatenate([np.arange(1, n + 1) for n in lengths]).astype(np.float32)[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Examples.of_frames(values, ("x",), offsets, classes=np.arange(len(lengths)) % 2)


def test_frame_examples_show_no_rows_of_other_sides() -> None:
    examples = Examples.of_frames(
        np.ones((6, 1), np.float32), ("x",), np.array([0, 2, 4, 6]), rows=np.array([1]), classes=np.array([0])
    )
    assert len(examples) == 1 and len(examples.values) == 0
    assert examples.frames(0).shape == (2, 1) and list(examples.lengths) == [2]


def test_the_length_is_fitted_on_training_and_padding_is_masked() -> None:
    model = _Recorder(epochs=1, batch_size=2)
    model.fit(_counting([40, 60, 80, 400]), None, _context())
    n_frames = model.fed[0][0].shape[1] * 2
    assert n_frames == 320  # mean 145 + sd 148 = 293, rounded up to whole strides
    model.fed.clear()
    model.predict(_counting([33, 1000]))
    frames, mask = model.fed[0]
    assert mask.tolist() == [[1, 1] + [0] * 8, [1] * 10]
    assert mask.shape[1] == n_frames // STRIDE
    assert frames[0, :17, 0].tolist() == [*np.arange(1.5, 32.5, 2), 16.5]
    assert not frames[0, 17:].any()
    assert frames[1, 0, 0] == 1.5, "prediction takes the beginning"


def test_training_cuts_long_utterances_elsewhere_in_each_epoch() -> None:
    model = _Recorder(epochs=5, batch_size=4)
    model.fit(_counting([40, 60, 80, 400]), None, _context())
    starts = {float(frames[:, 0, 0].max()) for frames, _ in model.fed}
    assert len(starts) > 3


def test_an_epoch_shows_every_row_once_and_reports_its_mean_loss() -> None:
    model = _Recorder(epochs=1, batch_size=2)
    model.fit(_counting([32] * 5), None, _context())
    assert [len(frames) for frames, _ in model.fed] == [2, 2, 1]
    assert model.facts["curve"] == [{"epoch": 1, "train_loss": pytest.approx(9 / 5)}]
