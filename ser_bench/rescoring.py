"""Whether a record is what its stored predictions give: who was asked in which fold, and every figure made anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_bench.cells import Cell
from ser_bench.prepare import Prepared
from ser_bench.protocols import Fold, Split
from ser_bench.protocols.fold import EMPTY
from ser_bench.records import RunRecord
from ser_bench.scoring import CellResult, score_row, stress_scores
from ser_bench.stress import SIDE
from ser_bench.utterances import UtteranceTable

TOLERANCE = 1e-9
LINE = ["seed", "fold", "side", "utterance_id"]
"""What tells one line from the others."""


def read_frame(folder: Path, record: RunRecord) -> pd.DataFrame:
    """Return a row's predictions as they are stored."""
    assert record.predictions is not None
    return pd.read_parquet(folder / record.predictions.path)


def form_faults(record: RunRecord, frame: pd.DataFrame) -> list[str]:
    """Return what keeps a row's predictions from being scored, in words; the first kind that is found.

    Nulls and numbers that are none, classes, sides, seeds and folds that the record does not know, lines that stand
    twice, seeds that answered for other utterances.
    """
    return next((found for found in _form_faults(record, frame) if found), [])


def fold_faults(record: RunRecord, frame: pd.DataFrame) -> list[str]:
    """Return where counts, or speakers on two sides, contradict the record, by the predictions' own columns alone."""
    faults = []
    first = frame[frame["seed"] == record.seeds[0]]
    declares = set(record.suite.declares)
    for fold in record.folds:
        rows = first[first["fold"] == fold.fold_id]
        sides = {side: rows[rows["side"] == side] for side in ("train", "test")}
        counts = [
            ("test utterances", fold.n_test, len(sides["test"])),
            ("test speakers", fold.test_speakers, sides["test"]["speaker"].nunique()),
        ]
        if "dev-contains-test" not in declares:  # else the final fit leaves out what is tested
            counts.append(("fitted utterances", fold.n_train + fold.n_dev, len(sides["train"])))
        for what, stated, found in counts:
            if stated != found:
                faults.append(f"{fold.fold_id}: {stated:,} {what} stated, {found:,} in the predictions")
        both = set(sides["train"]["speaker"].dropna()) & set(sides["test"]["speaker"].dropna())
        if both and "shared-speaker" not in declares - set(record.suite.dev_only):
            faults.append(f"{fold.fold_id}: {min(both)} speaks on both sides ({len(both):,} speakers do)")
        same = set(sides["train"]["utterance_id"]) & set(sides["test"]["utterance_id"])
        if same:
            faults.append(f"{fold.fold_id}: {min(same)} is trained on and tested ({len(same):,} utterances are)")
    return faults


def tested_twice(record: RunRecord, frame: pd.DataFrame) -> list[str]:
    """Return a sentence where utterances are tested in several folds, so that pooled scores count them twice."""
    tested = frame["utterance_id"][(frame["side"] == "test") & (frame["seed"] == record.seeds[0])]
    twice = sorted(set(tested[tested.duplicated()]))
    return [f"{len(twice):,} utterances are tested in several folds, first {twice[0]}"] if twice else []


def table_faults(record: RunRecord, frame: pd.DataFrame, table: UtteranceTable, classes: pd.Series | None) -> list[str]:
    """Return where predictions name other utterances, speakers or truths than the run's utterance table.

    Args:
        record: The row.
        frame: Its predictions.
        table: The run's utterances.
        classes: Class name by utterance id; None where numbers are asked for.
    """
    ids = table.column("utterance_id")
    unknown = sorted(set(frame["utterance_id"]) - set(ids))
    if unknown:
        return [f"{len(unknown):,} utterances are not in the utterance table, first {unknown[0]!r}"]
    faults = []
    stated = {"speaker": pd.Series(table.column("speaker"), index=ids)}
    if record.suite.classes and classes is not None:
        stated["truth"] = classes
    elif not record.suite.classes and record.suite.labels in table.frame:
        stated["truth_value"] = pd.Series(table.column(record.suite.labels), index=ids)
    for column, by_id in stated.items():
        known = by_id.reindex(frame["utterance_id"]).to_numpy()
        given = frame[column].to_numpy()
        wrong = ~((given == known) | (pd.isna(given) & pd.isna(known)))
        if wrong.any():
            name = frame["utterance_id"].to_numpy()[wrong][0]
            faults.append(f"{column} of {int(wrong.sum()):,} lines is not the table's, first {name}")
    return faults


