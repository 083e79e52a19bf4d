"""The workflows that the documentation prints, and the composite action, do what they say: their steps run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from ser_bench.baseline_files import make_baseline, write_baseline
from ser_bench.records import read_records
from tests.small_corpus import write_small_corpus, write_suite
from tests.test_docs import ROOT, printed_files

PAGE = printed_files("docs/ci.md")
ACTION = yaml.safe_load((ROOT / ".github/actions/gate/action.yml").read_text())
SUITE = 'kind = "speaker-kfold"\nfolds = 2'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a suite ``demo`` of its own, small enough for a test, and its baseline."""
    folder = tmp_path_factory.mktemp("checkout")
    write_small_corpus(folder / "data" / "small", n_speakers=4, n_each=2)
    write_suite(folder / "demo.toml", models='"chance", "majority"', protocol=SUITE)
    done = shell("ser-bench run --suite demo --models chance,logreg --out base --quiet", folder)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "base").glob("demo-*")
    write_baseline(folder / "baselines" / "demo-ci.json", make_baseline(run, read_records(run), "ci"))
    return folder


def shell(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does; the suite ``demo`` is the workspace's small one, ``logreg`` its second row."""
    script = script.replace("--suite demo", "--suite demo.toml").replace("chance,logreg", "chance,majority")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mine = {"PATH": path, "SER_BENCH_DATA": str(folder / "data"), "SER_BENCH_STORE": str(folder / "store")}
    mine |= {"GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **mine, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_steps(steps: list[dict[str, Any]], folder: Path, **env: str) -> list[int]:
    """Run the shell steps but the installation, those with ``if: always()`` also after a failure; return exit codes."""
    codes: list[int] = []
    for step in steps:
        if "run" not in step or "pip install" in step["run"] or (any(codes) and step.get("if") != "always()"):
            continue
        codes.append(shell(step["run"], folder, **{**env, **step.get("env", {})}).returncode)
    return codes


def forget(folder: Path) -> None:
    for name in ("gate.md", "gate.xml", "summary.md"):
        (folder / name).unlink(missing_ok=True)


def assert_told(folder: Path, failures: int) -> None:
    (suite,) = ElementTree.parse(folder / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", str(failures))
    assert "| majority | uar" in (folder / "gate.md").read_text()


def test_the_printed_workflow_passes_an_unchanged_project(workspace: Path) -> None:
    workflow = yaml.safe_load(PAGE[".github/workflows/gate.yml"])
    job = workflow["jobs"]["gate"]
    forget(workspace)
    assert run_steps(job["steps"], workspace) == [0, 0, 0]
    assert_told(workspace, failures=0)
    assert (workspace / "summary.md").read_text() == (workspace / "gate.md").read_text()
    uploaded = next(step["with"]["path"].split() for step in job["steps"] if "upload" in step.get("uses", ""))
    assert all(list(workspace.glob(name)) for name in uploaded)
    assert job["env"]["SER_BENCH_STORE"] in {step["with"]["path"] for step in job["steps"] if "cache" in str(step)}


def test_the_printed_gitlab_job_passes_an_unchanged_project(workspace: Path) -> None:
    job = yaml.safe_load(PAGE[".gitlab-ci.yml"])["gate"]
    forget(workspace)
    assert run_steps([{"run": line} for line in job["script"]], workspace) == [0, 0]
    assert_told(workspace, failures=0)
    assert all(
        (workspace / name).is_file() for name in [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    )


def test_the_action_has_the_inputs_that_the_page_gives_it_and_every_input_is_used() -> None:
    printed = re.search(
        r"^ +- uses: \./\.github/actions/gate\n.*?```", (ROOT / "docs/ci.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert printed is not None
    given = yaml.safe_load(printed[0].removesuffix("```"))[0]["with"]
    required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert required <= given.keys() <= ACTION["inputs"].keys()
    text = (ROOT / ".github/actions/gate/action.yml").read_text()
    assert set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", text)) == ACTION["inputs"].keys()
    assert not any("${{" in step["run"] for step in ACTION["runs"]["steps"]), "inputs reach a shell as variables only"


@pytest.mark.parametrize(("margin", "codes"), [("uar:-0.0", [0, 0, 0]), ("energy_j:+1%\nuar:-0.0", [0, 1, 0])])
def test_the_composite_action_passes_and_fails(workspace: Path, tmp_path: Path, margin: str, codes: list[int]) -> None:
    inputs = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
    inputs |= {"suite": "demo.toml", "models": "chance,majority", "fail-on": margin, "out": str(tmp_path / "out dir")}
    inputs |= {"baseline": "baselines/demo-ci.json"}

    def filled(step: dict[str, Any]) -> dict[str, Any]:
        env = {k: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: inputs[m[1]], v) for k, v in step["env"].items()}
        return {**step, "env": env}

    forget(workspace)
    assert run_steps([filled(step) for step in ACTION["runs"]["steps"]], workspace) == codes
    inputs["fail-on"] = "\n"
    assert run_steps([filled(ACTION["runs"]["steps"][1])], workspace) == [2], "a gate without a margin never fails"
    assert (workspace / "summary.md").read_text() == (tmp_path / "out dir" / "gate.md").read_text()
