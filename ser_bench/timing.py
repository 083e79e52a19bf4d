"""Clocks and meters: phases, latency samples with their probe, peak memory, energy. Standard library and numpy only."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")

WARM_UP = 3
"""Calls before the first latency sample: first calls load code and fill caches."""

MOST_ROUNDS = 20
"""Rounds over the timed utterances, where the time for them suffices."""

PATIENCE = 8
"""How often a call is made that the system interrupts, before one is taken as it is."""

HURRY = 5
"""How many times its budget a measurement may take by the clock on the wall, where others hold the core."""

_READ_BYTES = 1 << 15
_WAITS = Path("/proc/thread-self/schedstat")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Phases:
    """Seconds by phase, added up.

    Attributes:
        seconds: Phase -> seconds of wall-clock time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time that the block takes to ``phase``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


@cache
def _probe_inputs() -> tuple[np.ndarray, list[tuple[int, np.ndarray, np.ndarray]]]:
    state = np.random.RandomState(0)
    signal = state.standard_normal(1 << 14).astype(np.float32)
    shapes = [
        (size // 4, np.hanning(size).astype(np.float32), state.random_sample((64, size // 2 + 1)).astype(np.float32))
        for size in (1024, 2048)
    ]
    return signal, shapes


def probe() -> float:
    """Do a fixed piece of work, about a millisecond of it; return a number that hangs on all of it.

    It does what extracting features does, and slows down when that does: framing, Fourier transforms and matrix
    products on memory that is new each time, and reads of 32 KiB through the system. Times of runs on one machine are
    compared by their ratio to it, so a change here makes them incomparable with all older ones.
    """
    signal, shapes = _probe_inputs()
    total = 0.0
    for hop, window, bank in shapes:
        padded = np.pad(signal, len(window) // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop] * window
        power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
        total += float((bank @ power.T).mean())
        with open("/dev/zero", "rb", buffering=0) as zeros:  # noqa: PTH123 - as cheap as a call of the system can be
            total += len(zeros.read(_READ_BYTES)) + len(zeros.read(_READ_BYTES))
    return total


def n_interruptions() -> int:
    """Return how often the system has given this process's core to another one so far; 0 where it does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def waited_s() -> float:
    """Return for how long this thread could have run and had no core, so far; 0 where the system does not tell."""
    try:
        with _WAITS.open("rb", buffering=0) as waits:
            return int(waits.read(64).split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long a call takes by the clock on the wall, without the time for which others had the core (Linux)."""
    waited = waited_s()
    start = time.perf_counter()
    call()
    took = time.perf_counter() - start
    return max(took - (waited_s() - waited), 1e-9) * 1000.0


def uninterrupted(call: Callable[[], T]) -> T:
    """Return what ``call`` returns; it is called again, a few times at most, where the system interrupted it.

    What follows an interruption finds the caches full of other things.
    """
    for _ in range(PATIENCE):
        before = n_interruptions()
        answer = call()
        if n_interruptions() == before:
            break
    return answer


def sample_calls(
    call: Callable[[int], list[float]], n_items: int, budget_s: float
) -> tuple[list[list[float]], list[float]]:
    """Return what ``call`` measures of items in turn, round by round, and the milliseconds of a probe after each call.

    All rounds are whole and of the same order: at least one, at most :data:`MOST_ROUNDS`; none is begun that would not
    end within the budget. What is there before the first call is kept from the garbage collector's eyes; it stays on
    for what the calls leave behind.

    Args:
        call: Takes the index of an item, returns milliseconds by part.
        n_items: Number of items.
        budget_s: Seconds that the rounds may take, those for which others had the core apart.

    Returns:
        One list of milliseconds per call, in the order of the calls, and as many milliseconds of the probe.
    """
    samples: list[list[float]] = []
    probes: list[float] = []
    for _ in range(WARM_UP):
        call(0)
        probe()
    gc.collect()
    gc.freeze()
    try:
        start = time.perf_counter()
        for number in range(1, MOST_ROUNDS + 1):
            for item in range(n_items):
                samples.append(uninterrupted(lambda item=item: call(item)))  # type: ignore[misc]
                probes.append(uninterrupted(lambda: milliseconds(probe)))
            own_s = (sum(map(sum, samples)) + sum(probes)) / 1000.0
            if max(own_s, (time.perf_counter() - start) / HURRY) * (number + 1) / number > budget_s:
                break
    finally:
        gc.unfreeze()
    return samples, probes


def sample_batches(call: Callable[[], object], budget_s: float, most: int = MOST_ROUNDS) -> list[float]:
    """Return the milliseconds of calls, after one that does not count: at least 3, then until the budget is spent."""
    call()
    found: list[float] = []
    start = time.perf_counter()
    while len(found) < 3 or (len(found) < most and time.perf_counter() - start < budget_s):
        found.append(uninterrupted(lambda: milliseconds(call)))
    return found


class EnergyMeter:
    """What the processors' own meters count while the block runs (RAPL), whoever used it.

    Attributes:
        joules: The sum over the packages; None where no meter can be read.
    """

    def __init__(self, folder: Path = Path("/sys/class/powercap"), every_s: float = 20.0) -> None:
        self._zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._every_s = every_s
        self._end = threading.Event()
        self.joules: float | None = None

    def __enter__(self) -> EnergyMeter:
        self._last = self._read()
        self._total_uj = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._last:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._last:
            self._end.set()
            self._thread.join()
            self._add()
            self.joules = self._total_uj / 1e6

    def _watch(self) -> None:
        while not self._end.wait(self._every_s):  # a counter goes round within minutes
            self._add()

    def _add(self) -> None:
        now = self._read()
        for (before, top), (after, _) in zip(self._last, now, strict=False):
            self._total_uj += after - before if after >= before else after + top - before
        self._last = now or self._last

    def _read(self) -> list[tuple[int, int]]:
        """Return (microjoules, where the counter starts anew) by package; empty where one can't be read."""
        try:
            return [
                (int((zone / "energy_uj").read_text()), int((zone / "max_energy_range_uj").read_text()))
                for zone in self._zones
            ]
        except (OSError, ValueError):
            return []


def reset_peak() -> None:
    """Start the peak memory anew, where the system allows it (Linux); that of a GPU, too."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return


def peak_mib() -> float | None:
    """Return the peak resident memory of this process in MiB since :func:`reset_peak`; None where unknown.

    ``VmHWM`` and not ``ru_maxrss``, which a child inherits from the process that started it.
    """
    return _status_mib("VmHWM:")


def peak_gpu_mib(device: str) -> float | None:
    """Return the most memory that PyTorch took of ``device`` since :func:`reset_peak`, in MiB; None for another one."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_allocated()) / 2**20


def resident_mib() -> float | None:
    """Return the resident memory of this process in MiB; None where the system does not tell."""
    return _status_mib("VmRSS:")


def _status_mib(field: str) -> float | None:
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    if field == "VmHWM:" and sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return None
