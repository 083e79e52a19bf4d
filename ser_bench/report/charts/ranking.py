"""The charts of a ranking: scores with their intervals, and scores against latency."""

from __future__ import annotations

from collections.abc import Sequence

from ser_bench.records import Score
from ser_bench.references import Reference
from ser_bench.report import wording
from ser_bench.report.charts.drawing import (
    STEP,
    Chart,
    Spec,
    Values,
    chart,
    kinds,
    lines,
    marks,
    metric,
    name_of,
    number,
    score_axis,
    tips,
    unique,
    whiskers,
)
from ser_bench.report.parts import Row, Table
from ser_bench.report.text import count, interval, measure, score

KINDS = ("ranked", "no rank", "baseline", "published", "human", "control")
_OF_REFERENCE = {"published": KINDS[3], "human": KINDS[4], "control": KINDS[5]}
_OF_STANDING = {"ranked": KINDS[0], "unranked": KINDS[1], "reference": KINDS[2]}


_DEVICES = ("CPU", "GPU", "another device")


def ranking(table: Table, primary: str, references: Sequence[Reference] = ()) -> Chart | None:
    """Return the scores of a table with their 95 % intervals, in the order of the board.

    Rows that share a rank share a shade. ``references`` are drawn below the rows, those that state ``primary``.
    """
    scored = _scored(table, primary)
    if not scored:
        return None
    stated = [(of, getattr(of, primary, None)) for of in references]
    others = [(of, value) for of, value in stated if value is not None]
    labels = unique(
        [
            *(f"{row.rank} · {row.row}" if row.rank is not None else row.row for row, _ in scored),
            *(of.label for of, _ in others),
        ]
    )
    ranks = sorted({row.rank for row, _ in scored if row.rank is not None})
    values: Values = [
        {
            "label": label,
            "row": row.row,
            "kind": _OF_STANDING[row.standing],
            "own": row.standing != "reference",
            "shaded": row.rank is not None and ranks.index(row.rank) % 2 == 0 and len(ranks) > 1,
            "rank": "none" if row.rank is None else str(row.rank),
            "value": number(found.value),
            "low": number(found.low),
            "high": number(found.high),
            "interval": interval(found),
            "note": row.reason or "",
        }
        for label, (row, found) in zip(labels, scored, strict=False)
    ]
    values += [
        {
            "label": label,
            "row": of.label,
            "kind": _OF_REFERENCE[of.kind],
            "own": False,
            "shaded": False,
            "rank": "none",
            "value": number(value),
            "low": None,
            "high": None,
            "interval": "not stated",
            "note": of.source,
        }
        for label, (of, value) in zip(labels[len(scored) :], others, strict=True)
    ]
    constant = table.constant_uar if primary == "uar" else None
    title = metric(primary) + (f" (dashed: constant guess, {score(constant)})" if constant is not None else "")
    mark = kinds((of["kind"] for of in values), KINDS)
    tooltip = tips(row="row", rank="rank", value=f"{metric(primary)}|.3f", interval="95 % interval", note="note")
    layer: list[Spec] = [
        *marks(values, "shaded", {True: "band"}, {"x": {"value": 0}, "x2": {"value": "width"}}, "rect"),
        *whiskers(values, score_axis(title), tooltip),
        *marks(values, "own", {True: "dot", False: "hollow"}, {"x": score_axis(title), **mark, "tooltip": tooltip}),
    ]
    if constant is not None:
        line = {"datum": number(constant), "type": "quantitative"}
        layer.append({"mark": {"type": "rule", "style": "guide"}, "encoding": {"x": line, "y": None}})
    best, found = scored[0]
    description = (
        f"{count(len(scored), 'row')} on {wording.size(table.n_test, table.n_test_speakers)}. "
        f"First: {best.row}, {metric(primary)} {score(found.value)} {interval(found)}; "
        f"last: {scored[-1][0].row}, {score(scored[-1][1].value)}."
    ) + (" Rows that share a rank share a shade." if len(ranks) > 1 else "")
    return chart(
        name_of("ranking", table),
        f"{metric(primary)} with 95 % interval",
        description,
        values,
        STEP * len(labels),
        encoding={"y": lines(labels)},
        layer=layer,
    )


