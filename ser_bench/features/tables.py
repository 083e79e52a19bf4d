"""Features made elsewhere: a table with a row of numbers per utterance, used as a set of vectors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ser_bench.audio import file_digest
from ser_bench.errors import DataError, UsageError
from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.utterances import COLUMNS

SUFFIXES = (".csv", ".tsv", ".parquet")

_PLACES = ("corpus", "file", "start", "end")
"""Columns that say where a row's sound lies: read by nobody, as ``file`` is where ids stand."""

_NO_SOUND = frozenset(COLUMNS) | {"label", "class", "class_name", "target", "fold", "split", "actor"}
"""Columns that say something of an utterance that is not its sound; a number in one would tell a model the answer."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a table of features.

    Attributes:
        name: The file's name.
        sha256: Of the file's bytes.
        place: Utterance id, as the table gives it -> row.
        values: Shape (n_rows, n_columns), all finite.
    """

    name: str
    sha256: str
    place: dict[str, int] = field(repr=False)
    values: Float32 = field(repr=False)

    def __call__(self, analysis: Analysis) -> Float32:
        """Refuse: what made the table is not here.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{self.name} holds features that were made elsewhere; there is nothing to compute them with")

    def of(self, ids: Sequence[str]) -> Float32:
        """Return the values of utterances, shape (len(ids), n_columns).

        Args:
            ids: ``corpus:name``; a table may leave the corpus out where its utterances are of one corpus.

        Raises:
            DataError: If utterances have no row; or if one row without a corpus answers to utterances of two.
        """
        rows = [self.place.get(name, self.place.get(name.partition(":")[2], -1)) for name in ids]
        missing = [name for name, row in zip(ids, rows, strict=True) if row < 0]
        if missing:
            some = ", ".join(missing[:_SHOWN])
            raise DataError(
                f"{self.name} has no row for {len(missing):,} of {len(ids):,} utterances (first: {some}); "
                f"its rows are called {', '.join(list(self.place)[:_SHOWN])}",
                hint="ser-bench show utterances CORPUS --out ids.csv",
            )
        places, n = np.unique(rows, return_counts=True)
        if (n > 1).any():
            twice = [name for name, row in zip(ids, rows, strict=True) if row == places[n > 1][0]]
            raise DataError(
                f"{self.name}: one row answers to {' and '.join(twice[:2])}", hint="utterance ids as corpus:name"
            )
        return self.values[rows]


def table_of(feature_set: FeatureSet | None) -> TableRows | None:
    """Return the rows of a set that is a table made elsewhere; None for one that is computed here."""
    return feature_set.compute if feature_set and isinstance(feature_set.compute, TableRows) else None


def table_set(path: str) -> FeatureSet:
    """Return the table at ``path`` as a feature set.

    ``utterance_id`` says whose a row is, or ``file``, whose last part without its suffix is the id; both may be levels
    of an index, as in what the openSMILE package makes. Every other column, but for ``corpus``, ``start`` and ``end``,
    is a feature.

    Raises:
        UsageError: If there is no such file, or none that can be read.
        DataError: If it lacks ids or features, an id stands twice, or a feature is no finite number.
    """
    if not Path(path).is_file():
        raise UsageError(f"table of features {path!r} is not there", hint="ser-bench list features")
    columns, rows = _read(path, file_digest(path))
    return FeatureSet(
        name=rows.name,
        version=1,
        title=f"A table made elsewhere: {len(columns):,} columns for {len(rows.place):,} utterances",
        kind="vector",
        columns=columns,
        compute=rows,
        packages=(),
        sample_rate_hz="native",
    )


@lru_cache(maxsize=4)
def _read(path: str, sha256: str) -> tuple[tuple[str, ...], TableRows]:
    name = Path(path).name
    frame = _frame(path, name)
    if "utterance_id" in frame:
        ids = frame.pop("utterance_id")
    elif "file" in frame:
        ids = frame["file"].map(lambda file: Path(str(file)).stem, na_action="ignore")
    else:
        raise DataError(
            f"{name}: no column utterance_id (or file) says whose a row is; its columns begin with "
            f"{', '.join(map(str, frame.columns[:_SHOWN]))}",
            hint="ser-bench show utterances CORPUS --out ids.csv",
        )
    frame = frame.drop(columns=[place for place in _PLACES if place in frame])
    columns = tuple(re.sub(r"[][<]+", "_", str(column)).strip("_") for column in frame.columns)
    _check_columns(name, columns)
    texts = ids.astype(str).str.strip()
    if ids.isna().any() or texts.duplicated().any():
        fault = f"{texts[texts.duplicated()].iloc[0]!r} stands twice" if not ids.isna().any() else "a row has none"
        raise DataError(f"{name}: one row per utterance expected, but of the ids {fault}")
    values = np.stack([_numbers(name, column, frame.iloc[:, at], texts) for at, column in enumerate(columns)], axis=1)
    return columns, TableRows(name, sha256, {text: row for row, text in enumerate(texts)}, values)


def _frame(path: str, name: str) -> pd.DataFrame:
    try:
        if path.endswith(".parquet"):
            frame = pd.read_parquet(path)
        else:
            separator = "\t" if path.endswith(".tsv") else ","
            texts = dict.fromkeys(("utterance_id", "file"), str)  # an id may be spelt with nothing but digits
            frame = pd.read_csv(path, sep=separator, dtype=texts, encoding="utf-8-sig", low_memory=False)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        raise DataError(f"{name}: no table that can be read: {error}") from None
    named = [level for level in frame.index.names if level is not None]
    return frame.reset_index(named).reset_index(drop=True) if named else frame


def _check_columns(name: str, columns: Sequence[str]) -> None:
    if not columns:
        raise DataError(f"{name}: it holds no column of features")
    if twice := [column for column in columns if columns.count(column) > 1]:
        raise DataError(f"{name}: column {twice[0]!r} stands twice")
    if "frame" in columns:
        raise DataError(f"{name}: one row per utterance expected; it holds frames", hint="NAME+functionals sums up")
    if told := [column for column in columns if column.casefold() in _NO_SOUND]:
        raise DataError(f"{name}: column {told[0]!r} says nothing of the sound; a table of features must not hold it")


def _numbers(name: str, column: str, cells: pd.Series, ids: pd.Series) -> Float32:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{name}: column {column!r}: a finite number expected, got {cells.iloc[row]} ({ids.iloc[row]})")
    return values
