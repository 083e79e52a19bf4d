"""The charts of a table beside its ranking: speakers, classes, groups and changed audio."""

from __future__ import annotations

from collections.abc import Sequence

from ser_bench.report import wording
from ser_bench.report.charts.drawing import (
    STEP,
    Chart,
    Values,
    bands,
    chart,
    dumbbells,
    heat_map,
    kinds,
    lines,
    marks,
    metric,
    name_of,
    number,
    score_axis,
    tips,
    unique,
    whiskers,
)
from ser_bench.report.parts import GroupTable, Row, SpeakerScore, Table
from ser_bench.report.text import clip, count, interval, listing, score

MOST_SPEAKERS = 60
"""Speakers of a row that are drawn; of more, as many evenly spread over their scores, worst and best among them."""


def speakers(table: Table, primary: str) -> Chart | None:
    """Return the score of every speaker by row, the whole row's as a stroke, and the worst one named."""
    rows = [(row, _known(row)) for row in table.rows if _known(row)]
    if not rows:
        return None
    labels = unique([row.row for row, _ in rows])
    values: Values = []
    for label, (row, known) in zip(labels, rows, strict=True):
        whole = row.scores.get(primary)
        worst = known[0]
        values += [
            {
                "label": label,
                "speaker": of.speaker,
                "gender": of.gender or "unknown",
                "n": of.n,
                "value": number(of.value),
                "part": "worst" if of is worst else "one",
            }
            for of in _spread(known)
        ]
        if whole is not None and whole.value is not None:
            values.append({"label": label, "speaker": "all", "value": number(whole.value), "part": "whole"})
    tooltip = tips(label="row", speaker="speaker", gender="gender", n="utterances|,", value=f"{metric(primary)}|.3f")
    told = {"tooltip": tooltip}
    layer = [
        *marks(values, "part", {"one": "grain", "worst": "worst"}, told),
        *marks(values, "part", {"whole": "whole"}, told, "tick"),
        *marks(values, "part", {"worst": "name-below"}, {"text": {"field": "speaker"}}, "text"),
    ]
    x = score_axis(f"{metric(primary)} of one speaker")
    row, known = rows[0]
    description = (
        f"{row.row}: {count(len(known), 'speaker')} between {score(known[0].value)} ({known[0].speaker}) and "
        f"{score(known[-1].value)} ({known[-1].speaker}). Strokes: all speakers together; triangles: the worst, named."
    )
    if any(len(of) > MOST_SPEAKERS for _, of in rows):
        description += f" Drawn are {MOST_SPEAKERS} of each row's speakers, evenly spread over their scores."
    return chart(
        name_of("speakers", table),
        f"{metric(primary)} by speaker",
        description,
        values,
        (STEP + 12) * len(labels),
        encoding={"y": lines(labels), "x": x},
        layer=layer,
    )


def recalls(table: Table) -> Chart | None:
    """Return the recall of every class by row as a heat map, in per cent."""
    rows = [row for row in table.rows if row.per_class]
    if not rows:
        return None
    labels = unique([row.row for row in rows])
    names = list(dict.fromkeys(of.name for row in rows for of in row.per_class))
    cells: Values = [
        {
            "label": label,
            "column": of.name,
            "share": number(of.recall),
            "n": of.n,
            "small": "",
            "text": "–" if of.recall is None else f"{100 * of.recall:.0f}",
            "marked": False,
            "precision": score(of.precision),
        }
        for label, row in zip(labels, rows, strict=True)
        for of in row.per_class
    ]
    spoken = [of for of in rows[0].per_class if of.recall is not None]
    order = sorted(spoken, key=lambda of: (of.recall or 0.0, of.name))
    description = "Recall of each class in per cent."
    if order:
        low, high = order[0], order[-1]
        description += (
            f" {rows[0].row}: lowest {low.name}, {score(low.recall)}; highest {high.name}, {score(high.recall)}."
        )
    tooltip = tips(label="row", column="class", share="recall|.3f", precision="precision", n="utterances|,")
    drawn = heat_map(cells, labels, names, tooltip, titles={"color": "recall"})
    return chart(name_of("recalls", table), "Recall by class", description, cells, 26 * len(labels), **drawn)


