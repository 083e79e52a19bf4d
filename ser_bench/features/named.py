"""Feature sets that no entry point names: made of other sets (``logmel64+deltas``), tables by their path, encoders."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from ser_bench import registry
from ser_bench.errors import UsageError, did_you_mean
from ser_bench.features.contract import FeatureSet
from ser_bench.features.derived import STEPS
from ser_bench.features.hf_encoders import hf_set
from ser_bench.features.onnx_encoders import onnx_set
from ser_bench.features.tables import SUFFIXES, table_set

ENCODERS = {"hf": hf_set, "onnx": onnx_set}
"""Word before the colon -> what makes the set."""


def named_set(name: str) -> FeatureSet | None:
    """Return the set that ``name`` stands for, or None.

    It is ``BASE+STEP``, BASE a set of frames; ``hf:…`` or ``onnx:…``, a pretrained encoder; or the path of a table.

    Raises:
        UsageError: If nobody knows the step, the base or an option, the base holds no frames, or the file is not there.
        PrerequisiteError: If the base can't be imported, or the encoder is not here.
        DataError: If the table or the encoder can't be used.
    """
    if base_name(name) is None and name.partition(":")[0] in ENCODERS:
        return _encoder_set(name)
    return table_set(name) if name.endswith(SUFFIXES) else _derived_set(name)


def base_name(name: str) -> str | None:
    """Return the name of the set that ``name`` is made from; None for one that is not made from another."""
    base, _, step = name.rpartition("+")
    return base if base and step in STEPS else None


@cache
def _encoder_set(name: str) -> FeatureSet:
    return ENCODERS[name.partition(":")[0]](name)


@cache
def _derived_set(name: str) -> FeatureSet | None:
    base_name, plus, step = name.rpartition("+")
    if not plus:
        return None
    if step not in STEPS:
        raise UsageError(
            f"feature set {name!r}: unknown step {step!r}" + did_you_mean(step, STEPS), hint="logmel64+functionals"
        )
    base: Any = registry.load("features", base_name)
    if base.kind != "frames":
        raise UsageError(f"feature set {name!r}: {step} needs frames, {base_name!r} holds {base.kind}")
    return replace(STEPS[step](base), name=name)
