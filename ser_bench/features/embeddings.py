"""Embeddings as feature sets: how ``SCHEME:WHERE?option=value`` is read, and how frames become one vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from urllib.parse import parse_qsl

import numpy as np

from ser_bench.errors import UsageError, did_you_mean
from ser_bench.features.contract import Float32

Pool = Literal["mean", "mean-sd", "none"]
POOLS: tuple[Pool, ...] = ("mean", "mean-sd", "none")


def read_name(name: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return where the encoder of a set lies, and its options; ``pool`` is ``mean`` unless stated.

    Args:
        name: ``SCHEME:WHERE`` or ``SCHEME:WHERE?option=value&option=value``.
        known: Options that the scheme has beside ``pool``.

    Raises:
        UsageError: If nothing is named, or an option is unknown, stands twice or has no value.
    """
    where, _, query = name.partition(":")[2].partition("?")
    if not where:
        raise UsageError(f"feature set {name!r}: nothing after the colon")
    try:
        pairs = parse_qsl(query, strict_parsing=bool(query), keep_blank_values=False)
    except ValueError:
        raise UsageError(f"feature set {name!r}: options as option=value&option=value expected") from None
    options = dict(pairs)
    allowed = ("pool", *known)
    if unknown := [option for option in options if option not in allowed]:
        raise UsageError(f"feature set {name!r}: unknown option {unknown[0]!r}" + did_you_mean(unknown[0], allowed))
    if len(options) < len(pairs):
        raise UsageError(f"feature set {name!r}: an option stands twice")
    pool = options.setdefault("pool", "mean")
    if pool not in POOLS:
        raise UsageError(f"feature set {name!r}: unknown pool {pool!r}" + did_you_mean(pool, POOLS))
    return where, options


def pooled(frames: Float32, pool: str) -> Float32:
    """Return frames over time: their means, means and standard deviations, or the frames themselves.

    Args:
        frames: Shape (n_frames, width).
        pool: One of :data:`POOLS`.

    Returns:
        Shape (width,), (2 x width,) or (n_frames, width).
    """
    if pool == "none":
        return frames
    exact = frames.astype(np.float64)
    parts = [exact.mean(axis=0)] if pool == "mean" else [exact.mean(axis=0), exact.std(axis=0)]
    return np.concatenate(parts).astype(np.float32)


def column_names(prefix: str, width: int, pool: str) -> tuple[str, ...]:
    """Return the columns of :func:`pooled` frames of ``width``: ``PREFIX_0000``, then ``PREFIX_0000_sd``."""
    endings = ("", "_sd") if pool == "mean-sd" else ("",)
    return tuple(f"{prefix}_{n:04d}{ending}" for ending in endings for n in range(width))


def pool_in_words(pool: str) -> str:
    """Return how a title says ``pool``."""
    return {"mean": "mean over time", "mean-sd": "mean and standard deviation over time", "none": "frames"}[pool]
