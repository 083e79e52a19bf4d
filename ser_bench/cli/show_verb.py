"""Show one suite, corpus, model, feature set or scheme; a corpus's utterances; what schemes keep (losses)."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "show one suite, corpus, model, feature set or scheme; utterances, to be exported; what schemes keep"
EXAMPLE = """examples:
  ser-bench show suite ravdess-loso
  ser-bench show corpus ravdess --labels four
  ser-bench show losses --data ~/corpora --labels four,six,my-scheme.toml
  ser-bench show utterances emodb --data ~/corpora --out emodb.parquet
  ser-bench show utterances emodb --data ~/corpora --out emodb-audformat --format audformat"""

_N_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from ser_bench.cli.output import add_work_arguments

    parser.add_argument("kind", choices=("suite", "corpus", "model", "features", "scheme", "losses", "utterances"))
    parser.add_argument("name", nargs="*", help="one name; with losses any number of corpora (default: those on disk)")
    parser.add_argument(
        "--labels",
        metavar="SCHEME",
        help="a label scheme, by name or as the path of a TOML file: with corpus, what it keeps; with losses several, "
        "separated by commas (default: all named ones)",
    )
    parser.add_argument("--out", metavar="FILE|DIR", help="with utterances: where to write the usable ones")
    parser.add_argument(
        "--format",
        choices=("csv", "parquet", "audformat", "croissant"),
        help="with --out: a file (csv, parquet; default: by its suffix) or a folder (audformat, croissant)",
    )
    add_work_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Print the object."""
    import shutil

    from ser_bench.cli.output import print_json, print_table
    from ser_bench.errors import UsageError

    if args.kind == "losses":
        return _print_losses(args)
    if len(args.name) != 1:
        raise UsageError(f"show {args.kind}: one name expected, got {len(args.name)}", hint="ser-bench list")
    args.name = args.name[0]
    if args.kind == "utterances":
        return _print_utterances(args)
    if args.kind == "corpus" and args.labels:
        report = loss_report(args.name, args.labels, args.data)
        if args.json:
            print_json(report)
            return 0
        kept = f"kept {report['kept']:,} of {report['n']:,} utterances"
        print(f"{report['corpus']}, scheme {report['scheme']}: {kept} ({report['counts_from']})")
        print_table(
            [[e["emotion"], e["class"] or "dropped", f"{e['n']:,}"] for e in report["emotions"]],
            ["emotion", "class", "utterances"],
        )
        print()
        print_table([[name, f"{n:,}"] for name, n in report["per_class"].items()], ["class", "kept"])
        return 0
    fields = _fields(args)
    if args.json:
        print_json(fields)
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        for key, value in fields.items():
            print("\n".join(_entry(f"{key + ':':<19}", value, width)))
    return 0


def _entry(head: str, value: Any, width: int) -> list[str]:
    """Return ``head`` and a value as lines of at most ``width``, the later ones under the first."""
    first, *others = _lines(value, max(20, width - len(head))) or [""]
    return [(head + first).rstrip(), *(" " * len(head) + line for line in others)]


