"""Resemblyzer's speaker embedding: what a model can tell from who is speaking (see its title for how to install it)."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ser_bench.features.contract import Analysis, FeatureSet, Float32


@functools.cache
def _encoder() -> Any:
    import resemblyzer

    return resemblyzer.VoiceEncoder("cpu", verbose=False)


def _compute_resemblyzer(analysis: Analysis) -> Float32:
    """Return the mean embedding of stretches of 1.6 s, of length 1, shape (256,).

    Volume is raised to -30 dBFS and pauses are cut, as its authors do; where nothing is left, nothing is cut.

    Source: Wan et al. (2018), Generalized end-to-end loss for speaker verification; Resemblyzer's weights.
    """
    import resemblyzer
    import torch

    samples = np.clip(analysis.samples, -1, 1)
    voiced = resemblyzer.preprocess_wav(samples) if samples.any() else samples
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a value must not hang on how many there are
    try:
        found: Float32 = _encoder().embed_utterance(voiced if len(voiced) else samples)
    finally:
        torch.set_num_threads(n_threads)
    return found


RESEMBLYZER = FeatureSet(
    name="resemblyzer",
    version=1,
    title="Resemblyzer's speaker embedding (d-vector, LSTM trained to tell speakers apart), 256 values: who speaks",
    kind="vector",
    columns=tuple(f"embedding_{n:03d}" for n in range(256)),
    compute=_compute_resemblyzer,
    packages=("resemblyzer", "webrtcvad-wheels", "librosa", "numpy", "scipy", "soxr", "torch"),
    sample_rate_hz=16_000,
    requires=("resemblyzer", "webrtcvad", "torch"),
    install="pip install 'ser-bench[resemblyzer]' && pip install --no-deps resemblyzer",
    pretrained=True,
    n_parameters=1_423_616,
)
