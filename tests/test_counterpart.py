"""A suite and its published counterpart: one run of both, one row per system, and budgets that say what was cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ser_bench.cells import plan_row
from ser_bench.cli import main
from ser_bench.errors import UsageError
from ser_bench.gap import UNPAIRED, check_counterpart
from ser_bench.records import GAP
from ser_bench.report.leaks import render_leaks
from ser_bench.suites import digest, load_suite, parse_suite, suite_names, with_budget
from tests.small_corpus import write_small_corpus, write_suite

Capture = pytest.CaptureFixture[str]

ROWS = """\
"chance", "logreg",
{ model = "knn", params = { n_neighbors = 3 }, budgets = { full = { n_neighbors = 5 } } },
{ model = "lda", only_budget = "full" }"""
FIGURE = """
[[references]]
label = "neighbours"
kind = "control"
source = "A. Author"
protocol = "random split, speakers on both sides"
row = "knn"
war = 0.987
"""
PUBLISHED = {
    "random": (
        'kind = "random-kfold"\nfolds = 3\ndeclares = ["shared-sibling"]\ndev = { kind = "none" }',
        'augment_before_split = true\n[[augment]]\nkind = "noise"\nsnr_db = -20',
    ),
    "elsewhere": ('kind = "speaker-holdout"\ntest = ["s0", "s1", "s2"]\ndev = { kind = "random-kfold" }', ""),
}


def run_pair(folder: Path, kind: str, capsys: Capture, *more: str) -> dict[str, Any]:
    """Run ``honest.toml`` with its counterpart; return what ``run --gap --json`` prints."""
    write_small_corpus(folder / "data" / "small", n_speakers=6)
    protocol, keys = PUBLISHED[kind]
    published = write_suite(folder / "published.toml", models=ROWS, protocol=protocol, more=keys)
    published.write_text(published.read_text() + FIGURE)
    suite = write_suite(folder / "honest.toml", models=ROWS, more='control = "published.toml"')
    words = ["run", "--suite", str(suite), "--data", str(folder / "data"), "--quiet", "--jobs", "2", "--gap", "--json"]
    capsys.readouterr()
    assert main([*words, "--store", str(folder / "store"), "--out", str(folder / "out"), *more]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_a_pair_makes_one_row_per_system_that_every_file_shows(tmp_path: Path, capsys: Capture) -> None:
    answer = run_pair(tmp_path, "random", capsys)
    gap = answer["gap"]
    assert (gap["control_suite"], [row["row"] for row in gap["rows"]]) == ("published", ["logreg", "knn"])
    rows = {row["row"]: row for row in gap["rows"]}
    told = {row["model"]: row for row in answer["rows"]}
    records = [json.loads(p.read_text()) for p in (tmp_path / "out" / gap["control_folder"] / "records").glob("*.json")]
    for name, row in rows.items():
        published = next(record for record in records if record["row"] == name)
        assert published["n_test"] == 2 * told[name]["n_test"], "the children are dealt as utterances"
        for metric in ("uar", "war"):
            values = [row[key][metric]["value"] for key in ("reproduced", "honest", "differences")]
            assert values[:2] == [published["scores"][metric]["value"], told[name][metric]]
            assert values[2] == pytest.approx(values[0] - values[1]) and values[0] < 0.95, "children are hard to tell"
            assert row["differences"][metric]["method"] == "delete-one-speaker jackknife, t(5)", "the same speakers"
    assert (rows["knn"]["published"]["war"], rows["logreg"]["published"]) == (0.987, None)
    assert told["knn"]["cut"] == "3 of 5 n neighbors" and told["logreg"]["cut"] is None
    assert told["lda"]["reason"] == "runs with a longer budget only: --budget full"
    out = Path(answer["out"])
    for page in ("leaderboard.md", "index.html"):
        text = (out / page).read_text()
        assert "Published, reproduced, honest" in text and "WAR 0.987" in text and "3 of 5 n neighbors" in text
        assert "What shared speakers are worth" not in text
    assert main(["report", str(out)]) == 0
    assert "Published, reproduced, honest" in capsys.readouterr().out
    assert main(["report", "--check", str(out)]) == 0
    stored = (out / GAP).read_text()
    (out / GAP).write_text(stored.replace("0.987", "0.9"))
    assert main(["report", str(out)]) == 0 and main(["report", "--check", str(out)]) == 4, "nobody stated that figure"
    assert "Of 1 pairs of models" in render_leaks(out)


def test_other_test_utterances_are_compared_without_a_paired_interval(tmp_path: Path, capsys: Capture) -> None:
    answer = run_pair(tmp_path, "elsewhere", capsys, "--models", "logreg")
    (row,) = answer["gap"]["rows"]
    assert row["reproduced"]["uar"]["low"] is not None and row["honest"]["uar"]["low"] is not None
    assert (row["gap"]["low"], row["gap"]["method"]) == (None, UNPAIRED)
    assert row["gap"]["value"] == pytest.approx(row["reproduced"]["uar"]["value"] - row["honest"]["uar"]["value"])
    assert "It has no interval" in (Path(answer["out"]) / "leaderboard.md").read_text()


def test_the_full_budget_runs_what_the_source_ran(tmp_path: Path, capsys: Capture) -> None:
    answer = run_pair(tmp_path, "random", capsys, "--budget", "full", "--dry-run")
    assert answer["plan"]["cells"] == answer["plan"]["control_cells"] == 12, "lda, too"
    suite = with_budget(load_suite(str(tmp_path / "honest.toml")), "full")
    row = plan_row(suite.entries[2], suite, device="cpu", canary=None)
    assert (row.params["n_neighbors"], row.cut) == (5, None)


HEAD = 'title = "x"\nversion = 1\ncorpora = ["ravdess"]\nlabels = "eight"\nprotocol = { kind = "loso" }\n'


def parsed(more: str) -> Any:
    return parse_suite((HEAD + more).encode(), "made", "suite made")


def test_an_unknown_budget_is_refused_with_the_nearest_one() -> None:
    suite = parsed('models = [{ model = "knn", budgets = { full = { n_neighbors = 5 } } }]')
    assert with_budget(suite, "short") == suite
    with pytest.raises(UsageError, match=r"no row of made has it \(did you mean 'full'"):
        with_budget(suite, "fulll")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('models = [{ model = "knn", budgets = { short = {} } }]', "short is what stands in params"),
        ('models = ["knn"]' + FIGURE.replace('"knn"', '"kn"'), r"unknown row 'kn' \(did you mean 'knn'"),
        ('models = ["knn"]' + FIGURE + FIGURE, "two are about the row 'knn'"),
    ],
)
def test_a_budget_or_figure_that_fits_no_row_is_refused(more: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parsed(more)


def test_a_counterpart_and_budgets_decide_no_fold() -> None:
    bare = parsed('models = ["knn"]')
    assert digest(parsed('models = [{ model = "knn", budgets = { full = {} } }]\ncontrol = "other"')) == digest(bare)


def test_a_counterpart_with_other_labels_is_refused() -> None:
    suite = load_suite("seed001-honest")
    with pytest.raises(UsageError, match="labels of seed001-honest is 'eight', but 'seven' of seed003-published"):
        check_counterpart(suite, load_suite("seed003-published"))


@pytest.mark.parametrize("name", [name for name in suite_names() if load_suite(name).control])
def test_every_installed_pair_has_the_same_rows_and_a_figure_to_hold_them_against(name: str) -> None:
    suite = load_suite(name)
    assert suite.control is not None
    control = load_suite(suite.control)
    check_counterpart(suite, control)
    assert [entry.row for entry in suite.entries] == [entry.row for entry in control.entries]
    assert [entry.budgets for entry in suite.entries] == [entry.budgets for entry in control.entries]
    assert any(reference.row for reference in control.references)
