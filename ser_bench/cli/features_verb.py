"""Write feature sets of a corpus's usable utterances to a file, keyed by utterance id. Nothing is computed twice."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "write a corpus's features to a file"
EXAMPLE = """examples:
  ser-bench features ravdess --set egemaps --out egemaps.parquet --data ~/corpora
  ser-bench features emodb --set stats180 --set mfcc40-mean --out both.csv
  ser-bench features tess --set logmel64+deltas+functionals --out summed.parquet

The file can be used as a set again: features = "egemaps.parquet" in a suite, or run --features egemaps.parquet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ser_bench.cli.output import add_work_arguments

    parser.add_argument("corpus", help="a corpus's name, or the path of a table (CSV, TSV, Parquet)")
    parser.add_argument(
        "--set",
        action="append",
        required=True,
        metavar="SET",
        dest="sets",
        help="a feature set; may be repeated for vectors, whose columns then stand side by side",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="a file that is not there yet: .csv or .parquet")
    parser.add_argument(
        "--sample-rate-hz",
        type=int,
        default=22050,
        metavar="HZ",
        help="rate of sets that state none (default: 22050, that of suites)",
    )
    add_work_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Write the file."""
    import tempfile
    from pathlib import Path

    from ser_bench.cli.output import errors_as_json, print_json, workshop
    from ser_bench.errors import DataError, UsageError
    from ser_bench.feature_files import check_request, write_features
    from ser_bench.prepare import audit_corpus, open_corpus

    def nothing() -> dict[str, Any]:
        return {"corpus": args.corpus, "sets": args.sets, "n": 0, "n_used": 0, "rows": 0, "out": None}

    with errors_as_json(args, nothing):
        if not 1000 <= args.sample_rate_hz <= 192000:
            raise UsageError(f"--sample-rate-hz {args.sample_rate_hz}: between 1000 and 192000 expected")
        out = Path(args.out)
        sets = check_request(args.sets, out)
        with tempfile.TemporaryDirectory() as logs, workshop(args, logs=Path(logs)) as (shop, _):
            corpus, root = open_corpus(args.corpus, args.data, shop)
            found = audit_corpus(corpus, root, shop)
            if not len(found.table):
                raise DataError(
                    f"{corpus.name}: no usable utterance under {root} (found {found.n}, dropped {dict(found.dropped)})",
                    hint=f"ser-bench check {corpus.name}",
                )
            rows = write_features(found, sets, out, shop, args.sample_rate_hz)
    columns = sum(len(one.columns) for one in sets.values())
    if args.json:
        told = {"corpus": corpus.name, "sets": list(sets), "n": found.n, "n_used": len(found.table)}
        print_json({**told, "dropped": dict(found.dropped), "rows": rows, "columns": columns, "out": str(out)})
        return 0
    what = "frames" if rows != len(found.table) else "rows"
    print(
        f"{corpus.title}: {len(found.table):,} of {found.n:,} utterances, {rows:,} {what} of {columns:,} columns: {out}"
    )
    for reason, n in found.dropped.items():
        print(f"excluded: {n:,} {reason}")
    return 0
