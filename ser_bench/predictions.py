"""Stored predictions read back as arrays: what every comparison, analysis and check starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import DataError
from ser_bench.metrics import speaker_confusions
from ser_bench.records import RunRecord

TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a row answered for one side, a line per seed; columns are in the order of utterance and fold.

    Two rows with the same ``test_fingerprint`` have the same columns, so that their answers pair up.

    Attributes:
        utterance_ids: Shape (n,), sorted; an utterance stands there once for every fold that tests it.
        speakers: Position in ``speaker_names`` per column, -1 where unknown.
        speaker_names: Sorted.
        genders: Gender per column as text, None where unknown.
        seeds: Shape (n_seeds,).
        truth: Class index, or number, per column.
        predicted: Class indices, or numbers, shape (n_seeds, n).
        scores: Shape (n_seeds, n, n_classes); None where the model gave none.
        probabilities: Whether the scores are probabilities: none below 0, each row summing to 1.
    """

    utterance_ids: NDArray[Any]
    speakers: NDArray[np.int64]
    speaker_names: tuple[str, ...]
    genders: NDArray[Any]
    seeds: NDArray[np.int64]
    truth: NDArray[Any]
    predicted: NDArray[Any]
    scores: NDArray[np.float64] | None
    probabilities: bool

    def confusions(self, n_classes: int) -> NDArray[np.int64]:
        """Return counts by seed and speaker, shape (n_seeds, n_speakers (+ 1 where some are unknown), K, K)."""
        return np.stack([speaker_confusions(self.truth, line, self.speakers, n_classes) for line in self.predicted])


def read_answers(folder: Path, record: RunRecord, side: str = TEST) -> Answers:
    """Return what ``record`` answered for a side: ``test``, or ``stress:CONDITION``.

    Args:
        folder: The record's run folder.
        record: A record with predictions.
        side: As in the file's column ``side``.

    Raises:
        DataError: If the file is missing or damaged, has no row of that side, or seeds answered for other rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if record.predictions is None:
        raise DataError(f"{folder}: {record.row} stores no predictions", hint="ser-bench report RUN")
    path = folder / record.predictions.path
    classes = record.suite.classes
    keys = ["truth", "predicted"] if classes else ["truth_value", "predicted_value"]
    text = ["fold", "side", "utterance_id", "speaker", "gender", *(keys if classes else ())]
    try:
        with pq.ParquetFile(path, read_dictionary=text) as file:
            there = set(file.schema_arrow.names)
            score_names = [f"score_{name}" for name in classes if f"score_{name}" in there]
            names = ["seed", "fold", "side", "utterance_id", "speaker", "gender", *keys, *score_names]
            table = file.read([n for n in names if n in there], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no stored predictions ({error})", hint="the run again") from None
    table = table.filter(pc.equal(table["side"], side))
    if not len(table):
        raise DataError(f"{path}: no rows of side {side!r}", hint="ser-bench report RUN")

    def codes(name: str) -> tuple[NDArray[np.int64], list[Any]]:
        column = table[name].combine_chunks().dictionary_encode() if name in there else None
        if column is None:
            return np.full(len(table), -1, dtype=np.int64), []
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        found = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        values = column.dictionary.to_pylist()  # those of other sides too
        used = sorted((values[code], code) for code in np.flatnonzero(np.bincount(found + 1)[1:]).tolist())
        place = np.full(len(values) + 1, -1, dtype=np.int64)
        place[[code for _, code in used]] = np.arange(len(used))
        return place[found], [value for value, _ in used]

    (utterances, ids), (folds, _), (speakers, speaker_names) = codes("utterance_id"), codes("fold"), codes("speaker")
    genders, gender_names = codes("gender")
    seed_of = table["seed"].to_numpy()
    seeds = np.unique(seed_of)
    order = np.lexsort((folds, utterances, seed_of)).reshape(len(seeds), -1) if not len(table) % len(seeds) else None
    if order is None or (utterances[order] != utterances[order[0]]).any():
        raise DataError(f"{path}: its seeds answer for different utterances", hint="the run again")
    first = order[0]

    def answers(name: str) -> NDArray[Any]:
        if not classes:
            return table[name].to_numpy()
        found, values = codes(name)
        unknown = sorted(set(values) - set(classes))
        if unknown or (found < 0).any():
            raise DataError(f"{path}: {name} holds {unknown or ['nothing']}, classes are {', '.join(classes)}")
        return np.array([classes.index(value) for value in values], dtype=np.int64)[found]

    scores = None
    if classes and len(score_names) == len(classes):
        found = np.stack([table[name].to_numpy() for name in score_names], axis=1)[order]
        scores = None if np.isnan(found).any() else found
    return Answers(
        utterance_ids=np.array(ids, dtype=object)[utterances[first]],
        speakers=speakers[first],
        speaker_names=tuple(speaker_names),
        genders=np.array([*gender_names, None], dtype=object)[genders[first]],
        seeds=seeds,
        truth=answers(keys[0])[first],
        predicted=answers(keys[1])[order],
        scores=scores,
        probabilities=scores is not None
        and bool((scores >= 0).all() and np.allclose(scores.sum(axis=2), 1, atol=1e-6)),
    )
