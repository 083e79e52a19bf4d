"""Many runs in, one folder of static pages out: suites, models, runs, corpora, and two rows side by side.

Pages link to each other relatively and load nothing from elsewhere, so that the folder opens from a disk as it does
from a server. The same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from ser_bench.errors import UsageError
from ser_bench.report.site.collect import read_runs, suites_of
from ser_bench.report.site.facts import render_rows
from ser_bench.report.site.pages import Pages
from ser_bench.store import write_atomically

MOST_DETAILS = 200
"""Rows of a suite whose details stand on its page; beyond, each row has a page of its own."""

__all__ = ["MOST_DETAILS", "render_site", "stale_files", "write_site"]


def render_site(runs: Sequence[Path]) -> dict[str, bytes]:
    """Return the content of every file of the site by its address below the folder; the same runs, the same bytes.

    Args:
        runs: Run folders, in any order.

    Raises:
        DataError: If a folder holds no records, or one that can't be read.
    """
    found = read_runs(runs)
    suites = suites_of(found, MOST_DETAILS)
    pages = Pages(found, suites)
    package = files("ser_bench.report")
    assets = {
        "assets/site.css": (package / "board.css").read_text("utf-8")
        + (package / "site" / "site.css").read_text("utf-8"),
        "assets/site.js": (package / "site" / "site.js").read_text("utf-8"),
        "assets/rows.js": render_rows(pages.entries),
    }
    rendered = pages.render()
    if pages.charted:
        from ser_bench.report import charts

        assets["assets/vega.js"] = charts.javascript()
    return {
        address: content.encode(errors="backslashreplace")
        for address, content in sorted({**rendered, **assets}.items())
    }


def write_site(runs: Sequence[Path], out: Path) -> list[Path]:
    """Write the site of ``runs`` into the folder ``out`` and return its files, each written whole or not at all.

    Pages that an earlier call left and that the runs no longer give are removed; what else lies there stays.

    Raises:
        DataError: As :func:`render_site`.
        UsageError: If ``out`` is a run folder, whose own files the site's would overwrite.
    """
    _refuse_runs(out)
    rendered = render_site(runs)
    for leftover in _leftovers(out, set(rendered)):
        leftover.unlink()
    for address, content in rendered.items():
        path = out / address
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
    return [out / address for address in rendered]


def stale_files(runs: Sequence[Path], out: Path) -> list[Path]:
    """Return the files of the site under ``out`` that differ from what ``runs`` give, are missing, or left over.

    Raises:
        DataError: As :func:`render_site`.
        UsageError: As :func:`write_site`.
    """
    _refuse_runs(out)
    rendered = render_site(runs)
    differing = [
        out / address
        for address, content in rendered.items()
        if not (out / address).is_file() or (out / address).read_bytes() != content
    ]
    return differing + _leftovers(out, set(rendered))


def _refuse_runs(out: Path) -> None:
    if (out / "records").is_dir():
        raise UsageError(f"--out {out}: a run folder, a folder of its own expected", hint="--out site")


def _leftovers(out: Path, rendered: set[str]) -> list[Path]:
    """Return pages in the site's own folders that nothing links to any more."""
    folders = ("suites", "models", "runs", "rows", "corpora")
    pages = (path for folder in folders for path in sorted((out / folder).glob("*.*")))
    return [path for path in pages if path.relative_to(out).as_posix() not in rendered]
