"""Tensors in a file with a note of plain data: safetensors, which run no code when read; whole files or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_bench.errors import DataError
from ser_bench.store import write_atomically


def write_tensors(path: Path, tensors: Mapping[str, Any], note: Mapping[str, Any]) -> None:
    """Write torch tensors and a note that JSON can hold to one safetensors file."""
    from safetensors.torch import save

    # Cloned, since safetensors refuses tensors that share memory (tied weights, slices of an LSTM's block).
    own = {name: tensor.detach().cpu().clone(memory_format=_contiguous()) for name, tensor in tensors.items()}
    write_atomically(path, save(own, metadata={"note": json.dumps(dict(note))}))


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors, on the CPU, and the note of a file that :func:`write_tensors` wrote.

    Raises:
        DataError: If the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["note"])  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a file of tensors that ser-bench wrote: {error}") from None


def _contiguous() -> Any:
    import torch

    return torch.contiguous_format
