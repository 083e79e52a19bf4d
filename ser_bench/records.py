"""Run records: one per row of a board, JSON on disk, from which every table is built.

A record is written once, whole, after its predictions. Scores in it are computed from those predictions;
nothing in it is ever typed by hand. Unknown keys are refused, older schema versions are upgraded on reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ser_bench.errors import DataError
from ser_bench.references import Approach, Band, Reference

SCHEMA_VERSION = 3

UTTERANCES = "utterances.parquet"
"""The utterance table in a run folder."""

GAP = "gap.json"
"""The protocol gap in a run folder, where it was measured."""

PUBLICATION = "publication.json"
"""What published records are to be read with, in their folder."""

Status = Literal["ok", "failed", "skipped"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: frozen, keyword-only, strict when read back."""


class Score(_Part, frozen=True):
    """A score with its interval.

    ``value`` lies in [0, 1], of CCC and Pearson in [-1, 1], of RMSE from 0 on; it is null where it is undefined.
    ``low``/``high`` bound the 95 % interval; where they are null, ``method`` says why (e.g. ``none: 2 speakers``).
    ``n_speakers`` is the number of test speakers that the interval resamples.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = "none"
    n_speakers: int = 0


class SuiteRef(_Part, frozen=True):
    """The suite of a row. ``digest`` covers what decides folds, labels and features; ``protocol`` is in words.

    ``dev_only`` are those of ``declares`` that training and dev alone share; ``disjoint`` is what else than speakers
    the sides do not share (``sentence``).

    ``references`` and ``bands`` are what its rows are held against. ``targets`` is what its models are asked to be
    trained on: ``hard`` classes, ``soft`` votes, or ``values``: the numbers of ``labels``, without ``classes``.
    """

    name: str
    version: int
    title: str
    digest: str
    protocol: str
    labels: str
    classes: tuple[str, ...]
    sample_rate_hz: int
    primary: str = "uar"
    declares: tuple[str, ...] = ()
    dev_only: tuple[str, ...] = ()
    disjoint: tuple[str, ...] = ()
    canary: str | None = None
    notes: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    bands: tuple[Band, ...] = ()
    targets: Literal["hard", "soft", "values"] = "hard"


class ModelRef(_Part, frozen=True):
    """The model of a row: ``origin`` is who ships it, ``chosen`` what a dev set chose (fold id -> parameters).

    ``targets`` is what it was trained on: ``hard`` classes, or the annotators' ``soft`` votes. ``cut`` says in words
    what its source did more of (``5 of 200 epochs``).
    """

    name: str
    title: str
    origin: str
    framework: str
    family: str
    params: dict[str, Any]
    device: str = "cpu"
    uses_dev: bool = False
    n_parameters: int | None = None
    chosen: dict[str, dict[str, Any]] = {}
    targets: Literal["hard", "soft", "values"] = "hard"
    cut: str | None = None


class FeaturesRef(_Part, frozen=True):
    """The feature set of a row.

    ``sample_rate_hz`` is the rate of the samples that it got, null for each file's own. ``origin`` is who ships it, or
    ``table`` and the file's name and digest where it was made elsewhere, or ``encoder`` and its files' digests.
    ``n_parameters`` are those that it was learnt as, null where nothing was learnt or nobody knows.
    """

    name: str
    version: int
    title: str
    n_columns: int
    sample_rate_hz: int | None
    origin: str | None = None
    n_parameters: int | None = None


class CorpusRef(_Part, frozen=True):
    """A corpus as it was found: n_used = n - sum of ``dropped``. ``expected`` is null where nobody stated it.

    ``speakers`` are those of the used utterances. ``fingerprint`` is a digest over ids, samples, speakers, labels
    and groups of the used utterances. ``per_class`` counts the used utterances by class.
    """

    name: str
    title: str
    version: str
    licence: str
    n: int
    n_used: int
    speakers: int
    expected: int | None
    expected_speakers: int | None
    dropped: dict[str, int]
    merged: dict[str, int]
    copies: int
    unselected: dict[str, int]
    per_class: dict[str, int]
    fingerprint: str
    synthetic: bool = False
    examples: dict[str, tuple[str, ...]] = {}

    @property
    def partial(self) -> bool:
        """Whether fewer utterances were found than the release has."""
        return self.expected is not None and self.n < self.expected


class FoldRef(_Part, frozen=True):
    """One fold in numbers; ``digest`` covers the utterance ids and samples of each side."""

    fold_id: str
    n_train: int
    n_dev: int
    n_test: int
    train_speakers: int
    dev_speakers: int
    test_speakers: int
    digest: str


class ClassScore(_Part, frozen=True):
    """Recall and precision of a class over all pooled test rows; null where it was never spoken / predicted."""

    name: str
    n: int
    recall: float | None
    precision: float | None


class GroupScore(_Part, frozen=True):
    """One group of test rows, e.g. one intensity: ``n`` utterances of one seed, of ``n_speakers`` known speakers.

    ``recalls`` maps the classes that are spoken in it to their recall. ``uar`` is the mean over the classes that
    every group has (:attr:`GroupScores.classes`); null where there is none.
    """

    value: str
    n: int
    n_speakers: int
    uar: float | None
    recalls: dict[str, float]


class GroupScores(_Part, frozen=True):
    """Recall by the values of one column: ``n_unknown`` utterances of one seed have none."""

    classes: tuple[str, ...]
    n_unknown: int
    groups: tuple[GroupScore, ...]


class SoftScores(_Part, frozen=True):
    """Probabilities against the annotators' votes, over the ``n`` test rows of one seed that carry votes.

    Formulas: :mod:`ser_bench.metrics`. All three are null for models that give no probabilities.
    """

    n: int
    cross_entropy: float | None = None
    js_divergence: float | None = None
    multilabel_f1: float | None = None


class FoldScore(_Part, frozen=True):
    """UAR and WAR, or CCC and RMSE, of one seed and fold, by side; null where there is none, and of the other kind.

    ``n_children`` counts the augmented children that the final model was fitted on beside its utterances,
    ``n_repeated`` the repeats by oversampling; neither counts anywhere else.
    """

    seed: int
    fold_id: str
    train_uar: float | None = None
    dev_uar: float | None = None
    test_uar: float | None = None
    test_war: float | None = None
    n_children: int = 0
    n_repeated: int = 0
    train_ccc: float | None = None
    dev_ccc: float | None = None
    test_ccc: float | None = None
    test_rmse: float | None = None


class SearchPoint(_Part, frozen=True):
    """One point of a grid: its parameters, and the primary scores that it got, per fold (and seed) one per judged part.

    Parts are the dev set, or the inner folds in their order. The best mean is chosen, of equals the first.
    """

    params: dict[str, Any]
    scores: dict[str, tuple[float, ...]]


class SelectionStep(_Part, frozen=True):
    """One step of a selection: what it ``dropped`` or ``added``, and the mean primary score afterwards."""

    step: int
    score: float
    dropped: str | None = None
    added: str | None = None


class Importances(_Part, frozen=True):
    """What columns, or groups of them, are worth: the largest of ``n``, means over folds and seeds.

    ``kind`` is ``impurity``, ``gain`` or another of the model's own, ``coefficients`` (mean magnitude over the classes,
    of normalised columns) or ``permutation``: what the primary score on judged rows loses when they are shuffled.
    """

    kind: str
    n: int
    values: dict[str, float]


class BatchLatency(_Part, frozen=True):
    """Milliseconds per call for ``size`` utterances at once, from decoding to the labels, over ``n`` calls."""

    size: int
    n: int
    p50_ms: float
    p95_ms: float


class Latency(_Part, frozen=True):
    """Milliseconds per utterance at batch 1, from decoding to the label; the parts are medians of the same calls.

    ``samples_ms`` are all ``n`` calls in their order: ``n_utterances`` of ``audio_s`` seconds together, one at a time,
    round by round. ``probe_ms`` are as many calls of a fixed workload of the harness's own, one after each, so that
    runs at other times compare by the ratio of the two; empty in older records, which know of one round (0 utterances).
    ``waited`` is the share of that time for which others held the core, which the samples do not hold.
    """

    n: int
    p50_ms: float
    p95_ms: float
    decode_ms: float
    features_ms: float
    predict_ms: float
    audio_s: float
    samples_ms: tuple[float, ...] = ()
    probe_ms: tuple[float, ...] = ()
    n_utterances: int = 0
    waited: float | None = None
    batched: BatchLatency | None = None

    @property
    def work_s(self) -> float:
        """Seconds of work on each utterance once, the mean over the rounds."""
        return sum(self.samples_ms) / 1000.0 * ((self.n_utterances or self.n) / self.n)


class Timing(_Part, frozen=True):
    """Costs, from the solo pass: one named cell refitted with nothing else running.

    ``rtf`` is the real-time factor: seconds of work per second of speech at batch 1. ``reproduced`` says whether
    the solo refit gave the stored predictions again, to the bit. ``disk_bytes`` is the size of the saved model,
    ``energy_j`` what the machine's meter counted during the fit, ``peak_gpu_mib`` what the framework took of a GPU;
    null where nobody can tell.
    """

    fit_s: float
    predict_s: float
    peak_mib: float | None
    threads: int
    cell: str
    latency: Latency | None = None
    rtf: float | None = None
    reproduced: bool | None = None
    disk_bytes: int | None = None
    energy_j: float | None = None
    peak_gpu_mib: float | None = None


class Curve(_Part, frozen=True):
    """How a fit went: ``values`` maps ``epoch``, ``train_loss``, ``dev_uar`` … to series of one length."""

    seed: int
    fold_id: str
    values: dict[str, tuple[float | None, ...]]


class StressScore(_Part, frozen=True):
    """Scores on test audio that was changed by ``condition`` (``noise:20``): same models, same utterances.

    ``drop`` is the primary score without it less the one with it, with the interval over speakers.
    """

    condition: str
    n: int
    scores: dict[str, Score]
    drop: Score


class Environment(_Part, frozen=True):
    """What ran it: interpreter, operating system, CPU, memory, GPU, and the versions of what mattered.

    ``name`` is null, or the environment of its own that the model ran in and the digest of its lock; ``python`` and
    ``packages`` are that one's, then, but what it lacks (librosa, soundfile, soxr) decoded and extracted outside it.
    """

    python: str
    platform: str
    cpu: str
    n_cpus: int
    memory_gib: float
    gpu: str | None
    packages: dict[str, str]
    name: str | None = None


class Code(_Part, frozen=True):
    """The version and, in a checkout, the commit of ser-bench; ``source`` is a digest of the code that scores."""

    version: str
    commit: str | None
    dirty: bool | None
    source: str


class PredictionsRef(_Part, frozen=True):
    """Where the predictions lie (relative to the record's run folder), and their digest."""

    path: str
    sha256: str
    n: int


class RunRecord(_Part, frozen=True):
    """One row: a model on a suite, all seeds and folds.

    ``row`` is its label on the board, unique in a run. ``train`` and ``test`` are corpus names, set for
    cross-corpus rows only. ``folds_total`` counts the folds of the complete corpus. ``confusion`` sums the pooled
    test rows over seeds: truth down, predicted across. ``sides`` maps train/dev/test to mean UAR (or CCC). ``chosen``
    says which rows chose ``checkpoint``, ``features``, ``scaler`` and ``params``: ``train``, ``dev``, ``inner folds``,
    ``each speaker`` / ``each corpus`` (transductive), ``all`` (a published mistake) or ``nothing``. ``by_group`` maps
    intensity and gender to recalls, null where nobody knows them. ``soft`` is null where no test row has votes,
    ``approach`` for baselines. ``search`` holds every point that a grid tried, ``selection`` the path of a selection by
    fold (and seed), ``curves`` how the fits of networks went.
    """

    run_id: str
    row: str
    status: Status
    suite: SuiteRef
    model: ModelRef
    normalisation: str
    corpora: tuple[CorpusRef, ...]
    folds_total: int
    seeds: tuple[int, ...]
    environment: Environment
    code: Code
    created: str
    schema_version: int = SCHEMA_VERSION
    reason: str | None = None
    features: FeaturesRef | None = None
    approach: Approach | None = None
    train: str | None = None
    test: str | None = None
    folds: tuple[FoldRef, ...] = ()
    scores: dict[str, Score] = {}
    uar_fold_mean: float | None = None
    uar_fold_sd: float | None = None
    uar_seed_sd: float | None = None
    ccc_fold_mean: float | None = None
    ccc_fold_sd: float | None = None
    ccc_seed_sd: float | None = None
    sides: dict[str, float | None] = {}
    fold_scores: tuple[FoldScore, ...] = ()
    per_class: tuple[ClassScore, ...] = ()
    absent_classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    by_group: dict[str, GroupScores | None] = {}
    soft: SoftScores | None = None
    n_test: int = 0
    n_test_speakers: int = 0
    test_fingerprint: str = ""
    timing: Timing | None = None
    predictions: PredictionsRef | None = None
    chosen: dict[str, str] = {}
    search: tuple[SearchPoint, ...] = ()
    selection: dict[str, tuple[SelectionStep, ...]] = {}
    importances: tuple[Importances, ...] = ()
    curves: tuple[Curve, ...] = ()
    stress: tuple[StressScore, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether the row may be ranked and compared: complete, nothing declared, no canary."""
        return (
            self.status == "ok"
            and not self.suite.declares
            and self.suite.canary is None
            and "all" not in self.chosen.values()
            and len(self.folds) == self.folds_total
            and not any(c.partial for c in self.corpora)
        )


class GapRow(_Part, frozen=True):
    """A model's score on unseen speakers, its score on the same utterances with speakers shared, and the difference.

    ``speaker_probe`` is the UAR at which a linear discriminant on the same features tells the speakers apart. Where the
    control is a published protocol: the ``published`` figure, the row's scores under that protocol (``reproduced``)
    and under this suite's (``honest``), and ``differences``, metric by metric, of the two.
    """

    row: str
    run_id: str
    control_run_id: str
    features: str | None
    disjoint: float
    control: float
    gap: Score
    speaker_probe: float | None = None
    published: Reference | None = None
    reproduced: dict[str, Score] = {}
    honest: dict[str, Score] = {}
    differences: dict[str, Score] = {}


class Gap(_Part, frozen=True):
    """What shared speakers, or a published protocol, are worth, model by model: ``control`` minus ``disjoint``.

    ``control`` is the control's protocol in words, ``control_folder`` the name of its run folder beside this one;
    chance of the speaker probe is 1 / ``n_speakers``. ``control_suite`` names the suite with the published protocol;
    where it is null the control has random folds, and the same utterances are compared.
    """

    suite: str
    control: str
    control_folder: str
    primary: str
    n_test: int
    n_speakers: int
    rows: tuple[GapRow, ...]
    control_suite: str | None = None


class Publication(_Part, frozen=True):
    """What the reader of a published board must know beside its records.

    ``overrides`` maps what was overridden (``dirty``, ``partial``, ``unknown-licence``, ``leak``) to sentences on what
    it was about; ``remarks`` maps corpora to what their copy is (``re-packed copy, 22.05 kHz``).
    """

    overrides: dict[str, tuple[str, ...]] = {}
    remarks: dict[str, str] = {}


def encode(record: RunRecord) -> bytes:
    """Return the record as JSON, indented, the same bytes for the same record."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Rename the parameter that held an estimator's import path, which estimators within have the name of."""
    model = raw.get("model")
    params = model.get("params") if isinstance(model, dict) else None
    if isinstance(model, dict) and isinstance(params, dict) and isinstance(params.get("estimator"), str):
        renamed = {"import" if name == "estimator" else name: value for name, value in params.items()}
        raw = {**raw, "model": {**model, "params": renamed}}
    return {**raw, "schema_version": 2}


def _from_2(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "schema_version": 3}


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
"""Version -> the step to the next one. Fields that a version added need none: they have defaults."""


def decode(data: bytes, where: str = "record") -> RunRecord:
    """Return the record that ``data`` holds, upgraded to the current schema.

    Raises:
        DataError: If it is no record, or one of a newer schema.
    """
    try:
        raw = msgspec.json.decode(data)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and not 1 <= version <= SCHEMA_VERSION:
            raise DataError(
                f"{where}: schema version {version}, this ser-bench reads 1 to {SCHEMA_VERSION}",
                hint="pip install --upgrade ser-bench",
            )
        for older in range(version if isinstance(version, int) else SCHEMA_VERSION, SCHEMA_VERSION):
            raw = _UPGRADES[older](raw)
        return msgspec.convert(raw, RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{where}: not a run record ({error})", hint="the run again") from None


def read_records(folder: Path) -> list[RunRecord]:
    """Return the records of a run folder, in the order of its plan (file names).

    Raises:
        DataError: If the folder holds no records, or one that can't be read.
    """
    paths = sorted((folder / "records").glob("*.json"))
    if not paths:
        raise DataError(f"no run records under {folder}", hint="ser-bench run --suite demo")
    return [decode(path.read_bytes(), str(path)) for path in paths]


def read_gap(folder: Path, records: Sequence[RunRecord]) -> Gap | None:
    """Return the stored gap of a run folder, its rows those whose records are there; None where there is none.

    Raises:
        DataError: If the file is damaged.
    """
    path = folder / GAP
    if not path.is_file():
        return None
    try:
        gap = msgspec.json.decode(path.read_bytes(), type=Gap)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: no stored gap ({error})", hint=f"rm {path}, then the run with --gap again") from None
    known = {record.run_id for record in records}
    rows = tuple(row for row in gap.rows if row.run_id in known)
    return msgspec.structs.replace(gap, rows=rows) if rows else None


def read_publication(folder: Path) -> Publication | None:
    """Return what published records are to be read with; None where nothing is to be said.

    Raises:
        DataError: If the file is damaged.
    """
    path = folder / PUBLICATION
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Publication)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: can't be read ({error})", hint=f"rm {path}, then ser-bench publish again") from None
