"""How often the gate catches a planted drop of UAR, and how often it fails models that are equally good.

``python benchmarks/gate/accuracy_rates.py`` prints the tables of README.md (a minute or two). Speakers differ in how
well they are recognised, and in how much a change hurts them. ``churn`` is the share of utterances that one of the two
models has right and the other wrong for no reason but training again, as many either way.
"""

from __future__ import annotations

import sys

import numpy as np

from ser_bench.gate import judge
from ser_bench.paired import compare_rows
from ser_bench.predictions import Answers

SPEAKERS, PER_SPEAKER, CLASSES = 24, 60, 8
LEVEL, SPEAKER_SD = 0.5, 0.10
DROP = 0.03
CHURNS = (0.02, 0.05, 0.10, 0.20)
EFFECT_SD = 0.03
MARGINS = (0.0, 0.01, 0.02)
CONFIDENCE = 0.95
N = 200


def answers(predicted: np.ndarray, truth: np.ndarray) -> Answers:
    """Return made-up answers, shape (n,), of :data:`SPEAKERS` speakers."""
    n = len(truth)
    return Answers(
        utterance_ids=np.arange(n),
        speakers=np.arange(n) // PER_SPEAKER,
        speaker_names=tuple(f"toy:{speaker:02d}" for speaker in range(SPEAKERS)),
        genders=np.full(n, None, dtype=object),
        seeds=np.zeros(1, dtype=np.int64),
        truth=truth,
        predicted=predicted[None],
        scores=None,
        probabilities=False,
    )


def two_models(random: np.random.RandomState, drop: float, churn: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which utterances base and head have right; in expectation head has ``drop`` fewer of all.

    A speaker's own drop is normal about ``drop``; where it is negative the head is better there.
    """
    level = np.clip(LEVEL + SPEAKER_SD * random.randn(SPEAKERS), 0.25, 0.75).repeat(PER_SPEAKER)
    base = random.rand(len(level)) < level
    own = (drop + EFFECT_SD * random.randn(SPEAKERS)).repeat(PER_SPEAKER)
    lost = (churn / 2 + np.maximum(own, 0)) / level
    won = (churn / 2 + np.maximum(-own, 0)) / (1 - level)
    return base, np.where(base, random.rand(len(level)) >= lost, random.rand(len(level)) < won)


def verdicts(random: np.random.RandomState, drop: float, churn: float) -> list[str]:
    """Return the verdict at each of :data:`MARGINS` of one simulated comparison."""
    truth = np.arange(SPEAKERS * PER_SPEAKER) % CLASSES
    rights = two_models(random, drop, churn)
    base, head = (answers(np.where(right, truth, (truth + 1) % CLASSES), truth) for right in rights)
    found = compare_rows(base, head, n_classes=CLASSES, primary="uar", level=2 * CONFIDENCE - 1)
    assert found.low is not None and found.high is not None
    return [judge("uar", found.low, found.high, margin) for margin in MARGINS]


def rates(drop: float, churn: float, n: int) -> list[float]:
    """Return the share of ``n`` comparisons that fail, at each of :data:`MARGINS`."""
    seed = [1440, round(1000 * drop), round(1000 * churn)]
    random = np.random.RandomState(seed)
    failed = [[verdict == "worse" for verdict in verdicts(random, drop, churn)] for _ in range(n)]
    return [float(share) for share in np.mean(failed, axis=0)]


def main(n: int) -> None:
    """Print both tables."""
    columns = " | ".join(f"uar:-{margin:.2f}" for margin in MARGINS)
    for title, drop in ((f"planted drop of {DROP:.2f}: caught", DROP), ("equal models: false alarms", 0.0)):
        print(f"| {title} | {columns} |\n|:---|{'---:|' * len(MARGINS)}")
        for churn in CHURNS:
            shares = " | ".join(f"{100 * share:.1f} %" for share in rates(drop, churn, n))
            print(f"| churn {100 * churn:.0f} % | {shares} |", flush=True)
        print()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N)
