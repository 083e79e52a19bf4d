"""Baselines of the gate: keep a run's scores, answers and times as one small JSON file, per machine label."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "keep a run as what later ones are held against"
EXAMPLE = """examples:
  ser-bench baseline set runs/demo-1a2b3c4d                        writes baselines/SUITE-MACHINE.json
  ser-bench baseline set runs/demo-1a2b3c4d --to ci --label runner
  ser-bench baseline list
  ser-bench baseline show baselines/demo-runner.json

The file is meant to be committed; ser-bench compare reads it. The label says which machine the times are of: they are
compared on that machine only, scores anywhere."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("set", "show", "list"), help="what to do")
    parser.add_argument("path", nargs="?", help="set: a run folder; show: a baseline; list: the folder of baselines")
    parser.add_argument("--to", metavar="DIR", default="baselines", help="where baselines lie (default: ./baselines)")
    parser.add_argument("--label", metavar="NAME", help="the machine's name (default: its CPU and how many)")
    parser.add_argument(
        "--pytest-benchmark", metavar="FILE", help="set: also write the latencies as pytest-benchmark's JSON"
    )


def main(args: argparse.Namespace) -> int:
    """Keep, show or list baselines."""
    from ser_bench.cli.output import clean, print_json, print_table

    answer = {"set": _set, "show": _show, "list": _list}[args.action](args)
    if args.json:
        print_json(answer)
    elif args.action == "set":
        print(clean(f"written: {answer['path']} ({answer['n_bytes']:,} bytes)"))
    elif args.action == "show":
        print(clean(f"{answer['suite']} on {answer['label']}"))
        print_table(*_rows_of(answer))
    else:
        print_table(*_table_of(answer["baselines"]))
    return 0


def _set(args: argparse.Namespace) -> dict[str, Any]:
    from pathlib import Path

    from ser_bench.baseline_files import make_baseline, write_baseline
    from ser_bench.benchmark_files import write_benchmarks
    from ser_bench.cli.output import say
    from ser_bench.records import read_records

    folder = _path(args, "ser-bench baseline set RUN")
    records = read_records(folder)
    baseline = make_baseline(folder, records, args.label)
    path = Path(args.to) / f"{records[0].suite.name}-{baseline.label}.json"
    write_baseline(path, baseline)
    for record in records:
        if record.status != "ok":
            say(f"{record.row}: {record.status}, so nothing will be held against it")
    if args.pytest_benchmark:
        write_benchmarks(Path(args.pytest_benchmark), records)
    return {"path": str(path), "label": baseline.label, "rows": len(records), "n_bytes": path.stat().st_size}


def _show(args: argparse.Namespace) -> dict[str, Any]:
    return _as_json(_path(args, "ser-bench baseline list"))


def _list(args: argparse.Namespace) -> dict[str, Any]:
    from pathlib import Path

    from ser_bench.benchmark_files import is_benchmark_file

    paths = sorted(Path(args.path or args.to).glob("*.json"))
    return {"baselines": [_as_json(path) for path in paths if not is_benchmark_file(path)]}


def _path(args: argparse.Namespace, hint: str) -> Any:
    from pathlib import Path

    from ser_bench.errors import UsageError

    if args.path is None:
        raise UsageError(f"baseline {args.action} needs a path", hint=hint)
    return Path(args.path)


def _as_json(path: Any) -> dict[str, Any]:
    from ser_bench.baseline_files import read_baseline

    baseline, records = read_baseline(path)
    first = records[0]
    return {
        "path": str(path),
        "label": baseline.label,
        "suite": first.suite.name,
        "created": first.created,
        "commit": first.code.commit,
        "cpu": first.environment.cpu,
        "n_cpus": first.environment.n_cpus,
        "rows": [
            {
                "row": record.row,
                "train": record.train,
                "test": record.test,
                "status": record.status,
                "metric": record.suite.primary,
                "score": record.scores[record.suite.primary].value if record.scores else None,
                "n_test": record.n_test,
                "seeds": len(record.seeds),
                "latency_ms_p50": latency.p50_ms if (latency := record.timing and record.timing.latency) else None,
                "fit_s": record.timing.fit_s if record.timing else None,
            }
            for record in records
        ],
    }


def _table_of(found: list[dict[str, Any]]) -> tuple[list[list[Any]], list[str]]:
    keys = ("path", "suite", "label", "created", "commit")
    rows = [[*(one[key] or "–" for key in keys), len(one["rows"])] for one in found]
    return rows, [*keys, "rows"]


def _rows_of(found: dict[str, Any]) -> tuple[list[list[Any]], list[str]]:
    from ser_bench.report.text import measure, score

    rows = [
        [
            one["row"] if one["train"] is None else f"{one['row']} ({one['train']} → {one['test']})",
            one["status"],
            score(one["score"]),
            f"{one['n_test']:,}",
            one["seeds"],
            measure(one["latency_ms_p50"]),
            measure(one["fit_s"]),
        ]
        for one in found["rows"]
    ]
    metric = found["rows"][0]["metric"]
    return rows, ["row", "status", metric, "utterances", "seeds", "latency_ms_p50", "fit_s"]
