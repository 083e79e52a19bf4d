"""A row's results as the ``model-index`` of a Hugging Face model card."""

from __future__ import annotations

from typing import Any

from ser_bench.errors import DataError, did_you_mean
from ser_bench.report import wording
from ser_bench.report.parts import Board, Row, Table
from ser_bench.report.text import METRICS, interval, shown_metrics, slug

_ON_THE_HUB: dict[str, dict[str, Any]] = {
    "uar": {"type": "recall", "args": {"average": "macro"}},
    "war": {"type": "accuracy"},
    "macro_f1": {"type": "f1", "args": {"average": "macro"}},
    "pearson": {"type": "pearsonr"},
    "rmse": {"type": "mse", "args": {"squared": False}},
}
"""Metric -> its id and arguments among the hub's metrics; others have none there and keep their name."""

_LONGEST_LINE = 1000


def rows_of_models(board: Board) -> list[str]:
    """Return the labels of the rows that have a result to state: all with scores but the baselines, sorted."""
    rows = {row.row for table in board.tables for row in table.rows if row.scores and row.standing != "reference"}
    return sorted(rows)


def render_model_index(board: Board, row: str) -> bytes:
    """Return front matter for a model card: a result per table in which the row labelled ``row`` has scores.

    The dataset's ``revision`` is the fingerprint of the test rows, so that equal revisions can be compared; its name
    holds the counts and, where the row has no rank, why. Keys: the hub's model card specification.

    Raises:
        DataError: If no row of that label has scores.
    """
    import yaml

    found = [(table, of) for table in board.tables for of in table.rows if of.row == row and of.scores]
    if not found:
        raise DataError(f"no row {row!r} with scores on this board{did_you_mean(row, rows_of_models(board))}")
    card = {"model-index": [{"name": row, "results": [_result(board, table, of) for table, of in found]}]}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=_LONGEST_LINE)
    return f"---\n{text}---\n".encode()


def _result(board: Board, table: Table, row: Row) -> dict[str, Any]:
    suite = board.suite
    corpora = [corpus for corpus in board.corpora if corpus.fingerprint in row.corpora]
    tested = [corpus for corpus in corpora if table.test in (None, corpus.name)] or corpora
    warned = sorted({notice.kind for notice in board.notices} - {"note"})
    name = " + ".join(corpus.title for corpus in tested)
    name += f", {suite.name} v{suite.version} ({wording.size(row.n_test, row.n_test_speakers)})"
    name += f"; not ranked: {row.reason}" if row.reason else ""
    return {
        "task": {"type": "audio-classification", "name": "Speech emotion recognition"},
        "dataset": {
            "name": name + (f"; {', '.join(warned)}" if warned else ""),
            "type": "_".join(slug(corpus.name) for corpus in tested),
            "split": "test",
            "revision": table.test_fingerprint,
            "args": {
                "suite": suite.name,
                "suite_version": suite.version,
                "suite_digest": suite.digest,
                "protocol": suite.protocol,
                "corpora": {corpus.name: corpus.fingerprint for corpus in corpora},
                "run_id": row.run_id,
            },
        },
        "metrics": [_metric(row, name) for name in shown_metrics(suite.primary) if _has(row, name)],
    }


def _has(row: Row, name: str) -> bool:
    return name in row.scores and row.scores[name].value is not None


def _metric(row: Row, name: str) -> dict[str, Any]:
    of, score = _ON_THE_HUB.get(name, {"type": name}), row.scores[name]
    bounds = f" (95 %: {interval(score)})" if score.low is not None else ""
    return {"type": of["type"], "value": score.value, "name": METRICS[name] + bounds} | {
        key: value for key, value in of.items() if key != "type"
    }
