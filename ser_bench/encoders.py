"""Pretrained speech encoders in the layout of Hugging Face: found on disk, described, loaded; they run no code.

What is accepted is a folder with ``config.json``, ``preprocessor_config.json`` and weights as safetensors. Nothing is
fetched unless ``SER_BENCH_DOWNLOAD=1`` says so.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.audio import file_digest
from ser_bench.errors import DataError, PrerequisiteError, UsageError

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_WEIGHTS, _SHARDS = "model.safetensors", "model.safetensors.index.json"
_WANTED = (_CONFIG, _PREPROCESSOR, "*.safetensors", _SHARDS)
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_PARTS = {"feature_extractor", "feature_projection", "encoder"}
_SHORTEST_S = 0.25  # what convolutions and the masking of 10 frames in training need

FRAME_SLACK = 1e-3
"""Share of a frame below which it does not count, so that rounding makes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFiles:
    """An encoder on disk, as its own files describe it.

    Attributes:
        folder: Where it lies.
        name: The hub's id, or the folder's own name.
        commit: Of a hub id; None for folders.
        kind: Its architecture, such as ``wavlm``.
        n_layers: Transformer layers; their inputs count as layer 0.
        width: Values per frame and layer.
        sample_rate_hz: Of the sound that it takes.
        n_parameters: Parameters that its layers' outputs depend on; None where its weights' names do not tell.
        files: Absolute paths of all that decides its outputs.
    """

    folder: str
    name: str
    commit: str | None
    kind: str
    n_layers: int
    width: int
    sample_rate_hz: int
    n_parameters: int | None
    files: tuple[str, ...]


def find_encoder(location: str, revision: str | None = None) -> EncoderFiles:
    """Return the encoder in a local folder, or of a hub id that lies in the hub's cache.

    Args:
        location: A folder, or an id such as ``facebook/wav2vec2-base``.
        revision: Commit, tag or branch of a hub id; None: its default branch.

    Raises:
        UsageError: If ``location`` is empty.
        PrerequisiteError: If it is not here.
        DataError: If its files can't be used: weights as pickles, code of its own, no preprocessor.
    """
    if not location:
        raise UsageError(
            "no encoder is named", hint='params = { encoder = "FOLDER" }, or an id: "microsoft/wavlm-base"'
        )
    local = Path(location).expanduser()
    if local.is_dir():
        folder, name = local.resolve(), local.resolve().name
    elif _HUB_ID.fullmatch(location):
        folder, name = _snapshot(location, revision), location
    else:
        raise PrerequisiteError(
            f"no folder {location!r} with a pretrained encoder",
            hint="a folder, or an id of the hub: microsoft/wavlm-base",
        )
    config, preprocessor = (_object(folder, name) for name in (_CONFIG, _PREPROCESSOR))
    if "auto_map" in config or "auto_map" in preprocessor:
        raise DataError(f"{folder} brings code of its own ('auto_map'), which is not run here")
    weights = _weights(folder)
    kind, width = config.get("model_type"), config.get("hidden_size", config.get("d_model"))
    n_layers, rate = config.get("num_hidden_layers", config.get("encoder_layers")), preprocessor.get("sampling_rate")
    if not (isinstance(width, int) and isinstance(n_layers, int) and isinstance(rate, int) and kind):
        raise DataError(
            f"{folder}: no speech encoder: model_type, hidden_size, num_hidden_layers (or d_model, encoder_layers) "
            f"expected in {_CONFIG}, sampling_rate in {_PREPROCESSOR}; got {kind!r}, {width!r}, {n_layers!r}, {rate!r}"
        )
    return EncoderFiles(
        folder=str(folder),
        name=name,
        commit=None if local.is_dir() else folder.name,
        kind=str(kind),
        n_layers=n_layers,
        width=width,
        sample_rate_hz=rate,
        n_parameters=_n_parameters(weights),
        files=tuple(str(path) for path in (folder / _CONFIG, folder / _PREPROCESSOR, *weights)),
    )


def content_digests(files: Sequence[str]) -> list[str]:
    """Return the SHA-256 of each file's bytes; a file that did not change is read once per process."""
    stats = [Path(path).stat() for path in files]
    return [_digest(path, stat.st_mtime_ns, stat.st_size) for path, stat in zip(files, stats, strict=True)]


@functools.cache
def _digest(path: str, changed_ns: int, size: int) -> str:
    return file_digest(path)


