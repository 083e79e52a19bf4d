"""What the board says of published systems: the figure of the source, its protocol here, and an honest one."""

from __future__ import annotations

from ser_bench.records import Score
from ser_bench.report.parts import Board, System
from ser_bench.report.text import METRICS, NOTHING, interval, score

TITLE = "Published, reproduced, honest"
COLUMNS = (
    *("Model", "Published", "Reproduced WAR [95 %]", "Reproduced UAR [95 %]", "Honest WAR [95 %]"),
    *("Honest UAR [95 %]", "Difference WAR [95 %]", "Difference UAR [95 %]", "Cut"),
)


def cells_of(system: System) -> list[str]:
    """Return the cells of a published system: its name, the published figures, and here both protocols by metric."""
    stated = system.published
    figures = {} if stated is None else {name: getattr(stated, name) for name in ("war", "uar", "macro_f1")}
    sides = [_with_interval(side.get(name)) for side in (system.reproduced, system.honest) for name in ("war", "uar")]
    return [
        system.row,
        ", ".join(f"{METRICS[name]} {score(value)}" for name, value in figures.items() if value is not None) or NOTHING,
        *sides,
        *(_with_interval(system.differences.get(name), sign="+") for name in ("war", "uar")),
        system.cut or NOTHING,
    ]


def terms_of(board: Board) -> str:
    """Return what the columns of the published systems mean."""
    gap = board.gap if board.gap and board.gap.control_suite else None
    under = f"under the source's protocol ({gap.control if gap else board.suite.protocol})"
    terms = ["Published is what the source states, on its own copy of the corpora."]
    terms.append(f"Reproduced is the system, rebuilt, {under}.")
    if gap:
        terms.append(f"Honest is the same system under this suite's protocol ({board.suite.protocol}).")
        terms.append(f"The difference, reproduced less honest, is what {gap.control_suite} is worth to it.")
        if any(found.low is None for of in board.systems for found in of.differences.values()):
            terms.append("It has no interval where the two test other utterances.")
    elif any(of.honest for of in board.systems):
        terms.append("That protocol shares nothing between its sides, so the honest figures are the same.")
    if any(of.cut for of in board.systems):
        terms.append("Cut is what the source did more of.")
    return " ".join(terms)


def _with_interval(of: Score | None, sign: str = "") -> str:
    if of is None or of.value is None:
        return NOTHING
    return f"{of.value:{sign}.3f}" + (f" {interval(of)}" if of.low is not None else "")
