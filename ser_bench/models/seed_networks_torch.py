"""The PyTorch networks of the sources 000, 002 and 004, rebuilt; where a source is silent, the class says what stands.

None looks at dev examples: their sources train for a stated number of epochs and then fit on train + validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from ser_bench.models.contract import Examples, Float32, Ints, ModelSpec
from ser_bench.models.torch_settings import Training, torch_optimiser, warm_up_and_cosine
from ser_bench.models.torch_training import TorchModel

ONE_CYCLE = warm_up_and_cosine(0.3, start=1 / 25, end=1 / 250_000)
"""PyTorch's one-cycle schedule with its default shares: what "a max learning rate" means in source 002."""


class SeedNetwork(TorchModel):
    """What they share: Adam, the cross-entropy, and four parameters, whose defaults are in the specifications.

    Args:
        epochs: Passes over the training rows.
        batch_size: Rows per step.
        learning_rate: Of Adam; constant, but where a class says otherwise.
        seconds: Budget of one fit; None: none.
    """

    ADAM: Mapping[str, Any] = {}
    SETTINGS: Mapping[str, Any] = {}

    def __init__(self, *, epochs: int, batch_size: int, learning_rate: float, seconds: float | None = None) -> None:
        adam = torch_optimiser("Adam", lr=learning_rate, **self.ADAM)
        super().__init__(
            Training(epochs=epochs, batch_size=batch_size, optimiser=adam, seconds=seconds, **self.SETTINGS)
        )


class Seed000Mlp(SeedNetwork):
    """Five linear layers, 186-372-744-744-372-8, batch norm and ReLU after each but the last.

    Dropout .4 follows the second and .2 the fourth. With other than 186 columns the widths stay 2, 4, 4 and 2 times
    their number. Weights start He-uniform; Adam with betas .9 and .98.

    Source: the RAVDESS study of ``ravdess-actor-holdout``.
    """

    ADAM = MappingProxyType({"betas": (0.9, 0.98), "eps": 1e-9})

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return the vectors."""
        return (examples.values[rows],)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the layers of :meth:`layers`, in a row, with He-uniform weights."""
        import torch

        network = torch.nn.Sequential(*self.layers(n_columns, n_outputs))
        for parameter in network.parameters():
            if parameter.dim() > 1:
                torch.nn.init.kaiming_uniform_(parameter)
        return network

    def layers(self, n_columns: int, n_outputs: int) -> list[Any]:
        """Return the layers in order."""
        from torch import nn

        layers: list[Any] = []
        widths = [n_columns, 2 * n_columns, 4 * n_columns, 4 * n_columns, 2 * n_columns]
        for number, (n_in, n_out) in enumerate(pairwise(widths), start=1):
            layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
            layers += [nn.Dropout({2: 0.4, 4: 0.2}[number])] if number in (2, 4) else []
        return [*layers, nn.Linear(widths[-1], n_outputs)]


