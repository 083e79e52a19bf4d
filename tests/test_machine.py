"""Machine facts and clocks: what a row says of the computer that made it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ser_bench import machine, timing
from ser_bench.timing import EnergyMeter, Phases, milliseconds, peak_mib, probe, reset_peak, resident_mib, sample_calls


def test_versions_are_those_of_installed_packages_sorted() -> None:
    assert machine.package_versions(["pandas", "numpy", "numpy", "no-such-package"]) == {
        "numpy": np.__version__,
        "pandas": machine.package_version("pandas"),
    }


def test_the_machine_states_its_processor_memory_and_cpus() -> None:
    assert machine.n_cpus() >= 1
    assert machine.memory_gib() > 0
    assert machine.cpu_name()


def test_a_machine_without_nvidia_smi_has_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpu_name.__wrapped__() is None


def test_the_first_gpu_is_named_with_its_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA Thing, 550.1'\necho 'Another, 550.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert machine.gpu_name.__wrapped__() == "NVIDIA Thing, 550.1"


def test_commit_and_dirty_tree_are_those_of_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    package = tmp_path / "ser_bench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr("ser_bench.__file__", str(package / "__init__.py"))
    assert machine.commit.__wrapped__() == (None, None)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert machine.commit.__wrapped__() == (git("rev-parse", "HEAD"), False)
    (package / "__init__.py").write_text("changed = 1\n")
    assert machine.commit.__wrapped__() == (git("rev-parse", "HEAD"), True)


def test_the_source_digest_changes_with_the_source_and_the_order_of_modules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = machine.source_digest.__wrapped__
    for name, text in (("__init__.py", ""), ("a.py", "1"), ("b.py", "2")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("ser_bench.__file__", str(tmp_path / "__init__.py"))
    before = digest("a.py", "b.py")
    assert before == digest("a.py", "b.py") and before != digest("b.py", "a.py")
    (tmp_path / "a.py").write_text("3")
    assert digest("a.py", "b.py") != before


def test_phases_add_up_and_count_what_fails() -> None:
    phases = Phases()
    for _ in range(2):
        with pytest.raises(KeyError), phases.measure("fit"):
            time.sleep(0.02)
            raise KeyError
    with phases.measure("predict"):
        pass
    assert 0.04 <= phases.seconds["fit"] < 1
    assert 0 <= phases.seconds["predict"] < 0.02


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset the peak")
def test_peak_memory_sees_what_was_freed_and_forgets_it_when_reset() -> None:
    reset_peak()
    before = peak_mib()
    array = np.ones(40 * 2**17)  # 40 MiB
    del array
    after = peak_mib()
    assert before is not None and after is not None and after - before > 30
    reset_peak()
    again, resident = peak_mib(), resident_mib()
    assert again is not None and resident is not None
    assert again < after - 30 and abs(again - resident) < 10


def test_the_probe_is_the_same_work_every_time() -> None:
    assert probe() == probe() > 0
    assert 0.2 < min(milliseconds(probe) for _ in range(5)) < 50


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="only Linux tells who waits for a core")
def test_time_without_a_core_is_not_counted() -> None:
    def work() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    core = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    line = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        start = time.perf_counter()
        took_ms = milliseconds(work)
        wall_ms = (time.perf_counter() - start) * 1000
    finally:
        os.sched_setaffinity(0, before)
        for other in others:
            other.kill()
            other.communicate()
    assert 195 < took_ms < 260 and wall_ms > 1.4 * took_ms


def test_calls_go_round_in_order_each_with_a_probe_until_the_budget_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "n_interruptions", lambda: 0)
    asked: list[int] = []

    def call(item: int) -> list[float]:
        asked.append(item)
        return [milliseconds(lambda: time.sleep(0.005)), 1.0]

    found = sample_calls(call, 3, budget_s=0.1)
    n_rounds = len(found.samples_ms) // 3
    assert asked == [0] * timing.WARM_UP + [0, 1, 2] * n_rounds and 2 <= n_rounds <= 6
    assert len(found.probe_ms) == len(found.samples_ms) and 0 <= found.waited <= 1
    assert len(sample_calls(call, 3, budget_s=0.0).samples_ms) == 3
    monkeypatch.setattr(timing, "MOST_ROUNDS", 4)
    assert len(sample_calls(call, 2, budget_s=60).samples_ms) == 8


def test_an_interrupted_call_is_made_again_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    interruptions = iter([0, 1, 1, 2, 2, 2])
    monkeypatch.setattr(timing, "n_interruptions", lambda: next(interruptions))
    assert timing.uninterrupted(iter("abc").__next__) == "c"
    count = itertools.count()
    monkeypatch.setattr(timing, "n_interruptions", lambda: next(count))
    assert timing.uninterrupted(iter(range(100)).__next__) == timing.PATIENCE - 1


def test_energy_is_added_up_over_packages_and_round_a_counters_end(tmp_path: Path) -> None:
    def write(zone: str, used: int) -> None:
        (tmp_path / zone).mkdir(exist_ok=True)
        (tmp_path / zone / "energy_uj").write_text(f"{used}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("10000000\n")

    zones = ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0")
    for zone, used in zip(zones, (1_000_000, 9_000_000, 0), strict=True):
        write(zone, used)
    with EnergyMeter(tmp_path, every_s=0.01) as meter:
        for zone, used in zip(zones, (4_000_000, 1_500_000, 7_000_000), strict=True):
            write(zone, used)
    assert meter.joules == pytest.approx(3 + 2.5)
    with EnergyMeter(tmp_path / "nothing") as none:
        pass
    assert none.joules is None


def test_a_plugins_digest_covers_its_helpers_however_they_are_imported(tmp_path, monkeypatch):
    package = tmp_path / "closure_plugin"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text("from . import helper\nfrom .deep.inner import x\n")
    (package / "helper.py").write_text("A = 1\n")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "inner.py").write_text("def f():\n    import closure_plugin.late\nx = 1\n")
    (package / "late.py").write_text("B = 1\n")
    (package / "unrelated.py").write_text("C = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = machine.module_digest.__wrapped__
    seen = [digest("closure_plugin.model")]
    for name in ("helper.py", "late.py", "model.py", "deep/inner.py"):
        (package / name).write_text((package / name).read_text() + "# changed\n")
        seen.append(digest("closure_plugin.model"))
    assert len(set(seen)) == 5
    (package / "unrelated.py").write_text("C = 2\n")
    assert digest("closure_plugin.model") == seen[-1]
