"""Hold a run against another one, or against a stored baseline: accuracy paired on utterances, times on one machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_bench.compare import Key, Side
    from ser_bench.gate import Margin

HELP = "hold a run against a baseline; exit 1 where the gate fails"
EXAMPLE = """examples:
  ser-bench compare runs/demo-1a2b3c4d runs/demo-5e6f7a8b
  ser-bench compare baselines/ci.json runs/demo-5e6f7a8b --fail-on uar:-0.02 --fail-on latency_ms_p50:+15%
  ser-bench compare runs/demo-1a2b3c4d runs/demo-5e6f7a8b --live --base-python base/bin/python --fail-on rtf:+5%
  ser-bench compare before.json after.json --fail-on median:+15%     two files of pytest --benchmark-json

uar:-0.02 fails a row whose UAR on the same utterances is worse by more than 0.02, with the stated confidence; costs
take shares (+15%) or their own unit (+3). What the statistics can't tell is inconclusive; it fails with --strict only.
Rows that the head lacks, other utterances, other machines and what nobody measured fail. Exit 1: the gate failed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ser_bench.cli.output import add_work_arguments

    parser.add_argument("base", metavar="BASE", help="a run folder, a stored baseline, or a pytest-benchmark file")
    parser.add_argument("head", metavar="HEAD", help="the run folder to judge, or a pytest-benchmark file")
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="METRIC:MARGIN",
        help="how much worse a metric may get: uar:-0.02, latency_ms_p50:+15%%, peak_mib:+50; may be repeated",
    )
    parser.add_argument("--strict", action="store_true", help="inconclusive fails too")
    parser.add_argument(
        "--confidence", type=float, default=0.95, metavar="P", help="of each one-sided bound (default: 0.95)"
    )
    parser.add_argument("--row", action="append", default=[], metavar="NAME", help="only this row; may be repeated")
    parser.add_argument(
        "--live",
        action="store_true",
        help="measure latencies here, by turns, with the models that both runs saved (run --keep-models)",
    )
    parser.add_argument(
        "--base-python", metavar="PATH", help="--live: the interpreter that has the base's version (default: this one)"
    )
    parser.add_argument(
        "--trust-code", action="store_true", help="--live: import code that a saved model names and nobody registered"
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the comparison for a pull request's comment")
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML: a test case per row and metric")
    add_work_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Compare; exit 1 where a check failed."""
    import sys
    from pathlib import Path

    import msgspec

    from ser_bench.cli.output import print_json
    from ser_bench.errors import GATE_FAILED
    from ser_bench.report.verdicts import render_comparison, render_comparison_markdown, render_junit
    from ser_bench.store import write_atomically

    comparison = _compare(args)
    if args.markdown:
        write_atomically(Path(args.markdown), render_comparison_markdown(comparison).encode())
    if args.junit:
        write_atomically(Path(args.junit), render_junit(comparison))
    if args.json:
        print_json(msgspec.to_builtins(comparison))
    else:
        sys.stdout.write(render_comparison(comparison))
    return 0 if comparison.passed else GATE_FAILED


def _compare(args: argparse.Namespace) -> Any:
    from pathlib import Path

    from ser_bench import benchmark_files, compare, gate
    from ser_bench.errors import UsageError

    base, head = Path(args.base), Path(args.head)
    if args.base_python and not args.live:
        raise UsageError("--base-python belongs to --live", hint="--live --base-python VENV/bin/python")
    asked = {"confidence": args.confidence, "strict": args.strict}
    benchmarks = [benchmark_files.is_benchmark_file(path) for path in (base, head)]
    if all(benchmarks):
        margins = gate.parse_margins(args.fail_on, benchmark_files.FIELDS, scores=())
        return benchmark_files.compare_benchmarks(base, head, margins, names=args.row, **asked)
    if any(benchmarks):
        one, other = (head, base) if benchmarks[1] else (base, head)
        raise UsageError(
            f"{one} is a pytest-benchmark file, {other} is not; two of a kind expected",
            hint="ser-bench baseline set RUN --pytest-benchmark FILE",
        )
    margins = gate.parse_margins(args.fail_on, compare.COSTS)
    sides = compare.read_side(base), compare.read_side(head)
    timings = _live(args, *sides, margins) if args.live else None
    return compare.compare(*sides, margins, rows=args.row, timings=timings, **asked)


def _live(args: argparse.Namespace, base: Side, head: Side, margins: Sequence[Margin]) -> dict[Key, Any]:
    """Return the timings of both sides, measured here by turns, of every row that both scored and that hears sound."""
    import sys
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from ser_bench import compare
    from ser_bench.cli.output import clean, say, workshop
    from ser_bench.errors import UsageError
    from ser_bench.live_compare import Installation, live_latency, saved_model, timed_sounds

    if base.folder is None or head.folder is None:
        raise UsageError("--live asks saved models: two run folders expected", hint="ser-bench run … --keep-models")
    asked = [margin for margin in margins if margin.metric in compare.OF_CALLS]
    if margins and not asked:
        raise UsageError(f"--live measures {', '.join(compare.OF_CALLS)}", hint="--fail-on latency_ms_p50:+5%")
    found = {}
    with TemporaryDirectory() as scratch, workshop(args, logs=Path(scratch) / "logs") as (shop, _):
        for key, ours in base.records.items():
            theirs = head.records.get(key)
            if (args.row and key[0] not in args.row) or ours.features is None or theirs is None:
                continue
            if ours.timing is None or theirs.timing is None:
                continue
            say(f"measuring {clean(key[0])}, by turns")
            one = Installation(
                python=Path(args.base_python or sys.executable),
                model=saved_model(base.folder, ours),
                trust_code=args.trust_code,
            )
            other = Installation(
                python=Path(sys.executable), model=saved_model(head.folder, theirs), trust_code=args.trust_code
            )
            sounds = timed_sounds(head.folder, theirs, args.data, shop, Path(scratch))
            shares = {
                margin.metric: compare.share_of(margin, compare.figure_of(ours.timing, margin.metric) or 1.0)
                for margin in asked
            }
            stored = (ours.timing, theirs.timing)
            found[key] = live_latency(one, other, sounds, stored, shares, confidence=args.confidence)
    return found
