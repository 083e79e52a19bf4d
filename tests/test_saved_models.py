"""Saved models answer as the run's did, run nothing that a file says, and cover a recording as they state."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from ser_bench import cli, worker
from ser_bench.audio import AudioSource, decode, file_digest
from ser_bench.errors import DataError, PrerequisiteError, UsageError
from ser_bench.features.contract import Analysis
from ser_bench.model_files import SavedSpec, find, folder_name, read, spec_of
from ser_bench.models.contract import Prediction
from ser_bench.predicting import ask, load_model, windows
from tests.small_corpus import RATE_HZ, write_small_corpus, write_suite

ROWS = {
    "logreg": ("logreg",),
    "svm-rbf": ("svm-rbf",),
    "forest(5)": ('{ model = "random-forest", label = "forest(5)", params = { n_estimators = 5 } }',),
    "torch-cnn": ('{ model = "torch-cnn", params = { epochs = 2, n_channels = 2 } }', "torch"),
    "keras-cnn": ('{ model = "keras-cnn", params = { epochs = 1, n_channels = 2 } }', "keras"),
    "by-speaker": ('{ model = "lda", label = "by-speaker", normalise = "speaker" }',),
}
THERE = {row: said[0] for row, said in ROWS.items() if len(said) == 1 or importlib.util.find_spec(said[1])}
BOTH = '{ model = "fusion", label = "both", params = { rows = ["logreg", "forest(5)"], weights = [3, 1] } }'
PROTOCOL = 'kind = "speaker-holdout"\ntest = ["s3", "s4"]'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A run folder with models, one of which is of a fit that was stored before; the run's answer, and what it said."""
    root = tmp_path_factory.mktemp("kept")
    write_small_corpus(root / "data" / "small")
    models = ", ".join(said if said.startswith("{") else f'"{said}"' for said in ("chance", *THERE.values(), BOTH))
    suite = write_suite(root / "suite.toml", protocol=PROTOCOL, models=models)
    places = ["--data", str(root / "data"), "--store", str(root / "store"), "--out", str(root / "out")]
    line = [sys.executable, "-m", "ser_bench", "run", "--suite", str(suite), *places, "--jobs", "1", "--json"]
    for more in (["--models", "logreg"], ["--keep-models"]):
        done = subprocess.run([*line, *more], capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return Path(answer["out"]), answer, done.stderr


@pytest.fixture
def copy(runs: tuple[Path, dict[str, Any], str], tmp_path: Path) -> Path:
    """A copy of the models, to be tampered with."""
    shutil.copytree(runs[0] / "models", tmp_path / "run" / "models")
    return tmp_path / "run"


def model_in(run: Path, row: str) -> Path:
    (folder,) = find(run, row)
    return folder


def tamper(folder: Path, *path: str, value: Any) -> None:
    told = json.loads((folder / "model.json").read_bytes())
    at = told
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    (folder / "model.json").write_text(json.dumps(told))


def stored(run: Path, row: str) -> pd.DataFrame:
    record = next(r for r in map(json.loads, (p.read_bytes() for p in run.glob("records/*.json"))) if r["row"] == row)
    return pd.read_parquet(run / record["predictions"]["path"]).query("side == 'test'")


def sounds(run: Path, test: pd.DataFrame) -> list[str]:
    return [str(run.parents[1] / "data" / "small" / f"{name.split(':')[1]}.wav") for name in test.utterance_id]


# Round trips


@pytest.mark.parametrize("row", [row for row in ROWS if row != "by-speaker"])
def test_a_loaded_model_predicts_what_the_run_stored(runs: tuple[Path, dict[str, Any], str], row: str) -> None:
    if row not in THERE:
        pytest.skip(f"{row} needs an extra")
    test = stored(runs[0], row)
    loaded = load_model(model_in(runs[0], row))
    assert loaded.warnings == ()
    (part,) = loaded.parts
    decoded = [decode(AudioSource(path=path), part.sample_rate_hz) for path in sounds(runs[0], test)]
    for _ in range(2):  # the second time all libraries are loaded, so that the limit holds for all
        with threadpool_limits(1):
            prediction = part.predict([part.feature_set(Analysis(*one)) for one in decoded], 3)
    classes = loaded.file.classes
    assert [classes[label] for label in prediction.labels] == test.predicted.tolist()
    key = loaded.file.cell
    with np.load(runs[0].parent / "cells" / key[:2] / f"{key}.npz") as cell:  # tables hold single precision
        expected = cell["test_scores"]
    if row == "keras-cnn":
        assert prediction.scores == pytest.approx(expected, abs=1e-6)
    else:
        assert np.array_equal(np.asarray(prediction.scores), expected)


def test_fits_that_were_stored_are_done_again_for_their_models_and_compared(
    runs: tuple[Path, dict[str, Any], str],
) -> None:
    out, answer, said = runs
    assert "fit again to keep models" in said
    assert answer["models"] == {"kept": len(THERE) + 1, "not_kept": {"chance": "it looks at no sound"}, "notes": []}
    assert {row: read(model_in(out, row)).reproduced for row in ("logreg", "svm-rbf")} == {
        "logreg": True,
        "svm-rbf": None,
    }


def test_a_model_says_what_it_was_trained_on(runs: tuple[Path, dict[str, Any], str]) -> None:
    trained = read(model_in(runs[0], "logreg")).trained_on
    assert (trained.n, trained.speakers, trained.seed) == (27, ("small:s0", "small:s1", "small:s2"), 0)
    assert [(corpus.name, corpus.licence) for corpus in trained.corpora] == [("small", "not stated")]


def test_a_fusion_averages_its_kept_members(runs: tuple[Path, dict[str, Any], str]) -> None:
    test = stored(runs[0], "both")
    loaded = load_model(model_in(runs[0], "both"))
    assert [part.weight for part in loaded.parts] == [0.75, 0.25]
    for path, (_, line) in zip(sounds(runs[0], test)[::5], list(test.iterrows())[::5], strict=True):
        whole = ask(loaded, path).whole
        assert whole is not None and whole.scores is not None
        assert dict(whole.scores) == pytest.approx({name: line[f"score_{name}"] for name in loaded.file.classes})


class Forgetful:
    """A model whose ``load`` does not give back what ``save`` was given."""

    def __init__(self) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.says = 0

    def fit(self, train: Any, dev: Any, context: Any) -> None:
        self.says = 1

    def predict(self, examples: Any) -> Prediction:
        return Prediction(labels=np.full(len(examples), self.says))

    def save(self, folder: Path) -> None:
        (folder / "empty").touch()

    def load(self, folder: Path) -> None:
        pass


class Unsaveable(Forgetful):
    save = property()  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("model", "reason"), [("Forgetful", "answers otherwise"), ("Unsaveable", "Unsaveable has no save and load")]
)
def test_what_cant_be_kept_costs_the_cell_nothing(tmp_path: Path, model: str, reason: str) -> None:
    rows = {"train_0": np.arange(8), "dev_0": np.arange(0), "test_0": np.arange(8, 12)}
    known = {"classes": np.arange(12) % 2, "speakers": np.arange(12) // 4, "corpora": np.zeros(12, dtype=np.int64)}
    np.savez(tmp_path / "data.npz", **known, **rows)
    np.save(tmp_path / "values.npy", np.zeros((12, 2), dtype=np.float32))
    task = {
        "task": "cell", "factory": f"{__name__}:{model}", "requires": [], "params": {}, "grid": {}, "uses_dev": False,
        "soft_targets": False, "normalise": "standard", "data": str(tmp_path / "data.npz"), "fold": 0, "inner": 0,
        "primary": "uar", "values": str(tmp_path / "values.npy"), "offsets": None, "columns": ["a", "b"],
        "class_names": ["x", "y"], "seed": 0, "device": "cpu", "threads": 1, "scratch": str(tmp_path),
        "out": str(tmp_path / "cell.npz"), "keep": str(tmp_path / "model"),
    }  # fmt: skip
    answer = worker.run_cell(task, lambda done, total: None)
    assert not answer["kept"]["ok"] and reason in answer["kept"]["reason"]
    assert (tmp_path / "cell.npz").is_file()


# Nothing that a file says is run


def test_a_file_that_names_another_factory_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model_in(copy, "logreg")
    tamper(folder, "model", "factory", value="os:system")
    assert cli.main(["predict", str(folder), "x.wav", "--trust-code", "--json"]) == 4
    printed = capsys.readouterr()
    assert "built by 'os:system'" in printed.err and json.loads(printed.out)["exit_code"] == 4


def saved_spec(name: str, factory: str = "ser_bench.models.scikit:ScikitModel", **params: Any) -> SavedSpec:
    return SavedSpec(
        name=name, origin="x 1", factory=factory, params=params, chosen={}, source="", python="3", packages={},
        encoder=(), files={},
    )  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        saved_spec("os:system", **{"import": "os:system"}),
        saved_spec("logreg", **{"import": "os:system"}),
        saved_spec(
            "adaboost", **{"import": "sklearn.ensemble:AdaBoostClassifier", "estimator": {"import": "os.system"}}
        ),
        saved_spec("logreg", C=[{"build": "os.system"}]),
        saved_spec("logreg", **{"import": "sklearn.datasets._base:os.system"}),
        saved_spec("logreg", solver="evil.module:run"),
    ],
    ids=lambda spec: f"{spec.name} {list(spec.params.values())}",
)
def test_code_that_is_no_registered_models_takes_the_users_word(spec: SavedSpec) -> None:
    factory = "ser_bench.models.scikit:ScikitModel"
    assert spec.factory == factory
    with pytest.raises(UsageError, match="names code that is no registered model's") as caught:
        spec_of(spec, trust_code=False)
    assert "--trust-code" in str(caught.value)


