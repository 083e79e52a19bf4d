"""The cells of a run: one per row, seed and fold, each with a key that hashes all that its result depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ser_bench import environments, machine, registry
from ser_bench.children import code_digest as children_code
from ser_bench.encoders import content_digests, find_encoder
from ser_bench.errors import UsageError, did_you_mean
from ser_bench.features.contract import FeatureSet
from ser_bench.features.named import base_name
from ser_bench.features.tables import table_of
from ser_bench.models.contract import ModelSpec
from ser_bench.normalise import DESCRIPTIONS
from ser_bench.prepare import Prepared
from ser_bench.store import digest
from ser_bench.suites import FULL, ModelEntry, Suite

HARNESS = (
    "worker.py",
    "fold_fit.py",
    "training_rows.py",
    "equal_parts.py",
    "matrices.py",
    "normalise.py",
    "metrics.py",
    "rating_metrics.py",
    "models/contract.py",
)
"""Source of the harness that a cell's result depends on, beside the model's own module."""

CANARIES = ("permuted", "oracle")
ORACLE = "oracle"

LONGER_BUDGET = "runs with a longer budget only"
"""Why a row is skipped that nothing is lacking for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the board before it has run: a model with everything that was left to defaults filled in.

    Attributes:
        label: Its name on the board; for cross-corpus rows the same for every pair.
        spec: The model.
        origin: Which distribution ships it.
        features: The name under which its feature set is registered, or None.
        feature_set: What it is fed; None for models that look at no values.
        normalise: Kind of normalisation.
        params: All parameters.
        grid: Parameter -> values tried on the dev set.
        importances: ``permutation`` where columns are shuffled to see what they are worth.
        seeds: Model seeds.
        device: ``cpu`` or ``cuda``.
        soft_targets: Whether it is trained on the annotators' votes.
        augment: Whether it is trained on the suite's children.
        oversample: Classes whose training rows are repeated; true for all.
        skip: Why it can't run here, or None.
        environment: The environment of its own that it runs in; None: the main one.
        members: The rows that it is made of, where it is a fusion.
        weights: Their weights.
        cut: What its source did more of, in words; None: nothing.
    """

    label: str
    spec: ModelSpec
    origin: str
    features: str | None
    feature_set: FeatureSet | None
    normalise: str
    params: dict[str, Any]
    grid: dict[str, list[Any]]
    seeds: tuple[int, ...]
    importances: str | None = None
    device: str = "cpu"
    soft_targets: bool = False
    augment: bool = False
    oversample: bool | tuple[str, ...] = False
    skip: str | None = None
    environment: environments.Built | None = None
    members: tuple[Row, ...] = ()
    weights: tuple[float, ...] = ()
    cut: str | None = None

    def package_versions(self, names: Iterable[str]) -> dict[str, str]:
        """Return name -> version of those of ``names`` that are installed where the model runs, sorted."""
        return self.environment.versions(names) if self.environment else machine.package_versions(names)

    def worker(self) -> dict[str, Any]:
        """Return how the workers that run it differ from those of the main environment."""
        return self.environment.worker(self.spec.factory) if self.environment else {}

    def rare_classes(self, names: Sequence[str]) -> list[int]:
        """Return the indices of the classes to oversample; ``names`` are all classes."""
        rare = names if self.oversample is True else self.oversample or ()
        return [index for index, name in enumerate(names) if name in rare]

    @property
    def features_name(self) -> str | None:
        """What boards call its feature set: one that lies in a file, without the folder where it lies here."""
        found = self.feature_set
        return found.name if found and (table_of(found) or found.files) else self.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One fit: a row, a seed, a fold (index into the split), and the key of its result."""

    row: Row
    seed: int
    fold: int
    key: str


