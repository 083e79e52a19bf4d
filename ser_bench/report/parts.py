"""The parts of a board, plain and typed; ``leaderboard.json`` is their JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from ser_bench.records import (
    ClassScore,
    Code,
    CorpusRef,
    Curve,
    Environment,
    FeaturesRef,
    FoldRef,
    FoldScore,
    Gap,
    GroupScores,
    Importances,
    ModelRef,
    PredictionsRef,
    Score,
    SearchPoint,
    SelectionStep,
    SoftScores,
    StressScore,
    SuiteRef,
    Timing,
)
from ser_bench.references import Approach, Reference

Standing = Literal["ranked", "unranked", "reference", "failed", "skipped"]
"""What a row is on the board, in the order of the tables."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence above everything else. ``kind``: canary, synthetic, control, partial, note, override or copy."""

    kind: str
    text: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What ran the rows that point here by position; ``packages`` are those of all these rows."""

    environment: Environment
    code: Code


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The primary score of the row ``against`` less this row's, on the same utterances.

    ``p`` is two-sided, ``p_holm`` corrected for all comparisons of its table, ``p_naive`` is McNemar's, which takes
    utterances as independent and stands beside it as a warning. ``detectable`` is the smallest difference that this
    test would find four times in five. Null where it can't be told; ``method`` says how it was, or why not.
    """

    against: str
    value: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    p_naive: float | None
    detectable: float | None
    method: str


class SpeakerScore(msgspec.Struct, frozen=True, kw_only=True):
    """One test speaker: ``n`` utterances of one seed, and the primary score on them (mean over seeds).

    UAR is that of the classes which the speaker utters.
    """

    speaker: str
    gender: str | None
    n: int
    value: float | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How far probabilities can be believed, over the pooled test rows of all seeds.

    ``bins`` are (mean confidence, share correct, n) of equally wide bins of the predicted class's probability, empty
    ones left out. Formulas: :mod:`ser_bench.calibration`.
    """

    ece: float
    brier: float
    nll: float
    bins: tuple[tuple[float, float, int], ...]


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction of the first seed: of the worst confusions, the most confident mistake."""

    utterance_id: str
    speaker: str
    truth: str
    predicted: str
    probability: float | None


