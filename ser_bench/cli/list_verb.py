"""List what there is: suites, models, corpora, feature sets, label schemes; plug-ins included."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "list suites, models, corpora, features, schemes"
EXAMPLE = "example:\n  ser-bench list models"
KINDS = ("suites", "models", "corpora", "features", "schemes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to list (default: everything)")
    parser.add_argument(
        "--markdown", action="store_true", help="print ser-bench's own corpora or features as their page under docs/"
    )


def main(args: argparse.Namespace) -> int:
    """Print the lists."""
    from ser_bench.cli.output import print_json, print_table

    if args.markdown:
        print(_page(args), end="")
        return 0
    kinds = [args.kind] if args.kind else list(KINDS)
    found = {kind: _entries(kind) for kind in kinds}
    if args.json:
        print_json(found)
        return 0
    for kind in kinds:
        if len(kinds) > 1:
            print(f"\n{kind}")
        headers = list(dict.fromkeys(header for entry in found[kind] for header in entry)) or ["name"]
        print_table([[entry.get(h, "") for h in headers] for entry in found[kind]], headers)
    return 0


def _page(args: argparse.Namespace) -> str:
    from ser_bench import registry
    from ser_bench.corpora.page import corpora_page
    from ser_bench.errors import UsageError
    from ser_bench.features.page import features_page

    if args.kind not in ("corpora", "features") or args.json:
        raise UsageError("--markdown goes with corpora and features only", hint="ser-bench list corpora --markdown")
    known = registry.entries(args.kind)
    own = [registry.load(args.kind, name) for name, point in known.items() if point.value.startswith("ser_bench.")]
    return corpora_page(own) if args.kind == "corpora" else features_page(own)


def _entries(kind: Any) -> list[dict[str, Any]]:
    from ser_bench import registry
    from ser_bench.emotions import DIMENSION_SCHEMES, SCHEMES
    from ser_bench.errors import SerBenchError
    from ser_bench.suites import load_suite, suite_names

    if kind == "schemes":
        own = [
            {
                "name": s.name,
                "classes": ", ".join(s.classes),
                "merges": ", ".join(f"{a}→{b}" for a, b in s.merge.items()),
                "rest": s.rest,
            }
            for s in SCHEMES.values()
        ]
        own.append({"name": "native", "classes": "the corpus's own", "merges": "", "rest": "refuse"})
        return own + [
            {
                "name": s.name,
                "classes": "numbers" if s.numbers else ", ".join(s.classes),
                "merges": ""
                if s.numbers
                else f"{s.column} on {s.scale[0]:g} to {s.scale[1]:g}: ≤ {s.cuts[0]}→low, ≥ {s.cuts[1]}→high",
                "rest": "drop",
            }
            for s in DIMENSION_SCHEMES.values()
        ]
    names = suite_names() if kind == "suites" else list(registry.entries(kind))
    entries = []
    for name in names:
        try:
            entries.append(
                {
                    "name": name,
                    **_describe(kind, load_suite(name) if kind == "suites" else registry.load(kind, name)),
                }
            )
        except SerBenchError as error:
            entries.append({"name": name, "title": f"broken: {error.message}"})
    return entries


def _describe(kind: Any, found: Any) -> dict[str, Any]:
    if kind == "suites":
        return {
            "title": found.title,
            "corpora": ", ".join(found.corpora),
            "labels": found.labels if isinstance(found.labels, str) else found.labels.name,
        }
    if kind == "models":
        return {
            "title": found.title,
            "family": found.family,
            "framework": found.framework,
            "input": found.input,
            "predicts": ", ".join(found.targets),
        }
    if kind == "corpora":
        from ser_bench.corpora.page import counts, labels_in_short

        utterances, speakers = counts(found)
        return {
            "title": found.title,
            "language": found.language,
            "access": found.access,
            "licence": found.licence,
            "utterances": utterances,
            "speakers": speakers,
            "labels": labels_in_short(found),
        }
    return {"title": found.title, "kind": found.kind, "columns": len(found.columns)}
