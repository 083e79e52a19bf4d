"""Suites: TOML files that name corpora, labels, protocol, features and models; read strictly."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from ser_bench import registry
from ser_bench.augment import Augment, read_augment
from ser_bench.emotions import DIMENSIONS, SCHEME_NAMES, DimensionScheme, LabelScheme, Scheme, label_scheme
from ser_bench.errors import PrerequisiteError, UsageError, did_you_mean
from ser_bench.features.tables import SUFFIXES as TABLE_SUFFIXES
from ser_bench.protocols import Dev, Protocol, RandomKFold, read_split
from ser_bench.references import Band, Reference
from ser_bench.stress import read_conditions

ALIASES = {"four-english-cross": "english-four-cross", "four-english-loco": "english-four-loco"}
"""Other names of bundled suites."""

SHORT = "short"
"""The budget that stands in a row's ``params``."""

FULL = "full"
"""The budget of a row's source, where a suite cuts it."""

_WRONG_WORD = re.compile(r"Invalid enum value '(?P<word>.*)' - at (?:`key` in )?`\$\.?(?P<place>.*)`", re.DOTALL)

_PROTOCOLS: dict[str, type[msgspec.Struct]] = {str(kind.__struct_config__.tag): kind for kind in Protocol.__args__}


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, keyword-only, a key that nobody knows is an error."""


class Metrics(_Strict, frozen=True):
    """``primary`` ranks the board; None: ``uar``, or ``ccc`` where the targets are values."""

    primary: Literal["uar", "war", "macro_f1", "ccc"] | None = None


class ModelEntry(_Strict, frozen=True):
    """One row of a suite: a registered model's name, or an import path, with what differs from its defaults.

    ``label`` names the row (default: the model's name). ``grid`` maps parameters to values tried on the dev set, or on
    inner folds. ``importances = "permutation"`` shuffles columns among judged rows and tells what the score loses.
    ``augment = false`` trains it on the utterances alone, where the suite augments. ``budgets`` maps the names of
    longer budgets to the parameters that they replace; with ``only_budget`` the row is skipped under any other.
    """

    model: str
    label: str | None = None
    features: str | None = None
    normalise: str | None = None
    params: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    importances: Literal["permutation"] | None = None
    augment: bool = True
    budgets: dict[str, dict[str, Any]] = {}
    only_budget: str | None = None

    @property
    def row(self) -> str:
        """The row's label on the board."""
        return self.label or self.model


class OwnScheme(_Strict, frozen=True):
    """A label scheme of the user's own, in the suite itself or in a file."""

    classes: tuple[str, ...]
    rest: Literal["drop", "refuse"]
    name: str = "own"
    merge: dict[str, str] = {}
    drop: tuple[str, ...] = ()

    def scheme(self) -> LabelScheme:
        """Return the scheme.

        Raises:
            UsageError: If it contradicts itself.
        """
        return LabelScheme(name=self.name, classes=self.classes, merge=self.merge, drop=self.drop, rest=self.rest)


class _SchemeFile(_Strict, frozen=True):
    """What a file with a scheme is converted as, so that its errors are those of a suite's ``[labels]``."""

    labels: OwnScheme


SAMPLE_SCHEME = """\
name = "valence"
classes = ["negative", "positive"]
merge = { angry = "negative", sad = "negative", happy = "positive" }
drop = ["neutral"]
rest = "drop"
"""
"""A whole scheme, for hints."""


class Suite(_Strict, frozen=True):
    """A benchmark: everything that decides which scores a model gets.

    Attributes:
        title: For boards.
        version: Raised whenever a published number may change.
        corpora: Corpora that must be there.
        optional_corpora: Corpora that are used where present.
        labels: Name of a label scheme, or a table that spells one out. In a suite's file also the path of a file
            that does, relative to the suite's folder; it is read with the suite.
        protocol: How folds are made; see :mod:`ser_bench.protocols`.
        targets: ``hard``: models are trained on classes; ``soft``: those that can, on the annotators' votes;
            ``values``: on the numbers of ``labels``, which is ``arousal``, ``valence`` or ``dominance``.
        models: Row entries, or bare model names.
        features: Vector feature set of models that name none.
        frames: Frame feature set of models that name none.
        sample_rate_hz: Rate to which all audio is brought.
        normalise: Overrides the models' own default where given.
        select: Corpus column -> accepted value(s), over the corpus's own default.
        seeds: Model seeds; deterministic models run with the first only.
        threads: Threads per worker; part of the result.
        metrics: The primary metric.
        augment: What children training utterances get; see :mod:`ser_bench.augment`.
        augment_before_split: A published mistake, for random protocols: children are dealt and tested as utterances.
        oversample: Classes whose training rows are repeated until they are as frequent as the most frequent class;
            true for all of them.
        notes: Sentences for the board, e.g. which published split this reproduces.
        references: Results that others published, shown apart.
        bands: Where published results lie; a result outside gets a warning.
        control: The suite that repeats a published protocol with the same rows, this one being its honest counterpart;
            ``run --gap`` runs it in place of random folds.
        stress: Conditions under which the fitted models are tested once more; see :mod:`ser_bench.stress`.
    """

    title: str
    version: int
    corpora: tuple[str, ...]
    labels: str | OwnScheme
    protocol: Protocol
    models: tuple[str | ModelEntry, ...]
    optional_corpora: tuple[str, ...] = ()
    targets: Literal["hard", "soft", "values"] = "hard"
    features: str = "stats180"
    frames: str = "logmel64"
    sample_rate_hz: int = 22050
    normalise: Literal["standard", "none", "speaker", "corpus", "all"] | None = None
    select: dict[str, str | tuple[str, ...]] = {}
    seeds: tuple[int, ...] = (0,)
    threads: int = 1
    metrics: Metrics = Metrics()
    augment: tuple[Augment, ...] = ()
    augment_before_split: bool = False
    oversample: bool | tuple[str, ...] = False
    notes: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    bands: tuple[Band, ...] = ()
    control: str | None = None
    stress: tuple[str, ...] = ()
    name: str = ""

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """The rows, bare names made into entries."""
        return tuple(ModelEntry(model=m) if isinstance(m, str) else m for m in self.models)

    @property
    def primary(self) -> str:
        """The score that ranks the board."""
        return self.metrics.primary or ("ccc" if self.targets == "values" else "uar")

    def scheme(self, emotions: tuple[str, ...]) -> Scheme:
        """Return the label scheme; ``emotions`` are the corpora's own, for ``native``."""
        if isinstance(self.labels, str):
            return label_scheme(self.labels, emotions)
        return self.labels.scheme()


def digest(suite: Suite) -> str:
    """Return a digest of what decides the folds and labels of a suite: all but its models, seeds and prose."""
    decisive = msgspec.structs.asdict(suite)
    for key in ("models", "seeds", "title", "notes", "references", "bands", "name", "metrics", "control", "stress"):
        del decisive[key]
    if is_table(suite.features):  # wherever it lies; what it holds is part of its rows' keys
        decisive["features"] = Path(suite.features).name
    if suite.targets == "hard":  # a later key: suites without it keep their digest
        del decisive["targets"]
    for key in ("augment", "augment_before_split", "oversample"):  # later keys, too
        if not decisive[key]:
            del decisive[key]
    return hashlib.sha256(msgspec.json.encode(decisive, order="deterministic")).hexdigest()[:16]


def suite_names() -> list[str]:
    """Return the names of all suites that are installed, ours and plug-ins', without parsing any.

    A plug-in's package that can't be imported stands for its suites; loading that name says why.
    """
    return sorted(_files())


def load_suite(name: str) -> Suite:
    """Return a suite by name, or by the path of a TOML file.

    Raises:
        UsageError: If there is no such suite, or its file does not validate; the message names the key.
        PrerequisiteError: If ``name`` is a package of suites that can't be imported.
    """
    known = _files()
    if name not in known and (name.endswith(".toml") or "/" in name):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"suite file {name!r} is not there", hint="ser-bench list suites")
        return parse_suite(path.read_bytes(), path.stem, str(path), path.parent)
    name = ALIASES.get(name, name)
    if name not in known:
        raise UsageError(f"unknown suite {name!r}" + did_you_mean(name, known), hint="ser-bench list suites")
    file = known[name]
    if isinstance(file, PrerequisiteError):
        raise file
    return parse_suite(file.read_bytes(), name, f"suite {name}", file.parent if isinstance(file, Path) else None)


