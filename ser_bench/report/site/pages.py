"""The pages of the site, each from its template; links are relative, so that the folder opens from anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from ser_bench.errors import PrerequisiteError, UsageError
from ser_bench.records import CorpusRef, Timing
from ser_bench.report import render_badge, render_csv, render_latex, text
from ser_bench.report.html import board_context, templates, without_one
from ser_bench.report.parts import GroupTable, Machine, Row, SpeakerScore, Table
from ser_bench.report.site import figures
from ser_bench.report.site.collect import Entry, Run, Suite, file_name

FILTERS = ("family", "framework", "features", "device", "corpus")
"""What the rows of a suite can be filtered by."""

MOST_LISTED = 200
"""Rows that the tables below a ranking list, the best first; the ranking lists all."""

MOST_SPEAKERS = 50
"""Speakers that the details of a row list, the worst first."""


Rows = TypeVar("Rows", Table, GroupTable)

Cost = tuple[float | None, str]
"""A cost as a number and as text."""

_COSTS = {
    "Fit": "s",
    "Latency p50": "ms",
    "Latency p95": "ms",
    "In batches p50": "ms per utterance",
    "In batches p95": "ms per utterance",
    "RTF": "s per s",
    "Peak memory": "MiB",
    "GPU memory": "MiB",
    "On disk": "MiB",
    "Energy": "J, fit",
    "Parameters": "",
}


_SHORTER: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\s*\n\s*"), "\n"),
    (re.compile(r"<bdi>([ -;=?-~]*)</bdi>"), itemgetter(1)),  # plain ASCII runs from left to right by itself
    (re.compile(r"</(?:td|th|tr|li|dt|dd|option)>"), ""),
    (re.compile(r'(?<=[a-z]=)"([A-Za-z0-9_.#-]+)"(?=[ >])'), itemgetter(1)),
)


class Pages:
    """Renders pages into a mapping of address -> content, all from one set of templates."""

    def __init__(self, runs: Sequence[Run], suites: Sequence[Suite]) -> None:
        self.runs = runs
        self.suites = suites
        self.entries = [entry for suite in suites for entry in suite.entries]
        self.models = _by(self.entries, lambda entry: entry.row.model.name)
        self.corpora = _corpora(suites)
        self.files: dict[str, str] = {}
        self.charted = False
        self._by_run: dict[str, list[Entry]] = {run.name: [] for run in runs}
        for entry in self.entries:
            self._by_run[entry.run.name].append(entry)
        self._templates = templates("ser_bench.report.site")
        self._templates.filters |= {
            "corpus_page": corpus_page,
            "embedded": figures.embedded,
            "few": few,
            "machine_facts": machine_facts,
            "model_page": model_page,
            "plain": text.plain,
        }
        self._templates.globals |= {
            "best_of": best_of,
            "costs_of": costs_of,
            "extremes": extremes,
            "last_values": figures.last_values,
            "machines_of": machines_of,
            "metrics": text.METRICS,
            "most_drawn": figures.MOST_DRAWN,
            "most_listed": MOST_LISTED,
            "most_speakers": MOST_SPEAKERS,
            "nothing": text.NOTHING,
            "other_devices": other_devices,
            "tags": tags,
        }

    def render(self) -> dict[str, str]:
        """Return the content of every page by its address below the site."""
        across = figures.across(self.suites)
        facets = {
            "corpus": sorted({corpus.name for suite in self.suites for corpus in suite.board.corpora}),
            "labels": sorted({suite.board.suite.labels for suite in self.suites}),
        }
        self._page(
            "index.html",
            "index.html",
            across=across,
            by_run=self._by_run,
            charted=across is not None,
            corpora=self.corpora,
            models=self.models,
            suite_filters={name: values for name, values in facets.items() if len(values) > 1},
        )
        self._page("compare.html", "compare.html")
        for suite in self.suites:
            self._suite(suite)
        for name, entries in self.models.items():
            self._page(model_page(name), "model.html", model=name, entries=entries)
        for run in self.runs:
            entries = self._by_run[run.name]
            self._page(run.page, "run.html", run=run, entries=entries, fold_sets=fold_sets(entries))
        for name, found in self.corpora.items():
            self._page(corpus_page(name), "corpus.html", corpus=name, found=found, known=_registered(name))
        return self.files

    def _page(self, address: str, template: str, /, *, charted: bool = False, **values: Any) -> None:
        self.charted |= charted
        page = self._templates.get_template(template).render(
            charted=charted,
            entries_total=len(self.entries),
            runs=self.runs,
            suites=self.suites,
            up="../" * address.count("/"),
            **values,
        )
        self.files[address] = f"{compact(page)}\n"

    def _suite(self, suite: Suite) -> None:
        by_id = {entry.id: entry for entry in suite.entries}
        apart = any(entry.page != suite.page for entry in suite.entries)
        drawn = figures.Drawn(suite.board)
        context: dict[str, Any] = {
            **board_context(suite.board),
            "at": lambda anchor: f"../{by_id[anchor].address}" if apart else f"#{anchor}",
            "by_id": by_id,
            "drawn": drawn,
            "suite": suite,
            "tags": lambda row: tags(by_id[row.anchor]),
        }
        sections = {key: drawn.section(key) for key in figures.SECTIONS}
        self._page(
            suite.page,
            "suite.html",
            **context,
            apart=apart,
            charted=True,
            contents=contents(suite, sections),
            downloads=self._downloads(suite),
            filters=filters(suite.entries),
            sections=sections,
        )
        for entry in suite.entries if apart else ():
            single = msgspec.structs.replace(entry.table, rows=(entry.row,))
            self._page(entry.page, "row.html", **context, charted=bool(entry.row.curves), entry=entry, single=single)

    def _downloads(self, suite: Suite) -> list[tuple[str, str]]:
        """Add the board in other formats; return (title, address) of each."""
        stem = suite.page.removesuffix(".html")
        files = {"CSV": ("csv", render_csv), "LaTeX": ("tex", render_latex), "a badge": ("svg", render_badge)}
        for ending, render in files.values():
            self.files[f"{stem}.{ending}"] = render(suite.board).decode()
        return [(title, f"{stem}.{ending}") for title, (ending, _) in files.items()]


def compact(page: str) -> str:
    """Return the same page in fewer characters: what HTML lets one leave out, of which tables have most.

    Names are escaped, so that neither quotation marks nor angle brackets stand in text.
    """
    for pattern, replacement in _SHORTER:
        page = pattern.sub(replacement, page)
    return page


def model_page(name: str) -> str:
    """Return the address of a model's page."""
    return f"models/{file_name(name)}.html"


