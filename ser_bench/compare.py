"""Two runs, or a stored baseline and a run: every row's scores and costs against their margins (the regression gate).

Scores are compared on the same utterances, paired; other utterances, labels or classes are ``not comparable``. Times
are compared where the machine, the device, the threads and what was timed are the same. Rows are matched by label, and
by training and test corpus where they have those; a row that the head lacks is a failure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_bench import gate, latency_compare
from ser_bench.baseline_files import BaselineRow, read_baseline, unpack
from ser_bench.differing import differing, elsewhere
from ser_bench.errors import DataError, UsageError, did_you_mean
from ser_bench.gate import Check, Comparison, Margin
from ser_bench.paired import compare_rows
from ser_bench.predictions import Answers, read_answers
from ser_bench.records import RunRecord, Timing, read_records

FIGURES = ("peak_mib", "peak_gpu_mib", "disk_bytes", "energy_j")
"""Costs of which a run has one figure: compared as they are, without bounds."""

COSTS = (*latency_compare.METRICS, *FIGURES)

OF_CALLS = ("latency_ms_p50", "latency_ms_p95", "rtf")
"""Costs of asking a model about sound, which baselines do not look at."""

_SAME_SCORE = 1e-6

Key = tuple[str, str | None, str | None]
"""Label, training corpus, test corpus."""

Timings = Mapping[Key, tuple[Timing, Timing]]
"""Row -> timings of base and head that were measured here, by turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared.

    Attributes:
        name: What it is called: the folder's or the file's name.
        records: Row -> record.
        folder: The run folder; None for a baseline.
        baseline: Row -> what a baseline keeps of it; None for a run folder.
    """

    name: str
    records: dict[Key, RunRecord]
    folder: Path | None = None
    baseline: dict[Key, BaselineRow] | None = None


def read_side(path: Path) -> Side:
    """Return a run folder, or a stored baseline, as a side of a comparison.

    Raises:
        DataError: If it is neither, or damaged.
    """
    if path.is_dir():
        return Side(name=path.resolve().name, records=_by_key(read_records(path)), folder=path)
    if not path.is_file():
        raise DataError(f"{path}: no run folder and no baseline", hint="ser-bench baseline set RUN")
    baseline, records = read_baseline(path)
    kept = _by_key(records)
    return Side(name=path.name, records=kept, baseline=dict(zip(kept, baseline.rows, strict=True)))


def compare(
    base: Side,
    head: Side,
    margins: Sequence[Margin] = (),
    *,
    confidence: float = gate.DEFAULT_CONFIDENCE,
    strict: bool = False,
    rows: Sequence[str] = (),
    timings: Timings | None = None,
) -> Comparison:
    """Return every check of ``head`` against ``base``.

    Args:
        base: What it is held against.
        head: What is judged: a run folder, since a baseline lacks the truth.
        margins: How much worse each metric may get; none: the primary score and the latency are shown, nothing fails.
        confidence: Of each one-sided bound.
        strict: Whether ``inconclusive`` fails too.
        rows: Labels to compare; none: all.
        timings: Timings of both sides that take the place of the stored ones.

    Raises:
        UsageError: If ``head`` is a baseline, the confidence is none, a label is neither's, or ``strict`` stands
            without margins.
        DataError: If predictions are missing or damaged.
    """
    gate.check_confidence(confidence)
    if head.folder is None:
        raise UsageError(f"{head.name}: HEAD has to be a run folder", hint="ser-bench compare BASELINE.json RUN")
    known = {key[0] for side in (base, head) for key in side.records}
    for name in rows:
        if name not in known:
            hint = "--row NAME, as the tables have it"
            raise UsageError(f"--row {name}: no such row{did_you_mean(name, known)}", hint=hint)
    judge = _Judge(base=base, head=head, confidence=confidence, timings=timings, only_shown=not margins)
    scored = {key: record for key, record in base.records.items() if record.status == "ok" and _wanted(key, rows)}
    checks: list[Check] = []
    for key, record in scored.items():
        shown = margins or (Margin(metric=record.suite.primary), Margin(metric="latency_ms_p50", relative=True))
        checks += [check for margin in shown if (check := judge.check(key, margin)) is not None]
    new = [key for key, record in head.records.items() if record.status == "ok" and key not in scored]
    pairs = [(record, head.records[key]) for key, record in scored.items() if key in head.records]
    return gate.finish(
        *_names(base, head),
        checks,
        margins=margins,
        confidence=confidence,
        strict=strict,
        unheld=[name for name in rows if name not in {key[0] for key in scored}],
        only_in_head=[_title(key) for key in new if _wanted(key, rows)],
        differing=differing(pairs),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    base: Side
    head: Side
    confidence: float
    timings: Timings | None
    only_shown: bool

    def check(self, key: Key, margin: Margin) -> Check | None:
        """Return a row's check; None where there is nothing that it could be about."""
        ours, theirs = self.base.records[key], self.head.records.get(key)
        blank = Check(
            row=key[0], train=key[1], test=key[2], metric=margin.metric, margin=margin.text, verdict="missing", why=""
        )
        if theirs is None or theirs.status != "ok":
            score = ours.scores.get(margin.metric)
            blank = _with(blank, base=score.value if score else figure_of(ours.timing, margin.metric))
            why = "the head has no such row" if theirs is None else f"{theirs.status}: {theirs.reason}"
            return _with(blank, why=why)
        if margin.metric in gate.SCORES:
            return self._score(blank, margin, ours, theirs)
        return self._cost(blank, margin, ours, theirs)

    def _score(self, blank: Check, margin: Margin, ours: RunRecord, theirs: RunRecord) -> Check:
        scores = [record.scores.get(margin.metric) for record in (ours, theirs)]
        base, head = (score.value if score else None for score in scores)
        blank = _with(blank, base=base, head=head)
        for what, one, other in (
            ("labels", ours.suite.classes, theirs.suite.classes),
            ("test utterances", ours.test_fingerprint, theirs.test_fingerprint),
        ):
            if one != other:
                n = f" ({ours.n_test:,} and {theirs.n_test:,})" if ours.n_test != theirs.n_test else ""
                hint = "ser-bench baseline set RUN" if self.base.folder is None else "the same suite on the same corpus"
                return _with(blank, verdict="not comparable", why=f"other {what}{n}", hint=hint)
        if base is None or head is None:
            return _with(
                blank, verdict="not measured", why=f"{'base' if base is None else 'head'} has no {margin.metric}"
            )
        a, b = self._answers(ours, theirs)
        if np.array_equal(a.predicted, b.predicted):
            self._refuse_damage(ours, base, head)
            same = dict.fromkeys(("difference", "low", "high"), 0.0)
            return _with(blank, **same, verdict="ok", why="the same answer to every utterance", method="identical")
        n_classes, level = len(ours.suite.classes), 2 * self.confidence - 1
        found = compare_rows(a, b, n_classes=n_classes, primary=margin.metric, level=level)
        blank = _with(blank, difference=found.value, low=found.low, high=found.high, method=found.method)
        if found.value is not None:
            self._refuse_damage(ours, base, head - found.value)
        if found.value is None or found.low is None or found.high is None:
            return _with(blank, verdict="not measured", why=found.method)
        return _with(
            blank,
            verdict=gate.judge(margin.metric, found.low, found.high, margin.amount),
            why=_in_words(margin.metric, found.low, found.high, self.confidence),
        )

    def _answers(self, ours: RunRecord, theirs: RunRecord) -> tuple[Answers, Answers]:
        assert self.head.folder is not None
        head = read_answers(self.head.folder, theirs)
        if self.base.folder is not None:
            return read_answers(self.base.folder, ours), head
        assert self.base.baseline is not None
        row = self.base.baseline[ours.row, ours.train, ours.test]
        if not theirs.suite.classes:  # a baseline keeps numbers as float32: else equal ones would differ
            head = dataclasses.replace(head, predicted=head.predicted.astype(np.float32).astype(np.float64))
        base = dataclasses.replace(
            head,
            seeds=np.array(ours.seeds),
            predicted=unpack(row, ours, len(head.truth)),
            scores=None,
            probabilities=False,
        )
        return base, head

    def _refuse_damage(self, ours: RunRecord, stored: float, computed: float) -> None:
        if self.base.baseline is not None and abs(stored - computed) > _SAME_SCORE:
            raise DataError(
                f"{self.base.name}: the answers of {ours.row} give {computed:.6f}, its stored score is {stored:.6f}",
                hint="ser-bench baseline set RUN",
            )

    def _cost(self, blank: Check, margin: Margin, ours: RunRecord, theirs: RunRecord) -> Check | None:
        key = (blank.row, blank.train, blank.test)
        measured = (ours.timing, theirs.timing)
        if self.timings is not None and margin.metric in OF_CALLS:
            measured = self.timings.get(key, (None, None))
        base, head = (figure_of(timing, margin.metric) for timing in measured)
        blank = _with(blank, base=base, head=head, relative=True)
        nothing, deaf = base is None and head is None, ours.features is None and theirs.features is None
        if (nothing and self.only_shown) or (deaf and (nothing or margin.metric in latency_compare.METRICS)):
            return None  # a row that looks at no sound keeps no model, and has no probe beside its times
        if base is None or head is None or not base:
            return _with(
                blank,
                verdict="not measured",
                why=f"{'base' if not base else 'head'} has no {margin.metric}",
                hint="ser-bench baseline set RUN" if not base and self.base.baseline else None,
            )
        apart = None if key in (self.timings or ()) and margin.metric in OF_CALLS else elsewhere(ours, theirs)
        if apart and margin.metric != "disk_bytes":
            hint = "--live --base-python PATH, or a baseline of this machine"
            return _with(blank, verdict="not comparable", why=apart, hint=hint)
        share = share_of(margin, base)
        if margin.metric in FIGURES:
            return self._single(blank, share, base, head)
        assert measured[0] is not None and measured[1] is not None
        found = latency_compare.compare_latency(
            measured[0], measured[1], metric=margin.metric, margin=share, confidence=self.confidence
        )
        return _with(
            blank,
            difference=_less_1(found.ratio),
            low=_less_1(found.low),
            high=_less_1(found.high),
            verdict=found.verdict,
            why=found.why,
            method="" if found.noise_floor is None else f"noise floor {100 * found.noise_floor:.1f} %",
        )

    @staticmethod
    def _single(blank: Check, share: float, base: float, head: float) -> Check:
        more = head / base - 1
        return _with(
            blank,
            difference=more,
            verdict="worse" if more > share + gate.ROUNDING else "ok",
            why=f"{100 * more:+.1f} %, of one figure on each side",
            method="one figure on each side",
        )


