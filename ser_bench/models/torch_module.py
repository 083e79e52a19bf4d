"""Anybody's torch module as a model: they write the module, the training is ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.random import RandomState

from ser_bench.models.contract import Examples, Float32, Ints, ModelSpec
from ser_bench.models.frame_network import typical_length
from ser_bench.models.torch_settings import Training, torch_optimiser
from ser_bench.models.torch_training import TorchModel
from ser_bench.registry import import_object

_PARAMS = {"epochs": 50, "batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.01, "patience": 10, "seconds": None}


class TorchModule(TorchModel):
    """A module from elsewhere, trained with AdamW and early stopping on dev.

    It is called with float32 tensors: vectors (n, n_columns), or frames (n, n_frames, n_columns), cut or padded with
    zeros to a common length; and gives logits (n, n_classes), or one number (n, 1) where the targets are values.

    Args:
        build: ``module:callable``; called with (n_columns, n_classes), and ``own`` as keywords, it gives the module.
        epochs: Passes over the training rows, at most.
        batch_size: Rows per step.
        learning_rate: Of AdamW, constant.
        weight_decay: Of AdamW.
        patience: Epochs without a better dev UAR after which training stops; None: never.
        seconds: Budget of one fit; None: none.
        n_frames: The common length of frames; None: the mean + 1 sd of training's.
        own: Further parameters, for ``build``.
    """

    def __init__(
        self,
        build: str,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        weight_decay: float,
        patience: int | None = None,
        seconds: float | None = None,
        n_frames: int | None = None,
        **own: Any,
    ) -> None:
        super().__init__(
            Training(
                epochs=epochs,
                batch_size=batch_size,
                optimiser=torch_optimiser("AdamW", lr=learning_rate, weight_decay=weight_decay),
                patience=patience,
                seconds=seconds,
            )
        )
        self.path, self.n_frames, self.own = build, n_frames, own

    def measure(self, train: Examples) -> dict[str, Any]:
        """Return the common length of frames; None for vectors."""
        if train.offsets is None:
            return {"n_frames": None}
        return {"n_frames": self.n_frames or typical_length(train.lengths)}

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[Float32]:
        """Return vectors, or padded frames."""
        n_frames = self.measured["n_frames"]
        return (np.ascontiguousarray(examples.values[rows]) if n_frames is None else examples.padded(rows, n_frames),)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return their module."""
        return import_object(self.path)(n_columns, n_outputs, **self.own)


def torch_model(
    *,
    name: str,
    build: str,
    title: str | None = None,
    input: Literal["vector", "frames"] = "vector",
    features: str | None = None,
    packages: Sequence[str] = (),
    **params: Any,
) -> ModelSpec:
    """Return the specification of a torch module as a model, without importing it.

    Args:
        name: What suites and boards call it.
        build: ``module:callable``, see :class:`TorchModule`.
        title: One line for lists and boards.
        input: Whether it takes vectors or frames.
        features: The set used where a suite names none for this kind.
        packages: Distributions whose versions decide its results, beside numpy and torch.
        params: Other defaults than those of :class:`TorchModule`, and the module's own parameters.
    """
    return ModelSpec(
        name=name,
        title=title or f"{build} (PyTorch)",
        family="network",
        framework="torch",
        factory=f"{__name__}:TorchModule",
        params={"build": build, **_PARAMS, **params},
        input=input,
        features=features,
        requires=("torch", "safetensors"),
        extra="torch",
        uses_dev=True,
        targets=("classes", "values"),
        soft_targets=True,
        devices=("cpu", "cuda"),
        packages=("numpy", "torch", *packages),
    )
