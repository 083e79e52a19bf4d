"""What the rows of a board are held against: results that others published, and the bands that these suggest."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Approach = Literal["hand-made", "scratch", "self-supervised"]
"""What a row learns from: vectors that somebody designed, frames and nothing else, or a network trained beforehand."""

Metric = Literal["uar", "war", "macro_f1"]

_METRICS: tuple[Metric, ...] = ("uar", "war", "macro_f1")
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2]))?")


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A result that was not computed here: a suite states it, a board shows it apart, nothing is ranked with it.

    Attributes:
        label: What was tested.
        kind: ``published``, ``human`` (listeners), or ``control`` (speakers on both sides, or worse).
        source: Who reported it, and where.
        protocol: What exactly was tested, speaker-disjoint or not, in words.
        date: Year, or year and month (``2024-06``).
        row: The row of the suite that is this system, rebuilt; null where none is.
        uar: Unweighted average recall in [0, 1]; null where it was not reported.
        war: Accuracy, same range.
        macro_f1: Macro-F1, same range.
    """

    label: str
    kind: Literal["published", "human", "control"]
    source: str
    protocol: str
    date: str | None = None
    row: str | None = None
    uar: float | None = None
    war: float | None = None
    macro_f1: float | None = None

    def fault(self) -> str | None:
        """Return in words what is wrong with it, or None."""
        scores = {name: getattr(self, name) for name in _METRICS if getattr(self, name) is not None}
        if not scores:
            return f"no score: one of {', '.join(_METRICS)} expected"
        wrong = next((name for name, value in scores.items() if not 0 <= value <= 1), None)
        if wrong:
            return f"{wrong} = {scores[wrong]}: a share between 0 and 1 expected"
        if self.date is not None and not _DATE.fullmatch(self.date):
            return f"date = {self.date!r}: a year or a year and month expected, as 2024 or 2024-06"
        return None


class Band(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The range in which published results of a suite lie; a result outside it is doubtful, not wrong.

    Attributes:
        low: A result below it is doubtful; null where nothing is too low.
        high: A result above it is doubtful; null where nothing is too high.
        metric: The score that is judged.
        approaches: Whose results it holds for; empty: for all.
        cause_low: The likely cause of a result below.
        cause_high: The likely cause of a result above.
    """

    low: float | None = None
    high: float | None = None
    metric: Metric = "uar"
    approaches: tuple[Approach, ...] = ()
    cause_low: str = "look for shifted labels and silent features"
    cause_high: str = "look for a leak (speakers, recordings or augmented copies on both sides)"

    def fault(self) -> str | None:
        """Return in words what is wrong with it, or None."""
        ends = [end for end in (self.low, self.high) if end is not None]
        if not ends or not all(0 <= end <= 1 for end in ends) or ends != sorted(set(ends)):
            return f"low = {self.low}, high = {self.high}: 0 <= low < high <= 1 expected, one of the two at least"
        return None

    def side(self, approach: Approach | None, value: float) -> Literal["low", "high"] | None:
        """Return where a score lies outside the band; None inside it, ends included, and for other approaches."""
        if self.approaches and approach not in self.approaches:
            return None
        if self.low is not None and value < self.low:
            return "low"
        return "high" if self.high is not None and value > self.high else None