def test_an_estimator_by_import_path_needs_it_too_but_for_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    own = saved_spec(f"{__name__}:Own", **{"import": f"{__name__}:Own"})
    with pytest.raises(UsageError, match="names code"):
        spec_of(own, trust_code=False)
    assert spec_of(own, trust_code=True).params == {"import": f"{__name__}:Own"}
    path = "sklearn.naive_bayes:GaussianNB"
    assert spec_of(saved_spec(path, **{"import": path}), trust_code=False).name == path
    with pytest.raises(DataError, match="is made of 'os:system'"):
        spec_of(saved_spec(path, **{"import": "os:system"}), trust_code=True)


class Own:
    def fit(self, rows: Any, targets: Any) -> None: ...
    def predict(self, rows: Any) -> None: ...


def test_a_model_of_a_plugin_that_is_not_here_says_whose_it_is() -> None:
    with pytest.raises(PrerequisiteError, match="'nearest' of 'x 1' is not installed"):
        spec_of(saved_spec("nearest", factory="voicelab.nearest:Nearest"), trust_code=True)


def test_an_estimators_file_with_a_function_in_it_is_refused(copy: Path) -> None:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    folder = model_in(copy, "logreg")
    data = skops.io.dumps(FunctionTransformer(func=subprocess.check_call))
    (folder / "estimator.skops").write_bytes(data)
    tamper(folder, "model", "files", "estimator.skops", value=file_digest(folder / "estimator.skops"))
    with pytest.raises(DataError, match=r"subprocess\.check_call"):
        load_model(folder)


