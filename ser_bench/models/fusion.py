"""Late fusion: a row made of other rows' stored answers, or of one row's seeds. Nothing is fitted again."""

from __future__ import annotations

from ser_bench.models.contract import ModelSpec

FUSION = ModelSpec(
    name="fusion",
    title="late fusion: weighted mean of the probabilities, or numbers, of other rows, over all their seeds",
    family="ensemble",
    framework="numpy",
    factory="",
    params={"rows": [], "weights": None},
    input="any",
    normalise="none",
    seeded=False,
    targets=("classes", "values"),
    combines=True,
)
