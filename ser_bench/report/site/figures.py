"""Which charts stand on a suite's page and on the index, and what they need beside the board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import msgspec

from ser_bench.report import charts
from ser_bench.report.across_suites import MeanRanks, of_boards
from ser_bench.report.charts import Chart
from ser_bench.report.parts import Board, GroupTable, Matrix, Row, Table
from ser_bench.report.site.collect import Entry, Suite

SECTIONS = {
    "recall": "Recall by class",
    "speakers": "Speakers",
    "calibration": "Calibration",
    "confusions": "Confusions",
    "costs": "Costs",
    "stress": "Robustness",
    "curves": "Learning curves",
}
"""The sections of a suite's page that stand there where some row has what they show, with their titles."""

MOST_DRAWN = 24
"""Rows of a table that its charts draw, the best first; its tables hold all."""

MOST_RELIABILITY = 3
"""Rows whose reliability is drawn large."""


class Across(NamedTuple):
    """The mean ranks over suites, and their chart."""

    ranks: MeanRanks
    chart: Chart


class Drawn:
    """The charts of a suite's page, each made when it is asked for; ``any`` says whether some were."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.any = False

    def section(self, key: str) -> list[tuple[Table, list[Chart]]]:
        """Return the tables some row of which has what a section shows, each with its charts."""
        return [
            (table, self.of_table(table, key))
            for table in self.board.tables
            if any(_shows(row, key) for row in table.rows)
        ]

    def of_table(self, table: Table, key: str) -> list[Chart]:
        """Return the charts of a table in a section; recalls and confusions are drawn as shaded tables."""
        suite = self.board.suite
        few = msgspec.structs.replace(table, rows=table.rows[:MOST_DRAWN])
        if key == "results":
            return self._kept(charts.ranking(few, suite.primary, suite.references))
        if key == "speakers":
            return self._kept(charts.speakers(few, suite.primary))
        if key == "calibration":
            rows = [row for row in few.rows if row.evidence.calibration]
            return self._kept(*map(charts.reliability, rows[:MOST_RELIABILITY]))
        if key == "costs":
            return self._kept(charts.pareto(few, suite.primary))
        if key == "stress":
            return self._kept(charts.stress(few, suite.primary))
        return []

    def of_groups(self, groups: GroupTable) -> list[Chart]:
        """Return the chart of a table by group."""
        return self._kept(charts.by_group(msgspec.structs.replace(groups, rows=groups.rows[:MOST_DRAWN])))

    def of_row(self, row: Row) -> list[Chart]:
        """Return the charts of a row's details."""
        return self._kept(charts.curves(row))

    def of_matrix(self, matrix: Matrix) -> list[Chart]:
        """Return the heat map of a matrix."""
        return self._kept(charts.matrix(matrix, self.board.suite.primary))

    def of_gap(self) -> list[Chart]:
        """Return the chart of the protocol gap."""
        return self._kept(charts.gap(self.board))

    def of_systems(self) -> list[Chart]:
        """Return the chart of the published systems."""
        return self._kept(charts.systems(self.board))

    def front_of(self, table: Table) -> set[str]:
        """Return the anchors of the rows that no other is both faster and better than."""
        return {row.anchor for row in charts.front(table, self.board.suite.primary)}

    def _kept(self, *made: Chart | None) -> list[Chart]:
        found = [chart for chart in made if chart is not None]
        self.any |= bool(found)
        return found


def across(suites: Sequence[Suite]) -> Across | None:
    """Return the mean ranks over suites, of each label the best ranked row; None where there are too few suites."""
    boards = [_best_of_each(suite) for suite in suites]
    ranks, chart = of_boards(boards), charts.critical_difference(boards)
    return None if ranks is None or chart is None else Across(ranks, chart)


def _best_of_each(suite: Suite) -> Board:
    """Return the board with one row per label and table, as if all were of one run."""
    by_anchor = {entry.row.anchor: entry for entry in suite.entries}

    def reduced(table: Table) -> Table:
        found: dict[str, Entry] = {}
        for row in table.rows:  # the best come first
            entry = by_anchor[row.anchor]
            found.setdefault(entry.record.row, entry)
        rows = tuple(msgspec.structs.replace(entry.row, row=entry.record.row) for entry in found.values())
        return msgspec.structs.replace(table, rows=rows)

    return msgspec.structs.replace(suite.board, tables=tuple(map(reduced, suite.board.tables)))


def last_values(row: Row) -> list[tuple[str, float]]:
    """Return the last value of each series of a row's learning curves, the mean over its fits."""
    found: dict[str, list[float]] = {}
    for curve in row.curves:
        for series, values in curve.values.items():
            known = [value for value in values if value is not None]
            if known:
                found.setdefault(series, []).append(known[-1])
    return [(series, fmean(values)) for series, values in sorted(found.items())]


def embedded(spec: dict[str, Any]) -> Any:
    """Return a chart as JSON that no parser of HTML mistakes for markup; ``site.js`` turns columns into rows again."""
    from markupsafe import Markup

    data = json.dumps(_columns(spec), separators=(",", ":"), sort_keys=True, allow_nan=False)
    return Markup(data.replace("<", "\\u003c"))


def _columns(part: Any) -> Any:
    """Return a specification whose data are by column: rows would name every field again and again."""
    if isinstance(part, list):
        return [_columns(item) for item in part]
    if not isinstance(part, dict):
        return part
    values = part.get("values")
    rows = values if isinstance(values, list) and all(isinstance(row, dict) for row in values) else []
    names = dict.fromkeys(name for row in rows for name in row)
    if names:
        return {**part, "values": {name: _column([row.get(name) for row in rows]) for name in names}}
    return {name: _columns(item) for name, item in part.items()}


def _column(values: list[Any]) -> Any:
    """Return a column, or where few values stand there again and again, these and the place of each in them."""
    places: dict[str, int] = {}
    at = [places.setdefault(json.dumps(value), len(places)) for value in values]
    if 3 * len(places) > len(values):
        return values
    return {"of": [json.loads(value) for value in places], "places": at}


def _shows(row: Row, key: str) -> bool:
    found = row.evidence
    return bool(
        {
            "recall": row.per_class,
            "speakers": [speaker for speaker in found.speakers if speaker.value is not None],
            "calibration": found.calibration,
            "confusions": found.confused,
            "costs": row.timing,
            "stress": row.stress,
            "curves": row.curves,
        }[key]
    )
