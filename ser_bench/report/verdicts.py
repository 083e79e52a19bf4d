"""What the gate says: a table for the terminal, Markdown for a pull request, JUnit XML for a CI server."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from ser_bench.gate import Check, Comparison
from ser_bench.report.markdown import inert, pipes
from ser_bench.report.text import METRICS, NOTHING, aligned, clip, count, listing, measure, plain, score

_ROW_WIDTH = 40
_WHY_WIDTH = 300
_FACT_WIDTH = 60
_HEADER = ("row", "metric", "base", "head", "difference", "margin", "verdict")


def render_comparison(comparison: Comparison) -> str:
    """Return the comparison for a terminal: every check, why those that are not ok are not, what differs."""
    lines = [f"{plain(comparison.head)} against {plain(comparison.base)}"]
    cells = [[clip(name.rpartition("::")[2], _ROW_WIDTH), *rest] for name, *rest in map(_cells, comparison.checks)]
    lines += ["", *aligned(_header(comparison), cells, left=2, style="simple").splitlines(), ""]
    n_above = len(lines)
    for check in comparison.checks:
        lines += [_reason(check)] if check.verdict != "ok" else []
        lines += [f"  try: {check.hint}"] if check.failed and check.hint else []
    lines += [f"only in the head: {listing(map(plain, comparison.only_in_head))}"] if comparison.only_in_head else []
    lines += [f"differs: {line}" for line in _differing(comparison)]
    lines += [""] if len(lines) > n_above else []
    return "\n".join([*lines, conclusion(comparison)]) + "\n"


def render_comparison_markdown(comparison: Comparison) -> str:
    """Return the comparison as GitHub-flavoured Markdown; no name in it can become markup."""
    parts = [
        f"**{inert(conclusion(comparison))}** {inert(plain(comparison.head))} against {inert(plain(comparison.base))}",
    ]
    rows = []
    for check in comparison.checks:
        name, metric, *figures, verdict = _cells(check)
        rows.append([inert(name), inert(metric), *figures, f"**{verdict}**" if check.failed else verdict])
    parts.append(pipes([title.capitalize() for title in _header(comparison)], rows, left=2))
    reasons = [f"- {inert(clip(_reason(check), _WHY_WIDTH))}" for check in comparison.checks if check.verdict != "ok"]
    if reasons:
        parts.append("\n".join(reasons))
    if comparison.only_in_head:
        parts.append(f"Only in the head: {inert(listing(map(plain, comparison.only_in_head)))}")
    if comparison.differing:
        lines = "\n".join(f"- {inert(line)}" for line in _differing(comparison))
        parts.append(f"<details><summary>What differs</summary>\n\n{lines}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def render_junit(comparison: Comparison) -> bytes:
    """Return the comparison as JUnit XML: a test case per check, a failure for each that failed.

    Characters that XML can't hold are spelt out.
    """
    suite = ElementTree.Element(
        "testsuite",
        name=plain(f"ser-bench compare {comparison.base} {comparison.head}"),
        tests=str(len(comparison.checks)),
        failures=str(sum(check.failed for check in comparison.checks)),
        errors="0",
        skipped="0",
    )
    for check in comparison.checks:
        case = ElementTree.SubElement(suite, "testcase", classname=plain(comparison.head), name=_about(check))
        if check.failed:
            failure = ElementTree.SubElement(case, "failure", message=f"{check.verdict}: {_why(check)}", type="gate")
            failure.text = _in_full(check)
        else:
            ElementTree.SubElement(case, "system-out").text = f"{check.verdict}: {_in_full(check)}"
    root = ElementTree.Element("testsuites")
    root.append(suite)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def conclusion(comparison: Comparison) -> str:
    """Return the outcome in a sentence."""
    failed = sum(check.failed for check in comparison.checks)
    unsure = sum(check.verdict == "inconclusive" for check in comparison.checks)
    n = count(len(comparison.checks), "check")
    if failed:
        return f"The gate failed: {failed} of {n}."
    if not any(check.margin for check in comparison.checks):
        return f"Nothing was asked to fail: {n}."
    return f"The gate passed: {n}{f', {unsure} inconclusive' if unsure else ''}."


def _header(comparison: Comparison) -> list[str]:
    sure = f"[{100 * comparison.confidence:g} % each side]"
    return [f"{title} {sure}" if title == "difference" else title for title in _HEADER]


def _cells(check: Check) -> list[str]:
    return [
        plain(_name(check)),
        check.metric,
        _figure(check, check.base),
        _figure(check, check.head),
        _difference(check),
        check.margin or NOTHING,
        check.verdict,
    ]


def _figure(check: Check, value: float | None) -> str:
    return score(value) if check.metric in METRICS else measure(value, 4)


def _difference(check: Check) -> str:
    if check.difference is None:
        return NOTHING
    bounds = f" [{_signed(check, check.low)}, {_signed(check, check.high)}]" if check.low is not None else ""
    return f"{_signed(check, check.difference)}{bounds}"


def _signed(check: Check, value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{100 * value:+.1f} %" if check.relative else f"{value:+.3f}"


def _name(check: Check) -> str:
    return check.row if check.train is None else f"{check.row} ({check.train} → {check.test})"


def _about(check: Check) -> str:
    return " ".join(part for part in (plain(_name(check)), check.metric) if part)


def _reason(check: Check) -> str:
    return f"{'FAILED ' if check.failed else ''}{check.verdict}: {_about(check)}: {_why(check)}"


def _why(check: Check) -> str:
    return plain(check.why)


def _in_full(check: Check) -> str:
    facts = zip(_HEADER[2:], _cells(check)[2:], strict=True)
    told = [f"{title} {cell}" for title, cell in facts]
    return plain("; ".join([*told, check.why, *([check.method] if check.method else [])]))


def _differing(comparison: Comparison) -> Iterator[str]:
    for one in comparison.differing:
        base, head = (clip(plain(side), _FACT_WIDTH) if side else NOTHING for side in (one.base, one.head))
        yield f"{plain(one.what)}: {base} → {head}"
