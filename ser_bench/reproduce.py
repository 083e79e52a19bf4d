"""One row run again from its record: the same to the bit, the same in score, or different, and what differs here."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd

from ser_bench import machine, registry
from ser_bench.audio import file_digest
from ser_bench.cells import Row, join_members, plan_row
from ser_bench.differing import Differing, differing
from ser_bench.errors import DataError, PrerequisiteError, UsageError
from ser_bench.gap import control_suite
from ser_bench.plan import Run
from ser_bench.predictions import read_answers
from ser_bench.prepare import Prepared, Workshop, prepare
from ser_bench.records import RunRecord, decode
from ser_bench.rescoring import LINE, TOLERANCE, form_faults, read_frame
from ser_bench.runner import execute
from ser_bench.suites import ModelEntry, Suite, digest
from ser_bench.verify import shipped_suite

Outcome = Literal["same bits", "same score", "different", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What became of a row that was run again.

    Attributes:
        outcome: ``same bits``: every stored number is equal; ``same score``: the scores are, to nine digits.
        reason: Why it failed, or where the two can't be compared line by line; else None.
        n: Lines of predictions that both have.
        n_same: Those of them with equal labels (or numbers).
        scores: Score -> (then, now).
        differing: What differs in code, data, packages and machine.
        again: The new record.
        folder: Its run folder.
    """

    outcome: Outcome
    reason: str | None
    n: int
    n_same: int
    scores: dict[str, tuple[float | None, float | None]]
    differing: list[Differing]
    again: RunRecord
    folder: Path


def read_record(path: Path) -> RunRecord:
    """Return a stored record whose predictions lie where it says.

    Raises:
        PrerequisiteError: If it is not there.
        DataError: If it is none, has no predictions, or they are not those that were scored.
    """
    if not path.is_file():
        raise PrerequisiteError(f"{path} is not there", hint="ser-bench reproduce results/NAME/records/000-ROW.json")
    record = decode(path.read_bytes(), str(path))
    if record.predictions is None:
        raise DataError(f"{path}: {record.row} is {record.status}, and has no predictions to give again")
    folder = path.parent.parent
    stored, hint = folder / record.predictions.path, f"ser-bench verify {folder}"
    if not stored.is_file() or file_digest(stored) != record.predictions.sha256:
        raise DataError(f"{stored} is not there, or not what was scored", hint=hint)
    read_answers(folder, record)
    if faults := form_faults(record, read_frame(folder, record)):
        raise DataError(f"{stored}: {faults[0]}", hint=hint)
    return record


def plan_again(record: RunRecord, given: Suite | None) -> tuple[Suite, list[Row]]:
    """Return the suite of a record, and its row, after those that it is made of.

    Args:
        record: The record.
        given: The suite, where none of its name ships.

    Raises:
        UsageError: If no such suite is known, or it no longer has a row that this one is made of.
        PrerequisiteError: If the model can't run here; the hint is the command that mends it.
    """
    suite = given or shipped_suite(record.suite)
    if suite is None:
        raise UsageError(f"no suite {record.suite.name!r} ships", hint="--suite FILE")
    if record.model.device == "cuda" and machine.gpu_name() is None:
        raise PrerequisiteError(f"{record.row} ran on a GPU, and here is none (nvidia-smi finds none)")
    stress = tuple(stressed.condition for stressed in record.stress)
    suite = msgspec.structs.replace(suite, seeds=record.seeds, stress=stress)
    known = {entry.row: entry for entry in suite.entries}
    own = _entry(record, known.get(record.row))
    members = own.params.get("rows", ())
    if not isinstance(members, list | tuple):
        raise DataError(f"{record.row}: rows = {members!r}, a list of labels expected", hint="ser-bench verify FOLDER")
    absent = [name for name in members if name not in known]
    if absent:
        raise UsageError(f"{record.row} is made of {absent[0]!r}, which {suite.name} has not", hint="--suite FILE")
    entries = [*(known[name] for name in members), own]
    rows = [plan_row(entry, suite, device=record.model.device, canary=record.suite.canary) for entry in entries]
    rows = join_members(rows)
    if rows[-1].skip:
        what, _, command = rows[-1].skip.partition(": ")
        raise PrerequisiteError(f"{record.row} {what}", hint=command or "ser-bench list models")
    return suite, rows


