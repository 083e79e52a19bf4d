"""The table of what each row loses when the test audio is changed, for every writer."""

from __future__ import annotations

from collections.abc import Sequence

from ser_bench.errors import UsageError
from ser_bench.report.parts import Row
from ser_bench.report.text import METRICS, NOTHING, interval, score
from ser_bench.stress import read_condition

TITLE = "Under stress"


def conditions_of(rows: Sequence[Row]) -> list[str]:
    """Return the conditions that any of the rows was tested under, in their order."""
    return list(dict.fromkeys(of.condition for row in rows for of in row.stress))


def cells_of(row: Row, conditions: Sequence[str], primary: str) -> list[str]:
    """Return the primary score on unchanged sound, then what it loses under each condition, with its interval."""
    drops = {of.condition: of.drop for of in row.stress}
    first = row.scores.get(primary)
    lost = [drops.get(name) for name in conditions]
    return [
        score(first.value if first else None),
        *(NOTHING if drop is None else f"{score(drop.value)} {interval(drop)}".strip() for drop in lost),
    ]


def terms_of(conditions: Sequence[str], primary: str) -> str:
    """Return what the columns mean, and what is done to the sound under each condition."""
    told = [f"{name}: {words}" for name in conditions if (words := _in_words(name))]
    return (
        f"What {METRICS[primary]} loses when the test audio is changed: the score without the change less the one with "
        "it, of the same fitted models on the same utterances; the 95 % interval is over speakers."
        + (f" {'; '.join(told)}." if told else "")
    )


def _in_words(name: str) -> str | None:
    try:
        return read_condition(name).in_words()
    except UsageError:  # a record of other software may call its conditions anything
        return None
