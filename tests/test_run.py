"""The main job end to end, on a small corpus: contract, resume, kills, planted faults."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from ser_bench.records import Timing, read_records
from tests.small_corpus import RATE_HZ, write_small_corpus, write_suite, write_table


@dataclass
class Place:
    """A folder with a corpus, a suite, a store and an output folder of its own."""

    root: Path

    def command(self, *words: str, suite: Path | str | None = None) -> list[str]:
        chosen = str(suite or self.root / "suite.toml")
        places = [
            "--data",
            str(self.root / "data"),
            "--store",
            str(self.root / "store"),
            "--out",
            str(self.root / "out"),
        ]
        jobs = [] if "--jobs" in words else ["--jobs", "1"]
        return [sys.executable, "-m", "ser_bench", "run", "--suite", chosen, *places, "--quiet", *jobs, *words]

    def run(self, *words: str, code: int = 0, suite: Path | str | None = None) -> tuple[Any, str]:
        """Run with --json; return (the object on stdout, stderr) after checking the exit code."""
        done = subprocess.run(self.command(*words, "--json", suite=suite), capture_output=True, text=True, timeout=240)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout), done.stderr

    @property
    def corpus(self) -> Path:
        return self.root / "data" / "small"

    def rows(self) -> list[dict[str, str]]:
        return write_small_corpus(self.corpus)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    here = Place(tmp_path)
    here.rows()
    write_suite(tmp_path / "suite.toml")
    return here


def predictions(answer: dict[str, Any]) -> dict[str, Any]:
    """Everything that two runs must agree on: predictions and scores, no timings."""
    found: dict[str, Any] = {}
    for path in sorted((Path(answer["out"]) / "predictions").glob("*.parquet")):
        found[path.name] = pq.read_table(path).to_pydict()
    for path in sorted((Path(answer["out"]) / "records").glob("*.json")):
        record = json.loads(path.read_bytes())
        found[path.name] = {k: v for k, v in record.items() if k not in ("timing", "created", "environment", "code")}
    return found


def files(answer: dict[str, Any]) -> dict[str, bytes]:
    out = Path(answer["out"])
    return {name: (out / name).read_bytes() for name in ("leaderboard.md", "index.html", "leaderboard.json")}


def test_run_writes_the_contract_and_a_second_run_changes_no_byte_and_fits_nothing(place):
    first, _ = place.run()
    assert first["status"] == "ok"
    (corpus,) = first["corpora"]
    assert (corpus["n"], corpus["n_used"], corpus["speakers"], corpus["dropped"]) == (45, 45, 5, {})
    chance, logreg = first["rows"]
    assert (logreg["model"], logreg["status"], logreg["folds"], logreg["seeds"]) == ("logreg", "ok", 3, 1)
    assert (logreg["n_test"], logreg["n_test_speakers"]) == (45, 5)
    assert logreg["uar"] == 1.0 and 0.1 < chance["uar"] < 0.6
    assert logreg["fit_s"] > 0 and logreg["latency_ms_p50"] > 0 and 0 < logreg["rtf"] < 10
    check_timing(read_records(Path(first["out"]))[1].timing)
    before = files(first)
    stamps = {p: p.stat().st_mtime_ns for p in (place.root / "out" / "cells").rglob("*.npz")}
    second, _ = place.run()
    assert second == first and files(second) == before
    assert stamps == {p: p.stat().st_mtime_ns for p in (place.root / "out" / "cells").rglob("*.npz")}


def check_timing(timing: Timing | None) -> None:
    """Every call has its probe, rounds are whole, parts and ratios fit the calls, and the saved model has a size."""
    assert timing and timing.latency and timing.latency.batched
    latency, batched = timing.latency, timing.latency.batched
    assert latency.n == len(latency.samples_ms) == len(latency.probe_ms) and latency.n_utterances == 18
    assert latency.n % 18 == 0 and latency.n >= 30 and min(latency.samples_ms + latency.probe_ms) > 0
    assert latency.p50_ms == pytest.approx(np.median(latency.samples_ms), abs=1e-3)
    assert 0.5 < (latency.decode_ms + latency.features_ms + latency.predict_ms) / latency.p50_ms < 1.5
    assert timing.rtf == pytest.approx(np.mean(latency.samples_ms) * 18 / 1000 / latency.audio_s, rel=1e-3)
    assert latency.waited is not None and 0 <= latency.waited < 1
    assert batched.size == 18 and batched.n >= 3 and latency.p50_ms < batched.p50_ms <= batched.p95_ms
    assert timing.disk_bytes and 1000 < timing.disk_bytes < 1e6
    assert timing.peak_gpu_mib is None


def test_two_separate_runs_give_equal_folds_predictions_and_scores(place):
    first, _ = place.run("--models", "logreg,random-forest,mlp", "--jobs", "1")
    expected = predictions(first)
    place.root.joinpath("out").rename(place.root / "other")
    second, _ = place.run("--models", "logreg,random-forest,mlp", "--jobs", "2")
    assert predictions(second) == expected


def test_scores_are_those_of_the_stored_predictions(place):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    answer, _ = place.run("--models", "decision-tree", "--seeds", "0,1")
    (row,) = answer["rows"]
    table = pq.read_table(next((Path(answer["out"]) / "predictions").glob("*.parquet"))).to_pandas()
    test = table[table.side == "test"]
    per_seed = [group for _, group in test.groupby("seed")]
    assert len(per_seed) == row["seeds"] == 2
    assert row["uar"] == pytest.approx(np.mean([balanced_accuracy_score(g.truth, g.predicted) for g in per_seed]))
    assert row["war"] == pytest.approx(np.mean([accuracy_score(g.truth, g.predicted) for g in per_seed]))
    assert row["macro_f1"] == pytest.approx(
        np.mean([f1_score(g.truth, g.predicted, average="macro") for g in per_seed])
    )


def test_any_scikit_learn_estimator_runs_by_import_path(place):
    answer, _ = place.run("--model", "sklearn.svm:SVC", "--param", "C=10", "--param", "kernel=linear")
    (row,) = answer["rows"]
    assert (row["model"], row["status"]) == ("SVC(C=10, kernel=linear)", "ok")
    assert row["params"]["C"] == 10 and row["normalisation"] == "standard" and row["features"] == "mfcc40-mean"


def test_dry_run_fits_nothing(place):
    answer, _ = place.run("--dry-run")
    assert answer["plan"]["cells"] == 6 and answer["plan"]["cells_stored"] == 0
    assert not list((place.root / "out").rglob("*.npz"))


def test_dry_run_names_the_test_speakers_the_inner_folds_and_the_controls_fits(place):
    nested = 'kind = "speaker-holdout"\ntest = ["s0", "s3"]\ndev = { kind = "inner-kfold", folds = 3 }'
    suite = write_suite(place.root / "nested.toml", protocol=nested)
    answer, _ = place.run("--dry-run", "--gap", suite=suite)
    plan = answer["plan"]
    (fold,) = plan["folds"]
    assert (fold["test_speakers"], fold["n_dev"], fold["inner_folds"]) == (["small:s0", "small:s3"], 0, 3)
    assert plan["control_cells"] == 2 * plan["cells"] and plan["control_cells_stored"] == 0
    text = subprocess.run(place.command("--dry-run", "--gap", suite=suite), capture_output=True, text=True).stdout
    assert "train 27, inner folds: 3, test 18 (speakers s0, s3)" in text
    assert "--gap: 4 fits of the speaker-dependent control on top, 0 of them stored" in text


def test_an_empty_suite_name_is_no_default(place):
    done = subprocess.run([*place.command("--dry-run"), "--suite", ""], capture_output=True, text=True)
    assert done.returncode == 2 and "unknown suite ''" in done.stderr


def test_permuted_training_labels_and_oracle_features_run_as_canaries(place):
    oracle, _ = place.run("--canary", "oracle", "--models", "logreg")
    assert oracle["rows"][0]["uar"] == 1.0 and oracle["rows"][0]["comparable"] is False
    permuted, _ = place.run("--canary", "permuted", "--models", "logreg", "--seeds", "0,1,2,3")
    assert permuted["rows"][0]["seeds"] == 4 and permuted["rows"][0]["uar"] < 0.7


# Planted faults


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--models", "lgreg"), 2, "unknown model 'lgreg' (did you mean 'logreg'?)"),
        (("--model", "sklearn.svm:SVX"), 2, "sklearn.svm:SVX"),
        (("--model", "sklearn.svm:SVC", "--param", "Q=1"), 2, "'Q'"),
        (("--model", "svm-rbf", "--param", "gama=1"), 2, "did you mean 'gamma'"),
        (("--model", "chance", "--param", "Q=1"), 2, "'Q'"),
        (("--features", "stats18"), 2, "did you mean 'stats180'"),
        (("--seeds", "a"), 2, "whole numbers"),
        (("--normalise", "standart"), 2, "did you mean 'standard'"),
    ],
)
def test_a_mistyped_option_is_a_usage_error_with_a_suggestion(place, words, code, message):
    answer, stderr = place.run(*words, code=code)
    assert message in stderr and answer["status"] == "failed" and message in answer["error"]


def test_an_unknown_corpus_folder_is_a_missing_prerequisite(place):
    (place.root / "data" / "small").rename(place.root / "data" / "other")
    answer, stderr = place.run(code=2)
    assert "small" in stderr and answer["rows"] == []


def test_a_truncated_wav_and_a_text_file_named_wav_are_counted_exclusions(place):
    names = sorted(place.corpus.glob("*.wav"))
    names[0].write_bytes(names[0].read_bytes()[:3000])
    names[1].write_text("not audio")
    answer, stderr = place.run("--models", "chance")
    assert answer["corpora"][0]["dropped"] == {"truncated": 1, "undecodable": 1}
    assert answer["corpora"][0]["n_used"] == 43 == answer["rows"][0]["n_test"]
    assert names[0].name in stderr and names[1].name in stderr


def test_a_misspelt_label_in_a_table_is_an_error_that_names_row_and_word(place):
    rows = place.rows()
    rows[7]["emotion"] = "hapy"
    write_table(place.corpus / "utterances.csv", rows)
    answer, stderr = place.run(code=4)
    assert "hapy" in stderr and "did you mean 'happy'" in stderr and answer["status"] == "failed"


def test_a_table_that_names_a_missing_file_says_so_and_counts_it(place):
    rows = place.rows()
    write_table(place.corpus / "utterances.csv", [*rows, {"path": "gone.wav", "speaker": "s0", "emotion": "sad"}])
    answer, stderr = place.run("--models", "chance")
    assert "gone.wav" in stderr
    assert answer["corpora"][0]["dropped"] == {"missing-file": 1} and answer["corpora"][0]["n"] == 46


def test_an_empty_folder_is_a_clear_error(place):
    for path in place.corpus.iterdir():
        path.unlink()
    _, stderr = place.run(code=2)
    assert "small" in stderr


def test_a_suite_with_a_typo_in_a_key_names_the_right_one(place):
    text = (place.root / "suite.toml").read_text()
    (place.root / "typo.toml").write_text(text.replace("folds = 3", "fold = 3"))
    _, stderr = place.run(code=2, suite=place.root / "typo.toml")
    assert "unknown key 'fold' in protocol (did you mean 'folds'?)" in stderr


def test_changed_audio_under_an_old_name_is_never_scored_from_stale_features(place):
    first, _ = place.run("--models", "logreg")
    angry = sorted(place.corpus.glob("s0_angry_*.wav"))
    sad = sorted(place.corpus.glob("s0_sad_*.wav"))
    stat = angry[0].stat()
    for a, b in zip(angry, sad, strict=True):
        a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
        a.write_bytes(b_bytes), b.write_bytes(a_bytes)
        os.utime(a, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second, _ = place.run("--models", "logreg")
    assert second["out"] != first["out"]
    assert second["corpora"][0]["fingerprint"] != first["corpora"][0]["fingerprint"]
    assert second["rows"][0]["uar"] < first["rows"][0]["uar"] == 1.0


def test_a_changed_split_under_an_old_name_is_scored_anew(place):
    first, _ = place.run("--models", "logreg")
    write_suite(place.root / "suite.toml", protocol='kind = "speaker-kfold"\nfolds = 3\nseed = 9')
    second, _ = place.run("--models", "logreg")
    assert second["out"] != first["out"]


def test_equal_samples_with_two_labels_are_excluded_and_counted(place):
    samples, _ = soundfile.read(place.corpus / "s0_angry_0.wav", dtype="int16")
    soundfile.write(place.corpus / "s0_sad_0.wav", samples, RATE_HZ, subtype="PCM_16")
    answer, _ = place.run("--models", "chance")
    assert answer["corpora"][0]["dropped"] == {"label-conflict": 2}


def _suite_over(place: Place, corpora: str, protocol: str) -> Path:
    path = place.root / "own.toml"
    path.write_text(
        f'title = "Own"\nversion = 1\ncorpora = [{corpora}]\nlabels = "native"\nsample_rate_hz = 16000\n'
        f'models = ["chance"]\n[protocol]\n{protocol}\n'
    )
    return path


def test_two_corpora_of_one_name_are_refused(place):
    write_small_corpus(place.root / "data" / "other")
    tables = [f"{place.root}/data/{name}/utterances.csv" for name in ("small", "other")]
    suite = _suite_over(place, ", ".join(f'"{table}"' for table in tables), 'kind = "cross-corpus"')
    _, stderr = place.run(code=2, suite=suite)
    assert "called 'utterances'" in stderr


def test_two_tables_of_one_folder_that_share_people_are_refused_as_a_leak(place):
    rows = place.rows()
    write_table(place.corpus / "first.csv", rows[::2])
    write_table(place.corpus / "second.csv", rows[1::2])
    corpora = ", ".join(f'"{place.corpus}/{name}.csv"' for name in ("first", "second"))
    _, stderr = place.run(code=4, suite=_suite_over(place, corpora, 'kind = "cross-corpus"'))
    assert "the same people would stand on both sides" in stderr


def test_a_cross_corpus_pair_that_names_no_corpus_of_the_suite_is_refused(place):
    write_small_corpus(place.root / "data" / "other")
    suite = _suite_over(place, '"small", "other"', 'kind = "cross-corpus"\ntest = ["smal"]')
    _, stderr = place.run(code=2, suite=suite)
    assert "did you mean 'small'" in stderr


def test_intervals_over_several_corpora_are_drawn_within_each_also_of_gap_and_stress(place):
    rows = write_small_corpus(place.root / "data" / "other", n_speakers=3, n_each=4)
    for row in rows:  # other sounds than those of "small", which the audit would drop as copies
        path = place.root / "data" / "other" / row["path"]
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples[::-1], rate_hz, subtype="PCM_16")
    suite = _suite_over(place, '"small", "other"', 'kind = "speaker-kfold"\nfolds = 3')
    suite.write_text(suite.read_text().replace('"chance"', '"logreg"'))
    answer, _ = place.run("--gap", "--stress", "noise:-5", suite=suite)
    (record,) = read_records(Path(answer["out"]))
    expected = "delete-one-speaker jackknife, t(6), within each corpus"
    (gap,) = answer["gap"]["rows"]
    found = [record.scores["uar"].method, record.stress[0].drop.method, gap["gap"]["method"]]
    assert record.n_test_speakers == 8 and found == [expected] * 3


def test_report_check_finds_a_score_that_its_predictions_do_not_give(place):
    answer, _ = place.run("--models", "chance")
    (record,) = (Path(answer["out"]) / "records").glob("*.json")
    value = json.loads(record.read_bytes())["scores"]["uar"]["value"]
    record.write_text(record.read_text().replace(repr(value), "0.99", 1))
    command = [sys.executable, "-m", "ser_bench", "report", answer["out"]]
    subprocess.run(command, capture_output=True, check=True)
    done = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert done.returncode == 4 and "its predictions give" in done.stderr


def test_damaged_shards_heal_in_one_run(place):
    first, _ = place.run("--models", "logreg")
    for shard in (place.root / "store").rglob("*.npz"):
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 255
        shard.write_bytes(data)
    place.root.joinpath("out").rename(place.root / "before")
    second, _ = place.run("--models", "logreg")
    assert second["rows"][0]["uar"] == first["rows"][0]["uar"]


def test_an_empty_list_of_models_is_a_usage_error(place):
    for words in ("", ","):
        _, stderr = place.run("--models", words, code=2)
        assert "names no model" in stderr


PLUGIN = """
import numpy as np, os, signal, time
from ser_bench.models import ModelSpec, Prediction

