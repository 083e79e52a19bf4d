"""Run a suite: audit, folds, features, fits, scores, timing, and the leaderboard. Stored work is never done twice."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "run a suite and write its leaderboard"
EXAMPLE = """examples:
  ser-bench run --suite demo
  ser-bench run --suite ravdess-loso --data ~/corpora --models logreg,svm-rbf --seeds 0,1,2
  ser-bench run --suite ravdess-speaker-5fold --model sklearn.svm:SVC --param C=10 --features stats180

Without --suite: ravdess-actor-holdout where RAVDESS is found, else demo (synthetic speech).
Interrupted runs go on where they stopped: type the same command again."""

_SHOWN = 5
"""Problems of one kind that a run says one by one."""

_SPEAKERS_SHOWN = 8
"""Test speakers that a dry run names per fold."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ser_bench.cli.output import add_work_arguments

    parser.add_argument("--suite", metavar="NAME", help="a suite's name, or the path of a TOML file")
    parser.add_argument(
        "--labels", metavar="SCHEME", help="another label scheme than the suite's: a name, or the path of a TOML file"
    )
    parser.add_argument("--models", metavar="A,B", help="only these rows of the suite (or registered models)")
    parser.add_argument(
        "--model",
        metavar="M",
        help="one model: a registered name, or a scikit-learn estimator as module:Class",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="parameter of --model; may be repeated",
    )
    parser.add_argument(
        "--features", metavar="SET", help="feature set of --model, else of all models that take its kind"
    )
    parser.add_argument(
        "--normalise", metavar="KIND", help="standard, none, speaker, corpus or all; of --model, else of all"
    )
    parser.add_argument("--seeds", metavar="0,1,2", help="model seeds (default: the suite's)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where models that can run there run")
    parser.add_argument(
        "--canary",
        choices=("permuted", "oracle"),
        help="training labels permuted within speakers, or features that tell the class",
    )
    parser.add_argument(
        "--gap",
        action="store_true",
        help="run the control too, random folds or the suite's published counterpart: what it is worth, per model",
    )
    parser.add_argument(
        "--stress",
        metavar="A:1,B:2",
        help="test the fitted models on changed sound too: noise:DB, gain:DB, lowpass:HZ, codec:NAME",
    )
    parser.add_argument(
        "--budget", metavar="NAME", default="short", help="full: what the rows' sources spent (default: short)"
    )
    parser.add_argument("--out", metavar="DIR", default="runs", help="where run folders go (default: ./runs)")
    parser.add_argument(
        "--keep-models", action="store_true", help="save every fitted model in the run folder, for ser-bench predict"
    )
    parser.add_argument("--dry-run", action="store_true", help="corpora, folds and cells, but no features and no fits")
    parser.add_argument(
        "--cell-timeout",
        type=float,
        default=3600.0,
        metavar="S",
        help="seconds that one fit may take (default: 3600)",
    )
    parser.add_argument(
        "--create-envs", action="store_true", help="build environments that models need and that are not there"
    )
    add_work_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run the suite; exit 5 where a cell failed."""
    from ser_bench.cli.output import errors_as_json, print_json, say

    def nothing() -> dict[str, Any]:
        return {"suite": args.suite, "status": "failed", "out": None, "corpora": [], "rows": [], "gap": None}

    try:
        with errors_as_json(args, nothing):
            answer, code = _run(args)
    except KeyboardInterrupt:
        say("interrupted; what is finished is stored\n  try: the same command again, it goes on where it stopped")
        return 130
    if args.json:
        print_json(answer)
    return code


def _run(args: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from pathlib import Path

    from ser_bench.cli.output import say, workshop
    from ser_bench.cli.run_answer import answer
    from ser_bench.errors import UsageError
    from ser_bench.plan import Run
    from ser_bench.prepare import prepare
    from ser_bench.records import read_gap
    from ser_bench.report import read_board, render_terminal, write_reports
    from ser_bench.runner import execute

    if not args.cell_timeout > 0:
        raise UsageError(f"--cell-timeout {args.cell_timeout:g}: more than 0 seconds expected")
    if args.gap and args.canary:
        raise UsageError("--gap compares results; a canary is none", hint="one of --gap and --canary")
    if args.stress is not None and args.canary:
        raise UsageError("--stress: a canary's models learnt nothing of use", hint="one of --stress and --canary")
    if args.keep_models and args.canary:
        raise UsageError("--keep-models: a canary's models learnt nothing of use", hint="--keep-models alone")
    suite, rows = _plan(args)
    if args.gap and suite.targets == "values":
        raise UsageError(
            f"--gap compares classes; {suite.name} asks for {suite.labels} as a number",
            hint=f"ser-bench run --suite {suite.name}",
        )
    out = Path(args.out).resolve()
    with workshop(args, logs=out / "logs", threads=suite.threads, timeout_s=args.cell_timeout) as (
        shop,
        solo,
    ):
        prepared = prepare(suite, args.data, shop)
        for found in prepared.audits:
            _say_problems(found)
        run = Run(
            suite=suite,
            rows=rows,
            prepared=prepared,
            workshop=shop,
            solo=solo,
            out=out,
            canary=args.canary,
            keep_models=args.keep_models,
        )
        control = _control(args, run) if args.gap else None
        if args.dry_run:
            return _dry_run(args, run, control), 0
        records = execute(run)
        if control:
            write_reports(run.folder, records)
            _run_gap(run, control, records)
    write_reports(run.folder, records)
    gap = read_gap(run.folder, records)
    if not args.json:
        print(render_terminal(read_board(run.folder, records)))
        print(f"\nwritten: {_shown(run.folder)}/leaderboard.md, index.html, leaderboard.json")
    failed = [record for record in records if record.status == "failed"]
    for record in failed:
        say(f"{record.row}: failed: {record.reason}\n  worker logs: {_shown(out / 'logs')}")
    told = answer(suite.name, "failed" if failed else "ok", str(run.folder), prepared, records, gap)
    return {**told, **_kept_models(run)}, 5 if failed else 0


def _kept_models(run: Any) -> dict[str, Any]:
    """Say which models are kept, and return it; nothing without ``--keep-models``."""
    from ser_bench.cli.output import say
    from ser_bench.keeping import n_kept

    if not run.keep_models:
        return {}
    n, folder = n_kept(run), _shown(run.folder)
    say(f"{n} models are kept under {folder}/models" + (f"\n  try: ser-bench predict {folder} clip.wav" if n else ""))
    for label, reason in run.unkept.items():
        say(f"{label}: models not kept: {reason}")
    for note in run.notes:
        say(note)
    return {"models": {"kept": n, "not_kept": run.unkept, "notes": run.notes}}


def _run_gap(run: Any, control: Any, records: list[Any]) -> None:
    """Run the control, for random folds the speaker probe too, and store the gap beside the records."""
    from ser_bench.gap import measure_gap, write_gap
    from ser_bench.probe import probe_speakers
    from ser_bench.records import read_gap
    from ser_bench.report import write_reports
    from ser_bench.runner import execute

    others = execute(control)
    write_reports(control.folder, others)
    published = run.suite.control is not None
    known = read_gap(run.folder, records)
    told = known.rows if known else ()
    probes = {row.features: row.speaker_probe for row in told if row.features and row.speaker_probe is not None}
    if not published:
        todo = [row for row in run.rows if row.features_name not in probes]
        probes |= probe_speakers(todo, run.prepared, run.suite, run.workshop)
    write_gap(run.folder, measure_gap(run.folder, records, control.folder, others, probes, published=published))


def _control(args: argparse.Namespace, run: Any) -> Any:
    """Return the run of a suite's control: its published counterpart where it names one, else random folds."""
    import dataclasses

    import msgspec

    from ser_bench.errors import UsageError
    from ser_bench.gap import check_counterpart, control_suite
    from ser_bench.prepare import prepare

    if run.suite.targets == "values":
        raise UsageError(f"--gap compares classes, and {run.suite.name} asks for numbers")
    if run.suite.control:
        suite, rows = _counterpart(args, run)
        check_counterpart(run.suite, suite)
    else:
        suite, rows = control_suite(run.suite, run.prepared.split, run.prepared.n_usable), run.rows
    suite = msgspec.structs.replace(suite, stress=())
    prepared = prepare(suite, args.data, run.workshop)
    return dataclasses.replace(run, suite=suite, rows=rows, prepared=prepared, failures={}, keep_models=False)


