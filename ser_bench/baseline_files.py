"""Baselines: what a later run is held against, as one small JSON file in the repository, per machine label.

A row's record is kept without what no comparison asks for, and beside it the answers to the test utterances, a
character per utterance and seed, so that accuracy stays paired. Truth and speakers are not kept: the run that is held
against the baseline brings them, and has to test the same utterances (``test_fingerprint``).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ser_bench import records
from ser_bench.errors import DataError, UsageError
from ser_bench.predictions import read_answers
from ser_bench.records import Environment, Latency, RunRecord, Timing
from ser_bench.store import write_atomically

SCHEMA_VERSION = 1

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/"
"""The character of each class, by its index."""

_PLACE = {character: index for index, character in enumerate(ALPHABET)}


class BaselineRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row as it was.

    ``record`` are the fields of its run record (:mod:`ser_bench.records`) that are not shared by all rows; there are no
    folds, confusions, searches, curves and prose.
    ``predicted`` is a text per seed: of classes a character of :data:`ALPHABET` per test utterance, of numbers
    little-endian float32 in base64; empty for rows without scores. The order is that of
    :class:`ser_bench.predictions.Answers`.
    """

    record: dict[str, Any]
    predicted: tuple[str, ...] = ()


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a later run is held against; ``label`` names the machine that it was measured on.

    ``shared`` are the fields of a run record in which all rows are equal.
    """

    schema_version: int
    label: str
    shared: dict[str, Any]
    rows: tuple[BaselineRow, ...]


def machine_label(environment: Environment) -> str:
    """Return a name for the machine, made of its CPU and how many it may use: ``amd-epyc-7763-2cpu``."""
    cpu = re.sub(r"\((r|tm)\)|\bcpu\b|@.*", " ", environment.cpu.casefold())
    return f"{re.sub(r'[^a-z0-9]+', '-', cpu).strip('-') or 'unknown'}-{environment.n_cpus}cpu"


def make_baseline(folder: Path, rows: Sequence[RunRecord], label: str | None = None) -> Baseline:
    """Return the baseline that a run makes.

    Args:
        folder: The run folder.
        rows: Its records.
        label: Name of the machine; None: :func:`machine_label`.

    Raises:
        UsageError: If the label can't be a file's name.
        DataError: If no row has scores, or predictions are missing.
    """
    if not any(record.status == "ok" for record in rows):
        raise DataError(
            f"{folder}: no row has scores, so nothing could be held against it", hint="ser-bench run --suite demo"
        )
    name = machine_label(rows[0].environment) if label is None else label
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name, re.ASCII):
        raise UsageError(f"--label {name!r}: letters, digits, '.', '_' and '-' expected", hint="--label ci-2cpu")
    kept = [_short(record) for record in rows]
    shared = {key: value for key, value in kept[0].items() if all(key in one and one[key] == value for one in kept)}
    return Baseline(
        schema_version=SCHEMA_VERSION,
        label=name,
        shared=shared,
        rows=tuple(
            BaselineRow(
                record={key: value for key, value in one.items() if key not in shared},
                predicted=_packed(folder, record) if record.status == "ok" else (),
            )
            for one, record in zip(kept, rows, strict=True)
        ),
    )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, a line per row, whole or not at all."""
    head = msgspec.json.encode(msgspec.structs.replace(baseline, rows=()))[: -len(b',"rows":[]}')]
    lines = b",\n".join(msgspec.json.encode(row) for row in baseline.rows)
    write_atomically(path, head + b',"rows":[\n' + lines + b"\n]}\n")


def read_baseline(path: Path) -> tuple[Baseline, list[RunRecord]]:
    """Return a stored baseline and its rows' records, upgraded to the current schema.

    Raises:
        DataError: If the file is no baseline, damaged, or of a newer schema.
    """
    try:
        raw = msgspec.json.decode(path.read_bytes())
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and not 1 <= version <= SCHEMA_VERSION:
            raise DataError(
                f"{path}: baseline of schema version {version}, this ser-bench reads 1 to {SCHEMA_VERSION}",
                hint="pip install --upgrade ser-bench",
            )
        baseline = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: no stored baseline ({error})", hint="ser-bench baseline set RUN") from None
    if not baseline.rows:
        raise DataError(f"{path}: a baseline of no rows", hint="ser-bench baseline set RUN")
    return baseline, [
        records.decode(msgspec.json.encode({**baseline.shared, **row.record}), str(path)) for row in baseline.rows
    ]


def unpack(row: BaselineRow, record: RunRecord, n: int) -> NDArray[Any]:
    """Return what a row of a baseline answered, shape (n_seeds, n): class indices, or numbers.

    Args:
        row: The row.
        record: Its record.
        n: Test utterances, as often as they are tested.

    Raises:
        DataError: If it holds other than ``n`` answers per seed of the record's classes.
    """
    what, again = f"baseline: {record.row}", "ser-bench baseline set RUN"
    if len(row.predicted) != len(record.seeds):
        raise DataError(f"{what}: answers of {len(record.seeds)} seeds expected, got {len(row.predicted)}", hint=again)
    try:
        lines = [_line(text, len(record.suite.classes)) for text in row.predicted]
    except (KeyError, ValueError, binascii.Error):
        raise DataError(f"{what}: its answers are damaged", hint=again) from None
    if got := next((len(line) for line in lines if len(line) != n), None):
        raise DataError(f"{what}: {n:,} answers per seed expected, got {got:,}", hint=again)
    return np.stack(lines)


def _line(text: str, n_classes: int) -> NDArray[Any]:
    if not n_classes:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float64)
    line = np.array([_PLACE[character] for character in text], dtype=np.int64)
    if (line >= n_classes).any():
        raise ValueError(text)
    return line


def _packed(folder: Path, record: RunRecord) -> tuple[str, ...]:
    predicted = read_answers(folder, record).predicted
    if not record.suite.classes:
        return tuple(base64.b64encode(line.astype("<f4").tobytes()).decode() for line in predicted)
    return tuple("".join(ALPHABET[index] for index in line) for line in predicted)


_BULK = {
    *("folds", "sides", "fold_scores", "per_class", "absent_classes", "confusion", "by_group", "soft", "search"),
    *("selection", "importances", "curves", "stress", "warnings", "predictions"),
}
"""Fields of a record that no comparison asks for; without them it is read as one that has none."""


def _short(record: RunRecord) -> dict[str, Any]:
    """Return the fields that a comparison asks for: identity, scores, timing, machine, code."""
    timing = record.timing
    kept = replace(
        record,
        suite=replace(record.suite, notes=(), references=(), bands=()),
        model=replace(record.model, chosen={}),
        corpora=tuple(
            replace(corpus, dropped={}, merged={}, unselected={}, per_class={}, examples={})
            for corpus in record.corpora
        ),
        timing=None if timing is None else _rounded(timing),
    )
    return {k: v for k, v in msgspec.to_builtins(kept).items() if v is not None and k not in _BULK}


def _rounded(timing: Timing) -> Timing:
    """Return the timing with samples to a microsecond, which says all and takes a third of the space."""
    if timing.latency is None:
        return timing

    def short(samples: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(round(sample, 3) for sample in samples)

    latency: Latency = timing.latency
    return replace(
        timing,
        latency=replace(latency, samples_ms=short(latency.samples_ms), probe_ms=short(latency.probe_ms)),
    )
