"""What a board tells from stored predictions: speakers, calibration, confusions, differences, shared ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ser_bench.calibration import brier_score, negative_log_likelihood, reliability
from ser_bench.errors import DataError
from ser_bench.paired import Paired, Pairing, holm, rank_groups, seed_spread
from ser_bench.predictions import Answers, read_answers
from ser_bench.records import RunRecord
from ser_bench.report.parts import Calibration, Confused, Difference, Evidence, Example, SpeakerScore
from ser_bench.report.text import plain
from ser_bench.swaps import statistic_of, sums_of

MOST_CONFUSED = 5
_DIGITS = 6


class StoredAnswers(Mapping[str, Answers]):
    """run_id -> the answers for the test side, read when they are asked for; no key where no whole file lies there."""

    def __init__(self, records: Mapping[str, tuple[Path, RunRecord]]) -> None:
        """Take run_id -> run folder and record; a record without predictions is left out."""
        self._records = {run_id: of for run_id, of in records.items() if of[1].predictions is not None}

    @classmethod
    def of_run(cls, folder: Path, records: Sequence[RunRecord]) -> StoredAnswers:
        """Return the answers of the records of one run folder."""
        return cls({record.run_id: (folder, record) for record in records})

    def __getitem__(self, run_id: str) -> Answers:
        """Return the answers.

        Raises:
            KeyError: If the file is missing or damaged: a board is drawn without it; ``report --check`` says so.
        """
        try:
            return read_answers(*self._records[run_id])
        except DataError as error:
            raise KeyError(run_id) from error

    def __iter__(self) -> Iterator[str]:
        """Yield the rows that should have a file."""
        return iter(self._records)

    def __len__(self) -> int:
        """Return how many should have one."""
        return len(self._records)


def evidence_of(answers: Answers, classes: Sequence[str], primary: str) -> Evidence:
    """Return what a row's answers tell by themselves, all figures rounded to six decimals.

    Args:
        answers: For the test side.
        classes: Names; none where numbers were asked for.
        primary: The score that is told by speaker and by seed.
    """
    speakers = _speakers(answers, len(classes), primary)
    values = [speaker.value for speaker in speakers if speaker.value is not None]
    confused = _confused(answers, classes) if classes else ()
    spread = seed_spread(answers, n_classes=len(classes), primary=primary)
    return Evidence(
        speakers=speakers,
        calibration=_calibration(answers) if classes and answers.probabilities else None,
        confused=confused,
        examples=tuple(example for pair in confused for example in _examples(answers, classes, pair)),
        seed_sd=None if spread is None else _rounded(spread),
        speaker_sd=_rounded(float(np.std(values, ddof=1))) if len(values) > 1 else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the answers of a table's rows tell, a position per row.

    Attributes:
        evidence: One per row, empty where there are no answers.
        ranks: Shared ranks of the rows that were compared, by position; empty where none were.
        missing: Positions of rows that were to be compared, but have no answers, or those of another test set.
        least_p: The least p that a comparison could have had, corrected for their number; None without comparisons.
    """

    evidence: tuple[Evidence, ...]
    ranks: Mapping[int, int]
    missing: tuple[int, ...]
    least_p: float | None


def tell(
    records: Sequence[RunRecord], scores: Sequence[float], compared: Sequence[int], answers: Mapping[str, Answers]
) -> Told:
    """Return what the answers of a table's rows tell; each file is read once, and dropped.

    Args:
        records: One per row.
        scores: Their primary scores; the larger the better.
        compared: Positions of the rows to compare with the best of them.
        answers: By run_id; a row may lack them.
    """
    suite = records[0].suite
    pairing = Pairing([], n_classes=len(suite.classes), primary=suite.primary)
    evidence, missing = [Evidence()] * len(records), []
    for row, record in enumerate(records):
        found = answers.get(record.run_id) if record.status == "ok" else None
        if found is not None:
            evidence[row] = evidence_of(found, record.suite.classes, suite.primary)
        if row in compared and (found is None or not _joins(pairing, found)):
            missing.append(row)
    if missing or len(compared) < 2:
        return Told(evidence=tuple(evidence), ranks={}, missing=tuple(missing), least_p=None)
    names = [records[row].row for row in compared]
    ranks, differences = compare_table(names, [scores[row] for row in compared], pairing)
    for row, difference in zip(compared, differences, strict=True):
        evidence[row] = msgspec.structs.replace(evidence[row], difference=difference)
    least_p = None if pairing.units.why_not else min(1.0, pairing.least_p * (len(compared) - 1))
    return Told(evidence=tuple(evidence), ranks=dict(zip(compared, ranks, strict=True)), missing=(), least_p=least_p)


def _joins(pairing: Pairing, answers: Answers) -> bool:
    try:
        pairing.add(answers)
    except DataError:
        return False
    return True


