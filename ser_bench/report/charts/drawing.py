"""What all charts share: their type, palette, scales and the pieces that several of them are put together from.

A specification holds no text of a record but in data values and in the domains of scales, never in an expression:
fields, titles and tests are this package's own words. Colours are the
configuration's (:mod:`ser_bench.report.charts.vega`), so that one chart serves light and dark pages; no colour says
anything that a shape, a label or a place does not say too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ser_bench.report.parts import Table
from ser_bench.report.text import METRICS

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left")

STEP = 24
"""Height of a line in pixels."""

Values = list[dict[str, Any]]
Spec = dict[str, Any]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart: ``spec`` is Vega-Lite with its data inline, ``description`` its message with the numbers that matter.

    ``name`` is fit for an id: ASCII letters, digits and hyphens.
    """

    name: str
    title: str
    spec: Spec
    description: str


def chart(name: str, title: str, description: str, values: Values, height: int, **parts: Any) -> Chart:
    """Return a chart as wide as the element that it stands in; ``parts`` are the specification's further keys."""
    spec = {
        "$schema": SCHEMA,
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": values},
        **parts,
    }
    return Chart(name=re.sub("[^a-zA-Z0-9]+", "-", name).strip("-"), title=title, spec=spec, description=description)


def name_of(what: str, table: Table) -> str:
    """Return the name of a table's chart."""
    return f"{what}-{table.rows[0].anchor}"


def number(value: float | None) -> float | None:
    """Return a number with at most six decimals, for a data value; None for what is none."""
    return None if value is None or not math.isfinite(value) else round(float(value), 6)


def unique(labels: Sequence[str]) -> list[str]:
    """Return the labels, those that stand there twice with a number each: they are the places of an axis."""
    total, seen = Counter(labels), Counter[str]()
    found: list[str] = []
    for label in labels:
        seen[label] += 1
        new = f"{label} ({seen[label]})" if total[label] > 1 else label
        while new in found or (new != label and new in total):
            seen[label] += 1
            new = f"{label} ({seen[label]})"
        found.append(new)
    return found


def lines(labels: Sequence[str], title: str | None = None, field: str = "label", **more: Any) -> Spec:
    """Return the encoding of one line per label, from the top down in their order."""
    scale = {"type": "band", "domain": list(labels), "padding": 0}
    return {"field": field, "type": "nominal", "scale": scale, "title": title, "axis": {"grid": False, **more}}


def bands(labels: Sequence[str]) -> Spec:
    """Return a layer that shades every second line, for lines of several marks each."""
    return {
        "data": {"values": [{"label": label} for label in labels[::2]]},
        "mark": {"type": "rect", "style": "band"},
        "encoding": {"y": lines(labels), "x": {"value": 0}, "x2": {"value": "width"}},
    }


def columns(labels: Sequence[str], title: str | None = None, field: str = "column") -> Spec:
    """Return the encoding of one column per label, named at the top."""
    scale = {"type": "band", "domain": list(labels), "padding": 0}
    axis = {"orient": "top", "labelAngle": -40, "labelAlign": "left", "labelLimit": 110, "grid": False}
    return {"field": field, "type": "nominal", "scale": scale, "title": title, "axis": axis}


def score_axis(title: str, field: str = "value", **scale: Any) -> Spec:
    """Return the encoding of a score."""
    of = {"zero": False, "nice": False, "padding": 12, **scale}
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": of,
        "axis": {"format": ".2f", "tickCount": 5, "labelFlush": 14},
    }


def kinds(present: Iterable[str], every: Sequence[str], field: str = "kind") -> Spec:
    """Return the encodings of a kind by colour and shape, the same in every chart whichever of them are ``present``."""
    there = set(present)
    shown = [kind for kind in every if kind in there]
    legend = {"values": shown} if len(shown) > 1 else None
    of = {"field": field, "type": "nominal", "title": None, "legend": legend}
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(every))]
    return {
        "color": {**of, "scale": {"domain": list(every), "range": "category"}},
        "shape": {**of, "scale": {"domain": list(every), "range": shapes}},
    }


def marks(values: Values, field: str, styles: Mapping[Any, str], encoding: Spec, mark: str = "point") -> list[Spec]:
    """Return a layer for each value of ``field`` that stands in ``values``, in the style that ``styles`` has for it."""
    return [
        {
            "transform": [{"filter": {"field": field, "equal": value}}],
            "mark": {"type": mark, "style": style},
            "encoding": encoding,
        }
        for value, style in styles.items()
        if any(of.get(field) == value for of in values)
    ]