class Encoder:
    """A loaded encoder, on the CPU and in full precision, as for prediction.

    Args:
        folder: Where it lies; see :func:`find_encoder`.

    Attributes:
        network: The module; for encoder-decoders the encoder alone.
        sample_rate_hz: Of the sound that it takes.
    """

    def __init__(self, folder: str) -> None:
        from transformers import AutoFeatureExtractor

        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        self._extractor = AutoFeatureExtractor.from_pretrained(folder, **local)
        self.network = _network(folder, local).eval()
        self.sample_rate_hz = int(self._extractor.sampling_rate)
        # Whisper's encoder takes stretches of 30 s, and nothing shorter or longer.
        self._fixed_samples: int | None = getattr(self._extractor, "n_samples", None)

    def prepared(self, sounds: Sequence[NDArray[np.float32]]) -> tuple[NDArray[Any], ...]:
        """Return what the network takes for sounds: values, each sound's share of the frames, and a mask if it has one.

        Args:
            sounds: Mono samples, shape (n_samples,) each; those under 0.25 s are padded with zeros to it.
        """
        shortest = int(_SHORTEST_S * self.sample_rate_hz)
        heard = [np.pad(sound, (0, max(0, shortest - len(sound)))) for sound in sounds]
        padding = "max_length" if self._fixed_samples else "longest"
        found = self._extractor(heard, sampling_rate=self.sample_rate_hz, padding=padding, return_tensors="np")
        longest = self._fixed_samples or max(map(len, heard))
        share = np.array([min(1.0, len(sound) / longest) for sound in sounds], dtype=np.float32)
        values = found["input_features" if "input_features" in found else "input_values"].astype(np.float32)
        return (values, share, found["attention_mask"]) if "attention_mask" in found else (values, share)

    def layers(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the input of the first layer and the output of each, shape (n_layers + 1, n_frames, width).

        On one thread, so that a value does not hang on how many there are.
        """
        import torch

        piece = self._fixed_samples or len(samples) or 1
        pieces = [samples[at : at + piece] for at in range(0, max(len(samples), 1), piece)]
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                return np.concatenate([self._piece(each) for each in pieces], axis=1)
        finally:
            torch.set_num_threads(n_threads)

    def _piece(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        values, share, *mask = (torch.from_numpy(array) for array in self.prepared([samples]))
        told = {"attention_mask": mask[0]} if mask else {}
        found = self.network(values, output_hidden_states=True, **told).hidden_states
        n_frames = max(1, math.ceil(found[0].shape[1] * float(share[0]) - FRAME_SLACK))
        return torch.cat(found)[:, :n_frames].numpy()


@functools.cache
def loaded(folder: str) -> Encoder:
    """Return the encoder in ``folder``, loaded once per process."""
    return Encoder(folder)


def _network(folder: str, local: dict[str, Any]) -> Any:
    from transformers import AutoModel

    network, told = AutoModel.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **local)
    # A layer that the file lacks would be drawn at random, and nobody would be told.
    drawn = [name for name in told["missing_keys"] if not {"decoder", "masked_spec_embed"} & {*name.split(".")}]
    drawn += [str(name) for name in told["mismatched_keys"]]
    if drawn:
        raise DataError(f"{folder}: the weights lack {len(drawn)} tensors of the network, such as {sorted(drawn)[0]}")
    return (network.get_encoder() if network.config.is_encoder_decoder else network).float()


def _snapshot(name: str, revision: str | None) -> Path:
    """Return the folder of a hub id in the hub's cache; fetch it first where that is allowed."""
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        raise PrerequisiteError(
            f"encoder {name!r}: a hub id needs huggingface_hub", hint="pip install 'ser-bench[encoders]'"
        ) from None

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True, allow_patterns=[*_WANTED]))
    except (LocalEntryNotFoundError, ValueError):  # a name that the hub refuses is not there either
        pass
    if os.environ.get("SER_BENCH_DOWNLOAD") == "1":
        try:
            return Path(snapshot_download(name, revision=revision, allow_patterns=[*_WANTED]))
        except (OSError, ValueError) as error:  # the hub's errors, and those of its transport, are OSErrors
            raise PrerequisiteError(f"encoder {name!r} can't be fetched: {error}") from None
    files = f"{_CONFIG} {_PREPROCESSOR} {_WEIGHTS}" + (f" --revision {revision}" if revision else "")
    raise PrerequisiteError(
        f"encoder {name!r} is neither a folder here nor in the hub's cache {constants.HF_HUB_CACHE}",
        hint=f"hf download {name} {files}      (or: SER_BENCH_DOWNLOAD=1 ser-bench run …)",
    )


def _object(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no {name}: an encoder needs {', '.join(_WANTED[:3])}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / name} can't be read: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{folder / name}: an object expected, got a {type(found).__name__}")
    return found


def _weights(folder: Path) -> list[Path]:
    """Return the files of weights, the index of shards first.

    Raises:
        DataError: If there are none, or only such as can run code when they are read.
    """
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _SHARDS).is_file():
        parts = sorted(set(map(str, _object(folder, _SHARDS).get("weight_map", {}).values())))
        found = [folder / _SHARDS, *(folder / Path(part).name for part in parts)]
        if lost := [path.name for path in found if not path.is_file()]:
            raise DataError(f"{folder}: weights are missing: {', '.join(lost)}")
        return found
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickled:
        raise DataError(
            f"{folder}: weights as {_WEIGHTS} expected; {pickled[0]} is a pickle, which can run any code when read",
            hint="on the hub, converted weights often lie at ?revision=refs/pr/N, see the model's pull requests",
        )
    raise DataError(f"{folder} holds no {_WEIGHTS}")


def _n_parameters(weights: Sequence[Path]) -> int | None:
    """Return how many values the encoder's tensors hold, from the files' headers."""
    counted = 0
    for path in weights:
        if path.suffix != ".safetensors":
            continue
        with path.open("rb") as file:
            try:
                tensors = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 2**26)))
            except ValueError:
                raise DataError(f"{path}: no file of tensors in the safetensors format") from None
        for name, tensor in tensors.items():
            if _PARTS & {*name.split(".")}:
                counted += math.prod(tensor["shape"])
    return counted or None