def compare_table(
    names: Sequence[str], scores: Sequence[float], pairing: Pairing
) -> tuple[list[int], list[Difference | None]]:
    """Return the shared ranks of rows, and what each lies behind the best of them (None for that one).

    Args:
        names: The rows' labels.
        scores: Their primary scores; the larger the better, of equals the first.
        pairing: The same rows, in the same order.
    """
    best = max(range(len(scores)), key=lambda row: (scores[row], -row))
    others = [row for row in range(len(scores)) if row != best]
    found = dict(zip(others, pairing.compare(others, best), strict=True))
    known = {row: of.p for row, of in found.items() if of.p is not None}
    corrected = dict(zip(known, holm(list(known.values())).tolist(), strict=True))

    def p_against(leader: int, rest: Sequence[int]) -> Any:
        if leader == best:
            return [known.get(row, np.nan) for row in rest]
        return pairing.p_values(rest, leader)

    return rank_groups(scores, p_against), [
        None if row == best else _difference(names[best], found[row], corrected.get(row)) for row in range(len(scores))
    ]


def _difference(against: str, found: Paired, corrected: float | None) -> Difference | None:
    if found.value is None:
        return None
    return Difference(
        against=against,
        value=_rounded(found.value),
        low=_or_none(found.low),
        high=_or_none(found.high),
        p=_significant(found.p),
        p_holm=_significant(corrected),
        p_naive=_significant(found.p_naive),
        detectable=_or_none(found.detectable),
        method=found.method,
    )


def _speakers(answers: Answers, n_classes: int, primary: str) -> tuple[SpeakerScore, ...]:
    """Return the known speakers, the worst first, those without a score last; UAR is over the classes each utters."""
    known = answers.speakers >= 0
    if not known.any():
        return ()
    of = answers.speakers[known]
    sums = sums_of(answers.truth[known], answers.predicted[:, known], of, n_classes)
    scores = statistic_of(primary)(sums.astype(np.float64)).mean(axis=0)
    counts = np.bincount(of, minlength=len(answers.speaker_names)).tolist()
    said: dict[int, set[str]] = {}
    for code, gender in dict.fromkeys(zip(of.tolist(), answers.genders[known].tolist(), strict=True)):
        said.setdefault(code, set()).update({gender} - {None})
    found = [
        SpeakerScore(
            speaker=plain(name),
            gender=plain(min(said[code])) if len(said[code]) == 1 else None,
            n=counts[code],
            value=None if np.isnan(scores[code]) else _rounded(scores[code]),
        )
        for code, name in enumerate(answers.speaker_names)
    ]
    return tuple(sorted(found, key=lambda one: (one.value is None, one.value, one.speaker)))


def _calibration(answers: Answers) -> Calibration:
    assert answers.scores is not None
    truth = np.tile(answers.truth, len(answers.seeds))
    predicted, probabilities = answers.predicted.ravel(), answers.scores.reshape(len(truth), -1)
    bins = reliability(truth, predicted, probabilities)
    return Calibration(
        ece=_rounded(bins.error),
        brier=_rounded(brier_score(truth, probabilities)),
        nll=_rounded(negative_log_likelihood(truth, probabilities)),
        bins=tuple(
            (_rounded(confidence), _rounded(correct), int(n))
            for confidence, correct, n in zip(bins.confidence, bins.correct, bins.n, strict=True)
        ),
    )


def _confused(answers: Answers, classes: Sequence[str]) -> tuple[Confused, ...]:
    """Return the pairs of classes with the largest shares; of equals the one with more rows, then by class."""
    k = len(classes)
    cells = np.tile(answers.truth, len(answers.seeds)) * k + answers.predicted.ravel()
    counts = np.bincount(cells, minlength=k * k).reshape(k, k)
    spoken = counts.sum(axis=1)
    pairs = [(i, j) for i in range(k) for j in range(k) if i != j and counts[i, j]]
    pairs.sort(key=lambda pair: (-counts[pair] / spoken[pair[0]], -counts[pair], pair))
    return tuple(
        Confused(truth=classes[i], predicted=classes[j], n=int(counts[i, j]), share=_rounded(counts[i, j] / spoken[i]))
        for i, j in pairs[:MOST_CONFUSED]
    )


def _examples(answers: Answers, classes: Sequence[str], pair: Confused) -> Iterator[Example]:
    """Yield the mistake of the first seed with the highest probability; of equals, or without any, the first by id."""
    truth, predicted = classes.index(pair.truth), classes.index(pair.predicted)
    rows = np.flatnonzero((answers.truth == truth) & (answers.predicted[0] == predicted))
    if not len(rows):
        return
    sure = answers.scores[0, rows, predicted] if answers.scores is not None and answers.probabilities else None
    at = rows[0 if sure is None else int(sure.argmax())]
    speaker = answers.speakers[at]
    yield Example(
        utterance_id=plain(str(answers.utterance_ids[at])),
        speaker=plain(answers.speaker_names[speaker]) if speaker >= 0 else "unknown",
        truth=pair.truth,
        predicted=pair.predicted,
        probability=None if sure is None else _rounded(sure.max()),
    )


def _rounded(value: float) -> float:
    """Return six decimals, in which no machine's way of adding up shows."""
    return round(float(value), _DIGITS) + 0.0


def _or_none(value: float | None) -> float | None:
    return None if value is None else _rounded(value)


def _significant(p: float | None) -> float | None:
    return None if p is None else float(f"{p:.{_DIGITS}g}")