@pytest.mark.parametrize("row", ["logreg", "torch-cnn", "keras-cnn"])
@pytest.mark.parametrize("known", [False, True], ids=["as it is", "with a digest that fits"])
def test_truncated_weights_are_said_to_be(copy: Path, row: str, known: bool) -> None:
    if row not in THERE:
        pytest.skip(f"{row} needs an extra")
    folder = model_in(copy, row)
    (weights,) = (path for path in folder.iterdir() if path.suffix != ".json")
    weights.write_bytes(weights.read_bytes()[:-100])
    if known:
        tamper(folder, "model", "files", weights.name, value=file_digest(weights))
    with pytest.raises(DataError, match="is damaged" if not known else "that ser-bench wrote"):
        load_model(folder)


def test_features_that_are_others_here_are_refused_with_the_reason(copy: Path) -> None:
    folder = model_in(copy, "svm-rbf")
    tamper(folder, "features", "digest", value="0" * 16)
    with pytest.raises(DataError, match="made by other code or files"):
        load_model(folder)
    tamper(folder, "features", "packages", "librosa", value="0.1")
    with pytest.raises(DataError, match=r"librosa '0\.1' \(here "):
        load_model(folder)
    tamper(folder, "features", "version", value=7)
    with pytest.raises(DataError, match="version 7"):
        load_model(folder)


def test_another_version_of_a_package_is_a_warning(copy: Path) -> None:
    folder = model_in(copy, "svm-rbf")
    tamper(folder, "model", "packages", "scikit-learn", value="0.1")
    tamper(folder, "model", "source", value="")
    first, second = load_model(folder).warnings
    assert "scikit-learn 0.1" in first and "the code of svm-rbf has changed" in second


def test_a_fusions_members_lie_beside_it(copy: Path) -> None:
    folder = model_in(copy, "both")
    members = json.loads((folder / "model.json").read_bytes())["members"]
    tamper(folder, "members", value=[{**members[0], "row": ".."}])
    with pytest.raises(DataError, match="lies outside"):
        load_model(folder)
    tamper(folder, "members", value=[{"row": "both", "folder": folder.name, "weight": 1.0}])
    with pytest.raises(DataError, match="without end"):
        load_model(folder)