class Seed000Cnn1d(Seed000Mlp):
    """Five convolutions of size 3 along the vector, the maximum over it, two linear layers: 576,008 parameters.

    Channels 128 (stride 2), 128, pooled by 2, 256, 256, 256; then 128 and the classes. ReLU after each layer but the
    last; no padding, as in the source's image network. Fewer columns than 33, the least that leaves a value, are
    filled up with zeros.
    """

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return the vectors as sequences of one channel."""
        return (_filled(examples.values[rows][:, None], 33),)

    def layers(self, n_columns: int, n_outputs: int) -> list[Any]:
        """Return the layers in order."""
        from torch import nn

        convolutions: list[Any] = []
        for n_in, n_out in ((1, 128), (128, 128), (128, 256), (256, 256), (256, 256)):
            convolutions += [nn.Conv1d(n_in, n_out, 3, stride=2 if n_in == 1 else 1), nn.ReLU()]
        convolutions.insert(4, nn.MaxPool1d(2))
        return [*convolutions, _peak(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, n_outputs)]


class Seed000Cnn2d(Seed000Mlp):
    """Three convolutions over frames and features, the maximum over both, two linear layers: 2,205,958 parameters.

    Kernels (frames x features) 20 x 5 and 10 x 5, 200 channels each and averaged in fields of 6 x 2, then 3 x 3, 100
    channels; dropout .2, 50, the classes. ReLU after each layer but the last, no padding. The source's image is 228
    frames of 219 features (40 MFCC, 12 chroma, 160 mel, 7 contrast): its kernels fit no other way round, and not its
    selection of 52 features either. (Its code leaves dropout on when it predicts; here prediction is deterministic.)
    Fewer features than 24, the least that leaves a value, are filled up with zeros.

    Args:
        n_frames: Frames to which utterances are cut or padded with zeros, at least 181.
        n_channels: Channels of the first two convolutions; of the third half, of the linear layer a quarter of them.
        training: The parameters of :class:`SeedNetwork`.
    """

    SETTINGS = MappingProxyType({"channels_last": True})

    def __init__(self, *, n_frames: int = 228, n_channels: int = 200, **training: Any) -> None:
        super().__init__(**training)
        self.n_frames, self.n_channels = n_frames, n_channels

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return images, shape (n, 1, n_frames, n_columns)."""
        return (_filled(examples.padded(rows, self.n_frames)[:, None], 24),)

    def layers(self, n_columns: int, n_outputs: int) -> list[Any]:
        """Return the layers in order."""
        from torch import nn

        n = self.n_channels
        wide = [nn.Conv2d(1, n, (20, 5)), nn.ReLU(), nn.AvgPool2d((6, 2))]
        wide += [nn.Conv2d(n, n, (10, 5)), nn.ReLU(), nn.AvgPool2d((6, 2))]
        narrow = [nn.Conv2d(n, n // 2, 3), nn.ReLU(), _peak(), nn.Dropout(0.2)]
        return [*wide, *narrow, nn.Linear(n // 2, n // 4), nn.ReLU(), nn.Linear(n // 4, n_outputs)]


class Seed002Cnn1d(SeedNetwork):
    """One convolution of size 5 along the vector, ReLU, dropout .5, one linear layer.

    The text gives no width, epochs or batch: 100 channels, 70 epochs of batches of 25 and Adam at 1e-3 are those of
    an earlier network in the source's public code.
    """

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return the vectors as sequences of one channel."""
        return (examples.values[rows][:, None],)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        from torch import nn

        return nn.Sequential(
            nn.Conv1d(1, 100, 5, padding="same"),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(100 * n_columns, n_outputs),
        )


class Seed002Cnn2d(SeedNetwork):
    """Three convolutions of 2 x 5 and stride 2 on two maps, MFCC and log-mel, and one linear layer.

    Channels 16, 64, pooled by 2 x 2, 128; dropout .5 and ReLU after each. From maps of 20 x 50 just one value a
    channel is left. Trained on the negative log likelihood, by one cycle of the learning rate up to ``learning_rate``.
    The text gives no batch: 32.

    Columns are the first map's, then as many of the second's. Maps of fewer than 16 rows, the least that leaves a
    value, are filled up with zeros.
    """

    SETTINGS = MappingProxyType({"schedule": ONE_CYCLE})
    N_FRAMES = 50

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return maps, shape (n, 2, n_columns / 2, 50)."""
        frames = examples.padded(rows, self.N_FRAMES)
        if frames.shape[2] % 2:
            raise ValueError(f"two maps of equal height expected, {frames.shape[2]} columns received")
        maps = frames.reshape(len(rows), self.N_FRAMES, 2, -1).transpose(0, 2, 1, 3)
        return (np.ascontiguousarray(_filled(maps, 16).swapaxes(2, 3)),)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        from torch import nn

        layers = [*self.extractor(), nn.Conv2d(64, 128, (2, 5), stride=2), nn.Dropout(0.5), nn.ReLU(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(_size(layers, n_columns), n_outputs))

    def extractor(self) -> list[Any]:
        """Return the first two convolutions and the pooling."""
        from torch import nn

        first = [nn.Conv2d(2, 16, (2, 5), stride=2), nn.Dropout(0.5), nn.ReLU()]
        second = [nn.Conv2d(16, 64, (2, 5), stride=2), nn.Dropout(0.5), nn.ReLU()]
        return [*first, *second, nn.MaxPool2d(2)]


class Seed002CnnLstm(Seed002Cnn2d):
    """The first two convolutions and the pooling of :class:`Seed002Cnn2d`, a bidirectional LSTM of 128, one layer.

    The LSTM runs over time (5 steps), its last states of both directions go to the linear layer. The text gives
    neither kernels, batch nor a learning rate: those of the 2-D network, the rate constant.
    """

    SETTINGS = MappingProxyType({})

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        import torch

        extractor = self.extractor()

        class Network(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.extractor = torch.nn.Sequential(*extractor, torch.nn.Flatten(1, 2))
                n_steps = 5
                self.lstm = torch.nn.LSTM(_size(extractor, n_columns) // n_steps, 128, 1, True, True, 0.0, True)
                self.head = torch.nn.Linear(256, n_outputs)

            def forward(self, maps: Any) -> Any:
                _, (last, _) = self.lstm(self.extractor(maps).transpose(1, 2))
                return self.head(torch.cat([last[0], last[1]], dim=1))

        return Network()


class Seed004Cnn(SeedNetwork):
    """One convolution over all bands of 10 frames, 128 channels, stride 3, and two linear layers.

    ReLU, maximum over 5 steps, dropout .7, 128, ReLU, dropout .7, the classes. Frames become z-scores by one mean and
    standard deviation over all of training, and are cut or padded with zeros to the mean + 1 sd of training's lengths
    (the source measures that on all data: 691). Class-weighted cross-entropy; for ratings 1 - CCC.
    """

    SETTINGS = MappingProxyType({"class_weights": True})

    def measure(self, train: Examples) -> dict[str, Any]:
        """Return length, mean and standard deviation of training; at least 22 frames, which leave one step."""
        lengths = train.lengths
        sums = np.zeros(2)
        for row in range(len(train)):
            frames = train.frames(row).astype(np.float64)
            sums += frames.sum(), np.square(frames).sum()
        mean, square = sums / (lengths.sum() * len(train.columns))
        n_frames = max(22, int(lengths.mean() + lengths.std()))
        return {"n_frames": n_frames, "mean": float(mean), "sd": float(np.sqrt(max(square - mean**2, 0.0)))}

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return z-scores, shape (n, 1, n_frames, n_columns)."""
        n_frames, mean, sd = (self.measured[name] for name in ("n_frames", "mean", "sd"))
        batch = np.zeros((len(rows), 1, n_frames, len(examples.columns)), dtype=np.float32)
        for place, row in enumerate(rows.tolist()):
            frames = examples.frames(row)[:n_frames]
            batch[place, 0, : len(frames)] = (frames - np.float32(mean)) / np.float32(sd + 1e-7)
        return (batch,)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        from torch import nn

        n_steps = ((self.measured["n_frames"] - 10) // 3 + 1) // 5
        return nn.Sequential(
            nn.Conv2d(1, 128, (10, n_columns), stride=3),
            nn.ReLU(),
            nn.MaxPool2d((5, 1)),
            nn.Dropout(0.7),
            nn.Flatten(),
            nn.Linear(128 * n_steps, 128),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(128, n_outputs),
        )


def _filled(values: Float32, n_columns: int) -> Float32:
    """Return ``values`` with zeros after the last axis where that is shorter than ``n_columns``."""
    missing = max(0, n_columns - values.shape[-1])
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)]) if missing else values


def _size(layers: list[Any], n_columns: int) -> int:
    """Return how many values the layers make of one pair of maps."""
    import torch

    with torch.no_grad():
        maps = torch.zeros(1, 2, max(16, n_columns // 2), Seed002Cnn2d.N_FRAMES)
        return int(torch.nn.Sequential(*layers).eval()(maps).numel())


def _peak() -> Any:
    """Return the maximum over all places as a layer; ``AdaptiveMaxPool`` is not deterministic on CUDA."""
    import torch

    class Peak(torch.nn.Module):
        def forward(self, maps: Any) -> Any:
            return maps.flatten(2).amax(2)

    return Peak()


def _spec(name: str, title: str, factory: str, of: tuple[int, int, float], **more: Any) -> ModelSpec:
    epochs, batch_size, learning_rate = of
    return ModelSpec(
        name=name,
        title=f"{title} (PyTorch)",
        family="network",
        framework="torch",
        factory=f"{__name__}:{factory}",
        params={"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "seconds": None},
        requires=("torch", "safetensors"),
        extra="torch",
        targets=("classes", "values"),
        soft_targets=True,
        devices=("cpu", "cuda"),
        packages=("numpy", "torch"),
        **more,
    )


_IMAGE: dict[str, Any] = {"input": "frames", "features": "seed000-image"}
_TENSOR: dict[str, Any] = {"input": "frames", "features": "seed002-tensor"}
_BANK: dict[str, Any] = {"input": "frames", "features": "kaldi-fbank23", "normalise": "none"}

SEED000_MLP = _spec("seed000-mlp", "MLP of source 000", "Seed000Mlp", (60, 8, 1e-4), features="seed000-186")
SEED000_CNN1D = _spec("seed000-cnn1d", "1-D CNN of source 000", "Seed000Cnn1d", (60, 64, 1e-4), features="seed000-186")
SEED000_CNN2D = _spec("seed000-cnn2d", "2-D CNN of source 000", "Seed000Cnn2d", (100, 8, 1e-4), **_IMAGE)
SEED002_CNN1D = _spec("seed002-cnn1d", "1-D CNN of source 002", "Seed002Cnn1d", (70, 25, 1e-3), features="seed002-114")
SEED002_CNN2D = _spec("seed002-cnn2d", "2-D CNN of source 002", "Seed002Cnn2d", (20, 32, 1e-3), **_TENSOR)
SEED002_CNN_LSTM = _spec("seed002-cnn-lstm", "CNN-LSTM of source 002", "Seed002CnnLstm", (100, 32, 1e-3), **_TENSOR)
SEED004_CNN = _spec("seed004-cnn", "time-convolution network of source 004", "Seed004Cnn", (20, 128, 1e-4), **_BANK)
