"""What the harness costs on top of the fits: the same fits, bare and through the runner, in one go.

``tox run -e perf`` prints both times and their ratio. Start-up is excluded on both sides; threads are equal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ser_bench import runner
from ser_bench.cells import plan_row
from ser_bench.matrices import lay_out
from ser_bench.plan import Run
from ser_bench.prepare import prepare
from ser_bench.suites import ModelEntry, load_suite

ROUNDS = int(os.environ.get("SER_BENCH_PERF_ROUNDS", "3"))
MAX_OVERHEAD = 0.05
SEEDS = tuple(range(4))

BARE = """
import json, sys, time
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

values, data, n_folds, seeds, params = json.loads(sys.argv[1])
X = np.load(values)
with np.load(data) as d:
    d = dict(d)
RandomForestClassifier(n_estimators=2).fit(X[:50], d["classes"][:50])
start = time.perf_counter()
for seed in seeds:
    for fold in range(n_folds):
        train = np.union1d(d[f"train_{fold}"], d[f"dev_{fold}"])
        scaler = StandardScaler().fit(X[train])
        model = RandomForestClassifier(random_state=seed, **params).fit(scaler.transform(X[train]), d["classes"][train])
        for side in (train, d[f"test_{fold}"]):
            rows = scaler.transform(X[side])
            model.predict(rows), model.predict_proba(rows)
print(time.perf_counter() - start)
"""


@pytest.fixture
def run(shop, tmp_path) -> Run:
    """A random forest, large enough for a minute of fits, on the disjoint 5 folds of RAVDESS (or a toy corpus)."""
    workshop, solo = shop
    data = os.environ.get("SER_BENCH_DATA")
    suite = load_suite("ravdess-speaker-5fold" if data else "demo")
    suite = msgspec.structs.replace(suite, seeds=SEEDS)
    entry = ModelEntry(model="random-forest", params={"n_estimators": 500 if data else 300})
    row = plan_row(entry, suite, device="cpu", canary=None)
    prepared = prepare(suite, data, workshop)
    return Run(suite=suite, rows=[row], prepared=prepared, workshop=workshop, solo=solo, out=tmp_path / "out")


def _bare(arguments: str) -> float:
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", BARE, arguments], env=os.environ | pinned, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_harness_overhead_over_a_bare_script_is_under_five_percent(run, tmp_path, benchmark):
    row = run.rows[0]
    matrices = lay_out([row], run.prepared, run.suite, run.workshop, canary=None, scratch=tmp_path)
    data = runner._write_data(run.prepared, tmp_path)
    params = {k: v for k, v in row.params.items() if k != "import"}
    arguments = [matrices[row.feature_set.name].values, data, len(run.prepared.split.folds), list(SEEDS), params]
    text = msgspec.json.encode(arguments).decode()
    warm = run.cells[row.label][:1]
    task = runner._task(run, warm[0], matrices, data, tmp_path, tmp_path / "warm.npz")
    run.workshop.submit(task).result()

    harness_s, bare_s = [], []

    def bare() -> None:
        bare_s.append(_bare(text))

    def harness() -> None:
        object.__setattr__(run, "out", tmp_path / f"out-{len(harness_s)}")
        start = time.perf_counter()
        runner._run_cells(run, [row], matrices, data, tmp_path)
        harness_s.append(time.perf_counter() - start)

    benchmark.pedantic(harness, setup=bare, rounds=ROUNDS)
    assert not run.failures
    ratios = np.divide(harness_s, bare_s)
    benchmark.extra_info |= {"bare_s": bare_s, "harness_s": harness_s, "ratios": ratios.tolist()}
    print(f"\nbare {np.round(bare_s, 1)} s, harness {np.round(harness_s, 1)} s, ratio {np.round(ratios, 3)}")
    assert float(np.median(ratios)) < 1 + MAX_OVERHEAD


def test_help_takes_under_a_third_of_a_second(benchmark):
    benchmark.pedantic(
        lambda: subprocess.run([sys.executable, "-m", "ser_bench", "--help"], capture_output=True, check=True), rounds=5
    )
    assert benchmark.stats["min"] < 0.3


def test_a_fully_stored_run_takes_under_three_seconds(tmp_path, benchmark):
    data = os.environ.get("SER_BENCH_DATA")
    if not data:
        pytest.skip("real speech needed: set SER_BENCH_DATA")
    words = [
        "run",
        "--suite",
        "ravdess-actor-holdout",
        "--models",
        "logreg,lda,svm-rbf",
        "--out",
        str(Path(tmp_path) / "o"),
    ]
    command = [sys.executable, "-m", "ser_bench", *words, "--quiet"]
    subprocess.run(command, capture_output=True, check=True)
    benchmark.pedantic(lambda: subprocess.run(command, capture_output=True, check=True), rounds=3)
    assert benchmark.stats["min"] < 3.0
