"""Reproducing a row: the same bits, the same score or another one, and what differs where it is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_bench import cells
from ser_bench.audio import file_digest
from ser_bench.cli import main
from ser_bench.records import RunRecord, decode, encode, read_records
from ser_bench.reproduce import plan_again
from ser_bench.suites import ModelEntry, load_suite
from tests.small_runs import small_run

Capture = pytest.CaptureFixture[str]


def reproduce(capsys: Capture, record: Path, *words: str, suite: Path | None = None) -> tuple[int, Any]:
    capsys.readouterr()
    of = ["--suite", str(suite or small_run().suite)]
    code = main(["reproduce", str(record), *of, *small_run().places, *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def change(path: Path, **changes: Any) -> RunRecord:
    record = msgspec.structs.replace(decode(path.read_bytes()), **changes)
    path.write_bytes(encode(record))
    return record


def test_a_row_gives_the_same_bits_here_and_nothing_is_left_behind(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    code, told = reproduce(capsys, run / "records" / "001-logreg.json")
    assert (code, told["outcome"], told["reason"], told["out"]) == (0, "same bits", None, None), told
    assert told["n"] == told["n_same"] == 135 and told["row"] == "logreg"
    assert {of["what"] for of in told["differing"]} <= {"commit"}
    assert [path.name for path in tmp_path.iterdir()] == [run.name]


def test_other_bits_of_the_same_labels_are_the_same_score_and_the_package_that_differs_is_named(
    tmp_path: Path, capsys: Capture
) -> None:
    run = small_run().copied(tmp_path)
    path = run / "records" / "001-logreg.json"
    record = decode(path.read_bytes())
    assert record.predictions is not None
    stored = run / record.predictions.path
    frame = pd.read_parquet(stored)
    pq.write_table(pa.Table.from_pandas(frame.assign(score_sad=frame["score_sad"] * (1 + 1e-15))), stored)
    at = msgspec.structs.replace(record.predictions, sha256=file_digest(stored))
    packages = {**record.environment.packages, "scikit-learn": "0.1"}
    change(path, predictions=at, environment=msgspec.structs.replace(record.environment, packages=packages))
    code, told = reproduce(capsys, path, "--out", str(tmp_path / "again"))
    assert (code, told["outcome"], told["n_same"]) == (0, "same score", 135)
    (differs,) = [of for of in told["differing"] if of["what"] == "scikit-learn"]
    assert (
        differs["base"] == "0.1"
        and differs["head"] == read_records(Path(told["out"]))[0].environment.packages["scikit-learn"]
    )


def test_another_model_is_different_and_says_how_much(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    path = run / "records" / "000-chance.json"
    record = decode(path.read_bytes())
    assert record.predictions is not None
    stored = run / record.predictions.path
    frame = pd.read_parquet(stored)
    wrong = (frame["side"] == "test") & (frame["predicted"] != frame["truth"])
    pq.write_table(
        pa.Table.from_pandas(frame.assign(predicted=frame["predicted"].where(~wrong, frame["truth"]))), stored
    )
    scores = {"uar": msgspec.structs.replace(record.scores["uar"], value=1.0)}
    change(path, scores=scores, predictions=msgspec.structs.replace(record.predictions, sha256=file_digest(stored)))
    code, told = reproduce(capsys, path)
    assert (code, told["outcome"], told["n"] - told["n_same"]) == (1, "different", int(wrong.sum()))
    assert told["scores"]["uar"]["then"] == 1.0 and told["scores"]["uar"]["now"] < 0.9


def test_a_control_of_random_folds_is_reproduced_from_its_suite(capsys: Capture) -> None:
    run = small_run("--gap")
    control = next(path for path in run.folder.parent.glob("*-control-*"))
    code, told = reproduce(capsys, control / "records" / "001-logreg.json")
    assert (code, told["outcome"]) == (0, "same bits"), told


def test_another_suite_of_the_same_name_is_refused_with_a_way_out(tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "small.toml"
    other.write_text(small_run().suite.read_text().replace("16000", "8000"))
    code, told = reproduce(capsys, small_run().folder / "records" / "000-chance.json", suite=other)
    assert code == 4 and "was run on small v1" in told["error"] and "--suite FILE" in told["error"]


def test_a_suite_that_does_not_ship_has_to_be_named(capsys: Capture) -> None:
    record = small_run().folder / "records" / "000-chance.json"
    capsys.readouterr()
    assert main(["reproduce", str(record), "--json"]) == 2
    assert "--suite FILE" in json.loads(capsys.readouterr().out)["error"]


def test_a_model_that_is_not_installed_exits_3_with_the_line_that_installs_it(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "lacking", lambda needing: "needs sklearn: pip install 'ser-bench[torch]'")
    code, told = reproduce(capsys, small_run().folder / "records" / "001-logreg.json")
    assert code == 3 and "pip install 'ser-bench[torch]'" in told["error"] and told["outcome"] is None


def test_a_gpu_that_is_not_there_exits_3(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from ser_bench import machine

    monkeypatch.setattr(machine, "gpu_name", lambda: None)
    path = small_run().copied(tmp_path) / "records" / "001-logreg.json"
    change(path, model=msgspec.structs.replace(decode(path.read_bytes()).model, device="cuda"))
    code, told = reproduce(capsys, path)
    assert code == 3 and "ran on a GPU" in told["error"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": ()}, "seed 0 is not the record's"),
        ({"train": "small", "test": "other"}, "no fold here trains on small and tests on other"),
        ({"params": {"rows": 3}}, "rows = 3, a list of labels expected"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: Capture
) -> None:
    path = small_run().copied(tmp_path) / "records" / "001-logreg.json"
    if "params" in changes:
        changes = {"model": msgspec.structs.replace(decode(path.read_bytes()).model, **changes)}
    change(path, **changes)
    code, told = reproduce(capsys, path)
    assert code == 4 and said in told["error"]


def test_a_folder_with_stored_fits_is_not_taken_for_a_second_run(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "cells").mkdir()
    code, told = reproduce(capsys, small_run().folder / "records" / "000-chance.json", "--out", str(tmp_path))
    assert code == 2 and "is not empty" in told["error"]


@pytest.mark.parametrize("name", ["records/009-nothing.json", "leaderboard.json"])
def test_something_else_than_a_record_is_refused(name: str, capsys: Capture) -> None:
    code, told = reproduce(capsys, small_run().folder / name)
    assert code == (3 if "nothing" in name else 4) and told["outcome"] is None


def test_a_row_is_planned_as_it_was_whatever_the_suite_has_now() -> None:
    record = read_records(small_run().folder)[1]
    suite = load_suite(str(small_run().suite))
    params = {**record.model.params, "C": 7.0}
    record = msgspec.structs.replace(
        record,
        row="mine",
        model=msgspec.structs.replace(record.model, params=params),
        normalisation="speaker",
        seeds=(3,),
    )
    renamed = msgspec.structs.replace(suite, models=(ModelEntry(model="knn", label="mine", only_budget="full"),))
    for given in (suite, renamed):
        planned, (row,) = plan_again(record, given)
        assert (row.label, row.spec.name, row.params["C"], row.normalise) == ("mine", "logreg", 7.0, "speaker")
        assert row.features_name == "mfcc40-mean" and planned.seeds == (3,) and row.skip is None


def test_an_estimator_by_its_import_path_is_planned_again() -> None:
    run = small_run("--model", "sklearn.svm:SVC", "--param", "C=10")
    (record,) = read_records(run.folder)
    _, (row,) = plan_again(record, load_suite(str(run.suite)))
    assert row.params == record.model.params and row.spec.name == "sklearn.svm:SVC"
