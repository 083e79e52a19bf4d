"""Nested protocols: choices are made on inner folds of the training rows, and the winner is fitted on all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_bench import worker
from ser_bench.models.contract import Examples, FitContext, Prediction
from tests.small_corpus import write_small_corpus, write_suite

N = 40
TRUTH = np.arange(N) % 2


class Told:
    """A model that is right on rows below ``right`` in each block of ten, and notes what it was fitted on."""

    fits: ClassVar[list[tuple[int, list[int], list[int] | None]]] = []
    means: ClassVar[list[float]] = []

    def __init__(self, right: int = 5) -> None:
        self.right = right
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        rows = train.values[:, 0].astype(int).tolist()
        judged = None if dev is None else dev.values[:, 0].astype(int).tolist()
        Told.fits.append((self.right, rows, judged))
        Told.means.append(float(train.values.mean()))
        self.chosen = {} if judged is None else {"epochs": judged[0], "kind": "adam" if judged[0] else "sgd"}

    def predict(self, examples: Examples) -> Prediction:
        rows = examples.values[:, 0].astype(int)
        return Prediction(labels=np.where(rows % 10 < self.right, TRUTH[rows], 1 - TRUTH[rows]))


class ToldMore(Told):
    """The same, but that the number of epochs that it chose is a parameter."""

    def __init__(self, right: int = 5, epochs: int = 0, kind: str = "") -> None:
        super().__init__(right)
        self.epochs, self.kind = epochs, kind


def run(
    folder: Path, *, train: range, dev: list[int], test: list[int], inner: list[tuple[Any, Any]], **more: Any
) -> Any:
    """Run one cell in this process; return (meta, arrays)."""
    Told.fits.clear()
    Told.means.clear()
    arrays = {"classes": TRUTH, "speakers": np.arange(N) // 4, "corpora": np.zeros(N, dtype=np.int64)}
    arrays |= {"train_0": np.array(train), "dev_0": np.array(dev, dtype=np.int64), "test_0": np.array(test)}
    for number, (fit, judge) in enumerate(inner):
        arrays |= {f"fit_0_{number}": np.array(fit), f"judge_0_{number}": np.array(judge)}
    np.savez(folder / "data.npz", **arrays)
    np.save(folder / "values.npy", np.arange(N, dtype=np.float32)[:, None])
    task = {
        "task": "cell", "factory": "tests.test_nested:ToldMore", "requires": [], "params": {}, "grid": {},
        "uses_dev": False, "soft_targets": False, "normalise": "none", "data": str(folder / "data.npz"), "fold": 0,
        "inner": len(inner), "primary": "uar", "values": str(folder / "values.npy"), "offsets": None,
        "columns": ["row"], "class_names": ["a", "b"], "seed": 0, "device": "cpu", "threads": 1,
        "scratch": str(folder), "permute": False, "out": str(folder / "cell.npz"),
    } | more  # fmt: skip
    meta = worker.run_cell(task, lambda done, total: None)["meta"]
    with np.load(folder / "cell.npz") as stored:
        return meta, {name: stored[name] for name in stored.files}


INNER = [(range(10, 30), range(10)), ([*range(10), *range(20, 30)], range(10, 20)), (range(20), range(20, 30))]


def test_the_best_mean_over_the_inner_folds_wins_and_is_fitted_on_all_training_rows(tmp_path: Path) -> None:
    meta, arrays = run(
        tmp_path, train=range(30), dev=[], test=list(range(30, 40)), inner=INNER, grid={"right": [3, 8, 6]}
    )
    assert meta["chosen"] == {"right": 8}
    assert [point["score"] for point in meta["search"]] == pytest.approx([0.3, 0.8, 0.6])
    fitted = [sorted(rows) for _, rows, _ in Told.fits]
    assert fitted[:-1] == [sorted(fit) for fit, _ in INNER for _ in range(3)]
    assert fitted[-1] == list(range(30)) and Told.fits[-1][0] == 8
    assert arrays["train"].tolist() == list(range(30))
    assert arrays["dev"].tolist() == list(range(30)) and (arrays["dev_labels"] == TRUTH[:30]).mean() == 0.8


def test_of_equally_good_points_the_first_wins(tmp_path: Path) -> None:
    meta, _ = run(
        tmp_path, train=range(30), dev=[], test=[39], inner=INNER, grid={"right": [3, 8, 8, 6], "kind": ["x"]}
    )
    assert meta["chosen"] == {"right": 8, "kind": "x"}


def test_what_models_choose_themselves_is_settled_by_the_median_and_the_mode(tmp_path: Path) -> None:
    meta, _ = run(tmp_path, train=range(30), dev=[], test=[39], inner=INNER, uses_dev=True, grid={"right": [7]})
    assert meta["chosen"] == {"right": 7, "epochs": 10, "kind": "adam"}  # of 0, 10, 20 and of sgd, adam, adam
    assert [judged is None for *_, judged in Told.fits] == [False, False, False, True]


def test_every_fit_is_normalised_by_its_own_rows(tmp_path: Path) -> None:
    run(tmp_path, train=range(30), dev=[], test=[39], inner=INNER, grid={"right": [7]}, normalise="standard")
    assert Told.means == pytest.approx([0.0] * 4, abs=1e-6)
    run(
        tmp_path,
        train=range(20),
        dev=list(range(20, 30)),
        test=[39],
        inner=[],
        grid={"right": [7]},
        normalise="standard",
    )
    assert Told.means == pytest.approx([0.0] * 2, abs=1e-6)


def test_the_primary_metric_decides(tmp_path: Path) -> None:
    inner = [(range(1, 30), [0, 2, 4, 6, 8, 7])]
    uneven = {"right": [7, 8]}
    by_uar, _ = run(tmp_path, train=range(30), dev=[], test=[39], inner=inner, grid=uneven)
    by_war, _ = run(tmp_path, train=range(30), dev=[], test=[39], inner=inner, grid=uneven, primary="war")
    assert by_uar["search"][0]["score"] == pytest.approx(0.4) and by_uar["chosen"] == {"right": 8}
    assert by_war["search"][0]["score"] == pytest.approx(4 / 6)


def test_a_dev_set_that_holds_test_rows_is_judged_on_and_never_fitted_on(tmp_path: Path) -> None:
    meta, arrays = run(
        tmp_path, train=range(20), dev=list(range(20, 40)), test=list(range(30, 40)), inner=[], grid={"right": [3, 8]}
    )
    assert meta["chosen"] == {"right": 8}
    assert sorted(Told.fits[-1][1]) == list(range(30)) == arrays["train"].tolist()
    assert arrays["dev"].tolist() == list(range(20, 40))


def test_without_inner_folds_and_dev_early_stopping_chooses_nothing(tmp_path: Path) -> None:
    meta, arrays = run(tmp_path, train=range(30), dev=[], test=[39], inner=[], uses_dev=True)
    assert (meta["chosen"], meta["search"], len(arrays["dev"]), len(Told.fits)) == ({}, [], 0, 1)


def test_a_nested_suite_runs_end_to_end_and_its_record_says_who_chose(tmp_path: Path) -> None:
    write_small_corpus(tmp_path / "data" / "small")
    suite = write_suite(
        tmp_path / "suite.toml",
        protocol='kind = "speaker-kfold"\nfolds = 2\ndev = { kind = "inner-kfold", folds = 3 }',
        models='"chance", { model = "knn", grid = { n_neighbors = [5, 1] }, importances = "permutation" }, '
        '{ model = "logreg-backward", features = "mfcc40-mean" }, '
        '{ model = "lda-sequential", params = { n_columns = 2 } }',
    )
    words = ["run", "--suite", str(suite), "--data", str(tmp_path / "data"), "--store", str(tmp_path / "store")]
    words += ["--out", str(tmp_path / "out"), "--jobs", "1", "--quiet", "--json"]
    done = subprocess.run([sys.executable, "-m", "ser_bench", *words], capture_output=True, text=True, timeout=200)
    assert done.returncode == 5, done.stderr
    out = Path(json.loads(done.stdout)["out"])
    records = {path.stem[4:]: json.loads(path.read_text()) for path in (out / "records").glob("*.json")}
    assert records["knn"]["chosen"]["params"] == "inner folds" and records["chance"]["chosen"]["params"] == "nothing"
    # three of five speakers train in one fold, two in the other: the protocol gives that one no inner folds
    (chosen, dealt), (point, _) = records["knn"]["model"]["chosen"], records["knn"]["search"]
    assert point["params"] == {"n_neighbors": 5}
    assert sorted(map(len, point["scores"].values())) == [2, 3] and set(point["scores"]) == {chosen, dealt}
    (warning,) = (text for text in records["knn"]["warnings"] if "no dev set in fold-" in text)
    assert warning.endswith("chosen on inner folds of the training rows, by speaker")
    assert "nested: chosen on 3 inner folds" in records["knn"]["suite"]["protocol"]
    page = (out / "index.html").read_text()
    assert "chosen on inner folds of the training rows" in page
    assert "Search: 2 points" in page and "n_neighbors=5" in page
    (importances,) = records["knn"]["importances"]
    assert (importances["kind"], importances["n"], len(importances["values"])) == ("permutation", 40, 20)
    assert "Importances (<bdi>permutation</bdi>): the largest 20 of 40" in page
    assert "this feature set has none" in records["logreg-backward"]["reason"]
    sequential = records["lda-sequential"]
    assert (sequential["chosen"]["features"], sequential["chosen"]["params"]) == ("inner folds", "nothing")
    (path, *_), (chosen, *_) = sequential["selection"].values(), sequential["model"]["chosen"].values()
    assert (
        chosen["columns"][0] == path[0]["added"] and len(path) == 2 and f"with <bdi>{path[0]['added']}</bdi> " in page
    )
