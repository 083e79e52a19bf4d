"""From a run folder to a published board: checked, merged with what stands there, its tables made anew."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pandas as pd

from ser_bench.cells import slug
from ser_bench.errors import DataError, UsageError, did_you_mean
from ser_bench.gap import gap_faults
from ser_bench.prediction_check import prediction_faults
from ser_bench.records import (
    GAP,
    PUBLICATION,
    UTTERANCES,
    PredictionsRef,
    Publication,
    RunRecord,
    encode,
    read_gap,
    read_publication,
    read_records,
)
from ser_bench.refusals import refusals
from ser_bench.report import write_reports
from ser_bench.store import digest, write_atomically
from ser_bench.submissions import identity

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")
_WHAT = {
    "dirty": "it was made with uncommitted changes",
    "partial": "it is not whole",
    "unknown-licence": "nobody has stated the licence of a corpus",
    "leak": "the leak audit found something",
}
_ORDER = ("predictions", UTTERANCES, GAP, PUBLICATION, "records")
"""What is written first: no record ever names a file that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of one run: the board's folder, and the labels of the rows that were added, replaced, or were there.

    ``overrides`` is what the board says now, as in :class:`~ser_bench.records.Publication`.
    """

    folder: Path
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    unchanged: tuple[str, ...]
    overrides: dict[str, tuple[str, ...]]


def publish(
    run: Path,
    to: Path,
    *,
    name: str | None = None,
    allow: Collection[str] = (),
    remarks: Mapping[str, str] | None = None,
    replace: bool = False,
) -> list[Published]:
    """Copy a run's records and predictions below ``to``, and make the tables there; where it has one, its control too.

    Rows of other runs of the suite on the same utterances stay beside; a row that stands there already stays as it is.

    Args:
        run: The run folder.
        to: Where published boards lie.
        name: The board's folder there; None for the run folder's name.
        allow: What of :data:`~ser_bench.refusals.OVERRIDES` is overridden; the board says so.
        remarks: Corpus -> what its copy is; the board says that, too.
        replace: Whether other rows of the same label, pair and device (and another gap) give way.

    Raises:
        DataError: If the run is refused or damaged, or does not go with what stands there; nothing is written then.
        UsageError: If the name is none of a folder, or a remark is about no corpus of the run.
    """
    name, remarks = name or run.resolve().name, dict(remarks or {})
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: letters, digits, '-', '_' and '.' expected", hint="--name my-board")
    runs = [(run, name)]
    gap = read_gap(run, read_records(run))
    if gap is not None:  # its figures are checked against the control, which has to lie beside it
        control = run.parent / gap.control_folder
        if not (
            _NAME.fullmatch(control.name) and control.name == gap.control_folder and (control / "records").is_dir()
        ):
            raise DataError(
                f"{run}: the control of its gap, {gap.control_folder}, does not lie beside it",
                hint=f"the run again with --gap, or rm {run / GAP}",
            )
        if name == control.name:
            raise UsageError(f"--name {name}: that is what the control of the run's gap is called")
        runs.insert(0, (control, control.name))
    corpora = {corpus.name for folder, _ in runs for record in read_records(folder) for corpus in record.corpora}
    for corpus in remarks.keys() - corpora:
        raise UsageError(f"--remark: {corpus!r} is no corpus of {run}" + did_you_mean(corpus, corpora))
    for folder, _ in runs:
        _check(folder, allow)
    with tempfile.TemporaryDirectory(prefix="ser-bench-") as scratch:
        boards = [_staged(folder, to / board, Path(scratch) / board, allow, remarks, replace) for folder, board in runs]
        for _, board in runs:
            _settle(Path(scratch) / board, to / board)
    return boards


def _check(run: Path, allow: Collection[str]) -> None:
    """Refuse a run that is damaged, or that stands under a refusal which is not overridden."""
    records = read_records(run)
    faults = [f"{record.row}: {fault}" for record in records for fault in prediction_faults(run, record)]
    faults += gap_faults(run, records)
    if faults:
        raise DataError(f"{run}: {faults[0]}", hint=f"ser-bench report --check {run}")
    if not (run / UTTERANCES).is_file():
        raise DataError(f"{run} has no {UTTERANCES} (it was made by an older ser-bench)", hint="the run again")
    found = refusals(run, records)
    suite, plan = slug(records[0].suite.name), digest(*(record.run_id for record in records))[:8]
    if re.fullmatch(rf"{re.escape(suite)}-[0-9a-f]{{8}}", run.resolve().name) and not run.resolve().name.endswith(plan):
        found["partial"] = (
            *found.get("partial", ()),
            "it lacks records of its plan: the run did not end, or lost some",
        )
    for what, sentences in found.items():
        if what not in allow:
            raise DataError(
                f"{run} can't be published: {_WHAT[what]} ({'; '.join(sentences)})",
                hint=f"--allow-{what} publishes it all the same, and its board says so",
            )


def _staged(
    run: Path, target: Path, stage: Path, allow: Collection[str], remarks: Mapping[str, str], replace: bool
) -> Published:
    """Make in ``stage`` what ``target`` is to become."""
    (stage / "records").mkdir(parents=True)
    (stage / "predictions").mkdir()
    standing: list[RunRecord] = []
    if (target / "records").is_dir():
        standing = read_records(target)
        _check_goes_with(run, target, standing)
        shutil.copytree(target, stage, dirs_exist_ok=True)
    files = {identity(record): path.stem for path, record in zip(_record_files(target), standing, strict=True)}
    by_identity = {identity(record): record for record in standing}
    became: dict[str, list[str]] = {"added": [], "replaced": [], "unchanged": []}
    for path, record in zip(_record_files(run), read_records(run), strict=True):
        other = by_identity.get(identity(record))
        if other is not None and (_same(record, other) or (other.status == "ok" and record.status != "ok")):
            became["unchanged"].append(record.row)
            continue
        if other is not None and other.status == "ok" and not replace:
            raise DataError(
                f"{target} has another result of {record.row} ({other.created}; this one: {record.created})",
                hint="--replace, or --name for a board of its own",
            )
        stem = files.get(identity(record)) or _free_stem(stage, path.stem)
        _lay(run, stage, stem, record)
        became["replaced" if other is not None else "added"].append(record.row)
    shutil.copyfile(run / UTTERANCES, stage / UTTERANCES)
    _lay_gap(run, stage, target, replace)
    overrides = _describe(stage, target, allow, remarks)
    write_reports(stage, read_records(stage))
    return Published(folder=target, overrides=overrides, **{what: tuple(rows) for what, rows in became.items()})


def _check_goes_with(run: Path, target: Path, standing: Sequence[RunRecord]) -> None:
    """Refuse to lay rows beside those of another suite, or of other utterances."""
    ours, theirs = read_records(run)[0].suite, standing[0].suite
    for what, one, other in (
        ("suite", f"{ours.name} v{ours.version} {ours.digest}", f"{theirs.name} v{theirs.version} {theirs.digest}"),
        ("canary", ours.canary, theirs.canary),
    ):
        if one != other:
            raise DataError(f"{target} is a board of {what} {other}, {run} of {one}", hint="--name another-board")
    tables = [pd.read_parquet(folder / UTTERANCES) for folder in (run, target)]
    if not tables[0].equals(tables[1]):
        raise DataError(
            f"{target} is about other utterances than {run}: another copy of the corpora", hint="--name another-board"
        )


def _same(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records are the same but for the place of their predictions."""
    sha256 = [record.predictions.sha256 if record.predictions else None for record in (one, other)]
    without = [msgspec.structs.replace(record, predictions=None) for record in (one, other)]
    return sha256[0] == sha256[1] and without[0] == without[1]


