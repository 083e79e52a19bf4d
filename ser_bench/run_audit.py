"""The leak audit of a finished run, from its stored records and predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ser_bench.errors import DataError
from ser_bench.leakage import Assignments, Finding, audit_choices, audit_split, audit_test_sets
from ser_bench.records import UTTERANCES, RunRecord, read_records
from ser_bench.stress import SIDE
from ser_bench.utterances import COLUMNS, UtteranceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAudit:
    """What was found for the rows of a run that stand on the same folds.

    Attributes:
        rows: Their labels (``row train→test`` for cross-corpus rows).
        protocol: The suite's protocol, in words.
        declares: What it declares.
        chosen: What of a system was chosen by which side.
        counts: Side -> utterances, all folds together.
        findings: Leaks first; empty where nothing is shared.
    """

    rows: tuple[str, ...]
    protocol: str
    declares: tuple[str, ...]
    chosen: dict[str, str]
    counts: dict[str, int]
    findings: tuple[Finding, ...]


def audit_run(folder: Path) -> list[RowsAudit]:
    """Return what the sides of a run share; rows with equal folds and choices are looked at once.

    Nothing is taken from the code that made the folds: who stood where is read from the stored predictions, and
    who they are from the run's utterance table.

    Raises:
        DataError: If the folder is no run, or its files don't fit each other.
    """
    records = [record for record in read_records(folder) if record.predictions is not None]
    if not records:
        raise DataError(f"{folder} holds no row with predictions: nothing to audit", hint="ser-bench run --suite demo")
    table, near_duplicates = run_table(folder)
    entries = {record.run_id: _entries(folder, record, table) for record in records}
    alike: dict[tuple[object, ...], list[RunRecord]] = {}
    for record in records:
        sides = entries[record.run_id]
        key = (sides.fold.tobytes(), sides.side.tobytes(), sides.row.tobytes(), *sorted(record.chosen.items()))
        alike.setdefault(key, []).append(record)
    return [
        _audit(table, group, entries, _mixed_tests(group, records, entries), near_duplicates)
        for group in alike.values()
    ]


def _audit(
    table: UtteranceTable,
    group: Sequence[RunRecord],
    entries: dict[str, Assignments],
    mixed: list[Finding],
    near_duplicates: Sequence[Sequence[int]],
) -> RowsAudit:
    first = group[0]
    sides = entries[first.run_id]
    declares = tuple(first.suite.declares)
    if first.chosen.get("scaler") == "all":
        declares = (*declares, "fitted-on-all")
    found = audit_split(
        table,
        sides,
        declares=declares,
        dev_only=first.suite.dev_only,
        disjoint=first.suite.disjoint,
        near_duplicates=near_duplicates,
    )
    found += audit_choices(first.chosen, declares) + mixed
    return RowsAudit(
        rows=tuple(_label(record) for record in group),
        protocol=first.suite.protocol,
        declares=declares,
        chosen=first.chosen,
        counts={side: int((sides.side == side).sum()) for side in ("train", "dev", "test")},
        findings=tuple(sorted(found, key=lambda finding: ("leak", "warning", "info").index(finding.severity))),
    )


def _label(record: RunRecord) -> str:
    return f"{record.row} {record.train}→{record.test}" if record.train else record.row


def _mixed_tests(
    group: Sequence[RunRecord], records: Sequence[RunRecord], entries: dict[str, Assignments]
) -> list[Finding]:
    """Return a finding where other rows of the same table were scored on other utterances."""
    first = group[0]
    others = [r for r in records if (r.train, r.test) == (first.train, first.test)]
    tested = {r.row: entries[r.run_id].name[entries[r.run_id].side == "test"].tolist() for r in others}
    return audit_test_sets(tested)


def run_table(folder: Path) -> tuple[UtteranceTable, list[list[int]]]:
    """Return the run's utterances, and the groups of rows that sound the same."""
    path = folder / UTTERANCES
    if not path.is_file():
        raise DataError(f"{folder} has no {UTTERANCES} (it was made by an older ser-bench)", hint="run the suite again")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read: {error}") from None
    groups: dict[float, list[int]] = {}
    for row, group in enumerate(frame.get("near_duplicate", pd.Series(dtype=float)).tolist()):
        if group == group:  # NaN where nothing sounds alike
            groups.setdefault(group, []).append(row)
    table = UtteranceTable.from_frame(frame[[name for name in frame.columns if name in COLUMNS]])
    return table, list(groups.values())


def _entries(folder: Path, record: RunRecord, table: UtteranceTable) -> Assignments:
    assert record.predictions is not None
    path = folder / record.predictions.path
    try:
        frame = pd.read_parquet(path, columns=["fold", "side", "utterance_id", "speaker"])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read: {error}") from None
    frame = frame[~frame["side"].str.startswith(SIDE)]  # the test rows once more
    frame = frame.drop_duplicates(["fold", "side", "utterance_id"])
    if "inner folds" in record.chosen.values():  # training rows, judged by models that were fitted without them
        frame = frame[frame["side"] != "dev"]
    # The final model is refitted on train + dev: what stands in both is the dev side.
    keys = pd.MultiIndex.from_frame(frame[["fold", "utterance_id"]])
    frame = frame[~((frame["side"] == "train") & keys.isin(keys[frame["side"] == "dev"]))]
    position = pd.Series(np.arange(len(table)), index=table.column("utterance_id"))
    rows = position.reindex(frame["utterance_id"]).fillna(-1).to_numpy().astype(np.int64)
    known = rows >= 0
    told = np.where(frame["speaker"].isna(), None, frame["speaker"])[known]
    ours = table.column("speaker")[rows[known]]
    if any(a != b for a, b in zip(told, ours, strict=True)):
        raise DataError(f"{path}: its speakers are not those of {UTTERANCES}: the files belong to different runs")
    entries = Assignments.of(
        frame["fold"].tolist(), frame["side"].tolist(), rows.tolist(), frame["utterance_id"].tolist()
    )
    parents = position.reindex(table.column("parent")[rows]).fillna(-1).to_numpy().astype(np.int64)
    child = known & (parents >= 0)
    return replace(entries, row=np.where(child, parents, rows), child=child)
