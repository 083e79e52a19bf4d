"""Kaldi's log-mel filter bank, by kaldi-native-fbank (the extra ``kaldi``)."""

from __future__ import annotations

import numpy as np

from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.librosa_spectra import numbered

RATE_HZ = 16_000
N_BANDS = 23
WINDOW = 400
"""Samples in a window of 25 ms: what is shorter is padded to one window with zeros."""

FULL_SCALE = 32_768.0
"""Kaldi reads 16-bit samples as they are; its floor and its pre-emphasis are meant for that scale."""


def _compute_fbank23(analysis: Analysis) -> Float32:
    """Return log-mel frames, shape (n_frames, 23), n_frames = 1 + (n_samples - 400) // 160.

    Kaldi's defaults: windows of 25 ms every 10 ms that lie wholly inside the utterance (Povey window, pre-emphasis
    .97, mean removed), 512 bins, 23 bands from 20 Hz to 8 kHz, natural logarithm. Dither is off: it is random.

    Source: ``compute-fbank-feats`` of Kaldi (Povey et al. 2011), as called by the rebuilt system's source.
    """
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.samp_freq = analysis.sample_rate_hz
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = N_BANDS
    bank = knf.OnlineFbank(options)
    samples = np.pad(analysis.samples, (0, max(0, WINDOW - len(analysis.samples))))
    bank.accept_waveform(analysis.sample_rate_hz, samples * np.float32(FULL_SCALE))
    bank.input_finished()
    return np.stack([bank.get_frame(frame) for frame in range(bank.num_frames_ready)])


KALDI_FBANK23 = FeatureSet(
    name="kaldi-fbank23",
    version=1,
    title="Kaldi's log-mel filter bank: 23 bands at 16 kHz, windows of 25 ms, hop 10 ms, no dither",
    kind="frames",
    columns=numbered("mel", N_BANDS),
    compute=_compute_fbank23,
    packages=("kaldi-native-fbank", "numpy", "soxr"),
    sample_rate_hz=RATE_HZ,
    requires=("kaldi_native_fbank",),
    extra="kaldi",
)