def front(table: Table, primary: str) -> tuple[Row, ...]:
    """Return the rows that no other is both faster than and better than, by latency; baselines take no part."""
    best = float("-inf")
    found = []
    for row, value, _ in sorted(_timed(table, primary), key=lambda of: (of[2], -of[1], of[0].row)):
        if value > best:
            best = value
            found.append(row)
    return tuple(found)


def pareto(table: Table, primary: str) -> Chart | None:
    """Return the primary score against the median latency at batch 1; the front is joined and named."""
    timed = _timed(table, primary)
    if not timed:
        return None
    on = front(table, primary)
    there = {row.anchor for row in on}
    labels = unique([row.row for row, _, _ in timed])
    last = max(latency for _, _, latency in timed)
    first = min(latency for _, _, latency in timed)
    values: Values = [
        {
            "row": label,
            "ms": number(latency),
            "value": number(value),
            "kind": _device(row.model.device),
            "device": row.model.device,
            "front": row.anchor in there,
            "name_at": ("right" if latency * latency > first * last else "left") if row.anchor in there else "",
            "p95": number(row.timing.latency.p95_ms) if row.timing and row.timing.latency else None,
        }
        for label, (row, value, latency) in zip(labels, timed, strict=True)
    ]
    x: Spec = {
        "field": "ms",
        "type": "quantitative",
        "title": "latency p50 at batch 1, ms (logarithmic)",
        "scale": {"type": "log", "nice": False, "padding": 24},
        "axis": {"tickCount": 4, "format": "~g"},
    }
    y = {**score_axis(metric(primary)), "scale": {"zero": False, "padding": 20}}
    tooltip = tips(row="row", value=f"{metric(primary)}|.3f", ms="p50, ms|.3~g", p95="p95, ms|.3~g", device="device")
    named = {"text": {"field": "row"}}
    looks = {**kinds((of["kind"] for of in values), _DEVICES), "tooltip": tooltip}
    layer = [
        *marks(values, "front", {True: "front"}, {"order": {"field": "ms"}}, "line"),
        *marks(values, "front", {False: "hollow", True: "dot"}, looks),
        *marks(values, "name_at", {"left": "name-left", "right": "name-right"}, named, "text"),
    ]
    fastest, best = on[0], on[-1]
    found = {row.anchor: (value, latency) for row, value, latency in timed}
    description = (
        f"Filled and joined: the {count(len(on), 'row')} that no other is both faster and better than. Fastest: "
        f"{_at(fastest, found, primary)}" + (f"; best: {_at(best, found, primary)}." if best is not fastest else ".")
    )
    return chart(
        name_of("pareto", table),
        f"{metric(primary)} against latency",
        description,
        values,
        320,
        encoding={"x": x, "y": y},
        layer=layer,
    )


def _device(name: str) -> str:
    if name == "cpu":
        return _DEVICES[0]
    return _DEVICES[1] if name.partition(":")[0] in ("cuda", "gpu", "mps") else _DEVICES[2]


def _scored(table: Table, primary: str) -> list[tuple[Row, Score]]:
    return [(row, of) for row in table.rows if (of := row.scores.get(primary)) is not None and of.value is not None]


def _timed(table: Table, primary: str) -> list[tuple[Row, float, float]]:
    """Return (row, score, latency) of the rows that have both and are no baselines."""
    return [
        (row, found.value, row.timing.latency.p50_ms)
        for row, found in _scored(table, primary)
        if row.standing != "reference" and found.value is not None and row.timing and row.timing.latency
        if row.timing.latency.p50_ms > 0
    ]


def _at(row: Row, found: dict[str, tuple[float, float]], primary: str) -> str:
    value, latency = found[row.anchor]
    return f"{row.row}, {metric(primary)} {score(value)} at {measure(latency)} ms"
