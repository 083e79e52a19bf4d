"""The sound itself as frames of one sample each, for models that begin with the waveform."""

from __future__ import annotations

from ser_bench.features.contract import Analysis, FeatureSet, Float32


def _compute_waveform(analysis: Analysis) -> Float32:
    return analysis.samples[:, None]


WAVEFORM16K = FeatureSet(
    name="waveform16k",
    version=1,
    title="Mono samples at 16 kHz, full scale 1, as they are: one sample per frame",
    kind="frames",
    columns=("sample",),
    compute=_compute_waveform,
    packages=("numpy", "soxr"),
    sample_rate_hz=16_000,
)
