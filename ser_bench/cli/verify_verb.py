"""Verify submitted results: every score from its predictions, every fold from its suite; nothing is believed."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "recompute the scores and folds of submitted results"
EXAMPLE = """examples:
  ser-bench verify results
  ser-bench verify submission.zip --data ~/corpora
  ser-bench verify results/my-run --suite my-suite.toml

A submission is a published run's folder, a folder of such, or a zip or tar of either. Exit code 4: something in it is
not what it says."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ser_bench.cli.output import add_work_arguments

    parser.add_argument("submissions", nargs="+", metavar="FILE_OR_FOLDER", help="archives, or folders of results")
    parser.add_argument("--suite", metavar="FILE", help="the suite that they are of, where it does not ship")
    add_work_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Print what is wrong; exit 4 where anything is."""
    from ser_bench.cli.output import clean, errors_as_json, print_json

    with errors_as_json(args, lambda: {"submissions": [], "ok": False}):
        found = [verdict for name in args.submissions for verdict in _verdicts(name, args)]
    ok = not any(verdict["faults"] for verdict in found)
    if args.json:
        print_json({"submissions": found, "ok": ok})
        return 0 if ok else 4
    for verdict in found:
        state = "not ok" if verdict["faults"] else "ok"
        counts = f"{len(verdict['rows'])} rows, {verdict['n_predictions']:,} predictions"
        print(f"{clean(verdict['folder'])}: {state}: {counts}")
        for kind in ("faults", "notes"):
            for line in verdict[kind]:
                print(f"  {'-' if kind == 'faults' else 'note:'} {clean(line)}")
    return 0 if ok else 4


def _verdicts(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    import contextlib
    import tempfile
    from pathlib import Path

    from ser_bench.cli.output import workshop
    from ser_bench.prepare import prepare
    from ser_bench.submissions import opened
    from ser_bench.suites import load_suite
    from ser_bench.verify import verify_run

    suite = load_suite(args.suite) if args.suite else None
    with contextlib.ExitStack() as stack:
        on_disk = None
        if args.data:
            logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            shop, _ = stack.enter_context(workshop(args, logs=logs))

            def on_disk(of: Any) -> Any:
                return prepare(of, args.data, shop)

        verdicts = [verify_run(run, suite=suite, on_disk=on_disk) for run in stack.enter_context(opened(Path(name)))]
    return [
        {
            "submission": name,
            "folder": verdict.name,
            "suite": verdict.suite,
            "rows": list(verdict.rows),
            "n_predictions": verdict.n_predictions,
            "faults": list(verdict.faults),
            "notes": list(verdict.notes),
        }
        for verdict in verdicts
    ]
