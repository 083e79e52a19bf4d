"""Comparing times: slow-downs are found, slower machines are not slow-downs, and what nobody measured is no pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from ser_bench.latency_compare import METRICS, LatencyVerdict, compare_latency
from ser_bench.records import Latency, Timing

N_UTTERANCES = 20


def timing(seed: int, *, slower: float = 1.0, machine: float = 1.0, rounds: int = 20, **changes: Any) -> Timing:
    """Made-up calls of 2 to 5 ms: noise that only adds, stray waits, and a drift that hits the probe a little less."""
    state = np.random.RandomState(seed)
    n = rounds * N_UTTERANCES
    drift = machine * np.exp(0.05 * state.randn() + 0.1 * np.cumsum(state.randn(n)) / np.sqrt(n))
    usual = np.tile(np.linspace(2, 5, N_UTTERANCES), rounds) * slower

    def noisy(milliseconds: Any) -> np.ndarray:
        waits = 4.0 * (state.rand(n) < 0.05)
        return np.asarray(milliseconds * np.exp(0.12 * np.abs(state.randn(n))) + waits)

    samples, probes = noisy(usual * drift**1.1), noisy(drift)
    latency = Latency(
        n=n,
        n_utterances=N_UTTERANCES,
        p50_ms=float(np.median(samples)),
        p95_ms=float(np.percentile(samples, 95)),
        decode_ms=0.3,
        features_ms=2.0,
        predict_ms=0.5,
        audio_s=30.0,
        samples_ms=tuple(samples.tolist()),
        probe_ms=tuple(probes.tolist()),
    )
    made = Timing(
        fit_s=2.0 * slower * machine,
        predict_s=0.1 * slower * machine,
        peak_mib=None,
        threads=1,
        cell="fold 1, seed 0",
        latency=latency,
        rtf=latency.work_s / 30.0,
    )
    return replace(made, **changes)


def verdict(base: Timing, head: Timing, *, metric: str = "latency_ms_p50", margin: float = 0.05) -> LatencyVerdict:
    return compare_latency(base, head, metric=metric, margin=margin)


def rates(n: int, **of_head: Any) -> Counter[str]:
    return Counter(verdict(timing(2 * k), timing(2 * k + 1, **of_head)).verdict for k in range(n))


def test_equal_models_hardly_ever_fail_and_15_percent_nearly_always_does():
    assert rates(100)["worse"] == 0
    assert rates(100, slower=1.15)["worse"] >= 95
    assert rates(40, slower=1.15, machine=1.4)["worse"] >= 30


@pytest.mark.parametrize("metric", METRICS)
def test_a_slower_machine_is_no_slower_model(metric: str):
    found = verdict(timing(0), timing(1, machine=1.6), metric=metric)
    assert found.head is not None and found.base is not None and found.head / found.base > 1.3
    assert found.ratio == pytest.approx(1, abs=0.12)
    assert found.verdict != "worse"


@pytest.mark.parametrize("metric", METRICS)
def test_twice_the_time_is_worse_by_any_metric_and_half_of_it_ok(metric: str):
    slower, faster = (verdict(timing(0), timing(1, slower=s), metric=metric, margin=0.1) for s in (2.0, 0.5))
    assert (slower.verdict, faster.verdict) == ("worse", "ok")
    assert slower.low is not None and slower.ratio is not None and slower.high is not None
    assert slower.low < slower.ratio < slower.high and slower.ratio == pytest.approx(2, abs=0.25)
    assert slower.why.startswith("slower by at least") and faster.why.startswith("faster by at least")


def test_few_rounds_are_inconclusive_rather_than_wrong():
    for rounds in ((1, 1), (2, 7)):
        base, head = ([timing(k + 500 * at, rounds=n) for k in range(60)] for at, n in enumerate(rounds))
        found = Counter(verdict(one, other).verdict for one, other in zip(base, head, strict=True))
        assert found["worse"] == 0 and found["inconclusive"] > 20
    one = verdict(base[0], timing(1, rounds=1, slower=1.1), metric="latency_ms_p95")
    assert (one.verdict, one.why) == ("inconclusive", "too few calls to say how sure it is")


def test_the_noise_floor_grows_with_what_the_probe_saw():
    calm, moved = (verdict(timing(0), timing(1, machine=machine)).noise_floor for machine in (1.0, 2.0))
    assert calm is not None and moved is not None
    assert 0.01 <= calm < 0.03 < moved < 0.12


def test_calls_by_turns_are_compared_call_by_call():
    base, head = timing(0), timing(0, slower=1.08)
    assert base.latency and head.latency
    wild = np.exp(0.5 * np.sin(np.arange(400) / 30))
    both = [
        replace(one, latency=replace(one.latency, samples_ms=tuple(np.array(one.latency.samples_ms) * wild)))
        for one in (base, replace(head, latency=replace(head.latency, probe_ms=base.latency.probe_ms)))
    ]
    assert verdict(*both).verdict == "worse"
    apart = replace(both[1], latency=replace(both[1].latency, probe_ms=tuple(p + 1e-9 for p in base.latency.probe_ms)))
    assert verdict(both[0], apart).verdict == "inconclusive"


def test_what_nobody_measured_is_no_pass():
    whole = timing(0)
    assert whole.latency
    for latency, why in (
        (None, "the head has no such figure"),
        (replace(whole.latency, probe_ms=()), "older ser-bench"),
        (replace(whole.latency, n_utterances=0), "whole rounds"),
        (replace(whole.latency, probe_ms=(0.0, *whole.latency.probe_ms[1:])), "took no time"),
        (replace(whole.latency, audio_s=31.0), "other utterances"),
    ):
        found = verdict(whole, replace(whole, latency=latency))
        assert (found.verdict, found.ratio) == ("not measured", None)
        assert why in found.why
    assert verdict(replace(whole, latency=None), replace(whole, latency=None), metric="fit_s").verdict == "not measured"
    with pytest.raises(ValueError, match="fit_seconds"):
        verdict(whole, whole, metric="fit_seconds")
