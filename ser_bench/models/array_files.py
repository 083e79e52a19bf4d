"""Arrays in a file with a note of plain data: npz without pickles, so reading runs no code; whole files or none."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import DataError
from ser_bench.store import write_atomically


def write_arrays(path: Path, arrays: Sequence[NDArray[Any]], note: Mapping[str, Any]) -> None:
    """Write arrays, in order, and a note that JSON can hold to one npz file."""
    buffer = BytesIO()
    text = np.frombuffer(json.dumps(dict(note)).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, note=text, **{f"array{at:04d}": array for at, array in enumerate(arrays)})
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Return the arrays, in order, and the note of a file that :func:`write_arrays` wrote.

    Raises:
        DataError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            note: dict[str, Any] = json.loads(stored["note"].tobytes())
            return [stored[name] for name in sorted(stored.files) if name != "note"], note
    except (OSError, EOFError, KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of arrays that ser-bench wrote: {error}") from None
