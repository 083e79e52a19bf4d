"""The tables that stored predictions add to a ranking, for every writer: differences, speakers, calibration."""

from __future__ import annotations

from collections.abc import Sequence

from ser_bench.records import Score
from ser_bench.report.parts import Difference, Row
from ser_bench.report.text import METRICS, NOTHING, clip, interval, p_value, score

DIFFERENCES = "Compared with the best row"
SPREAD = "Speakers, seeds and calibration"
_SPEAKER_WIDTH = 40


def leader_of(rows: Sequence[Row]) -> str | None:
    """Return the label of the row that the others of a table are compared with; None where none is."""
    return next((row.evidence.difference.against for row in rows if row.evidence.difference), None)


def difference_columns(primary: str) -> list[str]:
    """Return the titles of :func:`difference_cells`."""
    return [f"{METRICS[primary]} behind it [95 %]", "p (Holm)", "p", "McNemar p (naive)", "Smallest detectable"]


def difference_cells(of: Difference) -> list[str]:
    """Return difference with interval, p corrected and not, McNemar's, and what could have been detected."""
    bounds = Score(value=of.value, low=of.low, high=of.high)
    return [
        f"{score(of.value)} {interval(bounds) if of.low is not None else ''}".strip(),
        p_value(of.p_holm),
        p_value(of.p),
        p_value(of.p_naive),
        score(of.detectable),
    ]


def difference_terms(rows: Sequence[Row]) -> str:
    """Return what the columns mean."""
    return (
        f"What the best row, {leader_of(rows)}, scores more on the same utterances. p is two-sided; McNemar's takes "
        "utterances as independent, which they are not. The smallest detectable difference would be found four times "
        "in five."
    )


def spread_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that :func:`spread_cells` says something of."""
    return [row for row in rows if row.evidence.speakers or row.evidence.calibration]


def spread_columns(primary: str) -> list[str]:
    """Return the titles of :func:`spread_cells`, the first of words."""
    metric = METRICS[primary]
    return ["Worst speaker", f"{metric} there", "sd over speakers", "sd over seeds", "ECE", "Brier", "NLL"]


def spread_cells(row: Row) -> list[str]:
    """Return the worst speaker and the score there, spreads over speakers and seeds, and calibration."""
    of = row.evidence
    worst = next((speaker for speaker in of.speakers if speaker.value is not None), None)
    calibration = of.calibration
    values = (calibration.ece, calibration.brier, calibration.nll) if calibration else (None, None, None)
    return [
        clip(worst.speaker, _SPEAKER_WIDTH) if worst else NOTHING,
        score(worst.value if worst else None),
        score(of.speaker_sd),
        score(of.seed_sd),
        *map(score, values),
    ]


def spread_terms(rows: Sequence[Row]) -> str:
    """Return what the columns mean."""
    calibrated = any(row.evidence.calibration for row in rows)
    return "The score of a speaker is that on the speaker's own utterances, over the classes among them." + (
        " ECE is the expected calibration error (15 bins of the predicted class's probability), Brier the squared "
        "distance of probabilities and truth, NLL minus the logarithm of the true class's probability, in nats: of "
        "models that give probabilities, and lower is better."
        if calibrated
        else ""
    )
