from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ser_bench import cli
from ser_bench.errors import UsageError
from ser_bench.records import Curve, RunRecord, StressScore, encode
from ser_bench.report import site
from ser_bench.report.site import render_site, write_site
from ser_bench.report.site.collect import file_name
from tests import report_records as made_up

HOSTILE_RUN = "<img src=x onerror=alert(1)> & \"run\" 'x'"


def put(folder: Path, records: Sequence[RunRecord]) -> Path:
    (folder / "records").mkdir(parents=True)
    for place, record in enumerate(records):
        (folder / "records" / f"{place:03d}.json").write_bytes(encode(record))
    return folder


def with_more(records: list[RunRecord]) -> list[RunRecord]:
    """The rows, the first with curves and stress."""
    first = records[0]
    drop = replace(first.scores["uar"], value=0.1, low=0.05, high=0.15)
    curve = Curve(seed=0, fold_id="fold-0", values={"epoch": (1, 2), "train_loss": (2.0, 1.5), "dev_uar": (0.2, 0.3)})
    stress = StressScore(condition="noise:20", n=first.n_test, scores=first.scores, drop=drop)
    return [replace(first, curves=(curve,), stress=(stress,)), *records[1:]]


def hostile() -> list[RunRecord]:
    """The hostile rows, their suite's name and digest too."""
    return [
        replace(row, suite=replace(row.suite, name=made_up.HOSTILE[0], digest=made_up.HOSTILE[5]))
        for row in made_up.hostile()
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    loso = made_up.loso()
    other = [replace(row, suite=replace(row.suite, digest="f" * 16, sample_rate_hz=16000)) for row in loso[:3]]
    return [
        put(folder / "loso-one", with_more(loso[::-1])),
        put(folder / "loso-two", loso[1:4]),
        put(folder / "loso-other", other),
        put(folder / "holdout", made_up.holdout()),
        put(folder / "cross", made_up.cross()),
        put(folder / "control", made_up.control()),
        put(folder / HOSTILE_RUN, hostile()),
    ]


@pytest.fixture(scope="module")
def pages(runs: list[Path]) -> dict[str, bytes]:
    return render_site(runs)


@pytest.fixture(scope="module")
def out(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site(runs, folder)
    return folder


class Page(HTMLParser):
    """A page's tags with their attributes, and the levels of its headings."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [value for _, of in self.tags if (value := of.get(attribute)) is not None]


@pytest.fixture(scope="module")
def parsed(pages: dict[str, bytes]) -> dict[str, Page]:
    return {address: Page(data) for address, data in pages.items() if address.endswith(".html")}


# What is written


@given(st.lists(st.text(max_size=90), unique=True))
def test_file_names_are_safe_anywhere_and_apart(names: list[str]) -> None:
    found = [file_name(name) for name in names]
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in found)
    assert len({name.casefold() for name in found}) == len(names)


@pytest.mark.parametrize("name", ["../..", "<script>", "con", "CON", "", ".", "a/b", "svm-rbf", "SVM-rbf"])
def test_a_name_stands_as_it_is_only_where_that_is_safe(name: str) -> None:
    assert (file_name(name) == name) == (name == "svm-rbf")


def test_the_same_runs_give_the_same_bytes_in_any_order(runs: list[Path], pages: dict[str, bytes]) -> None:
    assert render_site(runs[::-1]) == pages


def test_no_page_says_where_the_runs_lie(runs: list[Path], pages: dict[str, bytes], out: Path) -> None:
    for place in (str(runs[0].parent), str(out), str(Path.cwd())):
        assert not [address for address, data in pages.items() if place.encode() in data]


def test_every_link_leads_to_a_page_and_a_place_in_it(pages: dict[str, bytes], parsed: dict[str, Page]) -> None:
    n_links = 0
    for address, page in parsed.items():
        for link in [*page.values("href"), *page.values("src")]:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            assert not parts.scheme and not parts.netloc, (address, link)
            at = Path("/", address).parent / unquote(parts.path) if parts.path else Path("/", address)
            target = at.resolve().relative_to("/").as_posix()
            assert target in pages, (address, link)
            assert not parts.fragment or parts.fragment in parsed[target].values("id"), (address, link)
            n_links += 1
    assert n_links > 1000


def test_pages_have_their_own_titles_one_h1_and_headings_in_order(
    pages: dict[str, bytes], parsed: dict[str, Page]
) -> None:
    titles = set()
    for address, page in parsed.items():
        (title,) = re.findall("<title>(.*?)</title>", pages[address].decode())
        titles.add(title)
        assert ("html", {"lang": "en-GB"}) in page.tags
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1, address
        assert all(after <= before + 1 for before, after in pairwise(levels)), address
        ids = page.values("id")
        assert len(ids) == len(set(ids)), address
        assert page.tags[next(i for i, (tag, _) in enumerate(page.tags) if tag == "body") + 1][1]["class"] == "skip"
    assert len(titles) == len(parsed)


def test_hostile_names_stay_text(parsed: dict[str, Page]) -> None:
    for address, page in parsed.items():
        assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "base")], address
        scripts = [of for tag, of in page.tags if tag == "script"]
        assert all("src" in of or of.get("type") == "application/json" for of in scripts), address
        assert not [name for _, of in page.tags for name in of if name.startswith("on")], address
        assert not [name for _, of in page.tags for name in of if not re.fullmatch("[a-zA-Z0-9:-]+", name)], address


def test_runs_of_one_suite_share_a_board_and_their_equal_labels_tell_the_run(pages: dict[str, bytes]) -> None:
    addresses = [address for address in pages if re.fullmatch(r"suites/ravdess-loso-v1-\w+\.html", address)]
    assert len(addresses) == 2
    page = next(pages[address].decode() for address in addresses if b"loso-two" in pages[address])
    assert "lda (loso-one)" in page and "lda (loso-two)" in page
    assert "svm-rbf (loso" not in page
    assert "sample rate, so its rows are not ranked with these" in page
    assert {"runs/loso-one.html", "runs/loso-two.html", "runs/loso-other.html"} < set(pages)


def test_rows_with_other_test_rows_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    rows = made_up.loso()
    one = put(tmp_path / "one", rows)
    two = put(tmp_path / "two", [replace(row, test_fingerprint="b" * 64, n_test=1400) for row in rows[2:5]])
    page = render_site([one, two])["suites/ravdess-loso.html"].decode()
    assert page.count("<table class=ranking>") == 2
    assert "so they are ranked apart" in page


def test_many_rows_have_pages_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "MOST_DETAILS", 5)
    files = render_site([put(tmp_path / "loso", made_up.loso())])
    rows = [address for address in files if address.startswith("rows/")]
    assert len(rows) == len(made_up.loso())
    assert b"class=confusion" in files[rows[0]]
    assert b"details class=model" not in files["suites/ravdess-loso.html"]
    assert all(f"../{address}#".encode() in files["suites/ravdess-loso.html"] for address in rows)


def test_a_row_keeps_its_address_when_others_come(tmp_path: Path) -> None:
    rows = made_up.loso()
    one, two = put(tmp_path / "a/loso", rows[:4]), put(tmp_path / "b/loso", rows)

    def anchors(run: Path) -> set[str]:
        return set(re.findall(r"id=(r[0-9a-f]{12})", render_site([run])["suites/ravdess-loso.html"].decode()))

    assert anchors(one) < anchors(two)


def test_pages_that_nothing_gives_any_more_are_removed_and_other_files_stay(tmp_path: Path) -> None:
    loso, demo = put(tmp_path / "loso", made_up.loso()), put(tmp_path / "demo", made_up.demo())
    place = tmp_path / "site"
    write_site([loso, demo], place)
    (place / "CNAME").write_text("board.example.org")
    assert (place / "runs/demo.html").is_file()
    written = write_site([loso], place)
    assert not (place / "runs/demo.html").exists() and not (place / "suites/demo.csv").exists()
    assert {path for path in place.rglob("*") if path.is_file()} == {*written, place / "CNAME"}


def test_check_names_the_file_that_differs_and_exits_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, place = put(tmp_path / "demo", made_up.demo()), tmp_path / "site"
    line = ["report", str(run), "--out", str(place)]
    assert cli.main(line) == 0
    assert cli.main([*line, "--check"]) == 0
    (place / "index.html").write_text("other")
    (place / "models/gone.html").write_text("left over")
    assert cli.main([*line, "--check"]) == 4
    said = capsys.readouterr().err
    assert f"{place / 'index.html'} differs" in said and f"{place / 'models/gone.html'} differs" in said


def test_a_run_folder_is_refused_as_the_place_of_a_site(tmp_path: Path) -> None:
    run = put(tmp_path / "demo", made_up.demo())
    with pytest.raises(UsageError, match="a folder of its own"):
        write_site([run], run)


def test_fifty_rows_stay_under_five_megabytes(tmp_path: Path) -> None:
    suites = [made_up.suite(f"suite-{place}", title=f"Suite {place}", notes=()) for place in range(5)]
    for place in range(50):
        name = list(made_up.MODELS)[place % 12]
        put(tmp_path / f"run-{place:02d}", [made_up.record(name, suite=suites[place % 5], n_test_speakers=24)])
    assert sum(map(len, render_site(sorted(tmp_path.iterdir())).values())) < 5e6


# In a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on the path")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """A tab in which nothing may be requested from elsewhere, said on the console, or asked in a dialogue."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    page, faults = context.new_page(), []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (faults.append(f"dialogue: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or faults.append(f"request: {request.url}"))
    yield page
    context.close()
    assert faults == []


def suite_page(out: Path, name: str = "ravdess-actor-holdout") -> str:
    return (out / f"suites/{name}.html").as_uri()


def ranked(tab: Any, column: int) -> list[str]:
    """The shown values of a column of the first ranking, its first body."""
    return tab.eval_on_selector_all(
        "table.ranking >> nth=0 >> tbody >> nth=0 >> tr.scored:not([hidden])",
        f"rows => rows.map(row => row.cells[{column}].dataset.value)",
    )


@pytest.mark.browser
def test_sorting_works_by_mouse_and_keyboard_and_stands_in_the_address(tab: Any, out: Path) -> None:
    tab.goto(suite_page(out))
    head = tab.locator("table.ranking th[data-column='1']").first
    head.locator("button").click()
    names = ranked(tab, 1)
    assert names == sorted(names) and head.get_attribute("aria-sort") == "ascending"
    fit = tab.locator("table.ranking th[data-column='12']").first
    fit.locator("button").focus()
    tab.keyboard.press("Enter")
    seconds = [float(value) for value in ranked(tab, 12)]
    assert seconds == sorted(seconds) and len(seconds) == 10
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") is None and fit.get_attribute("aria-sort") == "descending"
    tab.goto(tab.url)
    assert [float(value) for value in ranked(tab, 12)] == seconds[::-1]


@pytest.mark.browser
def test_filters_hide_rows_and_stand_in_the_address(tab: Any, out: Path) -> None:
    tab.goto(suite_page(out))
    every = ranked(tab, 1)
    tab.get_by_label("Family").select_option("tree")
    trees = ranked(tab, 1)
    assert set(trees) == {"decision-tree", "random-forest", "hist-gb"} < set(every)
    assert tab.locator("form.filters output").inner_text() == "3 of 14 rows"
    tab.get_by_label("Name").fill("FOREST")
    assert ranked(tab, 1) == ["random-forest"]
    assert not tab.get_by_role("link", name="lda", exact=True).first.is_visible()
    tab.goto(tab.url)
    assert ranked(tab, 1) == ["random-forest"]
    tab.get_by_role("button", name="Show all").click()
    tab.wait_for_url(lambda url: "?" not in url)
    assert ranked(tab, 1) == every


@pytest.mark.browser
def test_hostile_values_can_be_filtered_by(tab: Any, out: Path) -> None:
    tab.goto(suite_page(out, file_name(made_up.HOSTILE[0])))
    tab.get_by_label("Device").select_option(made_up.HOSTILE[0])
    assert ranked(tab, 1) == [made_up.HOSTILE[0]]
    tab.goto(tab.url)
    assert ranked(tab, 1) == [made_up.HOSTILE[0]]


@pytest.mark.browser
def test_hovering_over_a_confusion_tells_its_counts(tab: Any, out: Path) -> None:
    tab.goto(suite_page(out))
    tab.locator("details.model summary").first.click()
    cell = tab.locator(".confusion td").first
    cell.hover()
    share, n = cell.inner_text().split()
    counts = tab.locator(".confusion tbody tr").first.locator("td small").all_inner_texts()
    assert tab.locator("#hint").inner_text() == f"angry heard as angry: {n} of {sum(map(int, counts))} ({share} %)"
    tab.locator("h2").first.hover()
    assert not tab.locator("#hint").is_visible()


@pytest.mark.browser
def test_hovering_over_a_chart_tells_its_numbers(tab: Any, out: Path) -> None:
    tab.goto(suite_page(out, "ravdess-random-5fold"))
    mark = tab.locator("figure.chart svg .mark-symbol path").first
    mark.hover()
    told = tab.locator("#vg-tooltip-element").inner_text()
    row, uar = re.findall(r"row\s+(\S+)|UAR\s+(\S+)", told)
    shown = dict(zip(ranked(tab, 1), ranked(tab, 2), strict=True))
    assert f"{float(shown[row[0]]):.3f}" == uar[1]


@pytest.mark.browser
def test_two_rows_are_picked_and_compared(tab: Any, out: Path) -> None:
    tab.goto(suite_page(out))
    tab.get_by_label("Compare lda").check()
    tab.get_by_label("Compare torch-cnn").check()
    tab.get_by_role("link", name="compare them").click()
    text = tab.locator("#comparison").inner_text()
    assert "same utterances of the same suite" in text
    assert re.search(r"Features: set\s+stats180, version 1\s+logmel64, version 1", text)
    assert re.search(r"UAR\s+0\.\d+ .*\s+0\.\d+ .*\s+[+−]0\.\d{3}", text)
    query = tab.url.partition("?")[2]
    tab.get_by_role("button", name="Swap").click()
    assert tab.url.partition("?")[2] != query
    assert re.search(
        r"Features: set\s+logmel64, version 1\s+stats180, version 1", tab.locator("#comparison").inner_text()
    )
    tab.get_by_label("Second row").select_option(label="lda (loso-one) · loso-one")
    assert "says little" in tab.locator("#comparison").inner_text()


@pytest.mark.browser
def test_a_linked_row_is_open(tab: Any, out: Path) -> None:
    anchor = re.findall(r"id=(r[0-9a-f]{12})", (out / "suites/ravdess-actor-holdout.html").read_text())[3]
    tab.goto(f"{suite_page(out)}#{anchor}")
    assert tab.locator(f"#{anchor}").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_draws_its_charts(tab: Any, out: Path, scheme: str) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.emulate_media(color_scheme=scheme)
    for path in sorted(out.rglob("*.html")):
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if tab.locator("figure.chart").count():
            tab.locator("figure.chart").first.scroll_into_view_if_needed()
            tab.locator("figure.chart svg").first.wait_for()
