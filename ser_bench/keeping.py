"""Fitted models, kept in the run's folder: which are missing, and each written whole with what it was fitted on."""

from __future__ import annotations

import inspect
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import ser_bench
from ser_bench import machine, model_files, registry
from ser_bench.audio import file_digest
from ser_bench.cells import Cell, Row, feature_digest, source_digest
from ser_bench.encoders import content_digests, find_encoder
from ser_bench.errors import DataError, SerBenchError
from ser_bench.features.tables import table_of
from ser_bench.model_files import (
    Member,
    ModelFile,
    Normalisation,
    SavedFeatures,
    SavedSpec,
    TrainedOn,
    TrainingCorpus,
    folder_name,
)
from ser_bench.plan import Run
from ser_bench.store import write_atomically


def lacking_models(run: Run) -> list[Cell]:
    """Return the cells whose models shall be kept and are not; why rows can't be kept is noted in ``run.unkept``."""
    if not run.keep_models:
        return []
    for row in run.rows:
        if not row.skip and (why := _unkeepable(row)):
            run.unkept[row.label] = why
    kept = [row for row in run.rows if row.label not in run.unkept]
    return [cell for row in kept for cell in run.cells[row.label] if not _is_kept(run, cell)]


def request(run: Run, cell: Cell, scratch: Path) -> dict[str, str]:
    """Return what a cell's task says beside: where its model shall be saved, if it shall."""
    wanted = run.keep_models and any(twin.row.label not in run.unkept for twin in _twins(run, cell))
    return {"keep": str(scratch / f"model-{cell.key}")} if wanted else {}


def keep(run: Run, cell: Cell, answer: Mapping[str, Any], scratch: Path, *, reproduced: bool | None = None) -> None:
    """Move a model that a worker has saved to its place, for every row that the cell is one of.

    Args:
        run: The run.
        cell: The cell.
        answer: The worker's; without ``kept`` there is nothing to do.
        scratch: As for :func:`request`.
        reproduced: Whether a second fit gave the stored predictions again; None for a first one.
    """
    told = answer.get("kept")
    if told is None:
        return
    saved = scratch / f"model-{cell.key}"
    for twin in (twin for twin in _twins(run, cell) if twin.row.label not in run.unkept):
        if not told["ok"]:
            run.unkept[twin.row.label] = told["reason"]
            continue
        files = {path.name: file_digest(path) for path in sorted(saved.iterdir()) if path.is_file()}
        model = _described(run, twin, model=_spec(twin, answer["meta"]["chosen"], files), reproduced=reproduced)
        normaliser = msgspec.convert(told["normaliser"], Normalisation)
        stage = scratch / f"kept-{cell.key}"
        shutil.copytree(saved, stage)
        _place(run, twin, stage, msgspec.structs.replace(model, features=_features(run, twin), normaliser=normaliser))
    shutil.rmtree(saved, ignore_errors=True)


def keep_fusion(run: Run, cell: Cell, members: Sequence[tuple[Cell, float]], scratch: Path) -> None:
    """Write the file of a fused row on a fold: which kept models it averages.

    Args:
        run: The run.
        cell: The fused cell.
        members: Its cells with their weights.
        scratch: Where it is written first.
    """
    unkept = next((member for member, _ in members if not _is_kept(run, member)), None)
    if unkept is not None:
        run.unkept[cell.row.label] = f"its row {unkept.row.label!r} is not kept"
        return
    told = [
        Member(row=folder_name(member.row.label), folder=_folder(run, member).name, weight=weight)
        for member, weight in members
    ]
    stage = scratch / f"kept-{cell.key}"
    stage.mkdir()
    _place(run, cell, stage, _described(run, cell, members=tuple(told)))


def n_kept(run: Run) -> int:
    """Return how many models of this run are kept."""
    return sum(_is_kept(run, cell) for cells in run.cells.values() for cell in cells)


