"""Environments of their own: built whole or not at all, found by their lock, and all that a plug-in sees there."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from ser_bench import environments
from ser_bench.cells import _row_digest, plan_row
from ser_bench.environments import FEATUREWIZ, Built, Environment
from ser_bench.errors import PrerequisiteError, UsageError
from ser_bench.suites import ModelEntry, load_suite
from tests.own_environment import write_package
from tests.processes import ser_bench
from tests.small_corpus import write_small_corpus, write_suite

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


class Box:
    """The package ``oldbox``, a folder of environments, and a corpus."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = write_package(folder, MINOR)
        write_small_corpus(folder / "data" / "small")
        write_suite(folder / "small.toml", models='"chance", "old-mean"')

    def __call__(self, *words: str, code: int = 0, **env: str) -> tuple[Any, str]:
        """Run ``ser-bench``; return its object and what it said."""
        done = ser_bench(*words, "--json", path=self.site, SER_BENCH_ENVS=str(self.folder / "envs"), **env)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout), done.stderr

    def run(self, *words: str, code: int = 0) -> tuple[Any, str]:
        places = {"--data": "data", "--store": "store", "--out": "out"}
        options = [str(word) for name, place in places.items() for word in (name, self.folder / place)]
        suite = str(self.folder / "small.toml")
        return self("run", "--suite", suite, "--quiet", "--jobs", "1", *options, *words, code=code)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    pytest.importorskip("ensurepip", reason="venv needs ensurepip to build an environment")
    return Box(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="module")
def built(box: Box) -> Iterator[Any]:
    """The answer of a first ``env create``, which no setting of the main environment may bend."""
    (box.folder / "constraints.txt").write_text("relic==2.0\n")
    answer, _ = box("env", "create", "oldbox", PIP_CONSTRAINT=str(box.folder / "constraints.txt"))
    yield answer


# These three stand before what asks for ``built``: they want it not to be there.


def test_a_row_whose_environment_is_missing_is_skipped_with_the_command_and_costs_no_other_row(box: Box) -> None:
    answer, _ = box.run()
    chance, old = answer["rows"]
    assert (chance["status"], old["status"]) == ("ok", "skipped")
    assert old["reason"] == "needs the environment oldbox: ser-bench env create oldbox"


def test_a_named_model_whose_environment_is_missing_is_a_missing_prerequisite(box: Box) -> None:
    answer, said = box.run("--models", "old-mean", code=3)
    assert "model 'old-mean' needs the environment oldbox\n  try: ser-bench env create oldbox" in said
    assert answer["exit_code"] == 3


def test_what_is_not_built_is_listed_and_has_no_path(box: Box) -> None:
    listed = {e["name"]: e for e in box("env", "list")[0]["environments"]}
    assert (listed["oldbox"]["origin"], listed["oldbox"]["path"]) == ("oldbox 2.0", None)
    assert "featurewiz" in listed
    assert "not built" in box("env", "path", "oldbox", code=3)[1]


def test_create_builds_from_the_lock_and_keeps_what_is_there(box: Box, built: Any) -> None:
    folder = Path(built["path"])
    assert (built["packages"]["relic"], built["python"]) == ("0.9", sys.version.split()[0])
    assert "scikit-learn" not in built["packages"]
    before = (folder / "ser-bench.json").stat().st_mtime_ns
    assert box("env", "create", "oldbox")[0]["path"] == str(folder) == box("env", "path", "oldbox")[0]["path"]
    assert (folder / "ser-bench.json").stat().st_mtime_ns == before


def test_a_model_runs_in_its_environment_and_sees_its_own_package_alone_of_ours(box: Box, built: Any) -> None:
    answer, _ = box.run("--models", "old-mean", "--features", "mfcc40-mean")
    row = answer["rows"][0]
    assert (row["status"], row["uar"]) == ("ok", 1.0), row["reason"]
    assert row["latency_ms_p50"] > row["latency_features_ms"] > row["latency_predict_ms"] > 0
    path = next(Path(answer["out"], "records").glob("*old-mean.json"))
    record = json.loads(path.read_text())
    environment = record["environment"]
    assert environment["packages"]["relic"] == "0.9" and "scikit-learn" not in environment["packages"]
    assert environment["name"] == f"oldbox {built['lock']}"
    assert record["timing"]["reproduced"] is True
    assert record["chosen"]["features"] == "train"


def test_the_columns_that_a_model_chose_itself_stand_in_its_record(box: Box, built: Any) -> None:
    answer, _ = box.run("--model", "old-mean", "--param", 'only=["mfcc_01"]')
    record = json.loads(next(Path(answer["out"], "records").glob("*.json")).read_text())
    assert set(record["model"]["chosen"]) == {fold["fold_id"] for fold in record["folds"]}
    assert all(chosen == {"columns": ["mfcc_01"]} for chosen in record["model"]["chosen"].values())


def test_run_builds_what_is_missing_where_it_is_told_to(box: Box, built: Any) -> None:
    assert box("env", "remove", "oldbox")[0]["removed"] is True
    assert not Path(built["path"]).exists()
    row = box.run("--models", "old-mean", "--create-envs")[0]["rows"][0]
    assert row["status"] == "ok"
    assert Path(built["path"], "ser-bench.json").is_file()


