"""The charts of several tables at once: across corpora, protocols and suites."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ser_bench.records import Score
from ser_bench.report import wording
from ser_bench.report.across_suites import LEVEL, of_boards
from ser_bench.report.charts.drawing import (
    STEP,
    Chart,
    Spec,
    Values,
    chart,
    dumbbells,
    heat_map,
    lines,
    marks,
    metric,
    number,
    tips,
    unique,
    whiskers,
)
from ser_bench.report.parts import Board, Matrix, System
from ser_bench.report.text import count, interval, listing, score

_SIDES = ("published", "reproduced", "honest")
_MEAN = "mean"


def matrix(of: Matrix, primary: str) -> Chart | None:
    """Return one model's scores by training corpus (down) and test corpus (across), with the means of both.

    Scores within a corpus are framed; the means leave them out.
    """
    known: dict[tuple[str, str], float] = {
        (train, test): cell.value
        for train, line in zip(of.train, of.cells, strict=True)
        for test, cell in zip(of.test, line, strict=True)
        if cell is not None and cell.value is not None
    }
    if not known:
        return None
    rows, across = unique([*of.train, _MEAN]), unique([*of.test, _MEAN])
    apart = {pair: value for pair, value in known.items() if pair[0] != pair[1]}
    cells: Values = []
    for i, train in enumerate([*of.train, None]):
        for j, test in enumerate([*of.test, None]):
            inside = [value for (a, b), value in apart.items() if train in (a, None) and test in (b, None)]
            is_mean = train is None or test is None
            found = (fmean(inside) if inside else None) if is_mean else known.get((str(train), str(test)))
            status = "mean of those across corpora" if is_mean else _status(of, i, j)
            cells.append(
                {
                    "label": rows[i],
                    "column": across[j],
                    "share": None if is_mean else number(found),
                    "value": number(found),
                    "text": f"{found:.2f}" if found is not None else "–",
                    "small": "",
                    "marked": train is not None and train == test,
                    "status": status,
                }
            )
    tooltip = tips(label="trained on", column="tested on", value=f"{metric(primary)}|.3f", status="what")
    titles = {"y": "trained on", "x": "tested on", "color": metric(primary)}
    description = f"{of.row}: trained on the corpora down, tested on those across."
    if apart:
        (worst, low), *_, (best, high) = sorted([*apart.items(), *apart.items()], key=lambda pair: (pair[1], pair[0]))
        description += (
            f" Mean across corpora {score(fmean(apart.values()))}; "
            f"lowest {worst[0]} → {worst[1]}, {score(low)}; highest {best[0]} → {best[1]}, {score(high)}."
        )
    within = [value for pair, value in known.items() if pair[0] == pair[1]]
    if within:
        description += f" Mean within a corpus (framed) {score(fmean(within))}."
    drawn = heat_map(cells, rows, across, tooltip, titles=titles)
    title = f"{metric(primary)} across corpora: {of.row}"
    anchor = next(cell.anchor for line in of.cells for cell in line if cell is not None)
    return chart(f"matrix-{anchor}", title, description, cells, 40 * len(rows), **drawn)


def systems(board: Board) -> Chart | None:
    """Return the published systems: what the source states, its protocol here, and an honest protocol."""
    points: Values = []
    labels = unique([f"{of.row}, {metric(_stated(of, board.suite.primary))}" for of in board.systems])
    drawn = []
    for label, of in zip(labels, board.systems, strict=True):
        name = _stated(of, board.suite.primary)
        published = None if of.published is None else getattr(of.published, name, None)
        found = {
            "published": None if published is None else Score(value=published),
            "reproduced": of.reproduced.get(name),
            "honest": of.honest.get(name),
        }
        new = [
            {
                "label": label,
                "kind": side,
                "value": number(it.value),
                "cut": of.cut or "nothing",
                "interval": interval(it) if side != "published" else "not stated",
                "metric": metric(name),
            }
            for side, it in found.items()
            if it is not None and it.value is not None
        ]
        points += new
        drawn += [label] if new else []
    if not points:
        return None
    sides = [side for side in _SIDES if any(point["kind"] == side for point in points)]
    lowered = [
        (of["value"] - honest["value"], of["label"])
        for of in points
        if of["kind"] == "published"
        for honest in points
        if honest["kind"] == "honest" and honest["label"] == of["label"]
    ]
    description = f"{count(len(drawn), 'system')}: {listing(sides)}."
    if lowered:
        most, label = max(lowered)
        description += f" Largest difference of published and honest: {label}, {most:+.3f}."
    tip = {"metric": "metric", "value": "score|.3f", "interval": "95 % interval", "cut": "cut here"}
    layers = dumbbells(points, drawn, _SIDES, "score", **tip)
    return chart("systems", "Published, reproduced, honest", description, points, (STEP + 4) * len(drawn), **layers)


def gap(board: Board) -> Chart | None:
    """Return each model's score on unseen speakers beside that of the control."""
    found = board.gap
    if found is None or not found.rows:
        return None
    control = "speakers shared" if found.control_suite is None else "published protocol"
    ordered = sorted(found.rows, key=lambda row: (-row.disjoint, row.row, row.run_id))
    labels = unique([row.row for row in ordered])
    points: Values = [
        {
            "label": label,
            "kind": kind,
            "value": number(value),
            "gap": number(row.gap.value),
            "interval": interval(row.gap),
        }
        for label, row in zip(labels, ordered, strict=True)
        for kind, value in (("unseen speakers", row.disjoint), (control, row.control))
        if number(value) is not None
    ]
    widest = max(
        (row for row in ordered if row.gap.value is not None), key=lambda row: (row.gap.value, row.row), default=None
    )
    description = f"{count(len(ordered), 'model')} under this suite's protocol and under: {found.control.rstrip('.')}."
    if widest is not None:
        description += f" Largest difference: {widest.row}, {widest.gap.value:+.3f} {interval(widest.gap)}."
    tip = {"value": f"{metric(found.primary)}|.3f", "gap": "difference|+.3f", "interval": "its 95 % interval"}
    layers = dumbbells(points, labels, ("unseen speakers", control), metric(found.primary), **tip)
    return chart(
        "gap",
        wording.GAP if found.control_suite is None else "What the published protocol is worth",
        description,
        points,
        STEP * len(labels),
        **layers,
    )


