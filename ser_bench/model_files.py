"""Saved models on disk: a folder each with ``model.json`` and weights, and what such a file may ask for when read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ser_bench import machine, registry
from ser_bench.audio import file_digest
from ser_bench.cells import feature_digest, lacking, slug, source_digest
from ser_bench.encoders import content_digests, find_encoder
from ser_bench.errors import DataError, PrerequisiteError, SerBenchError, UsageError, did_you_mean
from ser_bench.features.contract import FeatureSet
from ser_bench.features.tables import SUFFIXES as TABLE_SUFFIXES
from ser_bench.models.contract import ModelSpec
from ser_bench.models.scikit import FACTORY as ESTIMATOR_FACTORY
from ser_bench.models.scikit import estimator_spec
from ser_bench.store import digest

FILE = "model.json"
FOLDER = "models"
SCHEMA_VERSION = 1

TRANSDUCTIVE = ("speaker", "corpus")
"""Kinds of normalisation that need more utterances of a speaker or corpus than one file."""

_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_SCIKIT = re.compile(r"sklearn(\.\w+)+[.:]\w+")
_AGAIN = "fit it again: ser-bench run … --keep-models"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, keyword-only, a key that nobody knows is an error."""


class SavedSpec(_Part, frozen=True):
    """The model itself: ``name`` as registered, or an estimator's import path; ``chosen`` is laid over ``params``.

    ``source`` is a digest of the source that decides it; ``packages`` are the versions that fitted it; ``encoder``
    the digests of a pretrained encoder's files; ``files`` the SHA-256 of what it saved, by name.
    """

    name: str
    origin: str
    factory: str
    params: dict[str, Any]
    chosen: dict[str, Any]
    source: str
    python: str
    packages: dict[str, str]
    encoder: tuple[str, ...]
    files: dict[str, str]


class SavedFeatures(_Part, frozen=True):
    """What it is fed; ``digest`` covers all that a value depends on, ``packages`` are the versions among that."""

    name: str
    version: int
    digest: str
    n_columns: int
    sample_rate_hz: int | None
    packages: dict[str, str]


class Normalisation(_Part, frozen=True):
    """``kind``, and mean and scale per column of the rows that it was fitted on; null for none."""

    kind: str
    mean: tuple[float, ...] | None
    scale: tuple[float, ...] | None


class TrainingCorpus(_Part, frozen=True):
    """A corpus of the training rows; its licence may bind what is done with the model."""

    name: str
    title: str
    version: str
    licence: str


class TrainedOn(_Part, frozen=True):
    """The rows that it was fitted on: of which suite and fold, how many utterances, of whom."""

    suite: str
    suite_version: int
    suite_digest: str
    protocol: str
    declares: tuple[str, ...]
    fold: str
    seed: int
    n: int
    speakers: tuple[str, ...]
    corpora: tuple[TrainingCorpus, ...]


class Member(_Part, frozen=True):
    """A model that a fusion averages: its folder below the same ``models``, and its weight."""

    row: str
    folder: str
    weight: float


class ModelFile(_Part, frozen=True):
    """What ``model.json`` holds; docs/records.md explains it. A fusion has ``members`` and no model of its own.

    ``cell`` is the key of the fit, ``reproduced`` whether it gave stored predictions again (null where it made them),
    ``code`` ser-bench's version and commit.
    """

    row: str
    labels: str
    classes: tuple[str, ...]
    sample_rate_hz: int
    trained_on: TrainedOn
    cell: str
    code: dict[str, Any]
    created: str
    model: SavedSpec | None = None
    features: SavedFeatures | None = None
    normaliser: Normalisation | None = None
    members: tuple[Member, ...] = ()
    reproduced: bool | None = None
    schema_version: int = SCHEMA_VERSION


def folder_name(text: str) -> str:
    """Return the folder name of a row or a fold: its own where a file system takes it, else a digest with it."""
    plain = slug(text)
    return plain if plain == text else f"{plain}-{digest(text)[:6]}"


def encode(model: ModelFile) -> bytes:
    """Return a model's file, indented."""
    return msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"


