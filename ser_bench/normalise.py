"""Normalisation of model inputs: fitted on training rows, or declared as transductive; applied by the worker.

A worker in another Python environment imports this module, so it must not need more than numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import UsageError, did_you_mean

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]

DESCRIPTIONS = {
    "standard": "standard: mean and sd of the training rows",
    "none": "none: values as the feature set gives them",
    "speaker": "speaker: each speaker's own mean and sd, test speakers included (transductive, no labels)",
    "corpus": "corpus: each corpus's own mean and sd, test corpora included (transductive, no labels)",
    "all": "all: mean and sd of all rows, test rows included (a published mistake, as a control)",
}
"""Every kind of normalisation, in the words of a board."""

NEAR_CONSTANT = 1e-6
"""A column whose sd is below this share of its |mean| holds rounding, not information."""

_CHUNK_ROWS = 65536


class Moments(NamedTuple):
    """Mean and scale per column, float64, shape (n_columns,) each; the scale of a near-constant column is 1."""

    mean: Float64
    scale: Float64


@dataclass(frozen=True, slots=True)
class Normaliser:
    """A fitted normalisation.

    Attributes:
        kind: A key of :data:`DESCRIPTIONS`.
        training: Moments of the training rows (of all rows for ``all``); None for ``none``.
        groups: Group code -> moments of the group's own rows, for ``speaker`` and ``corpus``.
    """

    kind: str
    training: Moments | None
    groups: Mapping[int, Moments] = field(default_factory=dict)

    @staticmethod
    def fit(kind: str, values: Float32, offsets: Ints | None, rows: Ints, groups: Ints) -> Normaliser:
        """Return a normaliser fitted on the training utterances.

        Args:
            kind: A key of :data:`DESCRIPTIONS`.
            values: Vectors (n, n_columns), or the frames of n utterances, one after another; a memory map will do.
            offsets: None for vectors; for frames (n + 1,), utterance i is ``values[offsets[i]:offsets[i + 1]]``.
            rows: The training utterances, shape (n_training,).
            groups: Speaker or corpus code of every utterance, shape (n,), -1 where unknown. The transductive kinds
                take the moments of all utterances of a group, test side included, and no labels. A group of a
                single row has no spread; it is left to the training moments, as is an unknown one.

        Raises:
            UsageError: If there is no such kind.
            ValueError: If there are no training rows.
        """
        if kind not in DESCRIPTIONS:
            raise UsageError(f"unknown normalisation {kind!r}" + did_you_mean(kind, DESCRIPTIONS))
        if kind == "none":
            return Normaliser(kind, None)
        if kind == "all":
            return Normaliser(kind, _moments(values, None))
        training = _moments(values, _frames_of(rows, offsets))
        if kind == "standard":
            return Normaliser(kind, training)
        own = {
            int(code): _frames_of(np.flatnonzero(groups == code), offsets) for code in np.unique(groups[groups >= 0])
        }
        return Normaliser(kind, training, {code: _moments(values, at) for code, at in own.items() if len(at) > 1})

    def to_plain(self) -> dict[str, Any]:
        """Return ``kind``, ``mean`` and ``scale`` as plain types; groups are the table's own and are left out."""
        mean, scale = (None, None) if self.training is None else (part.tolist() for part in self.training)
        return {"kind": self.kind, "mean": mean, "scale": scale}

    def apply(self, values: Float32, groups: Ints) -> Float32:
        """Return rows normalised, float32, same shape.

        Args:
            values: Vectors or frames, shape (n_rows, n_columns).
            groups: Group code of every row, shape (n_rows,).
        """
        if self.training is None:
            return np.asarray(values, dtype=np.float32)
        if not self.groups:
            return _finite((values - self.training.mean) / self.training.scale)
        normalised = np.empty(values.shape, dtype=np.float32)
        for code in np.unique(groups).tolist():
            moments = self.groups.get(code, self.training)
            own = groups == code
            normalised[own] = _finite((values[own] - moments.mean) / moments.scale)
        return normalised


def _finite(values: Float64) -> Float32:
    """Return float32; what lies outside its range, by a spread of next to nothing in training, is set to its ends."""
    largest = np.finfo(np.float32).max
    return np.clip(values, -largest, largest).astype(np.float32)


def near_constant_columns(values: Float32) -> Ints:
    """Return the indices of columns that are constant but for rounding (sd below 1e-6 of |mean|).

    Args:
        values: Shape (n_rows, n_columns).
    """
    mean, sd = _mean_sd(values, None)
    return np.flatnonzero(_is_near_constant(mean, sd)).astype(np.int64)


def _is_near_constant(mean: Float64, sd: Float64) -> NDArray[np.bool_]:
    return sd <= NEAR_CONSTANT * (np.abs(mean) + np.finfo(np.float32).tiny)


def _moments(values: Float32, rows: Ints | None) -> Moments:
    mean, sd = _mean_sd(values, rows)
    return Moments(mean, np.where(_is_near_constant(mean, sd), 1.0, sd))


def _mean_sd(values: Float32, rows: Ints | None) -> tuple[Float64, Float64]:
    """Return mean and (population) sd per column in two passes, a chunk in memory at a time."""
    n = len(values) if rows is None else len(rows)
    if n == 0:
        raise ValueError("no rows to fit a normalisation on")
    parts = [part if rows is None else rows[part] for part in _chunks(n)]
    total = np.zeros(values.shape[1])
    for part in parts:
        total += values[part].sum(axis=0, dtype=np.float64)
    mean = total / n
    squares = np.zeros(values.shape[1])
    for part in parts:
        squares += np.square(values[part] - mean).sum(axis=0)
    return mean, np.sqrt(squares / n)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK_ROWS, n)) for start in range(0, n, _CHUNK_ROWS))


def _frames_of(rows: Ints, offsets: Ints | None) -> Ints:
    """Return the positions of all values of ``rows``: the rows themselves, or their frames, in order."""
    if offsets is None or not len(rows):
        return rows
    lengths = np.diff(offsets)[rows]
    starts = np.repeat(offsets[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return starts + np.arange(lengths.sum())
