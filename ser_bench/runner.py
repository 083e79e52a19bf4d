"""Suite x model x seed x fold: features, cells, the solo pass, records; stored work is never done twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench import scoring
from ser_bench.cells import Cell, Row, conditions_of
from ser_bench.errors import PrerequisiteError
from ser_bench.features.tables import table_of
from ser_bench.fusion import fuse, fused_timing, members_of
from ser_bench.keeping import keep, keep_fusion, lacking_models, request
from ser_bench.matrices import Features, lay_out
from ser_bench.plan import Run
from ser_bench.pool import run_task
from ser_bench.prepare import Prepared
from ser_bench.recording import stored_records, timing_of, write_record, write_utterances
from ser_bench.records import RunRecord, Timing
from ser_bench.stress_features import lay_out_stressed

LATENCY_UTTERANCES = 20
"""Test utterances whose latency is measured, spread evenly over the fold's test side."""

BATCH_UTTERANCES = 32
"""Test utterances that are asked about at once, spread likewise; fewer where the fold tests fewer."""

Matrices = Mapping[str | None, Features | str]


def execute(run: Run) -> list[RunRecord]:
    """Do what is not stored yet, and return the records in the plan's order.

    Raises:
        PrerequisiteError: If another run holds the same run folder.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with _locked(run.folder):
        write_utterances(run)
        known = stored_records(run)
        rows = _needed(run, [planned.row for planned in run.planned if planned.name not in known])
        used = _needed(run, [*rows, *(cell.row for cell in lacking_models(run))])
        timings: dict[str, Timing | str] = {}
        matrices: Matrices = {}
        if used:
            _sweep(run.folder)
            with tempfile.TemporaryDirectory(prefix=".scratch-", dir=run.folder, ignore_cleanup_errors=True) as folder:
                scratch = Path(folder)
                matrices = lay_out(used, run.prepared, run.suite, run.workshop, canary=run.canary, scratch=scratch)
                data = _write_data(run.prepared, scratch)
                _run_cells(run, rows, matrices, data, scratch)
                _keep_models(run, matrices, data, scratch)
                timings = _solo_pass(run, rows, matrices, data, scratch)
        records: dict[tuple[str, tuple[str, str] | None], RunRecord] = {}
        for planned in run.planned:
            timing = timings.get(planned.row.label)
            if planned.row.members and planned.cells:
                members = [records[member.label, planned.pair] for member in planned.row.members]
                timing = fused_timing(planned.cells[0], members)
            records[planned.row.label, planned.pair] = known.get(planned.name) or write_record(
                run, planned, timing, matrices
            )
        return list(records.values())


def _needed(run: Run, todo: Sequence[Row]) -> list[Row]:
    """Return the rows that have to be looked at for the records ``todo``: theirs, and those that they are made of."""
    labels = {row.label for wanted in todo for row in (wanted, *wanted.members)}
    return [row for row in run.rows if row.label in labels and not row.skip]


def missing_cells(run: Run, rows: Sequence[Row]) -> list[Cell]:
    """Return the cells of ``rows`` that have no whole stored result, each once."""
    folds = run.prepared.split.folds
    cells = {cell.key: cell for row in rows for cell in run.cells[row.label]}
    return [cell for cell in cells.values() if scoring.read_cell(run.cell_path(cell), folds[cell.fold]) is None]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the run folder; a second runner of the same plan is told so instead of working beside the first."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PrerequisiteError(
                f"{folder} is in use by another ser-bench run", hint="wait for it, or use another --out"
            ) from None
        yield


def _sweep(folder: Path) -> None:
    """Remove what a killed run has left behind; the lock says that nobody uses it."""
    for left in folder.glob(".scratch-*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in folder.rglob(".part-*"):
        left.unlink(missing_ok=True)


def _write_data(prepared: Prepared, scratch: Path) -> str:
    arrays: dict[str, NDArray[Any]] = {
        "classes": prepared.classes[prepared.origins],
        "speakers": prepared.table.codes("speaker")[prepared.origins],
        "corpora": prepared.table.codes("corpus")[prepared.origins],
        "parents": prepared.parents,
    }
    for index, fold in enumerate(prepared.split.folds):
        arrays |= {f"train_{index}": fold.train, f"dev_{index}": fold.dev, f"test_{index}": fold.test}
        for number, (fit, judge) in enumerate(fold.inner):
            arrays |= {f"fit_{index}_{number}": fit, f"judge_{index}_{number}": judge}
    if prepared.ratings is not None:
        arrays["ratings"] = prepared.ratings[prepared.origins]
    if prepared.votes is not None:
        arrays["distributions"] = prepared.soft_targets[prepared.origins]
    path = scratch / "data.npz"
    np.savez(path, allow_pickle=False, **arrays)
    return str(path)


def _task(run: Run, cell: Cell, matrices: Matrices, data: str, scratch: Path, out: Path) -> dict[str, Any] | str:
    """Return a cell's task, or why it can't be run."""
    row = cell.row
    features = matrices[row.features]
    if isinstance(features, str):
        return features
    return {
        "task": "cell",
        "factory": row.spec.factory,
        "requires": list(row.spec.requires),
        "params": row.params,
        "grid": row.grid,
        "uses_dev": row.spec.uses_dev,
        "selects": row.spec.selects,
        "importances": row.importances,
        "groups": dict(row.feature_set.groups) if row.feature_set else {},
        "soft_targets": row.soft_targets,
        "normalise": row.normalise,
        "augment": row.augment,
        "oversample": row.rare_classes(run.prepared.scheme.classes),
        "data": data,
        "fold": cell.fold,
        "inner": len(run.prepared.split.folds[cell.fold].inner),
        "primary": run.suite.primary,
        "values": features.values,
        "offsets": features.offsets,
        "columns": list(features.columns),
        "class_names": list(run.suite_ref.classes),
        "seed": cell.seed,
        "device": row.device,
        "threads": run.suite.threads,
        "scratch": str(scratch),
        "permute": run.canary == "permuted",
        "out": str(out),
    }


def _run_cells(run: Run, rows: Sequence[Row], matrices: Matrices, data: str, scratch: Path) -> None:
    todo = missing_cells(run, rows)
    if not todo:
        return
    stressed = lay_out_stressed(todo, run.prepared, run.suite, run.workshop, scratch)
    step = run.workshop.progress("fit and predict", len(todo))
    pending: dict[Future[dict[str, Any]], Cell] = {}
    fused = [cell for cell in todo if cell.row.members]
    for cell in (cell for cell in todo if not cell.row.members):
        task = _task(run, cell, matrices, data, scratch, run.cell_path(cell))
        stress = stressed.get(cell.row.features) if conditions_of(cell.row, run.suite) else None
        if isinstance(task, str) or isinstance(stress, str):
            run.failures[cell.key] = task if isinstance(task, str) else str(stress)
            step(1)
        else:
            task |= {"stress": stress, **request(run, cell, scratch)}
            pending[run.workshop.submit(task, **cell.row.worker())] = cell
    for future in as_completed(list(pending)):
        answer = future.result()
        if not answer["ok"]:
            run.failures[pending[future].key] = answer["reason"]
        else:
            keep(run, pending[future], answer, scratch)
        step(1)
    for cell in fused:
        if why := fuse(run, cell):
            run.failures[cell.key] = why
        step(1)


def _keep_models(run: Run, matrices: Matrices, data: str, scratch: Path) -> None:
    """Fit stored cells again whose models shall be kept and are not; each has to predict what is stored."""
    todo = [cell for cell in lacking_models(run) if cell.key not in run.failures]
    again = {cell.key: cell for cell in todo if not cell.row.members}
    step = run.workshop.progress("fit again to keep models", len(again)) if again else None
    pending: dict[Future[dict[str, Any]], Cell] = {}
    for cell in again.values():
        task = _task(run, cell, matrices, data, scratch, scratch / f"again-{cell.key}.npz")
        if isinstance(task, str):
            run.unkept[cell.row.label] = task
        else:
            pending[run.workshop.submit(task | request(run, cell, scratch), **cell.row.worker())] = cell
    for future in as_completed(list(pending)):
        cell, answer = pending[future], future.result()
        if answer["ok"]:
            keep(run, cell, answer, scratch, reproduced=_reproduced(run, cell, scratch / f"again-{cell.key}.npz"))
        else:
            run.unkept[cell.row.label] = answer["reason"]
        if step:
            step(1)
    for cell in (cell for cell in todo if cell.row.members and cell.row.label not in run.unkept):
        keep_fusion(run, cell, members_of(run, cell), scratch)


def _reproduced(run: Run, cell: Cell, out: Path) -> bool | None:
    """Whether a second fit gave the stored result again, to the bit; None where there is none to compare with."""
    fold = run.prepared.split.folds[cell.fold]
    first, again = (scoring.read_cell(path, fold) for path in (run.cell_path(cell), out))
    if first is None or again is None:
        return None
    same = all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)
    if not same:
        where = f"{cell.row.label}, {fold.fold_id}, seed {cell.seed}"
        run.notes.append(f"{where}: the kept model was fitted again, and predicts otherwise than the stored result")
    return same


def _solo_pass(run: Run, rows: Sequence[Row], matrices: Matrices, data: str, scratch: Path) -> dict[str, Timing | str]:
    """Refit one cell of each row with nothing else running: the board's fit time, latency and peak memory.

    Returns:
        Row label -> its timing, or why there is none.
    """
    labels = {row.label for row in rows if not row.members}
    whole = [p for p in run.planned if p.cells and not any(cell.key in run.failures for cell in p.cells)]
    cells = {p.row.label: p.cells[0] for p in reversed(whole) if p.row.label in labels}
    step = run.workshop.progress("time alone", len(cells)) if cells else None
    timed: dict[str, Timing | str] = {}
    for label in (row.label for row in rows if row.label in cells):
        timed[label] = _refit(run, cells[label], matrices, data, scratch)
        if step:
            step(1)
    return timed


def _refit(run: Run, cell: Cell, matrices: Matrices, data: str, scratch: Path) -> Timing | str:
    row = cell.row
    out = scratch / f"solo-{cell.key}.npz"
    task = _task(run, cell, matrices, data, scratch, out)
    if isinstance(task, str):
        return task
    task["size"] = True
    if row.feature_set is not None and not table_of(row.feature_set) and run.canary is None:
        task["latency"] = _latency_items(run, cell)
        # Another environment can neither decode nor extract; beside TensorFlow, openSMILE can't start.
        if row.environment or (row.spec.framework == "keras" and "opensmile" in row.feature_set.requires):
            extracted = _alone(run, {"task": "extraction", "latency": task["latency"]})
            if not extracted["ok"]:
                return str(extracted["reason"])
            task["latency"]["extracted"] = {name: found for name, found in extracted.items() if name != "ok"}
    # A process for each framework: what one leaves in memory is not the next one's peak.
    answer = _alone(run, task, framework=row.spec.framework, **row.worker())
    again = scoring.read_cell(out, run.prepared.split.folds[cell.fold]) if answer["ok"] else None
    if again is None:
        return str(answer.get("reason", "its result could not be read back"))
    return timing_of(run, cell, again, answer["meta"])


def _alone(run: Run, task: dict[str, Any], **worker: Any) -> dict[str, Any]:
    settings = {**run.workshop.worker, **worker}
    return run.solo.submit(run_task, {**task, "worker": settings, "timeout_s": run.workshop.timeout_s}).result()


def _latency_items(run: Run, cell: Cell) -> dict[str, Any]:
    test = run.prepared.split.folds[cell.fold].test
    sources = run.prepared.sources()

    def spread(most: int) -> list[list[Any]]:
        rows = test[np.unique(np.linspace(0, len(test) - 1, min(most, len(test))).round().astype(int))].tolist()
        return [[row, os.fsencode(sources[row].path), sources[row].start_s, sources[row].end_s] for row in rows]

    feature_set = cell.row.feature_set
    assert feature_set is not None
    return {
        "features": cell.row.features,
        "sample_rate_hz": feature_set.rate_hz(run.suite.sample_rate_hz),
        "items": spread(LATENCY_UTTERANCES),
        "batch": spread(BATCH_UTTERANCES),
    }