def plan_row(entry: ModelEntry, suite: Suite, *, device: str, canary: str | None) -> Row:
    """Return the row of a suite's entry.

    Raises:
        UsageError: For an unknown model, feature set, normalisation, parameter, or one that does not fit.
        PrerequisiteError: If a plug-in can't be imported.
    """
    spec, origin = _model(entry.model, entry.params, suite)
    params = {**spec.params, **entry.params}
    try:
        msgspec.json.encode(params)
    except TypeError as error:  # it could neither be sent to a worker nor be recorded
        raise UsageError(f"row {entry.row!r}: parameters of plain types expected: {error}") from None
    features, feature_set = _feature_set(spec, entry, suite)
    normalise = entry.normalise or suite.normalise or spec.normalise
    if normalise not in DESCRIPTIONS:
        raise UsageError(
            f"row {entry.row!r}: unknown normalisation {normalise!r}" + did_you_mean(normalise, DESCRIPTIONS)
        )
    if spec.pretrained:
        find_encoder(params["encoder"])
    learns = feature_set is not None
    if entry.importances and spec.input != "vector":
        raise UsageError(
            f"row {entry.row!r}: importances = {entry.importances!r} shuffles columns of vectors; "
            f"{spec.name} takes {spec.input}"
        )
    if not learns:
        normalise = "none"
    seeds = suite.seeds if spec.seeded or canary == "permuted" else suite.seeds[:1]
    environment = environments.find(spec.environment) if spec.environment else None
    if spec.environment and environment is None:
        skip: str | None = environments.missing_reason(spec.environment)
    else:
        skip = (None if environment else lacking(spec)) or (lacking(feature_set) if feature_set else None)
    if entry.only_budget:
        skip = f"{LONGER_BUDGET}: --budget {entry.only_budget}"
    if why := _unasked(spec, suite):
        skip = why
    if canary == ORACLE and spec.family == "baseline":
        skip = "a baseline looks at no features"
    return Row(
        label=entry.row,
        spec=spec,
        origin=origin,
        features=features,
        feature_set=feature_set,
        normalise=normalise,
        params=params,
        grid=entry.grid,
        importances=entry.importances,
        seeds=tuple(seeds),
        device=device if device in spec.devices else "cpu",
        soft_targets=suite.targets == "soft" and spec.soft_targets and canary != ORACLE,  # it tells the class
        augment=bool(suite.augment) and not suite.augment_before_split and learns and entry.augment,
        oversample=learns and entry.augment and suite.oversample,
        skip=skip,
        environment=environment,
        cut=_cut(params, entry.budgets.get(FULL, {})),
    )


def _unasked(spec: ModelSpec, suite: Suite) -> str | None:
    """Return why a model can't be asked for what the suite asks for; None where it can."""
    wanted = "values" if suite.targets == "values" else "classes"
    if wanted in spec.targets:
        return None
    return f"predicts {' or '.join(spec.targets)}, and the suite asks for {wanted}"


def _cut(params: Mapping[str, Any], full: Mapping[str, Any]) -> str | None:
    """Return ``5 of 200 epochs`` for what the source's budget has more of; None where it has nothing else."""
    words = [
        f"{params.get(name)} of {value} {name.replace('_', ' ')}"
        if isinstance(value, int | float) and isinstance(params.get(name), int | float)
        else f"{name} {params.get(name)} for {value}"
        for name, value in full.items()
        if params.get(name) != value
    ]
    return ", ".join(words) or None


def lacking(needing: ModelSpec | FeatureSet) -> str | None:
    """Return what a model or a feature set needs that is not installed here, and how to get it; None for nothing."""
    missing = [name for name in needing.requires if importlib.util.find_spec(name.partition(".")[0]) is None]
    if not missing:
        return None
    extra = f"'ser-bench[{needing.extra}]'" if needing.extra else " ".join(missing)
    own = needing.install if isinstance(needing, FeatureSet) else None
    return f"needs {', '.join(missing)}: {own or f'pip install {extra}'}"


def conditions_of(row: Row, suite: Suite) -> tuple[str, ...]:
    """Return the suite's conditions, none where no sound reaches the row: baselines, features made elsewhere."""
    if row.members:
        return suite.stress if all(conditions_of(member, suite) for member in row.members) else ()
    return suite.stress if row.feature_set is not None and not table_of(row.feature_set) else ()


