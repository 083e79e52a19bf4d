"""How often the gate on latency errs: false alarms of a model compared with itself, and planted slow-downs caught.

``python benchmarks/gate/latency_rates.py`` measures one saved model again and again, as the solo pass of a run does, in
several processes that take turns, and compares measurements of different processes, drawn at random from the whole
time that it takes: so base and head lie seconds to minutes apart. The slow ones work on, after each answer, for a
share of the time that it took. Exit 1 where the rates are worse than promised.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ser_bench.cli.output import workshop
from ser_bench.latency_compare import compare_latency
from ser_bench.live_compare import saved_model, timed_sounds
from ser_bench.pool import PINNED
from ser_bench.predicting import ask, load_model
from ser_bench.records import Latency, Timing, read_records
from ser_bench.timing import milliseconds, sample_calls
from ser_bench.worker import LATENCY_BUDGET_S

METRIC, MARGIN, SLOW = "latency_ms_p50", 0.05, 0.15
FALSE_ALARMS, CAUGHT = 1 / 200, 95 / 100
PROCESSES = 5


def serve(folder: str, sounds: list[str]) -> None:
    """Measure for every line of stdin: a share by which to be slower."""
    model = load_model(Path(folder))
    for line in sys.stdin:
        slower = float(line)

        def work(sound: str, slower: float = slower) -> None:
            start = time.thread_time()
            answer = ask(model, sound)
            end = start + (1 + slower) * (time.thread_time() - start)
            while time.thread_time() < end:
                pass
            assert answer.error is None, answer.error

        def call(at: int, work: Callable[[str], None] = work) -> list[float]:
            return [milliseconds(lambda: work(sounds[at]))]

        found = sample_calls(call, len(sounds), LATENCY_BUDGET_S)
        print(json.dumps([[ms for (ms,) in found.samples_ms], found.probe_ms, found.waited]), flush=True)


def prepared(folder: Path) -> tuple[str, list[str]]:
    """Run the demo with logreg; return the folder of a saved model and the sounds to ask it about."""
    words = ["run", "--suite", "demo", "--models", "logreg", "--keep-models", "--quiet", "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "ser_bench", *words], check=True, stdout=subprocess.DEVNULL)
    (run,) = (path.parent for path in folder.glob("*/records"))
    record = read_records(run)[0]
    with workshop(argparse.Namespace(jobs=1, store=None, quiet=True), logs=folder / "logs") as (shop, _):
        return str(saved_model(run, record)), timed_sounds(run, record, None, shop, folder)


def measured(model: str, sounds: list[str], shares: list[float]) -> list[Timing]:
    """Return one measurement per share, of the processes in turn."""
    command = [sys.executable, __file__, "--serve", model, *sounds]
    env = os.environ | dict.fromkeys(PINNED, "1")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=env, **pipes) for _ in range(PROCESSES)]
    found = []
    try:
        for number, share in enumerate(shares):
            process = processes[number % PROCESSES]
            process.stdin.write(f"{share}\n")
            process.stdin.flush()
            found.append(timing(*json.loads(process.stdout.readline()), n_utterances=len(sounds)))
            print(f"\r{number + 1} of {len(shares)} measurements", end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)
        for process in processes:
            process.kill()
            process.wait()
    return found


def timing(samples_ms: list[float], probe_ms: list[float], waited: float, n_utterances: int) -> Timing:
    """Return a timing as a record has it."""
    latency = Latency(
        n=len(samples_ms),
        n_utterances=n_utterances,
        p50_ms=float(np.median(samples_ms)),
        p95_ms=float(np.percentile(samples_ms, 95)),
        decode_ms=0.0,
        features_ms=0.0,
        predict_ms=0.0,
        audio_s=1.0,
        samples_ms=tuple(samples_ms),
        probe_ms=tuple(probe_ms),
        waited=waited,
    )
    return Timing(fit_s=1.0, predict_s=1.0, peak_mib=None, threads=1, cell="", latency=latency)


def pairs(bases: list[int], heads: list[int], n: int, random: np.random.RandomState) -> list[tuple[int, int]]:
    """Return ``n`` different pairs of measurements by different processes."""
    possible = sorted({(min(b, h), max(b, h)) if bases is heads else (b, h) for b in bases for h in heads})
    apart = [pair for pair in possible if (pair[0] - pair[1]) % PROCESSES]
    drawn = [apart[at] for at in random.permutation(len(apart))[:n]]
    return [pair if random.rand() < 0.5 or bases is not heads else pair[::-1] for pair in drawn]


def report(timings: list[Timing], slow: list[int], n_same: int, n_slow: int) -> bool:
    """Print the rates; return whether they are as promised."""
    plain = [at for at in range(len(timings)) if at not in set(slow)]
    random = np.random.RandomState(0)
    good = True
    for what, drawn, most in (
        ("itself", pairs(plain, plain, n_same, random), True),
        (f"{100 * SLOW:g} % slower", pairs(plain, slow, n_slow, random), False),
    ):
        found = [compare_latency(timings[b], timings[h], metric=METRIC, margin=MARGIN) for b, h in drawn]
        verdicts = Counter(one.verdict for one in found)
        ratios = np.log([one.ratio for one in found])
        told = ", ".join(f"{name} {verdicts[name]}" for name in ("ok", "inconclusive", "worse"))
        spread = f"ratio {np.exp(np.median(ratios)):.3f}, sd {100 * ratios.std():.1f} %"
        width = np.median([np.log(one.high / one.low) / 2 for one in found])
        print(f"compared with {what}: {told} of {len(found)}; {spread}, half the interval {100 * width:.1f} %")
        share = verdicts["worse"] / max(len(found), 1)
        good &= share <= FALSE_ALARMS if most else share >= CAUGHT
    raw = np.log([timings[at].latency.p50_ms for at in plain])
    rounds = np.median([one.latency.n / one.latency.n_utterances for one in timings])
    waited = 100 * np.mean([one.latency.waited for one in timings])
    print(
        f"p50 without the probe: {np.exp(np.median(raw)):.2f} ms, sd {100 * raw.std():.1f} %; {rounds:g} rounds; "
        f"others held the core for {waited:.0f} % of the time"
    )
    return bool(good)


def main() -> int:
    """Measure, compare, and say whether the rates are as promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--same", type=int, default=200, metavar="N", help="comparisons with itself (default: 200)")
    parser.add_argument("--slow", type=int, default=100, metavar="N", help="with a planted slow-down (default: 100)")
    parser.add_argument("--keep", metavar="FILE", help="keep the measurements (.npz)")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], args.serve[1:])
        return 0
    start = time.perf_counter()
    n_plain = max(args.same, 2 * args.slow) * 3 // 4  # each is drawn for a few comparisons
    shares = [0.0] * n_plain + [SLOW] * args.slow
    shares = [shares[at] for at in np.random.RandomState(0).permutation(len(shares))]
    with tempfile.TemporaryDirectory() as folder:
        timings = measured(*prepared(Path(folder)), shares)
    if args.keep:
        arrays = {f"m{at}": [one.latency.samples_ms, one.latency.probe_ms] for at, one in enumerate(timings)}
        np.savez(args.keep, shares=shares, waited=[one.latency.waited for one in timings], **arrays)
    good = report(timings, [at for at, share in enumerate(shares) if share], args.same, args.slow)
    print(f"{len(timings)} measurements in {time.perf_counter() - start:.0f} s: {'as' if good else 'not as'} promised")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
