"""What goes wrong around a run must not become a number in it: full disks, odd names, changed files, damaged cells."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_bench import cells, machine, registry, worker
from ser_bench.audio import AudioSource, facts
from ser_bench.errors import DataError
from ser_bench.features import FeatureSet
from ser_bench.protocols import Fold, LeaveOneSpeakerOut, make_folds
from ser_bench.records import decode
from ser_bench.scoring import read_cell
from ser_bench.store import PackedStore
from tests.small_corpus import RATE_HZ, write_small_corpus, write_suite
from tests.tables import balanced

PLUGIN = """
import os
import numpy as np
from pathlib import Path
from ser_bench.models import ModelSpec, Prediction

print("a banner")

class Odd:
    def __init__(self, count=None):
        self.count, self.chosen, self.facts = count, {}, {}
    def fit(self, train, dev, context):
        if list(context.scratch.iterdir()):
            raise RuntimeError("somebody else's scratch folder")
        (context.scratch / "checkpoint").write_text("mine")
        self.facts = {"n_parameters": np.int64(7), "means": np.zeros(2)}
        if self.count:
            calls = Path(self.count)
            calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
            if len(calls.read_text()) > 3:
                raise RuntimeError("three fits and no more")
    def predict(self, examples):
        return Prediction(labels=np.zeros(len(examples), dtype=np.int64))

SPEC = ModelSpec(name="odd", title="odd", family="test", framework="numpy", factory="odd_plugin:Odd")
"""

ESTIMATOR = """
from sklearn.base import BaseEstimator, ClassifierMixin
import numpy as np

class Fixed(ClassifierMixin, BaseEstimator):
    def fit(self, rows, targets):
        self.classes_ = np.unique(targets)
        return self
    def predict(self, rows):
        return np.full(len(rows), self.classes_[INDEX])