class Broken:
    def __init__(self, how="short"):
        self.how, self.chosen, self.facts = how, {}, {}
    def fit(self, train, dev, context):
        if self.how == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "hang":
            time.sleep(600)
        if self.how == "raise":
            raise RuntimeError("no such luck")
    def predict(self, examples):
        n = len(examples) - (self.how == "short")
        return Prediction(labels=np.zeros(n, dtype=np.int64))

SPEC = ModelSpec(
    name="broken", title="broken on purpose", family="test", framework="numpy", factory="broken_plugin:Broken"
)
"""


@pytest.fixture
def broken(place, monkeypatch):
    """The plug-in above, importable and registered by hand-written metadata on PYTHONPATH."""
    site = place.root / "site"
    info = site / "broken_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "broken_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ser_bench.models]\nbroken = broken_plugin:SPEC\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    return place


@pytest.mark.parametrize(
    ("how", "message"),
    [("short", "labels of shape"), ("crash", "ended without an answer"), ("raise", "RuntimeError: no such luck")],
)
def test_a_plugin_that_fails_loses_its_own_row_and_the_run_goes_on(broken, how, message):
    write_suite(broken.root / "suite.toml", models=f'"logreg", {{ model = "broken", params = {{ how = "{how}" }} }}')
    answer, _ = broken.run(code=5)
    logreg, failed = answer["rows"]
    assert logreg["status"] == "ok" and logreg["uar"] == 1.0
    assert failed["status"] == "failed" and message in failed["reason"] and failed["uar"] is None
    assert "failed" in files(answer)["leaderboard.md"].decode()


def test_a_plugin_that_hangs_is_ended_at_its_time_limit(broken):
    write_suite(broken.root / "suite.toml", models='{ model = "broken", params = { how = "hang" } }')
    answer, _ = broken.run("--cell-timeout", "2", code=5)
    assert "time limit of 2 s" in answer["rows"][0]["reason"]


# Interruptions


def test_ctrl_c_leaves_a_run_that_goes_on_where_it_stopped(place):
    words = ("--models", "mlp,random-forest,logreg", "--seeds", "0,1,2")
    # Where the tests themselves run in a shell's background, children would inherit that Ctrl-C is ignored.
    process = subprocess.Popen(
        place.command(*words),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list((place.root / "out" / "cells").rglob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130 and "goes on where it stopped" in stderr and "Traceback" not in stderr
    done = {p: p.stat().st_mtime_ns for p in (place.root / "out" / "cells").rglob("*.npz")}
    answer, _ = place.run(*words)
    assert done and all(p.stat().st_mtime_ns == stamp for p, stamp in done.items())
    assert answer["status"] == "ok"


def _children(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def _kill_and_resume(place: Place, victim: str, state: random.Random) -> dict[str, Any]:
    """Kill the runner or one of its workers at a random moment; run again; return the answer."""
    words = ("--models", "mlp,random-forest,logreg", "--seeds", "0,1")
    process = subprocess.Popen(place.command(*words), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(state.uniform(0.5, 6.0))
    if victim == "runner":
        process.kill()
    else:
        for child in _children(process.pid)[:1]:
            os.kill(child, signal.SIGKILL)
    assert process.wait(timeout=240) in ((-9, 0) if victim == "runner" else (0,))
    return place.run(*words)[0]


def _killed_like_undisturbed(tmp_path: Path, times: int) -> None:
    undisturbed = Place(tmp_path / "undisturbed")
    undisturbed.rows()
    write_suite(undisturbed.root / "suite.toml")
    expected = predictions(undisturbed.run("--models", "mlp,random-forest,logreg", "--seeds", "0,1")[0])
    state = random.Random(7)
    for number in range(times):
        for victim in ("runner", "worker"):
            place = Place(tmp_path / f"{victim}-{number}")
            place.rows()
            write_suite(place.root / "suite.toml")
            assert predictions(_kill_and_resume(place, victim, state)) == expected, (victim, number)


def test_a_killed_runner_and_a_killed_worker_end_like_an_undisturbed_run(tmp_path):
    _killed_like_undisturbed(tmp_path, 1)


@pytest.mark.slow
def test_twenty_kills_of_runner_and_worker_end_like_an_undisturbed_run(tmp_path):
    _killed_like_undisturbed(tmp_path, 20)


def test_no_worker_outlives_a_killed_runner(place):
    process = subprocess.Popen(place.command("--models", "mlp", "--seeds", "0,1,2,3,4,5"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (workers := _children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait(timeout=10)
    time.sleep(3)
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