def _lay(run: Path, stage: Path, stem: str, record: RunRecord) -> None:
    old = stage / "predictions" / f"{stem}.parquet"
    old.unlink(missing_ok=True)
    if record.predictions is not None:
        shutil.copyfile(run / record.predictions.path, old)
        at = PredictionsRef(
            path=f"predictions/{stem}.parquet", sha256=record.predictions.sha256, n=record.predictions.n
        )
        record = msgspec.structs.replace(record, predictions=at)
    (stage / "records" / f"{stem}.json").write_bytes(encode(record))


def _free_stem(stage: Path, stem: str) -> str:
    """Return ``stem``, under another number where a row of another run has it."""
    taken = {path.stem[:3] for path in _record_files(stage)}
    return stem if stem[:3] not in taken else f"{max(map(int, taken)) + 1:03d}{stem[3:]}"


def _lay_gap(run: Path, stage: Path, target: Path, replace: bool) -> None:
    if not (run / GAP).is_file():
        return
    ours, theirs = (run / GAP).read_bytes(), (target / GAP).read_bytes() if (target / GAP).is_file() else None
    if theirs not in (None, ours) and not replace:
        raise DataError(f"{target} has another {GAP}", hint="--replace, or --name for a board of its own")
    (stage / GAP).write_bytes(ours)


def _describe(
    stage: Path, target: Path, allow: Collection[str], remarks: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Write what the board says of its rows and copies; return the overrides."""
    before = read_publication(stage) or Publication()
    found = refusals(stage, read_records(stage))
    for what in found.keys() - {*allow, *before.overrides}:
        raise DataError(
            f"{target}, with these rows, can't be published: {_WHAT[what]} ({'; '.join(found[what])})",
            hint="--name another-board",
        )
    now = Publication(overrides=found, remarks=dict(sorted({**before.remarks, **remarks}.items())))
    (stage / PUBLICATION).unlink(missing_ok=True)
    if now != Publication():
        (stage / PUBLICATION).write_bytes(msgspec.json.format(msgspec.json.encode(now), indent=1) + b"\n")
    return found


def _settle(stage: Path, target: Path) -> None:
    """Bring a board to what was staged, file by file, each whole; what is the same is not touched."""
    files = [path.relative_to(stage) for path in sorted(stage.rglob("*")) if path.is_file()]
    for part in sorted(files, key=lambda file: _ORDER.index(file.parts[0]) if file.parts[0] in _ORDER else len(_ORDER)):
        data = (stage / part).read_bytes()
        if not (target / part).is_file() or (target / part).read_bytes() != data:
            write_atomically(target / part, data)
    known = (*(target / "records").glob("*.json"), *(target / "predictions").glob("*.parquet"), target / PUBLICATION)
    for path in known:
        if path.relative_to(target) not in files:
            path.unlink(missing_ok=True)


def _record_files(folder: Path) -> list[Path]:
    return sorted((folder / "records").glob("*.json"))
