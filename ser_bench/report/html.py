"""The board as one HTML file that needs nothing else: no network, no font, no library; scripts only sort."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from ser_bench.records import Score
from ser_bench.report import comparison, stress_table, systems, text, wording
from ser_bench.report.parts import Board, Cell, Matrix, Row

if TYPE_CHECKING:
    from jinja2 import Environment

_SHADES = 10

MOST_POINTS = 50
"""Points of a search that the page shows; the record holds all."""


class Bar(NamedTuple):
    """An interval drawn on the scale 0 to 100: ends, value, and the score of a constant guess or None."""

    low: str
    width: str
    value: str
    constant: str | None


class Share(NamedTuple):
    """A cell of a confusion matrix: per cent of its row (or None), count, shade 0 to 10, on the diagonal."""

    percent: int | None
    n: int
    shade: int
    hit: bool


def render_html(board: Board) -> str:
    """Return the board as one HTML document.

    Every text of a record is escaped, and the page's policy allows no script or style but its own.
    """
    from markupsafe import Markup

    style = Markup((files("ser_bench.report") / "board.css").read_text("utf-8"))
    return templates().get_template("board.html").render(style=style, **board_context(board)) + "\n"


def templates(package: str = "ser_bench.report") -> Environment:
    """Return the templates of ``package``, and of this one, with what they print by; every text is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> tuple[str, str, None] | None:
        places = (files(place) / name for place in (package, "ser_bench.report"))
        return next(((place.read_text("utf-8"), str(place), None) for place in places if place.is_file()), None)

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(source),
    )
    environment.filters |= {
        "clip": text.clip,
        "costs": costs,
        "count": text.count,
        "counted": wording.counted,
        "counts": wording.corpus_counts,
        "csp_hash": csp_hash,
        "exclusions": wording.exclusions,
        "gap_cells": wording.gap_cells,
        "gap_terms": wording.gap_terms,
        "group_terms": wording.group_terms,
        "fold_spread": text.fold_spread,
        "importance": "{:.4f}".format,
        "interval": text.interval,
        "mean_sd": text.mean_sd,
        "means": matrix_means,
        "measure": text.measure,
        "params": text.params,
        "score": text.score,
        "searched": searched,
        "shade": shade,
        "shares": confusion_shares,
        "short": text.short,
        "warnings": wording.warnings,
        "without_one": without_one,
    }
    environment.globals |= {
        "bar": bar,
        "comparison": comparison,
        "machine_line": wording.machine,
        "size": wording.size,
        "soft_terms": wording.soft_terms,
        "stress_cells": stress_table.cells_of,
        "stress_conditions": stress_table.conditions_of,
        "stress_terms": stress_table.terms_of,
        "system_cells": systems.cells_of,
        "targets": text.TARGETS,
    }
    return environment


def board_context(board: Board) -> dict[str, Any]:
    """Return what the macros of a board's tables and sections find beside their arguments.

    ``at`` makes the address of an anchor, ``tags`` further attributes of a row's line in the tables.
    """
    return {
        "at": "#{}".format,
        "board": board,
        "definitions": list(wording.definitions(board)),
        "gap_title": wording.GAP,
        "key": Score(value=0.6, low=0.45, high=0.75),
        "main": text.side_metric(board.suite.primary),
        "metrics": text.METRICS,
        "nothing": text.NOTHING,
        "primary": board.suite.primary,
        "references": (wording.REFERENCES, wording.REFERENCE_TERMS),
        "shown": text.shown_metrics(board.suite.primary),
        "systems": (systems.TITLE, systems.terms_of(board), systems.COLUMNS),
        "tags": lambda row: "",
    }


def csp_hash(content: str) -> str:
    """Return the source expression by which a content security policy lets exactly ``content`` through."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def bar(score: Score | None, constant: float | None) -> Bar | None:
    """Return the drawing of a score, or None where there is none to draw; below 0 nothing is drawn but the edge."""
    if score is None or score.value is None:
        return None
    low, value, high = (max(0.0, score.value if end is None else end) for end in (score.low, score.value, score.high))
    mark = None if constant is None else _percent(constant)
    return Bar(_percent(low), _percent(high - low), _percent(value), mark)


def costs(row: Row) -> list[tuple[float | None, str]]:
    """Return the costs of a row in the order of their columns, as number and as text."""
    timing, latency = row.timing, row.timing.latency if row.timing else None
    times = [
        timing.fit_s if timing else None,
        *((latency.p50_ms, latency.p95_ms) if latency else (None, None)),
    ]
    rtf, peak = (timing.rtf, timing.peak_mib) if timing else (None, None)
    return [
        *((value, text.measure(value)) for value in times),
        (rtf, text.measure(rtf, 2)),
        (peak, text.measure(peak)),
    ]


def searched(row: Row) -> list[tuple[str, float, list[str]]]:
    """Return (point, mean score, score of each judged part by fold) of the best points of a search, best first."""
    lines = []
    for point in row.search:
        parts = [" ".join(text.score(score) for score in scores) for scores in point.scores.values()]
        lines.append((text.params(point.params), fmean(fmean(scores) for scores in point.scores.values()), parts))
    return sorted(lines, key=lambda line: -line[1])[:MOST_POINTS]


def shade(share: float | None) -> int:
    """Return the shade of a share in [0, 1]: 0 (none) to 10."""
    return 0 if share is None else min(_SHADES, max(0, round(share * _SHADES)))


def confusion_shares(row: Row) -> list[tuple[str, int, list[Share]]]:
    """Return (class, spoken, cells) by true class, each cell with its share of the row."""
    lines = []
    for i, (name, counts) in enumerate(zip(row.classes, row.confusion, strict=True)):
        spoken = sum(counts)
        shares = [n / spoken if spoken else None for n in counts]
        cells = [
            Share(None if share is None else round(100 * share), n, shade(share), i == j)
            for j, (n, share) in enumerate(zip(counts, shares, strict=True))
        ]
        lines.append((name, spoken, cells))
    return lines


def matrix_means(matrix: Matrix) -> tuple[list[float | None], list[float | None]]:
    """Return the means of the rows and of the columns, scores within one corpus left out; None where none is left."""
    apart = [
        [cell.value if cell and train != test else None for test, cell in zip(matrix.test, line, strict=True)]
        for train, line in zip(matrix.train, matrix.cells, strict=True)
    ]
    return [_mean(line) for line in apart], [_mean(line) for line in zip(*apart, strict=True)]


def without_one(board: Board) -> tuple[list[str], list[tuple[str, list[Cell | None], float | None]]]:
    """Return the corpora that were tested after training on several others, and (row, cells, mean) of each row."""
    tables = [table for table in board.tables if table.train and " + " in table.train and table.test]
    tests = sorted({table.test or "" for table in tables})
    found: dict[str, dict[str, Cell]] = {}
    for table in tables:
        for row in table.rows:
            score = row.scores.get(board.suite.primary)
            status = row.standing if row.standing in ("failed", "skipped") else "ok"
            cell = Cell(value=score.value if score else None, status=status, anchor=row.anchor)
            found.setdefault(row.row, {})[table.test or ""] = cell
    return tests, [
        (row, [of.get(test) for test in tests], _mean([cell.value for cell in of.values()]))
        for row, of in sorted(found.items())
    ]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".")
