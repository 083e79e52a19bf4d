"""The model contract: fit on examples, predict on the host. Standard library and numpy only.

A worker in another Python environment imports this module, so it must not need more than numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The rows that a model is fitted on, or asked about.

    Vectors lie in memory, normalised. Frames stay in a memory map, and are normalised as they are read, so a
    model's memory is bounded by its batch: read them with :meth:`frames` or :meth:`padded`.

    Attributes:
        values: ``vector`` sets: (n, n_columns). ``frames`` sets: (0, n_columns), nothing.
        shared: Frames only: (sum of frames, n_columns), all utterances of the table one after another, those of the
            other sides too. It is here for :meth:`frames`; a model that reads it itself leaks.
        offsets: None for vectors; for frames, utterance u is ``shared[offsets[u]:offsets[u + 1]]``.
        rows: Frames only: which utterances these examples are, shape (n,); None for all, in order.
        transform: Frames only: (frames, utterance) -> normalised frames; None for none.
        classes: Class index per row, shape (n,); None when predicting.
        ratings: The number to predict for each row where a suite's targets are values, shape (n,); else None, and
            None when predicting. There are no classes, then.
        distributions: What the annotators said of each row as shares of the classes, shape (n, n_classes), rows
            summing to 1. Where a suite has soft targets, and the model's spec ``soft_targets``; else None.
        columns: The names of the columns.
        groups: Group of columns -> (start, stop), where the feature set has groups.
        speakers: A code per row, shape (n,), equal where the speaker is the same, -1 where unknown;
            for grouped searches inside training. None when predicting.
    """

    values: Float32
    columns: tuple[str, ...]
    shared: Float32 | None = None
    offsets: Ints | None = None
    rows: Ints | None = None
    transform: Callable[[Float32, int], Float32] | None = None
    classes: Ints | None = None
    ratings: Float32 | None = None
    distributions: Float32 | None = None
    speakers: Ints | None = None
    groups: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @staticmethod
    def of_frames(shared: Float32, columns: tuple[str, ...], offsets: Ints, **more: Any) -> Examples:
        """Return frame examples; ``values`` is empty, so that nobody fits on other sides' rows by mistake."""
        return Examples(values=shared[:0], columns=columns, shared=shared, offsets=offsets, **more)

    def __len__(self) -> int:
        if self.offsets is None:
            return len(self.values)
        return len(self.offsets) - 1 if self.rows is None else len(self.rows)

    @property
    def targets(self) -> Ints:
        """The class indices; an error where there are none (when predicting)."""
        if self.classes is None:
            raise ValueError("these examples carry no classes")
        return self.classes

    def present_targets(self) -> tuple[Ints, Ints | Float32]:
        """Return the classes that these rows have, ascending, and each row's target among them.

        Returns:
            The classes, shape (n_present,); and the position of each row's class there, shape (n,), or with
            distributions its shares, shape (n, n_present).
        """
        if self.distributions is None:
            present, position = np.unique(self.targets, return_inverse=True)
            return present, position
        present = np.flatnonzero(self.distributions.any(axis=0))
        return present, self.distributions[:, present]

    @property
    def lengths(self) -> Ints:
        """Frames per row, shape (n,)."""
        if self.offsets is None:
            raise ValueError("vector examples have no frames")
        lengths = np.diff(self.offsets)
        return lengths if self.rows is None else lengths[self.rows]

    def frames(self, row: int) -> Float32:
        """Return one row's frames, shape (n_frames, n_columns)."""
        if self.offsets is None or self.shared is None:
            raise ValueError("vector examples have no frames")
        utterance = row if self.rows is None else int(self.rows[row])
        frames = self.shared[self.offsets[utterance] : self.offsets[utterance + 1]]
        return frames if self.transform is None else self.transform(frames, utterance)

    def padded(self, rows: NDArray[np.int64], n_frames: int) -> Float32:
        """Return rows as (len(rows), n_frames, n_columns), cut at the end or padded with zeros."""
        batch = np.zeros((len(rows), n_frames, len(self.columns)), dtype=np.float32)
        for place, row in enumerate(rows):
            frames = self.frames(int(row))[:n_frames]
            batch[place, : len(frames)] = frames
        return batch

    def batches(self, size: int) -> Iterator[NDArray[np.int64]]:
        """Yield row positions, ``size`` at a time, in order."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of n rows, on the host: labels, or ratings where it was fitted on ratings.

    Attributes:
        labels: Class index per row, shape (n,), int64: the estimator's own decision.
        scores: Shape (n, n_classes) float64, a class absent in training 0; or None.
        score_kind: ``probability`` (rows sum to 1), ``decision`` or ``none``.
        ratings: A number per row, shape (n,) float64; None for classes.
    """

    labels: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scores: NDArray[np.float64] | None = None
    score_kind: Literal["probability", "decision", "none"] = "none"
    ratings: NDArray[np.float64] | None = None

    @property
    def answers(self) -> NDArray[Any]:
        """The labels, or the ratings."""
        return self.labels if self.ratings is None else self.ratings


