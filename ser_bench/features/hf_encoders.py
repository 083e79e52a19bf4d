"""Outputs of pretrained speech encoders as feature sets: ``hf:FOLDER_OR_ID?layer=7&pool=mean`` (extra ``encoders``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_bench.encoders import EncoderFiles, find_encoder, loaded
from ser_bench.errors import UsageError
from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.embeddings import column_names, pool_in_words, pooled, read_name

_EXAMPLE = "hf:microsoft/wavlm-base?layer=7"


@dataclass(frozen=True, slots=True)
class LayerOutputs:
    """The pooled outputs of one or more layers of an encoder, one layer after the other.

    Attributes:
        folder: Where the encoder lies.
        layers: Which; 0 is what enters the first.
        pool: See :data:`ser_bench.features.embeddings.POOLS`.
    """

    folder: str
    layers: tuple[int, ...]
    pool: str

    def __str__(self) -> str:
        return f"layers {self.layers} of {self.folder}"

    def __call__(self, analysis: Analysis) -> Float32:
        """Return the utterance's values; sets of one encoder share its pass."""
        outputs = analysis.once(self.folder, lambda: loaded(self.folder).layers(analysis.samples))
        return np.concatenate([pooled(outputs[layer], self.pool) for layer in self.layers])


def hf_set(name: str) -> FeatureSet:
    """Return the feature set that ``hf:WHERE`` names, with the options ``layer``, ``pool`` and ``revision``.

    ``layer`` is a number from 0 (what enters the first layer) to the encoder's last one, ``last`` (the default) or
    ``all``: every layer's pooled output, each a group of columns.

    Raises:
        UsageError: If an option is none, or the encoder has no such layer.
        PrerequisiteError: If the encoder is not here.
        DataError: If its files can't be used.
    """
    where, options = read_name(name, ("layer", "revision"))
    encoder = find_encoder(where, options.get("revision"))
    pool, layer = options["pool"], options.get("layer", "last")
    layers = _layers(name, layer, encoder.n_layers)
    if layer == "all" and pool == "none":
        raise UsageError(f"feature set {name!r}: all layers are pooled, or frames are of one layer", hint=_EXAMPLE)
    prefixes = [f"layer{number:02d}" for number in layers]
    groups = {prefix: column_names(prefix, encoder.width, pool) for prefix in prefixes}
    n = len(groups[prefixes[0]])
    return FeatureSet(
        name=f"hf:{encoder.name}" + name.partition("?")[1] + name.partition("?")[2],
        version=1,
        title=_title(encoder, layer, layers, pool),
        kind="frames" if pool == "none" else "vector",
        columns=tuple(column for columns in groups.values() for column in columns),
        compute=LayerOutputs(encoder.folder, layers, pool),
        packages=("numpy", "soxr", "torch", "transformers"),
        sample_rate_hz=encoder.sample_rate_hz,
        requires=("torch", "transformers", "safetensors"),
        extra="encoders",
        groups={prefix: (at * n, (at + 1) * n) for at, prefix in enumerate(prefixes)} if layer == "all" else {},
        pretrained=True,
        n_parameters=encoder.n_parameters,
        files=encoder.files,
    )


def _layers(name: str, layer: str, n_layers: int) -> tuple[int, ...]:
    if layer == "all":
        return tuple(range(n_layers + 1))
    if layer == "last":
        return (n_layers,)
    if layer.isascii() and layer.isdigit() and int(layer) <= n_layers:
        return (int(layer),)
    raise UsageError(f"feature set {name!r}: layer 0 to {n_layers}, 'last' or 'all' expected, got {layer!r}")


def _title(encoder: EncoderFiles, layer: str, layers: tuple[int, ...], pool: str) -> str:
    of = f"all {len(layers)} layers" if layer == "all" else f"layer {layers[0]} of {encoder.n_layers}"
    source = f"{encoder.name} at {encoder.commit}" if encoder.commit else encoder.name
    return f"{source}: {encoder.kind} encoder, frozen; {of}, {encoder.width} values, {pool_in_words(pool)}"
