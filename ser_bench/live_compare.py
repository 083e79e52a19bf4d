"""Two installations of ser-bench asked by turns on this machine, so that whatever slows it down slows both.

Each asks its own run's saved model (``ser-bench run --keep-models``) about the same sound files, in a process of its
own interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import pandas as pd

from ser_bench import latency_compare, model_files
from ser_bench.audio import AudioSource, decode
from ser_bench.errors import DataError, PrerequisiteError
from ser_bench.model_files import folder_name
from ser_bench.pool import PINNED
from ser_bench.predictions import read_answers
from ser_bench.prepare import Workshop, open_corpus
from ser_bench.records import UTTERANCES, Latency, RunRecord, Timing
from ser_bench.timing import HURRY, MOST_ROUNDS, PATIENCE, WARM_UP

BUDGET_S = 10.0
"""Seconds of calls in one measurement, though each sound is asked about at least once."""

N_SOUNDS = 20

_WORKER = Path(__file__).with_name("live_worker.py")
"""Run by path: of the base's interpreter nothing but ``ser_bench.predicting`` is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One side: an interpreter with its own ser-bench, and a model that it has saved.

    Attributes:
        python: The interpreter.
        model: The folder of the saved model.
        trust_code: Whether a class that the model names by its import path may be run.
    """

    python: Path
    model: Path
    trust_code: bool = False


def live_latency(
    base: Installation,
    head: Installation,
    sounds: Sequence[str],
    timings: tuple[Timing, Timing],
    margins: Mapping[str, float],
    *,
    confidence: float = 0.95,
    budget_s: float = BUDGET_S,
) -> tuple[Timing, Timing]:
    """Return the timings of both sides with latencies that were measured by turns, here and now.

    Where a margin is broken, both are started and measured again, and the second measurement is returned: a gate that
    judges it fails only if two measurements agree.

    Args:
        base: What is held against.
        head: What is judged.
        sounds: Paths of sound files.
        timings: What is stored of base and head; all but latency and real-time factor is kept.
        margins: Metric -> the share by which the head may be slower; see :data:`latency_compare.METRICS`.
        confidence: Of the bounds.
        budget_s: Seconds of calls per measurement.

    Raises:
        PrerequisiteError: If an interpreter does not run, or a model can't be loaded in it.
        DataError: If a sound can't be answered for.
    """
    for _ in range(2):
        measured = _measure(base, head, sounds, timings, budget_s)
        verdicts = [
            latency_compare.compare_latency(*measured, metric=metric, margin=margin, confidence=confidence).verdict
            for metric, margin in margins.items()
        ]
        if "worse" not in verdicts:
            break
    return measured


def saved_model(folder: Path, record: RunRecord) -> Path:
    """Return where a run keeps the model of a row: of its first fold and seed, which the solo pass times too.

    Raises:
        PrerequisiteError: If it does not.
    """
    fold = f"{folder_name(record.folds[0].fold_id)}-seed{record.seeds[0]}" if record.folds else "?"
    model = folder / model_files.FOLDER / folder_name(record.row) / fold
    if not (model / model_files.FILE).is_file():
        raise PrerequisiteError(
            f"{folder} keeps no model of {record.row}",
            hint=f"ser-bench run --suite {record.suite.name} … --keep-models",
        )
    return model


def timed_sounds(folder: Path, record: RunRecord, data: str | None, workshop: Workshop, scratch: Path) -> list[str]:
    """Return sound files of tested utterances of a row, spread evenly; what is a part of a file is cut into scratch.

    Args:
        folder: The run folder.
        record: The row.
        data: As for ``--data``.
        workshop: For corpora that are made or unpacked first.
        scratch: Takes the files that are cut.

    Raises:
        PrerequisiteError: If a corpus is not there.
        DataError: If the run's utterance table lacks tested utterances.
    """
    tested = sorted(read_answers(folder, record).utterance_ids.tolist())
    wanted = [tested[at] for at in np.unique(np.linspace(0, len(tested) - 1, N_SOUNDS).round().astype(int))]
    table = pd.read_parquet(folder / UTTERANCES).set_index("utterance_id")
    if not set(wanted) <= set(table.index):
        raise DataError(f"{folder / UTTERANCES}: tested utterances are missing", hint="the run again")
    table = table.loc[wanted]
    roots = {name: open_corpus(name, data, workshop)[1] for name in sorted(set(table["corpus"]))}
    return [_sound(roots[row["corpus"]], row, scratch / f"{at}.wav") for at, (_, row) in enumerate(table.iterrows())]


def _sound(root: Path, row: pd.Series[Any], cut: Path) -> str:
    path = str(root / row["path"])
    start_s, end_s = row.get("start_s"), row.get("end_s")
    if pd.isna(start_s):
        return path
    import soundfile

    samples, rate_hz = decode(AudioSource(path=path, start_s=start_s, end_s=None if pd.isna(end_s) else end_s))
    soundfile.write(cut, samples, rate_hz, subtype="FLOAT")
    return str(cut)


def _measure(
    base: Installation, head: Installation, sounds: Sequence[str], timings: tuple[Timing, Timing], budget_s: float
) -> tuple[Timing, Timing]:
    """Ask by turns, either side first every other time. Such calls need no probe: theirs are all 1 ms."""
    samples: tuple[list[float], list[float]] = ([], [])
    with _serving(base, timings[0].threads) as one, _serving(head, timings[1].threads) as other:
        for _ in range(WARM_UP):
            for side in (one, other):
                side.ask(sounds[0])
        start = time.perf_counter()
        for number in range(1, MOST_ROUNDS + 1):
            for at, sound in enumerate(sounds):
                sides = ((one, samples[0]), (other, samples[1]))
                for side, found in sides if (at + number) % 2 else sides[::-1]:
                    found.append(side.ask(sound))
            own_s = sum(map(sum, samples)) / 1000.0
            if max(own_s, (time.perf_counter() - start) / HURRY) * (number + 1) / number > budget_s:
                break
    probe_ms = [1.0] * len(samples[0])
    seconds = [len(samples) / rate_hz for samples, rate_hz in (decode(AudioSource(path=path)) for path in sounds)]
    return (
        _with_latency(timings[0], samples[0], probe_ms, seconds),
        _with_latency(timings[1], samples[1], probe_ms, seconds),
    )


def _with_latency(timing: Timing, samples: list[float], probe_ms: list[float], seconds: list[float]) -> Timing:
    latency = Latency(
        n=len(samples),
        n_utterances=len(seconds),
        p50_ms=float(np.median(samples)),
        p95_ms=float(np.percentile(samples, 95)),
        decode_ms=0.0,
        features_ms=0.0,
        predict_ms=0.0,
        audio_s=sum(seconds),
        samples_ms=tuple(samples),
        probe_ms=tuple(probe_ms),
    )
    return msgspec.structs.replace(timing, latency=latency, rtf=latency.work_s / latency.audio_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    process: subprocess.Popen[str]
    said: IO[str]

    def ask(self, sound: str) -> float:
        """Return the milliseconds of an answer, asked for again where the system interrupted it."""
        assert self.process.stdin is not None
        for _ in range(PATIENCE):
            with suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps(sound) + "\n")
                self.process.stdin.flush()
            told = self.answer()
            if "error" in told:
                raise DataError(f"{sound}: {told['error']}")
            if not told["interrupted"]:
                break
        return float(told["ms"])

    def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.said.seek(0)
            last = (self.said.read().strip().splitlines() or ["it ended without a word"])[-1]
            raise PrerequisiteError(
                f"no live timing: {last}", hint="a ser-bench that can predict, and a model that it has saved itself"
            )
        return dict(json.loads(line))


@contextmanager
def _serving(side: Installation, threads: int) -> Iterator[_Server]:
    command = [str(side.python), "-I", str(_WORKER), str(side.model), "trust" if side.trust_code else "safe"]
    env = os.environ | dict.fromkeys(PINNED, str(threads))
    with tempfile.TemporaryFile("w+") as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, env=env
            )
        except OSError as error:
            raise PrerequisiteError(f"{side.python}: {error.strerror}", hint="--base-python VENV/bin/python") from None
        try:
            server = _Server(process=process, said=said)
            server.answer()
            yield server
        finally:
            process.kill()
            process.communicate()
