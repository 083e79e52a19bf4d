"""The gate: paired scores, costs on one machine, what fails, and what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from ser_bench import latency_compare
from ser_bench.cli import main
from ser_bench.compare import COSTS, compare, read_side
from ser_bench.errors import UsageError
from ser_bench.gate import Comparison, parse_margins
from ser_bench.report.verdicts import render_comparison, render_comparison_markdown, render_junit
from tests import report_records
from tests.made_up_runs import answers, spoilt, write_rating_run, write_run

BASE = answers()


def compared(base: Path, head: Path, *margins: str, **options: object) -> Comparison:
    return compare(read_side(base), read_side(head), parse_margins(margins, COSTS), **options)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_run(tmp_path / "base", {"svm": [BASE], "lda": [answers(1)]})


def head_of(base: Path, *, svm: Sequence[np.ndarray] = (BASE,), lda: Sequence[np.ndarray] = (answers(1),)) -> Path:
    return write_run(base.parent / "head", {"svm": svm, "lda": lda})


# scores


def test_identical_predictions_are_ok_with_a_difference_of_exactly_0(base: Path) -> None:
    found = compared(base, head_of(base), "uar:-0")
    assert [(c.verdict, c.difference, c.low, c.high) for c in found.checks] == [("ok", 0.0, 0.0, 0.0)] * 2
    assert found.passed


def test_a_drop_beyond_the_margin_fails_with_its_bounds(base: Path) -> None:
    found = compared(base, head_of(base, svm=[spoilt(BASE, 0.05)]), "uar:-0.02")
    svm, lda = found.checks
    assert (svm.verdict, svm.failed, lda.verdict) == ("worse", True, "ok")
    assert svm.low is not None and svm.high is not None and svm.difference is not None
    assert svm.low < svm.difference < svm.high < -0.02
    assert svm.difference == pytest.approx(svm.head - svm.base, abs=1e-12)
    assert not found.passed


def test_the_same_drop_within_the_margin_is_ok(base: Path) -> None:
    found = compared(base, head_of(base, svm=[spoilt(BASE, 0.05)]), "uar:-0.10")
    assert found.passed and {c.verdict for c in found.checks} == {"ok"}


def test_what_cannot_be_told_is_inconclusive_and_fails_only_when_strict(base: Path) -> None:
    head = head_of(base, svm=[answers(5)])  # another model, about as good
    found = compared(base, head, "uar:-0.0")
    assert found.checks[0].verdict == "inconclusive" and found.passed
    assert not compared(base, head, "uar:-0.0", strict=True).passed


def test_more_confidence_gives_wider_bounds(base: Path) -> None:
    head = head_of(base, svm=[answers(5)])
    sure, surer = (compared(base, head, "uar:-0.0", confidence=level).checks[0] for level in (0.8, 0.99))
    assert surer.low < sure.low < sure.high < surer.high


def test_several_seeds_count_by_their_mean(base: Path) -> None:
    spoilt_once = [BASE, spoilt(BASE, 0.06)]
    found = compared(base, head_of(base, svm=spoilt_once), "war:-0.01").checks[0]
    assert found.difference == pytest.approx(-0.03, abs=0.002)
    assert found.verdict == "worse"


def test_every_score_of_a_record_can_be_compared(base: Path) -> None:
    head = head_of(base, svm=[spoilt(BASE, 0.05)])
    found = compared(base, head, *(f"{name}:-0.01" for name in ("uar", "war", "macro_f1", "macro_precision")))
    assert [c.verdict for c in found.checks if c.row == "svm"] == ["worse"] * 4


def test_ccc_and_rmse_of_numbers_are_paired_too(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    truth = random.randn(1440)
    good = truth + 0.5 * random.randn(1440)
    base = write_rating_run(tmp_path / "base", [good], truth)
    head = write_rating_run(tmp_path / "head", [good + 0.5 * random.randn(1440)], truth)
    found = compared(base, head, "ccc:-0.02", "rmse:+0.02")
    assert [(c.metric, c.verdict) for c in found.checks] == [("ccc", "worse"), ("rmse", "worse")]
    assert compared(base, base, "ccc:-0", "rmse:+0").passed


def test_other_test_utterances_are_not_comparable_and_fail(base: Path) -> None:
    head = write_run(base.parent / "head", {"svm": [BASE], "lda": [BASE]}, test_fingerprint="others")
    found = compared(base, head, "uar:-0.5")
    assert {(c.verdict, c.failed) for c in found.checks} == {("not comparable", True)}
    assert "test utterances" in found.checks[0].why


def test_a_row_that_the_head_lacks_fails_and_one_that_it_adds_is_named(base: Path) -> None:
    head = write_run(base.parent / "head", {"svm": [BASE], "new": [BASE]})
    found = compared(base, head, "uar:-0.5")
    assert [(c.row, c.verdict, c.failed) for c in found.checks] == [("svm", "ok", False), ("lda", "missing", True)]
    assert found.only_in_head == ("new",)
    assert compared(base, head, "uar:-0.5", rows=["svm"]).passed


def test_a_row_asked_for_by_name_that_the_base_lacks_fails_beside_one_that_passes(base: Path) -> None:
    head = write_run(base.parent / "head", {"svm": [BASE], "lda": [answers(1)], "new": [BASE]})
    found = compared(base, head, "uar:-0.02", rows=["new", "svm"])
    assert [(c.row, c.verdict) for c in found.checks] == [("svm", "ok"), ("new", "not measured")]
    assert not found.passed and found.checks[1].hint == "ser-bench baseline set RUN"


def test_a_difference_without_bounds_fails(base: Path) -> None:
    """Utterances of unknown speakers: nothing can be said of how sure a drop is, so no drop would ever fail."""
    head = head_of(base, svm=[spoilt(BASE, 0.3)])
    for folder in (base, head):
        for path in (folder / "predictions").iterdir():
            frame = pd.read_parquet(path)
            frame["speaker"] = [None, *frame["speaker"][1:]]
            frame.to_parquet(path)
    svm, lda = compared(base, head, "uar:-0.02").checks
    assert (svm.verdict, svm.failed, lda.verdict) == ("not measured", True, "ok")
    assert svm.difference < -0.2 and "unknown speakers" in svm.why


def test_a_failed_row_of_the_head_is_missing_with_its_reason(base: Path) -> None:
    head = write_run(base.parent / "head", {"svm": [BASE], "lda": [BASE]}, status="failed", reason="out of memory")
    assert {(c.verdict, c.why) for c in compared(base, head, "uar:-0.5").checks} == {
        ("missing", "failed: out of memory")
    }


def test_cross_corpus_rows_are_matched_by_pair(tmp_path: Path) -> None:
    pairs = ({"train": "a", "test": "b"}, {"train": "b", "test": "a"})
    sides = [write_run(tmp_path / name, {"svm": [BASE]}, **pair) for name, pair in zip("xy", pairs, strict=True)]
    assert compared(sides[0], sides[0], "uar:-0").passed
    crossed = compared(*sides, "uar:-0")
    assert [c.verdict for c in crossed.checks] == ["missing"] and crossed.only_in_head == ("svm (b → a)",)


def test_a_metric_that_nobody_measured_fails(base: Path) -> None:
    found = compared(base, head_of(base), "ccc:-0.1", "energy_j:+10%")
    assert {c.verdict for c in found.checks} == {"not measured"} and not found.passed
    bare = write_run(base.parent / "bare", {"svm": [BASE]}, status="failed", reason="no")
    nothing = compared(bare, head_of(base), "uar:-0.1")
    assert [(c.row, c.verdict, c.failed) for c in nothing.checks] == [("", "not measured", True)]


def test_without_margins_everything_is_shown_and_nothing_fails(base: Path) -> None:
    head = write_run(base.parent / "head", {"svm": [spoilt(BASE, 0.3)]})
    found = compared(base, head)
    assert found.passed and {c.verdict for c in found.checks} >= {"worse", "missing"}


# costs


def with_timing(folder: Path, **changes: object) -> Path:
    timing = replace(report_records.timing(0.9), **changes)
    return write_run(folder, {"svm": [BASE]}, timing=timing)


def test_costs_of_one_figure_are_compared_as_they_are(tmp_path: Path) -> None:
    base = with_timing(tmp_path / "base", peak_mib=200.0, disk_bytes=1000)
    head = with_timing(tmp_path / "head", peak_mib=230.0, disk_bytes=1100)
    for margins, passed in (
        (("peak_mib:+20%", "disk_bytes:+10%"), True),
        (("peak_mib:+10%",), False),
        (("peak_mib:+31",), True),
        (("peak_mib:+29",), False),
    ):
        assert compared(base, head, *margins).passed is passed


def test_times_of_the_same_machine_are_held_against_their_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def verdict(base: object, head: object, *, metric: str, margin: float, confidence: float) -> object:
        asked.append((metric, margin, confidence))
        return latency_compare.LatencyVerdict(
            metric=metric,
            base=31.5,
            head=36.2,
            ratio=1.15,
            low=1.1,
            high=1.2,
            noise_floor=0.02,
            verdict="worse",
            why="!",
        )

    monkeypatch.setattr(latency_compare, "compare_latency", verdict)
    base = with_timing(tmp_path / "base")
    found = compared(base, base, "latency_ms_p50:+5%", "fit_s:+0.09", confidence=0.9).checks
    assert asked == [("latency_ms_p50", 0.05, 0.9), ("fit_s", pytest.approx(0.1), 0.9)]
    assert [(c.verdict, c.failed) for c in found] == [("worse", True)] * 2
    assert found[0].difference == pytest.approx(0.15) and found[0].low == pytest.approx(0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": replace(report_records.environment(), cpu="Another CPU")},
        {"environment": replace(report_records.environment(), n_cpus=64)},
        {"environment": replace(report_records.environment(), packages={"numpy": "1.26.4"})},
        {"timing": replace(report_records.timing(0.9), threads=8)},
        {"timing": replace(report_records.timing(0.9), cell="fold 1, seed 0")},
        {"model": replace(report_records.model("svm-rbf"), device="cuda")},
    ],
)
def test_times_of_another_machine_or_setting_are_not_comparable_and_fail(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    base = write_run(tmp_path / "base", {"svm": [BASE]}, timing=report_records.timing(0.9))
    head = write_run(tmp_path / "head", {"svm": [BASE]}, **{"timing": report_records.timing(0.9), **changes})
    (check,) = compared(base, head, "latency_ms_p50:+500%").checks
    assert (check.verdict, check.failed) == ("not comparable", True)
    assert check.hint is not None and "--live" in check.hint


def test_a_time_that_one_side_lacks_fails(tmp_path: Path) -> None:
    base, head = with_timing(tmp_path / "base"), with_timing(tmp_path / "head", latency=None)
    (check,) = compared(base, head, "latency_ms_p50:+15%").checks
    assert (check.verdict, check.failed, check.why) == ("not measured", True, "head has no latency_ms_p50")


def test_rows_that_hear_nothing_have_no_times_and_need_none(tmp_path: Path) -> None:
    base = with_timing(tmp_path / "base", latency=None)
    record = next((base / "records").glob("*.json"))
    record.write_text(json.dumps({**json.loads(record.read_text()), "features": None}))
    found = compared(base, base, "latency_ms_p50:+15%", "fit_s:+15%", "disk_bytes:+1%", "peak_mib:+1%")
    assert [(c.row, c.metric, c.verdict) for c in found.checks] == [
        ("svm", "peak_mib", "ok"),
        ("", "latency_ms_p50", "not measured"),
        ("", "fit_s", "not measured"),
        ("", "disk_bytes", "not measured"),
    ]


def test_a_bound_that_is_no_number_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(*_: object, metric: str, **__: object) -> object:
        facts = {"base": 10.0, "head": 20.0, "low": 0.0, "high": math.inf, "noise_floor": 0.0, "why": "too few calls"}
        return latency_compare.LatencyVerdict(metric=metric, ratio=2.0, verdict="inconclusive", **facts)

    monkeypatch.setattr(latency_compare, "compare_latency", verdict)
    base = with_timing(tmp_path / "base")
    found = compared(base, base, "latency_ms_p50:+15%")
    assert found.checks[0].high is None and found.checks[0].low == -1.0
    assert "–" in render_comparison(found)
    assert main(["compare", str(base), str(base), "--fail-on", "latency_ms_p50:+15%", "--json"]) == 0


def test_runs_of_one_plan_are_told_by_their_folders(tmp_path: Path) -> None:
    base, head = (write_run(tmp_path / name / "demo-1a2b", {"svm": [BASE]}) for name in ("before", "after"))
    found = compared(base, head, "uar:-0")
    assert (found.base, found.head) == ("before/demo-1a2b", "after/demo-1a2b")


# live


def test_times_measured_by_turns_take_the_place_of_the_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ser_bench import live_compare

    asked = []

    def measured(
        base: object, head: object, sounds: object, stored: tuple, margins: dict, *, confidence: float
    ) -> tuple:
        asked.append((base.python, base.model, head.model, margins))
        fast, slow = (replace(stored[0].latency, p50_ms=ms) for ms in (10.0, 20.0))
        return replace(stored[0], latency=fast), replace(stored[1], latency=slow)

    def verdict(base: object, head: object, *, metric: str, margin: float, confidence: float) -> object:
        ratio = head.latency.p50_ms / base.latency.p50_ms
        facts = {"base": 10.0, "head": 20.0, "low": ratio, "high": ratio, "noise_floor": 0.0, "why": "twice as slow"}
        return latency_compare.LatencyVerdict(metric=metric, ratio=ratio, verdict="worse", **facts)

    monkeypatch.setattr(live_compare, "live_latency", measured)
    monkeypatch.setattr(live_compare, "saved_model", lambda folder, record: folder / "models" / record.row)
    monkeypatch.setattr(live_compare, "timed_sounds", lambda *args: ["a.wav"])
    monkeypatch.setattr(latency_compare, "compare_latency", verdict)
    base = with_timing(tmp_path / "base")
    elsewhere = replace(report_records.environment(), cpu="Another CPU")
    head = write_run(tmp_path / "head", {"svm": [BASE]}, timing=report_records.timing(0.9), environment=elsewhere)
    words = ["compare", str(base), str(head), "--live", "--base-python", "/old/python", "--jobs", "1", "--json"]
    assert main([*words, "--fail-on", "latency_ms_p50:+5%", "--fail-on", "uar:-0.5"]) == 1
    assert asked == [(Path("/old/python"), base / "models/svm", head / "models/svm", {"latency_ms_p50": 0.05})]
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [(c["metric"], c["verdict"], c["difference"]) for c in checks] == [
        ("latency_ms_p50", "worse", 1.0),
        ("uar", "ok", 0.0),
    ]


@pytest.mark.parametrize(
    "words", [("--base-python", "python"), ("--live", "--fail-on", "uar:-0.1"), ("--live", "--fail-on", "fit_s:+5%")]
)
def test_live_options_that_mean_nothing_are_refused(base: Path, words: tuple[str, ...]) -> None:
    assert main(["compare", str(base), str(head_of(base)), *words]) == 2


def test_live_asks_for_saved_models(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(base), str(head_of(base)), "--live", "--jobs", "1"]) == 3
    assert "--keep-models" in capsys.readouterr().err


# margins


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("uar", "a sign and a number expected"),
        ("uar:0.02", "a sign and a number expected"),
        ("uar:-2%", "a sign and a number expected"),
        ("uar:+0.02", "uar is better when higher"),
        ("rmse:-0.1", "rmse is better when lower"),
        ("fit_s:-10%", "fit_s is better when lower"),
        ("fit_s:+1e3", "a percentage expected"),
        ("latency_ms_50:+15%", "did you mean 'latency_ms_p50'?"),
        ("uar:-nan", "expected"),
        ("uar:-2", "uar lies between 0 and 1, so this could never fail"),
        ("uar:-1", "could never fail"),
        ("ccc:-2", "ccc lies between -1 and 1"),
        ("fit_s:+" + "9" * 400, "could never fail"),
    ],
)
def test_a_margin_that_means_nothing_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint.replace("?", r"\?")):
        parse_margins([text], COSTS)


def test_two_margins_of_one_metric_are_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_margins(["uar:-0.1", "uar:-0.2"], COSTS)


# the verb


def test_the_verb_exits_1_and_writes_table_markdown_and_junit(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, at = head_of(base, svm=[spoilt(BASE, 0.05)]), base.parent
    words = [str(base), str(head), "--fail-on", "uar:-0.02"]
    files = ["--markdown", str(at / "gate.md"), "--junit", str(at / "gate.xml")]
    assert main(["compare", *words, *files]) == 1
    text = capsys.readouterr().out
    assert "FAILED worse: svm uar: worse by at least 0.0" in text and "The gate failed: 1 of 2 checks." in text
    assert "| svm   | uar      |" in (at / "gate.md").read_text()
    (suite,) = ElementTree.parse(at / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [(case.get("name"), case.find("failure") is not None) for case in suite] == [
        ("svm uar", True),
        ("lda uar", False),
    ]
    assert main(["compare", *words, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["passed"], [c["failed"] for c in answer["checks"]]) == (False, [True, False])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--fail-on", "uar:-0.02"), 0),
        (("--fail-on", "uar:+0.02"), 2),
        (("--row", "smv"), 2),
        (("--strict",), 2),
        (("--confidence", "1.5"), 2),
    ],
)
def test_the_verbs_exit_codes(base: Path, words: tuple[str, ...], code: int) -> None:
    assert main(["compare", str(base), str(head_of(base)), *words]) == code


def test_a_folder_without_records_exits_4(base: Path, tmp_path: Path) -> None:
    assert main(["compare", str(base), str(tmp_path)]) == 4
    assert main(["compare", str(tmp_path / "nowhere"), str(base)]) == 4


def test_what_differs_is_listed(base: Path) -> None:
    code = replace(report_records.record().code, commit="ffff", dirty=True)
    at = replace(
        report_records.environment(), packages={"numpy": "2.2.6", "scikit-learn": "1.8.0", "librosa": "0.11.0"}
    )
    head = write_run(base.parent / "head", {"svm": [BASE], "lda": [BASE]}, code=code, environment=at)
    differing = {one.what: (one.base, one.head) for one in compared(base, head).differing}
    assert differing == {
        "commit": ("4b7c1f09a2d35e68", "ffff and changes"),
        "scikit-learn": ("1.7.0", "1.8.0"),
    }


@pytest.mark.parametrize("name", report_records.HOSTILE)
def test_a_hostile_name_becomes_no_markup_anywhere(tmp_path: Path, name: str) -> None:
    base = write_run(tmp_path / "base", {name: [BASE]})
    head = write_run(tmp_path / "head", {name: [spoilt(BASE, 0.2)]})
    found = compared(base, head, "uar:-0.01")
    assert [c.verdict for c in found.checks] == ["worse"]
    for text in (render_comparison(found), render_comparison_markdown(found)):
        assert "\x1b" not in text and "\u202e" not in text
    markdown = render_comparison_markdown(found)
    assert sum(line.startswith("|") for line in markdown.splitlines()) == 3
    assert "\n# heading" not in markdown
    (suite,) = ElementTree.fromstring(render_junit(found))
    assert len(suite) == 1


def test_the_same_runs_give_the_same_bytes(base: Path) -> None:
    head = head_of(base, svm=[answers(5)])
    one, other = (compared(base, head, "uar:-0.02", "war:-0.02") for _ in range(2))
    assert render_comparison_markdown(one) == render_comparison_markdown(other)
    assert render_junit(one) == render_junit(other)
