"""A small convolutional network on log-mel frames, in PyTorch."""

from __future__ import annotations

from typing import Any

from numpy.random import RandomState

from ser_bench.models.contract import Examples, Float32, Ints, ModelSpec
from ser_bench.models.frame_network import KERNELS, WIDTHS, common_length, paired_frames
from ser_bench.models.torch_settings import Training, torch_optimiser
from ser_bench.models.torch_training import TorchModel


class TorchCnn(TorchModel):
    """Four strided convolutions over time and frequency, mean and max pooling over time, one linear layer.

    What it is fed is that of :class:`ser_bench.models.frame_network.FrameNetwork`, and so are its parameters.
    """

    def __init__(
        self,
        *,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        dropout: float = 0.5,
        n_channels: int = 8,
        patience: int = 10,
    ) -> None:
        optimiser = torch_optimiser("AdamW", lr=learning_rate, weight_decay=weight_decay)
        super().__init__(Training(epochs=epochs, batch_size=batch_size, optimiser=optimiser, patience=patience))
        self.dropout, self.n_channels = dropout, n_channels

    def measure(self, train: Examples) -> dict[str, Any]:
        """Return the common length."""
        return {"n_frames": common_length(train.lengths)}

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[Float32, Float32]:
        """Return pairs of frames, and the mask of the pooled sequence."""
        return paired_frames(examples, rows, self.measured["n_frames"], random)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        return _network(n_columns, n_outputs, self.dropout, self.n_channels)


def _network(n_columns: int, n_outputs: int, dropout: float, n_channels: int) -> Any:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[Any] = []
            n_in, n_bands = 1, n_columns
            for width, kernel in zip(WIDTHS, KERNELS, strict=True):
                n_out = width * n_channels
                layers += [
                    torch.nn.Conv2d(n_in, n_out, kernel, stride=2, padding=kernel // 2, bias=False),
                    torch.nn.BatchNorm2d(n_out),
                    torch.nn.ReLU(),
                ]
                n_in, n_bands = n_out, -(-n_bands // 2)
            self.convolutions = torch.nn.Sequential(*layers)
            self.dropout = torch.nn.Dropout(dropout)
            self.head = torch.nn.Linear(2 * n_in * n_bands, n_outputs)

        def forward(self, frames: Any, mask: Any) -> Any:
            valid = mask[:, :, None]
            steps = self.convolutions(frames[:, None]).permute(0, 2, 1, 3).flatten(2)
            mean = (steps * valid).sum(1) / valid.sum(1)
            peak = steps.masked_fill(valid == 0, -torch.inf).amax(1)
            return self.head(self.dropout(torch.cat([mean, peak], 1)))

    return Network()


TORCH_CNN = ModelSpec(
    name="torch-cnn",
    title="small 2-D CNN on log-mel frames (PyTorch)",
    family="network",
    framework="torch",
    factory="ser_bench.models.torch_cnn:TorchCnn",
    params={
        "epochs": 30,
        "batch_size": 32,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "dropout": 0.5,
        "n_channels": 8,
        "patience": 10,
    },
    input="frames",
    features="logmel64",
    requires=("torch", "safetensors"),
    extra="torch",
    uses_dev=True,
    targets=("classes", "values"),
    soft_targets=True,
    devices=("cpu", "cuda"),
    packages=("numpy", "torch"),
)