def score_faults(record: RunRecord, frame: pd.DataFrame, table: UtteranceTable) -> list[str]:
    """Return every figure of a record that the scoring code does not give again from its predictions.

    Scores with their intervals, scores by fold, class and group, the confusion, counts and the fingerprint of the
    tested rows. What only a fit knows (times, curves, searches) can't be checked.
    """
    prepared, results = _as_scored(record, frame, table)
    again = score_row(prepared, results)
    again["stress"] = stress_scores(prepared, results, record.suite.primary)
    faults = []
    for name, value in again.items():
        given, found = (msgspec.to_builtins(of) for of in (getattr(record, name), value))
        if name == "by_group":
            found = {column: of for column, of in found.items() if column in given}
        if name == "scores" and {*given} - {*found}:
            faults.append(f"scores that nobody knows: {', '.join(sorted({*given} - {*found}))}")
        faults += [f"{place} is {a!r}, its predictions give {b!r}" for place, a, b in _unequal(name, given, found)][:3]
    return faults


def _form_faults(record: RunRecord, frame: pd.DataFrame) -> Iterator[list[str]]:
    assert record.predictions is not None
    names, n = record.suite.classes, record.predictions.n
    keys = ["truth", "predicted"] if names else ["truth_value", "predicted_value"]
    shares = [name for name in frame if name.startswith(("score_", "votes_"))]
    known = {f"{kind}_{name}" for kind in ("score", "votes") for name in names}
    yield ["a class of the record stands twice"] if len(set(names)) < len(names) else []
    yield [f"the column {name!r} is missing" for name in keys if name not in frame]
    yield [f"the column {name!r} is of no class" for name in shares if name not in known]
    yield [f"{len(frame):,} lines, {n:,} stated"] if len(frame) != n else []
    yield [f"{name} is null in some lines" for name in (*LINE, *keys) if frame[name].isna().any()]
    numbers = [*shares, *(() if names else keys)]
    yield [f"{name} is infinite in some lines" for name in numbers if np.isinf(frame[name]).any()]
    for name in keys if names else ():
        yield [f"{name} holds {odd!r}, which is no class" for odd in sorted(set(frame[name]) - set(names))[:3]]
    stressed = [f"{SIDE}{stress.condition}" for stress in record.stress]
    sides = {"train", "dev", "test", *stressed}
    for column, stated in (("side", sides), ("seed", {*record.seeds}), ("fold", {f.fold_id for f in record.folds})):
        yield [f"{column} {odd!r} is not the record's" for odd in sorted(set(frame[column]) - stated)[:3]]
    twice = frame.duplicated(LINE)
    doubled = frame[LINE][twice].to_numpy().tolist()
    yield [f"{len(doubled):,} lines stand twice, first {doubled[0]}"] if doubled else []
    scored = frame[frame["side"] == "test"][[name for name in shares if name.startswith("score_")]].notna().to_numpy()
    yield ["some of its test rows have scores, some have none"] if scored.any() and not scored.all() else []
    cells = [(seed, fold.fold_id) for seed in record.seeds for fold in record.folds]
    yield ["seeds or folds are missing, or stand twice"] if not cells or len(set(cells)) < len(cells) else []
    for side in ("train", "test", *stressed):
        asked = frame[frame["side"] == side].groupby(["seed", "fold"])["utterance_id"].agg(frozenset)
        yield [f"no {side} rows of seed {cell[0]}, fold {cell[1]}" for cell in cells if cell not in asked][:3]
        by_fold = asked.groupby(level="fold")
        yield [f"{fold}: its seeds have different {side} rows" for fold, of in by_fold if len(set(of)) > 1]
        if side == "test":
            tested = asked
        elif side in stressed:
            yield [f"the {side} rows are not the test rows"] if not asked.equals(tested) else []


