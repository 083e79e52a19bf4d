"""featurewiz: what our side of it promises, with a stand-in; and the real one, in the environment that it needs."""

from __future__ import annotations

import json
import os
import random
import sys
import types
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_bench.environments import Built, create
from ser_bench.errors import PrerequisiteError
from ser_bench.models.contract import Examples, FitContext
from tests.processes import ser_bench
from tests.small_corpus import write_small_corpus, write_suite, write_table

TREE = {"import": "sklearn.tree:DecisionTreeClassifier"}
COLUMNS = ("level [dB]", "b<a", "c", "d")


def examples(n: int = 40) -> Examples:
    """Two classes with a gap, told by the last column but one."""
    state = np.random.RandomState(0)
    classes = np.array([1, 3])[np.arange(n) % 2]
    values = state.randn(n, len(COLUMNS)).astype(np.float32)
    values[:, 2] += classes
    return Examples(values=values, columns=COLUMNS, classes=classes)


CONTEXT = FitContext(n_classes=4, class_names=("k", "l", "m", "n"), seed=0)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module ``featurewiz`` that behaves as badly; ``says`` and ``answer`` are what it prints and returns."""
    seen: dict[str, Any] = {"says": "Selected 2 important features", "answer": ["c00002", "c00000"]}

    def featurewiz(table: Any, target: str, **settings: Any) -> Any:
        seen.update(table=table, target=target, settings=settings)
        np.random.seed(99)
        random.seed(42)
        warnings.warn = print  # type: ignore[assignment]
        warnings.filterwarnings("ignore")
        print(seen["says"])
        return None if seen["answer"] is None else (seen["answer"], table)

    module = types.ModuleType("featurewiz")
    module.featurewiz = featurewiz  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "featurewiz", module)
    return seen


def fitted(**params: Any) -> Any:
    from ser_bench.models.featurewiz_xgb import FeaturewizModel

    model = FeaturewizModel(**{"classifier": TREE, **params})
    model.fit(examples(), None, CONTEXT)
    return model


def test_featurewiz_is_asked_with_whole_numbers_for_classes_and_names_without_signs(stand_in: dict[str, Any]) -> None:
    fitted(corr_limit=0.6)
    table = stand_in["table"]
    assert list(table.columns) == ["c00000", "c00001", "c00002", "c00003", "target"]
    assert table["target"].dtype == np.int64 and sorted(set(table["target"])) == [0, 1]
    assert stand_in["settings"] == {"corr_limit": 0.6, "verbose": 0}


def test_what_it_selected_is_told_by_name_and_the_classifier_sees_nothing_else(stand_in: dict[str, Any]) -> None:
    model = fitted()
    assert model.facts["selected"] == ["c", "level [dB]"]
    assert set(model.facts["importances"]["impurity"]) == {"level [dB]", "c"}
    asked = examples()
    answer = model.predict(Examples(values=asked.values, columns=COLUMNS))
    assert set(answer.labels.tolist()) == {1, 3} and (answer.labels == asked.classes).mean() > 0.9
    without = asked.values.copy()
    without[:, [1, 3]] = 100.0
    assert (model.predict(Examples(values=without, columns=COLUMNS)).labels == answer.labels).all()


@pytest.mark.parametrize(
    "says",
    [
        "Regular XGBoost is crashing due to zero-size array. Returning with currently selected features...",
        "    SULOV method is erroring. Continuing ...",
    ],
)
def test_a_selection_that_failed_silently_is_an_error_with_its_own_words(stand_in: dict[str, Any], says: str) -> None:
    stand_in |= {"says": f"before\n{says}\nafter", "answer": ["c00000", "c00001", "c00002", "c00003"]}
    with pytest.raises(ValueError, match="selection failed, and would have kept all columns") as error:
        fitted()
    assert says.strip() in str(error.value) and "after" not in str(error.value)


@pytest.mark.parametrize("answer", [None, []])
def test_no_column_is_an_error(stand_in: dict[str, Any], answer: Any) -> None:
    stand_in["answer"] = answer
    with pytest.raises(ValueError, match="no column"):
        fitted()


def test_random_streams_and_warnings_are_as_before(stand_in: dict[str, Any]) -> None:
    warn, filters = warnings.warn, list(warnings.filters)
    np.random.seed(5)
    random.seed(5)
    expected = np.random.RandomState(5).rand(), random.Random(5).random()
    fitted()
    assert (np.random.rand(), random.random()) == expected
    assert warnings.warn is warn and warnings.filters == filters


# The real one. SER_BENCH_ENVS keeps its environment for another time; else it is built, and gone afterwards.


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Built:
    os.environ.setdefault("SER_BENCH_ENVS", str(tmp_path_factory.mktemp("envs")))
    try:
        return create("featurewiz")
    except PrerequisiteError as error:
        if "needs Python" in str(error):
            pytest.skip(str(error))
        raise


def run(folder: Path, models: str, *words: str, code: int = 0, protocol: str | None = None) -> Any:
    """Run models on the corpus ``folder``/data/small; return the answer and the records by row."""
    protocol = protocol or 'kind = "speaker-kfold"\nfolds = 2\ndev = { kind = "none" }'
    suite = write_suite(folder / "small.toml", models=models, protocol=protocol)
    places = {"--suite": suite, "--data": folder / "data", "--store": folder / "store", "--out": folder / "out"}
    options = [str(word) for pair in places.items() for word in pair]
    done = ser_bench("run", *options, "--quiet", "--json", "--jobs", "1", *words)
    assert done.returncode == code, done.stderr
    answer = json.loads(done.stdout)
    records = [json.loads(path.read_text()) for path in Path(answer["out"], "records").glob("*.json")]
    return answer, {record["row"]: record for record in records}


@pytest.mark.slow
def test_the_real_featurewiz_selects_in_its_own_environment_for_xgboost_trees_and_a_linear_svm(
    environment: Built, tmp_path: Path
) -> None:
    write_small_corpus(tmp_path / "data" / "small", n_speakers=4, n_each=6)
    rows = ['"featurewiz-xgb"']
    for label, path in (
        ("fw-dt", "sklearn.tree:DecisionTreeClassifier"),
        ("fw-rf", "sklearn.ensemble:RandomForestClassifier"),
        ("fw-svm", "sklearn.svm:LinearSVC"),
    ):
        rows.append(
            f'{{ model = "featurewiz-xgb", label = "{label}", params = {{ classifier = {{ import = "{path}" }} }} }}'
        )
    _, records = run(tmp_path, ", ".join(rows), "--seeds", "0")
    columns = set()
    for record in records.values():
        assert record["status"] == "ok", record["reason"]
        assert record["scores"]["uar"]["value"] > 0.8
        assert record["chosen"]["features"] == "train"
        packages = record["environment"]["packages"]
        assert packages["featurewiz"] == "0.6.1" and packages["numpy"].startswith("1.26")
        assert record["timing"]["reproduced"] is True
        columns.add(json.dumps({fold: chosen["columns"] for fold, chosen in record["model"]["chosen"].items()}))
    assert len(columns) == 1  # the selection does not depend on what comes after it
    chosen = [set(names) for names in json.loads(columns.pop()).values()]
    assert all(0 < len(names) < 40 for names in chosen) and chosen[0] != chosen[1]
    assert next(i for i in records["featurewiz-xgb"]["importances"] if i["kind"] == "gain")["n"] == len(
        set.union(*chosen)
    )
    assert int(version("numpy").split(".")[0]) >= 2


@pytest.mark.slow
def test_labels_that_make_the_real_selection_crash_fail_the_cell(environment: Built, tmp_path: Path) -> None:
    """Of two speakers each shows one emotion: no split has any gain, and featurewiz would keep all columns."""
    rows = write_small_corpus(tmp_path / "data" / "small", n_speakers=2, n_each=8)
    kept = [row for row in rows if row["emotion"] == {"s0": "angry", "s1": "sad"}[row["speaker"]]]
    write_table(tmp_path / "data" / "small" / "utterances.csv", kept)
    answer, _ = run(tmp_path, '"majority", "featurewiz-xgb"', code=5, protocol='kind = "loso"\ndev = { kind = "none" }')
    majority, failed = answer["rows"]
    assert (majority["status"], failed["status"], failed["uar"]) == ("ok", "failed", None)
    assert "featurewiz's selection failed" in failed["reason"] and "crashing" in failed["reason"]