def corpus_page(name: str) -> str:
    """Return the address of a corpus's page."""
    return f"corpora/{file_name(name)}.html"


def tags(entry: Entry) -> Any:
    """Return the attributes by which a line of a table is found and filtered, escaped."""
    from markupsafe import Markup

    values = {"id": entry.id, **facets(entry)}
    return Markup("").join(Markup(' data-{}="{}"').format(name, value) for name, value in values.items())


def facets(entry: Entry) -> dict[str, str]:
    """Return what a row is filtered by."""
    row = entry.row
    return {
        "family": row.model.family,
        "framework": row.model.framework,
        "features": row.features.name if row.features else "none",
        "device": row.model.device,
        "corpus": " + ".join(sorted(corpus.name for corpus in entry.record.corpora)) if row.test is None else row.test,
    }


def filters(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """Return the values of each facet that has more than one."""
    values = [facets(entry) for entry in entries]
    found = {name: sorted({of[name] for of in values}) for name in FILTERS}
    return {name: options for name, options in found.items() if len(options) > 1}


def best_of(table: Table, primary: str) -> Row | None:
    """Return the row at the head of a table: the best ranked one, else the best that is no reference; None if none."""
    scored = [row for row in table.rows if row.standing in ("ranked", "unranked") and primary in row.scores]
    return min(scored, key=lambda row: row.standing != "ranked", default=None)


def costs_of(rows: Iterable[Row]) -> tuple[list[tuple[str, str]], list[tuple[Row, list[Cost]]]]:
    """Return the (title, unit) of the costs that some row has, and the rows that have any, each with its own."""
    lines = [(row, _costs(row, row.timing)) for row in rows if row.timing]
    heads = [(title, unit) for title, unit in _COSTS.items() if any(of[title][0] is not None for _, of in lines)]
    return heads, [(row, [of[title] for title, _ in heads]) for row, of in lines]


def _costs(row: Row, timing: Timing) -> dict[str, Cost]:
    latency = timing.latency
    batch = latency.batched if latency else None
    values = (
        timing.fit_s,
        latency.p50_ms if latency else None,
        latency.p95_ms if latency else None,
        batch.p50_ms / batch.size if batch else None,
        batch.p95_ms / batch.size if batch else None,
        timing.rtf,
        timing.peak_mib,
        timing.peak_gpu_mib,
        None if timing.disk_bytes is None else timing.disk_bytes / 2**20,
        timing.energy_j,
    )
    costs: list[Cost] = [(value, text.measure(value)) for value in values]
    parameters = row.model.n_parameters
    return dict(zip(_COSTS, [*costs, (parameters, text.count(parameters))], strict=True))


def other_devices(rows: Iterable[Row]) -> list[dict[str, Row]]:
    """Return device -> row of the models that ran on several devices with the same features and parameters."""
    same: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        if row.timing is None:
            continue
        features = row.features.name if row.features else ""
        key = (row.model.name, features, row.normalisation, text.params(row.model.params))
        same.setdefault(key, {}).setdefault(row.model.device, row)
    return [dict(sorted(devices.items())) for devices in same.values() if len(devices) > 1]


def few(table: Rows) -> Rows:
    """Return a table, or a table by group, of at most :data:`MOST_LISTED` rows."""
    return msgspec.structs.replace(table, rows=table.rows[:MOST_LISTED])


def extremes(row: Row) -> tuple[SpeakerScore, SpeakerScore]:
    """Return the speakers of a row with the lowest and the highest score; of equal ones the first by name."""
    known = [speaker for speaker in row.evidence.speakers if speaker.value is not None]
    ordered = sorted(known, key=lambda speaker: (speaker.value, speaker.speaker))
    return ordered[0], ordered[-1]


def contents(suite: Suite, sections: Mapping[str, Sequence[Any]]) -> list[tuple[str, str]]:
    """Return (anchor, title) of the sections of a suite's page that are not on every page."""
    board = suite.board
    there = [(key, title) for key, title in figures.SECTIONS.items() if sections[key]]
    there += [("systems", "Published and honest")] if board.systems else []
    there += [("gap", "Shared speakers")] if board.gap and not board.gap.control_suite else []
    there += [("references", "Published results")] if board.suite.references else []
    there += [("matrices", "Pairs of corpora")] if board.matrices else []
    return there + ([("left-out", "Leave one corpus out")] if without_one(board)[0] else [])


def machines_of(entries: Sequence[Entry]) -> list[tuple[Machine, list[Entry]]]:
    """Return what ran the rows, each with its rows."""
    found: list[tuple[Machine, list[Entry]]] = []
    for entry in entries:
        machine = entry.suite.board.machines[entry.row.machine]
        same = next((of for known, of in found if known == machine), None)
        if same is None:
            found.append((machine, [entry]))
        else:
            same.append(entry)
    return found


def fold_sets(entries: Sequence[Entry]) -> list[tuple[list[Entry], Row]]:
    """Return the rows that share their folds, and one row of each to list the folds by."""
    sets: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        if entry.row.folds:
            sets.setdefault(tuple(fold.digest for fold in entry.row.folds), []).append(entry)
    return [(members, members[0].row) for members in sets.values()]


def machine_facts(machine: Machine) -> list[tuple[str, str]]:
    """Return (title, words) on what ran rows, its packages apart."""
    where, code = machine.environment, machine.code
    changes = {True: "with uncommitted changes", False: "nothing uncommitted", None: "changes unknown"}[code.dirty]
    facts = [
        ("CPU", f"{where.cpu}, {text.count(where.n_cpus, 'CPU')}"),
        ("Memory", f"{text.measure(where.memory_gib)} GiB"),
        ("GPU", where.gpu or "none"),
        ("System", where.platform),
        ("Environment", where.name or "ser-bench's own"),
        ("Code", f"ser-bench {code.version}, {'no commit known' if code.commit is None else code.commit}, {changes}"),
        ("Scoring code", f"digest {text.short(code.source)}"),
        ("Python", where.python),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(where.packages.items()))),
    ]
    return [(title, words) for title, words in facts if words]


def _corpora(suites: Sequence[Suite]) -> dict[str, list[tuple[CorpusRef, list[Suite]]]]:
    """Return, by name, every corpus as it was found, and the suites that found it so."""
    found: dict[str, list[tuple[CorpusRef, list[Suite]]]] = {}
    for suite in suites:
        for corpus in suite.board.corpora:
            same = found.setdefault(corpus.name, [])
            entry = next((of for known, of in same if known == corpus), None)
            if entry is None:
                same.append((corpus, [suite]))
            else:
                entry.append(suite)
    return dict(sorted(found.items()))


def _registered(name: str) -> Any:
    """Return the corpus's description, for its citation; None where none is installed under that name."""
    from ser_bench import registry

    try:
        return registry.load("corpora", name)
    except (UsageError, PrerequisiteError):
        return None


def _by(entries: Sequence[Entry], key: Callable[[Entry], str]) -> dict[str, list[Entry]]:
    return {name: list(of) for name, of in groupby(sorted(entries, key=key), key=key)}
