"""Whether a record's scores are those of its stored predictions: nothing on a board has to be believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ser_bench.audio import file_digest
from ser_bench.errors import DataError
from ser_bench.groups import group_scores
from ser_bench.metrics import METRICS, confusion_matrix, soft_scores
from ser_bench.predictions import TEST, Answers, read_answers
from ser_bench.rating_metrics import RATING_METRICS, rating_sums
from ser_bench.records import GroupScores, RunRecord, StressScore
from ser_bench.stress import SIDE

TOLERANCE = 1e-9


def prediction_faults(folder: Path, record: RunRecord) -> list[str]:
    """Return what is wrong with a record's predictions, in words; empty where all is well.

    The file must be there, whole, and give every score of the record again: per seed the test rows are pooled
    and scored once, the headline is the mean over seeds. So must it give the recalls by group, the scores against the
    annotators' votes, and those under stress.

    Args:
        folder: The run folder.
        record: One of its records; a record without predictions (failed, skipped) has no faults.
    """
    if record.predictions is None:
        return []
    path = folder / record.predictions.path
    if not path.is_file():
        return [f"{record.predictions.path} is missing"]
    if file_digest(path) != record.predictions.sha256:
        return [f"{record.predictions.path} is not the file that was scored (its SHA-256 differs)"]
    given = {name: score.value for name, score in record.scores.items()}
    found = _scores(path, record.suite.classes) if record.suite.classes else _rating_scores(path)
    faults = [
        f"{name} is {given.get(name)}, its predictions give {value}"
        for name, value in found.items()
        if not np.isclose(np.array(given.get(name), dtype=np.float64), value, 0, TOLERANCE, equal_nan=True)
    ]
    if record.soft is not None and record.soft.cross_entropy is not None:
        faults += _soft_faults(path, record.suite.classes, msgspec.structs.asdict(record.soft))
    for of in record.stress:
        faults += _stress_faults(folder, record, of)
    groups = _by_group(path, record) if record.by_group else {}
    return faults + [
        f"recall by {name} is not what its predictions give"
        for name, recorded in record.by_group.items()
        if name not in groups or _rounded(recorded) != _rounded(groups[name])
    ]


def _scores(path: Path, classes: tuple[str, ...]) -> dict[str, float]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["seed", "side", "truth", "predicted"]).to_pydict()
    index = {name: place for place, name in enumerate(classes)}
    test = np.array(table["side"]) == "test"
    seeds = np.array(table["seed"])[test]
    truth, predicted = (np.array([index[name] for name in table[key]])[test] for key in ("truth", "predicted"))
    pooled = [confusion_matrix(truth[seeds == s], predicted[seeds == s], len(classes)) for s in np.unique(seeds)]
    return {
        name: float(np.mean([statistic(c.astype(np.float64)) for c in pooled])) for name, statistic in METRICS.items()
    }


def _rating_scores(path: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    columns = ["truth_value", "predicted_value", "seed"]
    table = pq.read_table(path, columns=columns, filters=[("side", "=", "test")])
    truth, predicted, seeds = (table[name].to_numpy() for name in columns)
    pooled = [rating_sums(truth[seeds == s], predicted[seeds == s]) for s in np.unique(seeds)]
    return {name: float(np.mean([metric(sums) for sums in pooled])) for name, metric in RATING_METRICS.items()}


def _stress_faults(folder: Path, record: RunRecord, recorded: StressScore) -> list[str]:
    try:
        clean, stressed = (read_answers(folder, record, side) for side in (TEST, SIDE + recorded.condition))
    except DataError as error:
        return [error.message]
    if not np.array_equal(clean.utterance_ids, stressed.utterance_ids) or recorded.n != len(stressed.utterance_ids):
        return [f"under {recorded.condition}, its predictions are of other utterances than its test rows"]
    before, found = (_values(answers, record.suite.classes) for answers in (clean, stressed))
    given = {name: score.value for name, score in recorded.scores.items()} | {"drop": recorded.drop.value}
    found["drop"] = before[record.suite.primary] - found[record.suite.primary]
    return [
        f"{name} under {recorded.condition} is {given.get(name)}, its predictions give {value}"
        for name, value in found.items()
        if not np.isclose(np.array(given.get(name), dtype=np.float64), value, 0, TOLERANCE, equal_nan=True)
    ]


def _values(answers: Answers, classes: tuple[str, ...]) -> dict[str, float]:
    """Return every score, the mean over seeds of the pooled rows."""
    if not classes:
        sums = [rating_sums(answers.truth, line) for line in answers.predicted]
        return {name: float(np.mean([metric(of) for of in sums])) for name, metric in RATING_METRICS.items()}
    pooled = [confusion_matrix(answers.truth, line, len(classes)).astype(np.float64) for line in answers.predicted]
    return {name: float(np.mean([metric(of) for of in pooled])) for name, metric in METRICS.items()}


def _soft_faults(path: Path, classes: tuple[str, ...], given: Mapping[str, float | None]) -> list[str]:
    import pyarrow.parquet as pq

    columns = [[f"{kind}_{name}" for name in classes] for kind in ("votes", "score")]
    if not {*columns[0], *columns[1]} <= {*pq.read_schema(path).names}:
        return ["its predictions lack the annotators' votes, or the probabilities"]
    table = pq.read_table(path, columns=["seed", *columns[0], *columns[1]], filters=[("side", "=", "test")])
    votes, predicted = (
        np.stack([table[name].to_numpy(zero_copy_only=False) for name in names], axis=1) for names in columns
    )
    found = soft_scores(votes, predicted, table["seed"].to_numpy())
    return [
        f"{name} is {given[name]}, its predictions give {value}"
        for name, value in found.items()
        if not np.isclose(np.array(given[name], dtype=np.float64), value, 0, TOLERANCE, equal_nan=True)  # null is NaN
    ]


def _by_group(path: Path, record: RunRecord) -> dict[str, GroupScores | None]:
    import pyarrow.parquet as pq

    names = record.suite.classes
    index = {name: place for place, name in enumerate(names)}
    columns = [name for name in record.by_group if name in pq.read_schema(path).names]
    rows = pq.read_table(path, columns=["truth", "predicted", "speaker", *columns], filters=[("side", "=", "test")])
    truth, predicted = (np.array([index[name] for name in rows[key].to_pylist()]) for key in ("truth", "predicted"))
    speakers, *values = (np.array(rows[key].to_pylist(), dtype=object) for key in ("speaker", *columns))
    return {
        name: group_scores(truth, predicted, of, speakers, names, len(record.seeds))
        for name, of in zip(columns, values, strict=True)
    }


def _rounded(value: Any) -> Any:
    """Return plain objects that are equal where two recalls by group are, whoever added them up."""
    if isinstance(value, msgspec.Struct):
        return _rounded(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_rounded(item) for item in value]
    return round(value, 9) if isinstance(value, float) else value