def parse_suite(data: bytes, name: str, where: str, folder: Path | None = None) -> Suite:
    """Return the suite that ``data`` (TOML, with or without a BOM) spells.

    Args:
        data: The file's bytes.
        name: What the suite is called.
        where: What messages call it.
        folder: Where the file lies; ``labels`` and ``protocol.file`` may name other files there.

    Raises:
        UsageError: If it is no TOML, or does not fit; a misspelt key gets the nearest known one.
    """
    raw = _toml(data, where)
    if folder is not None and _is_scheme_file(raw.get("labels")):
        raw["labels"] = msgspec.to_builtins(read_labels(str(folder / raw["labels"])))
    _read_listing(raw, folder, where)
    for holder in (raw, *(entry for entry in raw.get("models", ()) if isinstance(entry, dict))):
        if folder is not None and is_table(holder.get("features")):
            holder["features"] = str(folder / holder["features"])
    if folder is not None and str(raw.get("control", "")).endswith(".toml"):
        raw["control"] = str(folder / raw["control"])
    augment = read_augment(raw.pop("augment", []), where)
    if "name" in raw:
        raise UsageError(f"{where}: unknown key 'name' (a suite bears the name of its file)")
    try:
        suite = msgspec.convert({**raw, "name": name, "augment": augment}, Suite)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{where}: {_explain(str(error), raw)}", hint="ser-bench show suite ravdess-actor-holdout"
        ) from None
    _check(suite, where)
    return with_stress(suite, suite.stress, f"{where}: stress")


