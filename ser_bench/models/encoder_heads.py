"""Small networks on the outputs of a pretrained encoder: learnt layer weights, and attentive pooling of frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from ser_bench.errors import UsageError
from ser_bench.models.contract import Examples, FitContext, Ints, ModelSpec
from ser_bench.models.torch_pooling import attentive_statistics, head
from ser_bench.models.torch_settings import Training, torch_optimiser
from ser_bench.models.torch_training import TorchModel

_PARAMS = {
    "epochs": 60,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "dropout": 0.3,
    "hidden": 256,
    "patience": 15,
}


class _Head(TorchModel):
    """What both have in common: the training.

    Args:
        epochs: Passes over the training rows, at most.
        batch_size: Rows per step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        dropout: Share of what enters the last layer that is dropped in training.
        hidden: Units of the hidden layer; 0: none, the head is linear.
        patience: Epochs without a better dev UAR after which training stops.
    """

    def __init__(
        self,
        *,
        epochs: int = 60,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        dropout: float = 0.3,
        hidden: int = 256,
        patience: int = 15,
    ) -> None:
        optimiser = torch_optimiser("AdamW", lr=learning_rate, weight_decay=weight_decay)
        super().__init__(Training(epochs=epochs, batch_size=batch_size, optimiser=optimiser, patience=patience))
        self.dropout, self.hidden = dropout, hidden


class LayerHead(_Head):
    """A weighted mean of all layers' pooled outputs, its weights learnt, and a linear or MLP head.

    ``facts["layer_weights"]`` holds the weights, summing to 1.

    Source: Peters et al. (2018), "Deep contextualized word representations"; Yang et al. (2021), "SUPERB".
    """

    def measure(self, train: Examples) -> dict[str, Any]:
        """Return the number of layers.

        Raises:
            UsageError: If the columns are not in groups of one width, one per layer.
        """
        widths = {stop - start for start, stop in train.groups.values()}
        if len(widths) != 1 or len(train.groups) * min(widths) != len(train.columns):
            raise UsageError("hf-head needs every layer's outputs as its features", hint="features = 'hf:…?layer=all'")
        return {"n_layers": len(train.groups)}

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        import torch

        n_layers, width = self.measured["n_layers"], n_columns // self.measured["n_layers"]
        classify = head(width, n_outputs, self.hidden, self.dropout)

        class Network(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = torch.nn.Parameter(torch.zeros(n_layers))
                self.head = classify

            def forward(self, outputs: Any) -> Any:
                return self.head(self.layers.softmax(0) @ outputs.unflatten(1, (n_layers, width)))

        return Network()

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return the vectors."""
        return (examples.values[rows],)

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Train, and tell the weights of the layers."""
        super().fit(train, dev, context)
        self.facts["layer_weights"] = [round(w, 4) for w in self._judged.layers.detach().cpu().softmax(0).tolist()]


class AttentiveHead(_Head):
    """Attention over frames, the mean and standard deviation that it weighs, and a linear or MLP head.

    Source: Okabe et al. (2018), "Attentive statistics pooling for deep speaker embedding".
    """

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        import torch

        pool, classify = attentive_statistics(n_columns), head(2 * n_columns, n_outputs, self.hidden, self.dropout)

        class Network(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.pool, self.head = pool, classify

            def forward(self, frames: Any, mask: Any) -> Any:
                return self.head(self.pool(frames, mask))

        return Network()

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return frames, padded to the longest row, and which of them are there."""
        lengths = examples.lengths[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]
        return examples.padded(rows, int(lengths.max())), mask


HF_HEAD = ModelSpec(
    name="hf-head",
    title="learnt weights of an encoder's layers and an MLP (PyTorch)",
    family="network",
    framework="torch",
    factory="ser_bench.models.encoder_heads:LayerHead",
    params=_PARAMS,
    input="vector",
    requires=("torch", "safetensors"),
    extra="torch",
    uses_dev=True,
    soft_targets=True,
    devices=("cpu", "cuda"),
    packages=("numpy", "torch"),
)

ATTENTIVE_HEAD = ModelSpec(
    name="attentive-head",
    title="attentive statistics pooling of frames and an MLP (PyTorch)",
    family="network",
    framework="torch",
    factory="ser_bench.models.encoder_heads:AttentiveHead",
    params=_PARAMS,
    input="frames",
    requires=("torch", "safetensors"),
    extra="torch",
    uses_dev=True,
    soft_targets=True,
    devices=("cpu", "cuda"),
    packages=("numpy", "torch"),
)
