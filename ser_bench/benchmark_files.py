"""pytest-benchmark's JSON in and out: two of its files compared by the gate, and a run's latencies as such a file.

The format is that of ``pytest --benchmark-json``: ``machine_info``, ``commit_info``, ``benchmarks`` with ``fullname``
and ``stats`` in seconds, whose ``data`` are the rounds. Nothing in it tells how fast the machine was at the time, so
bounds are those of the rounds, and a drift of the machine between the two files is not in them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ser_bench import __version__, gate
from ser_bench.differing import Differing
from ser_bench.errors import DataError, UsageError, did_you_mean
from ser_bench.gate import Check, Comparison, Margin
from ser_bench.records import RunRecord
from ser_bench.store import write_atomically

FIELDS = ("median", "mean", "min", "max", "stddev", "iqr", "q1", "q3", "total")
"""What can be compared, in seconds."""

_BOUNDED = ("median", "mean")
_LEAST_ROUNDS = 5
_N_DRAWS = 10_000
_SEED = 20150815


class _Stats(msgspec.Struct, frozen=True):
    median: float
    mean: float
    min: float
    max: float
    stddev: float
    iqr: float = 0.0
    q1: float = 0.0
    q3: float = 0.0
    total: float = 0.0
    data: tuple[float, ...] = ()


class _Benchmark(msgspec.Struct, frozen=True):
    fullname: str
    stats: _Stats


class BenchmarkFile(msgspec.Struct, frozen=True):
    """What of a file of pytest-benchmark is compared; it holds more, and so may later versions of it."""

    machine_info: dict[str, Any]
    benchmarks: tuple[_Benchmark, ...]
    commit_info: dict[str, Any] = {}


def is_benchmark_file(path: Path) -> bool:
    """Return whether a path is a JSON file of pytest-benchmark's form, by its keys."""
    if not path.is_file():
        return False
    try:
        raw = msgspec.json.decode(path.read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(raw, dict) and {"benchmarks", "machine_info"} <= raw.keys()


def read_benchmarks(path: Path) -> BenchmarkFile:
    """Return a file of pytest-benchmark.

    Raises:
        DataError: If it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=BenchmarkFile)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: no benchmarks ({error})", hint="pytest --benchmark-json FILE") from None


def compare_benchmarks(
    base: Path,
    head: Path,
    margins: Sequence[Margin] = (),
    *,
    confidence: float = gate.DEFAULT_CONFIDENCE,
    strict: bool = False,
    names: Sequence[str] = (),
) -> Comparison:
    """Return every check of one file of pytest-benchmark against another, by ``fullname``.

    Args:
        base: What it is held against.
        head: What is judged.
        margins: Of :data:`FIELDS`; none: the medians are shown, nothing fails.
        confidence: Of each one-sided bound.
        strict: Whether ``inconclusive`` fails too.
        names: Benchmarks to compare; none: all.

    Raises:
        DataError: If a file is none of pytest-benchmark.
        UsageError: If a name is neither's, or ``strict`` stands without margins.
    """
    gate.check_confidence(confidence)
    files = [read_benchmarks(path) for path in (base, head)]
    ours, theirs = ({one.fullname: one.stats for one in file.benchmarks} for file in files)
    for name in names:
        if name not in ours and name not in theirs:
            hint = "--row FULLNAME, as the files have it"
            raise UsageError(f"--row {name}: no such benchmark{did_you_mean(name, {*ours, *theirs})}", hint=hint)
    here, there = (_machine(file.machine_info) for file in files)
    apart = [f"{what} {here[what]} and {there.get(what)}" for what in here if here[what] != there.get(what)]
    checks = []
    for name in (name for name in ours if not names or name in names):
        for margin in margins or (Margin(metric="median", relative=True),):
            blank = Check(row=name, metric=margin.metric, margin=margin.text, verdict="missing", why="", relative=True)
            checks.append(_check(blank, margin, ours[name], theirs.get(name), apart, confidence))
    return gate.finish(
        base.name,
        head.name,
        checks,
        margins=margins,
        confidence=confidence,
        strict=strict,
        unheld=[name for name in names if name not in ours],
        only_in_head=[name for name in theirs if name not in ours and (not names or name in names)],
        differing=_differing(files[0], files[1]),
    )


def benchmarks_of(rows: Sequence[RunRecord]) -> bytes:
    """Return the latencies of a run as a file of pytest-benchmark: one benchmark per row, a round per utterance.

    Raises:
        DataError: If no row has a latency.
    """
    timed = [record for record in rows if record.timing and record.timing.latency and record.timing.latency.samples_ms]
    if not timed:
        raise DataError("no row has a latency", hint="ser-bench run --suite demo --models logreg")
    at, code = timed[0].environment, timed[0].code
    file = {
        "machine_info": {
            "node": "",
            "machine": at.platform,
            "python_version": at.python,
            "cpu": {"brand_raw": at.cpu, "count": at.n_cpus},
        },
        "commit_info": {"id": code.commit or "unversioned", "time": None, "dirty": bool(code.dirty)},
        "benchmarks": [_benchmark(record) for record in timed],
        "datetime": timed[0].created,
        "version": f"ser-bench {__version__}",
    }
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def write_benchmarks(path: Path, rows: Sequence[RunRecord]) -> None:
    """Write :func:`benchmarks_of` a run's records."""
    write_atomically(path, benchmarks_of(rows))


def summary(data: Sequence[float]) -> dict[str, Any]:
    """Return pytest-benchmark's statistics of rounds in seconds; quartiles are the medians of the halves.

    Args:
        data: At least one round.
    """
    rounds, ordered = len(data), sorted(data)
    q1, q3 = _quartiles(ordered)
    iqr, mean = q3 - q1, statistics.mean(data)
    stddev = statistics.stdev(data) if rounds > 1 else 0.0
    inside = [one for one in ordered if q1 - 1.5 * iqr <= one <= q3 + 1.5 * iqr]
    far = sum(not mean - stddev <= one <= mean + stddev for one in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": stddev,
        "rounds": rounds,
        "median": statistics.median(data),
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": rounds - len(inside),
        "stddev_outliers": far,
        "outliers": f"{far};{rounds - len(inside)}",
        "ld15iqr": inside[0],
        "hd15iqr": inside[-1],
        "ops": rounds / sum(data) if sum(data) else 0.0,
        "total": sum(data),
        "data": list(data),
        "iterations": 1,
    }


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the quartiles as pytest-benchmark has them: of an odd number, weighted means of two neighbours."""
    rounds = len(ordered)
    if rounds == 1:
        return ordered[0], ordered[0]
    if rounds % 2 == 0:
        return statistics.median(ordered[: rounds // 2]), statistics.median(ordered[rounds // 2 :])
    n, q = divmod(rounds, 4)
    if q == 1:
        low, high = ordered[n - 1 : n + 1], ordered[3 * n : 3 * n + 2]
        return 0.25 * low[0] + 0.75 * low[1], 0.75 * high[0] + 0.25 * high[1]
    low, high = ordered[n : n + 2], ordered[3 * n + 1 : 3 * n + 3]
    return 0.75 * low[0] + 0.25 * low[1], 0.25 * high[0] + 0.75 * high[1]


def _benchmark(record: RunRecord) -> dict[str, Any]:
    assert record.timing is not None and record.timing.latency is not None
    name = record.row if record.train is None else f"{record.row}[{record.train}-{record.test}]"
    return {
        "group": record.suite.name,
        "name": name,
        "fullname": f"{record.suite.name}::{name}",
        "params": None,
        "param": None,
        "extra_info": {"cell": record.timing.cell, "threads": record.timing.threads, "device": record.model.device},
        "options": {},
        "stats": summary([sample / 1000 for sample in record.timing.latency.samples_ms]),
    }


def _check(
    blank: Check, margin: Margin, ours: _Stats, theirs: _Stats | None, apart: Sequence[str], confidence: float
) -> Check:
    if theirs is None:
        return msgspec.structs.replace(blank, why="the head has no such benchmark")
    base, head = (float(getattr(stats, margin.metric)) for stats in (ours, theirs))
    blank = msgspec.structs.replace(blank, base=base, head=head)
    if apart:
        why = f"measured elsewhere: {'; '.join(apart)}"
        return msgspec.structs.replace(blank, verdict="not comparable", why=why, hint="a baseline of this machine")
    if not base > 0:
        return msgspec.structs.replace(blank, verdict="not measured", why=f"the base's {margin.metric} is {base:g}")
    more, share = head / base - 1, margin.amount if margin.relative else margin.amount / base
    bounds = _bounds(ours.data, theirs.data, margin.metric, confidence)
    if bounds is None:
        verdict, why = (
            "worse" if more > share + gate.ROUNDING else "ok",
            f"{100 * more:+.1f} %, of one figure on each side",
        )
        return msgspec.structs.replace(blank, difference=more, verdict=verdict, why=why)
    low, high = bounds
    return msgspec.structs.replace(
        blank,
        difference=more,
        low=low,
        high=high,
        verdict=gate.judge(margin.metric, low, high, share),
        why=f"between {100 * low:+.1f} % and {100 * high:+.1f} %, with {100 * confidence:g} % confidence on each side",
        method=f"bootstrap of {len(ours.data)} and {len(theirs.data)} rounds, {_N_DRAWS:,} draws",
    )


def _bounds(
    ours: Sequence[float], theirs: Sequence[float], metric: str, confidence: float
) -> tuple[float, float] | None:
    """Return one-sided bounds of head / base - 1, by drawing rounds; None where no bounds can be had of the metric."""
    if metric not in _BOUNDED or min(len(ours), len(theirs)) < _LEAST_ROUNDS:
        return None
    random = np.random.RandomState(_SEED)
    drawn = [np.asarray(data)[random.randint(len(data), size=(_N_DRAWS, len(data)))] for data in (ours, theirs)]
    base, head = (np.median(one, axis=1) if metric == "median" else one.mean(axis=1) for one in drawn)
    low, high = np.quantile(head / base - 1, [1 - confidence, confidence])
    return float(low), float(high)


def _machine(info: Mapping[str, Any]) -> dict[str, str]:
    """Return what has to be the same for times to be compared; the host's name where the CPU's is unknown."""
    cpu = info.get("cpu") if isinstance(info.get("cpu"), dict) else {}
    name = (cpu or {}).get("brand_raw") or info.get("processor")
    return {
        "CPU" if name else "host": str(name or info.get("node")),
        "CPUs": str((cpu or {}).get("count")),
        "machine": str(info.get("machine")),
    }


def _differing(base: BenchmarkFile, head: BenchmarkFile) -> list[Differing]:
    facts = [
        {
            "commit": str(file.commit_info.get("id")) + " and changes" * bool(file.commit_info.get("dirty")),
            "Python": str(file.machine_info.get("python_version")),
            **_machine(file.machine_info),
        }
        for file in (base, head)
    ]
    return [
        Differing(what=what, base=facts[0].get(what), head=facts[1].get(what))
        for what in {**facts[0], **facts[1]}
        if facts[0].get(what) != facts[1].get(what)
    ]