def with_stress(suite: Suite, conditions: Iterable[str], where: str) -> Suite:
    """Return a suite whose models are tested under these conditions too.

    Raises:
        UsageError: If one is none, or two are the same; ``where`` begins the message.
    """
    try:
        return msgspec.structs.replace(suite, stress=read_conditions(conditions))
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from None


def read_labels(name: str) -> str | OwnScheme:
    """Return what ``labels`` of a suite may be: a scheme's name as it is, a TOML file as the scheme that it spells.

    A scheme that states no name bears its file's.

    Raises:
        UsageError: If there is no such file or scheme, or the file does not fit.
    """
    if not _is_scheme_file(name):
        label_scheme(name, ("angry", "neutral"))
        return name
    path, hint = Path(name), f"write {name} such as:\n{SAMPLE_SCHEME}"
    if not path.is_file():
        raise UsageError(f"label scheme {name!r} is not there (expected a TOML file, or a scheme's name)", hint=hint)
    raw = {"name": path.stem, **_toml(path.read_bytes(), name)}
    try:
        own = msgspec.convert({"labels": raw}, _SchemeFile).labels
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {_explain(str(error), raw)}", hint=hint) from None
    try:
        own.scheme()
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", hint=hint) from None
    return own


def with_labels(suite: Suite, name: str) -> Suite:
    """Return a suite under another label scheme, by name or by the path of a TOML file; its notes say so.

    What others published under the suite's own scheme is left out.

    Raises:
        UsageError: As :func:`read_labels`, and where the scheme does not fit the suite's targets.
    """
    labels = read_labels(name)
    before, now = (given if isinstance(given, str) else given.name for given in (suite.labels, labels))
    note = f"Labels {now} instead of the suite's {before}: other scores than the suite's."
    changed = msgspec.structs.replace(suite, labels=labels, notes=(note, *suite.notes), references=(), bands=())
    if (labels in DIMENSIONS) != (suite.targets == "values"):
        targets: Literal["values", "hard"] = "values" if labels in DIMENSIONS else "hard"
        changed = msgspec.structs.replace(changed, targets=targets, metrics=Metrics())
    _check(changed, f"--labels {name}")
    return changed


def with_budget(suite: Suite, name: str) -> Suite:
    """Return a suite whose rows have the parameters of a budget; ``short`` is what stands in their ``params``.

    Raises:
        UsageError: If no row knows that budget.
    """
    known = {SHORT, *(one for entry in suite.entries for one in (*entry.budgets, entry.only_budget) if one)}
    if name not in known:
        raise UsageError(f"--budget {name}: no row of {suite.name} has it" + did_you_mean(name, known))
    entries = (
        msgspec.structs.replace(
            entry,
            params={**entry.params, **entry.budgets.get(name, {})},
            only_budget=None if entry.only_budget == name else entry.only_budget,
        )
        for entry in suite.entries
    )
    return msgspec.structs.replace(suite, models=tuple(entries))