"""


def ser_bench(root: Path, *words: str, code: int = 0, **env: str) -> tuple[dict[str, Any], str]:
    """Run a verb with --json in ``root``; return (the object on stdout, stderr) after checking the exit code."""
    places = [] if words[0] == "check" else ["--suite", "suite.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "ser_bench", *words, *places, "--data", "data", "--jobs", "1", "--quiet", "--json"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "SER_BENCH_STORE": str(root / "store"), "PYTHONPATH": str(root / "site"), **env},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_small_corpus(tmp_path / "data" / "small")
    write_suite(tmp_path / "suite.toml")
    return tmp_path


@pytest.fixture
def odd(root: Path) -> Path:
    info = root / "site" / "odd_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (root / "site" / "odd_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ser_bench.models]\nodd = odd_plugin:SPEC\n")
    return root


def one_record(answer: dict[str, Any]) -> dict[str, Any]:
    (path,) = (Path(answer["out"]) / "records").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


# Places that can't be written


def test_a_store_that_cannot_be_written_is_no_fault_of_the_recordings(root):
    (root / "store").write_text("a file, where a folder has to be")
    answer, stderr = ser_bench(root, "run", "--models", "chance", code=3)
    assert "can't be stored" in answer["error"] and "--store" in stderr and "undecodable" not in stderr


@pytest.mark.parametrize("words", [("run", "--out", "taken"), ("check", "small", "--store", "taken")])
def test_a_place_that_the_system_refuses_is_an_error_in_the_promised_object(root, words):
    (root / "taken").write_text("")
    answer, stderr = ser_bench(root, *words, code=3)
    assert answer["exit_code"] == 3 and "taken" in answer["error"] and "taken" in stderr
    assert answer.get("status", "failed") == "failed" and answer.get("ok", False) is False


def test_check_prints_its_object_for_a_table_that_cannot_be_read(root):
    table = root / "data" / "small" / "utterances.csv"
    table.write_text(table.read_text().replace("angry\n", "angri\n", 1))
    answer, _ = ser_bench(root, "check", "small", code=4)
    assert answer["ok"] is False and "did you mean 'angry'" in answer["error"]


# Names and files


@pytest.mark.skipif(sys.platform == "darwin", reason="file names have to be text there")
def test_folders_whose_names_are_no_text_are_read_like_any_other(root):
    folder = os.fsencode(root / "data" / "emodb") + b"/K\xf6ln"
    os.makedirs(folder)  # noqa: PTH103 - a name in bytes
    state = np.random.RandomState(0)
    for name in (f"{speaker}a01{emotion}{take}" for speaker in ("03", "08", "09") for emotion in "WF" for take in "ab"):
        soundfile.write(folder + f"/{name}.wav".encode(), 0.1 * state.randn(RATE_HZ // 4), RATE_HZ, format="WAV")
    for name in (b"/03a01Xa.wav", b"/10a01Wa.wav"):
        Path(os.fsdecode(folder + name)).write_text("no sound")
    text = (root / "suite.toml").read_text().replace('"small"', '"emodb"')
    (root / "suite.toml").write_text(text.replace('kind = "speaker-kfold"\nfolds = 3', 'kind = "loso"'))
    answer, _ = ser_bench(root, "run", "--models", "logreg")
    assert answer["corpora"][0]["dropped"] == {"undecodable": 1, "unknown-label": 1}
    assert answer["rows"][0]["n_test"] == 12 and answer["rows"][0]["latency_ms_p50"] > 0


def test_a_file_that_cannot_be_decoded_is_not_branded_for_good(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    store = tmp_path / "store"
    items = [["k", os.fsencode(tmp_path / "a.wav"), 0.0, None]]
    answer = worker.decode_facts({"items": items, "store": str(store)}, lambda done, total: None)
    assert answer["faulty"]["k"]["fault"] == "undecodable" and PackedStore(store).missing(["k"]) == ["k"]


def test_values_of_samples_that_changed_under_way_are_not_stored(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.random.RandomState(0).randn(RATE_HZ), RATE_HZ)
    known = facts(AudioSource(path=str(path))).content_id
    assert known is not None
    soundfile.write(path, 0.1 * np.random.RandomState(1).randn(RATE_HZ), RATE_HZ)
    task = {
        "items": [[known, os.fsencode(path), 0.0, None, ["mfcc40-mean"], known, []]],
        "sets": {"mfcc40-mean": [str(tmp_path / "store"), RATE_HZ]},
    }
    answer = worker.extract_features(task, lambda done, total: None)
    assert "changed" in answer["failed"][known] and PackedStore(tmp_path / "store").missing([known]) == [known]


# Models


def test_every_cell_has_a_scratch_folder_of_its_own_and_numbers_of_numpy_are_numbers(odd):
    answer, _ = ser_bench(odd, "run", "--models", "odd", "--seeds", "0,1")
    assert answer["rows"][0]["status"] == "ok"
    assert one_record(answer)["model"]["n_parameters"] == 7


def test_a_row_that_could_not_be_timed_says_why(odd):
    answer, _ = ser_bench(odd, "run", "--model", "odd", "--param", f"count={odd / 'calls'}")
    (row,) = answer["rows"]
    assert row["status"] == "ok" and row["fit_s"] is None
    assert any("not timed: RuntimeError: three fits and no more" in text for text in row["warnings"])


def test_the_source_of_a_users_own_estimator_is_part_of_the_key(root):
    (root / "site").mkdir()
    outs = []
    for index in (0, 1):
        (root / "site" / "own_estimator.py").write_text(ESTIMATOR.replace("INDEX", str(index)))
        answer, _ = ser_bench(root, "run", "--model", "own_estimator:Fixed", PYTHONDONTWRITEBYTECODE="1")
        outs.append((answer["out"], one_record(answer)["confusion"]))
    assert outs[0][0] != outs[1][0] and outs[0][1] != outs[1][1]


def test_parameters_bound_in_a_plugins_own_module_are_part_of_a_feature_sets_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint(name="bound", value="bound_sets:SET", group="ser_bench.features")
    monkeypatch.setattr(registry, "entries", lambda kind: {"bound": entry})
    monkeypatch.setattr(machine, "module_digest", machine.module_digest.__wrapped__)
    found = FeatureSet(name="bound", version=1, title="", kind="vector", columns=("a",), compute=partial(min, 1))
    digests = set()
    for bound in (1, 2):
        (tmp_path / "bound_sets.py").write_text(f"SET = partial(f, {bound})\n")
        digests.add(cells.feature_digest("bound", found, 16000))
    assert len(digests) == 2


def test_a_helper_written_for_another_python_does_not_stop_a_digest(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "old_helper.py").write_text("print 'no parentheses'\n")
    assert machine.module_digest("old_helper") != machine.module_digest("no_such_helper")


# Numbers


def test_sd_over_folds_is_not_one_over_seeds(root):
    write_suite(root / "suite.toml", protocol='kind = "speaker-holdout"\ntest = ["s0", "s1"]')
    answer, _ = ser_bench(root, "run", "--models", "chance", "--seeds", "0,1,2")
    (row,) = answer["rows"]
    assert (row["folds"], row["seeds"], row["uar_fold_sd"]) == (1, 3, None)
    assert one_record(answer)["uar_seed_sd"] > 0


def test_a_loso_that_lost_a_speaker_is_not_complete():
    table, classes = balanced(3, 2, 1)
    split = make_folds(LeaveOneSpeakerOut(), table, classes, partial=False, expected_speakers=4)
    assert (len(split.folds), split.total) == (3, 4)


# Damage


def test_a_damaged_cell_is_computed_anew_and_never_believed(tmp_path):
    path = tmp_path / "cell.npz"
    labels = np.arange(6, dtype=np.int64) % 3
    meta = np.frombuffer(b'{"facts": {}}', dtype=np.uint8)
    np.savez(path, meta=meta, train_labels=labels, dev_labels=labels[:0], test_labels=labels[:4])
    whole, state = path.read_bytes(), random.Random(0)
    rows = np.arange(10, dtype=np.int32)
    fold = Fold(fold_id="f", train=rows[4:], dev=rows[:0], test=rows[:4])
    believed = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[state.randrange(len(whole))] = state.randrange(256)
        path.write_bytes(damaged[: state.choice([len(whole), len(whole), state.randrange(len(whole))])])
        found = read_cell(path, fold)
        if found is not None:
            believed += 1
            assert found.arrays["test_labels"].tolist() == labels[:4].tolist()
            assert found.arrays["train_labels"].tolist() == labels.tolist()
    assert 0 < believed < 600


def test_a_record_that_is_no_text_is_damaged_data():
    with pytest.raises(DataError, match="not a run record"):
        decode(b'{"run_id": "\xff\xfe"}')