def test_what_is_normalised_by_speaker_cant_be_asked_about_a_file(runs: tuple[Path, dict[str, Any], str]) -> None:
    with pytest.raises(UsageError, match="all of a speaker's utterances"):
        load_model(model_in(runs[0], "by-speaker"))


# Files and windows


@given(st.floats(0.05, 30), st.floats(0.1, 10), st.floats(0.1, 1))
def test_windows_cover_a_file_without_gaps(duration_s: float, window_s: float, overlap: float) -> None:
    hop_s = max(0.1, window_s * overlap)
    hop_s = min(hop_s, window_s)
    spans = windows(duration_s, window_s, hop_s)
    assert spans[0][0] == 0 and spans[-1][1] == pytest.approx(duration_s, abs=2e-6)
    assert all(start < end <= duration_s for start, end in spans)
    assert all(after[0] <= before[1] + 1e-9 for before, after in pairwise(spans))
    if duration_s > window_s:
        assert all(end - start == pytest.approx(window_s) for start, end in spans)
    else:
        assert spans == [(0.0, duration_s)]


def test_windows_start_every_hop_and_the_last_ends_with_the_file() -> None:
    assert windows(10, 3, 2) == [(0, 3), (2, 5), (4, 7), (6, 9), (7, 10)]
    assert windows(9, 3, 3) == [(0, 3), (3, 6), (6, 9)]


def test_files_and_their_windows_are_answered_and_bad_files_cost_the_others_nothing(
    runs: tuple[Path, dict[str, Any], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sounds(runs[0], stored(runs[0], "logreg"))[0]
    tone, rate = soundfile.read(good, dtype="float32")
    assert rate == RATE_HZ
    long, silent, torn = tmp_path / "long.wav", tmp_path / "silent.wav", tmp_path / "torn.wav"
    soundfile.write(long, np.concatenate([tone, np.zeros(16000, dtype=np.float32), tone]), RATE_HZ)
    soundfile.write(silent, np.zeros(8000), RATE_HZ)
    torn.write_bytes(Path(good).read_bytes()[:2000])
    files = [good, str(long), str(silent), str(torn), str(tmp_path), str(tmp_path / "gone.wav")]
    line = ["predict", str(runs[0]), "--model", "logreg", *files, "--window", "0.5", "--hop", "0.25"]
    assert cli.main([*line, "--json"]) == 4
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["model"]["row"], answer["model"]["classes"]) == ("logreg", ["angry", "happy", "sad"])
    short, many, *bad = answer["files"]
    assert short["error"] is None and len(short["windows"]) == 1
    (only,) = short["windows"]
    assert (only["label"], only["scores"]) == (short["label"], short["scores"])
    assert (only["start_s"], only["end_s"]) == (0, short["duration_s"])
    assert [one["label"] is None for one in many["windows"]] == [False, False, True, True, False, False]
    spoken = [one["scores"]["angry"] for one in many["windows"] if one["scores"]]
    assert many["scores"]["angry"] == pytest.approx(np.mean(spoken))
    told = ["nothing to hear", "promises", "no regular file", "no such file"]
    assert all(part in one["error"] for part, one in zip(told, bad, strict=True))
    assert all(one["label"] is None for one in bad) and not answer["ok"]
    assert cli.main([*line[:4], good, "--csv"]) == 0
    header, only_line = capsys.readouterr().out.splitlines()
    assert header == "file,start_s,end_s,label,score_angry,score_happy,score_sad,error"
    assert only_line.startswith(f"{good},0.000000,0.3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hop", "1"], "--hop belongs to --window"),
        (["--window", "1", "--hop", "2"], "would go unheard"),
        (["--window", "nan"], "0.1 seconds or more"),
        (["--csv", "--json"], "one of them"),
        (["--model", "logret"], "did you mean 'logreg'?"),
        ([], "'forest(5)'"),
    ],
)
def test_mistakes_on_the_command_line_are_said_at_once(
    runs: tuple[Path, dict[str, Any], str], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert cli.main(["predict", str(runs[0]), "x.wav", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_models_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="--keep-models"):
        find(tmp_path, None)


def test_rows_of_like_names_have_folders_of_their_own() -> None:
    assert folder_name("svm-rbf") == "svm-rbf"
    assert len({folder_name(name) for name in ("svm(C=1)", "svm(C:1)", "svm_C_1_", "../x")}) == 4
