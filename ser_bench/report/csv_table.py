"""The board as one CSV table, a line per row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator

from ser_bench.report.parts import Board, Row, Table

METRIC_COLUMNS = ("uar", "war", "macro_f1", "ccc", "rmse", "pearson")
"""Each is a column of its own, followed by the ends of its interval."""

COLUMNS = (
    *("suite", "suite_version", "suite_digest", "notices", "table", "test_fingerprint"),
    *("rank", "standing", "reason", "row", "model", "framework", "family", "features", "normalisation", "device"),
    *("train", "test"),
    *(name + end for name in METRIC_COLUMNS for end in ("", "_low", "_high")),
    *("against", "difference", "difference_low", "difference_high", "p_holm"),
    *("interval", "n_test", "n_test_speakers", "seeds", "folds", "folds_total"),
    *("fit_s", "latency_p50_ms", "latency_p95_ms", "rtf", "peak_mib", "disk_bytes", "n_parameters"),
    *("run_id", "predictions_sha256"),
)

_FORMULA = re.compile("[=+@\uff1d\uff0b\uff0d\uff20-]")


def render_csv(board: Board) -> bytes:
    """Return a line per row of every table: UTF-8, LF, numbers unrounded, empty where there is none.

    ``notices`` names what the board warns of (``synthetic``, ``control`` ...). Text that a spreadsheet would take for
    a formula has an apostrophe before it.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in board.tables:
        for row in table.rows:
            cells = dict(_cells(board, table, row))
            writer.writerow([_shown(cells[name]) for name in COLUMNS])
    return stream.getvalue().encode()


def _cells(board: Board, table: Table, row: Row) -> Iterator[tuple[str, str | float | None]]:
    suite, model, timing = board.suite, row.model, row.timing
    latency = timing.latency if timing else None
    first, apart = row.scores.get(suite.primary), row.evidence.difference
    yield from (("suite", suite.name), ("suite_version", suite.version), ("suite_digest", suite.digest))
    yield "notices", " ".join(sorted({notice.kind for notice in board.notices} - {"note"}))
    yield from (("table", table.title), ("test_fingerprint", table.test_fingerprint if row.scores else None))
    yield from (("rank", row.rank), ("standing", row.standing), ("reason", row.reason), ("row", row.row))
    yield from (("model", model.name), ("framework", model.framework), ("family", model.family))
    yield from (("features", row.features.name if row.features else None), ("normalisation", row.normalisation))
    yield from (("device", model.device), ("train", row.train), ("test", row.test))
    for name in METRIC_COLUMNS:
        score = row.scores.get(name)
        yield name, score.value if score else None
        yield f"{name}_low", score.low if score else None
        yield f"{name}_high", score.high if score else None
    yield "against", apart.against if apart else None
    yield "difference", apart.value if apart else None
    yield "difference_low", apart.low if apart else None
    yield "difference_high", apart.high if apart else None
    yield "p_holm", apart.p_holm if apart else None
    yield "interval", first.method if first else None
    yield from (("n_test", row.n_test or None), ("n_test_speakers", row.n_test_speakers or None))
    yield from (("seeds", len(row.seeds)), ("folds", len(row.folds)), ("folds_total", row.folds_total))
    yield "fit_s", timing.fit_s if timing else None
    yield "latency_p50_ms", latency.p50_ms if latency else None
    yield "latency_p95_ms", latency.p95_ms if latency else None
    yield "rtf", timing.rtf if timing else None
    yield "peak_mib", timing.peak_mib if timing else None
    yield "disk_bytes", timing.disk_bytes if timing else None
    yield "n_parameters", model.n_parameters
    yield "run_id", row.run_id
    yield "predictions_sha256", row.predictions.sha256 if row.predictions else None


def _shown(value: str | float | None) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return repr(value)
