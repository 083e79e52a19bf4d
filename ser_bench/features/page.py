"""The feature sets that come with ser-bench as the page docs/features.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ser_bench.features.contract import FeatureSet

_HEAD = """# Feature sets

<!-- Generated: ser-bench list features --markdown > docs/features.md -->

What can be named by `features` and `frames` of a suite, `run --features` and `ser-bench features CORPUS --set`. Vectors
have a row of numbers per utterance, frames one per moment. Every set is a function of one utterance alone; it gets mono
samples at the rate that it states, else at the suite's (`sample_rate_hz`, by default 22,050 Hz). *Groups* are what a
selection can keep or drop as a whole.

From any set of frames others are made by name, and named in their turn as a base:

- `NAME+deltas`: each frame with its first and second differences (slope and curvature over 9 frames; at both ends the
  outermost frame is repeated). Groups: `static`, `delta`, `delta2`.
- `NAME+functionals`: a vector of each column's mean, standard deviation and percentiles 5, 25, 50, 75 and 95 over time.
  A group for each statistic. `logmel64+deltas+functionals` has 64 × 3 × 7 = 1,344 columns.

A table made elsewhere is a set, too: see [a table of features](extending.md#a-table-of-features). So are pretrained
encoders, as `hf:FOLDER_OR_ID` and `onnx:FILE`: see [pretrained encoders](encoders.md).
"""


def features_page(sets: Sequence[FeatureSet]) -> str:
    """Return the page on ``sets``: a table, then a section each, in the order given."""
    table = ["| name | kind | columns | rate | extra |", "|---|---|---|---|---|", *map(_line, sets)]
    return "\n".join([_HEAD, *table, "", *map(_section, sets)])


def _line(found: FeatureSet) -> str:
    extra = f"`{found.extra}`" if found.extra else ""
    cells = (f"[{found.name}](#{found.name})", found.kind, f"{len(found.columns):,}", _rate(found), extra)
    return f"| {' | '.join(cells)} |"


def _rate(found: FeatureSet) -> str:
    if found.sample_rate_hz is None:
        return "the suite's"
    return "each file's own" if found.sample_rate_hz == "native" else f"{found.sample_rate_hz:,} Hz"


def _section(found: FeatureSet) -> str:
    return (
        "\n".join([f"## {found.name}\n", f"{found.title}.\n", *(f"- **{key}**: {text}" for key, text in _facts(found))])
        + "\n"
    )


def _facts(found: FeatureSet) -> Iterable[tuple[str, str]]:
    first, last = found.columns[0], found.columns[-1]
    yield "columns", f"`{first}`" if first == last else f"`{first}` … `{last}`"
    if found.groups:
        yield "groups", ", ".join(f"{name} {stop - start:,}" for name, (start, stop) in found.groups.items())
    if found.extra or found.install:
        extra = f"pip install 'ser-bench[{found.extra}]'"
        yield "install", f"`{found.install or extra}`"
    if found.level_free:
        yield "recording level", "a change of it leaves the values as they are"
