"""What a row chose: parameters, the points of its search, the path of its selection, the worth of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ser_bench.records import Importances, SearchPoint, SelectionStep

MOST_IMPORTANT = 20
"""Columns whose importance is kept in a record."""

_DIGITS = 6


def choices_of(metas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``search``, ``selection`` and ``importances`` of a row's record, and ``chosen_parameters``.

    Args:
        metas: By name the ``meta`` of each of the row's cells; see :class:`~ser_bench.scoring.CellResult`.
    """
    return {
        "chosen_parameters": {name: found for name, meta in metas.items() if (found := _chosen(meta))},
        "search": _search(metas),
        "selection": {
            name: tuple(SelectionStep(**{**step, "score": round(step["score"], _DIGITS)}) for step in path)
            for name, meta in metas.items()
            if (path := meta["facts"].get("selection"))
        },
        "importances": tuple(_importances(kind, metas) for kind in _kinds(metas)),
    }


def _chosen(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were chosen, and the columns where the model chose these itself."""
    selected = meta["facts"].get("selected")
    return {**meta["chosen"], **({"columns": selected} if selected else {})}


def _search(metas: Mapping[str, Mapping[str, Any]]) -> tuple[SearchPoint, ...]:
    """Return the points of a grid, which are the same in every cell; a model that chose without one tried no point."""
    tables = {name: meta["search"] for name, meta in metas.items()}
    points = [point["params"] for point in next(iter(tables.values())) if point["params"]]
    return tuple(
        SearchPoint(
            params=params,
            scores={
                name: tuple(round(score, _DIGITS) for score in tried[n]["scores"]) for name, tried in tables.items()
            },
        )
        for n, params in enumerate(points)
    )


def _kinds(metas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(kind for meta in metas.values() for kind in meta["facts"].get("importances", {})))


def _importances(kind: str, metas: Mapping[str, Mapping[str, Any]]) -> Importances:
    """Return the mean over the cells; a column that a cell did not use is worth 0 there."""
    total: dict[str, float] = {}
    for meta in metas.values():
        for name, value in meta["facts"].get("importances", {}).get(kind, {}).items():
            total[name] = total.get(name, 0.0) + value / len(metas)
    largest = sorted(total, key=lambda name: (-total[name], name))[:MOST_IMPORTANT]
    return Importances(kind=kind, n=len(total), values={name: round(total[name], _DIGITS) for name in largest})