def critical_difference(boards: Sequence[Board]) -> Chart | None:
    """Return the mean rank of models over suites; those whose bars don't overlap differ by Nemenyi's test.

    Bars are as long as the critical difference, half to either side (Demšar 2006), so that is when two are further
    apart than it.
    """
    found = of_boards(boards)
    if found is None:
        return None
    half = found.critical_difference / 2
    values: Values = [
        {
            "label": model,
            "value": number(rank),
            "low": number(max(1, rank - half)),
            "high": number(min(len(found.models), rank + half)),
            "kind": "not told from the first" if rank - found.ranks[0] <= 2 * half else "worse than the first",
        }
        for model, rank in zip(found.models, found.ranks, strict=True)
    ]
    x: Spec = {"field": "value", "type": "quantitative", "title": "mean rank over suites (left: better)"}
    x["scale"] = {"zero": False, "nice": False, "padding": 12}
    tooltip = tips(label="model", value="mean rank|.2f", kind="what")
    styles = {"not told from the first": "dot", "worse than the first": "hollow"}
    layer = [*whiskers(values, x, tooltip), *marks(values, "kind", styles, {"x": x, "tooltip": tooltip})]
    apart = sum(of["kind"] == "worse than the first" for of in values)
    verdict = (
        f"bars that don't overlap differ (Nemenyi, {LEVEL:.0%}, critical difference {found.critical_difference:.2f})"
        if found.differ
        else "so no two models can be told apart"
    )
    description = (
        f"{count(len(found.models), 'model')} over {count(len(found.suites), 'suite')} ({listing(found.suites)}). "
        f"First: {found.models[0]}, mean rank {found.ranks[0]:.2f}. Friedman's test: p = {found.p_friedman:.3g} "
        f"(Iman and Davenport: {found.p:.3g}); {verdict}."
    ) + (f" Hollow: {count(apart, 'model')} worse than the first." if found.differ and apart else "")
    return chart(
        "critical-difference",
        "Mean ranks over suites",
        description,
        values,
        STEP * len(values),
        encoding={"y": lines(found.models)},
        layer=layer,
    )


def _status(of: Matrix, i: int, j: int) -> str:
    cell = of.cells[i][j]
    if cell is None:
        return "not run"
    return "within the corpus" if of.train[i] == of.test[j] and cell.status == "ok" else cell.status


def _stated(of: System, primary: str) -> str:
    """Return the metric to compare a system by: the primary one where its source states it, else one that it does."""
    if of.published is None:
        return primary
    order = (primary, "uar", "war", "macro_f1")
    return next((name for name in order if getattr(of.published, name, None) is not None), primary)
