"""The process side of a task: decode, extract, or fit and predict one cell. Serves until its channel closes.

A worker imports the standard library, numpy and what its task names, nothing else, and it is told everything
by messages of plain types and by ``.npy``/``.npz`` files.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from statistics import median_low, mode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.equal_parts import speaker_folds
from ser_bench.errors import SerBenchError, UsageError
from ser_bench.metrics import METRICS, confusion_matrix, unweighted_average_recall
from ser_bench.models.contract import Examples, FitContext, Model, Prediction
from ser_bench.normalise import Normaliser
from ser_bench.rating_metrics import RATING_METRICS, rating_sums
from ser_bench.timing import Phases, peak_mib, reset_peak, resident_mib
from ser_bench.training_rows import with_children, with_repeats

Report = Callable[[int, int], None]
Rows = NDArray[np.int64]

WARM_UP = 3
"""Calls before the first latency sample: first calls load code and fill caches."""

INNER_FOLDS = 3
"""Folds by speaker that a search makes of the training rows where the protocol gives it neither dev nor inner folds."""

SHUFFLES = 5
"""How often a column is shuffled to see what it was worth."""

MOST_SHUFFLED = 20
"""Columns that are shuffled, one at a time, where a set has no groups and the model ranks its columns itself."""


def serve(channel: Any, log: str, memory_limit_mib: float) -> None:
    """Run tasks from ``channel`` until it closes; each answer is a message of plain types.

    Args:
        channel: An execnet channel.
        log: File that takes what plug-ins print, and the traces of crashes.
        memory_limit_mib: Resident memory beyond which the worker ends itself; 0 for no limit.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to handle; it ends its workers itself
    _redirect_output(log)
    threading.Thread(target=_watch, args=(os.getppid(), memory_limit_mib), daemon=True).start()
    channel.send({"ready": os.getpid()})
    for task in channel:
        channel.send(_answer(task, lambda done, total: channel.send({"progress": [int(done), int(total)]})))


