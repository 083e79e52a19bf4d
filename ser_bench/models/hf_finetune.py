"""A pretrained speech encoder, trained on with a head of its own, from samples (extra ``encoders``)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from ser_bench.encoders import FRAME_SLACK, Encoder, find_encoder
from ser_bench.errors import UsageError
from ser_bench.models.contract import Examples, FitContext, Float32, Ints, ModelSpec
from ser_bench.models.torch_pooling import attentive_statistics, head, mean_over_time
from ser_bench.models.torch_settings import Training, warm_up_and_cosine
from ser_bench.models.torch_training import TorchModel

RATE_HZ = 16_000
"""Of the samples that it is fed."""

_WARM_UP = 0.1
_CLIP_NORM = 1.0


class HfFinetune(TorchModel):
    """An encoder whose upper layers are trained on, pooling over time, and a linear or MLP head.

    What enters the first transformer layer (convolutions, projection) stays as it is. Training rows are heard as a
    random crop in every epoch; prediction hears whole utterances, one by one, so that none depends on others' length.
    What :meth:`save` writes needs the encoder's folder besides.

    Args:
        encoder: A folder, or an id of the hub; see :mod:`ser_bench.encoders`.
        trained_layers: How many of the uppermost transformer layers are trained on; None: all; 0: the head alone.
        pool: ``mean`` or ``attentive``.
        hidden: Units of the head's hidden layer; 0: none.
        epochs: Passes over the training rows, at most.
        batch_size: Rows per step.
        learning_rate: Of AdamW, for the encoder's layers, at its highest.
        head_learning_rate: Of AdamW, for the rest.
        weight_decay: Of AdamW.
        dropout: Share of what enters the last layer that is dropped in training.
        crop_s: Seconds of a training row, at most.
        patience: Epochs without a better dev UAR after which training stops.
    """

    def __init__(
        self,
        *,
        encoder: str,
        trained_layers: int | None = None,
        pool: str = "mean",
        hidden: int = 256,
        epochs: int = 10,
        batch_size: int = 8,
        learning_rate: float = 3e-5,
        head_learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        dropout: float = 0.1,
        crop_s: float = 5.0,
        patience: int = 4,
    ) -> None:
        if pool not in ("mean", "attentive"):
            raise UsageError(f"hf-finetune: pool 'mean' or 'attentive' expected, got {pool!r}")
        rates = {"encoder_rate": learning_rate, "head_rate": head_learning_rate, "weight_decay": weight_decay}
        super().__init__(
            Training(
                epochs=epochs,
                batch_size=batch_size,
                optimiser=functools.partial(_adamw, **rates),
                schedule=warm_up_and_cosine(_WARM_UP),
                patience=patience,
                clip_norm=_CLIP_NORM,
            )
        )
        self.encoder = encoder
        self.trained_layers, self.pool, self.hidden, self.dropout = trained_layers, pool, hidden, dropout
        self.crop_samples = int(crop_s * RATE_HZ)

    def build(self, n_columns: int, n_outputs: int) -> Any:
        """Return the encoder with a new head.

        Raises:
            UsageError: If the encoder takes another rate, or has fewer layers than shall be trained.
        """
        found = find_encoder(self.encoder)
        if found.sample_rate_hz != RATE_HZ:
            raise UsageError(f"hf-finetune: {found.name} takes {found.sample_rate_hz} Hz, {RATE_HZ} Hz expected")
        n_trained = found.n_layers if self.trained_layers is None else self.trained_layers
        if not 0 <= n_trained <= found.n_layers:
            raise UsageError(f"hf-finetune: trained_layers = {n_trained}, but {found.name} has {found.n_layers} layers")
        self._prepared = (encoder := Encoder(found.folder)).prepared
        _freeze_below(encoder.network, n_trained)
        attentive = self.pool == "attentive"
        pool = attentive_statistics(found.width) if attentive else mean_over_time()
        width = found.width * (2 if attentive else 1)
        return _network_class()(encoder.network, pool, head(width, n_outputs, self.hidden, self.dropout))

    def inputs(self, examples: Examples, rows: Ints, random: RandomState | None) -> tuple[NDArray[Any], ...]:
        """Return what the encoder takes; see :meth:`ser_bench.encoders.Encoder.prepared`."""
        sounds = [examples.frames(row)[:, 0] for row in rows.tolist()]
        if random is not None:
            starts = [random.randint(max(1, len(sound) - self.crop_samples + 1)) for sound in sounds]
            sounds = [sound[at : at + self.crop_samples] for sound, at in zip(sounds, starts, strict=True)]
        return self._prepared(sounds)

    def outputs(self, examples: Examples, rows: Ints) -> Float32:
        """Return the fitted network's outputs, shape (len(rows), n_outputs)."""
        return np.concatenate([super(HfFinetune, self).outputs(examples, rows[at : at + 1]) for at in range(len(rows))])

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        """Train on ``train``, samples at 16 kHz; ``facts["n_parameters"]`` counts those that are not trained, too.

        Raises:
            UsageError: If the examples are no samples.
        """
        if len(train.columns) != 1:
            raise UsageError("hf-finetune takes samples", hint="features = 'waveform16k'")
        super().fit(train, dev, context)
        self.facts["n_trained_parameters"] = self.facts["n_parameters"]
        self.facts["n_parameters"] = sum(p.numel() for p in self._network.parameters())


