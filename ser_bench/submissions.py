"""A submission opened with care: a folder or an archive of run folders that strangers filled, looked at before read."""

from __future__ import annotations

import contextlib
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ser_bench.corpora.unpack import unpack
from ser_bench.errors import DataError, PrerequisiteError
from ser_bench.records import GAP, PUBLICATION, UTTERANCES, RunRecord
from ser_bench.utterances import NUMBER_COLUMNS, TEXT_COLUMNS

MAX_JSON_BYTES = 32 * 2**20
MAX_ROWS = 20_000_000
MAX_COLUMN_BYTES = 2 * 2**30
"""Of all columns of one Parquet file, decompressed."""

MAX_TEXT = 10_000
"""Characters of one cell: votes, as JSON text, are the longest."""

_NAME = r"[A-Za-z0-9_.-]{1,120}"
_FILES = (
    rf"records/{_NAME}\.json",
    rf"predictions/{_NAME}\.parquet",
    rf"leaderboard\.\w{{2,5}}|index\.html|badge\.svg|model-index-{_NAME}\.yml|predictions\.parquet",
    "|".join(map(re.escape, (UTTERANCES, GAP, PUBLICATION, ".lock"))),
)
"""What lies in a run folder, tables too: ``report --check`` compares those with what they are made from."""

_KNOWN = re.compile("|".join(_FILES))
_PREDICTIONS = re.compile(rf"predictions/{_NAME}\.parquet")
_SHOWN = 20
"""Faults of form that are told one by one."""

_ANSWERS = (
    ("seed", "fold", "side", "utterance_id", "speaker"),
    ("seed", "truth_value", "predicted_value"),
    ("fold", "side", "utterance_id", "speaker", "intensity", "gender", "truth", "predicted"),
)
"""Of predictions: columns that have to be there, numbers, texts; and ``score_CLASS``, ``votes_CLASS``."""

_TABLE = (
    ("utterance_id", "corpus", "path", "content_id"),
    (*NUMBER_COLUMNS, "near_duplicate"),
    (*TEXT_COLUMNS, "class_name"),
)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[Path]]:
    """Yield the run folders of a submission: ``path`` itself, the folders below it, or those in an archive.

    An archive (zip or tar) is unpacked into a folder that is thrown away afterwards; the bounds are those of
    :func:`~ser_bench.corpora.unpack.unpack`.

    Raises:
        PrerequisiteError: If nothing is there.
        DataError: If the archive is refused, or nothing in it is a run folder.
    """
    if path.is_dir():
        yield _runs(path, path)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="ser-bench-") as folder:
            inside = Path(folder) / path.name.split(".")[0]
            inside.mkdir()
            unpack(path, inside, lambda n_bytes: None)
            yield _runs(inside, path)
    else:
        raise PrerequisiteError(
            f"{path} is not there; a run's folder or an archive of it expected", hint="ser-bench verify results"
        )


def file_faults(folder: Path) -> list[str]:
    """Return what in a run folder can't be part of a submission, in words; only where it is empty may files be read.

    Known are records, predictions, the utterance table, gap, publication and tables; each a plain file, none too
    large, Parquet files with the columns and types that they should have and no cell of absurd length.
    """
    faults = []
    for path in sorted(folder.rglob("*")):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        if stat.S_ISDIR(mode):
            if name not in ("records", "predictions"):
                faults.append(f"{name!r} is no part of a submission (records/ and predictions/ are)")
        elif not stat.S_ISREG(mode):
            faults.append(f"{name!r} is a link or a device")
        elif not _KNOWN.fullmatch(name):
            faults.append(f"{name!r} is no part of a submission")
        elif name.endswith(".json") and path.stat().st_size > MAX_JSON_BYTES:
            faults.append(f"{name!r} has {path.stat().st_size:,} bytes (at most {MAX_JSON_BYTES:,} expected)")
        elif name == UTTERANCES or name.startswith("predictions/"):
            faults += _table_faults(path, name)
    if not (folder / UTTERANCES).is_file():
        faults.append(f"{UTTERANCES} is missing: who was tested can't be checked")
    return faults[:_SHOWN] + ([f"{len(faults) - _SHOWN:,} more of that kind"] if len(faults) > _SHOWN else [])


