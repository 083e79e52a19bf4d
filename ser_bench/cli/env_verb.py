"""Environments of their own, for models that can't live beside the others: list, create, remove, and where they lie."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "build, list and remove environments of models that need one of their own"
EXAMPLE = """examples:
  ser-bench env list
  ser-bench env create featurewiz
  ser-bench env create featurewiz --python python3.11
  ser-bench env remove featurewiz

They are kept in the user's data folder ($SER_BENCH_ENVS overrides it), each built from exact pins."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("list", "create", "remove", "path"), help="what to do")
    parser.add_argument("name", nargs="?", help="the environment")
    parser.add_argument("--python", metavar="PATH", help="the interpreter to build on (default: one that fits)")
    parser.add_argument("--quiet", action="store_true", help="nothing of what the installer says on stderr")


def main(args: argparse.Namespace) -> int:
    """Do it; exit 3 where an environment can't be built, or is asked for and not there."""
    from ser_bench.cli.output import errors_as_json, print_json, print_table

    if args.action == "list":
        found = _list()
        if args.json:
            print_json({"environments": found})
        else:
            rows = [[e["name"], e["title"], " or ".join(e["pythons"]), e["path"] or "not built"] for e in found]
            print_table(rows, ["name", "title", "Python", "path"])
        return 0
    with errors_as_json(args, lambda: {"name": args.name, "path": None}):
        answer = _act(args)
    if args.json:
        print_json(answer)
    elif answer["path"]:
        print(answer["path"])
    return 0


def _list() -> list[dict[str, Any]]:
    from ser_bench import environments, registry

    found = []
    for name in registry.entries("environments"):
        environment, built = registry.load("environments", name), environments.find(name)
        found.append(
            {
                "name": name,
                "title": environment.title,
                "origin": registry.origin("environments", name),
                "pythons": list(environment.pythons),
                **_as_json(name, built),
            }
        )
    return found


def _act(args: argparse.Namespace) -> dict[str, Any]:
    from ser_bench import environments
    from ser_bench.cli.output import say
    from ser_bench.errors import PrerequisiteError, UsageError

    if args.name is None:
        raise UsageError(f"env {args.action} needs a name", hint="ser-bench env list")
    if args.python is not None and args.action != "create":
        raise UsageError("--python belongs to env create", hint="ser-bench env create NAME --python PATH")
    if args.action == "remove":
        removed = environments.remove(args.name)
        say(f"{args.name}: {'removed' if removed else 'was not there'}")
        return {**_as_json(args.name, None), "removed": removed}
    built = environments.find(args.name)
    if args.action == "path" and built is None:
        raise PrerequisiteError(f"the environment {args.name} is not built", hint=f"ser-bench env create {args.name}")
    if args.action == "create":
        built = environments.create(args.name, python=args.python, quiet=args.quiet)
    return _as_json(args.name, built)


def _as_json(name: str, built: Any) -> dict[str, Any]:
    return {
        "name": name,
        "path": str(built.folder) if built else None,
        "python": built.python if built else None,
        "lock": built.lock_digest if built else None,
        "packages": built.packages if built else {},
    }
