"""Learning curves out of what models say of their fits."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ser_bench.curves import MOST_POINTS, curve_of


def test_a_curve_has_series_of_one_length_rounded_with_gaps_where_nothing_was_said() -> None:
    points = [
        {"epoch": 1, "train_loss": 1.23456789, "dev_uar": 0.5},
        {"epoch": 2, "train_loss": math.nan, "note": "diverged", "fine": True},
    ]
    curve = curve_of(3, "fold-1", {"curve": points})
    assert curve is not None and (curve.seed, curve.fold_id) == (3, "fold-1")
    assert curve.values == {"epoch": (1, 2), "train_loss": (1.23457, None), "dev_uar": (0.5, None)}


def test_the_fit_that_a_dev_set_judged_comes_before_the_final_one() -> None:
    facts = {"curve": [{"epoch": 1}], "dev_curve": [{"epoch": 1, "dev_uar": 0.25}]}
    curve = curve_of(0, "f", facts)
    assert curve is not None and curve.values == {"epoch": (1,), "dev_uar": (0.25,)}


def test_a_long_curve_keeps_its_ends_and_as_many_points_as_a_record_holds() -> None:
    curve = curve_of(0, "f", {"curve": [{"epoch": n} for n in range(1, 2001)]})
    assert curve is not None
    epochs = curve.values["epoch"]
    assert len(epochs) == MOST_POINTS and (epochs[0], epochs[-1]) == (1, 2000) and sorted(set(epochs)) == list(epochs)


@pytest.mark.parametrize("odd", [None, [], "steep", {"epoch": 1}, [1, 2], [{"note": "x"}], [{}]])
def test_what_is_no_curve_gives_none(odd: Any) -> None:
    assert curve_of(0, "f", {"curve": odd}) is None


def test_a_number_too_large_for_a_float_is_a_gap() -> None:
    curve = curve_of(0, "f", {"curve": [{"loss": 10**400}, {"loss": 1}]})
    assert curve is not None and curve.values == {"loss": (None, 1)}
