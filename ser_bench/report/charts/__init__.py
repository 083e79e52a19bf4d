r"""The charts of a board: Vega-Lite specifications (plain dictionaries, data inline) made of the board's parts.

Each function returns a :class:`~ser_bench.report.charts.drawing.Chart`, or None where there is nothing to draw. A page
shows a chart so, and loads the script that :func:`javascript` returns, once, from a file of its own::

    <figure class="chart">
    <div class="drawing" role="img" aria-label="{{ chart.title }}. {{ chart.description }}"></div>
    <script type="application/json">{{ chart.spec as JSON, "<" written as \u003c }}</script>
    <figcaption>…</figcaption>
    </figure>

The script needs of a policy no more than ``script-src`` and ``style-src`` of its own kind: nothing inline, no ``eval``.
Without it, or elsewhere, :func:`svg` gives a static picture.
"""

from __future__ import annotations

from ser_bench.report.charts.boards import critical_difference, gap, matrix, systems
from ser_bench.report.charts.drawing import Chart
from ser_bench.report.charts.ranking import front, pareto, ranking
from ser_bench.report.charts.rows import confusion, curves, reliability
from ser_bench.report.charts.tables import by_group, gender, recalls, speakers, stress
from ser_bench.report.charts.vega import CONFIG_DARK, CONFIG_LIGHT, javascript, svg

__all__ = [
    "CONFIG_DARK",
    "CONFIG_LIGHT",
    "Chart",
    "by_group",
    "confusion",
    "critical_difference",
    "curves",
    "front",
    "gap",
    "gender",
    "javascript",
    "matrix",
    "pareto",
    "ranking",
    "recalls",
    "reliability",
    "speakers",
    "stress",
    "svg",
    "systems",
]
