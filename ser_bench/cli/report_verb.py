"""Build the tables of finished runs anew from their records, or check that they are what the records give."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from ser_bench.records import RunRecord
    from ser_bench.report.readme_block import Readme

HELP = "render tables from stored records"
EXAMPLE = """examples:
  ser-bench report runs/demo-1a2b3c4d
  ser-bench report runs/demo-1a2b3c4d --export csv,latex,badge
  ser-bench report runs/demo-1a2b3c4d --readme README.md --rows 10
  ser-bench report results/*/ --out site
  ser-bench report --check runs/demo-1a2b3c4d"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 4 where a file differs from its records, or a score from its predictions",
    )
    parser.add_argument(
        "--leaks", action="store_true", help="print what the run's control does to rankings and choices, as Markdown"
    )
    parser.add_argument(
        "--export",
        default="",
        metavar="KINDS",
        help="also write, or check: csv, latex, json, badge, model-index, parquet, comma-separated",
    )
    parser.add_argument("--to", metavar="DIR", help="where the exports go, and nothing else (default: the run folder)")
    parser.add_argument("--out", metavar="DIR", help="write, or check, one site of all the runs instead")
    parser.add_argument("--readme", metavar="FILE", help="keep the lines between two markers of a Markdown file")
    parser.add_argument("--rows", type=int, metavar="N", help="with --readme: at most N rows per table")


def main(args: argparse.Namespace) -> int:
    """Render, or check."""
    from pathlib import Path

    from ser_bench.cli.output import print_json
    from ser_bench.errors import UsageError
    from ser_bench.report.exports import parse_kinds
    from ser_bench.report.leaks import render_leaks
    from ser_bench.report.readme_block import Readme

    if args.leaks and not args.out:
        print("\n".join(render_leaks(Path(name)) for name in args.runs), end="")
        return 0
    if args.out:
        return _site(args)
    kinds = parse_kinds(args.export)
    if args.to and (not kinds or len(args.runs) > 1):
        raise UsageError("--to DIR takes the exports of one run", hint="ser-bench report RUN --export csv --to DIR")
    if args.rows is not None and (not args.readme or args.rows < 1):
        raise UsageError("--rows N, at least 1, goes with --readme", hint="--readme README.md --rows 10")
    readme = Readme(Path(args.readme), [Path(name) for name in args.runs]) if args.readme else None
    answers = [_report(args, Path(name), kinds, readme) for name in args.runs]
    if readme and not args.check:
        readme.write()
    if args.json:
        print_json({"runs": answers, "ok": not any(answer["stale"] for answer in answers)})
    return 4 if any(answer["stale"] for answer in answers) else 0


def _site(args: argparse.Namespace) -> int:
    """Write or check the site of all runs."""
    from pathlib import Path

    from ser_bench.cli.output import print_json, say
    from ser_bench.errors import UsageError
    from ser_bench.report.site import stale_files, write_site

    if args.export or args.to or args.readme or args.leaks:
        raise UsageError("--out writes a site, and nothing else", hint="ser-bench report RUNS --out site")
    runs, out = [Path(name) for name in args.runs], Path(args.out)
    files = [] if args.check else write_site(runs, out)
    stale = stale_files(runs, out) if args.check else []
    for path in stale:
        say(f"{path} differs from what the runs give\n  try: ser-bench report {' '.join(args.runs)} --out {args.out}")
    if args.json:
        print_json({"out": str(out), "n_files": len(files), "stale": [str(path) for path in stale], "ok": not stale})
    elif files:
        print(f"{len(files)} files: {out / 'index.html'}")
    return 4 if stale else 0


def _report(args: argparse.Namespace, folder: Path, kinds: Sequence[str], readme: Readme | None) -> dict[str, Any]:
    """Write or check the files of one run; return its entry of ``--json``."""
    from pathlib import Path

    from ser_bench.cli.output import say
    from ser_bench.records import read_records
    from ser_bench.report import board_files, read_board, render_terminal
    from ser_bench.report.exports import kinds_in, render_exports, stale_files
    from ser_bench.store import write_atomically

    records = read_records(folder)
    built = read_board(folder, records)
    place = Path(args.to) if args.to else folder
    files = {} if args.to else board_files(built)
    files |= render_exports(built, folder, records, {*kinds, *kinds_in(place)})
    stale = []
    if args.check:
        stale = stale_files(place, files)
        for file in stale:
            again = f"ser-bench report {folder}" if file in files else f"rm {place / file}"
            say(f"{place / file} differs from what its records give\n  try: {again}")
        stale += _faults(folder, records)
    else:
        for file, data in files.items():
            write_atomically(place / file, data)
        if not args.json:
            print(render_terminal(built))
    if readme and readme.put(folder, built, args.rows) and args.check:
        say(f"{args.readme}: the table of {folder} differs\n  try: ser-bench report {folder} --readme {args.readme}")
        stale.append(args.readme)
    return {"out": str(place), "n_records": len(records), "stale": stale}


def _faults(folder: Path, records: Sequence[RunRecord]) -> list[str]:
    """Say what else than tables is not what it was made from; return the names of these files."""
    from ser_bench.cli.output import say
    from ser_bench.gap import gap_faults
    from ser_bench.prediction_check import prediction_faults
    from ser_bench.records import GAP

    stale = []
    for fault in gap_faults(folder, records):
        say(f"{folder}: {fault}\n  try: the run again, with --gap")
        stale.append(GAP)
    for record in records:
        for fault in prediction_faults(folder, record):
            say(f"{folder}: {record.row}: {fault}\n  try: the run again")
            stale.append(record.predictions.path if record.predictions else record.row)
    return stale