def test_a_build_that_fails_says_so_and_leaves_nothing(box: Box, tmp_path: Path) -> None:
    broken = Box(tmp_path / "broken")
    (broken.site / "oldbox" / "lock.txt").write_text(str(tmp_path / "nothing-1.0-py3-none-any.whl"))
    answer, said = broken("env", "create", "oldbox", code=3)
    assert "the environment oldbox can't be built" in said and "nothing-1.0" in said
    assert answer["path"] is None
    assert not list((broken.folder / "envs" / "oldbox").iterdir())


# The parts


@pytest.mark.parametrize(
    ("typed", "json_asked", "built"), [("y\n", False, True), ("\n", False, False), ("y\n", True, False)]
)
def test_run_asks_at_a_terminal_before_it_builds(
    typed: str, json_asked: bool, built: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ser_bench.cli import run_verb

    asked = StringIO(typed)
    monkeypatch.setattr(asked, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", asked)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    made: list[str] = []
    monkeypatch.setattr(environments, "create", lambda name, quiet: made.append(name))
    monkeypatch.setattr(environments, "find", lambda name: None)
    row = plan_row(ModelEntry(model="featurewiz-xgb"), load_suite("demo"), device="cpu", canary=None)
    args = Namespace(json=json_asked, quiet=False, dry_run=False, create_envs=False)
    assert run_verb._build_environments(args, [row]) is built
    assert made == (["featurewiz"] if built else [])
    assert ("build it now?" in capsys.readouterr().err) is not json_asked


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment that lies in ``tmp_path``, described and not built."""
    (tmp_path / "lockbox").mkdir()
    (tmp_path / "lockbox" / "__init__.py").write_text("")
    (tmp_path / "lockbox" / "lock.txt").write_text("relic==0.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SER_BENCH_ENVS", str(tmp_path / "envs"))
    environment = Environment(name="e", title="t", lock="lockbox:lock.txt", pythons=("3.8", "3.9"))
    monkeypatch.setattr(environments.registry, "load", lambda kind, name: environment)
    return environment


def _pretend(environment: Environment) -> Path:
    """Lay down what a build leaves."""
    folder = environments._folder("e", environment)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "ser-bench.json").write_text(json.dumps({"python": "3.9.1", "packages": {"relic": "0.9"}}))
    return folder


def test_an_unfinished_build_an_older_lock_and_a_lost_interpreter_are_not_there(
    described: Environment, tmp_path: Path
) -> None:
    folder = _pretend(described)
    assert environments.find("e") is not None
    (folder / "ser-bench.json").rename(folder / "aside")
    assert environments.find("e") is None
    (folder / "aside").rename(folder / "ser-bench.json")
    (folder / "bin" / "python").unlink()
    assert environments.find("e") is None
    (folder / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "lockbox" / "lock.txt").write_text("relic==1.0\n")
    assert environments.find("e") is None


def test_an_interpreter_that_does_not_fit_is_refused_with_what_is_needed(
    described: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=rf"Python {MINOR}; the environment e needs Python 3.8 or 3.9"):
        environments.create("e", python=sys.executable)
    with pytest.raises(UsageError, match="no interpreter; the environment e needs"):
        environments.create("e", python="/no/such/python")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PrerequisiteError, match=rf"needs Python 3.8 or 3.9; this is Python {MINOR}, and no python3.8"):
        environments.create("e")


def test_a_fitting_interpreter_on_the_path_is_found(
    described: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("3.8", "3.9"):
        script = tmp_path / f"python{version}"
        script.write_text("#!/bin/sh\necho 3.9\n" if version == "3.9" else "#!/bin/sh\nexit 127\n")  # a shim of nothing
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environments._fitting(described, None) == str(tmp_path / "python3.9")


def test_two_builds_of_one_environment_do_not_mix(described: Environment) -> None:
    with (
        environments._locked("e"),
        pytest.raises(PrerequisiteError, match="being built or removed by another process"),
    ):
        environments.create("e")


def test_the_lock_and_the_versions_in_an_environment_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Built(name="e", folder=Path("/e"), lock_digest="a", python="3.11.1", packages={"featurewiz": "0.6.1"})
    monkeypatch.setattr(environments, "find", lambda name: there)
    row = plan_row(ModelEntry(model="featurewiz-xgb"), suite := load_suite("demo"), device="cpu", canary=None)
    assert row.skip is None and row.environment is there
    others = (
        replace(there, lock_digest="b"),
        replace(there, python="3.11.2"),
        replace(there, packages={"featurewiz": "0.6.2"}),
    )
    keys = [_row_digest(replace(row, environment=one), suite, None) for one in (there, *others)]
    assert len(set(keys)) == 4 and keys[0] == _row_digest(row, suite, None)


def test_featurewizs_lock_is_complete_in_exact_pins_of_what_featurewiz_needs() -> None:
    lines = [line for line in FEATUREWIZ.lock_text.splitlines() if not line.startswith("#")]
    pins = {}
    for line in lines:
        found = re.fullmatch(r'([A-Za-z0-9_.-]+)==([\w.]+)(; sys_platform [=!]= "linux")?', line)
        assert found, line
        pins[found[1].lower()] = found[2]
    assert pins["featurewiz"] == "0.6.1" and pins["numpy"].startswith("1.")
    assert pins["tensorflow"] == pins["tensorflow-cpu"]