def share_of(margin: Margin, base: float) -> float:
    """Return a cost's margin as a share of the base's figure."""
    return margin.amount if margin.relative else margin.amount / base


def figure_of(timing: Timing | None, metric: str) -> float | None:
    """Return a cost as the board shows it; None where it was not measured."""
    if timing is None or metric not in COSTS:
        return None
    if metric.startswith("latency_"):
        of = {"latency_ms_p50": "p50_ms", "latency_ms_p95": "p95_ms"}[metric]
        return getattr(timing.latency, of) if timing.latency else None
    return getattr(timing, metric)


def _in_words(metric: str, low: float, high: float, confidence: float) -> str:
    """Return what the bounds of a difference say about getting worse."""
    least, most = (-high, -low) if metric in gate.HIGHER_IS_BETTER else (low, high)
    sure = f"with {100 * confidence:g} % confidence"
    if least > 0:
        return f"worse by at least {least:.3f}, {sure}"
    if most <= 0:
        return f"better by at least {-most:.3f}, {sure}"
    return f"between {-least:.3f} better and {most:.3f} worse, {sure} on each side"


def _by_key(records: Sequence[RunRecord]) -> dict[Key, RunRecord]:
    keyed = {(record.row, record.train, record.test): record for record in records}
    if len(keyed) < len(records):
        names = [record.row for record in records]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{twice}: two rows of that label, one expected", hint="the run again")
    return keyed


def _names(base: Side, head: Side) -> tuple[str, str]:
    """Return what the two are called; equal names, as runs of one plan have, with the folder that they lie in."""
    if base.name != head.name or base.folder is None or head.folder is None:
        return base.name, head.name
    one, other = (f"{side.resolve().parent.name}/{side.resolve().name}" for side in (base.folder, head.folder))
    return one, other


def _wanted(key: Key, rows: Sequence[str]) -> bool:
    return not rows or key[0] in rows


def _title(key: Key) -> str:
    return key[0] if key[1] is None else f"{key[0]} ({key[1]} → {key[2]})"


def _less_1(ratio: float | None) -> float | None:
    """Return a ratio as a share; None where it is no number, as the bound of a few calls may be."""
    return None if ratio is None or not math.isfinite(ratio) else ratio - 1


def _with(check: Check, **changes: Any) -> Check:
    import msgspec

    return msgspec.structs.replace(check, **changes)
