"""Mean ranks over suites, held against the figures that Demšar (2006) prints."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ser_bench.report.across_suites import critical_difference, mean_ranks, of_boards
from tests.chart_boards import suites

# Table 6 of the paper: ranks of C4.5, with m, with cf, and with both, on 14 data sets.
RANKS = (
    *((4, 3, 2, 1), (1, 2, 3, 4), (4, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3, 1), (1, 2.5, 4, 2.5), (3, 2, 4, 1)),
    *((2.5, 2.5, 4, 1), (4, 3, 2, 1), (2.5, 2.5, 2.5, 2.5), (4, 2.5, 1, 2.5), (3, 2, 4, 1), (4, 1, 2, 3), (3, 1, 4, 2)),
)
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def published() -> dict[str, dict[str, float]]:
    return {f"set {i:02d}": {name: -rank for name, rank in zip(NAMES, of, strict=True)} for i, of in enumerate(RANKS)}


def test_the_example_of_the_paper() -> None:
    found = mean_ranks(published())
    assert dict(zip(found.models, found.ranks, strict=True)) == {
        "C4.5+m+cf": pytest.approx(1.964, abs=5e-4),
        "C4.5+m": pytest.approx(2.0),
        "C4.5+cf": pytest.approx(2.893, abs=5e-4),
        "C4.5": pytest.approx(3.143, abs=5e-4),
    }
    assert found.models[0] == "C4.5+m+cf"
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    # the paper's chi2 is not corrected for ties: 3 pairs (6 each) and one tie of four (60) of 14 * 4 * 15
    assert found.chi2 * (1 - 78 / 840) == pytest.approx(9.28, abs=5e-3)
    assert found.differ
    assert found.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)


def test_iman_and_davenports_statistic_follows_from_friedmans_without_ties() -> None:
    scores = {
        f"s{i}": {"a": a, "b": b, "c": c} for i, (a, b, c) in enumerate([(3, 2, 1), (3, 1, 2), (2, 3, 1), (3, 2, 1)])
    }
    found = mean_ranks(scores)
    means = {"a": 5 / 4, "b": 8 / 4, "c": 11 / 4}
    chi2 = 12 * 4 / (3 * 4) * (sum(rank**2 for rank in means.values()) - 3 * 16 / 4)
    assert found.chi2 == pytest.approx(chi2)
    assert found.f == pytest.approx(3 * chi2 / (4 * 2 - chi2))


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)])
def test_critical_values_of_nemenyis_test(k: int, q: float) -> None:
    assert critical_difference(k, 10) == pytest.approx(q * (k * (k + 1) / 60) ** 0.5, abs=2e-3)


def test_cliques_are_the_longest_runs_within_the_distance() -> None:
    scores = {f"s{i:02d}": {name: -float(place) for place, name in enumerate("abcdef")} for i in range(20)}
    found = mean_ranks(scores)
    assert found.ranks == (1, 2, 3, 4, 5, 6)
    assert 1 < found.critical_difference < 2
    assert found.cliques == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"))
    assert found.f is None and found.p == 0


def test_suites_take_part_with_their_ranked_rows_and_the_models_that_all_have() -> None:
    boards = suites()
    found = of_boards(boards)
    assert found.suites == ("suite-a", "suite-b", "suite-c", "suite-d")
    assert set(found.models) == {"logreg", "lda", "svm-linear", "svm-rbf", "random-forest", "torch-cnn"}
    assert of_boards(boards[:2]) is None
    table = boards[0].tables[0]
    table = replace(table, rows=tuple(replace(row, standing="unranked") for row in table.rows))
    unranked = replace(boards[0], tables=(table,))
    assert of_boards([unranked, *boards[1:]]).suites == ("suite-b", "suite-c", "suite-d")
    assert of_boards([unranked, *boards[1:3]]) is None


def test_suites_that_say_nothing_give_nothing() -> None:
    equal = {f"s{i}": dict.fromkeys("abc", 0.5) for i in range(3)}
    assert mean_ranks(equal) is None
    with pytest.raises(ValueError, match="at least 3 suites"):
        mean_ranks({name: equal[name] for name in ("s0", "s1")})
