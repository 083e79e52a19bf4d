"""The charts of one row: confusions, calibration and learning curves."""

from __future__ import annotations

from typing import Any

from ser_bench.records import Curve
from ser_bench.report.charts.drawing import Chart, Values, chart, heat_map, kinds, metric, number, tips, unique
from ser_bench.report.parts import Row
from ser_bench.report.text import count, score

MOST_FITS = 24
MOST_EPOCHS = 50
"""Fits, and epochs of each, that are drawn; of more, as many evenly spread."""

_PANELS = {"loss": (0, 150), "score": (180, 330)}


def confusion(row: Row) -> Chart | None:
    """Return the confusion matrix: the share of each class's utterances that got each label, and their number."""
    if not any(map(sum, row.confusion)):
        return None
    names = unique(row.classes)
    cells: Values = []
    for truth, counts in zip(names, row.confusion, strict=True):
        total = sum(counts)
        cells += [
            {
                "label": truth,
                "column": predicted,
                "n": n,
                "total": total,
                "share": number(n / total) if total else None,
                "text": f"{100 * n / total:.0f}" if total else "–",
                "small": f"{n:,}" if total else "",
                "marked": truth == predicted,
            }
            for predicted, n in zip(names, counts, strict=True)
        ]
    wrong = [cell for cell in cells if not cell["marked"] and cell["n"]]
    description = f"{row.row}: truth down, prediction across; per cent of each class's utterances, and their count."
    if wrong:
        worst = max(wrong, key=lambda cell: (cell["share"], cell["label"], cell["column"]))
        description += (
            f" Worst: {worst['label']} taken for {worst['column']}, {worst['text']} % "
            f"({worst['n']:,} of {worst['total']:,})."
        )
    if len(row.seeds) > 1:
        description += f" Counts are over {len(row.seeds)} seeds."
    tooltip = tips(label="truth", column="predicted", share="share|.1%", n="count|,", total="of|,")
    titles = {"y": "truth", "x": "predicted", "color": "share of the truth"}
    drawn = heat_map(cells, names, names, tooltip, titles=titles)
    return chart(f"confusion-{row.anchor}", "Confusions", description, cells, 34 * len(names), **drawn)


def reliability(row: Row) -> Chart | None:
    """Return the reliability curve: the share that was right against the confidence, by bins of that."""
    found = row.evidence.calibration if row.evidence else None
    if found is None or not found.bins:
        return None
    values: Values = [
        {"confidence": number(confidence), "correct": number(correct), "n": n, "count": f"{n:,}"}
        for confidence, correct, n in found.bins
    ]
    axis = {"format": ".1f", "tickCount": 5}
    x = {"field": "confidence", "type": "quantitative", "title": "mean confidence of a bin", "axis": axis}
    y = {"field": "correct", "type": "quantitative", "title": "share that was right", "axis": axis}
    x["scale"] = y["scale"] = {"domain": [0, 1]}
    size = {"field": "n", "type": "quantitative", "scale": {"rangeMin": 25, "rangeMax": 420}, "legend": None}
    ends = {"data": {"values": [{"confidence": 0, "correct": 0}, {"confidence": 1, "correct": 1}]}}
    layer = [
        {**ends, "mark": {"type": "line", "style": "guide"}, "encoding": {"x": x, "y": y}},
        {"mark": {"type": "line", "style": "link"}, "encoding": {"x": x, "y": y}},
        {
            "mark": {"type": "point", "style": "bullet"},
            "encoding": {
                "x": x,
                "y": y,
                "size": size,
                "tooltip": tips(confidence="confidence|.3f", correct="right|.3f", n="answers|,"),
            },
        },
        {
            "mark": {"type": "text", "style": "note", "dy": 18, "fontSize": 11},
            "encoding": {"x": x, "y": y, "text": {"field": "count"}},
        },
    ]
    total = sum(n for _, _, n in found.bins)
    mean = sum(confidence * n for confidence, _, n in found.bins) / total
    right = sum(correct * n for _, correct, n in found.bins) / total
    description = (
        f"{row.row}: of {count(total, 'answer')}, {score(right)} are right at a mean confidence of {score(mean)}; "
        f"expected calibration error {score(found.ece)}. Dashed: confidence that can be believed; numbers: answers "
        "of a bin."
    )
    return chart(f"reliability-{row.anchor}", "Reliability", description, values, 300, layer=layer)


