"""A badge for a README: the best ranked score with its interval and speakers, or in grey why there is none."""

from __future__ import annotations

import html
import re

from ser_bench.records import Score
from ser_bench.report import wording
from ser_bench.report.parts import Board
from ser_bench.report.text import METRICS, clip, count, listing

_BLUE, _GREY, _DARK = "#0b5fa5", "#6b6b6b", "#3c3c3c"
_LABEL_WIDTH = 40
_SPOILT = ("canary", "control", "synthetic", "partial", "override")
"""Kinds of notices under which a score is no result to show off."""

_WIDTHS = {
    **dict.fromkeys("0123456789", 7.0),
    **dict.fromkeys("il", 3.1),
    **dict.fromkeys(" ,.·", 3.9),
    **dict.fromkeys("fjrtIJ()[]:;/'|-", 4.9),
    **dict.fromkeys("csvxyzk", 6.1),
    **dict.fromkeys("abdeghnopqu_–", 6.8),
    **dict.fromkeys("ABCEFKLPRSTVXYZ", 7.6),
    **dict.fromkeys("DGHNOQUw+=<>", 8.6),
    **dict.fromkeys("mMW@%", 11.0),
}
_WIDEST = 11.0
"""Advance of a character in pixels, of Verdana at 11 px; what is not listed takes the widest."""


def render_badge(board: Board) -> bytes:
    """Return an SVG image, 20 px high, that loads nothing; its title says the whole of it."""
    reason, shown, told = _result(board)
    label = f"{board.suite.name} v{board.suite.version}"
    return _svg(clip(label, _LABEL_WIDTH), clip(shown, _LABEL_WIDTH), f"{label}: {told}", _GREY if reason else _BLUE)


def _result(board: Board) -> tuple[bool, str, str]:
    """Return whether there is nothing to show, what the badge shows, and what its title says."""
    ranked = [table for table in board.tables if any(row.standing == "ranked" for row in table.rows)]
    spoilt = sorted({notice.kind for notice in board.notices} & set(_SPOILT), key=_SPOILT.index)
    if spoilt:
        return True, listing(spoilt), " ".join(n.text for n in board.notices if n.kind in spoilt)
    if not ranked:
        reasons = sorted({row.reason for table in board.tables for row in table.rows if row.scores and row.reason})
        return True, "not ranked", f"nothing is ranked ({listing(reasons, 3) or 'no row has a score'})"
    if len(ranked) > 1:
        return True, count(len(ranked), "test set"), f"{count(len(ranked), 'test set')}, each with its own ranking"
    (table,) = ranked
    best = table.rows[0]
    metric, score = METRICS[board.suite.primary], best.scores[board.suite.primary]
    text = f"{metric} {_with_interval(score)}"
    speakers = count(table.n_test_speakers, "speaker")
    size = wording.size(table.n_test, table.n_test_speakers)
    equal = sum(row.rank == best.rank for row in table.rows) - 1
    shared = f", sharing its rank with {count(equal, 'row')}" if equal else ""
    return False, f"{text} · {speakers}", f"{text} by {best.row}{shared}, tested on {size}"


def _with_interval(score: Score) -> str:
    bounds = "" if score.low is None or score.high is None else f" [{_brief(score.low)}, {_brief(score.high)}]"
    return f"{_brief(score.value or 0.0)}{bounds}"


def _brief(value: float) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", f"{value + 0.0:.2f}")


def _svg(label: str, value: str, title: str, colour: str) -> bytes:
    left, right = (round(sum(_WIDTHS.get(character, _WIDEST) for character in text)) for text in (label, value))
    wide, title = left + right + 24, _escaped(title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="20" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        f'<clipPath id="round"><rect width="{wide}" height="20" rx="3"/></clipPath>',
        '<g clip-path="url(#round)">',
        f'<rect width="{left + 12}" height="20" fill="{_DARK}"/>',
        f'<rect x="{left + 12}" width="{right + 12}" height="20" fill="{colour}"/>',
        "</g>",
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">',
        f'<text x="6" y="14" textLength="{left}">{_escaped(label)}</text>',
        f'<text x="{left + 18}" y="14" textLength="{right}">{_escaped(value)}</text>',
        "</g>",
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return html.escape(_NOT_XML.sub("\ufffd", text))


_NOT_XML = re.compile("[\ufffe\uffff]")
"""What XML 1.0 refuses and a board's text may still hold."""