def _as_scored(
    record: RunRecord, frame: pd.DataFrame, table: UtteranceTable
) -> tuple[Prepared, list[tuple[Cell, CellResult]]]:
    """Return predictions in the shape that they had when they were scored."""
    names = record.suite.classes
    at = pd.Series(np.arange(len(table)), index=table.column("utterance_id")).reindex(frame["utterance_id"]).to_numpy()
    if names:
        truth, predicted = (pd.Categorical(frame[key], names).codes.astype(np.int64) for key in ("truth", "predicted"))
    else:
        truth, predicted = (frame[key].to_numpy(dtype=np.float64) for key in ("truth_value", "predicted_value"))
    told = np.zeros(len(table), dtype=truth.dtype)
    told[at] = truth
    votes = [f"votes_{name}" for name in names if f"votes_{name}" in frame]
    shares = np.full((len(table), len(votes)), np.nan)
    tested = (frame["side"] == "test").to_numpy()
    shares[at[tested]] = frame[votes].to_numpy()[tested]
    folds = tuple(Fold(fold_id=fold.fold_id, train=EMPTY, dev=EMPTY, test=EMPTY) for fold in record.folds)
    prepared = Prepared(
        table=table,
        classes=told.astype(np.int64),
        votes=shares if votes else None,
        scheme=SimpleNamespace(classes=names),  # type: ignore[arg-type]
        split=Split(folds=folds, total=record.folds_total),
        corpora=(),
        roots={},
        audits=(),
        ratings=None if names else told.astype(np.float64),
    )
    return prepared, list(_cells(record, frame, at.astype(np.int64), predicted))


def _cells(
    record: RunRecord, frame: pd.DataFrame, at: NDArray[np.int64], predicted: NDArray[Any]
) -> Iterator[tuple[Cell, CellResult]]:
    """Yield what each fit answered, seed after seed, as :func:`~ser_bench.scoring.read_cell` gave it."""
    scores = frame[[f"score_{name}" for name in record.suite.classes if f"score_{name}" in frame]].to_numpy()
    soft = record.soft is not None and record.soft.cross_entropy is not None
    known = {(fold.seed, fold.fold_id): fold for fold in record.fold_scores}
    lines_of = frame.groupby(["seed", "fold", "side"]).indices

    def lines(seed: int, fold: str, side: str) -> NDArray[np.int64]:
        found = lines_of.get((seed, fold, side), np.empty(0, dtype=np.int64))
        return found[np.argsort(at[found])]

    for seed in record.seeds:
        for index, fold in enumerate(record.folds):
            of = {side: lines(seed, fold.fold_id, side) for side in ("train", "dev", "test")}
            arrays = {side: at[rows] for side, rows in of.items()}
            arrays |= {f"{side}_labels": predicted[rows] for side, rows in of.items()}
            if scores.shape[1] and not np.isnan(scores[of["test"]]).any():
                arrays["test_scores"] = scores[of["test"]]
            meta: dict[str, Any] = {"score_kind": "probability" if soft else "decision"}
            if stated := known.get((seed, fold.fold_id)):  # what the predictions can't tell
                meta |= {"n_children": stated.n_children, "n_repeated": stated.n_repeated}
            stress: dict[str, tuple[NDArray[Any], NDArray[Any] | None]] = {
                one.condition: (predicted[lines(seed, fold.fold_id, SIDE + one.condition)], None)
                for one in record.stress
            }
            cell = Cell(row=None, seed=seed, fold=index, key="")  # type: ignore[arg-type]
            yield cell, CellResult(arrays=arrays, meta=meta, stress=stress)


def _unequal(place: str, given: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (where, given, found) for each leaf that differs by more than rounding."""
    if isinstance(given, dict) and isinstance(found, dict):
        for key in sorted({*given} | {*found}):
            yield from _unequal(f"{place}.{key}", given.get(key), found.get(key))
    elif isinstance(given, list | tuple) and isinstance(found, list | tuple) and len(given) == len(found):
        for i, (one, other) in enumerate(zip(given, found, strict=True)):
            yield from _unequal(f"{place}[{i}]", one, other)
    elif isinstance(given, float) and isinstance(found, float | int):  # counts are equal, or they are not
        if not math.isclose(given, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield place, given, found
    elif given != found:
        yield place, given, found