def load_scheme(name: str, emotions: tuple[str, ...] = ()) -> Scheme:
    """Return a label scheme by name, or by the path of a TOML file; ``emotions`` as in :func:`label_scheme`.

    Raises:
        UsageError: As :func:`read_labels`.
    """
    labels = read_labels(name)
    return label_scheme(labels, emotions) if isinstance(labels, str) else labels.scheme()


def _read_listing(raw: dict[str, Any], folder: Path | None, where: str) -> None:
    """Put what a protocol's split file lists in its place; a file that isn't beside the suite may be one of ours."""
    protocol = raw.get("protocol")
    if (
        not isinstance(protocol, dict)
        or protocol.get("kind") != "split-file"
        or not isinstance(file := protocol.get("file"), str)
    ):
        return
    if {"listed", "by"} & set(protocol):
        raise UsageError(f"{where}: protocol.file names a split file; listed and by stand in its place, not beside it")
    ours = Path(str(files(registry.load("suites", "bundled")))) / file
    beside = (folder or Path()) / file
    listing = read_split(ours if ours.exists() and not beside.exists() else beside)
    raw["protocol"] = {**protocol, "by": listing.by, "listed": listing.folds}


def is_table(features: object) -> bool:
    """Whether what a suite calls ``features`` is the path of a table made elsewhere, and no set's name."""
    return isinstance(features, str) and features.endswith(TABLE_SUFFIXES)


def _is_scheme_file(labels: object) -> bool:
    return isinstance(labels, str) and labels not in SCHEME_NAMES and (labels.endswith(".toml") or "/" in labels)


