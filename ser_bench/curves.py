"""How the fits of a row went, epoch by epoch, out of what its models say of themselves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ser_bench.records import Curve

MOST_POINTS = 200
"""Epochs of a fit that a record keeps: of longer ones as many, evenly spread, the first and the last among them."""

_DIGITS = 6


def curve_of(seed: int, fold_id: str, facts: Mapping[str, Any]) -> Curve | None:
    """Return the curve of one fit; None where the model tells none.

    Where one dev set judged the model, it is the curve of the fit that was judged; else that of the final fit.

    Args:
        seed: The model's seed.
        fold_id: The fold.
        facts: What the model says of itself; ``curve`` holds a dictionary of numbers for each epoch.
    """
    points = facts.get("dev_curve") or facts.get("curve")
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        return None  # somebody else's model may call anything a curve
    if len(points) > MOST_POINTS:
        points = [points[place] for place in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]
    names = dict.fromkeys(name for point in points for name, value in point.items() if _is_number(value))
    values = {name: tuple(_rounded(point.get(name)) for point in points) for name in names}
    return Curve(seed=seed, fold_id=fold_id, values=values) if values else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(value: Any) -> float | None:
    """Return a number to 6 significant digits; None for what is none, or not finite."""
    finite = _is_number(value) and abs(value) <= sys.float_info.max
    return float(f"{value:.{_DIGITS}g}") if finite else None
