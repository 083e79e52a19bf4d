"""A residual network with squeeze-and-excitation on log-mel frames, trained by a schedule declared beforehand."""

from __future__ import annotations

import functools
import sys
from itertools import product
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from ser_bench.models.contract import Examples, FitContext, Float32, Ints, ModelSpec
from ser_bench.models.frame_augmentation import Float64, band_warps, cut_holes, retimed_crop
from ser_bench.models.torch_settings import Training, warm_up_and_cosine
from ser_bench.models.torch_training import TorchModel, mixed_up

BLOCKS = ((16, 2), (32, 2), (64, 2), (96, 1))
"""Channels and stride of the residual blocks, after a stem of stride 2."""

HEARD_SPEEDS, HEARD_TEMPOS = (0.92, 1.0, 1.08), (0.9, 1.0, 1.1)
"""At which speeds and tempos prediction hears every utterance, each with each."""

N_VARIANTS_TRIED = 8
"""Variants of this network that were compared while it was made, on CREMA-D alone; in ``facts`` for the record.

Two normalisations of the frames, and seven sets of speeds and tempos at which prediction listens, 1 alone among them.
"""

_WARM_UP = 0.05
_AVERAGING = 0.995
_PREDICT_TOGETHER = 16


class SeResnet(TorchModel):
    """A 5 x 5 stem of stride 2, four residual blocks with squeeze-and-excitation, attentive statistics pooling.

    Training rows are heard at another speed (pitch and time) and tempo (time alone) in every epoch, a random crop of
    each, with holes in bands and time, two mixed into one. Prediction hears the whole of each utterance nine times, at
    three speeds and three tempos, and takes the mean of the probabilities. The learning rate rises for the first
    twentieth of the steps and falls to 0 along a cosine; averaged weights predict. All ``epochs`` are taken: dev
    examples are not looked at.

    Args:
        epochs: Passes over the training rows.
        batch_size: Rows per step.
        learning_rate: Of AdamW, at its highest.
        weight_decay: Of AdamW, for weights; not for biases and normalisation.
        dropout: Share of the pooled statistics that is dropped in training.
        label_smoothing: Share of each target that is spread over all classes.
        mixup: Alpha of the beta distribution of the shares in which two rows are mixed; 0 for none.
        perturbation: Largest change of speed, and of tempo, as a share.
        crop_frames: Frames of a training row, at most.

    Source: Hu et al. (2018), "Squeeze-and-excitation networks"; Okabe et al. (2018), "Attentive statistics pooling
    for deep speaker embedding".
    """

    def __init__(
        self,
        *,
        epochs: int = 70,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        dropout: float = 0.4,
        label_smoothing: float = 0.1,
        mixup: float = 0.3,
        perturbation: float = 0.15,
        crop_frames: int = 192,
    ) -> None:
        super().__init__(
            Training(
                epochs=epochs,
                batch_size=batch_size,
                optimiser=functools.partial(_adamw, learning_rate=learning_rate, weight_decay=weight_decay),
                schedule=warm_up_and_cosine(_WARM_UP),
                label_smoothing=label_smoothing,
                averaging=_AVERAGING,
                channels_last=True,
            )
        )
        self.dropout = dropout
        self.mixup = mixup
        self.perturbation = perturbation
        self.crop_frames = crop_frames

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Train on ``train`` (frames) for all epochs, whatever ``dev`` is."""
        super().fit(train, None, context)
        self.facts["n_variants_tried"] = N_VARIANTS_TRIED

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the network."""
        return _network_class()(n_columns, n_outputs, self.dropout)

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return images (n, 1, n_frames, n_columns) and which of their frames are there, (n, n_frames)."""
        if random is None:
            return self._heard(examples, rows, np.ones(len(rows)), np.ones(len(rows)))
        low, high = 1 - self.perturbation, 1 + self.perturbation
        speeds, tempos = random.uniform(low, high, (2, len(rows)))
        batch, mask = self._heard(examples, rows, speeds, tempos, random.random_sample(len(rows)))
        cut_holes(batch[:, 0], random)
        return batch, mask

    def _heard(
        self, examples: Examples, rows: Ints, speeds: Float64, tempos: Float64, where: Float64 | None = None
    ) -> tuple[Float32, Float32]:
        """Return images and mask of rows at a speed and tempo each; a crop at ``where``, or the whole utterance."""
        cuts = [examples.frames(row) for row in rows.tolist()]
        if where is None:
            where, longest = np.zeros(len(rows)), sys.maxsize
        else:
            longest = self.crop_frames
        rates = speeds * tempos
        cuts = [retimed_crop(c, r, longest, w) for c, r, w in zip(cuts, rates, where, strict=True)]
        n_frames = max(map(len, cuts))
        batch = np.zeros((len(rows), n_frames, len(examples.columns)), dtype=np.float32)
        mask = np.zeros((len(rows), n_frames), dtype=np.float32)
        for place, cut in enumerate(cuts):
            batch[place, : len(cut)] = cut
            mask[place, : len(cut)] = 1
        return (batch @ band_warps(speeds, batch.shape[2]))[:, None], mask

    def augment(self, inputs: tuple[Any, ...], targets: Any, random: RandomState) -> tuple[tuple[Any, ...], Any]:
        """Return the batch mixed with itself in another order, and targets in the same shares."""
        import torch

        if not targets.is_floating_point():
            targets = torch.nn.functional.one_hot(targets, len(self._present)).float()
        (images, mask), targets = mixed_up(inputs, targets, random, alpha=self.mixup)
        return (images, (mask > 0).float()), targets

    def outputs(self, examples: Examples, rows: Ints) -> Float32:
        """Return logarithms of the probabilities' means over all hearings (of ratings: their means).

        The shape is (len(rows), n_outputs). Utterances of like length go together.
        """
        import torch

        self._judged.eval()
        order = np.argsort(examples.lengths[rows], kind="stable")
        found = []
        with torch.inference_mode():
            for at in range(0, len(order), _PREDICT_TOGETHER):
                piece = rows[order[at : at + _PREDICT_TOGETHER]]
                heard = [
                    self._judged(*self._on_device(self._heard(examples, piece, speeds, tempos))).float()
                    for speeds, tempos in (
                        (np.full(len(piece), speed), np.full(len(piece), tempo))
                        for speed, tempo in product(HEARD_SPEEDS, HEARD_TEMPOS)
                    )
                ]
                together = torch.stack(heard)
                mean = together.mean(0) if self._ratings is not None else together.softmax(2).mean(0).log()
                found.append(mean.cpu().numpy())
        return np.concatenate(found)[np.argsort(order)]


def _adamw(network: Any, learning_rate: float, weight_decay: float) -> Any:
    import torch

    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay, foreach=True)


@functools.cache
def _network_class() -> Any:
    """Return the module's class; made when first needed, since importing torch takes seconds."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        """Two 3 x 3 convolutions, weighed by channel, beside a short cut: (n, n_in, t, f) -> (n, n_out, ...)."""

        def __init__(self, n_in: int, n_out: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
            self.first_norm = nn.BatchNorm2d(n_out)
            self.second = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
            self.second_norm = nn.BatchNorm2d(n_out)
            self.squeeze = nn.Linear(n_out, n_out // 8)
            self.excite = nn.Linear(n_out // 8, n_out)
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

        def forward(self, x: Any, mask: Any) -> Any:
            hidden = functional.relu(self.first_norm(self.first(x)), inplace=True) * mask
            hidden = self.second_norm(self.second(hidden)) * mask
            mean = hidden.sum((2, 3)) / (mask.sum((2, 3)) * hidden.shape[3])
            gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))
            return functional.relu(hidden * gate[:, :, None, None] + self.shortcut(x), inplace=True) * mask

    class Network(nn.Module):
        """Images (n, 1, n_frames, n_columns) and the mask of their frames -> logits (n, n_outputs)."""

        def __init__(self, n_columns: int, n_outputs: int, dropout: float) -> None:
            super().__init__()
            n_in, n_bands = BLOCKS[0][0], -(-n_columns // 2)
            self.stem = nn.Conv2d(1, n_in, 5, 2, padding=2, bias=False)
            self.stem_norm = nn.BatchNorm2d(n_in)
            self.blocks = nn.ModuleList()
            for n_out, stride in BLOCKS:
                self.blocks.append(Block(n_in, n_out, stride))
                n_in, n_bands = n_out, -(-n_bands // stride)
            width = n_in * n_bands
            self.attention = nn.Sequential(nn.Conv1d(width, 128, 1), nn.Tanh(), nn.Conv1d(128, width, 1))
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(2 * width, n_outputs)

        def forward(self, images: Any, mask: Any) -> Any:
            # Padding is set to 0 after every layer, as if the utterance ended there: so it changes nothing.
            mask = mask[:, None, ::2, None]
            x = functional.relu(self.stem_norm(self.stem(images)), inplace=True) * mask
            for block, (_, stride) in zip(self.blocks, BLOCKS, strict=True):
                mask = mask[:, :, ::stride]
                x = block(x, mask)
            steps = x.transpose(2, 3).flatten(1, 2)
            share = self.attention(steps).masked_fill(mask[:, :, :, 0] == 0, -torch.inf).softmax(2)
            mean = (steps * share).sum(2)
            variance = (steps.square() * share).sum(2) - mean.square()
            return self.head(self.dropout(torch.cat([mean, variance.clamp_min(1e-5).sqrt()], 1)))

    return Network


SE_RESNET = ModelSpec(
    name="se-resnet",
    title="residual 2-D CNN with squeeze-and-excitation on log-mel frames, augmented (PyTorch)",
    family="network",
    framework="torch",
    factory="ser_bench.models.se_resnet:SeResnet",
    params={
        "epochs": 70,
        "batch_size": 32,
        "learning_rate": 2e-3,
        "weight_decay": 0.05,
        "dropout": 0.4,
        "label_smoothing": 0.1,
        "mixup": 0.3,
        "perturbation": 0.15,
        "crop_frames": 192,
    },
    input="frames",
    features="logmel64-16k-trim",
    normalise="none",
    requires=("torch",),
    extra="torch",
    soft_targets=True,
    devices=("cpu", "cuda"),
    packages=("numpy", "torch"),
)
