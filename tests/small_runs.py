"""A finished run on the small corpus, made once per process, for what is done with runs afterwards."""

from __future__ import annotations

import atexit
import contextlib
import io
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from ser_bench import machine
from ser_bench.cli import main
from tests.small_corpus import write_small_corpus, write_suite


@dataclass(frozen=True)
class SmallRun:
    """Where a run, its suite and its corpus lie."""

    folder: Path
    suite: Path
    places: tuple[str, ...]

    def copied(self, to: Path) -> Path:
        """Return a copy of the run's folder below ``to``."""
        return Path(shutil.copytree(self.folder, to / self.folder.name))


@cache
def _root() -> Path:
    root = Path(mkdtemp(prefix="ser-bench-tests-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    write_small_corpus(root / "data" / "small")
    (root / "data" / "small" / "corpus.toml").write_text('licence = "CC0-1.0"\n')
    write_suite(root / "small.toml")
    return root


@cache
def small_run(*words: str, commit: str = "c0ffee", dirty: bool = False) -> SmallRun:
    """Return a finished run of the small suite, ``words`` being more of its command line.

    Args:
        words: Such as ``--models``, ``logreg``.
        commit: What its records say of the checkout.
        dirty: Whether they say that it was changed.
    """
    root = _root()
    out = Path(mkdtemp(prefix="out-", dir=root))
    places = ("--data", str(root / "data"), "--store", str(root / "store"), "--quiet", "--jobs", "1")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")):
        patch.setattr(machine, "commit", lambda: (commit, dirty))
        assert main(["run", "--suite", str(root / "small.toml"), *places, "--out", str(out), *words, "--json"]) == 0
    found = [path.parent for path in sorted(out.glob("*/records")) if "-control-" not in path.parent.name]
    assert len(found) == 1
    return SmallRun(folder=found[0], suite=root / "small.toml", places=places)
