"""Charts draw what the board says, whatever its names are, in a real browser and as static pictures."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from msgspec.structs import replace

from ser_bench.report import charts
from ser_bench.report.board import build
from ser_bench.report.charts import Chart, vega
from ser_bench.report.charts.drawing import unique
from ser_bench.report.parts import Board, Evidence, Row, SpeakerScore
from tests import report_records as made_up
from tests.chart_boards import charts_of, every_chart, hostile_board, matrices, rich_board, suites

RICH = every_chart(rich_board())


def parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every leaf of a specification with the keys that lead to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from parts(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from parts(item, (*path, 0))
    else:
        yield path, value


def numbers(chart: Chart) -> set[float]:
    return {value for path, value in parts(chart.spec) if "values" in path and isinstance(value, int | float)}


@pytest.mark.parametrize("chart", RICH, ids=[chart.name for chart in RICH])
def test_a_chart_compiles_and_fits_its_element(chart: Chart) -> None:
    assert vl_convert.vegalite_to_vega(chart.spec, vl_version=vega.VEGA_LITE)["marks"]
    assert chart.spec["width"] == "container"
    assert chart.spec["description"] == chart.description
    assert set(chart.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_there_is_every_chart_that_the_board_can_fill() -> None:
    kinds = {chart.name.split("-row")[0] for chart in RICH}
    assert kinds == {
        *("ranking", "pareto", "speakers", "recalls", "stress", "gender", "intensity", "confusion", "reliability"),
        *("curves", "systems", "gap", "matrix", "critical-difference"),
    }


def test_all_numbers_of_a_table_are_in_its_charts() -> None:
    board = rich_board()
    table = board.tables[0]
    scored = [row for row in table.rows if row.scores]

    def drawn(chart: Chart | None) -> set[float]:
        assert chart is not None
        return numbers(chart)

    uars = [row.scores["uar"] for row in scored]
    expected = {round(n, 6) for of in uars for n in (of.value, of.low, of.high) if n is not None}
    assert expected <= drawn(charts.ranking(table, "uar"))
    learned = [row for row in scored if row.standing != "reference"]
    times = {round(row.timing.latency.p50_ms, 6) for row in learned if row.timing and row.timing.latency}
    assert times <= drawn(charts.pareto(table, "uar"))
    assert {round(of.recall or 0, 6) for row in scored for of in row.per_class} <= drawn(charts.recalls(table))
    spoken = {round(of.value, 6) for row in scored for of in row.evidence.speakers if of.value is not None}
    assert spoken <= drawn(charts.speakers(table, "uar"))
    drops = {round(n, 6) for row in scored for of in row.stress for n in (of.drop.value, of.drop.low, of.drop.high)}
    assert drops <= drawn(charts.stress(table, "uar"))
    for row in scored:
        counts = {n for line in row.confusion for n in line}
        shares = {round(n / sum(line), 6) for line in row.confusion for n in line}
        assert counts | shares <= drawn(charts.confusion(row))
        assert {round(n, 6) for bin in row.evidence.calibration.bins for n in bin} <= drawn(charts.reliability(row))
        for curve in row.curves:
            assert {curve.values["dev_uar"][-1], curve.values["train_loss"][0]} <= drawn(charts.curves(row))
    assert {round(of.disjoint, 6) for of in board.gap.rows} <= drawn(charts.gap(board))
    for of in board.systems:
        stated = {} if of.published is None else {"war": of.published.war, "macro_f1": of.published.macro_f1}
        name = "uar" if of.published is None or of.published.uar else next(name for name in stated if stated[name])
        assert {round(side[name].value, 6) for side in (of.honest, of.reproduced)} <= drawn(charts.systems(board))


def test_hostile_names_are_data_and_no_part_of_an_expression() -> None:
    long = [name for name in made_up.HOSTILE if len(name.strip()) > 3]
    names = {part.strip() for name in long for part in (name, name.splitlines()[0])}
    allowed = {("description",), ("values",), ("scale", "domain"), ("legend", "values")}
    seen = set()
    for chart in every_chart(hostile_board()):
        for path, value in parts(chart.spec):
            if isinstance(value, str) and any(name in value for name in names):
                keys = tuple(key for key in path if key != 0)
                assert any(keys[-len(end) :] == end for end in allowed) or "values" in keys, (chart.name, path)
                seen.add(value)
        for path, value in parts(vl_convert.vegalite_to_vega(chart.spec, vl_version=vega.VEGA_LITE)):
            if isinstance(value, str) and {"signal", "expr", "test", "update", "init"} & set(path):
                assert not any(name in value for name in names), (chart.name, path)
    assert {"<script>alert(1)</script>", "x" * 300} <= seen


def test_nothing_to_draw_is_none() -> None:
    empty = build([made_up.unscored("a", "failed", "it broke"), made_up.unscored("b", "skipped", "no keras")])
    assert [chart for chart in charts_of(empty) if chart] == []
    assert charts.critical_difference(suites()[:2]) is None
    plain = build(made_up.loso()).tables[0]
    assert charts.speakers(plain, "uar") is None
    assert charts.stress(plain, "uar") is None
    assert charts.gender(plain) is None
    assert charts.curves(plain.rows[0]) is None
    assert charts.reliability(plain.rows[0]) is None
    assert charts.ranking(plain, "ccc") is None


def test_the_same_board_gives_the_same_bytes() -> None:
    again = every_chart(rich_board())
    assert [json.dumps(chart.spec) for chart in again] == [json.dumps(chart.spec) for chart in RICH]
    assert charts.svg(RICH[0]) == charts.svg(again[0])
    charts.javascript.cache_clear()
    first = charts.javascript()
    charts.javascript.cache_clear()
    assert charts.javascript() == first


def test_rows_of_one_rank_share_a_shade_and_others_do_not() -> None:
    chart = charts.ranking(rich_board().tables[0], "uar")
    shades = {of["rank"]: {it["shaded"] for it in chart.spec["data"]["values"] if it["rank"] == of["rank"]}
              for of in chart.spec["data"]["values"]}  # fmt: skip
    assert all(len(found) == 1 for found in shades.values())
    assert shades["1"] == {True}
    assert {True} in shades.values() and {False} in shades.values()


def test_the_front_holds_what_nothing_else_beats_twice() -> None:
    table = rich_board().tables[0]
    on = {row.row for row in charts.front(table, "uar")}
    cost = {
        row.row: (row.timing.latency.p50_ms, -row.scores["uar"].value)
        for row in table.rows
        if row.standing != "reference" and row.timing and row.timing.latency
    }
    points = set(cost.values())
    beaten = {name for name, of in cost.items() if any(a <= of[0] and b <= of[1] for a, b in points - {of})}
    assert on == set(cost) - beaten
    assert len(on) > 1


def _speakers_of(row: Row, n: int) -> Row:
    found = tuple(SpeakerScore(speaker=f"s{i}", gender=None, n=9, value=i / n) for i in range(n))
    return replace(row, evidence=Evidence(speakers=found))


def test_of_many_speakers_the_worst_and_the_best_are_drawn() -> None:
    table = rich_board().tables[0]
    table = replace(table, rows=tuple(_speakers_of(row, 5000) for row in table.rows))
    chart = charts.speakers(table, "uar")
    values = [of for of in chart.spec["data"]["values"] if of["label"] == table.rows[0].row]
    assert len(values) == 61
    assert {"s0", "s4999"} <= {of["speaker"] for of in values}
    assert "Drawn are 60 of each row's speakers" in chart.description


def test_means_across_corpora_leave_out_what_is_within_one() -> None:
    first = matrices()[0]
    values = charts.matrix(first, "uar").spec["data"]["values"]
    inside = [of for of in values if of["marked"]]
    assert {of["text"] for of in inside} == {"0.80"}
    across = [of["value"] for of in values if of["share"] is not None and not of["marked"]]
    overall = next(of for of in values if of["label"] == of["column"] == "mean")
    assert overall["value"] == pytest.approx(sum(across) / len(across), abs=1e-6)


def test_equal_labels_have_lines_of_their_own() -> None:
    assert unique(["a", "b", "a", "a (2)"]) == ["a (1)", "b", "a (3)", "a (2)"]
    assert unique(["mean", "mean"]) == ["mean (1)", "mean (2)"]


def page(board: Board, folder: Path) -> tuple[Path, int]:
    """Write a page of all charts under the policy of the site; return it and how many they are."""
    drawn = every_chart(board)
    figures = "".join(
        f'<figure class="chart"><div class="drawing" role="img" aria-label="{html.escape(chart.description)}"></div>'
        f'<script type="application/json">{json.dumps(chart.spec).replace("<", chr(92) + "u003c")}</script></figure>'
        for chart in drawn
    )
    policy = "default-src 'none'; script-src 'self' file:; style-src 'self' file:"
    (folder / "vega.js").write_text(charts.javascript(), encoding="utf-8")
    (folder / "page.html").write_text(
        '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><meta name="color-scheme" '
        f'content="light dark"><meta http-equiv="Content-Security-Policy" content="{policy}; img-src data:">'
        f'<script defer src="vega.js"></script><body>{figures}',
        encoding="utf-8",
    )
    return folder / "page.html", len(drawn)


def until(tab: Any, expression: str) -> None:
    """Wait until an expression holds; the policy of the page forbids Playwright's own way."""
    for _ in range(300):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(100)
    raise AssertionError(f"never true: {expression}")