def read(folder: Path) -> ModelFile:
    """Return what a model's folder says of it; its weights are not looked at.

    Raises:
        DataError: If there is no such file, or it is none, or one of a newer schema.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{path}: schema version {version}, this ser-bench reads {SCHEMA_VERSION}",
                hint="pip install --upgrade ser-bench",
            )
        return msgspec.json.decode(data, type=ModelFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: not the description of a saved model ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None


class _Version(msgspec.Struct):
    schema_version: int


def find(path: Path, row: str | None) -> list[Path]:
    """Return the folders of a row's models, one per fold and seed, in their order.

    Args:
        path: A model's folder, a row's, or a run's.
        row: The row's label; None where ``path`` leaves no choice.

    Raises:
        UsageError: If a row has to be named, or is unknown.
        PrerequisiteError: If there are no models.
    """
    if (path / FILE).is_file():
        return [path]
    if found := _models_in(path):
        return found
    rows = [folder for folder in _folders(path / FOLDER) if _models_in(folder)]
    if not rows:
        raise PrerequisiteError(f"{str(path)!r} holds no saved model", hint="ser-bench run … --keep-models")
    if row is None and len(rows) == 1:
        return _models_in(rows[0])
    chosen = [folder for folder in rows if row is not None and folder.name == folder_name(row)]
    if chosen:
        return _models_in(chosen[0])
    known = [read(_models_in(folder)[0]).row for folder in rows]
    if row is None:
        raise UsageError(
            f"{str(path)!r} holds models of {len(rows)} rows: {', '.join(map(repr, known))}", hint="--model ROW"
        )
    raise UsageError(f"no model of row {row!r} is kept in {str(path)!r}" + did_you_mean(row, known))


def _models_in(folder: Path) -> list[Path]:
    found = [one for one in _folders(folder) if (one / FILE).is_file()]
    return sorted(found, key=lambda one: [int(t) if t.isdigit() else t for t in re.split(r"([0-9]+)", one.name)])


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []


def spec_of(saved: SavedSpec, *, trust_code: bool) -> ModelSpec:
    """Return the model that a file names, by the registry: nothing is imported because a file says so.

    Args:
        saved: The file's own words.
        trust_code: Whether parameters may name code that is neither the registered model's own nor scikit-learn's.

    Raises:
        DataError: If the file contradicts the registry.
        UsageError: If it asks for code, or runs in an environment of its own.
        PrerequisiteError: If the model or what it needs is not installed.
    """
    known = saved.name in registry.entries("models")
    if not known and saved.factory != ESTIMATOR_FACTORY:
        raise PrerequisiteError(
            f"the model {saved.name!r} of {saved.origin!r} is not installed here"
            + did_you_mean(saved.name, registry.entries("models")),
            hint="ser-bench list models",
        )
    spec: ModelSpec | None = registry.load("models", saved.name) if known else None
    if spec and spec.factory != saved.factory:
        raise DataError(
            f"it says that {saved.name!r} is built by {saved.factory!r}; the model registered under that name is built "
            f"by {spec.factory!r}",
            hint=_AGAIN,
        )
    params = {**saved.params, **saved.chosen}
    if not spec and params.get("import") != saved.name:
        raise DataError(f"it says that {saved.name!r} is made of {params.get('import')!r}", hint=_AGAIN)
    asked = sorted({*_code_in(params)} - _own(spec))
    if asked and not trust_code:
        raise UsageError(
            f"it names code that is no registered model's: {', '.join(map(repr, asked))}",
            hint="--trust-code, if you trust whoever made the file: what it names is imported, which runs it",
        )
    spec = spec or estimator_spec(saved.name, {key: value for key, value in params.items() if key != "import"})
    if spec.environment:
        raise UsageError(
            f"{spec.name} runs in the environment {spec.environment!r} of its own, and predict in the main one only"
        )
    _refuse_missing(lacking(spec))
    return spec


def _code_in(value: Any, key: str = "") -> Iterator[str]:
    """Yield the texts in parameters that name code outside scikit-learn: import paths, wherever they stand."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _code_in(inner, str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _code_in(inner, key)
    elif (
        isinstance(value, str)
        and (key in ("import", "build") or _CODE.fullmatch(value))
        and not _SCIKIT.fullmatch(value)
    ):
        yield value


def _own(spec: ModelSpec | None) -> set[str]:
    return {*_code_in(spec.params)} if spec else set()


def features_of(saved: SavedFeatures, suite_rate_hz: int) -> FeatureSet:
    """Return the feature set that a model was trained on; the same to the last digit, or none.

    Raises:
        DataError: If the set is another one here, with the reason.
        PrerequisiteError: If it, or what it needs, is not installed.
        UsageError: If nobody knows it.
    """
    if saved.name.endswith(TABLE_SUFFIXES):
        raise DataError(f"its features, {saved.name!r}, were made elsewhere: no sound can be turned into them")
    found: FeatureSet = registry.load("features", saved.name)
    _refuse_missing(lacking(found))
    if found.version != saved.version:
        raise DataError(
            f"it was trained on version {saved.version} of the features {saved.name!r}, here they have version "
            f"{found.version}",
            hint=_AGAIN,
        )
    if feature_digest(saved.name, found, suite_rate_hz) == saved.digest:
        return found
    here = machine.package_versions(found.packages)
    other = {name: version for name, version in saved.packages.items() if here.get(name) != version}
    if other:
        told = ", ".join(f"{name} {version!r} (here {here.get(name)})" for name, version in other.items())
        raise DataError(
            f"the features {saved.name!r} that it was trained on were made with {told}",
            hint=f"these versions in an environment of their own; or {_AGAIN}",
        )
    raise DataError(
        f"the features {saved.name!r} that it was trained on were made by other code or files than are here",
        hint=_AGAIN,
    )


def _refuse_missing(missing: str | None) -> None:
    if missing:
        what, _, command = missing.partition(": ")
        raise PrerequisiteError(f"it {what}", hint=command)


def check_files(saved: SavedSpec, folder: Path) -> None:
    """Compare a model's files with their digests.

    Raises:
        DataError: If one is missing, or is not what was saved.
    """
    for name, sha256 in saved.files.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise DataError(f"{path} is missing", hint=_AGAIN)
        if file_digest(path) != sha256:
            raise DataError(f"{path} is damaged: its SHA-256 is not the one in {FILE}", hint=_AGAIN)


def differences(saved: SavedSpec, spec: ModelSpec) -> Iterator[str]:
    """Yield what may make the model answer otherwise than when it was saved, in words.

    Raises:
        DataError: If it rests on another encoder.
    """
    for name, version in machine.package_versions(saved.packages).items():
        if version != saved.packages[name]:
            yield f"fitted with {name} {saved.packages[name]}, here is {version}: its answers may differ"
    if source_digest(spec.factory, {**spec.params, **saved.params}) != saved.source:
        yield f"the code of {spec.name} has changed since it was fitted: its answers may differ"
    if spec.pretrained:
        try:
            here = content_digests(find_encoder(str(saved.params["encoder"])).files)
        except SerBenchError as error:
            raise PrerequisiteError(f"it needs the encoder that it was trained on: {error}") from None
        if tuple(here) != saved.encoder:
            raise DataError(
                f"the encoder {saved.params['encoder']!r} is another one than it was trained on", hint=_AGAIN
            )
