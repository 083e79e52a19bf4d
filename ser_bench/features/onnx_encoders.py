"""Outputs of encoders in ONNX files as feature sets: ``onnx:FILE.onnx?rate=16000&pool=mean`` (extra ``onnx``)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_bench.errors import DataError, PrerequisiteError, UsageError
from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.embeddings import column_names, pool_in_words, pooled, read_name

_EXAMPLE = "onnx:encoder.onnx?rate=16000"


@dataclass(frozen=True, slots=True)
class OnnxOutputs:
    """The pooled output of an ONNX encoder.

    Attributes:
        path: Its file.
        pool: See :data:`ser_bench.features.embeddings.POOLS`.
    """

    path: str
    pool: str

    def __str__(self) -> str:
        return f"output of {self.path}"

    def __call__(self, analysis: Analysis) -> Float32:
        """Return the utterance's values."""
        found = _output(self.path, analysis.samples)
        return pooled(found[0], self.pool) if found.ndim == 3 else found[0]


def onnx_set(name: str) -> FeatureSet:
    """Return the feature set that ``onnx:FILE`` names, with the options ``rate`` (needed) and ``pool``.

    The graph takes samples, float, shape (1, n_samples), full scale 1, and its first output is frames, shape
    (1, n_frames, width), or one vector, shape (1, width), which is not pooled.

    Raises:
        UsageError: If an option is none, the rate is missing, or there is no such file.
        PrerequisiteError: If onnxruntime is not installed.
        DataError: If the graph takes or gives something else.
    """
    where, options = read_name(name, ("rate",))
    rate, pool = options.get("rate", ""), options["pool"]
    if not (rate.isascii() and rate.isdigit() and int(rate)):
        raise UsageError(f"feature set {name!r}: the rate that the encoder takes, in Hz, expected", hint=_EXAMPLE)
    path = Path(where).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"feature set {name!r}: no file {where!r}", hint=_EXAMPLE)
    found = _tried(str(path), int(rate))
    if found.ndim == 2 and pool != "mean":
        raise UsageError(f"feature set {name!r}: the encoder gives one vector, so there is nothing to pool")
    said = pool_in_words(pool) if found.ndim == 3 else "one vector per utterance"
    return FeatureSet(
        name=f"onnx:{path.name}" + name.partition("?")[1] + name.partition("?")[2],
        version=1,
        title=f"{path.name}: ONNX encoder, frozen; {found.shape[-1]} values, {said}",
        kind="frames" if pool == "none" else "vector",
        columns=column_names("output", found.shape[-1], pool),
        compute=OnnxOutputs(str(path), pool),
        packages=("numpy", "soxr", "onnxruntime"),
        sample_rate_hz=int(rate),
        requires=("onnxruntime",),
        extra="onnx",
        pretrained=True,
        files=tuple(map(str, sorted(path.parent.glob(f"{path.name}*")))),  # large weights lie in files beside it
    )


def _tried(path: str, n_samples: int) -> Float32:
    """Return the output for silence, since a graph need not state its width."""
    _session(path)  # where onnxruntime is missing, it says so
    try:
        return _output(path, np.zeros(n_samples, dtype=np.float32))
    except _faults() as error:
        raise DataError(f"{path}: {n_samples} samples, shape (1, {n_samples}), can't be run: {error}") from None


@functools.cache
def _session(path: str) -> Any:
    """Return a session, started once per process; on one thread, so that a value does not hang on how many there are.

    Raises:
        PrerequisiteError: If onnxruntime is not installed.
        DataError: If the file is no graph, or wants more than one input.
    """
    try:
        import onnxruntime
    except ImportError:
        raise PrerequisiteError(f"{path} needs onnxruntime", hint="pip install 'ser-bench[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except _faults() as error:
        raise DataError(f"{path}: no ONNX graph that can be run: {error}") from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:
        told = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)
        raise DataError(f"{path}: one input of samples expected, tensor(float) [1, n_samples]; got {told}")
    return session


def _output(path: str, samples: Float32) -> Float32:
    session = _session(path)
    found = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: samples[None]})[0]
    if not (isinstance(found, np.ndarray) and found.ndim in (2, 3) and found.shape[0] == 1):
        told = getattr(found, "shape", type(found).__name__)
        raise DataError(f"{path}: an output of shape (1, n_frames, width) or (1, width) expected, got {told}")
    return found.astype(np.float32)


def _faults() -> tuple[type[Exception], ...]:
    """Return the errors of onnxruntime, which have no class in common but ``Exception``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(each for each in vars(state).values() if isinstance(each, type) and issubclass(each, Exception))