def stress(table: Table, primary: str) -> Chart | None:
    """Return what each change of the test audio costs each row, with its interval."""
    rows = [row for row in table.rows if any(of.drop.value is not None for of in row.stress)]
    if not rows:
        return None
    labels = unique([row.row for row in rows])
    conditions = list(dict.fromkeys(of.condition for row in rows for of in row.stress))
    values: Values = [
        {
            "label": label,
            "kind": of.condition,
            "value": number(of.drop.value),
            "low": number(of.drop.low),
            "high": number(of.drop.high),
            "interval": interval(of.drop),
            "n": of.n,
            "under": number(of.scores[primary].value) if primary in of.scores else None,
        }
        for label, row in zip(labels, rows, strict=True)
        for of in row.stress
        if of.drop.value is not None
    ]
    x = score_axis(f"drop of {metric(primary)} (right: worse)", zero=True)
    offset = {"field": "kind", "type": "nominal", "scale": {"domain": conditions, "paddingOuter": 0.3}}
    place = {"y": lines(labels), "yOffset": offset}
    tooltip = tips(
        label="row",
        kind="condition",
        value="drop|+.3f",
        interval="95 % interval",
        under=f"{metric(primary)} under it|.3f",
        n="utterances|,",
    )
    layer = [
        bands(labels),
        {"data": {"values": [{}]}, "mark": {"type": "rule", "style": "guide"}, "encoding": {"x": {"datum": 0}}},
        *whiskers(values, x, tooltip, **place),
        {
            "mark": {"type": "point", "style": "dot"},
            "encoding": {
                **place,
                "x": x,
                "tooltip": tooltip,
                **kinds(conditions, conditions),
            },
        },
    ]
    worst = max(values, key=lambda of: (of["value"], of["label"]))
    description = (
        f"{count(len(rows), 'row')} under {listing(conditions)}. "
        f"Largest drop: {worst['label']} under {worst['kind']}, {worst['value']:+.3f} {worst['interval']}."
    )
    height = 15 * len(labels) * len(conditions) + 6 * len(labels)
    return chart(name_of("stress", table), "What changed audio costs", description, values, height, layer=layer)


def gender(table: Table) -> Chart | None:
    """Return the UAR by gender, row by row."""
    return next((by_group(of) for of in table.groups if of.column == "gender"), None)


def by_group(table: GroupTable) -> Chart | None:
    """Return the UAR by the values of one column of the test rows, row by row."""
    rows = [row for row in table.rows if any(value is not None for value in row.uars)]
    if not rows:
        return None
    labels = unique([row.row for row in rows])
    points: Values = [
        {
            "label": label,
            "kind": group,
            "value": number(uar),
            "n": n,
            "n_speakers": n_speakers,
            "gap": score(row.gap),
        }
        for label, row in zip(labels, rows, strict=True)
        for group, uar, n, n_speakers in zip(table.values, row.uars, table.n, table.n_speakers, strict=True)
        if uar is not None
    ]
    tip = {"value": "UAR|.3f", "gap": "largest gap", "n": "utterances|,", "n_speakers": "speakers|,"}
    widest = max((row for row in rows if row.gap is not None), key=lambda row: (row.gap, row.row), default=None)
    sizes = (
        f"{name} ({wording.size(a, b)})" for name, a, b in zip(table.values, table.n, table.n_speakers, strict=True)
    )
    description = f"UAR over {listing(table.classes)} by {table.column}: {listing(list(sizes))}."
    if widest is not None:
        description += f" Widest gap: {widest.row}, {score(widest.gap)}."
    drawn = dumbbells(points, labels, table.values, "UAR", **tip)
    name = f"{table.column}-{rows[0].anchor}"
    return chart(name, f"UAR by {clip(table.column, 40)}", description, points, STEP * len(labels), **drawn)


def _known(row: Row) -> list[SpeakerScore]:
    """Return the speakers that have a score, the worst first."""
    known = [of for of in row.evidence.speakers if number(of.value) is not None] if row.evidence else []
    return sorted(known, key=lambda of: (of.value, of.speaker))


def _spread(known: Sequence[SpeakerScore]) -> Sequence[SpeakerScore]:
    if len(known) <= MOST_SPEAKERS:
        return known
    step = (len(known) - 1) / (MOST_SPEAKERS - 1)
    return [known[round(place * step)] for place in range(MOST_SPEAKERS)]
