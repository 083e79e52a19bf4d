"""The feature contract: a set is a named, versioned function of one utterance's samples, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class Analysis:
    """One utterance under analysis; what several feature sets need is computed once.

    Attributes:
        samples: Mono float32, shape (n_samples,).
        sample_rate_hz: Their rate.
    """

    __slots__ = ("_memo", "sample_rate_hz", "samples")

    def __init__(self, samples: Float32, sample_rate_hz: int) -> None:
        self.samples = samples
        self.sample_rate_hz = sample_rate_hz
        self._memo: dict[Any, Any] = {}

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, computed at most once per ``key`` and utterance."""
        if key not in self._memo:
            self._memo[key] = compute()
        return self._memo[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """A function of one utterance.

    Nothing fitted, nothing learnt, no other utterance: scaling, selection and padding belong to the model, on
    training rows. So a stored value's key never names a fold.

    Attributes:
        name: What suites and boards call it.
        version: Raised whenever a value may change.
        title: One line: what it holds, with the settings that decide its values.
        kind: ``vector``: (n_columns,) per utterance; ``frames``: (n_frames, n_columns).
        columns: Column names, without ``[``, ``]`` and ``<``; their number is the width.
        compute: Analysis -> float32 array of that shape, all finite.
        packages: Distributions whose versions decide the values; part of every stored value's key.
        level_free: Whether a change of recording level leaves the values as they are.
        sample_rate_hz: Rate of the samples that it gets, ``native`` for each file's own, None for the suite's.
        requires: Import names that have to be there (``("opensmile",)``); imported by ``compute``, not by its module.
        extra: The extra of ser-bench that brings them, or None.
        groups: Group name -> columns (start, stop), for selection by group.
        install: What to type where it is missing and no extra brings it.
        pretrained: Whether what it computes was learnt beforehand, from other recordings.
        n_parameters: How many parameters it was learnt as, where that is known.
        files: Files whose content decides the values, such as weights; part of every stored value's key.
    """

    name: str
    version: int
    title: str
    kind: Literal["vector", "frames"]
    columns: tuple[str, ...]
    compute: Callable[[Analysis], Float32]
    packages: tuple[str, ...] = ("librosa", "numpy", "scipy", "soxr")
    level_free: bool = False
    sample_rate_hz: int | Literal["native"] | None = None
    requires: tuple[str, ...] = ()
    extra: str | None = None
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)
    install: str | None = None
    pretrained: bool = False
    n_parameters: int | None = None
    files: tuple[str, ...] = ()

    def rate_hz(self, suite_rate_hz: int) -> int | None:
        """Return the rate to which its samples are brought in a suite of ``suite_rate_hz``; None for none."""
        return None if self.sample_rate_hz == "native" else self.sample_rate_hz or suite_rate_hz

    def __call__(self, analysis: Analysis) -> Float32:
        """Return the utterance's values, checked for shape and finiteness.

        Raises:
            ValueError: If the values have another shape than stated, or are not all finite.
        """
        values = np.asarray(self.compute(analysis), dtype=np.float32)
        expected = 1 if self.kind == "vector" else 2
        if values.ndim != expected or values.shape[-1] != len(self.columns) or values.size == 0:
            wanted = f"{expected}-d values of width {len(self.columns)}"
            raise ValueError(f"feature set {self.name!r}: expected {wanted}, got shape {values.shape}")
        if not np.isfinite(values).all():
            bad = self.columns[int(np.argwhere(~np.isfinite(values))[0][-1])]
            raise ValueError(f"feature set {self.name!r}: column {bad!r} is not finite")
        return values
