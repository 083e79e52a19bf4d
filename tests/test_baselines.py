"""Baselines: small, strict, paired with later runs; and pytest-benchmark's files in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from ser_bench.baseline_files import machine_label, make_baseline, read_baseline, unpack, write_baseline
from ser_bench.benchmark_files import (
    FIELDS,
    benchmarks_of,
    compare_benchmarks,
    is_benchmark_file,
    read_benchmarks,
    summary,
)
from ser_bench.cli import main
from ser_bench.compare import COSTS, compare, read_side
from ser_bench.errors import DataError, UsageError
from ser_bench.gate import Comparison, parse_margins
from ser_bench.records import decode, encode, read_records
from tests import report_records
from tests.made_up_runs import answers, spoilt, write_rating_run, write_run
from tests.processes import python

BASE = answers()


def kept(run: Path, label: str | None = "ci") -> Path:
    path = run.parent / "baseline.json"
    write_baseline(path, make_baseline(run, read_records(run), label))
    return path


def gated(base: Path, head: Path, *margins: str) -> Comparison:
    return compare(read_side(base), read_side(head), parse_margins(margins, COSTS))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", {"svm": [BASE, answers(3)], "lda": [answers(1)] * 2})


def test_a_baseline_gives_every_answer_back(run: Path) -> None:
    baseline, records = read_baseline(kept(run))
    assert [record.row for record in records] == ["svm", "lda"]
    assert np.array_equal(unpack(baseline.rows[0], records[0], 1440), [BASE, answers(3)])


def test_a_baseline_compares_as_the_run_that_it_was_made_of(run: Path) -> None:
    head = write_run(run.parent / "head", {"svm": [spoilt(BASE, 0.04), answers(3)], "lda": [answers(7)] * 2})
    margins = ("uar:-0.01", "macro_f1:-0.01", "peak_mib:+10%")
    assert gated(kept(run), head, *margins).checks == gated(run, head, *margins).checks
    assert gated(kept(run), run, "uar:-0").passed


def test_numbers_equal_but_for_float32_are_no_difference(tmp_path: Path) -> None:
    truth = np.random.RandomState(0).randn(240)
    run = write_rating_run(tmp_path / "run", [truth + 0.3 * np.random.RandomState(1).randn(240)], truth)
    (check,) = gated(kept(run), run, "ccc:-0").checks
    assert (check.difference, check.verdict) == (0.0, "ok")


def test_a_baseline_of_1440_utterances_and_10_rows_is_small(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {f"row-{i}": [answers(i)] for i in range(10)})
    for path in (run / "records").glob("*.json"):
        record = decode(path.read_bytes())
        samples = tuple(np.random.gamma(9, 3, 400).tolist())
        latency = replace(record.timing.latency, samples_ms=samples, probe_ms=samples)
        path.write_bytes(encode(replace(record, timing=replace(record.timing, latency=latency))))
    assert kept(run).stat().st_size < 90_000


def test_the_same_run_gives_the_same_baseline(run: Path) -> None:
    assert kept(run).read_bytes() == kept(run).read_bytes()


def test_rows_without_scores_are_kept_as_such(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"svm": [BASE]})
    failed = report_records.unscored("cnn", "failed", "out of memory")
    (run / "records" / "001.json").write_bytes(encode(failed))
    baseline, records = read_baseline(kept(run))
    assert [(row.predicted == (), record.status) for row, record in zip(baseline.rows, records, strict=True)] == [
        (False, "ok"),
        (True, "failed"),
    ]
    assert gated(kept(run), run, "uar:-0").passed


def test_setting_a_baseline_says_which_rows_nothing_is_held_against(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", {"svm": [BASE]})
    (run / "records" / "001.json").write_bytes(encode(report_records.unscored("cnn", "failed", "out of memory")))
    assert main(["baseline", "set", str(run), "--to", str(tmp_path)]) == 0
    assert "cnn: failed, so nothing will be held against it" in capsys.readouterr().err


def test_a_run_without_scores_is_no_baseline(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"svm": [BASE]}, status="failed", reason="no")
    with pytest.raises(DataError, match="no row has scores"):
        make_baseline(run, read_records(run))


@pytest.mark.parametrize(
    ("cpu", "label"),
    [
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-64-core-processor-2cpu"),
        ("Intel(R) Xeon(R) CPU @ 2.60GHz", "intel-xeon-2cpu"),
        ("", "unknown-2cpu"),
    ],
)
def test_the_machines_label_is_a_file_name(cpu: str, label: str) -> None:
    assert machine_label(replace(report_records.environment(), cpu=cpu)) == label


@pytest.mark.parametrize("label", ["../x", "a b", "", "-x", "x" * 200])
def test_a_label_that_is_no_file_name_is_refused(run: Path, label: str) -> None:
    with pytest.raises(UsageError, match="--label"):
        make_baseline(run, read_records(run), label)


# what was tampered with


def changed(path: Path, change: Any) -> Path:
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    return path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda raw: raw.update(schema_version=99), "reads 1 to 1"),
        (lambda raw: raw.update(schema_version=0), "reads 1 to 1"),
        (lambda raw: raw.update(extra=1), "unknown field"),
        (lambda raw: raw.update(rows=[]), "no rows"),
        (lambda raw: raw["rows"][0]["record"].update(extra=1), "unknown field"),
        (lambda raw: raw["shared"].update(suite=3), "Expected `object`"),
        (lambda raw: raw["rows"][0].update(predicted=[3]), "Expected `str`"),
    ],
)
def test_a_baseline_is_read_strictly(run: Path, change: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_baseline(changed(kept(run), change))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda row: row.update(predicted=[row["predicted"][0][1:], row["predicted"][1]]), "answers per seed"),
        (lambda row: row.update(predicted=row["predicted"][:1]), "of 2 seeds expected"),
        (lambda row: row.update(predicted=["z" * 1440] * 2), "damaged"),
        (lambda row: row.update(predicted=["é" * 1440] * 2), "damaged"),
        (lambda row: row.update(predicted=["0" * 1440] * 2), "stored score"),
    ],
)
def test_answers_that_do_not_give_the_stored_score_are_refused(run: Path, change: Any, complaint: str) -> None:
    path = changed(kept(run), lambda raw: change(raw["rows"][0]))
    with pytest.raises(DataError, match=complaint):
        gated(path, run, "uar:-0.02")


def test_a_file_that_is_no_json_exits_4(run: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    assert main(["compare", str(tmp_path / "broken.json"), str(run)]) == 4


def test_a_baseline_can_only_be_held_against_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run), str(kept(run))]) == 2
    assert "HEAD has to be a run folder" in capsys.readouterr().err


# the verb


def test_the_verb_sets_lists_and_shows(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = run.parent / "baselines"
    assert main(["baseline", "set", str(run), "--to", str(to), "--json"]) == 0
    path = Path(json.loads(capsys.readouterr().out)["path"])
    assert path == to / "demo-example-2cpu.json" and path.is_file()
    assert main(["baseline", "list", "--to", str(to), "--json"]) == 0
    assert [one["path"] for one in json.loads(capsys.readouterr().out)["baselines"]] == [str(path)]
    assert main(["baseline", "show", str(path)]) == 0
    assert "svm" in capsys.readouterr().out
    assert main(["compare", str(path), str(run), "--fail-on", "uar:-0"]) == 0


@pytest.mark.parametrize("words", [("set",), ("show",)])
def test_the_verb_needs_a_path(words: tuple[str, ...]) -> None:
    assert main(["baseline", *words]) == 2


# pytest-benchmark


def benchmark_file(path: Path, rounds: dict[str, list[float]], **machine: Any) -> Path:
    info = {"machine": "x86_64", "cpu": {"brand_raw": "Example CPU", "count": 2}, "python_version": "3.11.9", **machine}
    benchmarks = [{"fullname": name, "name": name, "stats": summary(data)} for name, data in rounds.items()]
    path.write_text(json.dumps({"machine_info": info, "commit_info": {}, "benchmarks": benchmarks}))
    return path


def noisy(seed: int, scale: float = 1.0, n: int = 30) -> list[float]:
    return (scale * (0.01 + 0.0002 * np.random.RandomState(seed).rand(n))).tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 30])
def test_the_statistics_are_those_of_pytest_benchmark(n: int) -> None:
    stats = pytest.importorskip("pytest_benchmark.stats", reason="pip install '.[dev]'")
    theirs = stats.Stats()
    for one in noisy(n, n=n):
        theirs.update(one)
    assert {name: summary(noisy(n, n=n))[name] for name in theirs.fields} == pytest.approx(theirs.as_dict())


def test_a_slower_benchmark_fails_and_an_equal_one_does_not(tmp_path: Path) -> None:
    base = benchmark_file(tmp_path / "base.json", {"a": noisy(0), "b": noisy(1)})
    head = benchmark_file(tmp_path / "head.json", {"a": noisy(2), "b": noisy(3, 1.3)})
    margins = parse_margins(["median:+15%", "mean:+15%"], FIELDS, ())
    found = compare_benchmarks(base, head, margins)
    assert [(c.row, c.verdict) for c in found.checks] == [("a", "ok"), ("a", "ok"), ("b", "worse"), ("b", "worse")]
    assert found.checks[2].low == pytest.approx(0.3, abs=0.02)
    assert main(["compare", str(base), str(head), "--fail-on", "median:+15%"]) == 1
    assert main(["compare", str(base), str(head), "--fail-on", "median:+50%"]) == 0
    assert main(["compare", str(base), str(head), "--fail-on", "uar:-0.02"]) == 2
    new = benchmark_file(tmp_path / "new.json", {"a": noisy(2), "b": noisy(1), "c": noisy(0)})
    assert main(["compare", str(base), str(new), "--fail-on", "median:+50%"]) == 0
    assert main(["compare", str(base), str(new), "--fail-on", "median:+50%", "--row", "a", "--row", "c"]) == 1


def test_another_machines_benchmarks_are_not_comparable(tmp_path: Path) -> None:
    base = benchmark_file(tmp_path / "base.json", {"a": noisy(0)})
    margins = parse_margins(["median:+900%"], FIELDS, ())
    for machine in ({"cpu": {"brand_raw": "Other", "count": 2}}, {"cpu": {}, "node": "host"}):
        head = benchmark_file(tmp_path / "head.json", {"a": noisy(0)}, **machine)
        assert [c.verdict for c in compare_benchmarks(base, head, margins).checks] == ["not comparable"]


def test_a_benchmark_that_the_head_lacks_fails(tmp_path: Path) -> None:
    base = benchmark_file(tmp_path / "base.json", {"a": noisy(0), "b": noisy(1)})
    head = benchmark_file(tmp_path / "head.json", {"a": noisy(0)})
    found = compare_benchmarks(base, head, parse_margins(["median:+15%"], FIELDS, ()))
    assert [(c.row, c.verdict, c.failed) for c in found.checks] == [("a", "ok", False), ("b", "missing", True)]


def test_a_runs_latencies_are_a_file_that_pytest_benchmark_reads(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    words = ["baseline", "set", str(run), "--to", str(tmp_path / "b"), "--pytest-benchmark", str(path)]
    assert main(words) == 0
    assert is_benchmark_file(path) and main(["compare", str(path), str(path), "--fail-on", "median:+0%"]) == 0
    first = json.loads(path.read_text())["benchmarks"][0]
    assert (first["fullname"], first["stats"]["median"]) == ("demo::svm", pytest.approx(0.03145))
    pytest.importorskip("pytest_benchmark", reason="pip install '.[dev]'")
    shown = python("-m", "pytest_benchmark", "compare", str(path), "--columns=median")
    assert shown.returncode == 0 and "31.4500" in shown.stdout, shown.stderr


def test_a_benchmark_file_and_a_run_are_not_compared(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(benchmarks_of(read_records(run)))
    assert main(["compare", str(path), str(run)]) == 2


def test_the_stored_baseline_of_the_harness_names_its_benchmarks() -> None:
    perf = Path(__file__).parents[1] / "benchmarks" / "perf"
    names = {one.fullname.rpartition("::")[2] for one in read_benchmarks(perf / "baseline.json").benchmarks}
    assert names and all(f"def {name}(" in (perf / "test_overhead.py").read_text() for name in names)