class Confused(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of classes that is mixed up: ``share`` of the ``truth`` rows get ``predicted``, ``n`` over all seeds."""

    truth: str
    predicted: str
    n: int
    share: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What only the stored predictions of a row tell; empty for a row whose file is not at hand.

    ``difference`` is null for the leader of the ranking and for rows that are not compared. ``speakers`` are the known
    ones, the worst first. ``seed_sd`` is the spread of the primary score over seeds, ``speaker_sd`` over speakers.
    """

    difference: Difference | None = None
    speakers: tuple[SpeakerScore, ...] = ()
    calibration: Calibration | None = None
    confused: tuple[Confused, ...] = ()
    examples: tuple[Example, ...] = ()
    seed_sd: float | None = None
    speaker_sd: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row; fields that a record has too mean the same.

    ``standing``: ranked; unranked (it has scores, ``reason`` says why no rank); reference (chance, majority);
    failed or skipped (``reason`` again, and no score at all). ``rank`` is shared by the rows that can't be told
    from the first of them, and one more than the number of rows with a better one (see :mod:`ser_bench.paired`); where
    answers are missing it is one more than the number of ranked rows with a higher primary score. ``chosen_by`` says in
    words who chose ``model.chosen``. ``machine`` is a position in :attr:`Board.machines`, ``corpora`` are fingerprints
    of :attr:`Board.corpora`, ``anchor`` is the id in the HTML file. ``warnings`` are the record's, and one per band of
    the suite that a score lies outside of.
    """

    anchor: str
    rank: int | None
    standing: Standing
    reason: str | None
    run_id: str
    row: str
    model: ModelRef
    features: FeaturesRef | None
    approach: Approach | None
    normalisation: str
    train: str | None
    test: str | None
    seeds: tuple[int, ...]
    folds: tuple[FoldRef, ...]
    folds_total: int
    n_test: int
    n_test_speakers: int
    scores: dict[str, Score]
    uar_fold_mean: float | None
    uar_fold_sd: float | None
    uar_seed_sd: float | None
    ccc_fold_mean: float | None
    ccc_fold_sd: float | None
    ccc_seed_sd: float | None
    sides: dict[str, float | None]
    fold_scores: tuple[FoldScore, ...]
    classes: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    absent_classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    by_group: dict[str, GroupScores | None]
    soft: SoftScores | None
    chosen_by: str
    search: tuple[SearchPoint, ...]
    selection: dict[str, tuple[SelectionStep, ...]]
    importances: tuple[Importances, ...]
    curves: tuple[Curve, ...]
    stress: tuple[StressScore, ...]
    timing: Timing | None
    predictions: PredictionsRef | None
    warnings: tuple[str, ...]
    machine: int
    corpora: tuple[str, ...]
    created: str
    evidence: Evidence = Evidence()


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a table by group: a UAR per group, and the largest less the smallest of them."""

    row: str
    anchor: str
    uars: tuple[float | None, ...]
    gap: float | None


class GroupTable(msgspec.Struct, frozen=True, kw_only=True):
    """UAR by the values of one column of the test rows, over the ``classes`` that all of them have.

    ``n`` and ``n_speakers`` count the test rows of each value, ``n_unknown`` those without one.
    """

    column: str
    classes: tuple[str, ...]
    values: tuple[str, ...]
    n: tuple[int, ...]
    n_speakers: tuple[int, ...]
    n_unknown: int
    rows: tuple[GroupRow, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were scored on the same test rows, by standing, then score.

    ``n_classes`` counts the classes in the test data; ``constant_uar`` is what a constant guess gets there.
    """

    title: str
    train: str | None
    test: str | None
    test_fingerprint: str
    n_test: int
    n_test_speakers: int
    n_classes: int
    constant_uar: float | None
    rows: tuple[Row, ...]
    groups: tuple[GroupTable, ...]
    notes: tuple[str, ...]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a matrix: the primary score, the row's status, and where its details stand."""

    value: float | None
    status: str
    anchor: str


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """One model over the corpora: trained on those down, tested on those across; null where nothing ran.

    ``test_sizes`` says of each test corpus how many utterances and speakers were scored.
    """

    row: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    test_sizes: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A published system: what its source states, what its protocol gives here, and what an honest one does.

    ``reproduced`` and ``honest`` map metrics to scores and are empty where that protocol did not run; ``differences``
    are the first less the second. ``cut`` says what the source did more of.
    """

    row: str
    published: Reference | None
    reproduced: dict[str, Score]
    honest: dict[str, Score]
    differences: dict[str, Score]
    cut: str | None


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a leaderboard shows; also the schema of ``leaderboard.json``.

    .. code-block:: text

        {"suite": {"name", "version", "digest", "title", "protocol", "labels", "classes", ...,
                   "references": [{"label", "kind", "source", "protocol", "date", "uar", "war", "macro_f1"}],
                   "bands": [{"low", "high", "metric", "approaches", "cause_low", "cause_high"}]},
         "notices": [{"kind", "text"}],
         "corpora": [{"name", "n", "n_used", "speakers", "expected", "dropped": {reason: n}, ...}],
         "tables": [{"title", "train", "test", "test_fingerprint", "n_test", "n_test_speakers", "notes",
                     "rows": [{"rank", "standing", "reason", "row", "run_id", "model": {...},
                               "scores": {"uar": {"value", "low", "high", "method", "n_speakers"}, ...},
                               "sides": {"train", "dev", "test"}, "timing": {...}, ...,
                               "soft": {"n", "cross_entropy", "js_divergence", "multilabel_f1"},
                               "evidence": {"difference": {"against", "value", "low", "high", "p", "p_holm",
                                                           "p_naive", "detectable", "method"} or null,
                                            "speakers": [{"speaker", "gender", "n", "value"}],
                                            "calibration": {"ece", "brier", "nll", "bins"} or null,
                                            "confused": [{"truth", "predicted", "n", "share"}],
                                            "examples": [{"utterance_id", "speaker", "truth", "predicted",
                                                          "probability"}],
                                            "seed_sd", "speaker_sd"}}],
                     "groups": [{"column", "classes", "values", "n", "n_speakers", "n_unknown",
                                 "rows": [{"row", "anchor", "uars", "gap"}]}]}],
         "matrices": [{"row", "train": [...], "test": [...], "test_sizes": [...],
                       "cells": [[{"value", "status", "anchor"}]]}],
         "machines": [{"environment": {...}, "code": {...}}],
         "gap": {"control", "rows": [{"row", "disjoint", "control", "gap": {...}, "speaker_probe"}], ...} or null,
         "systems": [{"row", "published", "reproduced": {"uar": {...}, ...}, "honest", "differences", "cut"}]}

    ``suite``, ``corpora``, ``machines`` and the parts of a row are those of :mod:`ser_bench.records`.
    """

    suite: SuiteRef
    notices: tuple[Notice, ...]
    corpora: tuple[CorpusRef, ...]
    tables: tuple[Table, ...]
    matrices: tuple[Matrix, ...]
    machines: tuple[Machine, ...]
    gap: Gap | None = None
    systems: tuple[System, ...] = ()
