"""The command line: one module per verb; parsing and printing only, nothing heavy is imported before a verb runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ser_bench import __version__
from ser_bench.errors import SerBenchError

VERBS = (
    *("list", "show", "check", "fetch", "features", "run", "predict", "report", "compare", "baseline", "audit", "env"),
    *("publish", "verify", "reproduce"),
)

_EPILOG = """\
examples:
  ser-bench run --suite demo                              a leaderboard in a minute, on synthetic speech
  ser-bench run --suite ravdess-actor-holdout --data DIR  RAVDESS under DIR/ravdess
  ser-bench fetch ravdess --to DIR                        download an open corpus, licence first
  ser-bench check ravdess --data DIR                      is my copy complete and sound?
  ser-bench show corpus crema-d --labels four             what a label scheme keeps

exit codes: 0 ok, 1 gate failed, 2 usage, 3 prerequisite missing, 4 bad data or leakage, 5 some cells failed"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="ser-bench",
        description="Leak-free, timed, reproducible benchmarks for speech emotion recognition.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ser-bench {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        module = import_module(f"ser_bench.cli.{name}_verb")
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=module.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON object on stdout, nothing else there")
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
        verb.set_defaults(main=module.main)
    args = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files and titles hold what a terminal may not know
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = int(args.main(args))
        if sys.stdout is not None:  # closed from the start
            sys.stdout.flush()  # so that a reader who has gone away is noticed here and not at exit
        return code
    except SerBenchError as error:
        if args.debug:
            raise
        print(f"ser-bench: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if args.debug:
            raise
        from ser_bench.cli.output import system_error

        refused = system_error(error)
        print(f"ser-bench: error: {refused}", file=sys.stderr)
        return refused.exit_code
    except KeyboardInterrupt:
        print("ser-bench: interrupted", file=sys.stderr)
        return 130