def _lines(value: Any, width: int) -> list[str]:
    """Return a value as lines: an entry of a mapping or of a list of such begins a line of its own."""
    import textwrap

    from ser_bench.cli.output import clean

    if isinstance(value, dict) and all(type(item) is int for item in value.values()):
        value = ", ".join(f"{key} {item:,}" for key, item in value.items())
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _entry(f"{clean(key)}: ", item, width)]
    if isinstance(value, list | tuple):
        if any(isinstance(item, dict | list | tuple) or " " in str(item) for item in value):
            return [line for item in value for line in _entry("- ", item, width)]
        value = ", ".join(map(str, value))
    text = "-" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
    wrapped = (
        textwrap.wrap(clean(line), width, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")
    )
    return [line for lines in wrapped for line in lines]


def loss_report(corpus_name: str, scheme_name: str, data: str | None) -> dict[str, Any]:
    """Return how many utterances of a corpus a label scheme keeps, by emotion (or level) and by class.

    Counts are those of the copy on disk, or of the complete release where there is none.
    """
    from collections import Counter

    from ser_bench.corpora.locate import data_folder, find_corpus_folder, resolve_corpus
    from ser_bench.emotions import DimensionScheme, LabelScheme
    from ser_bench.errors import PrerequisiteError
    from ser_bench.suites import load_scheme

    scheme = load_scheme(scheme_name, ("angry", "neutral"))
    try:
        folder = data_folder(data)
        corpus = resolve_corpus(corpus_name, folder)
        reading = corpus.reader.read(find_corpus_folder(corpus, folder), corpus.selection())
        rows = {row["utterance_id"]: row for row in reading.rows}.values()
        counts: dict[str, int] = Counter(row["emotion"] for row in rows)
        source = "counted on this copy"
    except PrerequisiteError as missing:
        corpus = resolve_corpus(corpus_name, None)
        expected = corpus.expected(corpus.selection())
        if expected is None or not expected.per_emotion or isinstance(scheme, DimensionScheme):
            what = f"values of {scheme.column}" if isinstance(scheme, DimensionScheme) else "counts per emotion"
            raise PrerequisiteError(
                f"nobody states the {what} of {corpus.title}, and there is no copy to count: {missing.message}",
                hint=f"ser-bench show corpus {corpus.name} --labels {scheme_name} --data DIR",
            ) from None
        counts, source = dict(expected.per_emotion), "counts of the complete release; no copy found here"
    if isinstance(scheme, DimensionScheme):
        values = [float("nan") if (value := row.get(scheme.column)) is None else value for row in rows]
        levels = scheme.class_indices(values, corpus.scales.get(scheme.column, scheme.scale))
        counts = Counter(
            scheme.classes[level] if level >= 0 else "no value" if value != value else "outside the scale"
            for level, value in zip(levels, values, strict=True)
        )
        classes = {name: name if name in scheme.classes else None for name in counts}
    else:
        scheme = load_scheme(scheme_name, corpus.emotions() or tuple(counts))  # native has the corpus's own classes
        assert isinstance(scheme, LabelScheme)
        classes = {emotion: scheme.class_of(emotion) for emotion in sorted(counts)}
    per_class = {name: sum(n for e, n in counts.items() if classes[e] == name) for name in scheme.classes}
    return {
        "corpus": corpus.name,
        "scheme": scheme.name,
        "n": sum(counts.values()),
        "kept": sum(per_class.values()),
        "per_class": per_class,
        "emotions": [
            {"emotion": e, "class": classes[e], "merged": classes[e] not in (None, e), "n": n}
            for e, n in sorted(counts.items())
        ],
        "counts_from": source,
    }


def _print_utterances(args: argparse.Namespace) -> int:
    """Print the first of a corpus's usable utterances, or write all of them to ``--out``."""
    import tempfile
    from pathlib import Path

    from ser_bench.cli.output import errors_as_json, print_json, print_table, workshop
    from ser_bench.corpora.export import FORMATS, export, exported
    from ser_bench.errors import DataError, UsageError
    from ser_bench.prepare import audit_corpus, open_corpus

    with (
        errors_as_json(args, lambda: {"corpus": args.name, "n": 0, "n_used": 0, "files": []}),
        tempfile.TemporaryDirectory() as logs,
        workshop(args, logs=Path(logs)) as (shop, _),
    ):
        form = args.format or Path(args.out or "").suffix.casefold().lstrip(".")
        if args.out and form not in FORMATS:
            raise UsageError(f"--out {args.out}: in which format?", hint=f"--format {'|'.join(FORMATS)}")
        if args.format and not args.out:
            raise UsageError(f"--format {args.format} says how to write, but not where", hint="--out FILE|DIR")
        found = audit_corpus(*open_corpus(args.name, args.data, shop), shop)
        if not len(found.table):
            why = (
                f"{args.name}: no usable utterance under {found.root} (found {found.n}, dropped {dict(found.dropped)})"
            )
            raise DataError(why, hint=f"ser-bench check {args.name}")
        files = export(found.corpus, found.table, Path(args.out), form) if args.out else []
    frame = exported(found.table)
    head = frame.head(_N_SHOWN).astype(object).where(frame.head(_N_SHOWN).notna(), None)
    if args.json:
        told: dict[str, Any] = {"corpus": found.corpus.name, "n": found.n, "n_used": len(frame)}
        told |= {"dropped": dict(found.dropped), "unselected": dict(found.unselected), "columns": list(frame)}
        print_json({**told, "head": head.to_dict("records"), "files": [str(path) for path in files]})
        return 0
    if not files:
        shown = [name for name in head if name != "content_id"]
        texts = head[shown].map(lambda cell: "" if cell is None else f"{cell:g}" if isinstance(cell, float) else cell)
        print_table(texts.to_numpy().tolist(), shown)
    print(
        f"{found.corpus.title}: {len(frame):,} of {found.n:,} utterances" + ("" if files else ", the first ones shown")
    )
    for reason, n in found.dropped.items():
        print(f"excluded: {n:,} {reason}")
    for what, n in found.unselected.items():
        print(f"not selected: {n:,} {what}")
    for path in files:
        print(f"written: {path}")
    return 0


def _print_losses(args: argparse.Namespace) -> int:
    from ser_bench.cli.output import errors_as_json, print_json, print_table

    with errors_as_json(args, lambda: {"losses": []}):
        found = _losses(args)
    if args.json:
        print_json({"losses": found})
        return 0
    print_table(
        [
            [
                loss["corpus"],
                loss["scheme"],
                f"{loss['n']:,}",
                f"{loss['kept']:,}",
                ", ".join(f"{what} {n:,}" for what, n in loss["merged"].items()),
                loss["error"]
                or ", ".join(f"{what.removeprefix('outside-scheme:')} {n:,}" for what, n in loss["dropped"].items()),
            ]
            for loss in found
        ],
        ["corpus", "scheme", "found", "kept", "merged", "dropped"],
    )
    return 0


def _losses(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return per corpus and scheme what is kept, merged and dropped, by audit; ``n`` is kept plus dropped."""
    import tempfile
    from pathlib import Path

    from ser_bench.cli.output import workshop
    from ser_bench.emotions import SCHEME_NAMES
    from ser_bench.errors import SerBenchError
    from ser_bench.labelling import label
    from ser_bench.prepare import audit_corpus, open_corpus
    from ser_bench.suites import load_scheme, read_labels

    wanted = SCHEME_NAMES if args.labels in (None, "all") else args.labels.split(",")
    for name in wanted:
        read_labels(name)
    losses = []
    with tempfile.TemporaryDirectory() as logs, workshop(args, logs=Path(logs)) as (shop, _):
        for corpus_name in args.name or _on_disk(args.data):
            found = audit_corpus(*open_corpus(corpus_name, args.data, shop), shop)
            for name in wanted:
                loss: dict[str, Any] = {"corpus": found.corpus.name, "scheme": name, "n": found.n, "kept": 0}
                loss |= {"per_class": {}, "merged": {}, "dropped": {}, "error": None}
                try:
                    scheme = load_scheme(name, found.corpus.emotions() or tuple(found.per_emotion))
                    of = label(found, scheme)
                    loss |= {"scheme": scheme.name, "kept": int((of.classes >= 0).sum())}
                    loss |= {"merged": of.merged, "dropped": of.dropped}
                    loss["per_class"] = {c: int((of.classes == i).sum()) for i, c in enumerate(scheme.classes)}
                except SerBenchError as error:  # one scheme that does not fit one corpus hides no other
                    loss["error"] = error.message
                losses.append(loss)
    return losses


def _on_disk(data: str | None) -> list[str]:
    """Return the registered corpora that lie on this disk.

    Raises:
        PrerequisiteError: If none does.
    """
    from ser_bench import registry
    from ser_bench.corpora.locate import data_folder, find_corpus_folder
    from ser_bench.errors import PrerequisiteError

    folder, found = data_folder(data), []
    for name in registry.entries("corpora"):
        try:
            corpus = registry.load("corpora", name)
            if corpus.generate is None:
                find_corpus_folder(corpus, folder)
                found.append(name)
        except PrerequisiteError:
            continue
    if not found:
        raise PrerequisiteError(f"no known corpus lies under {folder}", hint="ser-bench list corpora")
    return found


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    import msgspec

    from ser_bench import registry
    from ser_bench.emotions import DimensionScheme
    from ser_bench.protocols import in_words
    from ser_bench.suites import digest, load_scheme, load_suite

    if args.kind == "suite":
        suite = load_suite(args.name)
        fields = {key: value for key, value in msgspec.to_builtins(suite).items() if value not in (None, [], {}, ())}
        fields["models"] = [entry.row for entry in suite.entries]
        return {**fields, "protocol_in_words": in_words(suite.protocol), "digest": digest(suite)}
    if args.kind == "scheme":
        scheme = load_scheme(args.name, ("angry", "neutral"))
        if isinstance(scheme, DimensionScheme):
            lists = {key: list(getattr(scheme, key)) for key in ("classes", "cuts", "scale")}
            return {"name": scheme.name, "column": scheme.column, "numbers": scheme.numbers, **lists}
        return {
            "name": scheme.name,
            "classes": list(scheme.classes) if args.name != "native" else ["the corpus's own"],
            "merge": dict(scheme.merge),
            "drop": list(scheme.drop),
            "rest": scheme.rest,
        }
    if args.kind == "corpus":
        from ser_bench.corpora.locate import data_folder, resolve_corpus
        from ser_bench.errors import PrerequisiteError

        try:
            corpus = resolve_corpus(args.name, data_folder(args.data))
        except PrerequisiteError:
            corpus = resolve_corpus(args.name, None)
        keys = (
            "name",
            "title",
            "language",
            "licence",
            "access",
            "source_url",
            "citation",
            "version",
            "notes",
        )
        fields = {key: getattr(corpus, key) for key in keys}
        fields["expects"] = [
            {
                "where": dict(e.where),
                "utterances": e.utterances,
                "speakers": e.speakers,
                "per_emotion": dict(e.per_emotion),
            }
            for e in corpus.expects
        ]
        return {
            **fields,
            "obtain": [*corpus.obtain, *([f"ser-bench fetch {corpus.name}"] if corpus.archives else [])],
            "sample_rates_hz": list(corpus.sample_rates_hz),
            "select": {k: list(v) for k, v in corpus.selection().items()},
            "labels": corpus.labels,
            "emotions": list(corpus.emotions()),
            "scales": {name: list(scale) for name, scale in corpus.scales.items()},
            "aliases": list(corpus.aliases),
        }
    if args.kind == "model":
        spec = registry.load("models", args.name)
        return {**_dataclass_fields(spec), "origin": registry.origin("models", args.name)}
    found = registry.load("features", args.name)
    fields = _dataclass_fields(found)
    fields["columns"] = f"{len(found.columns)}: {', '.join(found.columns[:6])} …"
    return {**fields, "origin": registry.origin("features", args.name)}


def _dataclass_fields(value: Any) -> dict[str, Any]:
    from dataclasses import fields

    found = {f.name: getattr(value, f.name) for f in fields(value)}
    plain = (str, int, float, bool, type(None))
    return {
        key: v
        if isinstance(v, plain)
        else list(v)
        if isinstance(v, tuple)
        else dict(v)
        if hasattr(v, "items")
        else getattr(v, "__name__", str(v))
        for key, v in found.items()
    }
