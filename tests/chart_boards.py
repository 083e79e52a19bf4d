"""Made-up boards that have something to draw for every chart."""

from __future__ import annotations

import random
from collections.abc import Iterator

from msgspec.structs import replace

from ser_bench.records import BatchLatency, Curve, Gap, GapRow, RunRecord, Score, StressScore
from ser_bench.references import Reference
from ser_bench.report import charts
from ser_bench.report.board import build
from ser_bench.report.charts import Chart
from ser_bench.report.parts import Board, Calibration, Evidence, Matrix, Row, SpeakerScore, System
from tests import report_records as made_up

CONDITIONS = ("noise:20", "noise:10", "gain:-12", "lowpass:4000", "codec:opus")


def rich_board(records: list[RunRecord] | None = None) -> Board:
    """Return the board of rows that have stress, curves, speakers, calibration, groups, a gap and systems."""
    rows = [_rich(record) for record in records or made_up.held_against()]
    board = build(rows, _gap(rows))
    tables = tuple(replace(table, rows=tuple(_shown(row) for row in table.rows)) for table in board.tables)
    return replace(board, tables=tables, systems=_systems(board))


def hostile_board() -> Board:
    """Return a board like it, every text of which a stranger wrote."""
    return rich_board(made_up.hostile())


def matrices() -> tuple[Matrix, ...]:
    """Return the matrices of three corpora, one of them with scores within the corpora."""
    first, *others = build(made_up.cross()).matrices
    inside = replace(next(cell for cell in first.cells[0] if cell), value=0.8)
    cells = tuple(
        tuple(inside if i == j else cell for j, cell in enumerate(line)) for i, line in enumerate(first.cells)
    )
    return (replace(first, cells=cells), *others)


def suites() -> list[Board]:
    """Return four boards that share six ranked models."""
    boards = []
    for i, corpus in enumerate("abcd"):
        at = made_up.suite(f"suite-{corpus}", notes=())
        shared = {"suite": at, "n_test": 1438, "n_test_speakers": 24, "n_folds": 24}
        names = [name for name in made_up.MODELS if name not in ("mlp", "hist-gb", "knn", "decision-tree")]
        names += ["mlp"] if i == 1 else []
        boards.append(build([made_up.record(name, **shared) for name in names]))
    return boards


def charts_of(board: Board) -> Iterator[Chart | None]:
    """Yield every chart of a board, table by table and row by row."""
    primary = board.suite.primary
    for table in board.tables:
        yield charts.ranking(table, primary, board.suite.references)
        yield charts.pareto(table, primary)
        yield charts.speakers(table, primary)
        yield charts.recalls(table)
        yield charts.stress(table, primary)
        yield charts.gender(table)
        for groups in table.groups:
            yield charts.by_group(groups)
        for row in table.rows:
            yield charts.confusion(row)
            yield charts.reliability(row)
            yield charts.curves(row)
    yield charts.systems(board)
    yield charts.gap(board)
    for of in board.matrices:
        yield charts.matrix(of, primary)


def every_chart(board: Board) -> list[Chart]:
    """Return the charts of a board, and those across corpora and suites, each name once."""
    found = [*charts_of(board), *(charts.matrix(of, "uar") for of in matrices()), charts.critical_difference(suites())]
    return list({chart.name: chart for chart in found if chart is not None}.values())


def _rich(record: RunRecord) -> RunRecord:
    if record.status != "ok" or record.model.family == "baseline":
        return record
    rng = random.Random(record.row)
    uar = record.scores["uar"].value or 0.0
    stress = tuple(
        StressScore(
            condition=name, n=record.n_test, scores={"uar": Score(value=uar - drop)}, drop=_interval(drop, 0.03)
        )
        for name in CONDITIONS
        for drop in (rng.uniform(-0.01, 0.3),)
    )
    curves = tuple(_curve(rng, seed, fold) for seed in range(3) for fold in range(2))
    device = "cuda" if record.model.framework == "torch" else "cpu"
    timing = record.timing
    if timing is not None and timing.latency is not None:
        batched = BatchLatency(size=32, n=20, p50_ms=44.0, p95_ms=51.0)
        p50_ms = 400 * 10 ** (4 * (uar - 1)) * rng.uniform(1, 8)
        latency = replace(timing.latency, p50_ms=p50_ms, p95_ms=1.3 * p50_ms, batched=batched)
        timing = replace(timing, latency=latency)
    network = record.model.family == "network"
    model = replace(record.model, device=device)
    return replace(record, stress=stress, curves=curves if network else (), model=model, timing=timing)


