"""Live comparison: two interpreters asked by turns, the slower one found, measured twice; what can't serve says so."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_bench.errors import DataError, PrerequisiteError
from ser_bench.latency_compare import compare_latency
from ser_bench.live_compare import Installation, _sound, live_latency, saved_model
from ser_bench.records import RunRecord, Timing, read_records
from tests.small_corpus import RATE_HZ, write_small_corpus, write_suite

SLOW = """\
import runpy, sys, time
from ser_bench import predicting

asked = predicting.ask
open({log!r}, "a").write("started\\n")

def ask(model, path):
    start = time.thread_time()
    answer = asked(model, path)
    end = time.thread_time() + 2 * (time.thread_time() - start)
    while time.thread_time() < end:
        pass
    return answer

predicting.ask = ask
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    root = tmp_path_factory.mktemp("live")
    write_small_corpus(root / "data" / "small")
    suite = write_suite(root / "suite.toml", models='"logreg"')
    places = ["--data", str(root / "data"), "--store", str(root / "store"), "--out", str(root / "out")]
    line = [sys.executable, "-m", "ser_bench", "run", "--suite", str(suite), *places, "--jobs", "1", "--json"]
    done = subprocess.run([*line, "--keep-models"], capture_output=True, text=True, timeout=300, check=True)
    folder = Path(json.loads(done.stdout)["out"])
    return folder, read_records(folder)[0]


@pytest.fixture
def ours(run: tuple[Path, RunRecord]) -> Installation:
    return Installation(python=Path(sys.executable), model=saved_model(*run))


@pytest.fixture
def sounds(run: tuple[Path, RunRecord]) -> list[str]:
    return sorted(map(str, (run[0].parents[1] / "data" / "small").glob("*.wav")))[:5]


def stored(run: tuple[Path, RunRecord]) -> Timing:
    assert run[1].timing is not None
    return run[1].timing


def test_both_sides_are_asked_by_turns_and_share_their_probes(run, ours, sounds):
    base, head = live_latency(ours, ours, sounds, (stored(run), stored(run)), {}, budget_s=2)
    assert base.latency and head.latency
    assert base.latency.probe_ms == head.latency.probe_ms
    n = len(base.latency.samples_ms)
    assert n == len(head.latency.samples_ms) == len(base.latency.probe_ms) and n % 5 == 0 and n >= 10
    assert base.latency.audio_s == pytest.approx(sum(soundfile.info(path).duration for path in sounds))
    assert (base.fit_s, base.cell) == (stored(run).fit_s, stored(run).cell)
    assert compare_latency(base, head, metric="latency_ms_p50", margin=1.0).verdict == "ok"


def test_a_slower_installation_is_found_and_measured_again_before_it_fails(run, ours, sounds, tmp_path):
    log = tmp_path / "log"
    (tmp_path / "slow.py").write_text(SLOW.format(log=str(log)))
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I {tmp_path / "slow.py"} "$@"\n')
    wrapper.chmod(0o755)
    slow = replace(ours, python=wrapper)
    margins = {"latency_ms_p50": 0.5}
    timings = live_latency(ours, slow, sounds, (stored(run), stored(run)), margins, budget_s=3)
    found = compare_latency(*timings, metric="latency_ms_p50", margin=0.5)
    assert found.verdict == "worse" and found.ratio is not None and 2 < found.ratio < 4.5
    assert log.read_text() == "started\n" * 2


def test_who_cannot_serve_says_why(run, ours, sounds, tmp_path):
    timings = (stored(run), stored(run))
    with pytest.raises(PrerequisiteError, match="No such file"):
        live_latency(replace(ours, python=tmp_path / "no-python"), ours, sounds, timings, {})
    with pytest.raises(PrerequisiteError, match="no live timing"):
        live_latency(replace(ours, model=tmp_path), ours, sounds, timings, {})
    (tmp_path / "noise.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match="noise"):
        live_latency(ours, ours, [str(tmp_path / "noise.wav")], timings, {})
    with pytest.raises(PrerequisiteError, match="keeps no model of logreg"):
        saved_model(tmp_path, run[1])
    with pytest.raises(PrerequisiteError, match="keeps no model of other"):
        saved_model(run[0], msgspec.structs.replace(run[1], row="other"))


def test_a_part_of_a_file_is_cut_out(tmp_path):
    samples = np.arange(3 * RATE_HZ, dtype=np.float32) / (4 * RATE_HZ)
    soundfile.write(tmp_path / "whole.wav", samples, RATE_HZ, subtype="FLOAT")
    row = pd.Series({"path": "whole.wav", "start_s": 1.0, "end_s": 1.5})
    cut, rate_hz = soundfile.read(_sound(tmp_path, row, tmp_path / "cut.wav"), dtype="float32")
    assert rate_hz == RATE_HZ
    assert np.array_equal(cut, samples[RATE_HZ : RATE_HZ * 3 // 2])
    assert _sound(tmp_path, pd.Series({"path": "whole.wav", "start_s": None}), tmp_path / "x.wav").endswith("whole.wav")