@dataclass(frozen=True, slots=True, kw_only=True)
class FitContext:
    """Everything a fit may know beside its rows.

    Attributes:
        n_classes: Number of classes of the label scheme; targets lie in 0..n_classes-1. Without classes it is 0.
        class_names: Their names.
        seed: The model's seed.
        device: ``cpu`` or ``cuda``.
        threads: Threads that the worker is pinned to.
        scratch: A folder of the cell's own, gone with it.
        checkpoint: A folder of this fit's own that outlives a kill: the same fit finds there what it left, until
            the cell has its result. It need not exist; None: there is none.
        progress: Call with (done, total) now and then.
    """

    n_classes: int
    class_names: tuple[str, ...]
    seed: int
    device: str = "cpu"
    threads: int = 1
    scratch: Path | None = None
    checkpoint: Path | None = None
    progress: Callable[[int, int], None] = lambda done, total: None


class Model(Protocol):
    """A model: fitted once, then asked.

    After ``fit`` with dev examples, ``chosen`` holds the parameters that the dev set chose (epochs, say);
    the worker then builds a second model with them and fits it on train + dev (the refit).
    ``facts`` may say more for the record: ``n_parameters``, ``warnings``, and ``importances``, a kind (``impurity``,
    say) -> column -> value, and ``selected``, the columns that it uses.

    A model whose specification ``selects`` also has :meth:`Selector.select`.
    """

    chosen: dict[str, Any]
    facts: dict[str, Any]

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Fit on ``train``; ``dev`` is None where the model needs none, there is none, or this is the refit."""
        ...

    def predict(self, examples: Examples) -> Prediction:
        """Return labels and scores for every row, on the host (so a clock that stops now stops honestly)."""
        ...


class Selector(Model, Protocol):
    """A model that chooses parameters by trying, one step after another, where a grid would be too large.

    It is asked once per cell, after the grid where there is one and before the refit, and never sees a row: fitting and
    judging stay with the worker, on train and dev, or on inner folds grouped by speaker.
    """

    def select(
        self, columns: Examples, scores_of: Callable[[Sequence[Mapping[str, Any]]], Sequence[float]]
    ) -> dict[str, Any]:
        """Return the parameters that it chose; the model is built with them, beside its own.

        The path may stand in ``facts["selection"]``: a list of steps, each with ``step``, ``score``, and ``dropped`` or
        ``added``.

        Args:
            columns: No rows, but the names and the groups of the columns.
            scores_of: Parameters to try -> their primary scores, means over what they are judged on.
        """
        ...


class Keepable(Model, Protocol):
    """A model that can be saved and read again; ``run --keep-models`` and ``predict`` ask for no more.

    Saved models may come from strangers: reading one must run no code, so no pickles.
    """

    def save(self, folder: Path) -> None:
        """Write what was fitted to files in ``folder``, which is there and empty."""
        ...

    def load(self, folder: Path) -> None:
        """Take back what a model with the same parameters saved; then predict as it did, on the CPU."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is known of a model before anything is imported for it.

    Attributes:
        name: What suites and boards call it.
        title: One line for lists and boards.
        family: ``baseline``, ``linear``, ``kernel``, ``neighbours``, ``tree``, ``network`` …
        framework: The distribution that does the work (``scikit-learn``, ``torch``, ``keras``, ``numpy``).
        factory: ``module:callable``; called with the parameters as keywords, returns a :class:`Model`.
        params: Default parameters.
        input: Which kind of feature set it takes; ``any`` for those that look at no values.
        features: The set used where the suite names none for this kind; None: the suite's ``features``.
        normalise: Default normalisation of its inputs: ``standard`` or ``none``.
        requires: Import names that have to be there (``("torch",)``).
        extra: The extra of ser-bench that brings them, or None.
        environment: The environment of its own that it runs in (see :mod:`ser_bench.environments`), or None; what it
            ``requires`` has to be there, then.
        uses_dev: Whether ``fit`` makes use of dev examples (early stopping).
        selects: Whether it chooses features by trying: it is a :class:`Selector`.
        narrows: Whether ``fit`` chooses columns on its training rows alone; ``facts["selected"]`` names them.
        targets: What it can be fitted on: ``classes``, ``values`` (ratings), or both.
        soft_targets: Whether ``fit`` makes use of distributions where it gets them.
        seeded: Whether the seed changes anything; deterministic models run once.
        devices: Devices it can run on.
        packages: Distributions whose versions decide its results; recorded, and part of a cell's key.
        combines: Whether it is made of other rows' stored probabilities (``params["rows"]``); ``factory`` is empty.
        pretrained: Whether it starts from the encoder at ``params["encoder"]``, whose files are part of a cell's key.
    """

    name: str
    title: str
    family: str
    framework: str
    factory: str
    params: Mapping[str, Any] = field(default_factory=dict)
    input: Literal["vector", "frames", "any"] = "vector"
    features: str | None = None
    normalise: str = "standard"
    requires: tuple[str, ...] = ()
    extra: str | None = None
    environment: str | None = None
    uses_dev: bool = False
    selects: bool = False
    narrows: bool = False
    targets: tuple[Literal["classes", "values"], ...] = ("classes",)
    soft_targets: bool = False
    seeded: bool = True
    devices: tuple[str, ...] = ("cpu",)
    packages: tuple[str, ...] = ("numpy",)
    combines: bool = False
    pretrained: bool = False
