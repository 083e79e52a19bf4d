"""Sets made of other sets by name: ``NAME+deltas`` and ``NAME+functionals``, for any set of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ser_bench.features.contract import Analysis, FeatureSet, Float32

DELTA_WIDTH = 9
"""Frames over which differences are regressed."""

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, slots=True)
class WithDeltas:
    """Frames, their first and second differences beside them: shape (n_frames, 3 x n_columns).

    The differences are slopes of a line, and curvatures of a parabola, fitted over 9 frames; beyond both ends the
    outermost frame is repeated, so that one frame is enough.

    Source: ``librosa.feature.delta(width=9, mode="nearest")`` (Savitzky & Golay 1964).
    """

    base: FeatureSet

    def __str__(self) -> str:
        return f"differences of {self.base.name}"

    def __call__(self, analysis: Analysis) -> Float32:
        """Return the frames of the base set with their differences."""
        import librosa

        frames = self.base(analysis)
        first, second = (
            librosa.feature.delta(frames, width=DELTA_WIDTH, order=order, axis=0, mode="nearest") for order in (1, 2)
        )
        return np.concatenate([frames, first, second], axis=1)


@dataclass(frozen=True, slots=True)
class Functionals:
    """What sums frames up over time: per column mean, standard deviation and percentiles, shape (7 x n_columns,)."""

    base: FeatureSet

    def __str__(self) -> str:
        return f"functionals of {self.base.name}"

    def __call__(self, analysis: Analysis) -> Float32:
        """Return the statistics of the base set's frames, statistic after statistic."""
        frames = self.base(analysis).astype(np.float64)
        moments = np.stack([frames.mean(axis=0), frames.std(axis=0)])
        return np.concatenate([moments, np.percentile(frames, PERCENTILES, axis=0)]).ravel().astype(np.float32)


def _with_deltas(base: FeatureSet) -> FeatureSet:
    parts = {"static": "", "delta": "_delta", "delta2": "_delta2"}
    return replace(
        base,
        name=f"{base.name}+deltas",
        title=f"{base.title}; first and second differences (regression over {DELTA_WIDTH} frames)",
        columns=tuple(f"{column}{suffix}" for suffix in parts.values() for column in base.columns),
        compute=WithDeltas(base),
        packages=_packages(base, "librosa", "numpy", "scipy"),
        groups=_groups(parts, len(base.columns)),
    )


def _functionals(base: FeatureSet) -> FeatureSet:
    parts = {name: f"_{name}" for name in ("mean", "sd", *(f"p{percent:02d}" for percent in PERCENTILES))}
    return replace(
        base,
        name=f"{base.name}+functionals",
        title=f"Mean, standard deviation and percentiles {', '.join(map(str, PERCENTILES))} over time of: {base.title}",
        kind="vector",
        columns=tuple(f"{column}{suffix}" for suffix in parts.values() for column in base.columns),
        compute=Functionals(base),
        packages=_packages(base, "numpy"),
        groups=_groups(parts, len(base.columns)),
    )


STEPS: Mapping[str, Callable[[FeatureSet], FeatureSet]] = {"deltas": _with_deltas, "functionals": _functionals}
"""Word after the plus -> what makes the set of a set of frames."""


def _packages(base: FeatureSet, *needed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*base.packages, *needed)))


def _groups(parts: Mapping[str, str], width: int) -> dict[str, tuple[int, int]]:
    return {name: (at * width, (at + 1) * width) for at, name in enumerate(parts)}
