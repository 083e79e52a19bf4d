"""All predictions of a run as one Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ser_bench.errors import DataError
from ser_bench.records import RunRecord


def predictions_table(folder: Path, records: Sequence[RunRecord]) -> bytes:
    """Return the stored predictions of every row, under each other, as Parquet.

    ``row`` and ``run_id`` stand before the columns of the rows' own files; a column that a file lacks is null there.
    The same records give the same bytes, written by the same release of pyarrow.

    Raises:
        DataError: If no record has predictions, or a file is not the one that was scored.
    """
    import hashlib
    from io import BytesIO

    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for record in sorted(records, key=lambda record: (record.row, record.run_id)):
        if record.predictions is None:
            continue
        path = folder / record.predictions.path
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != record.predictions.sha256:
            raise DataError(
                f"{path}: missing, or not the file that was scored", hint=f"ser-bench report --check {folder}"
            )
        table = pq.read_table(BytesIO(data))
        for name, text in (("run_id", record.run_id), ("row", record.row)):
            table = table.add_column(0, name, pa.array([text] * len(table), type=pa.string()))
        tables.append(table.replace_schema_metadata(None))
    if not tables:
        raise DataError(f"{folder}: no row has stored predictions", hint="ser-bench report RUN")
    stream = BytesIO()
    pq.write_table(pa.concat_tables(tables, promote_options="default"), stream, compression="zstd")
    return stream.getvalue()
