"""Feature sets of one corpus as a file for other tools: CSV or Parquet, keyed by utterance id."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_bench import registry
from ser_bench.cells import lacking
from ser_bench.corpora.audit import Audit
from ser_bench.corpora.export import exported
from ser_bench.errors import DataError, PrerequisiteError, UsageError
from ser_bench.features.contract import FeatureSet
from ser_bench.features.tables import table_of
from ser_bench.matrices import extract
from ser_bench.prepare import Workshop, sources_of
from ser_bench.store import PackedStore

FORMATS = (".csv", ".parquet")
_VALUES_AT_ONCE = 1 << 22


def check_request(names: Sequence[str], out: Path) -> dict[str, FeatureSet]:
    """Return the sets that ``names`` name, in their order.

    Raises:
        UsageError: If nobody knows a set; for frames beside another set, a table, another suffix than ``.csv`` and
            ``.parquet``, or a file that is there already.
        PrerequisiteError: If a package that a set needs is missing.
    """
    sets: dict[str, FeatureSet] = {name: registry.load("features", name) for name in names}
    frames = [name for name, found in sets.items() if found.kind == "frames"]
    if frames and len(sets) > 1:
        raise UsageError(f"{frames[0]!r} holds frames: they make a file of their own", hint=f"--set {frames[0]} alone")
    for name, found in sets.items():
        if table_of(found):
            raise UsageError(f"{name} is a table of features already", hint="ser-bench list features")
        if why := lacking(found):
            what, _, command = why.partition(": ")
            raise PrerequisiteError(f"feature set {name!r} {what}", hint=command)
    if out.suffix.casefold() not in FORMATS:
        raise UsageError(f"--out {out}: in which format?", hint=f"--out {out.stem or 'features'}.parquet (or .csv)")
    if out.exists():
        raise UsageError(f"{out} is there already", hint="another --out, or remove it first")
    return sets


def write_features(
    audit: Audit, sets: Mapping[str, FeatureSet], out: Path, workshop: Workshop, sample_rate_hz: int
) -> int:
    """Write sets of a corpus's usable utterances; return the number of rows. What is stored is not computed again.

    Of vectors there is one row per utterance, of frames one per ``utterance_id`` and ``frame``; float32. The columns of
    several sets bear the set's name before their own (``stats180:mfcc_01``).

    Args:
        audit: Of the corpus.
        sets: What :func:`check_request` returned.
        out: The file; it appears whole or not at all.
        workshop: Store, executor, progress.
        sample_rate_hz: Rate of sets that state none.

    Raises:
        DataError: If an utterance's features can't be computed.
    """
    keys = list(audit.table.column("content_id"))
    source = dict(zip(keys, sources_of(audit.table, {audit.corpus.name: audit.root}), strict=True))
    stores, failed = extract(sets, source, {}, workshop, sample_rate_hz)
    paths = audit.table.column("path")
    for name, store in stores.items():
        if bad := store.missing(keys):
            first = f"{paths[keys.index(bad[0])]}: {failed.get(bad[0], 'no answer')}"
            raise DataError(f"features {name}: {len(bad):,} utterances failed, first {first}")
    ids = exported(audit.table)["utterance_id"].to_numpy(dtype=object)
    step = workshop.progress(f"write {out.name}", len(ids))
    handle, part = tempfile.mkstemp(dir=out.parent, prefix=".part-")
    os.close(handle)
    try:
        n = _write(_blocks(sets, stores, keys, ids), Path(part), out.suffix.casefold(), step)
        Path(part).chmod(0o644)
        Path(part).replace(out)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return n


def _blocks(
    sets: Mapping[str, FeatureSet], stores: Mapping[str, PackedStore], keys: Sequence[str], ids: np.ndarray
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield (utterances, their rows), a few megabytes at a time, in the table's order."""
    with tempfile.TemporaryDirectory() as folder:
        values, offsets = {}, np.arange(len(keys) + 1)
        for number, (name, store) in enumerate(stores.items()):
            offsets = store.gather(keys, Path(folder) / f"{number}.npy")
            values[name] = np.load(Path(folder) / f"{number}.npy", mmap_mode="r", allow_pickle=False)
        columns = [
            column if len(sets) == 1 else f"{name}:{column}" for name, found in sets.items() for column in found.columns
        ]
        frames = any(found.kind == "frames" for found in sets.values())
        most, start = max(1, _VALUES_AT_ONCE // len(columns)), 0
        while start < len(keys):
            stop = max(start + 1, int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1)
            lengths = np.diff(offsets[start : stop + 1])
            block = np.concatenate([of[offsets[start] : offsets[stop]] for of in values.values()], axis=1)
            frame = pd.DataFrame(block, columns=columns)
            if frames:
                frame.insert(0, "frame", np.concatenate([np.arange(n) for n in lengths]))
            frame.insert(0, "utterance_id", np.repeat(ids[start:stop], lengths))
            yield stop - start, frame
            start = stop


def _write(blocks: Iterator[tuple[int, pd.DataFrame]], path: Path, suffix: str, step: Callable[[int], None]) -> int:
    import pyarrow
    import pyarrow.parquet

    n, writer = 0, None
    with path.open("wb") as stream:
        for n_utterances, frame in blocks:
            if suffix == ".csv":
                stream.write(frame.to_csv(index=False, header=n == 0, lineterminator="\r\n").encode())
            else:
                rows = pyarrow.Table.from_pandas(frame, preserve_index=False)
                writer = writer or pyarrow.parquet.ParquetWriter(stream, rows.schema, compression="zstd")
                writer.write_table(rows)
            n += len(frame)
            step(n_utterances)
        if writer is not None:
            writer.close()
        stream.flush()
        os.fsync(stream.fileno())
    return n
