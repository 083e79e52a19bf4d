"""Made-up run folders with records and predictions, for what holds one run against another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from ser_bench.metrics import METRICS, confusion_matrix
from ser_bench.rating_metrics import RATING_METRICS, rating_sums
from ser_bench.records import PredictionsRef, RunRecord, Score, encode
from tests import report_records

CLASSES = report_records.FOUR


def truth_of(n_speakers: int = 24, per_speaker: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return class and speaker per utterance, every speaker saying every class equally often."""
    speakers = np.repeat(np.arange(n_speakers), per_speaker)
    return np.arange(len(speakers)) % per_speaker % len(CLASSES), speakers


def answers(seed: int = 0, level: float = 0.6, n_speakers: int = 24, per_speaker: int = 60) -> np.ndarray:
    """Return made-up class indices that hit with probability ``level``."""
    truth, _ = truth_of(n_speakers, per_speaker)
    random = np.random.RandomState(seed)
    return np.where(random.rand(len(truth)) < level, truth, random.randint(len(CLASSES), size=len(truth)))


def spoilt(predicted: np.ndarray, share: float, n_speakers: int = 24, seed: int = 9) -> np.ndarray:
    """Return the answers with a share of the utterances, of every speaker alike, answered wrongly."""
    truth, _ = truth_of(n_speakers, len(predicted) // n_speakers)
    right = np.flatnonzero(predicted == truth)
    wrong = np.random.RandomState(seed).permutation(right)[: round(share * len(predicted))]
    changed = predicted.copy()
    changed[wrong] = (truth[wrong] + 1) % len(CLASSES)
    return changed


def write_run(folder: Path, rows: dict[str, Sequence[np.ndarray]], n_speakers: int = 24, **changes: object) -> Path:
    """Write a run folder: row -> answers per seed, of classes; ``changes`` replace fields of every record."""
    for place, (name, lines) in enumerate(rows.items()):
        truth, speakers = truth_of(n_speakers, len(lines[0]) // n_speakers)
        suite = report_records.suite("demo", classes=CLASSES, labels="four", notes=())
        shared = {
            "suite": suite,
            "n_test": len(truth),
            "n_test_speakers": n_speakers,
            "seeds": tuple(range(len(lines))),
        }
        record = report_records.record(name, of="svm-rbf", **{**shared, **changes})
        matrices = np.stack([confusion_matrix(truth, line, len(CLASSES)) for line in lines])
        scores = {metric: Score(value=float(score(matrices).mean())) for metric, score in METRICS.items()}
        names = np.array(CLASSES, dtype=object)
        columns = [{"truth": names[truth], "predicted": names[line]} for line in lines]
        _write(folder, place, replace(record, scores=scores), columns, speakers)
    return folder


def write_rating_run(folder: Path, lines: Sequence[np.ndarray], truth: np.ndarray, n_speakers: int = 24) -> Path:
    """Write a run folder with one row, ``ridge``, of predicted numbers per seed."""
    speakers = np.repeat(np.arange(n_speakers), len(truth) // n_speakers)
    suite = report_records.suite("ratings", classes=(), labels="arousal", primary="ccc", targets="values", notes=())
    record = report_records.record("svm-rbf", suite=replace(suite, classes=("x", "y")), seeds=tuple(range(len(lines))))
    sums = [rating_sums(truth, line) for line in lines]
    scores = {
        metric: Score(value=float(np.mean([score(one) for one in sums]))) for metric, score in RATING_METRICS.items()
    }
    columns = [{"truth_value": truth, "predicted_value": line} for line in lines]
    record = replace(record, row="ridge", suite=suite, scores=scores, n_test=len(truth))
    _write(folder, 0, record, columns, speakers)
    return folder


def _write(
    folder: Path, place: int, record: RunRecord, columns: Sequence[dict[str, np.ndarray]], speakers: np.ndarray
) -> None:
    n = len(speakers)
    table: dict[str, list] = {}
    for seed, answered in enumerate(columns):
        part = {
            "seed": np.full(n, seed),
            "fold": np.full(n, "fold-0", dtype=object),
            "side": np.full(n, "test", dtype=object),
            "utterance_id": np.array([f"toy-a:u{at:05d}" for at in range(n)], dtype=object),
            "speaker": np.array([f"toy-a:{speaker:02d}" for speaker in speakers], dtype=object),
            "gender": np.full(n, None, dtype=object),
            **answered,
        }
        for name, values in part.items():
            table.setdefault(name, []).extend(values.tolist())
    path = f"predictions/{place:03d}.parquet"
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    (folder / "records").mkdir(exist_ok=True)
    pq.write_table(pa.table({**table, "gender": pa.array(table["gender"], pa.string())}), folder / path)
    record = replace(record, predictions=PredictionsRef(path=path, sha256="", n=n * len(columns)))
    (folder / "records" / f"{place:03d}.json").write_bytes(encode(record))
