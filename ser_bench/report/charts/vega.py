"""Vega on a page and off it: the script that draws charts in a browser, their configuration, and static SVG."""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib.resources import files
from typing import Any

from ser_bench.errors import PrerequisiteError
from ser_bench.report.charts.drawing import Chart

VEGA_LITE = "6.4"
"""The release of Vega-Lite that draws: vl-convert-python 1.9 has it, with Vega 6.2 and vega-embed 7.0."""

STATIC_WIDTH = 640
"""Width of the plotting area of a static picture, in pixels."""

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_STATIC_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def _config(ink: str, muted: str, line: str, band: str, category: list[str]) -> dict[str, Any]:
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal"}
    axis = {**text, "gridColor": line, "domainColor": muted, "tickColor": muted, "labelLimit": 200}
    return {
        "background": "transparent",
        "font": _FONT,
        "axis": axis,
        "axisBand": {"ticks": False, "domain": False, "labelPadding": 6},
        "legend": {**text, "orient": "top", "symbolSize": 110, "symbolStrokeWidth": 2, "labelLimit": 260, "columns": 3},
        "view": {"stroke": None},
        "range": {"category": category},
        "mark": {"color": category[0]},
        "style": {
            "band": {"color": band},
            "interval": {"color": muted, "strokeWidth": 2},
            "link": {"color": muted, "strokeWidth": 2.5},
            "front": {"color": muted, "strokeWidth": 2, "interpolate": "step-after"},
            "guide": {"color": ink, "strokeWidth": 1.5, "strokeDash": [5, 4]},
            "dot": {"filled": True, "size": 95, "opacity": 1},
            "hollow": {"filled": False, "size": 95, "opacity": 1, "strokeWidth": 2},
            "grain": {"filled": True, "size": 34, "opacity": 0.55, "color": category[0]},
            "worst": {"filled": True, "size": 80, "opacity": 1, "color": category[1], "shape": "triangle-down"},
            "whole": {"color": ink, "thickness": 2.5, "size": 16},
            "note": {"color": ink, "fontSize": 12},
            "name-left": {"color": ink, "fontSize": 12, "align": "left", "dx": -4, "dy": -12, "limit": 150},
            "name-right": {"color": ink, "fontSize": 12, "align": "right", "dx": 4, "dy": -12, "limit": 150},
            "name-below": {"color": ink, "fontSize": 11, "align": "left", "dx": -5, "dy": 13, "limit": 120},
            "tile": {"stroke": None},
            "frame": {"color": "transparent", "stroke": category[1], "strokeWidth": 2.5},
            "share": {"fontSize": 13, "color": ink},
            "share-small": {"fontSize": 10, "color": ink},
            "curve": {"strokeWidth": 1.4, "opacity": 0.75},
            "bullet": {"filled": True, "opacity": 1, "color": category[0]},
            "pointer": {"opacity": 0, "size": 90},
        },
    }


# Okabe and Ito's colours, the dark or the light ones of each pair first, so that they stand out from the paper.
CONFIG_LIGHT = _config(
    "#1b2026",
    "#59626b",
    "#e2e5e3",
    "#eef1ee",
    ["#0072b2", "#d55e00", "#009e73", "#a2508a", "#8a6500", "#4a4f55", "#3f94c9", "#7d2e00"],
)
CONFIG_DARK = _config(
    "#e7eaec",
    "#a2acb5",
    "#333a40",
    "#20262b",
    ["#56b4e9", "#e69f00", "#2fc295", "#e3a0c6", "#f0e442", "#c9ced3", "#9ecfee", "#ff8a4c"],
)


@cache
def javascript() -> str:
    """Return one script with Vega, Vega-Lite, vega-embed and what draws the charts of a page; about 900 kB.

    It draws into ``figure.chart > .drawing`` what the figure's ``script[type="application/json"]`` holds, when it is
    scrolled to, before printing, and again when the page turns dark or light. It needs no module loader, no network,
    no evaluation of strings and no inline style, so it runs from ``file://`` under a strict policy; it defines no
    global name. The same vl-convert-python gives the same text.

    Raises:
        PrerequisiteError: If vl-convert-python is not installed.
    """
    configs = json.dumps({"light": CONFIG_LIGHT, "dark": CONFIG_DARK}, separators=(",", ":"), sort_keys=True)
    own = (files("ser_bench.report.charts") / "embed.js").read_text("utf-8")
    bundle = _converter().javascript_bundle(snippet=f"const CONFIGS = {configs};\n{own}", vl_version=VEGA_LITE)
    return f'(() => {{\n"use strict";\n{bundle}\n}})();\n'


def svg(chart: Chart) -> str:
    """Return the chart as a static picture on light paper; the same bytes for the same chart.

    Raises:
        PrerequisiteError: If vl-convert-python is not installed.
    """
    return _converter().vegalite_to_svg(**_static(chart))


def _static(chart: Chart) -> dict[str, Any]:
    spec = {**copy.deepcopy(chart.spec), "width": STATIC_WIDTH}
    return {"vl_spec": spec, "vl_version": VEGA_LITE, "config": {**CONFIG_LIGHT, "font": _STATIC_FONT}}


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise PrerequisiteError(
            "charts need vl-convert-python, which is not installed", hint="pip install vl-convert-python"
        ) from None
    return vl_convert
