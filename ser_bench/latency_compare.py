"""Two timings of the same work: how many times slower the second is, within which bounds, and whether that is worse.

Only timings of the same machine compare: the caller refuses those whose records name another CPU, number of CPUs,
device, number of threads, or version of Python or numpy, which the probe is made of.

Each round of calls, on the same utterances in the same order, gives one number per run: how far its calls lie from what
these utterances otherwise take, less how far the probe's calls between them lie, each a trimmed mean. What slows the
machine down for a while slows down both, and cancels out. The bounds are Student's t on these numbers, as they spread
within each run, and wider by the noise floor: what may lie between two runs of the same code, and what the probe can't
be trusted with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ser_bench.records import Latency, Timing

Verdict = Literal["ok", "worse", "inconclusive", "not measured"]
Logs = NDArray[np.float64]

METRICS = ("latency_ms_p50", "latency_ms_p95", "rtf", "fit_s", "predict_s")
"""What can be compared."""

FLOOR = 0.01
"""By how much two processes with the same code may differ for no reason but where their memory lies (natural log)."""

SENSITIVITY = 1.1
"""How much more the calls of a model slow down than the probe does, on a machine that others load (natural logs)."""

MISTRUST = 0.1
"""By how much that may be otherwise."""

CROWD = 0.15
"""By how much calls are slower, beyond what the probe sees, where others hold the core all the time (natural log)."""

ONCE = 0.05
"""The standard deviation of a time that was taken once (natural log)."""

_MOST_BATCHES = 8
"""Rounds are summed up in so many batches at most, since neighbours are alike."""

_FEWEST_BATCHES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyVerdict:
    """What came of a comparison; numbers are None where the verdict is ``not measured``.

    Attributes:
        metric: One of :data:`METRICS`.
        base: The base's figure as its board shows it, in the metric's own unit (ms, seconds, none).
        head: The head's.
        ratio: head / base, each divided by its own probe first; 1.15: 15 % slower.
        low: One-sided lower bound of ``ratio`` at the confidence.
        high: One-sided upper bound; with ``low`` a two-sided interval of 2 * confidence - 1.
        noise_floor: What ``ratio`` may be off by for reasons that are not the code's, as a share (0.02: 2 %); it is in
            the bounds already.
        verdict: ``worse`` if ``low`` is above 1 + margin, ``ok`` if ``high`` is not, else ``inconclusive``.
        why: The verdict in a sentence.
    """

    metric: str
    base: float | None
    head: float | None
    ratio: float | None
    low: float | None
    high: float | None
    noise_floor: float | None
    verdict: Verdict
    why: str


def compare_latency(
    base: Timing, head: Timing, *, metric: str, margin: float, confidence: float = 0.95
) -> LatencyVerdict:
    """Return whether ``head`` is slower than ``base`` by more than ``margin``.

    Two latencies with the same probes were measured by turns (:mod:`ser_bench.live_compare`): these are compared round
    by round.

    Args:
        base: The timing to hold against.
        head: The timing to judge; of the same cell (fold fingerprint, seed), on the same kind of machine.
        metric: One of :data:`METRICS`.
        margin: The share by which it may be slower, e.g. 0.15.
        confidence: Of each one-sided bound.

    Raises:
        ValueError: If ``metric`` is not one of :data:`METRICS`.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r}: one of {', '.join(METRICS)} expected")
    figures = _figure(base, metric), _figure(head, metric)
    runs = base.latency, head.latency
    why = _unmeasured(figures, runs)
    if why or not runs[0] or not runs[1] or not figures[0] or not figures[1]:
        none: dict[str, None] = dict.fromkeys(("ratio", "low", "high", "noise_floor"))
        return LatencyVerdict(
            metric=metric, base=figures[0], head=figures[1], verdict="not measured", why=why or "no figure", **none
        )
    if metric in ("fit_s", "predict_s"):
        probes = SENSITIVITY * (_level(runs[1]) - _level(runs[0]))
        found = _Found(math.log(figures[1] / figures[0]) - probes, ONCE * math.sqrt(2), math.inf)
    else:
        found = _of_calls(metric, runs[0], runs[1])
    floor = _noise_floor(runs[0], runs[1])
    away = _quantile(confidence, found.freedom) * math.hypot(found.error, floor)
    low, high = (math.exp(found.log_ratio + way * away) for way in (-1, 1))
    verdict: Verdict = "worse" if low > 1 + margin else "ok" if high <= 1 + margin else "inconclusive"
    return LatencyVerdict(
        metric=metric,
        base=figures[0],
        head=figures[1],
        ratio=math.exp(found.log_ratio),
        low=low,
        high=high,
        noise_floor=math.expm1(floor),
        verdict=verdict,
        why=_in_words(low, high, confidence),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """The logarithm of a ratio, its standard error, and the degrees of freedom that the error is known with."""

    log_ratio: float
    error: float
    freedom: float


def _figure(timing: Timing, metric: str) -> float | None:
    if metric.startswith("latency_"):
        of = {"latency_ms_p50": "p50_ms", "latency_ms_p95": "p95_ms"}[metric]
        return getattr(timing.latency, of) if timing.latency else None
    return getattr(timing, metric)


def _unmeasured(figures: tuple[float | None, float | None], runs: tuple[Latency | None, Latency | None]) -> str | None:
    for side, figure, run in zip(("base", "head"), figures, runs, strict=True):
        if not figure:
            return f"the {side} has no such figure"
        if run is None or not run.probe_ms:
            return (
                f"the {side} has no probe beside its times: measured by an older ser-bench, or no sound was looked at"
            )
        if len(run.samples_ms) != len(run.probe_ms) or not run.n_utterances or run.n % run.n_utterances:
            return f"the {side}'s calls are not whole rounds with a probe after each"
        if min(*run.samples_ms, *run.probe_ms) <= 0:
            return f"the {side} has calls that took no time"
    base, head = runs
    if base and head and (base.n_utterances, round(base.audio_s, 3)) != (head.n_utterances, round(head.audio_s, 3)):
        return "other utterances were timed"
    return None


def _of_calls(metric: str, base: Latency, head: Latency) -> _Found:
    """Compare calls: a number per batch and run, its mean, and Welch's t; or, measured by turns, t of differences."""
    calls = [_rounds(run.samples_ms, run.n_utterances) for run in (base, head)]
    probes = [_rounds(run.probe_ms, run.n_utterances) for run in (base, head)]
    levels = [
        np.median(call, axis=0) - SENSITIVITY * np.median(probe) for call, probe in zip(calls, probes, strict=True)
    ]
    usual = (levels[0] + levels[1]) / 2
    one, other = (_batches(metric, call, probe, usual) for call, probe in zip(calls, probes, strict=True))
    if base.probe_ms == head.probe_ms:
        differences = other - one
        n = len(differences)
        error = float(differences.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
        return _Found(float(differences.mean()), error, n - 1)
    variances = [float(found.var(ddof=1)) / len(found) if len(found) > 1 else math.inf for found in (one, other)]
    total = sum(variances)
    freedom = 1.0
    if 0 < total < math.inf:
        shares = (v**2 / (len(found) - 1) for v, found in zip(variances, (one, other), strict=True))
        freedom = total**2 / sum(shares)
    rounds = min(len(call) for call in calls)
    learnt = math.sqrt(2 * rounds / (2 * rounds - 1))  # what is usual was learnt from these same rounds
    return _Found(float(other.mean() - one.mean()), math.sqrt(total) * learnt, freedom)


def _rounds(milliseconds: tuple[float, ...], n_utterances: int) -> Logs:
    return np.log(milliseconds).reshape(-1, n_utterances)


def _batches(metric: str, calls: Logs, probes: Logs, usual: Logs) -> Logs:
    """Return how far the calls of each batch lie from the usual, less its probes (natural log).

    A batch is some rounds, or where these are few a part of one; the 95th percentile is one of whole rounds.

    Args:
        metric: What of the calls.
        calls: Shape (n_rounds, n_utterances).
        probes: Same shape.
        usual: What utterances take, relative to the probe, shape (n_utterances,).
    """
    n_rounds, n_utterances = calls.shape
    parts = 1 if metric == "latency_ms_p95" else min(-(-_FEWEST_BATCHES // n_rounds), n_utterances)
    found = []
    for call, probe in zip(calls, probes, strict=True):
        for at in np.array_split(np.arange(n_utterances), parts):
            level = SENSITIVITY * _typical(probe[at])
            if metric == "latency_ms_p95":
                value = float(np.quantile(call, 0.95))
            elif metric == "rtf":
                value = math.log(np.exp(call[at]).sum() / np.exp(usual[at]).sum())
            else:
                value = _typical(call[at] - usual[at])
            found.append(value - level)
    return np.array([np.mean(batch) for batch in np.array_split(found, min(len(found), _MOST_BATCHES))])


def _typical(values: Logs) -> float:
    """Return the mean from the 10th to the 70th percentile: others only ever add to a time, seldom take from it."""
    n = len(values)
    return float(np.sort(values)[int(0.1 * n) : max(1, int(0.7 * n))].mean())


def _noise_floor(base: Latency, head: Latency) -> float:
    """Return what the ratio may be off by, whatever the calls say (natural log).

    That hangs on how the probe moved, between the runs and from one half of each run to the other, and on how much
    others held the core; measured by turns, the machine moved both.
    """
    if base.probe_ms == head.probe_ms:
        return FLOOR
    moves = [_level(head) - _level(base)]
    for run in (base, head):
        half = len(run.probe_ms) // 2
        moves.append(float(np.log(np.median(run.probe_ms[half:]) / np.median(run.probe_ms[: half or 1]))))
    crowd = abs((head.waited or 0.0) - (base.waited or 0.0))
    return math.hypot(FLOOR, MISTRUST * math.hypot(*moves), CROWD * crowd)


def _level(run: Latency) -> float:
    return float(np.log(np.median(run.probe_ms)))


def _quantile(confidence: float, freedom: float) -> float:
    from scipy import stats

    return float(stats.norm.ppf(confidence) if math.isinf(freedom) else stats.t.ppf(confidence, freedom))


def _in_words(low: float, high: float, confidence: float) -> str:
    sure = f"with {100 * confidence:g} % confidence"
    if low > 1:
        return f"slower by at least {100 * (low - 1):.1f} %, {sure}"
    if high <= 1:
        return f"faster by at least {100 * (1 - high):.1f} %, {sure}"
    if math.isinf(high):
        return "too few calls to say how sure it is"
    return f"between {100 * (1 - low):.1f} % faster and {100 * (high - 1):.1f} % slower, {sure} on each side"