def _curve(rng: random.Random, seed: int, fold: int) -> Curve:
    n = rng.randint(25, 60)
    loss = tuple(round(2 * 0.94**i + rng.uniform(0, 0.08), 6) for i in range(n))
    uar = tuple(None if i == 0 else round(0.5 - 0.37 * 0.9**i + rng.uniform(-0.02, 0.02), 6) for i in range(n))
    values = {"epoch": tuple(range(1, n + 1)), "train_loss": loss, "dev_uar": uar, "learning_rate": (0.001,) * n}
    return Curve(seed=seed, fold_id=f"fold-{fold}", values=values)


def _interval(value: float, half: float) -> Score:
    return Score(value=value, low=value - half, high=value + half, method="made up", n_speakers=24)


def _shown(row: Row) -> Row:
    """Return a row with evidence of its speakers and its calibration."""
    if not row.scores:
        return row
    rng = random.Random(row.row)
    uar = row.scores["uar"].value or 0.0
    names = [f"ravdess:{i:02d}" for i in range(1, 25)] if row.row not in made_up.HOSTILE else list(made_up.HOSTILE)
    speakers = tuple(
        SpeakerScore(
            speaker=name,
            gender=("male", "female", None)[i % 3],
            n=60,
            value=None if i == 7 else min(1.0, max(0.0, rng.gauss(uar, 0.09))),
        )
        for i, name in enumerate(names)
    )
    bins = tuple(
        (0.05 + 0.1 * i, min(1.0, 0.03 + 0.085 * i + rng.uniform(-0.03, 0.03)), rng.randint(4, 900))
        for i in range(1, 10)
    )
    calibration = Calibration(ece=0.081, brier=0.7, nll=1.4, bins=bins)
    return replace(row, evidence=Evidence(speakers=speakers, calibration=calibration))


def _gap(rows: list[RunRecord]) -> Gap | None:
    learned = [row for row in rows if row.status == "ok" and row.model.family != "baseline"]
    return Gap(
        suite=rows[0].suite.name,
        control="Random 5-fold; speakers stand on both sides.",
        control_folder="control",
        primary="uar",
        n_test=1438,
        n_speakers=24,
        rows=tuple(
            GapRow(
                row=row.row,
                run_id=row.run_id,
                control_run_id=row.run_id,
                features="stats180",
                disjoint=row.scores["uar"].value or 0.0,
                control=min(1.0, 1.3 * (row.scores["uar"].value or 0.0)),
                gap=_interval(0.3 * (row.scores["uar"].value or 0.0), 0.04),
            )
            for row in learned
        ),
    )


def _systems(board: Board) -> tuple[System, ...]:
    rows = [row for row in board.tables[0].rows if row.standing == "ranked" or row.row in made_up.HOSTILE]
    stated = [{"war": 0.91}, {"uar": 0.95, "war": 0.96}, {"macro_f1": 0.8}]
    return tuple(
        System(
            row=row.row,
            published=None
            if i == 3
            else Reference(label=row.row, kind="published", source="A. Author", protocol="?", **stated[i % 3]),
            reproduced={name: _interval((of.value or 0) + 0.2, 0.02) for name, of in row.scores.items()},
            honest=row.scores,
            differences={},
            cut="5 of 200 epochs" if i == 1 else None,
        )
        for i, row in enumerate(rows[:4])
    )
