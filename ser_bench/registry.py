"""Names to objects, lazily, through entry points: listing imports nothing, a broken plug-in stays listed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from ser_bench.errors import PrerequisiteError, UsageError, did_you_mean

Kind = Literal["models", "features", "corpora", "suites", "environments"]
_SINGULAR = {
    "models": "model",
    "features": "feature set",
    "corpora": "corpus",
    "suites": "suite",
    "environments": "environment",
}
# By name: the contracts stand on higher layers, and may not be imported from here.
_TYPES = {
    "models": "ModelSpec",
    "features": "FeatureSet",
    "corpora": "Corpus",
    "suites": "module",
    "environments": "Environment",
}
_MADE: dict[str, str] = {"features": "ser_bench.features.named:named_set"}
"""Who makes what bears no registered name (``logmel64+deltas``), or answers None; by name, for the same reason."""


@cache
def entries(kind: Kind) -> dict[str, EntryPoint]:
    """Return every registered name of a kind with its entry point; nothing is imported.

    A name registered twice keeps ser-bench's own object; the other stays reachable as ``distribution/name``.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(
        entry_points(group=f"ser_bench.{kind}"), key=lambda p: (p.name, _owner(p) != "ser-bench", _owner(p))
    ):
        name = point.name if point.name not in found else f"{_owner(point)}/{point.name}"
        if name in found and found[name].value == point.value:
            continue
        found[name] = point
    return dict(sorted(found.items()))


def load(kind: Kind, name: str) -> Any:
    """Return the object registered as ``name``: a ModelSpec, FeatureSet, Corpus, Environment, or a package of suites.

    Raises:
        UsageError: If nothing bears the name; the message offers the nearest one.
        PrerequisiteError: If its module fails to import, or holds something else; the message says whose it is and why.
    """
    known = entries(kind)
    if name not in known:
        made = import_object(_MADE[kind])(name) if kind in _MADE else None
        if made is not None:
            return made
        raise UsageError(
            f"unknown {_SINGULAR[kind]} {name!r}" + did_you_mean(name, known),
            hint="ser-bench env list" if kind == "environments" else f"ser-bench list {kind}",
        )
    point = known[name]
    whose = f"{_SINGULAR[kind]} {name!r} of {_owner(point)} ({point.value})"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a plug-in prints is no part of a result
            found = point.load()
    except (Exception, SystemExit) as error:
        # A plug-in may fail in any way, even leave the interpreter; it must not take the harness with it.
        raise PrerequisiteError(
            f"{whose} can't be imported: {type(error).__name__}: {error}",
            hint=f"pip install --upgrade {_owner(point)}",
        ) from error
    if all(base.__name__ != _TYPES[kind] for base in type(found).__mro__):
        raise PrerequisiteError(f"{whose} is a {type(found).__name__}, a {_TYPES[kind]} expected")
    return found


def origin(kind: Kind, name: str) -> str:
    """Return ``distribution version`` of whoever registered ``name``, or the set that ``name`` is made from."""
    known = entries(kind)
    point = known.get(name) or known.get(name.partition("+")[0])
    return f"{point.dist.name} {point.dist.version}" if point is not None and point.dist is not None else "unknown"


def import_object(path: str) -> Any:
    """Return the object at ``module:Object`` (or ``module.Object``).

    Raises:
        UsageError: If the module or the object does not exist.
    """
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(f"{path!r} can't be imported: {error}", hint="--model sklearn.svm:SVC") from error
    return found


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"