def reference_faults(folder: Path, records: Sequence[RunRecord]) -> list[str]:
    """Return where records and files of a run folder do not name each other, one to one, inside the folder."""
    faults, named = [], set()
    for record in records:
        if record.predictions is None:
            if record.status == "ok":
                faults.append(f"{record.row}: no predictions")
            elif record.scores:
                faults.append(f"{record.row}: {record.status}, and has scores")
            continue
        path = record.predictions.path
        if not _PREDICTIONS.fullmatch(path):
            faults.append(f"{record.row}: predictions lie at {path!r}, predictions/NAME.parquet expected")
        elif path in named:
            faults.append(f"{record.row}: {path} is another row's")
        named.add(path)
    there = {f"predictions/{file.name}" for file in (folder / "predictions").glob("*.parquet")}
    faults += [f"{name} is missing" for name in sorted(named - there)]
    faults += [f"{name} belongs to no record" for name in sorted(there - named)]
    for key in ("run_id", "row, train, test, device"):
        of = [identity(record) if "," in key else record.run_id for record in records]
        twice = sorted({str(one) for one in of if of.count(one) > 1})
        if twice:
            faults.append(f"two records have the same {key}: {twice[0]}")
    return faults


def identity(record: RunRecord) -> tuple[str | None, ...]:
    """Return what a board has one row of: label, corpora of a pair, device."""
    return (record.row, record.train, record.test, record.model.device)


def _runs(root: Path, given: Path) -> list[Path]:
    if (root / "records").is_dir():
        return [root]
    inside = sorted(path for path in root.iterdir() if not path.is_symlink() and (path / "records").is_dir())
    if not inside:
        raise DataError(
            f"{given} holds no records/: a run's folder, a folder of such, or an archive of either expected",
            hint="ser-bench publish RUN --to DIR, then pack what lies there",
        )
    strays = sorted({path.name for path in root.iterdir()} - {path.name for path in inside} - {"README.md"})
    if strays:
        raise DataError(f"{given}: {strays[0]!r} is no run's folder", hint="only run folders, and a README.md")
    return inside


def _table_faults(path: Path, name: str) -> list[str]:
    """Return what is wrong with the form of a Parquet file; text is read as dictionaries, which stay small."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            footer, schema = file.metadata, file.schema_arrow
        n_bytes = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
        if footer.num_rows > MAX_ROWS or n_bytes > MAX_COLUMN_BYTES:
            return [f"{name}: {footer.num_rows:,} rows, {n_bytes:,} bytes (made to do harm?)"]
        if wrong := _column_faults(schema, name):
            return wrong
        text, n_bytes = [field.name for field in schema if _kind(field.type) == "text"], 0
        with pq.ParquetFile(path, read_dictionary=text) as file:
            for batch in file.iter_batches(columns=text):
                for column, values in zip(text, batch.columns, strict=True):
                    coded = isinstance(values, pa.DictionaryArray)
                    lengths = pc.binary_length(values.dictionary if coded else values)
                    if (pc.max(lengths).as_py() or 0) > MAX_TEXT:
                        return [f"{name}: a cell of {column!r} has more than {MAX_TEXT:,} bytes"]
                    n_bytes += pc.sum(lengths.take(values.indices) if coded else lengths).as_py() or 0
                    if n_bytes > MAX_COLUMN_BYTES:
                        return [f"{name}: its texts unfold into more than {MAX_COLUMN_BYTES:,} bytes"]
    except (OSError, pa.ArrowException) as error:
        return [f"{name}: no Parquet file that can be read ({str(error)[:200]})"]
    return []


def _column_faults(schema: Any, name: str) -> list[str]:
    """Return unknown, missing, repeated or ill-typed columns."""
    needed, numbers, texts = _ANSWERS if name != UTTERANCES else _TABLE
    faults = [f"{name}: the column {column!r} is missing" for column in needed if column not in schema.names]
    for field in schema:
        is_share = needed is _ANSWERS[0] and field.name.startswith(("score_", "votes_"))
        wanted = "number" if is_share or field.name in numbers else "text" if field.name in texts else None
        if schema.names.count(field.name) > 1:
            faults.append(f"{name}: the column {field.name!r} stands twice")
        elif wanted is None:
            faults.append(f"{name}: unknown column {field.name!r}")
        elif _kind(field.type) != wanted:
            faults.append(f"{name}: the column {field.name!r} holds {field.type}, {wanted} expected")
    return faults


def _kind(of: Any) -> str:
    import pyarrow.types as types

    if types.is_integer(of) or types.is_float32(of) or types.is_float64(of):
        return "number"
    return "text" if types.is_string(of) or types.is_large_string(of) else "other"