def _counterpart(args: argparse.Namespace, run: Any) -> tuple[Any, list[Any]]:
    """Return the suite that a suite names as its control, and the run's rows, by label, as they stand there."""
    own = _label(args.model, dict(_parameter(text) for text in args.param)) if args.model else None
    labels = ",".join(row.label for row in run.rows if not row.skip and row.label != own)
    suite, rows = _plan(argparse.Namespace(**{**vars(args), "suite": run.suite.control, "models": labels or None}))
    return suite, rows if labels or own else []


def _say_problems(found: Any) -> None:
    """Say what the audit found, a few of each kind; ``check`` lists them all."""
    from collections import Counter

    from ser_bench.cli.output import clean, say

    said: Counter[str] = Counter()
    for problem in found.problems:
        said[problem.kind] += problem.severity != "info"
        if problem.severity != "info" and said[problem.kind] <= _SHOWN:
            about = ": ".join(clean(part) for part in (problem.path, problem.detail) if part)
            say(f"{found.corpus.name}: {problem.severity}: {problem.kind}: {about}")
    for kind, n in said.items():
        if n > _SHOWN:
            say(f"{found.corpus.name}: {kind}: {n - _SHOWN:,} more\n  try: ser-bench check {found.corpus.name}")


def _plan(args: argparse.Namespace) -> tuple[Any, list[Any]]:
    import msgspec

    from ser_bench import machine
    from ser_bench.cells import join_members, plan_row
    from ser_bench.errors import PrerequisiteError, UsageError
    from ser_bench.stress import check_codecs
    from ser_bench.suites import load_suite, with_budget, with_labels, with_stress

    suite = load_suite(_default_suite(args) if args.suite is None else args.suite)
    if args.labels is not None:
        suite = with_labels(suite, args.labels)
    if args.seeds is not None:
        try:
            seeds = tuple(dict.fromkeys(int(seed) for seed in args.seeds.split(",")))
        except ValueError:
            raise UsageError(f"--seeds {args.seeds}: whole numbers expected", hint="--seeds 0,1,2") from None
        if min(seeds) < 0:
            raise UsageError(f"--seeds {args.seeds}: numbers from 0 on expected")
        suite = msgspec.structs.replace(suite, seeds=seeds)
    suite = with_budget(suite, args.budget)
    if args.stress is not None:
        suite = with_stress(suite, args.stress.split(","), "--stress")
    if args.canary:
        suite = msgspec.structs.replace(suite, stress=())
    check_codecs(suite.stress)
    if args.param and not args.model:
        raise UsageError("--param belongs to --model", hint="--model svm-rbf --param C=10")
    if args.device == "cuda" and machine.gpu_name() is None:
        raise PrerequisiteError("--device cuda: no CUDA device here (nvidia-smi finds none)", hint="--device cpu")
    named, entries = _entries(args, suite)
    rows = [plan_row(entry, suite, device=args.device, canary=args.canary) for entry in entries]
    if _build_environments(args, rows):
        rows = [plan_row(entry, suite, device=args.device, canary=args.canary) for entry in entries]
    rows = join_members(rows)
    for row in rows:
        if row.skip and row.label in named and args.canary is None:
            what, _, command = row.skip.partition(": ")
            raise PrerequisiteError(f"model {row.label!r} {what}", hint=command or "ser-bench list models")
        if args.param and args.model == row.spec.name and not (row.skip or row.members or row.environment):
            _try_parameters(row)
    return suite, rows


