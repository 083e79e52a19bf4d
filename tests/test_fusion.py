"""Fusion: a row made of other rows' stored probabilities, by a stated rule, and never of what it must not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ser_bench.cells import join_members, plan_row
from ser_bench.errors import UsageError
from ser_bench.suites import parse_suite
from tests.small_corpus import write_suite
from tests.test_run import Place

MEMBERS = '"logreg", "decision-tree"'
BOTH = '{ model = "fusion", label = "both", params = { rows = ["logreg", "decision-tree"], weights = [1.0, 3.0] } }'


def rows(models: str, more: str = "") -> list[Any]:
    text = (
        f'title = "t"\nversion = 1\ncorpora = ["ravdess"]\nlabels = "eight"\nmodels = [{models}]\n{more}\n'
        '[protocol]\nkind = "speaker-kfold"\nfolds = 3\n'
    )
    suite = parse_suite(text.encode(), "s", "s.toml")
    return join_members([plan_row(entry, suite, device="cpu", canary=None) for entry in suite.entries])


def table(answer: dict[str, Any], number: int) -> Any:
    path = next((Path(answer["out"]) / "predictions").glob(f"{number:03d}-*.parquet"))
    frame = pq.read_table(path).to_pandas()
    return frame[frame["side"] == "test"].set_index(["seed", "fold", "utterance_id"])


def test_a_fused_row_is_the_weighted_mean_over_rows_and_seeds_and_costs_their_sum(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.rows()
    write_suite(tmp_path / "suite.toml", models=f"{MEMBERS}, {BOTH}", more="seeds = [0, 1]")
    answer, _ = place.run()
    linear, tree, fused = (table(answer, number) for number in range(3))
    scores = [name for name in fused.columns if name.startswith("score_")]
    mean_tree = tree[scores].groupby(level=["fold", "utterance_id"]).mean()
    expected = 0.25 * linear[scores].droplevel("seed") + 0.75 * mean_tree
    got = fused[scores].droplevel("seed")
    assert np.allclose(got.to_numpy(), expected.reindex(got.index).to_numpy())
    assert [f"score_{name}" for name in fused["predicted"]] == got.idxmax(axis=1).tolist()
    by_row = {row["model"]: row for row in answer["rows"]}
    assert by_row["both"]["seeds"] == 1
    assert by_row["both"]["fit_s"] == pytest.approx(by_row["logreg"]["fit_s"] + 2 * by_row["decision-tree"]["fit_s"])
    assert by_row["both"]["latency_ms_p50"] > max(by_row[m]["latency_ms_p50"] for m in ("logreg", "decision-tree"))
    again, _ = place.run()
    assert again == answer


def test_a_row_without_probabilities_fails_its_fusion_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.rows()
    bad = '{ model = "fusion", label = "bad", params = { rows = ["svm-linear"] } }'
    write_suite(tmp_path / "suite.toml", models=f'"svm-linear", {bad}')
    answer, _ = place.run(code=5)
    by_row = {row["model"]: row for row in answer["rows"]}
    assert by_row["svm-linear"]["status"] == "ok"
    assert "gives no probabilities" in by_row["bad"]["reason"]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (f"{BOTH}, {MEMBERS}", "does not stand before it"),
        ('"logreg", { model = "fusion", params = { rows = ["logrg"] } }', "did you mean 'logreg'"),
        ('{ model = "fusion" }', "a fusion takes rows"),
        ('"logreg", { model = "fusion", params = { rows = ["logreg"], weights = [0.0] } }', "above 0"),
        ('"logreg", { model = "fusion", params = { rows = ["logreg"], weights = [1.0, 2.0] } }', "as many weights"),
    ],
)
def test_a_fusion_that_can_not_be_made_is_refused_with_the_reason(models: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rows(models)


def test_a_fusion_is_as_transductive_as_its_rows() -> None:
    _, joined = rows(
        '{ model = "logreg", normalise = "speaker" }, { model = "fusion", label = "f", params = { rows = ["logreg"] } }'
    )
    assert joined.normalise == "speaker"


def test_changed_weights_are_another_cell(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.rows()
    ids = []
    for weight in ("3.0", "4.0"):
        write_suite(tmp_path / "suite.toml", models=f"{MEMBERS}, {BOTH.replace('3.0', weight)}")
        answer, _ = place.run("--dry-run")
        ids.append(answer["plan"]["cells_stored"])
        place.run()
    assert ids == [0, 6]
