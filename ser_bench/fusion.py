"""Rows made of other rows: late fusion of stored answers, cell by cell, and the cost of what was fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench import scoring
from ser_bench.cells import Cell, conditions_of
from ser_bench.plan import Run
from ser_bench.records import Latency, RunRecord, Timing
from ser_bench.worker import write_cell


def members_of(run: Run, cell: Cell) -> list[tuple[Cell, float]]:
    """Return the cells that a fused cell is made of, all seeds of all its rows on its fold, with their weights.

    The weights sum to 1: a row's is shared by its seeds.
    """
    row = cell.row
    total = sum(row.weights)
    found = []
    for member, weight in zip(row.members, row.weights, strict=True):
        cells = [own for own in run.cells[member.label] if own.fold == cell.fold]
        found += [(own, weight / total / len(cells)) for own in cells]
    return found


def fuse(run: Run, cell: Cell) -> str | None:
    """Write a fused cell from the stored results of its members; return why it can't be done, or None.

    The probability of a class is the weighted mean of the members', and the label is the most probable class; a number
    is the weighted mean of theirs.
    """
    fold, conditions = run.prepared.split.folds[cell.fold], conditions_of(cell.row, run.suite)
    numbers = run.prepared.ratings is not None
    means: dict[str, Any] = dict.fromkeys(("test", "train", *conditions), 0.0)
    n_parameters: int | None = 0
    for member, weight in members_of(run, cell):
        result = scoring.read_cell(run.cell_path(member), fold)
        if result is None:
            return f"row {member.row.label!r} failed: {run.failures.get(member.key, 'no stored result')}"
        if not numbers and "train_scores" not in result.arrays:
            return f"row {member.row.label!r} gives no probabilities to average (a calibrated model does)"
        for side in means:
            means[side] = means[side] + weight * _answers(result, side, numbers).astype(np.float64)
        n = result.meta["facts"].get("n_parameters")
        n_parameters = None if n is None or n_parameters is None else n_parameters + int(n)
    nobody = np.zeros(0, dtype=np.int64)
    arrays = {
        "train": fold.fitted.astype(np.int64),
        "dev": nobody,
        "dev_labels": nobody,
        "test": fold.test.astype(np.int64),
    }
    names = {"test": "test", "train": "train", **{name: f"stress_{index}" for index, name in enumerate(conditions)}}
    for side, name in names.items():
        arrays[f"{name}_labels"] = means[side] if numbers else means[side].argmax(axis=1)
        if not numbers:
            arrays[f"{name}_scores"] = means[side].astype(np.float32) if side == "train" else means[side]
    facts = {} if n_parameters is None else {"n_parameters": n_parameters}
    meta = {"chosen": {}, "search": [], "facts": facts, "timing": {}, "stress": list(conditions)}
    if not numbers:
        meta["score_kind"] = "probability"
    write_cell(run.cell_path(cell), arrays, meta)
    return None


def _answers(result: scoring.CellResult, side: str, numbers: bool) -> NDArray[Any]:
    """Return what a member says of ``test``, ``train`` or a condition: numbers, or probabilities of classes."""
    if side in ("test", "train"):
        return result.arrays[f"{side}_labels" if numbers else f"{side}_scores"]
    labels, scores = result.stress[side]
    found = labels if numbers else scores
    assert found is not None  # who gives probabilities gives them under every condition
    return found


def fused_timing(cell: Cell, records: Sequence[RunRecord]) -> Timing | str:
    """Return what a fused row costs: the sum of what its rows cost, one after another, on one machine.

    Each row decodes and extracts once, and predicts once per seed; peak memory is that of the largest. Rounds of calls
    are added up as far as all rows have them.

    Args:
        cell: One of the fused row's cells.
        records: The records of its rows, in their order.
    """
    timings = [record.timing for record in records]
    if any(timing is None for timing in timings):
        return "one of its rows was not timed"
    known = [timing for timing in timings if timing is not None]
    seeds = [len(member.seeds) for member in cell.row.members]
    peaks = [timing.peak_mib for timing in known if timing.peak_mib is not None]
    latency = _latency([timing.latency for timing in known], seeds)
    return Timing(
        fit_s=sum(timing.fit_s * n for timing, n in zip(known, seeds, strict=True)),
        predict_s=sum(timing.predict_s * n for timing, n in zip(known, seeds, strict=True)),
        peak_mib=max(peaks) if peaks else None,
        threads=max(timing.threads for timing in known),
        cell=known[0].cell,
        latency=latency,
        rtf=None if latency is None else latency.work_s / latency.audio_s,
        reproduced=None if any(t.reproduced is None for t in known) else all(t.reproduced for t in known),
    )


def _latency(parts: Sequence[Latency | None], seeds: Sequence[int]) -> Latency | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({(part.n_utterances, part.audio_s) for part in known}) != 1:
        return None
    more = [part.predict_ms * (n - 1) for part, n in zip(known, seeds, strict=True)]
    n = min(len(part.samples_ms) for part in known)
    samples = np.sum([part.samples_ms[:n] for part in known], axis=0) + sum(more)
    probes = [part.probe_ms[:n] for part in known if len(part.probe_ms) >= n]
    return Latency(
        n=n,
        n_utterances=known[0].n_utterances,
        p50_ms=float(np.median(samples)),
        p95_ms=float(np.percentile(samples, 95)),
        decode_ms=sum(part.decode_ms for part in known),
        features_ms=sum(part.features_ms for part in known),
        predict_ms=sum(part.predict_ms * n for part, n in zip(known, seeds, strict=True)),
        audio_s=known[0].audio_s,
        samples_ms=tuple(round(float(t), 4) for t in samples),
        probe_ms=tuple(round(float(t), 4) for t in np.mean(probes, axis=0)) if len(probes) == len(known) else (),
    )
