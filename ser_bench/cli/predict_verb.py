"""Ask a saved model about sound files: label and probabilities, or the number, per file and per window."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_bench.model_files import ModelFile
    from ser_bench.predicting import Answer, FileAnswer, SavedModel

HELP = "ask a saved model about sound files"
EXAMPLE = """examples:
  ser-bench run --suite demo --models logreg --keep-models      save the models of a run
  ser-bench predict runs/demo-1a2b3c4d --model logreg clip.wav  the first fold's
  ser-bench predict runs/demo-1a2b3c4d/models/logreg/fold0-seed0 call.wav --window 3 --hop 1 --json

MODEL is a model's folder, a row's, or a run's. Of several folds and seeds the first is asked. With --window the file's
scores are the means over its windows. Exit 4 where a file could not be used; the others are answered all the same."""

_SHORTEST_S = 0.1
_COLUMNS = ("file", "start_s", "end_s", "label")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("saved", metavar="MODEL", help="folder of a saved model, or of a run with --keep-models")
    parser.add_argument("files", metavar="FILE", nargs="+", help="sound files: wav, flac, ogg, mp3 …")
    parser.add_argument("--model", metavar="ROW", help="which row's model, where MODEL is a run with several")
    parser.add_argument("--window", type=float, metavar="S", help="also answer for windows of this many seconds")
    parser.add_argument(
        "--hop", type=float, metavar="S", help="from one window's start to the next (default: --window)"
    )
    parser.add_argument("--csv", action="store_true", help="print CSV on stdout: one line per file, or per window")
    parser.add_argument(
        "--trust-code", action="store_true", help="import code that model.json names and no registered model does"
    )


def main(args: argparse.Namespace) -> int:
    """Print the answers; exit 4 where a file has none."""
    import os
    import sys
    from pathlib import Path

    from ser_bench.pool import PINNED

    if "numpy" not in sys.modules:  # libraries read it when they are loaded; more threads round otherwise than the run
        os.environ.update(dict.fromkeys(PINNED, "1"))
    from ser_bench.cli.output import clean, errors_as_json, print_json, say
    from ser_bench.model_files import find
    from ser_bench.predicting import ask, load_model

    def nothing() -> dict[str, Any]:
        return {"model": None, "files": [], "ok": False}

    with errors_as_json(args, nothing):
        _check(args)
        folders = find(Path(args.saved), args.model)
        model = load_model(folders[0], trust_code=args.trust_code)
        say(clean(_introduced(model, str(folders[0]), len(folders))))
        for warning in model.warnings:
            say(clean(warning))
        answers = [ask(model, path, args.window, args.hop) for path in args.files]
    failed = [answer for answer in answers if answer.error is not None]
    for answer in failed:
        say(clean(f"{answer.path}: {answer.error}"))
    if args.json:
        trained = model.file.trained_on
        told = {
            "folder": str(folders[0]),
            "row": model.file.row,
            "classes": model.file.classes,
            "labels": model.file.labels,
            "suite": trained.suite,
            "fold": trained.fold,
            "seed": trained.seed,
            "warnings": model.warnings,
        }
        print_json({"model": told, "files": [_as_json(answer) for answer in answers], "ok": not failed})
    elif args.csv:
        _print_csv(answers, model.file)
    else:
        _print(answers, model.file)
    return 4 if failed else 0


def _check(args: argparse.Namespace) -> None:
    import math

    from ser_bench.errors import UsageError

    if args.json and args.csv:
        raise UsageError("--json and --csv: one of them")
    if args.window is None and args.hop is not None:
        raise UsageError("--hop belongs to --window", hint="--window 3 --hop 1")
    for name in ("window", "hop"):
        value = getattr(args, name)
        if value is not None and not (math.isfinite(value) and value >= _SHORTEST_S):
            raise UsageError(f"--{name} {value:g}: {_SHORTEST_S:g} seconds or more expected", hint="--window 3 --hop 1")
    if args.hop is not None and args.hop > args.window:
        raise UsageError(
            f"--hop {args.hop:g} is more than --window {args.window:g}: sound between windows would go unheard",
            hint="--window 3 --hop 1",
        )


def _introduced(model: SavedModel, folder: str, n: int) -> str:
    """Return in one line which model is asked, and what it was trained on."""
    trained = model.file.trained_on
    corpora = ", ".join(f"{corpus.name} ({corpus.licence})" for corpus in trained.corpora)
    first = f" (the first of {n})" if n > 1 else ""
    whom = f"{len(trained.speakers)} speakers, {trained.n:,} utterances of {corpora}"
    leaky = f"; a control that declares {', '.join(trained.declares)}" if trained.declares else ""
    return f"{model.file.row}, {trained.fold}, seed {trained.seed}: {folder}{first}; trained on {whom}{leaky}"


def _as_json(answer: FileAnswer) -> dict[str, Any]:
    told: dict[str, Any] = {"path": answer.path, "label": None, "scores": None, "value": None, "duration_s": None}
    if answer.whole is not None:
        told |= _told(answer.whole) | {"duration_s": answer.whole.end_s}
    windows = [{"start_s": round(one.start_s, 6), "end_s": round(one.end_s, 6), **_told(one)} for one in answer.windows]
    return {**told, "score_kind": answer.score_kind, "windows": windows, "error": answer.error}


def _told(one: Answer) -> dict[str, Any]:
    return {"label": one.label, "scores": one.scores, "value": one.value}


def _lines(answers: Sequence[FileAnswer], *, whole: bool) -> Iterator[tuple[FileAnswer, Answer | None]]:
    """Yield what has a line: each file, with its windows; with these alone where not ``whole``."""
    for answer in answers:
        if whole or not answer.windows:
            yield answer, answer.whole
        for window in answer.windows:
            yield answer, window


def _columns(file: ModelFile) -> tuple[str, ...]:
    """Return the columns; a model of numbers has that of its dimension in place of the label's."""
    return _COLUMNS if file.classes else (*_COLUMNS[:-1], file.labels)


def _print_csv(answers: Sequence[FileAnswer], file: ModelFile) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*_columns(file), *(f"score_{name}" for name in file.classes), "error"])
    for answer, one in _lines(answers, whole=False):
        span = [f"{one.start_s:.6f}", f"{one.end_s:.6f}"] if one else ["", ""]
        scores = [one.scores[name] if one and one.scores else "" for name in file.classes]
        said = "" if one is None else one.label if one.value is None else one.value
        writer.writerow([answer.path, *span, said, *scores, answer.error or ""])


def _print(answers: Sequence[FileAnswer], file: ModelFile) -> None:
    from ser_bench.cli.output import print_table

    scored = any(answer.whole and answer.whole.scores for answer in answers)
    rows = []
    for answer, one in _lines(answers, whole=True):
        name = answer.path if one is answer.whole else ""
        span = [f"{one.start_s:.2f}", f"{one.end_s:.2f}"] if one else ["–", "–"]
        scores = [f"{one.scores[c]:.3f}" if one and one.scores else "–" for c in file.classes] if scored else []
        said = "–" if one is None else one.label or ("silent" if one.value is None else f"{one.value:.3f}")
        rows.append([name, *span, said, *scores])
    print_table(rows, [*_columns(file), *(file.classes if scored else ())])
    if kinds := {answer.score_kind for answer in answers if answer.whole and answer.whole.label} - {"probability"}:
        told = {"decision": "scores are decision values, no probabilities", "none": "this model gives labels only"}
        print("\n" + "; ".join(told[kind] for kind in sorted(kinds)))