def run_again(
    record: RunRecord,
    folder: Path,
    suite: Suite,
    rows: list[Row],
    data: str | None,
    workshop: Workshop,
    run: dict[str, Any],
) -> Reproduction:
    """Fit and predict anew, and compare.

    Args:
        record: What is to be reproduced.
        folder: Its run folder.
        suite: As of :func:`plan_again`.
        rows: As of :func:`plan_again`.
        data: Where the corpora lie.
        workshop: Store and workers; stored features are used, stored fits are not.
        run: The rest of :class:`~ser_bench.plan.Run`: ``solo``, and ``out``, a folder that holds no fits.

    Raises:
        DataError: If the suite is not the one of the record, or has no fold of its pair of corpora.
    """
    prepared = prepare(suite, data, workshop)
    if record.suite.name == f"{suite.name}-control":  # random folds, as ``run --gap`` makes them
        suite = control_suite(suite, prepared.split, prepared.n_usable)
        prepared = prepare(suite, data, workshop)
    if (record.suite.version, record.suite.digest) != (suite.version, digest(suite)):
        raise DataError(
            f"{record.row} was run on {record.suite.name} v{record.suite.version} ({record.suite.digest}), here it is "
            f"v{suite.version} ({digest(suite)})",
            hint=f"--suite FILE, the suite as it was; ser-bench {record.code.version} had it",
        )
    if record.train is not None:
        prepared = _of_pair(prepared, (record.train, record.test))
    plan = Run(suite=suite, rows=rows, prepared=prepared, workshop=workshop, canary=record.suite.canary, **run)
    again = next(one for one in execute(plan) if one.row == record.row)
    return _compared(record, folder, again, plan.folder)


def _entry(record: RunRecord, known: ModelEntry | None) -> ModelEntry:
    """Return a suite's entry that gives the record's row: its own where there is one, with what the record states."""
    registered = record.model.name in registry.entries("models")
    params = {name: value for name, value in record.model.params.items() if registered or name != "import"}
    entry = known or ModelEntry(model=record.model.name, grid=_grid(record))
    features = record.features.name if record.features else None
    if features and entry.features and registry.load("features", entry.features).name == features:
        features = entry.features  # a table or an encoder is known by its path here
    return msgspec.structs.replace(
        entry,
        model=record.model.name,
        label=record.row,
        params=params,
        features=features,
        normalise=record.normalisation,
        only_budget=None,
    )


def _grid(record: RunRecord) -> dict[str, list[Any]]:
    """Return the grid whose points a record tells."""
    grid: dict[str, list[Any]] = {}
    for point in record.search:
        for name, value in point.params.items():
            values = grid.setdefault(name, [])
            values += [value] if value not in values else []
    return grid


def _of_pair(prepared: Prepared, pair: tuple[str, str | None]) -> Prepared:
    """Return the same utterances with the folds of one pair of corpora alone."""
    split = prepared.split
    places = [place for place, fold in enumerate(split.folds) if fold.pair == pair]
    if not places:
        raise DataError(f"no fold here trains on {pair[0]} and tests on {pair[1]}", hint="ser-bench verify FOLDER")
    kept = dataclasses.replace(
        split,
        folds=tuple(split.folds[place] for place in places),
        digests=tuple(split.digests[place] for place in places),
    )
    return dataclasses.replace(prepared, split=kept)


def _compared(record: RunRecord, folder: Path, again: RunRecord, again_folder: Path) -> Reproduction:
    scores = {
        name: (record.scores[name].value, again.scores[name].value) for name in record.scores if name in again.scores
    }
    outcome: Outcome = "failed"
    reason, n, n_same = again.reason, 0, 0
    if again.predictions is not None:
        frames = [
            read_frame(place, one).sort_values(LINE, ignore_index=True)
            for place, one in ((folder, record), (again_folder, again))
        ]
        both = frames[0].merge(frames[1], on=LINE, suffixes=("", " again"))
        answer = "predicted" if "predicted" in frames[0] else "predicted_value"
        n, n_same = len(both), int((both[answer] == both[f"{answer} again"]).sum())
        if n < max(map(len, frames)):
            reason = (
                f"{max(map(len, frames)) - n:,} lines of predictions have no counterpart: other utterances or folds"
            )
        same_scores = bool(scores) and all(map(_close, scores.values()))
        outcome = "same bits" if _equal(*frames) else "same score" if same_scores and reason is None else "different"
    return Reproduction(
        outcome=outcome,
        reason=reason,
        n=n,
        n_same=n_same,
        scores=scores,
        differing=differing([(record, again)]),
        again=again,
        folder=again_folder,
    )


def _equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables of predictions hold the same lines, and the same numbers to the bit."""
    if set(one) != set(other) or len(one) != len(other):
        return False
    return all(
        np.array_equal(one[name].to_numpy(), other[name].to_numpy(), equal_nan=True)
        if pd.api.types.is_numeric_dtype(one[name])
        else one[name].equals(other[name])
        for name in one
    )


def _close(pair: tuple[float | None, float | None]) -> bool:
    one, other = pair
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)
