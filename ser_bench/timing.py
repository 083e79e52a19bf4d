"""Clocks and meters: phases, latency samples with their probe, peak memory, energy. Standard library and numpy only."""

from __future__ import annotations

import gc
import inspect
import json
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

WARM_UP = 3
"""Calls before the first latency sample: first calls load code and fill caches."""

MOST_ROUNDS = 40
"""Rounds over the timed utterances, where the time for them suffices."""

PATIENCE = 8
"""How often a call is made that the system interrupts, before one is taken as it is."""

HURRY = 5
"""How many times its budget a measurement may take by the clock on the wall, where others hold the core."""

_SENTENCE = "the quick brown fox jumps over the lazy dog " * 3
_RECORD = {"a": [1.5, 2, {"b": "c"}] * 20}
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


@dataclass(frozen=True, slots=True)
class _ProbeInputs:
    signal: NDArray[np.float32]
    shapes: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    wide: NDArray[np.float64]
    places: NDArray[np.int64]


@cache
def _probe_inputs() -> _ProbeInputs:
    state = np.random.RandomState(0)
    return _ProbeInputs(
        signal=state.standard_normal(1 << 14).astype(np.float32),
        shapes=tuple(
            (np.hanning(size).astype(np.float32), state.random_sample((64, size // 2 + 1)).astype(np.float32))
            for size in (1024, 2048)
        ),
        wide=state.standard_normal(1 << 19),
        places=state.permutation(1 << 19)[:20000],
    )


def probe() -> float:
    """Do a fixed piece of work, about two milliseconds of it; return a number that hangs on all of it.

    It does what decoding, extracting features and asking a model do, in about the same shares, and so slows down when
    these do: Fourier transforms and matrix products on memory that is new each time, scattered reads of 4 MiB, library
    code in Python, and files through the system. Times of runs on one machine are compared by their ratio to it, so a
    change here makes them incomparable with all older ones.
    """
    inputs = _probe_inputs()
    total = float(inputs.wide[inputs.places].sum())
    for window, bank in inputs.shapes:
        padded = np.pad(inputs.signal, len(window) // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[:: len(window) // 4] * window
        power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
        total += float((bank @ power.T).mean())
    for _ in range(4):
        total += len(textwrap.wrap(_SENTENCE, 30)) + len(inspect.signature(textwrap.wrap).parameters)
        total += len(json.loads(json.dumps(_RECORD))["a"])
    for _ in range(15):
        with open(np.__file__, "rb", buffering=0) as file:  # noqa: PTH123 - little else than the system's own calls
            total += len(file.read())
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What was measured of calls in turn.

    Attributes:
        samples_ms: Milliseconds by part, per call, in the order of the calls.
        probe_ms: As many milliseconds of the probe, one after each call.
        waited: The share of the time of measuring for which others held the core.
    """

    samples_ms: list[list[float]]
    probe_ms: list[float]
    waited: float


def sample_calls(call: Callable[[int], list[float]], n_items: int, budget_s: float) -> Samples:
    """Return what ``call`` measures of items in turn, round by round, with a probe after each call.

    All rounds are whole and of the same order: at least one, at most :data:`MOST_ROUNDS`; none is begun that would not
    end within the budget. What is there before the first call is kept from the garbage collector's eyes; it stays on
    for what the calls leave behind.

    Args:
        call: Takes the index of an item, returns milliseconds by part.
        n_items: Number of items.
        budget_s: Seconds that the rounds may take, those for which others had the core apart.
    """
    samples: list[list[float]] = []
    probes: list[float] = []
    for _ in range(WARM_UP):
        call(0)
        probe()
    gc.collect()
    gc.freeze()
    try:
        start, waited = time.perf_counter(), waited_s()
        for number in range(1, MOST_ROUNDS + 1):
            for item in range(n_items):
                samples.append(uninterrupted(lambda item=item: call(item)))  # type: ignore[misc]
                probes.append(uninterrupted(lambda: milliseconds(probe)))
            own_s = (sum(map(sum, samples)) + sum(probes)) / 1000.0
            if max(own_s, (time.perf_counter() - start) / HURRY) * (number + 1) / number > budget_s:
                break
        share = (waited_s() - waited) / (time.perf_counter() - start)
    finally:
        gc.unfreeze()
    return Samples(samples_ms=samples, probe_ms=probes, waited=share)


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
