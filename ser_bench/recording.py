"""From stored cells to run records: scores, timing, environment, code, written whole."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import ser_bench
from ser_bench import machine, registry, scoring
from ser_bench.cells import ORACLE, Cell, Row, conditions_of
from ser_bench.choices import choices_of
from ser_bench.curves import curve_of
from ser_bench.encoders import content_digests
from ser_bench.errors import DataError
from ser_bench.features.contract import FeatureSet
from ser_bench.features.tables import table_of
from ser_bench.matrices import Features
from ser_bench.plan import SCORING_SOURCES, Planned, Run
from ser_bench.protocols import Fold
from ser_bench.records import (
    UTTERANCES,
    BatchLatency,
    Code,
    Environment,
    FeaturesRef,
    Latency,
    ModelRef,
    PredictionsRef,
    RunRecord,
    Timing,
    decode,
    encode,
)
from ser_bench.references import Approach
from ser_bench.scoring import CellResult
from ser_bench.store import write_atomically
from ser_bench.suites import FULL


def stored_records(run: Run) -> dict[str, RunRecord]:
    """Return name -> record for the records of this plan that are finished, their predictions whole."""
    found = {}
    for planned in run.planned:
        path = run.folder / "records" / f"{planned.name}.json"
        if not path.is_file():
            continue
        try:
            record = decode(path.read_bytes(), str(path))
        except DataError:
            continue
        if record.run_id == planned.run_id and record.status != "failed" and _whole(run, record):
            found[planned.name] = record
    return found


def write_utterances(run: Run) -> None:
    """Write the utterance table of a run as ``utterances.parquet``: who was used, by id, and as which class.

    Stored predictions name utterances; with this table beside them a run can be audited without its corpora.
    """
    prepared = run.prepared
    names = np.array(prepared.scheme.classes, dtype=object)
    frame = prepared.table.frame.copy()
    if prepared.ratings is None:
        frame["class_name"] = names[prepared.classes]
    near = np.full(len(frame), np.nan)
    for number, rows in enumerate(prepared.near_duplicates):
        near[list(rows)] = number
    frame["near_duplicate"] = near
    frame["path"] = [path.encode(errors="backslashreplace").decode() for path in frame["path"]]  # may be no text
    data = frame.dropna(axis="columns", how="all").to_parquet(index=False, compression="zstd")
    path = run.folder / UTTERANCES
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data)


def write_record(
    run: Run, planned: Planned, timing: Timing | str | None, features: Mapping[str | None, Features | str]
) -> RunRecord:
    """Score a row from its stored cells, write its predictions and its record, and return the record.

    Args:
        run: The run.
        planned: What the record is about.
        timing: Of the solo pass, or why there is none.
        features: The laid-out features, for their warnings.
    """
    row = planned.row
    fields: dict[str, Any]
    failed = [cell for cell in planned.cells if cell.key in run.failures]
    if row.skip:
        fields = {"status": "skipped", "reason": row.skip}
    elif failed:
        first = f"{_where(run, failed[0])}: {run.failures[failed[0].key]}"
        fields = {"status": "failed", "reason": f"{len(failed)} of {len(planned.cells)} cells failed; first: {first}"}
    else:
        fields = _scored(run, planned, features.get(row.features))
        if isinstance(timing, str):
            fields["warnings"] = (*fields.get("warnings", ()), f"not timed: {timing}")
    record = RunRecord(
        run_id=planned.run_id,
        row=row.label,
        suite=run.suite_ref,
        model=_model_ref(
            row,
            run.suite.targets == "values",
            fields.pop("chosen_parameters", {}),
            fields.pop("n_parameters", None),
        ),
        features=_features_ref(run, row),
        approach=_approach(row),
        normalisation=row.normalise,
        corpora=run.corpora_of(planned.pair),
        train=planned.pair[0] if planned.pair else None,
        test=planned.pair[1] if planned.pair else None,
        folds=tuple(
            scoring.fold_ref(run.prepared, index, run.prepared.split.digests[index])
            for index in sorted({cell.fold for cell in planned.cells})
        ),
        folds_total=len({c.fold for c in planned.cells}) if planned.pair else run.prepared.split.total,
        seeds=row.seeds,
        timing=timing if isinstance(timing, Timing) else None,
        environment=_environment(row),
        code=_code(),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **fields,
    )
    write_atomically(run.folder / "records" / f"{planned.name}.json", encode(record))
    return record


def timing_of(run: Run, cell: Cell, again: CellResult, seconds_by_model: Mapping[str, Any]) -> Timing:
    """Return the timing of a solo refit, and whether it gave the stored predictions again, to the bit.

    Args:
        run: The run.
        cell: The cell that was refitted.
        again: The refit's result.
        seconds_by_model: The ``meta`` of the refit.
    """
    fold = run.prepared.split.folds[cell.fold]
    first = scoring.read_cell(run.cell_path(cell), fold)
    same = None
    if first is not None:
        same = all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)
    latency, rtf = _latency(seconds_by_model.get("latency"))
    return Timing(
        **seconds_by_model["timing"],
        threads=run.suite.threads,
        cell=_where(run, cell),
        latency=latency,
        rtf=rtf,
        reproduced=same,
        disk_bytes=seconds_by_model.get("disk_bytes"),
    )


def _latency(measured: Mapping[str, Any] | None) -> tuple[Latency | None, float | None]:
    """Return the latency, and the real-time factor: seconds of work per second of speech."""
    if measured is None:
        return None, None
    samples = np.array(measured["samples_ms"])
    total = samples.sum(axis=1)
    decode_ms, features_ms, predict_ms = (float(part) for part in np.median(samples, axis=0))
    latency = Latency(
        n=len(samples),
        n_utterances=measured["n_utterances"],
        p50_ms=float(np.median(total)),
        p95_ms=float(np.percentile(total, 95)),
        decode_ms=decode_ms,
        features_ms=features_ms,
        predict_ms=predict_ms,
        audio_s=float(measured["audio_s"]),
        samples_ms=_rounded(total),
        probe_ms=_rounded(measured["probe_ms"]),
        waited=round(measured["waited"], 4),
        batched=_batched(measured.get("batched")),
    )
    return latency, latency.work_s / latency.audio_s


def _batched(measured: Mapping[str, Any] | None) -> BatchLatency | None:
    if measured is None:
        return None
    found = np.array(measured["samples_ms"])
    p50_ms, p95_ms = (float(np.percentile(found, percent)) for percent in (50, 95))
    return BatchLatency(size=measured["size"], n=len(found), p50_ms=p50_ms, p95_ms=p95_ms)


def _rounded(milliseconds: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(one), 4) for one in milliseconds)


def _scored(run: Run, planned: Planned, features: Features | str | None) -> dict[str, Any]:
    results: list[tuple[Cell, CellResult]] = []
    for cell in planned.cells:
        result = scoring.read_cell(run.cell_path(cell), run.prepared.split.folds[cell.fold])
        if result is None:
            return {
                "status": "failed",
                "reason": f"{_where(run, cell)}: the stored result is missing, damaged, or lacks test rows",
            }
        results.append((cell, result))
    path = Path("predictions") / f"{planned.name}.parquet"
    sha256, n = scoring.write_predictions(run.folder / path, run.prepared, results)
    warnings = list(features.warnings) if isinstance(features, Features) else []
    if planned.row.cut:
        warnings.append(f"budget cut: {planned.row.cut}; all of it: --budget {FULL}")
    if run.suite.targets == "soft" and planned.row.spec.family != "baseline":
        warnings.append(scoring.targets_note(run.prepared, results))
    if (run.prepared.children or run.suite.oversample) and planned.row.feature_set and not planned.row.members:
        warnings.append(scoring.augmentation_note(results))
    if run.suite.stress and not conditions_of(planned.row, run.suite) and planned.row.spec.family != "baseline":
        whose = "of its rows were" if planned.row.members else "were"
        warnings.append(f"not stressed: features {whose} made elsewhere, and no changed sound has any")
    folds = run.prepared.split.folds
    curves = (curve_of(cell.seed, folds[cell.fold].fold_id, result.meta["facts"]) for cell, result in results)
    return {
        "status": "ok",
        **scoring.score_row(run.prepared, results),
        "stress": scoring.stress_scores(run.prepared, results, run.suite.primary),
        "curves": tuple(curve for curve in curves if curve),
        **choices_of(scoring.metas_of(run.prepared, results)),
        "chosen": _chosen(planned.row, [folds[cell.fold] for cell in planned.cells]),
        "n_parameters": results[0][1].meta["facts"].get("n_parameters"),
        "predictions": PredictionsRef(path=str(path), sha256=sha256, n=n),
        "warnings": tuple(warnings + scoring.prediction_warnings(run.prepared, results)),
    }


def _chosen(row: Row, folds: list[Fold]) -> dict[str, str]:
    """Return which rows chose what of a system; see :class:`~ser_bench.records.RunRecord`."""
    if row.members:
        told = [_chosen(member, folds) for member in row.members]
        return {what: min((one[what] for one in told), key=_CHOOSERS.index) for what in told[0]}
    dev = "inner folds" if any(f.inner for f in folds) else "dev" if any(len(f.dev) for f in folds) else "nothing"
    if (row.grid or row.spec.selects) and not all(len(f.judged) for f in folds):
        dev = "inner folds"  # a search deals its own where the protocol gives none
    scaler = {"standard": "train", "speaker": "each speaker", "corpus": "each corpus", "all": "all"}
    return {
        "checkpoint": dev if row.spec.uses_dev else "nothing",
        "features": dev if row.spec.selects else "train" if row.spec.narrows else "nothing",
        "scaler": scaler.get(row.normalise, "nothing"),
        "params": dev if row.grid else "nothing",
    }


_CHOOSERS = ("all", "each corpus", "each speaker", "dev", "inner folds", "train", "nothing")
"""Who chose something, from what a reader must know first to what needs no word; for rows made of rows."""


def _whole(run: Run, record: RunRecord) -> bool:
    from ser_bench.audio import file_digest

    if record.predictions is None:
        return True
    path = run.folder / record.predictions.path
    return path.is_file() and file_digest(path) == record.predictions.sha256


def _where(run: Run, cell: Cell) -> str:
    return f"{run.prepared.split.folds[cell.fold].fold_id}, seed {cell.seed}"


def _model_ref(row: Row, values: bool, chosen: dict[str, dict[str, Any]], n_parameters: int | None) -> ModelRef:
    return ModelRef(
        name=row.spec.name,
        title=row.spec.title,
        origin=row.origin,
        framework=row.spec.framework,
        family=row.spec.family,
        params=msgspec.to_builtins(row.params, str_keys=True),
        device=row.device,
        uses_dev=row.spec.uses_dev or row.spec.selects or bool(row.grid),
        targets="values" if values else "soft" if row.soft_targets else "hard",
        n_parameters=n_parameters,
        chosen=chosen,
        cut=row.cut,
    )


def _features_ref(run: Run, row: Row) -> FeaturesRef | None:
    found = row.feature_set
    if found is None:
        return None
    return FeaturesRef(
        name=ORACLE if run.canary == ORACLE else row.features_name or ORACLE,
        version=found.version,
        title=found.title if run.canary != ORACLE else "the class itself, with a little noise: a canary",
        n_columns=len(found.columns),
        sample_rate_hz=found.rate_hz(run.suite.sample_rate_hz),
        origin=_features_origin(row, found),
        n_parameters=found.n_parameters,
    )


def _features_origin(row: Row, found: FeatureSet) -> str:
    if table := table_of(found):
        return f"table {table.name}, sha256 {table.sha256}"
    if found.files:
        names = [Path(path).name for path in found.files]
        digests = zip(names, content_digests(found.files), strict=True)
        return "encoder, sha256 of " + ", ".join(f"{name} {sha256}" for name, sha256 in digests)
    return registry.origin("features", row.features or "")


def _approach(row: Row) -> Approach | None:
    """Return what a row learns from: designed vectors, an encoder, or frames, from which it has to learn features.

    A fusion learns from what the most of its rows asks for.
    """
    if row.members:
        found = {_approach(member) for member in row.members}
        return next((approach for approach in _APPROACHES if approach in found), None)
    if row.feature_set is None:
        return None
    if row.feature_set.pretrained or row.spec.pretrained:
        return "self-supervised"
    return "scratch" if row.feature_set.kind == "frames" else "hand-made"


_APPROACHES: tuple[Approach, ...] = ("self-supervised", "scratch", "hand-made")


def _environment(row: Row) -> Environment:
    own = row.environment
    return Environment(
        name=f"{own.name} {own.lock_digest}" if own else None,
        python=own.python if own else platform.python_version(),
        platform=platform.platform(),
        cpu=machine.cpu_name(),
        n_cpus=machine.n_cpus(),
        memory_gib=machine.memory_gib(),
        gpu=machine.gpu_name() if row.device != "cpu" else None,
        packages=_packages(row),
    )


def _packages(row: Row) -> dict[str, str]:
    """Return the versions where the model ran, and those of what decoded the sound for it."""
    sound = machine.package_versions(("librosa", "soundfile", "soxr"))
    named = [name for part in (row, *row.members) for name in part.spec.packages]
    return {**sound, **row.package_versions(("numpy", "scipy", "pandas", "pyarrow", *named))}


def _code() -> Code:
    commit, dirty = machine.commit()
    return Code(
        version=ser_bench.__version__, commit=commit, dirty=dirty, source=machine.source_digest(*SCORING_SOURCES)
    )
