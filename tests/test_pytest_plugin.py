"""The pytest plug-in: rows as tests, the fixture, and nothing of either where nobody asks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from ser_bench.baseline_files import make_baseline, write_baseline
from ser_bench.errors import UsageError
from ser_bench.pytest_plugin import FinishedRun, GateError
from ser_bench.records import read_records
from tests.made_up_runs import answers, spoilt, write_run
from tests.processes import REPORT_HEAVY, python
from tests.small_corpus import write_small_corpus, write_suite

MODEL = """
import numpy as np


class LoudestClass:
    def fit(self, values, targets):
        self.classes_ = np.unique(targets)
        return self

    def predict(self, values):
        return np.full(len(values), self.classes_[0])
"""

OWN_TESTS = """
import pytest

from ser_bench.pytest_plugin import GateError


@pytest.fixture(scope="module")
def run(ser_bench_run):
    options = {"models": "chance", "model": "mine:LoudestClass", "features": "features.csv", "jobs": 1}
    return ser_bench_run("small.toml", data="data", **options)


def test_my_model_ran(run):
    assert [(record.row, record.status) for record in run.records] == [("chance", "ok"), ("LoudestClass", "ok")]


def test_my_model_is_not_worse_than_itself(run):
    run.assert_not_worse(run.folder, "uar:-0.0", rows=["LoudestClass"])


def test_a_measure_that_nobody_took_fails(run):
    with pytest.raises(GateError, match="The gate failed"):
        run.assert_not_worse(run.folder, "energy_j:+5%")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a corpus, a suite, a model and tests of its own."""
    folder = tmp_path_factory.mktemp("project")
    rows = write_small_corpus(folder / "data" / "small", n_speakers=3, n_each=2)
    lines = [f"{Path(row['path']).stem},{place}" for place, row in enumerate(rows)]
    (folder / "features.csv").write_text("\n".join(["utterance_id,loudness", *lines]))
    write_suite(folder / "small.toml", models='"chance", "majority"', protocol='kind = "speaker-kfold"\nfolds = 3')
    (folder / "mine.py").write_text(MODEL)
    (folder / "test_mine.py").write_text(OWN_TESTS)
    return folder


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    places = ["--rootdir", str(folder), "-c", "/dev/null", "-p", "no:cacheprovider", "-p", "no:randomly"]
    return python(
        "-c",
        "import os, sys, pytest; os.chdir(sys.argv[1]); sys.exit(pytest.main(sys.argv[2:]))",
        *(str(folder), *places, *words),
        SER_BENCH_STORE=str(folder / "store"),
    )


ROWS = ("--ser-bench-suite", "small.toml", "--ser-bench-data", "data", "--ser-bench-out", "out")


def test_each_row_is_a_test_and_a_project_gates_its_own_model(project: Path) -> None:
    done = run_pytest(project, "-v", *ROWS)
    assert done.returncode == 0, done.stdout
    assert "ser-bench/small.toml::chance PASSED" in done.stdout
    assert "ser-bench/small.toml::majority PASSED" in done.stdout
    assert "5 passed" in done.stdout
    assert "Warning" not in done.stdout


def test_rows_are_chosen_by_name(project: Path) -> None:
    done = run_pytest(project, "--collect-only", "-q", *ROWS, "-k", "majority")
    assert "ser-bench/small.toml::majority" in done.stdout and "chance" not in done.stdout


def test_a_run_that_can_not_start_fails_every_row_and_says_why_once(project: Path) -> None:
    done = run_pytest(project, "-rN", *ROWS[:2], "--ser-bench-data", "nowhere", "-k", "small.toml")
    assert done.returncode == 1 and "2 failed" in done.stdout
    assert done.stdout.count("ended with 2:") == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--ser-bench-baseline", "x.json"), "need --ser-bench-suite"),
        (("--ser-bench-suite", "demo", "--ser-bench-baseline", "x.json"), "need each other"),
        (("--ser-bench-suite", "dmo"), "unknown suite 'dmo'"),
        (("--ser-bench-suite", "demo", "--ser-bench-baseline", "x.json", "--ser-bench-fail-on", "uar:-0"), "x.json"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    done = run_pytest(tmp_path, *words)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in done.stderr + done.stdout


def test_pytest_without_the_options_imports_nothing_of_weight(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    (tmp_path / "conftest.py").write_text(
        f"def pytest_unconfigure():\n    {REPORT_HEAVY}\n"
        "    print([name for name in sys.modules if name.startswith('ser_bench.')], file=sys.stderr)\n"
    )
    done = run_pytest(tmp_path, "-q", "-p", "no:hypothesispytest", "-p", "no:benchmark")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-2:] == ["[]", "['ser_bench.pytest_plugin']"]


# the gate of a run, and of a row


def finished(folder: Path) -> FinishedRun:
    return FinishedRun(folder=folder, records=tuple(read_records(folder)))


def test_a_worse_run_fails_with_the_table(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", {"svm": [answers()]})
    write_baseline(tmp_path / "base.json", make_baseline(base, read_records(base)))
    worse = finished(write_run(tmp_path / "head", {"svm": [spoilt(answers(), 0.1)]}))
    with pytest.raises(GateError, match="FAILED worse: svm uar"):
        worse.assert_not_worse(tmp_path / "base.json", "uar:-0.02")
    worse.assert_not_worse(tmp_path / "base.json", "uar:-0.2")
    with pytest.raises(UsageError, match="without a margin could never fail"):
        worse.assert_not_worse(tmp_path / "base.json")


def test_only_the_row_that_is_worse_fails(project: Path, tmp_path: Path) -> None:
    """The baseline is the project's own run, with a row that it no longer has."""
    assert run_pytest(project, "-q", *ROWS, "-k", "small.toml").returncode == 0
    (folder,) = (project / "out").glob("small*")
    baseline = make_baseline(folder, read_records(folder))
    renamed = {**baseline.rows[1].record, "row": "minority"}
    rows = (baseline.rows[0], msgspec.structs.replace(baseline.rows[1], record=renamed))
    write_baseline(tmp_path / "other.json", msgspec.structs.replace(baseline, rows=rows))
    gate = ("--ser-bench-baseline", str(tmp_path / "other.json"), "--ser-bench-fail-on", "uar:-0.0")
    done = run_pytest(project, "-v", *ROWS, *gate, "-k", "small.toml")
    assert done.returncode == 1
    assert "chance PASSED" in done.stdout and "minority FAILED" in done.stdout
    assert "the head has no such row" in done.stdout