@pytest.mark.browser
@pytest.mark.parametrize("board", [rich_board, hostile_board])
def test_every_figure_is_drawn_from_a_file_without_a_word(board: Any, tmp_path: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed")
    address, n = page(board(), tmp_path)
    said: list[str] = []
    asked: list[str] = []
    with sync.sync_playwright() as at:
        browser = at.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="light")
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(address.as_uri())
        drawn = "document.querySelectorAll('figure .drawing > svg').length"
        until(tab, f"{drawn} > 0")
        assert tab.evaluate(drawn) < n, "charts far below are drawn when they come into view"
        tab.emulate_media(media="print")
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        until(tab, f"{drawn} === {n}")
        tab.emulate_media(media="screen")
        ink = "getComputedStyle(document.querySelector('.role-axis-label text')).fill"
        assert tab.evaluate(ink) == "rgb(27, 32, 38)"
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        tab.emulate_media(color_scheme="dark")
        until(tab, f"document.querySelector('.role-axis-label text') !== null && {ink} === 'rgb(231, 234, 236)'")
        until(tab, f"{drawn} === {n}")
        dot = tab.locator("figure svg .mark-symbol path[aria-roledescription='point']").first
        dot.hover()
        tab.wait_for_selector("#vg-tooltip-element.visible")
        told = tab.locator("#vg-tooltip-element").inner_text()
        wide = tab.evaluate("Math.max(...[...document.querySelectorAll('svg')].map((of) => of.clientWidth))")
        names = tab.evaluate("Object.keys(window).filter((name) => /vega|CONFIGS/i.test(name))")
        browser.close()
    assert "UAR" in told
    assert wide <= 400
    assert names == []
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
