"""From stored predictions to a row's scores; nothing here looks at features, models or clocks."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench import metrics
from ser_bench.cells import Cell
from ser_bench.groups import GROUPS, group_scores
from ser_bench.prepare import Prepared
from ser_bench.rating_metrics import speaker_rating_sums
from ser_bench.rating_scores import mean_of_known, rating_fields, rating_fold
from ser_bench.records import ClassScore, FoldRef, FoldScore, GroupScores, Score, SoftScores, StressScore
from ser_bench.stats import fold_mean_sd, score_with_interval
from ser_bench.store import read_arrays
from ser_bench.stress import SIDE
from ser_bench.stress_scores import stress_score

_NUMBERS = ("truth_value", "predicted_value")
_CELL_ARRAYS = {"meta", "train_labels", "dev_labels", "test_labels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """The stored result of a cell.

    Attributes:
        arrays: ``train``/``dev``/``test`` (table positions) with ``…_labels`` (predicted class indices), and
            ``test_scores`` (n_test, n_classes) where the model gives scores. Where numbers are asked for, the labels
            are the predicted numbers.
        meta: ``chosen``, ``search`` (of each point ``params``, ``score`` and the ``scores`` that it is the mean of),
            ``facts``, ``timing``, and ``latency`` where it was measured.
        stress: Condition -> what the model said of the test rows under it: their labels, and scores or None. It is no
            part of ``arrays``, since other fits of the cell are not asked for it.
    """

    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]
    stress: Mapping[str, tuple[NDArray[Any], NDArray[Any] | None]] = field(default_factory=dict)


def read_cell(path: Path, fold: Any) -> CellResult | None:
    """Return a stored cell, or None where it is missing, damaged, or lacks an answer for a row of the fold."""
    arrays = read_arrays(path)
    if arrays is None or not _CELL_ARRAYS.issubset(arrays):
        return None
    if len(arrays["test_labels"]) != len(fold.test) or len(arrays["train_labels"]) != len(fold.fitted):
        return None
    meta = json.loads(arrays.pop("meta").tobytes())
    # Positions are those of this run's table: the key covers who stands in the fold, not where in the table.
    arrays["test"] = fold.test.astype(np.int64)
    arrays["train"] = fold.fitted.astype(np.int64)
    judged = fold.fitted[arrays.pop("judged")] if "judged" in arrays else fold.judged  # dealt by the worker, or not
    arrays["dev"] = judged.astype(np.int64)[: len(arrays["dev_labels"])]
    stress = {
        name: (arrays.pop(f"stress_{index}_labels"), arrays.pop(f"stress_{index}_scores", None))
        for index, name in enumerate(meta.get("stress", ()))
    }
    return CellResult(arrays=arrays, meta=meta, stress=stress)


def score_row(prepared: Prepared, results: Sequence[tuple[Cell, CellResult]]) -> dict[str, Any]:
    """Return the score fields of a row's record.

    Per seed the test rows of all folds are pooled and scored once; the headline is the mean over seeds.

    Args:
        prepared: The table and the classes.
        results: Every cell of the row, with its result.
    """
    per_seed = _per_seed(prepared, results)
    folds = [_fold_score(prepared, cell, result) for cell, result in results]
    tested = per_seed[0][0]
    if prepared.ratings is None:
        fields = _class_fields(prepared, results, per_seed, folds)
    else:
        series = [(prepared.ratings[rows], predicted) for rows, predicted in per_seed]
        strata = _corpora_of_speakers(prepared, tested)
        fields = rating_fields(series, prepared.table.codes("speaker")[tested], folds, strata)
    return {
        **fields,
        "n_test": len(tested),
        "n_test_speakers": prepared.table.rows(tested).n_speakers,
        "test_fingerprint": _test_fingerprint(prepared, tested),
    }


def stress_scores(
    prepared: Prepared, results: Sequence[tuple[Cell, CellResult]], primary: str
) -> tuple[StressScore, ...]:
    """Return the scores of a row under each condition that all of its cells were asked for, in the plan's order.

    Args:
        prepared: The table and the classes.
        results: Every cell of the row, with its result.
        primary: The score whose drop is told.
    """

    def sums(condition: str | None) -> NDArray[Any]:
        per_seed = _per_seed(prepared, results, condition)
        if prepared.ratings is None:
            return np.stack([_by_speaker(prepared, rows, of, len(prepared.scheme.classes)) for rows, of in per_seed])
        speakers = prepared.table.codes("speaker")[per_seed[0][0]]
        return np.stack([speaker_rating_sums(prepared.ratings[rows], of, speakers) for rows, of in per_seed])

    conditions = [name for name in results[0][1].stress if all(name in result.stress for _, result in results)]
    if not conditions:
        return ()
    tested = _per_seed(prepared, results)[0][0]
    unknown = int((prepared.table.codes("speaker")[tested] < 0).sum())
    clean, strata = sums(None), _corpora_of_speakers(prepared, tested)
    return tuple(
        stress_score(name, clean, sums(name), primary=primary, n=len(tested), n_unknown=unknown, strata=strata)
        for name in conditions
    )


def _class_fields(
    prepared: Prepared,
    results: Sequence[tuple[Cell, CellResult]],
    per_seed: Sequence[tuple[NDArray[np.int64], NDArray[Any]]],
    folds: Sequence[FoldScore],
) -> dict[str, Any]:
    names = prepared.scheme.classes
    confusions = np.stack([_by_speaker(prepared, rows, labels, len(names)) for rows, labels in per_seed])
    tested = per_seed[0][0]
    unknown = int((prepared.table.codes("speaker")[tested] < 0).sum())
    strata = _corpora_of_speakers(prepared, tested)
    scores = {}
    for name, statistic in metrics.METRICS.items():
        scores[name] = Score(**asdict(score_with_interval(confusions, statistic, n_unknown=unknown, strata=strata)))
    pooled = confusions.sum(axis=(0, 1))
    seed_uar = metrics.uar_of_confusion(confusions.sum(axis=1))
    uars = [(fold.fold_id, fold.test_uar) for fold in folds if fold.test_uar is not None]
    by_fold = {name: [uar for again, uar in uars if again == name] for name, _ in uars}
    mean, sd = fold_mean_sd([float(np.mean(of)) for of in by_fold.values()])
    return {
        "scores": scores,
        "uar_fold_mean": mean,
        "uar_fold_sd": sd,
        "uar_seed_sd": float(np.std(seed_uar, ddof=1)) if len(per_seed) > 1 else None,
        "sides": {
            "train": mean_of_known([fold.train_uar for fold in folds]),
            "dev": mean_of_known([fold.dev_uar for fold in folds]),
            "test": scores["uar"].value,
        },
        "fold_scores": tuple(folds),
        "per_class": _class_scores(names, pooled, len(per_seed)),
        "absent_classes": tuple(name for name, n in zip(names, pooled.sum(axis=1), strict=True) if n == 0),
        "confusion": tuple(tuple(int(n) for n in line) for line in pooled),
        "by_group": _by_group(prepared, per_seed),
        "soft": _soft_scores(prepared, results),
    }


def targets_note(prepared: Prepared, results: Sequence[tuple[Cell, CellResult]]) -> str:
    """Return what a row of a suite with soft targets was trained on."""
    row = results[0][0].row
    if not row.soft_targets:
        why = "the canary's features tell the class" if row.spec.soft_targets else "it takes no soft targets"
        return f"trained on labels: {why}"
    train = np.unique(np.concatenate([result.arrays["train"] for _, result in results]))
    voted = 0 if prepared.votes is None else int((~np.isnan(prepared.votes[train, 0])).sum())
    note = f"soft targets: {voted:,} of {len(train):,} training utterances carry votes on a class"
    return note if voted == len(train) else f"{note}; the label of the others counts as certain"


def augmentation_note(results: Sequence[tuple[Cell, CellResult]]) -> str:
    """Return how many children and repeats a row of a suite that augments or oversamples was fitted on."""
    told = []
    for key, what in (("n_children", "children"), ("n_repeated", "repeated rows")):
        n = sorted(result.meta.get(key, 0) for _, result in results)
        told += [f"{n[0]:,}{f' to {n[-1]:,}' if n[0] < n[-1] else ''} {what}"] if n[-1] else []
    return f"trained on {' and '.join(told)} per fold, beside its utterances" if told else "trained without children"


def prediction_warnings(prepared: Prepared, results: Sequence[tuple[Cell, CellResult]]) -> list[str]:
    """Return what a reader of the row must know: constant predictions, folds without a dev set."""
    truth, names = prepared.classes if prepared.ratings is None else prepared.ratings, prepared.scheme.classes
    constant = [
        (cell, names[int(first)] if prepared.ratings is None else round(float(first), 3))
        for cell, result in results
        for first in np.unique(result.arrays["test_labels"])[:1]
        if len(np.unique(result.arrays["test_labels"])) == 1 and len(np.unique(truth[result.arrays["test"]])) > 1
    ]
    warnings = []
    if constant and results[0][0].row.spec.family != "baseline":
        cell, name = constant[0]
        fold = prepared.split.folds[cell.fold].fold_id
        warnings.append(
            f"constant predictions in {len(constant)} of {len(results)} cells "
            f"(first: {name!r} for every test utterance of {fold}): "
            + ("UAR there is exactly 1/K" if prepared.ratings is None else "CCC there is 0")
        )
    row = results[0][0].row
    without = sorted(
        {prepared.split.folds[c.fold].fold_id for c, _ in results if not len(prepared.split.folds[c.fold].judged)}
    )
    if without and (row.grid or row.spec.selects):
        warnings.append(f"no dev set in {', '.join(without)}: chosen on inner folds of the training rows, by speaker")
    elif without and row.spec.uses_dev:
        warnings.append(f"no dev set in {', '.join(without)}: no search, a fixed budget")
    notes = {note for cell, _ in results for note in prepared.split.folds[cell.fold].notes}
    for _, result in results:
        notes.update(f"fit: {text}" for text in result.meta["facts"].get("warnings", []))
    return warnings + sorted(notes)


def fold_ref(prepared: Prepared, index: int, digest: str) -> FoldRef:
    """Return a fold in numbers."""
    fold, speakers = prepared.split.folds[index], prepared.table.codes("speaker")
    n = {
        side: len(set(speakers[rows].tolist()) - {-1})
        for side, rows in (("train", fold.train), ("dev", fold.dev), ("test", fold.test))
    }
    return FoldRef(
        fold_id=fold.fold_id,
        n_train=len(fold.train),
        n_dev=len(fold.dev),
        n_test=len(fold.test),
        train_speakers=n["train"],
        dev_speakers=n["dev"],
        test_speakers=n["test"],
        digest=digest,
    )


def write_predictions(path: Path, prepared: Prepared, results: Sequence[tuple[Cell, CellResult]]) -> tuple[str, int]:
    """Write a row's predictions as Parquet; return the file's SHA-256 and the number of rows.

    Columns: seed, fold, side (train, dev, test, stress:CONDITION), utterance_id, speaker, intensity, gender, truth,
    predicted, and for test rows, under a condition too, one score per class where the model gives scores, and the
    annotators' share of each class where the corpora carry votes. Where numbers are asked for, truth_value and
    predicted_value stand in place of all these from truth on. ``train`` rows are those that the final model was fitted
    on; ``dev`` rows stand beside them only where a dev set chose something, with the predictions of the model that was
    fitted without them.
    """
    from io import BytesIO

    import pyarrow as pa
    import pyarrow.parquet as pq

    from ser_bench.store import write_atomically

    names = np.array(prepared.scheme.classes, dtype=object)
    parts = []
    for cell, result in results:
        fold = prepared.split.folds[cell.fold].fold_id
        for side, rows, labels, scores in _sides(result):
            columns: dict[str, Any] = {
                "seed": np.full(len(rows), cell.seed, dtype=np.int64),
                "fold": np.full(len(rows), fold, dtype=object),
                "side": np.full(len(rows), side, dtype=object),
                "utterance_id": prepared.table.column("utterance_id")[rows],
                **{key: prepared.table.column(key)[rows] for key in ("speaker", *GROUPS)},
            }
            if prepared.ratings is not None:
                parts.append(columns | {"truth_value": prepared.ratings[rows], "predicted_value": labels * 1.0})
                continue
            columns |= {"truth": names[prepared.classes[rows]], "predicted": names[labels]}
            for index, name in enumerate(prepared.scheme.classes):
                columns[f"score_{name}"] = scores[:, index] if scores is not None else np.full(len(rows), np.nan)
            if prepared.votes is not None:
                told = side not in ("train", "dev")
                votes = prepared.votes[rows] if told else np.full((len(rows), len(names)), np.nan)
                columns |= {f"votes_{name}": votes[:, index] for index, name in enumerate(names)}
            parts.append(columns)
    text = pa.string()
    table = pa.table(
        {
            key: pa.array(
                np.concatenate([part[key] for part in parts]),
                type=None if key == "seed" or key.startswith(("score_", "votes_", *_NUMBERS)) else text,
                from_pandas=True,
            )
            for key in parts[0]
        }
    )
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    data = buffer.getvalue()
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest(), table.num_rows


def _sides(
    result: CellResult,
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[Any], NDArray[Any] | None]]:
    """Yield a cell's sides with their rows, labels and, where stored predictions have them, scores."""
    arrays = result.arrays
    yield "train", arrays["train"], arrays["train_labels"], None
    yield "dev", arrays["dev"], arrays["dev_labels"], None
    yield "test", arrays["test"], arrays["test_labels"], arrays.get("test_scores")
    for name, (labels, scores) in result.stress.items():
        yield SIDE + name, arrays["test"], labels, scores