def _unkeepable(row: Row) -> str | None:
    if row.members:
        return None
    if row.feature_set is None:
        return "it looks at no sound"
    if table_of(row.feature_set):
        return "its features were made elsewhere: no sound can be turned into them"
    try:
        made = registry.import_object(row.spec.factory)
    except SerBenchError:  # in an environment of its own, say; its worker will tell
        return None
    if inspect.isclass(made) and not (hasattr(made, "save") and hasattr(made, "load")):
        return f"{made.__name__} has no save and load"
    return None


def _twins(run: Run, cell: Cell) -> list[Cell]:
    """Return the cells of all rows that are the same fit."""
    return [other for cells in run.cells.values() for other in cells if other.key == cell.key]


def _folder(run: Run, cell: Cell) -> Path:
    fold = run.prepared.split.folds[cell.fold].fold_id
    return run.folder / model_files.FOLDER / folder_name(cell.row.label) / f"{folder_name(fold)}-seed{cell.seed}"


def _is_kept(run: Run, cell: Cell) -> bool:
    folder = _folder(run, cell)
    try:
        return folder.is_dir() and model_files.read(folder).cell == cell.key
    except DataError:
        return False


def _place(run: Run, cell: Cell, stage: Path, model: ModelFile) -> None:
    write_atomically(stage / model_files.FILE, model_files.encode(model))
    folder = _folder(run, cell)
    shutil.rmtree(folder, ignore_errors=True)  # of another fit
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage.rename(folder)


def _described(run: Run, cell: Cell, **more: Any) -> ModelFile:
    commit, dirty = machine.commit()
    return ModelFile(
        row=cell.row.label,
        labels=run.suite_ref.labels,
        classes=run.suite_ref.classes,
        sample_rate_hz=run.suite.sample_rate_hz,
        trained_on=_trained_on(run, cell),
        cell=cell.key,
        code={"version": ser_bench.__version__, "commit": commit, "dirty": dirty},
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **more,
    )


def _trained_on(run: Run, cell: Cell) -> TrainedOn:
    fold = run.prepared.split.folds[cell.fold]
    rows = fold.fitted
    speakers, corpora = (run.prepared.table.column(name)[rows] for name in ("speaker", "corpus"))
    names = set(corpora.tolist())
    return TrainedOn(
        suite=run.suite_ref.name,
        suite_version=run.suite_ref.version,
        suite_digest=run.suite_ref.digest,
        protocol=run.suite_ref.protocol,
        declares=tuple(sorted(fold.declares)),
        fold=fold.fold_id,
        seed=cell.seed,
        n=len(rows),
        speakers=tuple(sorted(set(speakers.tolist()) - {None})),
        corpora=tuple(
            TrainingCorpus(name=c.name, title=c.title, version=c.version, licence=c.licence)
            for c in run.prepared.corpora
            if c.name in names
        ),
    )


def _spec(cell: Cell, chosen: dict[str, Any], files: dict[str, str]) -> SavedSpec:
    row = cell.row
    encoder = content_digests(find_encoder(row.params["encoder"]).files) if row.spec.pretrained else []
    return SavedSpec(
        name=row.spec.name,
        origin=row.origin,
        factory=row.spec.factory,
        params=msgspec.to_builtins(row.params, str_keys=True),
        chosen=chosen,
        source=source_digest(row.spec.factory, row.params),
        python=row.environment.python if row.environment else platform.python_version(),
        packages=row.package_versions(("numpy", *row.spec.packages)),
        encoder=tuple(encoder),
        files=files,
    )


def _features(run: Run, cell: Cell) -> SavedFeatures:
    name, found = cell.row.features, cell.row.feature_set
    assert name is not None and found is not None
    return SavedFeatures(
        name=name,
        version=found.version,
        digest=feature_digest(name, found, run.suite.sample_rate_hz),
        n_columns=len(found.columns),
        sample_rate_hz=found.rate_hz(run.suite.sample_rate_hz),
        packages=machine.package_versions(found.packages),
    )