def _answer(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    return _outcome(lambda: _TASKS[task["task"]](task, progress))


def _outcome(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"ok": True, **work()}
    except SerBenchError as error:
        return {"ok": False, "reason": _sendable(str(error))}
    except Exception as error:  # noqa: BLE001 - the one boundary at which any failure of a plug-in becomes a result
        traceback.print_exc()
        first = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {first[0] if first else '(no message)'}"
        return {"ok": False, "reason": _sendable(reason)}


def _sendable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()  # it may name a file whose name is no text


def _redirect_output(log: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    faulthandler.enable(sys.stderr)


def _watch(parent: int, memory_limit_mib: float) -> None:
    """End this process when its runner is gone, or when it takes more memory than it may."""
    while True:
        time.sleep(0.25)
        if os.getppid() != parent:
            os._exit(70)
        used = resident_mib() if memory_limit_mib else None
        if used is not None and used > memory_limit_mib:
            os.write(2, f"memory limit: {used:.0f} MiB used, {memory_limit_mib:.0f} MiB allowed\n".encode())
            os._exit(71)


def decode_facts(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    """Decode utterances and store what they are; see :func:`ser_bench.audio.facts`.

    What can't be decoded is answered and not stored: a disk that did not answer must not brand a file for good.
    """
    from dataclasses import asdict

    from ser_bench.audio import AudioSource, facts
    from ser_bench.store import PackedStore

    sound, faulty = {}, {}
    for key, path, start_s, end_s in task["items"]:
        found = asdict(facts(AudioSource(path=os.fsdecode(path), start_s=start_s, end_s=end_s)))
        if found["fault"] == "undecodable":
            faulty[key] = found
        else:
            sound[key] = np.frombuffer(json.dumps(found).encode(), dtype=np.uint8).reshape(-1, 1)
    PackedStore(Path(task["store"])).write(sound)
    return {"faulty": faulty}


def extract_features(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    """Extract one or more feature sets for a batch of utterances, each decoded once, into the sets' stores.

    ``task["sets"]`` maps names to (folder of the store, rate in Hz or None for each utterance's own).
    """
    from ser_bench.audio import AudioError, AudioSource, at_rate, decode_known
    from ser_bench.augment import Seeded
    from ser_bench.features.contract import Analysis
    from ser_bench.registry import load
    from ser_bench.store import PackedStore

    sets = {name: (load("features", name), *where) for name, where in task["sets"].items()}
    found: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in sets}
    failed: dict[str, str] = {}
    for key, path, start_s, end_s, wanted, content_id, transforms in task["items"]:
        try:
            alter = tuple(map(Seeded.from_plain, transforms))
            source = AudioSource(path=os.fsdecode(path), start_s=start_s, end_s=end_s, transforms=alter)
            samples, native_hz = decode_known(source, content_id)
            analyses: dict[int, Analysis] = {}
            for name in wanted:
                feature_set, _, stated_hz = sets[name]
                rate_hz = stated_hz or native_hz
                if rate_hz not in analyses:
                    analyses[rate_hz] = Analysis(at_rate(source, samples, native_hz, rate_hz), rate_hz)
                values = feature_set(analyses[rate_hz])
                found[name][key] = values.reshape(-1, values.shape[-1])
        except (AudioError, ValueError) as error:
            failed[key] = f"{type(error).__name__}: {error}"
    for name, values in found.items():
        PackedStore(Path(sets[name][1])).write(values)
    return {"failed": failed}


def run_cell(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    """Fit one model on one fold with one seed, predict every side, and write the predictions to ``task["out"]``."""
    with tempfile.TemporaryDirectory(dir=task["scratch"], ignore_cleanup_errors=True) as scratch:
        return _run_cell(task, _Cell(task, Path(scratch), progress))


def _run_cell(task: dict[str, Any], cell: _Cell) -> dict[str, Any]:
    cell.load()
    if task.get("latency") and "extracted" not in task["latency"]:  # it shall not lie in later rows' peaks only
        _extract_one(task["latency"], task["latency"]["items"][0])
    reset_peak()
    phases = Phases()
    with phases.measure("fit"):
        cell.fit()
    with phases.measure("train"):
        train = cell.predict(cell.fitted_rows)
    with phases.measure("predict"):
        test = cell.predict(cell.test)
    meta: dict[str, Any] = {
        "chosen": _plain(cell.chosen),
        "search": _plain(cell.search),
        "facts": _plain({**cell.selector_facts, **cell.model.facts}),
        "n_children": int((cell.parents[np.unique(cell.seen)] >= 0).sum()),
        "n_repeated": len(cell.seen) - len(np.unique(cell.seen)),
        "timing": {
            "fit_s": phases.seconds["fit"],
            "predict_s": phases.seconds["predict"],
            "peak_mib": peak_mib(),
        },
    }
    kept = {"kept": _outcome(lambda: cell.keep(Path(task["keep"]), test))} if task.get("keep") else {}
    if task.get("latency"):
        meta["latency"] = _measure_latency(cell, task["latency"])
    elif task.get("importances"):
        meta["facts"].setdefault("importances", {})["permutation"] = cell.permutation_importances()
    arrays = {
        "train": cell.fitted_rows,
        "train_labels": train.answers,
        "dev": cell.judged_rows,
        "dev_labels": cell.judged_labels,
        "test": cell.test,
        "test_labels": test.answers,
    }
    if cell.dealt:  # its rows are this module's choice: no fold of the protocol names them
        arrays["judged"] = np.searchsorted(cell.fitted_rows, cell.judged_rows)
    if test.scores is not None:
        arrays["test_scores"] = np.asarray(test.scores, dtype=np.float64)
        meta["score_kind"] = test.score_kind
    if train.scores is not None and test.score_kind == "probability":
        arrays["train_scores"] = np.asarray(train.scores, dtype=np.float32)
    write_cell(Path(task["out"]), arrays, meta)
    shutil.rmtree(cell.checkpoints, ignore_errors=True)
    return {"meta": meta, **kept}


def write_cell(path: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> None:
    """Write a cell's result, whole or not at all."""
    from io import BytesIO

    from ser_bench.store import write_atomically

    buffer = BytesIO()
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, meta=text, **arrays)
    write_atomically(path, buffer.getvalue())


def _plain(value: Any) -> Any:
    """Return what a model says of itself in plain types: numpy's numbers are numbers, anything else is text."""

    def plain(odd: Any) -> Any:
        return odd.tolist() if isinstance(odd, np.generic | np.ndarray) else str(odd)

    return json.loads(json.dumps(value, default=plain))


class _Cell:
    """One model x seed x fold: the rows, the normalisation, the search on dev or inner folds, the refit.

    ``searches`` holds pairs (rows to fit, rows to judge): train and dev, or the inner folds of a nested protocol, or
    inner folds ``dealt`` here, by speaker, for a search that the protocol gives neither.
    """

    def __init__(self, task: dict[str, Any], scratch: Path, progress: Report) -> None:
        self.task = task
        with np.load(task["data"], allow_pickle=False) as data:
            self.classes: Rows = data["classes"]
            self.ratings: NDArray[np.float64] | None = data.get("ratings")
            self.speakers: Rows = data["speakers"]
            self.corpora: Rows = data["corpora"]
            self.parents: Rows = data["parents"] if "parents" in data else np.full(len(self.classes), -1)
            self.train, self.dev, self.test = (data[f"{side}_{task['fold']}"].astype(np.int64) for side in _SIDES)
            inner = [[data[f"{part}_{task['fold']}_{n}"] for part in ("fit", "judge")] for n in range(task["inner"])]
        self.searches: list[tuple[Rows, Rows]] = [
            (fit.astype(np.int64), judge.astype(np.int64)) for fit, judge in inner
        ]
        if not self.searches and len(self.dev):
            self.searches = [(self.train, self.dev)]
        self.values: NDArray[np.float32] = np.load(task["values"], mmap_mode="r", allow_pickle=False)
        self.offsets: Rows | None = np.load(task["offsets"], allow_pickle=False) if task["offsets"] else None
        self.columns = tuple(task["columns"])
        self.column_groups = {name: (start, stop) for name, (start, stop) in task.get("groups", {}).items()}
        self.distributions: NDArray[np.float32] | None = None
        if task["soft_targets"]:
            self.distributions = self._soft_targets(task["data"], len(task["class_names"]))
        if task.get("permute"):
            self._permute_training_labels()
        self.context = FitContext(
            n_classes=len(task["class_names"]),
            class_names=tuple(task["class_names"]),
            seed=task["seed"],
            device=task["device"],
            threads=task["threads"],
            scratch=scratch,
            progress=progress,
        )
        self.checkpoints = Path(task["out"]).with_suffix(".checkpoints")
        self.chosen: dict[str, Any] = {}
        self.search: list[dict[str, Any]] = []
        self.selector_facts: dict[str, Any] = {}
        self.n_tried = 0
        self.judged_rows: Rows = self.dev[:0]
        self.judged_labels: NDArray[Any] = self.dev[:0]
        self.fitted_rows = np.setdiff1d(np.union1d(self.train, self.dev), self.test)  # a dev set may hold test rows
        self.dealt = bool(task["grid"] or task.get("selects")) and not self.searches
        if self.dealt:
            self.searches = self._inner_folds()

    def _inner_folds(self) -> list[tuple[Rows, Rows]]:
        rows = self.fitted_rows
        dealt = speaker_folds(self.speakers[rows], self.classes[rows], INNER_FOLDS)
        return [(rows[fit], rows[judge]) for fit, judge in dealt]

    def _soft_targets(self, data: str, n_classes: int) -> NDArray[np.float32]:
        """Return the stored distributions without the shares of classes that no training row is labelled with.

        A pair of corpora is trained and tested on the classes that both have; so are its soft targets. Where nothing
        is left of a row, its label is certain.
        """
        with np.load(data, allow_pickle=False) as arrays:
            shares = arrays["distributions"].astype(np.float64)
        shares[:, np.setdiff1d(np.arange(n_classes), self.classes[np.union1d(self.train, self.dev)])] = 0.0
        gone = ~shares.any(axis=1)
        shares[gone] = np.eye(n_classes)[self.classes[gone]]
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)

    def load(self) -> None:
        """Import what the model needs, so that no clock counts it."""
        for name in self.task["requires"]:
            importlib.import_module(name)
        self._build({})

    def fit(self) -> None:
        """Choose on dev or inner folds where the model can, then fit on all training rows."""
        self._seed_everything()
        if self.searches and (self.task["uses_dev"] or self.task["grid"] or self.task.get("selects")):
            self._choose()
        self.seen = self._seen_by_a_fit(self.fitted_rows)
        self._normalise_by(self.seen)
        self._seed_everything()
        self.model = self._build(self.chosen)
        self.model.fit(self.examples(self.seen, with_classes=True), None, self.context_of("refit"))

    def _seen_by_a_fit(self, rows: Rows) -> Rows:
        """Return utterances to fit on with their children, and with repeats of rare classes, where asked for."""
        if self.task.get("augment"):
            rows = with_children(rows, self.parents)
        return with_repeats(rows, self.classes, self.task.get("oversample", ()), self.task["seed"])

    def context_of(self, fit: str) -> FitContext:
        """Return the context of one of the cell's fits: each finds its own checkpoint again after a kill."""
        return replace(self.context, checkpoint=self.checkpoints / fit)

    def _choose(self) -> None:
        """Choose by the best mean score on what is judged: the grid first, of equals the first; then the selection."""
        grid = self.task["grid"]
        points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        best: _Tried | None = None
        if grid or self.task["uses_dev"]:
            tried = self._try(points)
            best = max(tried, key=lambda one: one.score)
            self.chosen = {**best.params, **_settled(best.found)}
            self.search = [{"params": one.params, "score": one.score, "scores": one.scores} for one in tried]
        if self.task.get("selects"):
            selector: Any = self._build(self.chosen)
            columns = Examples(values=self.values[:0], columns=self.columns, groups=self.column_groups)
            self.chosen |= selector.select(columns, self._scores_of)
            self.selector_facts = selector.facts
            best = self._try([self.chosen])[0]
        assert best is not None
        self.judged_rows = np.concatenate([judge for _, judge in self.searches])
        self.judged_labels = np.concatenate(best.labels)

    def _scores_of(self, points: Sequence[Mapping[str, Any]]) -> list[float]:
        return [one.score for one in self._try([{**self.chosen, **point} for point in points])]

    def _try(self, points: Sequence[dict[str, Any]]) -> list[_Tried]:
        """Fit every point on the one side of every pair of rows, and judge it on the other."""
        tried = [_Tried(params=point, scores=[], found=[], labels=[]) for point in points]
        for pair, (fit, judge) in enumerate(self.searches):
            seen = self._seen_by_a_fit(fit)
            self._normalise_by(seen)
            train = self.examples(seen, with_classes=True)
            dev = self.examples(judge, with_classes=True)
            for number, one in enumerate(tried, start=self.n_tried):
                model = self._build(one.params)
                model.fit(train, dev if self.task["uses_dev"] else None, self.context_of(f"{pair}-{number}"))
                answer = checked(model.predict(self.examples(judge)), len(judge), self.context.n_classes)
                one.scores.append(self._score(judge, answer))
                one.found.append(model.chosen if self.task["uses_dev"] else {})
                one.labels.append(answer.answers)
        self.n_tried += len(tried)
        return tried

    def _score(self, rows: Rows, answer: Prediction) -> float:
        if self.ratings is not None:
            sums = rating_sums(self.ratings[rows], answer.answers)
            return float(RATING_METRICS[self.task["primary"]](sums))
        confusion = confusion_matrix(self.classes[rows], answer.labels, self.context.n_classes)
        return float(METRICS[self.task["primary"]](confusion.astype(np.float64)))

    def permutation_importances(self) -> dict[str, float]:
        """Return what the primary score loses when a group of columns, or one, is shuffled among the judged rows.

        Models with what was chosen are fitted on the one side of each pair of rows that a search has, or would have;
        means over pairs and shuffles. Test rows are not looked at.
        """
        spans, pairs = dict(self.column_groups), self.searches or self._inner_folds()
        if not spans:
            own: dict[str, float] = next(iter(self.model.facts.get("importances", {}).values()), {})
            named = sorted(own, key=own.__getitem__, reverse=True)[:MOST_SHUFFLED] or self.columns
            spans = {name: (at := self.columns.index(name), at + 1) for name in named}
        lost = dict.fromkeys(spans, 0.0)
        state = np.random.RandomState(self.task["seed"])
        for pair, (fit, judge) in enumerate(pairs):
            seen = self._seen_by_a_fit(fit)
            self._normalise_by(seen)
            model = self._build(self.chosen)
            model.fit(self.examples(seen, with_classes=True), None, self.context_of(f"permuted-{pair}"))
            whole = self.examples(judge)
            score = self._score(judge, model.predict(whole))
            orders = [state.permutation(len(judge)) for _ in range(SHUFFLES)]
            for name, (start, stop) in spans.items():
                for order in orders:
                    values = whole.values.copy()
                    values[:, start:stop] = whole.values[order, start:stop]
                    left = self._score(judge, model.predict(replace(whole, values=values)))
                    lost[name] += (score - left) / (SHUFFLES * len(pairs))
        return lost

    def predict(self, rows: Rows) -> Prediction:
        """Return the fitted model's answer for ``rows``, one label each."""
        return checked(self.model.predict(self.examples(rows)), len(rows), self.context.n_classes)

    def keep(self, folder: Path, test: Prediction) -> dict[str, Any]:
        """Save the fitted model; return how its inputs are normalised.

        What was saved is read back, and has to answer as the model does.

        Args:
            folder: Not there yet.
            test: What the model says of the test rows.

        Raises:
            UsageError: If the model's class can't be saved, or what is read back answers otherwise.
        """
        model: Any = self.model
        if not (hasattr(model, "save") and hasattr(model, "load")):
            raise UsageError(f"{type(model).__name__} has no save and load")
        folder.mkdir()
        model.save(folder)
        again: Any = self._build(self.chosen)
        again.load(folder)
        found = checked(again.predict(self.examples(self.test)), len(self.test), self.context.n_classes)
        if not _alike(test, found, self.context.device == "cpu"):
            raise UsageError("what was saved answers otherwise than what was fitted")
        return {"normaliser": self.normaliser.to_plain()}

    def examples(self, rows: Rows, *, with_classes: bool = False) -> Examples:
        """Return ``rows`` as the model sees them: normalised, and without what is to be predicted when predicting."""
        told: dict[str, Any] = {}
        if with_classes and self.ratings is not None:
            told = {"ratings": self.ratings[rows].astype(np.float32), "speakers": self.speakers[rows]}
        elif with_classes:
            soft = None if self.distributions is None else self.distributions[rows]
            told = {"classes": self.classes[rows], "distributions": soft, "speakers": self.speakers[rows]}
        if self.offsets is None:
            values = self.normaliser.apply(self.values[rows], self.groups[rows])
            return Examples(values=values, columns=self.columns, groups=self.column_groups, **told)
        return Examples.of_frames(
            self.values,
            self.columns,
            self.offsets,
            groups=self.column_groups,
            rows=rows,
            transform=lambda frames, row: self.normaliser.apply(frames, np.full(len(frames), self.groups[row])),
            **told,
        )

    def laid_out(self, row: int) -> NDArray[np.float32]:
        """Return the laid-out values of the utterance at ``row``, shape (n_frames, n_columns); 1 for vectors."""
        start, end = (row, row + 1) if self.offsets is None else self.offsets[row : row + 2]
        return self.values[start:end]

    def one(self, values: NDArray[np.float32], row: int) -> Examples:
        """Return freshly extracted values of the utterance at ``row`` as examples of length 1."""
        group = np.full(len(values), self.groups[row])
        normalised = self.normaliser.apply(values, group)
        if self.offsets is None:
            return Examples(values=normalised, columns=self.columns, groups=self.column_groups)
        offsets = np.array([0, len(values)], dtype=np.int64)
        return Examples.of_frames(normalised, self.columns, offsets, groups=self.column_groups)

    @property
    def groups(self) -> Rows:
        return self.speakers if self.task["normalise"] == "speaker" else self.corpora

    def _normalise_by(self, rows: Rows) -> None:
        kind, values, groups = self.task["normalise"], self.values, np.where(self.parents < 0, self.groups, -1)
        if kind == "all":  # utterances alone, as in the groups: children stand behind them
            n = int((self.parents < 0).sum())
            values = values[: n if self.offsets is None else self.offsets[n]]
        self.normaliser = Normaliser.fit(kind, values, self.offsets, rows, groups)

    def _build(self, chosen: dict[str, Any]) -> Model:
        module, _, name = self.task["factory"].partition(":")
        factory = getattr(importlib.import_module(module), name)
        return factory(**{**self.task["params"], **chosen})

    def _permute_training_labels(self) -> None:
        """Shuffle the labels of the training speakers among each speaker's own rows: the canary."""
        state = np.random.RandomState(self.task["seed"])
        order = np.arange(len(self.classes))
        rows = np.union1d(self.train, self.dev)
        for speaker in np.unique(self.speakers[rows]):
            own = rows[self.speakers[rows] == speaker]
            order[own] = state.permutation(own)
        order = np.where(self.parents < 0, order, order[self.parents])
        self.classes = self.classes[order]
        self.ratings = None if self.ratings is None else self.ratings[order]
        self.distributions = None if self.distributions is None else self.distributions[order]

    def _seed_everything(self) -> None:
        random.seed(self.task["seed"])
        np.random.seed(self.task["seed"])


_SIDES = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A point of a search: per pair of rows its primary score, what the model chose itself, and what it predicted."""

    params: dict[str, Any]
    scores: list[float]
    found: list[dict[str, Any]]
    labels: list[NDArray[Any]]

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))


def _settled(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what models on several inner folds chose as one choice: of numbers the (lower) median, else the mode."""
    choices = {name: [one[name] for one in found if name in one] for one in found for name in one}
    return {
        name: median_low(values) if all(isinstance(v, int | float) for v in values) else mode(values)
        for name, values in choices.items()
    }


def checked(prediction: Prediction, n: int, n_classes: int) -> Prediction:
    """Return a model's answer for ``n`` rows as it is.

    Raises:
        ValueError: If it breaks the contract.
    """
    if not n_classes:
        ratings = np.asarray(prediction.answers)
        if prediction.ratings is None or ratings.shape != (n,) or not np.isfinite(ratings).all():
            raise ValueError(f"predict returned no finite number for each of {n} utterances: {ratings.shape}")
        return prediction
    labels = np.asarray(prediction.labels)
    if labels.shape != (n,):
        raise ValueError(f"predict returned labels of shape {labels.shape} for {n} utterances")
    if not np.issubdtype(labels.dtype, np.integer) or (n and (labels.min() < 0 or labels.max() >= n_classes)):
        raise ValueError(f"predict returned labels outside 0..{n_classes - 1} (dtype {labels.dtype})")
    if prediction.scores is not None:
        scores = np.asarray(prediction.scores)
        if scores.shape != (n, n_classes):
            raise ValueError(f"predict returned scores of shape {scores.shape}, ({n}, {n_classes}) expected")
        if not np.isfinite(scores).all():
            raise ValueError("predict returned scores that are not finite")
    return prediction


def _alike(one: Prediction, other: Prediction, on_cpu: bool) -> bool:
    """Whether two answers are the same but for rounding, which on another device is coarser."""
    if one.ratings is not None and other.ratings is not None:
        return np.allclose(one.ratings, other.ratings, rtol=0, atol=1e-6 if on_cpu else 1e-2)
    if one.scores is None or other.scores is None:
        return one.scores is other.scores and np.array_equal(one.labels, other.labels)
    close = np.allclose(one.scores, other.scores, rtol=0, atol=1e-6 if on_cpu else 1e-2)
    return close and (not on_cpu or np.array_equal(one.labels, other.labels))


def _measure_latency(cell: _Cell, latency: dict[str, Any]) -> dict[str, Any]:
    """Time decode, features and predict of single utterances, after a warm-up; milliseconds per call and part.

    Where a worker of another environment has ``extracted`` them, that time counts, and the laid-out values are taken.
    """
    items, extracted = latency["items"], latency.get("extracted")
    samples = []
    total_s = 0.0
    for turn, item in enumerate([items[0]] * WARM_UP + items):
        if extracted:
            values, parts = cell.laid_out(item[0]), extracted[max(turn - WARM_UP, 0)]
        else:
            values, parts = _extract_one(latency, item)
        start = time.perf_counter()
        cell.model.predict(cell.one(values, item[0]))
        if turn >= WARM_UP:
            samples.append([*parts[:2], (time.perf_counter() - start) * 1000.0])
            total_s += parts[2]
    return {"samples_ms": samples, "audio_s": total_s}


def time_extraction(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    """Time decode and features of single utterances, for a model whose own environment can do neither."""
    latency = task["latency"]
    samples = [_extract_one(latency, item)[1] for item in [latency["items"][0]] * WARM_UP + latency["items"]]
    return {"samples": samples[WARM_UP:]}


def _extract_one(latency: dict[str, Any], item: list[Any]) -> tuple[NDArray[np.float32], list[float]]:
    """Return one utterance's values, and the milliseconds of decoding and of the features, and its seconds."""
    from ser_bench.audio import AudioSource, decode
    from ser_bench.features.contract import Analysis
    from ser_bench.registry import load

    feature_set = load("features", latency["features"])
    source = AudioSource(path=os.fsdecode(item[1]), start_s=item[2], end_s=item[3])
    start = time.perf_counter()
    samples, rate = decode(source, latency["sample_rate_hz"])
    decoded = time.perf_counter()
    values = feature_set(Analysis(samples, rate))
    done = time.perf_counter()
    return values.reshape(-1, values.shape[-1]), [
        (decoded - start) * 1000.0,
        (done - decoded) * 1000.0,
        len(samples) / rate,
    ]


def probe_speakers(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    """Tell speakers by a linear discriminant on a laid-out feature set; see :mod:`ser_bench.probe`."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    with np.load(task["data"], allow_pickle=False) as data:
        speakers, part = data["speakers"], data["part"]
    values = np.load(task["values"], mmap_mode="r", allow_pickle=False)
    if task["offsets"]:
        offsets = np.load(task["offsets"], allow_pickle=False)
        spans = [values[start:end] for start, end in pairwise(offsets)]
        values = np.stack([np.concatenate([span.mean(axis=0), span.std(axis=0)]) for span in spans])
    answers = np.full(len(part), -1, dtype=np.int64)
    for number in range(part.max() + 1):
        train, test = np.flatnonzero((part >= 0) & (part != number)), np.flatnonzero(part == number)
        normaliser = Normaliser.fit("standard", values, None, train, speakers)
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        model.fit(normaliser.apply(values[train], speakers[train]), speakers[train])
        answers[test] = model.predict(normaliser.apply(values[test], speakers[test]))
    tested = part >= 0
    return {"uar": unweighted_average_recall(speakers[tested], answers[tested])}


_TASKS: dict[str, Callable[[dict[str, Any], Report], dict[str, Any]]] = {
    "facts": decode_facts,
    "features": extract_features,
    "cell": run_cell,
    "extraction": time_extraction,
    "probe": probe_speakers,
}