def _per_seed(
    prepared: Prepared, results: Sequence[tuple[Cell, CellResult]], condition: str | None = None
) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Return seed after seed the pooled test rows, and what was answered: to unchanged sound, or under a condition."""
    seeds = sorted({cell.seed for cell, _ in results})
    return [_pooled(prepared, [r for c, r in results if c.seed == seed], condition) for seed in seeds]


def _pooled(
    prepared: Prepared, results: Sequence[CellResult], condition: str | None
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    rows = np.concatenate([result.arrays["test"] for result in results])
    labels = np.concatenate(
        [result.arrays["test_labels"] if condition is None else result.stress[condition][0] for result in results]
    )
    order = np.argsort(rows, kind="stable")
    return rows[order], labels[order].astype(np.int64 if prepared.ratings is None else np.float64)


def _by_speaker(
    prepared: Prepared, rows: NDArray[np.int64], labels: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    speakers = prepared.table.codes("speaker")[rows]
    return metrics.speaker_confusions(prepared.classes[rows], labels, speakers, n_classes)


def _corpora_of_speakers(prepared: Prepared, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the corpus of each speaker of ``rows``, by ascending speaker code; None where there is only one."""
    _, first = np.unique(prepared.table.codes("speaker")[rows], return_index=True)
    corpora = prepared.table.codes("corpus")[rows[first]]
    return corpora if len(np.unique(corpora)) > 1 else None


