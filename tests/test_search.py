"""Searches by speaker inside training, selection of features, importances and calibration: never a test row."""

from __future__ import annotations

import re
import tomllib
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_bench import worker
from ser_bench.cells import _estimators
from ser_bench.choices import choices_of
from ser_bench.equal_parts import speaker_folds
from ser_bench.errors import DataError, UsageError
from ser_bench.models.calibration import CalibratedModel
from ser_bench.models.contract import Examples, FitContext, Prediction
from ser_bench.models.scikit import ScikitModel
from ser_bench.records import SearchPoint, decode
from ser_bench.registry import import_object, load
from ser_bench.report.html import searched
from ser_bench.suites import ModelEntry

N_SPEAKERS, N_CLASSES = 10, 3
ROWS = np.arange(240)
SPEAKERS, CLASSES = ROWS % N_SPEAKERS, (ROWS // N_SPEAKERS) % N_CLASSES
TRAIN, TEST = np.flatnonzero(SPEAKERS < 8), np.flatnonzero(SPEAKERS >= 8)
GROUPS = {"noise": (0, 3), "told": (3, 5), "more-noise": (5, 9)}
COLUMNS = tuple(f"column {n}" for n in range(9))


def values() -> np.ndarray:
    """Noise, but for two columns that tell the class; on the test rows they tell another one."""
    state = np.random.RandomState(0)
    found = state.normal(0, 1, (len(ROWS), len(COLUMNS)))
    told = np.where(SPEAKERS >= 8, (CLASSES + 1) % N_CLASSES, CLASSES)
    found[:, 3] += 8 * (told == 0)
    found[:, 4] += 8 * (told == 1)
    return found.astype(np.float32)


def run(folder: Path, factory: str, *, dev: Any = (), speakers: np.ndarray = SPEAKERS, **more: Any) -> Any:
    """Run one cell on TRAIN less ``dev``, ``dev`` and TEST in this process; return (meta, arrays)."""
    sides = {"train_0": np.setdiff1d(TRAIN, dev), "dev_0": np.array(dev, dtype=np.int64), "test_0": TEST}
    corpora = np.zeros(len(ROWS), dtype=np.int64)
    np.savez(folder / "data.npz", classes=CLASSES, speakers=speakers, corpora=corpora, **sides)
    np.save(folder / "values.npy", values())
    task = {
        "task": "cell", "factory": factory, "requires": [], "params": {}, "grid": {}, "uses_dev": False,
        "soft_targets": False, "normalise": "standard", "data": str(folder / "data.npz"), "fold": 0, "inner": 0,
        "primary": "uar", "values": str(folder / "values.npy"), "offsets": None, "columns": list(COLUMNS),
        "groups": GROUPS, "class_names": list("abc"), "seed": 0, "device": "cpu", "threads": 1, "scratch": str(folder),
        "permute": False, "out": str(folder / "cell.npz"),
    } | more  # fmt: skip
    meta = worker.run_cell(task, lambda done, total: None)["meta"]
    with np.load(folder / "cell.npz") as stored:
        return meta, {name: stored[name] for name in stored.files}


# Inner folds


@given(st.lists(st.tuples(st.integers(-1, 6), st.integers(0, 3)), min_size=1, max_size=60), st.integers(2, 5))
def test_inner_folds_share_no_speaker_and_judge_each_row_of_a_known_one_once(
    drawn: list[tuple[int, int]], k: int
) -> None:
    speakers, classes = (np.array(part, dtype=np.int64) for part in zip(*drawn, strict=True))
    known = np.flatnonzero(speakers >= 0)
    n = len(np.unique(speakers[known]))
    if n < 2:
        with pytest.raises(DataError, match="at least 2 expected"):
            speaker_folds(speakers, classes, k)
        return
    folds = speaker_folds(speakers, classes, k)
    assert len(folds) == min(k, n)
    for fit, judge in folds:
        assert len(judge) and not set(speakers[fit]) & set(speakers[judge])
        assert sorted([*fit, *judge]) == known.tolist()
    assert sorted(np.concatenate([judge for _, judge in folds])) == known.tolist()
    renamed = np.where(speakers < 0, -1, 3 * speakers + 7)  # the codes of a table with more speakers
    for one, other in zip(folds, speaker_folds(renamed, classes, k), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class Noting:
    """Knows each row by its first column; right on a share of them, and notes what it is fitted on and asked."""

    fits: ClassVar[list[np.ndarray]] = []
    asked: ClassVar[list[np.ndarray]] = []

    def __init__(self, right: float = 1.0) -> None:
        self.right, self.chosen, self.facts = right, {}, {}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        Noting.fits.append(_known(train))

    def predict(self, examples: Examples) -> Prediction:
        rows = _known(examples)
        Noting.asked.append(rows)
        return Prediction(labels=np.where(rows % 10 < 10 * self.right, CLASSES[rows], (CLASSES[rows] + 1) % 3))


def _known(examples: Examples) -> np.ndarray:
    return np.array([np.flatnonzero(values()[:, 0] == value)[0] for value in examples.values[:, 0]])


def test_a_grid_without_dev_is_judged_by_speaker_inside_training_and_its_table_is_what_was_tried(
    tmp_path: Path,
) -> None:
    Noting.fits.clear()
    Noting.asked.clear()
    tried = [0.2, 0.9, 0.5]
    meta, arrays = run(tmp_path, "tests.test_search:Noting", grid={"right": tried}, normalise="none")
    *searched, refit = Noting.fits
    judged = Noting.asked[: len(searched)]
    assert len(searched) == 3 * len(tried)
    for fit, judge in zip(searched, judged, strict=True):
        assert not set(SPEAKERS[fit]) & set(SPEAKERS[judge])
        assert not np.isin(TEST, [*fit, *judge]).any()
        assert sorted([*fit, *judge]) == TRAIN.tolist()
    assert refit.tolist() == TRAIN.tolist()
    assert [point["params"] for point in meta["search"]] == [{"right": right} for right in tried]
    expected = [[np.mean(judge % 10 < 10 * right) for judge in judged[::3]] for right in tried]
    assert [point["scores"] for point in meta["search"]] == [pytest.approx(scores, abs=0.02) for scores in expected]
    assert meta["chosen"] == {"right": 0.9}
    assert arrays["train"][arrays["judged"]].tolist() == arrays["dev"].tolist()
    assert sorted(arrays["dev"]) == TRAIN.tolist()


def test_a_search_without_two_known_speakers_fails_and_nothing_is_drawn_at_random(tmp_path: Path) -> None:
    one = np.where(SPEAKERS < 8, 0, SPEAKERS)
    with pytest.raises(DataError, match=r"192 training rows have 1 known speaker\(s\)"):
        run(tmp_path, "tests.test_search:Noting", grid={"right": [0.5]}, speakers=one)
    run(tmp_path, "tests.test_search:Noting", speakers=one, normalise="none")  # no search, no need


# Selection


@pytest.mark.parametrize("dev", [(), np.flatnonzero(SPEAKERS < 2)], ids=["inner folds", "dev"])
def test_backward_selection_keeps_the_group_that_tells_and_reports_its_path(tmp_path: Path, dev: Any) -> None:
    """The test rows tell another class: had they been judged, the telling group would have gone first."""
    spec = load("models", "logreg-backward")
    meta, _ = run(tmp_path, spec.factory, params=dict(spec.params), selects=True, dev=dev, grid={"C": [0.0001, 0.1]})
    assert meta["chosen"]["groups"] == ["told"]
    start, *steps = meta["facts"]["selection"]
    assert (start["step"], set(start)) == (0, {"step", "score"})
    assert {step["dropped"] for step in steps} == {"noise", "more-noise"}
    scores = [step["score"] for step in (start, *steps)]
    assert scores == sorted(scores) and scores[0] == max(point["score"] for point in meta["search"])
    assert meta["facts"]["n_parameters"] == N_CLASSES * 3  # two columns and the intercept
    record = choices_of({"f": meta})
    assert [step.dropped for step in record["selection"]["f"]] == [None, *(step["dropped"] for step in steps)]
    assert [point.params for point in record["search"]] == [{"C": 0.0001}, {"C": 0.1}]


def test_sequential_selection_adds_what_tells_and_keeps_what_stands_before_the_best_score(tmp_path: Path) -> None:
    spec = load("models", "lda-sequential")
    meta, _ = run(tmp_path, spec.factory, params=dict(spec.params), selects=True)
    path = meta["facts"]["selection"]
    assert {step["added"] for step in path[:2]} == {"column 3", "column 4"}
    assert {step["added"] for step in path} == {*COLUMNS}
    scores = [step["score"] for step in path]
    assert meta["chosen"] == {"columns": [step["added"] for step in path][: 1 + scores.index(max(scores))]}
    assert len(meta["chosen"]["columns"]) < 9
    meta, _ = run(tmp_path, spec.factory, params={**spec.params, "n_columns": 1}, selects=True)
    assert len(meta["chosen"]["columns"]) == 1


def test_a_set_without_groups_is_refused_with_the_names_of_those_that_have_some(tmp_path: Path) -> None:
    spec = load("models", "svm-rbf-backward")
    with pytest.raises(UsageError, match=r"has none; .*\bseed000-193\b.* have some"):
        run(tmp_path, spec.factory, params=dict(spec.params), selects=True, groups={})


def test_an_unknown_group_or_column_gets_the_nearest(tmp_path: Path) -> None:
    for name, params, said in (
        ("logreg-backward", {"groups": ["tolt"]}, "unknown group of columns 'tolt'.*'told'"),
        ("lda-sequential", {"columns": ["colum 3"]}, "unknown column 'colum 3'.*'column 3'"),
    ):
        spec = load("models", name)
        with pytest.raises(UsageError, match=said):
            run(tmp_path, spec.factory, params={**spec.params, **params}, selects=True)


# Importances


def test_permutation_importance_is_measured_on_judged_rows_alone(tmp_path: Path) -> None:
    """On the test rows the group tells another class: shuffling it there would raise the score."""
    spec = load("models", "logreg")
    more: dict[str, Any] = {"params": dict(spec.params), "importances": "permutation"}
    meta, arrays = run(tmp_path, spec.factory, **more)
    found = meta["facts"]["importances"]["permutation"]
    assert set(found) == set(GROUPS) and found["told"] > 0.3
    assert max(found["noise"], found["more-noise"]) < 0.1
    without, same = run(tmp_path, spec.factory, params=dict(spec.params))
    assert "permutation" not in without["facts"]["importances"]
    assert all(np.array_equal(arrays[name], same[name]) for name in same if name != "meta")
    meta, _ = run(tmp_path, spec.factory, groups={}, **more)
    columns = meta["facts"]["importances"]["permutation"]
    assert sorted(columns, key=columns.__getitem__)[-2:] == sorted(COLUMNS[3:5], key=columns.__getitem__)


def test_what_a_model_says_of_its_columns_is_a_mean_over_cells(tmp_path: Path) -> None:
    trees, linear = (load("models", name) for name in ("random-forest", "svm-linear"))
    impurity = run(tmp_path, trees.factory, params=dict(trees.params))[0]["facts"]["importances"]["impurity"]
    assert sum(impurity.values()) == pytest.approx(1) and set(sorted(impurity, key=impurity.get)[-2:]) == {
        *COLUMNS[3:5]
    }
    assert set(run(tmp_path, linear.factory, params=dict(linear.params))[0]["facts"]["importances"]) == {"coefficients"}
    metas = [
        {"chosen": {}, "search": [], "facts": {"importances": {"gain": of}}}
        for of in ({"a": 1.0, "b": 0.5}, {"b": 1.5})
    ]
    (of,) = choices_of(dict(zip("xy", metas, strict=True)))["importances"]
    assert (of.kind, of.n, list(of.values.items())) == ("gain", 2, [("b", 1.0), ("a", 0.5)])


def test_the_page_shows_the_best_of_a_large_search_and_none_twice() -> None:
    points = tuple(SearchPoint(params={"C": n}, scores={"f": (n / 100, 0.0), "g": (n / 100,)}) for n in range(60))
    lines = searched(SimpleNamespace(search=points))
    assert [line[0] for line in lines] == [f"C={n}" for n in range(59, 9, -1)]
    assert lines[0][1] == pytest.approx((0.59 / 2 + 0.59) / 2) and lines[0][2] == ["0.590 0.000", "0.590"]


# Calibration, nested estimators, the published grid


def _examples(speakers: np.ndarray = SPEAKERS, classes: np.ndarray = CLASSES) -> Examples:
    return Examples(values=values(), columns=COLUMNS, classes=classes, speakers=speakers)


CONTEXT = FitContext(n_classes=3, class_names=("a", "b", "c"), seed=0)


def test_calibration_is_on_folds_by_speaker_and_its_most_probable_class_is_the_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sklearn.calibration

    used: list[Any] = []
    real = sklearn.calibration.CalibratedClassifierCV
    monkeypatch.setattr(
        sklearn.calibration,
        "CalibratedClassifierCV",
        lambda *args, **named: used.append(named["cv"]) or real(*args, **named),
    )
    model = CalibratedModel("sklearn.svm:SVC", C=1.0)
    model.fit(_examples(), None, CONTEXT)
    assert len(used[0]) == 5
    assert all(not set(SPEAKERS[fit]) & set(SPEAKERS[judge]) for fit, judge in used[0])
    answer = model.predict(_examples())
    assert answer.score_kind == "probability" and answer.scores is not None
    assert np.array_equal(answer.scores.argmax(axis=1), answer.labels)


def test_calibration_refuses_rows_of_unknown_speakers_and_a_class_of_one_fold() -> None:
    with pytest.raises(DataError, match="24 of 240 training rows have no known speaker"):
        CalibratedModel("sklearn.svm:SVC").fit(_examples(np.where(SPEAKERS == 3, -1, SPEAKERS)), None, CONTEXT)
    lonely = np.where((CLASSES == 2) & (SPEAKERS != 3), 1, CLASSES)
    with pytest.raises(DataError, match="'c' is spoken in only one of them"):
        CalibratedModel("sklearn.svm:SVC").fit(_examples(classes=lonely), None, CONTEXT)


def test_an_estimator_within_an_estimator_is_a_table() -> None:
    tree = {"import": "sklearn.tree:DecisionTreeClassifier", "max_depth": 2}
    model = ScikitModel("sklearn.ensemble:AdaBoostClassifier", estimator=tree, n_estimators=3)
    model.fit(_examples(), None, CONTEXT)
    assert {one.get_depth() for one in model._estimator.estimators_} == {2}
    with pytest.raises(
        UsageError, match=r"DecisionTreeClassifier has no parameter 'max_dept' .did you mean 'max_depth'"
    ):
        ScikitModel("sklearn.ensemble:AdaBoostClassifier", estimator={**tree, "max_dept": 2})
    described = {"import": "a:B", "estimator": {"import": "mine:Tree", "base": {"import": "mine.more:Leaf"}}, "C": 1}
    assert _estimators(described) == ["a:B", "mine:Tree", "mine.more:Leaf"]


def test_the_printed_grid_is_one_that_the_models_take() -> None:
    page = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text()
    (block,) = (
        text for text in re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "bagging" in text
    )
    entries = msgspec.convert(tomllib.loads(block)["models"], list[ModelEntry])
    points = {entry.model: list(product(*entry.grid.values())) for entry in entries}
    assert {name: len(of) for name, of in points.items()} == {
        "random-forest": 768, "sgd": 18, "hist-gb": 576, "bagging": 80, "adaboost": 12, "mlp": 216,
    }  # fmt: skip
    assert "1,670 points" in page and sum(map(len, points.values())) == 1670
    for entry in entries:
        spec = load("models", entry.model)
        for point in (points[entry.model][0], points[entry.model][-1]):
            chosen = dict(zip(entry.grid, point, strict=True))
            import_object(spec.factory)(**{**spec.params, **chosen}).fit(_examples(), None, CONTEXT)


def test_a_record_of_version_1_is_read_with_its_import_path_renamed() -> None:
    path = next((Path(__file__).parents[1] / "results").glob("*/records/*logreg.json"))
    raw = msgspec.json.decode(path.read_bytes())
    raw["schema_version"], params = 1, {"estimator": "sklearn.svm:SVC", "C": 1}
    raw["model"]["params"] = params
    for name in ("search", "selection", "importances"):
        raw.pop(name, None)
    record = decode(msgspec.json.encode(raw))
    assert record.schema_version == 3 and record.model.params == {"import": "sklearn.svm:SVC", "C": 1}
    assert (record.search, record.selection, record.importances) == ((), {}, ())
