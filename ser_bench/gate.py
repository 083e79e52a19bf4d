"""The vocabulary of the gate: margins, checks of one row and metric against its margin, and what fails.

A check is ``worse`` where the difference lies beyond its margin with the stated confidence, ``ok`` where it lies within
with that confidence, else ``inconclusive``. What could not be compared is never a pass.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from ser_bench.differing import Differing
from ser_bench.errors import UsageError, did_you_mean
from ser_bench.rating_metrics import BOUNDS

Verdict = Literal["ok", "worse", "inconclusive", "not comparable", "not measured", "missing"]

HIGHER_IS_BETTER = ("uar", "war", "macro_f1", "macro_precision", "ccc", "pearson")
"""Scores that a margin lets fall: ``uar:-0.02``."""

LOWER_IS_BETTER = ("rmse",)
"""Scores that a margin lets rise: ``rmse:+0.05``."""

SCORES = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)

DEFAULT_CONFIDENCE = 0.95

ROUNDING = 1e-9
"""What a difference may lie beyond its margin for no other reason than binary fractions."""

_MARGIN = re.compile(r"(\w+):([+-])(\d+(?:\.\d*)?|\.\d+)(%?)", re.ASCII)


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse a metric may get: ``amount`` in its own unit, or a share of the base's where ``relative``."""

    metric: str
    amount: float = 0.0
    relative: bool = False
    text: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One row and metric against its margin.

    ``difference`` is head - base, or head / base - 1 where ``relative``, with one-sided bounds ``low`` and ``high``,
    each at the confidence; null where there are none. ``margin`` is as it was typed, empty where none was. ``method``
    says how the bounds were made, ``why`` the verdict in a sentence, ``hint`` the next command.
    """

    row: str
    metric: str
    verdict: Verdict
    why: str
    base: float | None = None
    head: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative: bool = False
    margin: str = ""
    method: str = ""
    hint: str | None = None
    train: str | None = None
    test: str | None = None
    failed: bool = False


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What came of holding ``head`` against ``base``; ``passed`` says that no check failed."""

    base: str
    head: str
    confidence: float
    strict: bool
    passed: bool
    checks: tuple[Check, ...]
    only_in_head: tuple[str, ...] = ()
    differing: tuple[Differing, ...] = ()


def parse_margins(texts: Iterable[str], costs: Sequence[str], scores: Sequence[str] = SCORES) -> list[Margin]:
    """Return the margins that ``--fail-on METRIC:MARGIN`` options state.

    Args:
        texts: ``uar:-0.02``, ``latency_ms_p50:+15%``, ``latency_ms_p50:+3``.
        costs: The metrics that there are beside scores; the lower the better, and shares are understood.
        scores: The scores that there are, of :data:`SCORES`.

    Raises:
        UsageError: If an option is not of that form, the metric unknown, named twice, the sign its improvement, or
            the margin one that no difference can lie beyond.
    """
    margins = [_margin(text, costs, scores) for text in texts]
    names = [margin.metric for margin in margins]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"--fail-on {twice} stands there twice", hint="one margin per metric")
    return margins


def _margin(text: str, costs: Sequence[str], scores: Sequence[str]) -> Margin:
    metric = text.partition(":")[0]
    example = f"{metric}:{'-0.02' if metric in HIGHER_IS_BETTER else '+0.05' if metric in SCORES else '+15%'}"
    if metric not in (*scores, *costs):
        raise UsageError(
            f"--fail-on {text}: unknown metric {metric!r}{did_you_mean(metric, (*scores, *costs))}",
            hint=f"--fail-on {'uar:-0.02' if scores else 'median:+15%'}",
        )
    found = _MARGIN.fullmatch(text)
    if not found or (found[4] and metric in SCORES):
        unit = "a sign and a number" if metric in SCORES else "a sign and a number or a percentage"
        raise UsageError(f"--fail-on {text}: {unit} expected", hint=f"--fail-on {example}")
    if (found[2] == "-") != (metric in HIGHER_IS_BETTER):
        word = "higher" if metric in HIGHER_IS_BETTER else "lower"
        raise UsageError(f"--fail-on {text}: {metric} is better when {word}", hint=f"--fail-on {example}")
    amount = float(found[3])
    lowest, highest = BOUNDS.get(metric, (0.0, 1.0)) if metric in SCORES else (0.0, math.inf)
    if amount >= highest - lowest:
        why = f"{metric} lies between {lowest:g} and {highest:g}, so this could never fail"
        raise UsageError(f"--fail-on {text}: {why}", hint=f"--fail-on {example}")
    return Margin(
        metric=metric,
        amount=amount / 100 if found[4] else amount,
        relative=bool(found[4]),
        text=text[len(metric) + 1 :],
    )


def judge(metric: str, low: float, high: float, amount: float) -> Literal["ok", "worse", "inconclusive"]:
    """Return the verdict on the one-sided bounds of a difference ``head - base``, against a margin's amount."""
    if metric in HIGHER_IS_BETTER:
        low, high = -high, -low
    return "worse" if low > amount + ROUNDING else "ok" if high <= amount + ROUNDING else "inconclusive"


def finish(
    base: str,
    head: str,
    checks: Sequence[Check],
    *,
    margins: Sequence[Margin],
    confidence: float,
    strict: bool,
    unheld: Sequence[str] = (),
    only_in_head: Sequence[str] = (),
    differing: Sequence[Differing] = (),
) -> Comparison:
    """Return the comparison, its failures marked; a metric that no row was compared by fails too.

    So do rows that were asked for by name and that the base has no figures of (``unheld``). Without margins nothing
    fails: the checks are there to be read.

    Raises:
        UsageError: If ``strict`` stands without margins.
    """
    if strict and not margins:
        raise UsageError("--strict without --fail-on: nothing could fail", hint="--strict --fail-on uar:-0.02")
    marked = [msgspec.structs.replace(check, failed=bool(margins) and _fails(check, strict)) for check in checks]
    for margin in margins:
        for row in unheld:
            why = "the base has no figures of it"
            blank = Check(row=row, metric=margin.metric, verdict="not measured", why=why, margin=margin.text)
            marked.append(msgspec.structs.replace(blank, hint="ser-bench baseline set RUN", failed=True))
        if not unheld and not any(check.metric == margin.metric for check in checks):
            why = "nothing measured is a failure: no row has it on both sides"
            marked.append(
                Check(row="", metric=margin.metric, verdict="not measured", why=why, margin=margin.text, failed=True)
            )
    return Comparison(
        base=base,
        head=head,
        confidence=confidence,
        strict=strict,
        passed=not any(check.failed for check in marked),
        checks=tuple(marked),
        only_in_head=tuple(only_in_head),
        differing=tuple(differing),
    )


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that bounds nothing.

    Raises:
        UsageError: If it is not between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise UsageError(
            f"--confidence {confidence:g}: more than 0.5 and less than 1 expected", hint="--confidence 0.95"
        )


def _fails(check: Check, strict: bool) -> bool:
    return check.verdict != "ok" and (strict or check.verdict != "inconclusive")