def _freeze_below(network: Any, n_trained: int) -> None:
    """Leave gradients to the uppermost ``n_trained`` transformer layers only."""
    layers = getattr(network, "encoder", network).layers
    network.requires_grad_(False)
    if hasattr(network, "freeze_feature_encoder"):  # else its convolutions keep what only their gradient would need
        network.freeze_feature_encoder()
    for layer in layers[len(layers) - n_trained :]:
        layer.requires_grad_(True)


def _adamw(network: Any, encoder_rate: float, head_rate: float, weight_decay: float) -> Any:
    import torch

    rest = [*network.pool.parameters(), *network.head.parameters()]
    trained = [p for p in network.encoder.parameters() if p.requires_grad]
    groups = [{"params": rest, "lr": head_rate}, *([{"params": trained, "lr": encoder_rate}] if trained else [])]
    return torch.optim.AdamW(groups, weight_decay=weight_decay)


@functools.cache
def _network_class() -> Any:
    import torch

    class Network(torch.nn.Module):
        """What an encoder takes -> logits (n, n_outputs)."""

        def __init__(self, encoder: Any, pool: Any, head: Any) -> None:
            super().__init__()
            self.encoder, self.pool, self.head = encoder, pool, head

        def forward(self, values: Any, share: Any, mask: Any = None) -> Any:
            told = {} if mask is None else {"attention_mask": mask}
            frames = self.encoder(values, **told).last_hidden_state
            n_frames = frames.shape[1]
            there = torch.arange(n_frames, device=frames.device) < (share[:, None] * n_frames - FRAME_SLACK).ceil()
            return self.head(self.pool(frames, there))

    return Network


HF_FINETUNE = ModelSpec(
    name="hf-finetune",
    title="pretrained speech encoder, fine-tuned (transformers)",
    family="network",
    framework="transformers",
    factory="ser_bench.models.hf_finetune:HfFinetune",
    params={
        "encoder": "",
        "trained_layers": None,
        "pool": "mean",
        "hidden": 256,
        "epochs": 10,
        "batch_size": 8,
        "learning_rate": 3e-5,
        "head_learning_rate": 1e-3,
        "weight_decay": 0.01,
        "dropout": 0.1,
        "crop_s": 5.0,
        "patience": 4,
    },
    input="frames",
    features="waveform16k",
    normalise="none",
    requires=("torch", "transformers", "safetensors"),
    extra="encoders",
    uses_dev=True,
    soft_targets=True,
    devices=("cpu", "cuda"),
    packages=("numpy", "torch", "transformers"),
    pretrained=True,
)