def _toml(data: bytes, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: not TOML: {error}") from None


def _check(suite: Suite, where: str) -> None:
    if not suite.corpora or not suite.models or not suite.seeds:
        raise UsageError(f"{where}: corpora, models and seeds must not be empty")
    if not 1000 <= suite.sample_rate_hz <= 192000:
        raise UsageError(f"{where}: sample_rate_hz = {suite.sample_rate_hz}: between 1000 and 192000 expected")
    if suite.threads < 1:
        raise UsageError(f"{where}: threads = {suite.threads}: at least 1 expected")
    for what, values in (("corpora", suite.corpora + suite.optional_corpora), ("seeds", suite.seeds)):
        if len(set(values)) != len(values):
            raise UsageError(f"{where}: {what} holds {next(v for v in values if values.count(v) > 1)!r} twice")
    stated: dict[str, tuple[Reference | Band, ...]] = {"references": suite.references, "bands": suite.bands}
    for key, entries in stated.items():
        for number, one in enumerate(entries, start=1):
            if fault := one.fault():
                raise UsageError(f"{where}: {key}, entry {number}: {fault}")
    _check_augmentation(suite, where)
    _check_rows(suite, where)
    try:
        scheme = suite.scheme(("angry", "neutral"))
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from None
    if suite.targets == "soft" and isinstance(scheme, DimensionScheme):
        raise UsageError(
            f'{where}: targets = "soft" with labels = {scheme.name!r}: votes are for emotions, not for levels',
            hint='targets = "hard"',
        )
    numbers = isinstance(scheme, DimensionScheme) and scheme.numbers
    if numbers != (suite.targets == "values"):
        raise UsageError(
            f"{where}: targets = {suite.targets!r} with labels = {scheme.name!r}: values go with "
            f"{', '.join(DIMENSIONS)}, and these with values",
            hint=f'labels = "{scheme.name}-3"' if numbers else 'labels = "arousal"',
        )
    if (suite.primary == "ccc") != numbers:
        raise UsageError(f"{where}: metrics.primary = {suite.primary!r} is no score of targets = {suite.targets!r}")


def _check_rows(suite: Suite, where: str) -> None:
    rows = [entry.row for entry in suite.entries]
    if twice := {row for row in rows if rows.count(row) > 1}:
        raise UsageError(f"{where}: two rows are called {twice.pop()!r}; give one of them a label")
    if told := next((entry.row for entry in suite.entries if SHORT in (*entry.budgets, entry.only_budget)), None):
        raise UsageError(f"{where}: row {told!r}: the budget {SHORT} is what stands in params")
    stated = [reference.row for reference in suite.references if reference.row]
    for row in stated:
        if row not in rows:
            raise UsageError(f"{where}: references: unknown row {row!r}" + did_you_mean(row, rows))
        if stated.count(row) > 1:
            raise UsageError(f"{where}: references: two are about the row {row!r}; the board shows one per row")


def _check_augmentation(suite: Suite, where: str) -> None:
    if not suite.augment_before_split:
        return
    if not suite.augment:
        raise UsageError(f"{where}: augment_before_split without an [[augment]]: there is nothing to split")
    control = isinstance(suite.protocol, RandomKFold) and "shared-sibling" in (suite.protocol.declares or ())
    if not control:
        raise UsageError(
            f"{where}: augment_before_split puts children of one utterance on both sides: a mistake that only a "
            "random protocol may repeat, and must declare",
            hint='[protocol]\nkind = "random-kfold"\ndeclares = ["shared-sibling"]',
        )
    if told := next((entry.row for entry in suite.entries if not entry.augment), None):
        raise UsageError(f"{where}: row {told!r}: augment = false, but augment_before_split makes rows for all models")


def _explain(message: str, raw: dict[str, Any]) -> str:
    """Return msgspec's message, with the nearest known name where a key, or a word of a closed list, is misspelt."""
    problem, _, place = message.partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    if place == "protocol.kind" and problem.startswith("Invalid value "):
        kind = problem.removeprefix("Invalid value ").strip("'")
        return f"unknown protocol kind {kind!r}" + did_you_mean(kind, _PROTOCOLS)
    if found := _WRONG_WORD.fullmatch(message):
        return _explain_word(found["word"], found["place"], raw)
    if not problem.startswith("Object contains unknown field `"):
        return message
    key = problem.split("`")[1]
    return f"unknown key {key!r}{f' in {place}' if place else ''}{did_you_mean(key, _known_keys(place, raw))}"


def _explain_word(word: str, place: str, raw: dict[str, Any]) -> str:
    """Return what a key with a closed list of words takes, for a word that is none of them."""
    if (
        word == "shared-speaker"
        and place.startswith("protocol.declares")
        and raw["protocol"]["kind"] == RandomKFold.__struct_config__.tag
    ):
        return "protocol.declares: kind = 'random-kfold' shares speakers by itself; leave 'shared-speaker' out"
    owner, _, key = place.partition("[")[0].rpartition(".") if "]." not in place else place.rpartition(".")
    words = _words_in(get_type_hints(_struct_at(owner, raw))[key.partition("[")[0]])
    near = did_you_mean(word, words)
    return f"{place}: {word!r} is none of {', '.join(sorted(words))}{near if near.startswith(' (did') else ''}"


def _words_in(hint: Any) -> set[str]:
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {word for part in get_args(hint) for word in _words_in(part)}


def _known_keys(place: str, raw: dict[str, Any]) -> set[str]:
    known = set(_struct_at(place, raw).__struct_fields__)
    return known | {"kind"} if place == "protocol" else known - {"name" if not place else ""}


def _struct_at(place: str, raw: dict[str, Any]) -> type[msgspec.Struct]:
    if place == "protocol":
        return _PROTOCOLS[raw["protocol"]["kind"]]
    parts: dict[str, type[msgspec.Struct]] = {"protocol.dev": Dev, "metrics": Metrics, "labels": OwnScheme, "": Suite}
    parts |= {"references": Reference, "bands": Band}
    return parts.get(place.partition("[")[0], ModelEntry)


def _files() -> dict[str, Traversable | PrerequisiteError]:
    """Return every suite's file by its name; our own come first, a later one of that name is ``package/name``."""
    found: dict[str, Traversable | PrerequisiteError] = {}
    for package in sorted(registry.entries("suites"), key=lambda package: (package != "bundled", package)):
        try:
            items = files(registry.load("suites", package)).iterdir()
        except PrerequisiteError as error:
            found[package] = error
            continue
        for item in items:
            if item.name.endswith(".toml"):
                name = item.name.removesuffix(".toml")
                found[f"{package}/{name}" if name in found else name] = item
    return found
