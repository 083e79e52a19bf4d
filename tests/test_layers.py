"""Data flows one way: a module imports only lower layers, and looking around imports nothing heavy."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ser_bench
from tests.processes import REPORT_HEAVY, python

ROOT = Path(__file__).parents[1]

LAYERS = {
    **dict.fromkeys(("__init__", "errors", "acoustics"), 0),
    **dict.fromkeys(("registry", "emotions", "audio", "store", "machine", "timing", "references"), 1),
    **dict.fromkeys(("training_rows", "equal_parts"), 1),
    **dict.fromkeys(("stats", "utterances", "augment", "encoders", "environments", "rating_metrics"), 2),
    **dict.fromkeys(("corpora", "protocols", "features", "normalise", "synth", "models", "metrics", "leakage"), 3),
    "calibration": 3,
    "stress": 3,
    **dict.fromkeys(("suites", "records", "adapters", "labelling", "foreign_splits", "children", "fold_fit"), 4),
    **dict.fromkeys(("worker", "pool", "groups", "run_audit", "choices", "rating_scores", "predictions"), 5),
    **dict.fromkeys(("curves", "stress_scores", "differing", "latency_compare", "submissions"), 5),
    **dict.fromkeys(("prepare", "swaps", "gate", "baseline_files"), 6),
    **dict.fromkeys(("cells", "paired", "benchmark_files"), 7),
    **dict.fromkeys(("plan", "matrices", "scoring", "model_files", "compare", "refusals"), 8),
    **dict.fromkeys(
        (
            "recording",
            "keeping",
            "predicting",
            "gap",
            "probe",
            "prediction_check",
            "fusion",
            "feature_files",
            "stress_features",
            "rescoring",
            "live_compare",
        ),
        9,
    ),
    **dict.fromkeys(("runner", "report", "live_worker", "verify"), 10),
    **dict.fromkeys(("publish", "reproduce"), 11),
    "cli": 12,
    **dict.fromkeys(("__main__", "pytest_plugin"), 13),
}
"""Layer by module or sub-package; inside a sub-package modules may import each other."""

FORBIDDEN = {"report": {"runner", "worker", "pool", "prepare", "cells"}}
"""Lower layers that are out of bounds all the same: tables are built from records alone."""


def sources() -> Iterator[tuple[str, Path]]:
    """Every module with the name of its layer."""
    for path in sorted(ROOT.glob("ser_bench/**/*.py")):
        yield path.relative_to(ROOT / "ser_bench").parts[0].removesuffix(".py"), path
    for path in sorted(ROOT.glob("adapters/*.py")):
        yield "adapters", path


MODULES = {module for module, _ in sources()}


def imported(path: Path) -> set[str]:
    """The parts of ser_bench that a module imports anywhere, function bodies included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    inside = [name.split(".")[1:2] for name in names if name.split(".")[0] == "ser_bench"]
    return {"".join(part) if {*part} & MODULES else "__init__" for part in inside}


@pytest.mark.parametrize(("module", "path"), [pytest.param(m, p, id=str(p.relative_to(ROOT))) for m, p in sources()])
def test_a_module_imports_only_lower_layers(module: str, path: Path) -> None:
    assert module in LAYERS, f"{path}: give it a layer"
    for name in imported(path) - {module}:
        assert LAYERS[name] < LAYERS[module], f"{module} ({LAYERS[module]}) imports {name} ({LAYERS[name]})"
        assert name not in FORBIDDEN.get(module, ()), f"{module} must not know {name}"


def test_every_layer_that_is_numbered_is_there() -> None:
    assert set(LAYERS) == MODULES


def test_the_import_test_sees_imports_inside_functions(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f():\n    from ser_bench.runner import run\n    from ser_bench import worker\n")
    assert imported(tmp_path / "m.py") == {"runner", "worker"}


HELP = """
import contextlib, io, ser_bench.cli
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as text:
    ser_bench.cli.main(["--help"])
assert "exit codes" in text.getvalue()
"""


def test_help_imports_nothing_heavy() -> None:
    answer = python(
        "-c", f"{HELP}\n{REPORT_HEAVY}; print([n for n in ('pandas', 'numpy', 'msgspec') if n in sys.modules])"
    )
    assert answer.stderr.strip() == "[]"
    assert answer.stdout.strip() == "[]"


def test_help_takes_well_under_a_second() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        assert python("-c", HELP).returncode == 0
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.6


def test_no_module_of_ours_imports_heavy_packages_at_its_top() -> None:
    heavy = {"torch", "tensorflow", "keras", "librosa", "sklearn", "scipy", "soundfile", "soxr", "matplotlib"}
    for _, path in sources():
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not heavy & {name.split(".")[0] for name in names}, path


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert version("ser-bench") == ser_bench.__version__
