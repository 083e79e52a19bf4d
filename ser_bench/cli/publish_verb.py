"""Publish a run: copy its records and predictions to a folder that can be committed, and make its tables there."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "copy a run's records and predictions to results/, with its tables"
EXAMPLE = """examples:
  ser-bench publish runs/ravdess-loso-1a2b3c4d
  ser-bench publish runs/ravdess-loso-1a2b3c4d --remark "ravdess: re-packed copy, 22.05 kHz"
  ser-bench publish runs/ravdess-loso-5e6f7a8b --name ravdess-loso-1a2b3c4d      (beside the rows that stand there)

A run that was made with uncommitted changes, lacks rows, holds a corpus without a stated licence, or fails the leak
audit is refused (exit 4); --allow-… publishes it all the same, and its board says so."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("--to", default="results", metavar="DIR", help="where boards are published (default: results)")
    parser.add_argument("--name", metavar="NAME", help="the board's folder there (default: the run folder's name)")
    parser.add_argument(
        "--remark",
        action="append",
        default=[],
        metavar="CORPUS:TEXT",
        help="what the copy of a corpus is, for the board; may be repeated",
    )
    parser.add_argument("--replace", action="store_true", help="rows that stand there give way to newer ones")
    parser.add_argument("--allow-dirty", action="store_true", help="though it was made with uncommitted changes")
    parser.add_argument("--allow-partial", action="store_true", help="though rows or folds failed or are missing")
    parser.add_argument(
        "--allow-unknown-licence", action="store_true", help="though nobody has stated the licence of a corpus"
    )
    parser.add_argument("--allow-leak", action="store_true", help="though the leak audit found something")


def main(args: argparse.Namespace) -> int:
    """Publish, and say what became of each row."""
    from pathlib import Path

    from ser_bench.cli.output import errors_as_json, print_json
    from ser_bench.publish import publish
    from ser_bench.refusals import OVERRIDES

    with errors_as_json(args, lambda: {"published": []}):
        found = publish(
            Path(args.run),
            Path(args.to),
            name=args.name,
            allow=[what for what in OVERRIDES if getattr(args, f"allow_{what.replace('-', '_')}")],
            remarks=_remarks(args.remark),
            replace=args.replace,
        )
    answers = [
        {
            "folder": str(one.folder),
            **{what: list(getattr(one, what)) for what in ("added", "replaced", "unchanged")},
            "overrides": {what: list(told) for what, told in one.overrides.items()},
        }
        for one in found
    ]
    if args.json:
        print_json({"published": answers})
    else:
        _print(answers)
    return 0


def _remarks(options: list[str]) -> dict[str, str]:
    from ser_bench.errors import UsageError

    remarks = {}
    for option in options:
        corpus, colon, text = (part.strip() for part in option.partition(":"))
        if not colon or not corpus or not text:
            raise UsageError(f"--remark {option!r}: CORPUS:TEXT expected", hint='--remark "ravdess: re-packed copy"')
        remarks[corpus] = text
    return remarks


def _print(answers: list[dict[str, Any]]) -> None:
    from ser_bench.cli.output import clean

    for answer in answers:
        counts = ", ".join(f"{len(answer[what])} {what}" for what in ("added", "replaced", "unchanged") if answer[what])
        print(f"{clean(answer['folder'])}: rows: {counts}")
        for what, told in answer["overrides"].items():
            for sentence in told:
                print(f"  the board says: published with --allow-{what}: {clean(sentence)}")