def _build_environments(args: argparse.Namespace, rows: list[Any]) -> bool:
    """Build the environments that rows lack, where the user wants that; return whether any was built."""
    from ser_bench import environments

    lacking = sorted({row.spec.environment for row in rows if row.spec.environment and not row.environment})
    if not lacking or args.dry_run or not (args.create_envs or _wanted(args, lacking)):
        return False
    for name in lacking:
        environments.create(name, quiet=args.quiet)
    return True


def _wanted(args: argparse.Namespace, lacking: list[str]) -> bool:
    """Ask whoever sits at the terminal."""
    import sys

    from ser_bench import registry
    from ser_bench.cli.output import say

    if args.json or args.quiet or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    for name in lacking:
        say(f"a model needs the environment {name}: {registry.load('environments', name).title}")
    print("build it now? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def _try_parameters(row: Any) -> None:
    """Build the model once, so that a mistyped parameter is said now and not after the features."""
    from ser_bench.errors import UsageError
    from ser_bench.registry import import_object

    try:
        import_object(row.spec.factory)(**row.params)
    except TypeError as error:
        raise UsageError(f"{row.label}: {error}", hint=f"ser-bench show model {row.spec.name}") from None


def _default_suite(args: argparse.Namespace) -> str:
    from ser_bench.cli.output import say
    from ser_bench.corpora.locate import data_folder, find_corpus_folder, resolve_corpus
    from ser_bench.errors import SerBenchError

    try:
        folder = data_folder(args.data)
        find_corpus_folder(resolve_corpus("ravdess", folder), folder)
        chosen, why = "ravdess-actor-holdout", f"RAVDESS lies under {folder}"
    except SerBenchError:
        chosen, why = "demo", "no RAVDESS found (set SER_BENCH_DATA or --data), so synthetic speech"
    args.suite = chosen
    say(f"suite {chosen}: {why}")
    return chosen


def _entries(args: argparse.Namespace, suite: Any) -> tuple[set[str], list[Any]]:
    """Return the labels that the user named, and the rows' entries."""
    from ser_bench import registry
    from ser_bench.errors import UsageError, did_you_mean
    from ser_bench.suites import ModelEntry

    entries = list(suite.entries)
    if args.models is not None and not args.models.strip(" ,"):
        raise UsageError(f"--models {args.models!r} names no model", hint="ser-bench list models")
    if args.models or args.model:
        by_label = {entry.row: entry for entry in entries}
        entries = []
        for name in [part.strip() for part in (args.models or "").split(",") if part.strip()]:
            if name not in by_label and name not in registry.entries("models"):
                raise UsageError(
                    f"unknown model {name!r}" + did_you_mean(name, {*by_label, *registry.entries("models")}),
                    hint="ser-bench list models",
                )
            entries.append(by_label.get(name) or ModelEntry(model=name))
    override = {key: getattr(args, key) for key in ("features", "normalise") if getattr(args, key)}
    if override and not args.model:
        entries = [_overridden(entry, override) for entry in entries]
    if args.model:
        params = dict(_parameter(text) for text in args.param)
        entries.append(ModelEntry(model=args.model, params=params, label=_label(args.model, params), **override))
    labels = [entry.row for entry in entries]
    if len(set(labels)) < len(labels):
        raise UsageError(f"model {next(label for label in labels if labels.count(label) > 1)!r} is named twice")
    return (set(labels) if args.models or args.model else set()), entries


def _overridden(entry: Any, override: dict[str, str]) -> Any:
    import msgspec

    from ser_bench import registry

    if "features" in override and ":" not in entry.model and "." not in entry.model:
        kind = registry.load("features", override["features"]).kind
        if registry.load("models", entry.model).input != kind:
            override = {key: value for key, value in override.items() if key != "features"}
    return msgspec.structs.replace(entry, **override)


def _parameter(text: str) -> tuple[str, Any]:
    import json

    from ser_bench.errors import UsageError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--param {text}: KEY=VALUE expected", hint="--param C=10")
    try:
        return key, json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
    except json.JSONDecodeError:
        return key, value


def _label(model: str, params: dict[str, Any]) -> str:
    name = model.rpartition(":")[2]
    return f"{name}({', '.join(f'{k}={v}' for k, v in params.items())})" if params else name


def _dry_run(args: argparse.Namespace, run: Any, control: Any) -> dict[str, Any]:
    from ser_bench.cli.run_answer import answer

    table, split = run.prepared.table, run.prepared.split
    speakers = table.column("speaker")
    cells, stored = _count_cells(run)
    plan = {
        "folds": [
            {
                "fold": f.fold_id,
                "n_train": len(f.train),
                "n_dev": len(f.dev),
                "n_test": len(f.test),
                "inner_folds": len(f.inner),
                "test_speakers": sorted(set(speakers[f.test].tolist()) - {None}),
            }
            for f in split.folds
        ],
        "folds_total": split.total,
        "cells": cells,
        "cells_stored": stored,
    }
    if control:
        plan["control_cells"], plan["control_cells_stored"] = _count_cells(control)
    if not args.json:
        _print_plan(run, plan)
    return {**answer(run.suite.name, "ok", None, run.prepared, [], None), "plan": plan}


def _count_cells(run: Any) -> tuple[int, int]:
    """Return the fits of a run, and how many of them are stored."""
    from ser_bench.runner import missing_cells

    cells = [cell for row in run.rows for cell in run.cells[row.label]]
    return len(cells), len({cell.key for cell in cells}) - len(missing_cells(run, run.rows))


def _print_plan(run: Any, plan: dict[str, Any]) -> None:
    from ser_bench.cli.output import clean

    for corpus in run.prepared.corpora:
        print(f"{corpus.name}: {corpus.n_used:,} of {corpus.n:,} utterances used, {corpus.speakers} speakers")
        for reason, n in corpus.dropped.items():
            print(f"  excluded: {n:,} {reason}")
    folds, total = plan["folds"], plan["folds_total"]
    if len(folds) < total:
        print(f"{len(folds)} of {total} folds: the copy is partial")
    for fold in folds:
        dev = f"inner folds: {fold['inner_folds']}" if fold["inner_folds"] else f"dev {fold['n_dev']:,}"
        names = fold["test_speakers"]
        if len({name.partition(":")[0] for name in names}) == 1:
            names = [name.partition(":")[2] for name in names]
        more = f" and {len(names) - _SPEAKERS_SHOWN:,} more" if len(names) > _SPEAKERS_SHOWN else ""
        who = f" (speakers {', '.join(map(clean, names[:_SPEAKERS_SHOWN]))}{more})" if names else ""
        print(f"  {fold['fold']}: train {fold['n_train']:,}, {dev}, test {fold['n_test']:,}{who}")
    split = run.prepared.split
    for note in dict.fromkeys([*split.notes, *(note for fold in split.folds for note in fold.notes)]):
        print(f"  note: {note}")
    for row in run.rows:
        if row.skip:
            print(f"  {row.label}: skipped: {row.skip}")
    print(
        f"{plan['cells']} fits, {plan['cells_stored']} of them stored; rows: {', '.join(row.label for row in run.rows)}"
    )
    if "control_cells" in plan:
        n, stored = plan["control_cells"], plan["control_cells_stored"]
        what = run.suite.control or "the speaker-dependent control"
        print(f"--gap: {n} fits of {what} on top, {stored} of them stored")


def _shown(path: Any) -> str:
    """Return a path as the user would type it from here."""
    from pathlib import Path

    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
