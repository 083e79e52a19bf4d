"""Build the tables of finished runs anew from their records, or check that they are what the records give."""

from __future__ import annotations

import argparse

HELP = "render tables from stored records"
EXAMPLE = "examples:\n  ser-bench report runs/demo-1a2b3c4d\n  ser-bench report --check runs/demo-1a2b3c4d"


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


def main(args: argparse.Namespace) -> int:
    """Render, or check."""
    from pathlib import Path

    from ser_bench.cli.output import print_json, say
    from ser_bench.gap import gap_faults
    from ser_bench.prediction_check import prediction_faults
    from ser_bench.records import GAP, read_gap, read_records
    from ser_bench.report import board, render_files, render_terminal, write_reports
    from ser_bench.report.leaks import render_leaks

    if args.leaks:
        print("\n".join(render_leaks(Path(name)) for name in args.runs), end="")
        return 0
    answers = []
    for name in args.runs:
        folder = Path(name)
        records = read_records(folder)
        stale = []
        if args.check:
            files = render_files(records, read_gap(folder, records))
            stale = [f for f, data in files.items() if not (folder / f).is_file() or (folder / f).read_bytes() != data]
            for file in stale:
                say(f"{folder / file} differs from what its records give\n  try: ser-bench report {name}")
            for fault in gap_faults(folder, records):
                say(f"{folder}: {fault}\n  try: the run again, with --gap")
                stale.append(GAP)
            for record in records:
                for fault in prediction_faults(folder, record):
                    say(f"{folder}: {record.row}: {fault}\n  try: the run again")
                    stale.append(record.predictions.path if record.predictions else record.row)
        else:
            write_reports(folder, records)
            if not args.json:
                print(render_terminal(board.build(records, read_gap(folder, records))))
        answers.append({"out": str(folder), "n_records": len(records), "stale": stale})
    if args.json:
        print_json({"runs": answers, "ok": not any(answer["stale"] for answer in answers)})
    return 4 if any(answer["stale"] for answer in answers) else 0
