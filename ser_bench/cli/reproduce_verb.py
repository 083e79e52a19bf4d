"""Reproduce a row: run it again from its record, and say whether it gives the same, and what differs here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_bench.reproduce import Reproduction

HELP = "run one row again from its record, and compare"
EXAMPLE = """examples:
  ser-bench reproduce results/ravdess-actor-holdout/records/005-logreg.json --data ~/corpora

Exit code 0: the same predictions to the bit, or the same scores; 1: others. Stored features are used, stored fits
are not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ser_bench.cli.output import add_work_arguments

    parser.add_argument("record", metavar="RECORD", help="a record's JSON file, its predictions beside it")
    parser.add_argument("--suite", metavar="FILE", help="its suite, where that does not ship")
    parser.add_argument("--out", metavar="DIR", help="keep the new run below this folder (default: nothing is kept)")
    parser.add_argument(
        "--cell-timeout", type=float, default=3600.0, metavar="S", help="seconds that one fit may take (default: 3600)"
    )
    add_work_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run the row again; exit 1 where it is different, 5 where it failed."""
    import contextlib
    import tempfile
    from pathlib import Path

    from ser_bench.cli.output import errors_as_json, print_json

    with errors_as_json(args, lambda: {"record": args.record, "outcome": None}), contextlib.ExitStack() as stack:
        if args.out is None:
            out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ser-bench-"))).resolve()
        else:
            out = _fresh(Path(args.out).resolve())
        found = _reproduce(args, out)
    if args.json:
        print_json(_answer(args, found))
    else:
        _print(args, found)
    return {"different": 1, "failed": 5}.get(found.outcome, 0)


def _fresh(folder: Any) -> Any:
    """Refuse a folder that may hold the fits that are to be done again."""
    from ser_bench.errors import UsageError

    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"--out {folder} is not empty: what is stored there would be taken for a second run")
    return folder


def _reproduce(args: argparse.Namespace, out: Any) -> Reproduction:
    from pathlib import Path

    from ser_bench.cli.output import workshop
    from ser_bench.errors import UsageError
    from ser_bench.reproduce import plan_again, read_record, run_again
    from ser_bench.suites import load_suite

    if not args.cell_timeout > 0:
        raise UsageError(f"--cell-timeout {args.cell_timeout:g}: more than 0 seconds expected")
    path = Path(args.record)
    record = read_record(path)
    suite, rows = plan_again(record, load_suite(args.suite) if args.suite else None)
    with workshop(args, logs=out / "logs", threads=suite.threads, timeout_s=args.cell_timeout) as (shop, solo):
        return run_again(
            record, path.parent.parent, suite, rows, data=args.data, workshop=shop, run={"solo": solo, "out": out}
        )


def _answer(args: argparse.Namespace, found: Reproduction) -> dict[str, Any]:
    """Return the JSON contract of ``reproduce`` (docs/json.md)."""
    import msgspec

    return {
        "record": args.record,
        "row": found.again.row,
        "suite": found.again.suite.name,
        "outcome": found.outcome,
        "reason": found.reason,
        "n": found.n,
        "n_same": found.n_same,
        "scores": {name: {"then": then, "now": now} for name, (then, now) in found.scores.items()},
        "differing": msgspec.to_builtins(found.differing),
        "out": str(found.folder) if args.out else None,
    }


def _print(args: argparse.Namespace, found: Reproduction) -> None:
    from ser_bench.cli.output import clean, print_table

    told = {
        "same bits": "the same predictions, to the bit",
        "same score": f"the same scores; {found.n - found.n_same:,} of {found.n:,} labels differ, or their scores do",
        "different": f"different: {found.n - found.n_same:,} of {found.n:,} labels differ",
        "failed": "failed",
    }
    reason = f" ({clean(found.reason)})" if found.reason else ""
    print(f"{clean(found.again.row)} on {clean(found.again.suite.name)}: {told[found.outcome]}{reason}")
    if found.scores and found.outcome != "same bits":
        print()
        print_table(
            [[name, *("–" if one is None else f"{one:.6f}" for one in pair)] for name, pair in found.scores.items()],
            ["score", "then", "now"],
        )
    print()
    if found.differing:
        print_table([[of.what, of.base or "–", of.head or "–"] for of in found.differing], ["differs", "then", "now"])
    else:
        print("nothing differs in code, data, packages and machine")
    if args.out:
        print(f"\nkept: {found.folder}")
