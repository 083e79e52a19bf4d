"""The process side of a task: decode, extract, or fit and predict one cell. Serves until its channel closes.

A worker imports the standard library, numpy and what its task names, nothing else, and it is told everything
by messages of plain types and by ``.npy``/``.npz`` files.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import SerBenchError
from ser_bench.fold_fit import FoldFit, Report
from ser_bench.metrics import unweighted_average_recall
from ser_bench.normalise import Normaliser
from ser_bench.timing import (
    EnergyMeter,
    Phases,
    milliseconds,
    peak_gpu_mib,
    peak_mib,
    reset_peak,
    resident_mib,
    sample_batches,
    sample_calls,
)

LATENCY_BUDGET_S = 4.0
"""Seconds that the latency samples of a row may take, though each utterance is asked about at least once."""

BATCH_BUDGET_S = 1.0
"""Seconds that a row's batches may take, though there are at least three of them."""


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
        return _run_cell(task, FoldFit(task, Path(scratch), progress), Path(scratch))


def _run_cell(task: dict[str, Any], cell: FoldFit, scratch: Path) -> dict[str, Any]:
    cell.load()
    if task.get("latency") and "extracted" not in task["latency"]:  # it shall not lie in later rows' peaks only
        _extract_one(task["latency"], task["latency"]["items"][0])
    reset_peak()
    phases, energy = Phases(), EnergyMeter()
    with energy, phases.measure("fit"):
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
            "peak_gpu_mib": peak_gpu_mib(task["device"]),
            "energy_j": energy.joules,
        },
    }
    if cell.dev_curve:
        meta["facts"]["dev_curve"] = _plain(cell.dev_curve)
    kept = {"kept": _outcome(lambda: cell.keep(Path(task["keep"]), test))} if task.get("keep") else {}
    if task.get("size"):
        meta["disk_bytes"] = _outcome(lambda: {"n": cell.saved_bytes(scratch / "saved")}).get("n")
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
    if task.get("stress"):
        meta["stress"] = [name for name, *_ in task["stress"]["conditions"]]
        arrays |= _under_stress(cell, task["stress"])
    write_cell(Path(task["out"]), arrays, meta)
    shutil.rmtree(cell.checkpoints, ignore_errors=True)
    return {"meta": meta, **kept}


def _under_stress(cell: FoldFit, stress: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return what the fitted model says of the test rows under each condition; last, so that it can change nothing."""
    rows = np.load(stress["rows"], allow_pickle=False)
    arrays = {}
    for index, (_, values, offsets) in enumerate(stress["conditions"]):
        found = cell.predict_stressed(rows, values, offsets)
        arrays[f"stress_{index}_labels"] = found.answers
        if found.scores is not None:
            arrays[f"stress_{index}_scores"] = np.asarray(found.scores, dtype=np.float64)
    return arrays


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


def _measure_latency(cell: FoldFit, latency: dict[str, Any]) -> dict[str, Any]:
    """Time decode, features and predict of single utterances, and of all in a batch; milliseconds per call and part.

    Where a worker of another environment has ``extracted`` them, that time counts, the laid-out values are taken, and
    there is no batch.
    """
    items, extracted = latency["items"], latency.get("extracted")

    def ask(index: int) -> list[float]:
        row = items[index][0]
        values, parts = (cell.laid_out(row), []) if extracted else _extract_one(latency, items[index])
        return [*parts[:2], milliseconds(lambda: cell.model.predict(cell.fresh([values], [row])))]

    def ask_all() -> None:
        values = [_extract_one(latency, item)[0] for item in latency["batch"]]
        cell.model.predict(cell.fresh(values, [item[0] for item in latency["batch"]]))

    found = asdict(sample_calls(ask, len(items), LATENCY_BUDGET_S))
    if extracted:
        both = list(zip(extracted["samples_ms"], found["samples_ms"], strict=False))  # the slower one has fewer rounds
        samples = [[*one, *other] for one, other in both]
        probe_ms = [(one + other) / 2 for one, other in zip(extracted["probe_ms"], found["probe_ms"], strict=False)]
        return {**extracted, "samples_ms": samples, "probe_ms": probe_ms}
    batched = {"size": len(latency["batch"]), "samples_ms": sample_batches(ask_all, BATCH_BUDGET_S)}
    return {**found, **_heard(latency), "batched": batched}


def time_extraction(task: dict[str, Any], progress: Report) -> dict[str, Any]:
    """Time decode and features of single utterances, for a model whose own environment can do neither."""
    latency, items = task["latency"], task["latency"]["items"]
    found = sample_calls(lambda at: _extract_one(latency, items[at])[1][:2], len(items), LATENCY_BUDGET_S)
    return {**asdict(found), **_heard(latency)}


def _heard(latency: dict[str, Any]) -> dict[str, Any]:
    seconds = [_extract_one(latency, item)[1][2] for item in latency["items"]]
    return {"n_utterances": len(seconds), "audio_s": sum(seconds)}


def _extract_one(latency: dict[str, Any], item: list[Any]) -> tuple[NDArray[np.float32], list[float]]:
    """Return one utterance's values, and the milliseconds of decoding and of the features, and its seconds."""
    from ser_bench.audio import AudioSource, decode
    from ser_bench.features.contract import Analysis
    from ser_bench.registry import load

    feature_set = load("features", latency["features"])
    source = AudioSource(path=os.fsdecode(item[1]), start_s=item[2], end_s=item[3])
    found: list[Any] = []
    decode_ms = milliseconds(lambda: found.extend(decode(source, latency["sample_rate_hz"])))
    samples, rate_hz = found
    features_ms = milliseconds(lambda: found.append(feature_set(Analysis(samples, rate_hz))))
    values = found[-1]
    return values.reshape(-1, values.shape[-1]), [decode_ms, features_ms, len(samples) / rate_hz]


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