def _by_group(
    prepared: Prepared, per_seed: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> dict[str, GroupScores | None]:
    rows, predicted = (np.concatenate(parts) for parts in zip(*per_seed, strict=True))
    speakers, names = prepared.table.column("speaker")[rows], prepared.scheme.classes
    truth = prepared.classes[rows]
    return {
        name: group_scores(truth, predicted, prepared.table.column(name)[rows], speakers, names, len(per_seed))
        for name in GROUPS
    }


def _soft_scores(prepared: Prepared, results: Sequence[tuple[Cell, CellResult]]) -> SoftScores | None:
    if prepared.votes is None:
        return None
    votes = np.concatenate([prepared.votes[result.arrays["test"]] for _, result in results])
    seeds = np.concatenate([np.full(len(result.arrays["test"]), cell.seed) for cell, result in results])
    n = int((~np.isnan(votes[:, 0])).sum()) // len(np.unique(seeds))
    if n == 0:
        return None
    if any(result.meta.get("score_kind") != "probability" for _, result in results):
        return SoftScores(n=n)
    predicted = np.concatenate([result.arrays["test_scores"] for _, result in results])
    found = metrics.soft_scores(votes, predicted, seeds)
    return SoftScores(n=n, **{name: _or_none(value) for name, value in found.items()})


def _fold_score(prepared: Prepared, cell: Cell, result: CellResult) -> FoldScore:
    more: dict[str, Any] = {
        "seed": cell.seed,
        "fold_id": prepared.split.folds[cell.fold].fold_id,
        "n_children": result.meta.get("n_children", 0),
        "n_repeated": result.meta.get("n_repeated", 0),
    }
    if prepared.ratings is not None:
        arrays = result.arrays
        sides = {s: (prepared.ratings[arrays[s]], arrays[f"{s}_labels"] * 1.0) for s in ("train", "dev", "test")}
        return rating_fold(sides, **more)

    def uar(side: str) -> float:
        truth = prepared.classes[result.arrays[side]]
        return metrics.unweighted_average_recall(truth, result.arrays[f"{side}_labels"].astype(np.int64))

    truth = prepared.classes[result.arrays["test"]]
    return FoldScore(
        **more,
        train_uar=uar("train"),
        dev_uar=uar("dev") if len(result.arrays["dev"]) else None,
        test_uar=uar("test"),
        test_war=float((truth == result.arrays["test_labels"]).mean()),
    )


def _class_scores(names: Sequence[str], pooled: NDArray[np.int64], n_seeds: int) -> tuple[ClassScore, ...]:
    recalls, precisions = metrics.class_recalls(pooled), metrics.class_precisions(pooled)
    return tuple(
        ClassScore(name=name, n=int(n) // n_seeds, recall=_or_none(recall), precision=_or_none(precision))
        for name, n, recall, precision in zip(names, pooled.sum(axis=1), recalls, precisions, strict=True)
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _test_fingerprint(prepared: Prepared, rows: NDArray[np.int64]) -> str:
    ids, content = prepared.table.column("utterance_id"), prepared.table.column("content_id")
    names = prepared.scheme.classes
    labels = [names[index] for index in prepared.classes] if prepared.ratings is None else prepared.ratings.tolist()
    lines = (f"{ids[i]} {content[i]} {labels[i]}" for i in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def metas_of(prepared: Prepared, results: Sequence[tuple[Cell, CellResult]]) -> dict[str, Mapping[str, Any]]:
    """Return fold -> ``meta``, or ``fold, seed N`` -> ``meta`` where there are several seeds."""
    several = len({cell.seed for cell, _ in results}) > 1
    return {
        prepared.split.folds[cell.fold].fold_id + (f", seed {cell.seed}" if several else ""): result.meta
        for cell, result in results
    }
