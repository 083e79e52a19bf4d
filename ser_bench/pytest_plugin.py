"""pytest plug-in: a suite's rows as tests, and a fixture with which a project gates its own model in its own tests.

pytest imports this module wherever ser-bench is installed, so it imports nothing but pytest before it is asked for
something; suites run in a process of their own, which imports what the tests can import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ser_bench.gate import Comparison
    from ser_bench.records import RunRecord

_RAN = (0, 5)
"""Exit codes of a run that wrote records; 5: some rows failed."""


class GateError(AssertionError):
    """A row that failed, or is worse than its baseline by more than a margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A suite that ran.

    Attributes:
        folder: Its run folder.
        records: Its records, in the order of its plan.
    """

    folder: Path
    records: tuple[RunRecord, ...]

    def compare(self, baseline: str | Path, *margins: str, **options: Any) -> Comparison:
        """Return what comes of holding the run against a baseline, or another run folder.

        Args:
            baseline: Path of what ``ser-bench baseline set`` wrote, or of a run folder.
            margins: As ``--fail-on`` takes them, ``uar:-0.02`` or ``latency_ms_p50:+15%``.
            options: ``strict``, ``confidence`` and ``rows`` of :func:`ser_bench.compare.compare`.
        """
        from ser_bench import compare, gate

        parsed = gate.parse_margins(margins, compare.COSTS)
        return compare.compare(compare.read_side(Path(baseline)), compare.read_side(self.folder), parsed, **options)

    def assert_not_worse(self, baseline: str | Path, *margins: str, **options: Any) -> None:
        """Fail the test where the gate fails; arguments as :meth:`compare`.

        Raises:
            GateError: If a check failed; its text is the comparison's table.
            UsageError: If there is no margin, so that nothing could fail.
        """
        from ser_bench.errors import UsageError
        from ser_bench.report.verdicts import render_comparison

        if not margins:
            raise UsageError("assert_not_worse without a margin could never fail", hint='"uar:-0.02"')
        comparison = self.compare(baseline, *margins, **options)
        if not comparison.passed:
            raise GateError(render_comparison(comparison))


def run_suite(suite: str, *, out: Path, cwd: Path, **options: Any) -> FinishedRun:
    """Run a suite and return its records.

    Args:
        suite: A suite's name, or the path of a TOML file.
        out: Where its folder goes.
        cwd: Where paths start.
        options: Those of ``ser-bench run``, ``_`` for ``-``: a text, a list of texts, or True for a flag.

    Raises:
        GateError: If the run could not start; its text is what it said.
    """
    from ser_bench.records import read_records

    words = ["run", "--suite", suite, "--out", str(out), "--json", "--quiet"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option] if one is True else [option, str(one)]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-m", "ser_bench", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in _RAN:
        raise GateError(f"ser-bench {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    folder = Path(json.loads(done.stdout)["out"])
    return FinishedRun(folder=folder, records=tuple(read_records(folder)))


@pytest.fixture(scope="session")
def ser_bench_run(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., FinishedRun]:
    """A function that runs a suite in a temporary folder: its name, and options of ``ser-bench run`` by keyword.

    ``ser_bench_run("demo", model="mine.model:Classifier", features="stats180")`` returns the records of the run.
    """
    out = tmp_path_factory.mktemp("ser-bench")

    def run(suite: str, **options: Any) -> FinishedRun:
        return run_suite(suite, out=out, cwd=pytestconfig.invocation_params.dir, **options)

    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; without ``--ser-bench-suite`` nothing is run."""
    group = parser.getgroup("ser-bench", "speech emotion recognition")
    group.addoption("--ser-bench-suite", metavar="NAME", help="run a suite; each of its rows is a test")
    group.addoption("--ser-bench-models", metavar="A,B", help="only these rows of the suite")
    group.addoption("--ser-bench-data", metavar="DIR", help="folder that holds the corpora")
    group.addoption("--ser-bench-out", metavar="DIR", help="where the run goes (default: a temporary folder)")
    group.addoption("--ser-bench-baseline", metavar="FILE", help="hold the run against this baseline or run folder")
    group.addoption(
        "--ser-bench-fail-on",
        action="append",
        default=[],
        metavar="METRIC:MARGIN",
        help="how much worse than the baseline a row may be: uar:-0.02",
    )
    group.addoption("--ser-bench-strict", action="store_true", help="what can't be told fails too")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test per row; first, so that ``-k`` and ``-m`` choose among them too."""
    suite, baseline = config.getoption("--ser-bench-suite"), config.getoption("--ser-bench-baseline")
    if suite is None:
        if baseline or config.getoption("--ser-bench-fail-on"):
            raise pytest.UsageError("--ser-bench-baseline and --ser-bench-fail-on need --ser-bench-suite")
        return
    if bool(baseline) != bool(config.getoption("--ser-bench-fail-on")):
        raise pytest.UsageError("--ser-bench-baseline and --ser-bench-fail-on need each other")
    asked = _Asked(config)
    parent = _Suite.from_parent(session, name=f"ser-bench {suite}", nodeid=f"ser-bench/{suite}")
    items.extend(_RowItem.from_parent(parent, name=row, asked=asked) for row in asked.rows())


class _Asked:
    """What the command line asks for; it is run once, when the first row is."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._comparison: Comparison | None = None
        self._run: FinishedRun | None = None
        self._error: Exception | None = None

    def option(self, name: str) -> Any:
        return self._config.getoption(f"--ser-bench-{name}")

    def rows(self) -> list[str]:
        """Return the labels of the rows: those named, else those of the suite and of the baseline."""
        from ser_bench.compare import read_side
        from ser_bench.errors import SerBenchError
        from ser_bench.suites import load_suite

        if self.option("models"):
            return [name.strip() for name in self.option("models").split(",") if name.strip()]
        try:
            rows = [entry.row for entry in load_suite(self.option("suite")).entries]
            if self.option("baseline"):
                base = read_side(Path(self.option("baseline"))).records.items()
                rows += [key[0] for key, record in base if record.status == "ok"]
        except SerBenchError as error:
            raise pytest.UsageError(str(error)) from None
        return list(dict.fromkeys(rows))

    def judge(self, row: str) -> None:
        """Fail, skip or pass a row."""
        run = self._finished()
        records = [record for record in run.records if record.row == row]
        for record in records:
            if record.status == "failed":
                raise GateError(f"{row}: failed: {record.reason}")
        if self._comparison is not None:
            self._hold_against_baseline(row)
        elif not records:
            raise GateError(f"{row}: the run has no such row")
        if records and all(record.status == "skipped" for record in records):
            pytest.skip(str(records[0].reason))

    def _hold_against_baseline(self, row: str) -> None:
        from msgspec.structs import replace

        from ser_bench.report.verdicts import render_comparison

        assert self._comparison is not None
        checks = tuple(check for check in self._comparison.checks if check.row in (row, ""))
        if any(check.failed for check in checks):
            raise GateError(render_comparison(replace(self._comparison, checks=checks)))

    def _finished(self) -> FinishedRun:
        """Run the suite, at the first call; what went wrong then goes wrong again for every row."""
        from ser_bench.errors import SerBenchError

        if self._error is not None:
            raise GateError("there is no run to judge: the first row says why") from self._error
        if self._run is None:
            try:
                self._run = self._start()
                if self.option("baseline"):
                    rows = self.rows() if self.option("models") else ()
                    self._comparison = self._run.compare(
                        self.option("baseline"),
                        *self.option("fail-on"),
                        strict=self.option("strict"),
                        rows=rows,
                    )
            except (GateError, SerBenchError) as error:
                self._error = error
                raise
        return self._run

    def _start(self) -> FinishedRun:
        out = self.option("out")
        if out is None:
            folder = tempfile.TemporaryDirectory(prefix="ser-bench-")
            self._config.add_cleanup(folder.cleanup)
            out = folder.name
        named = {name: self.option(name) for name in ("models", "data") if self.option(name)}
        cwd = self._config.invocation_params.dir
        return run_suite(self.option("suite"), out=(cwd / out).resolve(), cwd=cwd, **named)


class _Suite(pytest.Collector):
    def collect(self) -> list[pytest.Item]:
        return []


class _RowItem(pytest.Item):
    def __init__(self, *, asked: _Asked, **more: Any) -> None:
        super().__init__(**more)
        self._asked = asked

    def runtest(self) -> None:
        self._asked.judge(self.name)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from ser_bench.errors import SerBenchError

        if isinstance(excinfo.value, GateError | SerBenchError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.parent.name if self.parent else ''}: {self.name}"