def join_members(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a plan, each fusion with the rows that it names; these stand before it.

    Raises:
        UsageError: If a fusion names none, or one that does not stand before it, or its weights do not fit.
    """
    joined: list[Row] = []
    for row in rows:
        joined.append(_joined(row, {known.label: known for known in joined}) if row.spec.combines else row)
    return joined


def _joined(row: Row, before: Mapping[str, Row]) -> Row:
    names, weights = row.params["rows"], row.params["weights"] or [1.0] * len(row.params["rows"])
    hint = '{ model = "fusion", label = "both", params = { rows = ["logreg", "mlp"], weights = [0.5, 0.5] } }'
    if not names or len(weights) != len(names) or any(not isinstance(w, int | float) or w <= 0 for w in weights):
        raise UsageError(
            f"row {row.label!r}: a fusion takes rows, and as many weights above 0 or none; got rows = {names!r}, "
            f"weights = {row.params['weights']!r}",
            hint=hint,
        )
    if unknown := [name for name in names if name not in before]:
        raise UsageError(
            f"row {row.label!r} is made of {unknown[0]!r}, which does not stand before it"
            + did_you_mean(str(unknown[0]), before),
            hint=f"--models {','.join(map(str, names))},{row.label}",
        )
    members = tuple(before[name] for name in names)
    skipped = next((member for member in members if member.skip), None)
    skip = row.skip
    if skipped and not skip:
        skip = f"needs the row {skipped.label!r}, which is skipped: {skipped.skip}"
    transductive = [kind for kind in ("all", "corpus", "speaker") if kind in {m.normalise for m in members}]
    return dataclasses.replace(
        row,
        members=members,
        weights=tuple(map(float, weights)),
        normalise=transductive[0] if transductive else "none",
        device=next((member.device for member in members if member.device != "cpu"), "cpu"),
        skip=skip,
        cut="; ".join(f"{member.label}: {member.cut}" for member in members if member.cut) or None,
    )


def _model(name: str, params: dict[str, Any], suite: Suite) -> tuple[ModelSpec, str]:
    if name not in registry.entries("models") and (":" in name or "." in name):
        from ser_bench.models.scikit import estimator_spec
        from ser_bench.models.scikit_regression import regressor_spec

        spec = regressor_spec(name, params) if suite.targets == "values" else estimator_spec(name, params)
        return spec, f"{spec.framework} {machine.package_version(spec.framework) or ''}".strip()
    spec = registry.load("models", name)
    if not isinstance(spec, ModelSpec):
        raise UsageError(f"model {name!r} is a {type(spec).__name__}, a ser_bench.models.ModelSpec expected")
    return spec, registry.origin("models", name)


def _feature_set(spec: ModelSpec, entry: ModelEntry, suite: Suite) -> tuple[str | None, FeatureSet | None]:
    if spec.input == "any":
        return None, None
    default = suite.frames if spec.input == "frames" else suite.features
    name = entry.features or spec.features or default
    found = registry.load("features", name)
    if found.kind != ("frames" if spec.input == "frames" else "vector"):
        raise UsageError(
            f"row {entry.row!r}: {spec.name} takes {spec.input} features, {found.name!r} holds {found.kind}",
            hint="ser-bench list features",
        )
    return name, found


def feature_digest(name: str, feature_set: FeatureSet, sample_rate_hz: int) -> str:
    """Return a digest of what a stored value depends on beside the utterance's own samples.

    Args:
        name: The name under which the set is registered; the module that defines it counts as well as the one that
            computes it, since it may bind parameters. A set made from another one (``logmel64+deltas``) is keyed by
            that one's digest, a table made elsewhere by its content, an encoder by that of its files.
        feature_set: The set.
        sample_rate_hz: The suite's rate, at which sets that state none get their samples.
    """
    if table := table_of(feature_set):
        return digest(table.sha256, machine.module_digest(type(table).__module__))[:16]
    versions = machine.package_versions(feature_set.packages)
    known = registry.entries("features")
    if name in known:
        defined = machine.module_digest(known[name].module)
    else:
        base = base_name(name)
        defined = feature_digest(base, registry.load("features", base), sample_rate_hz) if base else ""
    return digest(
        feature_set.name,
        str(feature_set.version),
        json.dumps(versions, sort_keys=True),
        defined,
        machine.module_digest(feature_set.compute.__module__),
        machine.source_digest("audio.py", "features/contract.py"),
        str(feature_set.rate_hz(sample_rate_hz) or "native"),
        *content_digests(feature_set.files),
    )[:16]


def cell_keys(row: Row, prepared: Prepared, suite: Suite, canary: str | None) -> list[Cell]:
    """Return the cells of ``row``, seed after seed, each with its key."""
    if row.members:
        return _fused_cells(row, prepared, suite, canary)
    shared = _row_digest(row, suite, canary)
    corpora = _everything_digest(prepared) if row.normalise in ("speaker", "corpus", "all") else ""
    targets = hashlib.sha256(prepared.soft_targets.tobytes()).hexdigest() if row.soft_targets else ""
    keyed = dict(enumerate(prepared.fold_digests))
    return [
        Cell(row=row, seed=seed, fold=index, key=digest(shared, corpora, targets, fold, str(seed)))
        for seed in row.seeds
        for index, fold in keyed.items()
    ]


def _fused_cells(row: Row, prepared: Prepared, suite: Suite, canary: str | None) -> list[Cell]:
    """Return one cell per fold, keyed by all cells that it is made of."""
    own = digest(json.dumps(row.weights), machine.source_digest("fusion.py"))
    members = [cell for member in row.members for cell in cell_keys(member, prepared, suite, canary)]
    return [
        Cell(row=row, seed=row.seeds[0], fold=fold, key=digest(own, *(c.key for c in members if c.fold == fold)))
        for fold in range(len(prepared.fold_digests))
    ]


def _row_digest(row: Row, suite: Suite, canary: str | None) -> str:
    feature = ""
    if row.features and row.feature_set:
        feature = feature_digest(row.features, row.feature_set, suite.sample_rate_hz)
    source = source_digest(row.spec.factory, row.params)
    parts = {
        "factory": row.spec.factory,
        "params": row.params,
        "grid": list(row.grid.items()),
        "uses_dev": row.spec.uses_dev,
        "primary": suite.primary if row.grid or row.spec.selects else None,
        "importances": row.importances,
        "packages": row.package_versions(("numpy", *row.spec.packages)),
        "python": row.environment.python if row.environment else sys.version.split()[0],
        "environment": row.environment.lock_digest if row.environment else None,
        "encoder": content_digests(find_encoder(row.params["encoder"]).files) if row.spec.pretrained else None,
        "normalise": row.normalise,
        "device": row.device,
        "threads": suite.threads,
        "augment": [msgspec.to_builtins(suite.augment), children_code()] if row.augment else None,
        "oversample": row.oversample,
        "canary": f"{canary} {machine.source_digest('cells.py')}" if canary else None,
    }
    if conditions := conditions_of(row, suite):  # a fit without any keeps its key
        parts["stress"] = [conditions, machine.source_digest("stress.py", "stress_features.py"), children_code()]
    text = json.dumps(parts, sort_keys=True, default=str)
    return digest(text, source, machine.source_digest(*HARNESS), feature)


def source_digest(factory: str, params: Mapping[str, Any]) -> str:
    """Return a digest of the source that decides a model: its factory's, and a user's own estimator's or network's."""
    paths = [factory, str(params.get("build", "")), *_estimators(params)]
    modules = [path.partition(":")[0] if ":" in path else path.rpartition(".")[0] for path in paths]
    own = [name for name in modules if name and name.partition(".")[0] != "sklearn"]  # whose version tells
    return digest(*map(machine.module_digest, own))


def _estimators(described: Mapping[str, Any]) -> list[str]:
    """Return the import paths of an estimator and of those within it."""
    within = [path for value in described.values() if isinstance(value, Mapping) for path in _estimators(value)]
    return [str(described.get("import", "")), *within]


def _everything_digest(prepared: Prepared) -> str:
    columns = (prepared.table.column(name) for name in ("content_id", "corpus", "speaker"))
    return digest(*(f"{content} {corpus} {speaker}" for content, corpus, speaker in zip(*columns, strict=True)))


def oracle_values(feature_set: FeatureSet, prepared: Prepared) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features that tell what is to be predicted, shaped as ``feature_set``'s would be, and their offsets.

    Column j is 1 for utterances of class j modulo K, else 0, plus a little noise, without which within-class
    covariances would vanish. Where numbers are asked for, each column is the number, as a z-score, plus noise. The
    canary of canaries: a learning model that does not reach 1.0 on them is broken.
    """
    width, n = len(feature_set.columns), len(prepared.origins)
    n_frames = 1 if feature_set.kind == "vector" else 100
    if prepared.ratings is None:
        classes = np.repeat(prepared.classes[prepared.origins], n_frames)
        told = np.arange(width)[None, :] % len(prepared.scheme.classes) == classes[:, None]
    else:
        ratings = np.repeat(prepared.ratings[prepared.origins], n_frames)
        told = np.tile((ratings - ratings.mean())[:, None] / max(ratings.std(), 1e-9), width)
    noise = 0.05 * np.random.RandomState(0).standard_normal(told.shape)
    return (told + noise).astype(np.float32), np.arange(n + 1, dtype=np.int64) * n_frames


def slug(*parts: str) -> str:
    """Return names joined into one that any file system takes: nothing in it can leave its folder."""
    text = "-".join(parts)
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in text)[:80].strip(".")