def whiskers(values: Values, x: Spec, tooltip: list[Spec], **encoding: Any) -> list[Spec]:
    """Return the layer of the intervals from ``low`` to ``high``; none where no value has one."""
    if all(of["low"] is None for of in values):
        return []
    ends = {"x": {**x, "field": "low"}, "x2": {"field": "high"}}
    return [{"mark": {"type": "rule", "style": "interval"}, "encoding": {**ends, "tooltip": tooltip, **encoding}}]


def tips(**fields: str) -> list[Spec]:
    """Return a tooltip: field -> title; a number's title ends in its format (``UAR|.3f``)."""
    found = []
    for field, words in fields.items():
        title, _, form = words.partition("|")
        found.append(
            {"field": field, "title": title, "type": "quantitative", "format": form}
            if form
            else {"field": field, "title": title, "type": "nominal"}
        )
    return found


def metric(name: str) -> str:
    """Return a metric's name as charts print it."""
    return METRICS.get(name, name)


def dumbbells(points: Values, labels: Sequence[str], sides: Sequence[str], title: str, **tip: str) -> Spec:
    """Return the layers of a chart with several marks on each line, joined by a rule.

    Args:
        points: ``label``, ``kind`` (one of ``sides``), ``value``, and what the tooltip names.
        labels: The lines, from the top down.
        sides: What the marks are.
        title: That of the axis.
        tip: Fields of the tooltip, as :func:`tips` takes them.
    """
    x = score_axis(title)
    bar = {"aggregate": "min", **x}
    return {
        "encoding": {"y": lines(labels)},
        "layer": [
            {
                "mark": {"type": "rule", "style": "link"},
                "encoding": {"x": bar, "x2": {"aggregate": "max", "field": "value"}},
            },
            {
                "mark": {"type": "point", "style": "dot"},
                "encoding": {
                    "x": x,
                    **kinds((point["kind"] for point in points), sides),
                    "tooltip": tips(label="row", kind="what", **tip),
                },
            },
        ],
    }


def heat_map(
    cells: Values,
    rows: Sequence[str],
    across: Sequence[str],
    tooltip: list[Spec],
    *,
    titles: Mapping[str, str],
) -> Spec:
    """Return the layers of a heat map of shares in [0, 1], each with its text.

    Args:
        cells: ``label`` (down), ``column`` (across), ``share`` (null: no colour), ``text``, ``small`` (a second line,
            may be empty), and ``marked``, which draws a frame.
        rows: Names down, in their order.
        across: Names across, in their order.
        tooltip: As :func:`tips` gives it.
        titles: ``color``, and ``y`` and ``x`` where these need saying: what the three are.
    """
    dark = {"and": [{"field": "share", "valid": True}, {"field": "share", "lt": 0.55}]}
    bright = {"field": "share", "gte": 0.55}
    colour = {"condition": [{"test": dark, "value": "#ffffff"}, {"test": bright, "value": "#000000"}]}
    two = any(cell["small"] for cell in cells)
    shade = {
        "field": "share",
        "type": "quantitative",
        "scale": {"scheme": "cividis", "domain": [0, 1], "clamp": True},
        "legend": {"title": titles["color"], "format": ".1f", "orient": "bottom", "gradientLength": 160},
    }
    whole = {"filter": {"field": "share", "valid": True}}
    framed = {"filter": {"field": "marked", "equal": True}}
    number_mark = {"type": "text", "style": "share", "dy": -6 if two else 0}
    layer: list[Spec] = [
        {"transform": [whole], "mark": {"type": "rect", "style": "tile"}, "encoding": {"color": shade}},
        {"transform": [framed], "mark": {"type": "rect", "style": "frame"}, "encoding": {}},
        {"mark": number_mark, "encoding": {"text": {"field": "text"}, "color": colour}},
    ]
    if two:
        small = {"type": "text", "style": "share-small", "dy": 8}
        layer.append({"mark": small, "encoding": {"text": {"field": "small"}, "color": colour}})
    for part in layer:
        part["encoding"]["tooltip"] = tooltip
    encoding = {"y": lines(rows, titles.get("y")), "x": columns(across, titles.get("x"))}
    return {"encoding": encoding, "layer": layer}
