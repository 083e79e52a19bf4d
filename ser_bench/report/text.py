"""Numbers and names as text, the same in every file: independent of locale, and inert in a terminal."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ser_bench.records import Score

NOTHING = "–"
"""What stands where there is no number."""

METRICS = {
    "uar": "UAR",
    "war": "WAR",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "ccc": "CCC",
    "rmse": "RMSE",
    "pearson": "Pearson",
}

TARGETS = {"hard": "labels", "soft": "votes", "values": "numbers"}

_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

T = TypeVar("T", bound=msgspec.Struct)


def shown_metrics(primary: str) -> list[str]:
    """Return the metrics that have a column of their own, the primary one first."""
    if primary == "ccc":
        return ["ccc", "rmse", "pearson"]
    return [primary, *(name for name in ("uar", "war", "macro_f1") if name != primary)]


def side_metric(primary: str) -> str:
    """Return the metric that is told by side, by fold and by seed."""
    return "ccc" if primary == "ccc" else "uar"


def fold_spread(row: Any) -> tuple[float | None, float | None]:
    """Return mean and sd over folds of a record's, or a board's, row."""
    if "ccc" in row.scores:
        return row.ccc_fold_mean, row.ccc_fold_sd
    return row.uar_fold_mean, row.uar_fold_sd


def plain(text: str) -> str:
    r"""Return ``text`` on one line, each control, bidirectional or other invisible character spelt out.

    They are spelt out (``\x1b``) and not dropped, so that two names that differ still do.
    """
    if text.isascii() and text.isprintable():  # nearly all are, of the many in a record
        return text.strip()
    return _INVISIBLE.sub(lambda found: _spelt(found[0]), _BREAKS.sub(" ", text)).strip()


def plain_struct(value: T) -> T:
    """Return a copy of a record in which every string, keys too, went through :func:`plain`."""
    return msgspec.convert(_plain_tree(msgspec.to_builtins(value)), type(value))


def score(value: float | None) -> str:
    """Return a score with three decimals."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.3f}"


def p_value(p: float | None) -> str:
    """Return a p with three decimals; the smallest ones in words, since none is 0."""
    return NOTHING if p is None else f"{p:.3f}" if p >= 0.001 else "below 0.001"


def measure(value: float | None, digits: int = 3) -> str:
    """Return a cost with ``digits`` significant digits, never in exponential notation."""
    if value is None or not math.isfinite(value):
        return NOTHING
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}"


def count(n: int | None, noun: str = "") -> str:
    """Return ``1,440 utterances``; the noun takes its (e)s where n is not 1."""
    if n is None:
        return NOTHING
    plural = "" if n == 1 or not noun else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{plural}".rstrip()


def interval(of: Score | None) -> str:
    """Return ``[0.351, 0.493]``, or why there is none."""
    if of is None or of.value is None:
        return ""
    if of.low is None or of.high is None:
        _, _, why = of.method.partition(":")
        return f"no interval: {why.strip()}" if why else "no interval"
    return f"[{score(of.low)}, {score(of.high)}]"


def mean_sd(mean: float | None, sd: float | None) -> str:
    """Return ``0.412 ± 0.031``; the sd only where there is one."""
    return score(mean) if sd is None else f"{score(mean)} ± {score(sd)}"


def params(values: Mapping[str, Any]) -> str:
    """Return ``C=0.01, penalty=l2``, sorted by name."""
    return ", ".join(f"{key}={_param(values[key])}" for key in sorted(values))


def short(digest: str) -> str:
    """Return the head of a digest, enough to find it by."""
    return digest[:12] or NOTHING


def slug(name: str) -> str:
    """Return ``name`` as part of a file's name: as it is where it is tame, else its head and its digest."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,59}", name):
        return name
    head = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-")
    return f"{head}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}".lstrip("-")


def clip(text: str, width: int) -> str:
    """Return at most ``width`` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


def listing(names: Iterable[str], most: int = 6) -> str:
    """Return ``a, b, c and 4 more``."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, style: str) -> str:
    """Return a table of text, the first ``left`` columns flush left and the others flush right.

    Args:
        header: Column titles.
        rows: Cells, shape (n_rows, n_columns).
        left: Number of columns of words.
        style: A format of tabulate.
    """
    import tabulate

    wide = tabulate.WIDE_CHARS_MODE
    tabulate.WIDE_CHARS_MODE = False  # else the padding would depend on whether wcwidth is installed
    try:
        align = ["left"] * left + ["right"] * (len(header) - left)
        return tabulate.tabulate(rows, header, tablefmt=style, colalign=align, disable_numparse=True)
    finally:
        tabulate.WIDE_CHARS_MODE = wide


def _param(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _plain_tree(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {_plain_tree(key): _plain_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_tree(item) for item in value]
    return value
