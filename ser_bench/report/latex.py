"""The board as LaTeX tables in the style of booktabs; no name in it can become a command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from ser_bench.report import wording
from ser_bench.report.parts import Board, Row, Table
from ser_bench.report.text import METRICS, NOTHING, clip, interval, measure, plain, score, short, shown_metrics, slug

_NAME_WIDTH = 48
_TEXT_WIDTH = 400

_HEAD = r"""% \usepackage{booktabs}
% \usepackage[T1]{fontenc}
% \usepackage[utf8]{inputenc}  % this and the next one before 2020
% \usepackage{textcomp}
"""

_LATENCY = "Latency is the median of one utterance at a time, from decoding to the label"

_GROUPS = {"unranked": "Not ranked", "reference": "Reference"}

_MACROS = {
    **{character: f"\\{character}" for character in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "–": "--",
    "—": "---",
    "‘": "{`}",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "·": r"\textperiodcentered{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "↓": r"$\downarrow$",
    "−": "$-$",
    "\xa0": "~",
    "\u202f": r"\,",
}

_SPECIAL = re.compile(r"(?<=-)-|(?<=,),|(?<=')'|^[\[*]|[^]\[A-Za-z0-9 .,;:()/'+=@!?*-]")
"""Also ligatures (``--``), and what would be an argument of a line's end before it."""

_LETTERS = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
    "ĂăĄąĆćČčĎďĐđĘęĚěĞğİıĹĺĽľŁłŃńŇňŐőŒœŔŕŘřŚśŞşŠšŢţŤťŮůŰűŸŹźŻżŽž"
)
"""Letters beyond ASCII that pdfLaTeX sets in its T1 fonts; others are spelt out, for they would end the run."""


def render_latex(board: Board) -> bytes:
    """Return a table per table of the board, each with its protocol, counts and kind of interval in its caption."""
    tables = [_table(board, table, number) for number, table in enumerate(board.tables, start=1)]
    return (_HEAD + "\n".join("\n".join(table) + "\n" for table in tables)).encode()


def tex(text: str) -> str:
    """Return ``text`` such that LaTeX sets it as it is, whatever it holds; what no font has as ``U+1F3A4``."""
    return _SPECIAL.sub(_macro, plain(text))


def _macro(found: re.Match[str]) -> str:
    character = found[0]
    if character in _LETTERS:
        return character
    if character in "-,'[*":
        return f"{{{character}}}"
    return _MACROS.get(character) or f"(U+{ord(character):04X})"


def _table(board: Board, table: Table, number: int) -> Iterator[str]:
    primary, *others = shown_metrics(board.suite.primary)
    header = ["Rank", "Model", "Features", f"{tex(METRICS[primary])} [95\\,\\%]"]
    header += [*(tex(METRICS[name]) for name in others), "Speakers", "Latency (ms)"]
    yield r"\begin{table}"
    yield r"  \centering"
    yield rf"  \caption{{{_caption(board, table)}}}"
    yield rf"  \label{{tab:{slug(board.suite.name)}-{number}}}"
    yield r"  \small"
    yield rf"  \begin{{tabular}}{{rll{'r' * (len(header) - 3)}}}"
    yield r"    \toprule"
    yield f"    {' & '.join(header)} \\\\"
    for standing, rows in groupby((row for row in table.rows if row.scores), key=lambda row: row.standing):
        yield r"    \midrule"
        if standing in _GROUPS:
            yield rf"    \multicolumn{{{len(header)}}}{{l}}{{\emph{{{_GROUPS[standing]}}}}} \\"
        for row in rows:
            yield f"    {' & '.join(_cells(row, primary, others))} \\\\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"\end{table}"


def _cells(row: Row, primary: str, others: Sequence[str]) -> list[str]:
    latency = row.timing.latency if row.timing else None
    first = row.scores.get(primary)
    bounds = interval(first) if first and first.low is not None else ""
    return [
        _number(NOTHING if row.rank is None else str(row.rank)),
        tex(clip(row.row, _NAME_WIDTH)),
        tex(clip(row.features.name, _NAME_WIDTH) if row.features else NOTHING),
        _number(f"{score(first.value if first else None)} {bounds}".strip()),
        *(_number(score(row.scores[name].value if name in row.scores else None)) for name in others),
        str(row.n_test_speakers),
        _number(measure(latency.p50_ms if latency else None)),
    ]


def _number(text: str) -> str:
    return tex(text.replace("-", "−"))


def _caption(board: Board, table: Table) -> str:
    suite = board.suite
    missing = [f"{row.row} ({row.standing}: {row.reason})" for row in table.rows if not row.scores]
    title = suite.title if table.train is None and len(board.tables) == 1 else f"{suite.title}, {table.title}"
    sentences = [
        *(f"{notice.kind.capitalize()}: {notice.text}" for notice in board.notices if notice.kind != "note"),
        f"Protocol: {suite.protocol}",
        f"Tested: {wording.size(table.n_test, table.n_test_speakers)}",
        *table.notes,
        *(["Without a score: " + ", ".join(clip(of, _TEXT_WIDTH) for of in missing)] if missing else []),
        *([_LATENCY] if any(row.timing and row.timing.latency for row in table.rows) else []),
        f"Suite {suite.name}, version {suite.version}, digest {short(suite.digest)}",
    ]
    told = " ".join(f"{tex(clip(sentence.removesuffix('.'), _TEXT_WIDTH))}." for sentence in sentences)
    return f"{tex(clip(title, _TEXT_WIDTH))}. {told}"
