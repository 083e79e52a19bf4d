"""What the page that compares two rows knows of them: their scores, and what could explain a difference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ser_bench.report.parts import Row
from ser_bench.report.site.collect import Entry
from ser_bench.report.text import METRICS, count, interval, measure, params, score, short

GROUPS = ("Suite", "Test data", "Corpora", "Model", "Parameters", "Features", "Training", "Code", "Machine", "Packages")
"""The groups of facts, in the order of the page."""


def render_rows(entries: Sequence[Entry]) -> str:
    """Return the data of the comparing page as a script: a file that is opened from disk can't fetch another one.

    Facts that rows share are written once: ``facts`` of a row are places in the lists of ``groups``.
    """
    pools: list[dict[str, int]] = [{} for _ in GROUPS]
    rows = []
    for entry in entries:
        facts = facts_of(entry)
        places = [
            pool.setdefault(json.dumps(facts[group]), len(pool)) for group, pool in zip(GROUPS, pools, strict=True)
        ]
        suite = entry.suite.board.suite
        rows.append(
            {
                "id": entry.id,
                "label": entry.row.row,
                "suite": f"{suite.title}: {entry.table.title}" if len(entry.suite.board.tables) > 1 else suite.title,
                "run": entry.run.name,
                "page": entry.address,
                "numbers": numbers_of(entry.row),
                "facts": places,
            }
        )
    groups = [[group, [json.loads(text) for text in pool]] for group, pool in zip(GROUPS, pools, strict=True)]
    data = {"groups": groups, "rows": rows}
    return f"globalThis.serBench = {json.dumps(data, separators=(',', ':'), allow_nan=False)};\n"


def numbers_of(row: Row) -> list[list[Any]]:
    """Return (name, number or null, as text, which is better: 1 more, -1 less, 0 neither) of scores and costs."""
    numbers: list[list[Any]] = []
    for metric, title in METRICS.items():
        found = row.scores.get(metric)
        if found is not None:
            shown = " ".join(filter(None, (score(found.value), interval(found))))
            numbers.append([title, found.value, shown, -1 if metric == "rmse" else 1])
    timing = row.timing
    if timing is not None:
        latency = timing.latency
        costs = [
            ("Fit, s", timing.fit_s),
            ("Latency p50, ms", latency.p50_ms if latency else None),
            ("Latency p95, ms", latency.p95_ms if latency else None),
            ("Real-time factor", timing.rtf),
            ("Peak memory, MiB", timing.peak_mib),
            ("Size on disk, MiB", None if timing.disk_bytes is None else timing.disk_bytes / 2**20),
        ]
        numbers += [[name, value, measure(value), -1] for name, value in costs if value is not None]
    return numbers


def facts_of(entry: Entry) -> dict[str, dict[str, str]]:
    """Return what two rows can differ in, by group, as text."""
    row, board = entry.row, entry.suite.board
    suite, machine = board.suite, board.machines[row.machine]
    where, code = machine.environment, machine.code
    corpora = [corpus for corpus in board.corpora if corpus.fingerprint in row.corpora]
    features = row.features
    return {
        "Suite": {
            "name": f"{suite.name}, version {suite.version}",
            "digest": suite.digest,
            "protocol": suite.protocol,
            "labels": f"{suite.labels}: {', '.join(suite.classes)}",
        },
        "Test data": {
            "digest": short(entry.table.test_fingerprint),
            "utterances": count(entry.table.n_test),
            "speakers": count(entry.table.n_test_speakers),
            "folds": f"{len(row.folds)} of {row.folds_total}",
        },
        "Corpora": {
            corpus.name: f"version {corpus.version}, {count(corpus.n_used)} of {count(corpus.n)} utterances used, "
            f"fingerprint {short(corpus.fingerprint)}"
            for corpus in corpora
        },
        "Model": {
            "name": row.model.name,
            "origin": row.model.origin,
            "framework": row.model.framework,
            "family": row.model.family,
            "device": row.model.device,
            "parameters": count(row.model.n_parameters),
        },
        "Parameters": {
            name: params({name: row.model.params[name]})[len(name) + 1 :] for name in sorted(row.model.params)
        },
        "Features": {"set": "none"}
        if features is None
        else {
            "set": f"{features.name}, version {features.version}",
            "columns": count(features.n_columns),
            "sample rate": "each file's own" if features.sample_rate_hz is None else f"{features.sample_rate_hz:,} Hz",
        },
        "Training": {
            "normalisation": row.normalisation,
            "seeds": ", ".join(map(str, row.seeds)),
            "choice": row.chosen_by,
            "targets": row.model.targets,
            "threads": count(row.timing.threads) if row.timing else "–",
        },
        "Code": {
            "ser-bench": code.version,
            "commit": short(code.commit or ""),
            "uncommitted changes": {True: "yes", False: "no", None: "unknown"}[code.dirty],
            "scoring code": short(code.source),
        },
        "Machine": {
            "CPU": where.cpu,
            "CPUs": count(where.n_cpus),
            "memory": f"{measure(where.memory_gib)} GiB",
            "GPU": where.gpu or "none",
            "system": where.platform,
            "environment": where.name or "ser-bench's own",
        },
        "Packages": {"Python": where.python, **dict(sorted(where.packages.items()))},
    }