def curves(row: Row) -> Chart | None:
    """Return how the fits went: losses by epoch above, scores below, a line per fold and seed."""
    fits = _thinned([of for of in row.curves if _series(of)], MOST_FITS)
    if not fits:
        return None
    names = sorted({name for of in fits for name in _series(of)}, key=lambda name: (name.startswith("dev"), name))
    values: Values = [
        {
            "fit": f"{i}",
            "fold": of.fold_id,
            "seed": of.seed,
            "kind": _words(name),
            "panel": "loss" if name.endswith("loss") else "score",
            **_points(of, name),
        }
        for i, of in enumerate(fits)
        for name in names
        if name in _series(of)
    ]
    shown = {of["panel"] for of in values}
    ranges = _PANELS if len(shown) > 1 else dict.fromkeys(shown, (0, 220))
    every = [_words(name) for name in names]
    layer = [_panel(panel, ranges[panel], every) for panel in _PANELS if panel in shown]
    dev = [of for of in values if of["kind"].startswith("dev") and of["panel"] == "score"]
    taken = sorted(len(next(iter(of.values.values()))) for of in row.curves if _series(of))
    length = f"{taken[0]}" if taken[0] == taken[-1] else f"{taken[0]} to {taken[-1]}"
    description = f"{row.row}: {count(len(taken), 'fit')} of {length} recorded epochs."
    if len(taken) > len(fits):
        description += f" Drawn are {len(fits)} of them."
    if dev:
        best = max(max(filter(_is_known, of["y"])) for of in dev)
        description += f" Best {dev[0]['kind']}: {score(best)}."
    return chart(
        f"curves-{row.anchor}",
        "Learning curves",
        description,
        values,
        max(high for _, high in ranges.values()),
        transform=[{"flatten": ["x", "y"]}],
        layer=layer,
        resolve={"scale": {"y": "independent"}},
    )


def _panel(panel: str, place: tuple[int, int], every: list[str]) -> dict[str, Any]:
    """Return the lines of one panel, whose vertical scale has ``place`` (top, bottom) of the plot for itself."""
    x = {"field": "x", "type": "quantitative", "title": "epoch", "scale": {"nice": False, "zero": False}}
    x["axis"] = {"tickMinStep": 1, "format": "d", "grid": False}
    top, bottom = place
    y = {"field": "y", "type": "quantitative", "title": panel, "scale": {"zero": False, "range": [bottom, top]}}
    y["axis"] = {"orient": "left", "tickCount": 4}
    dash = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": every, "range": [[1, 0], [5, 3], [2, 2], [8, 3, 2, 3]]},
    }
    colour = {key: value for key, value in kinds(every, every).items() if key == "color"}
    tooltip = tips(kind="what", y="value|.4~g", x="epoch|d", fold="fold", seed="seed")
    encoding = {"x": x, "y": y, **colour, "detail": {"field": "fit"}}
    return {
        "transform": [{"filter": {"field": "panel", "equal": panel}}],
        "layer": [
            {
                "mark": {"type": "line", "style": "curve"},
                "encoding": {**encoding, "strokeDash": {**dash, "title": None, "legend": colour["color"]["legend"]}},
            },
            {"mark": {"type": "point", "style": "pointer"}, "encoding": {**encoding, "tooltip": tooltip}},
        ],
    }


def _words(name: str) -> str:
    side, _, what = name.rpartition("_")
    return f"{side} {metric(what)}"


def _series(of: Curve) -> list[str]:
    """Return the losses and scores of a curve that hold a number."""
    return [
        name
        for name, values in of.values.items()
        if name.endswith(("_loss", "_uar", "_ccc")) and any(map(_is_known, values))
    ]


def _points(of: Curve, name: str) -> dict[str, list[Any]]:
    values = of.values[name]
    epochs = of.values.get("epoch") or tuple(range(1, len(values) + 1))
    pairs = [(x, y) for x, y in zip(epochs, values, strict=True) if _is_known(x) and _is_known(y)]
    kept = _thinned(pairs, MOST_EPOCHS)
    return {"x": [number(x) for x, _ in kept], "y": [number(y) for _, y in kept]}


def _is_known(value: float | None) -> bool:
    return number(value) is not None


def _thinned(values: Any, most: int) -> Any:
    if len(values) <= most:
        return values
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]
