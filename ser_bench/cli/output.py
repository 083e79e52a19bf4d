"""What verbs share: JSON on stdout, tables, progress bars on stderr, and the workshop that options describe."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_bench.errors import PrerequisiteError


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data", metavar="DIR", help="folder that holds the corpora (default: $SER_BENCH_DATA, else ./data)"
    )


def add_work_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that decode audio."""
    add_data_argument(parser)
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="where decoded facts and features are kept (default: the user's cache folder)",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="worker processes (default: one per CPU)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def selection(options: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    """Return what ``--select COLUMN=VALUE`` options select; None where there are none.

    Raises:
        UsageError: If an option is not of that form.
    """
    from ser_bench.errors import UsageError

    chosen: dict[str, tuple[str, ...]] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value:
            raise UsageError(f"--select {option}: COLUMN=VALUE expected", hint="--select channel=song")
        chosen[key] = (*chosen.get(key, ()), value)
    return chosen or None


def print_json(value: Any) -> None:
    """Print ``value`` as one JSON object; floats as they are, not-a-number refused."""
    import json

    readable = sys.stdout.encoding.casefold() == "utf-8"
    print(json.dumps(value, indent=1, ensure_ascii=not readable, allow_nan=False))


@contextlib.contextmanager
def errors_as_json(args: argparse.Namespace, answer: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Let a verb that promises an object print one in error too: ``answer()`` with ``error`` and ``exit_code``.

    Raises:
        SerBenchError: What was raised; what the system refused (no space, no permission) as a missing prerequisite.
    """
    from ser_bench.errors import SerBenchError

    try:
        yield
    except BrokenPipeError:
        raise
    except (SerBenchError, OSError) as caught:
        error = caught if isinstance(caught, SerBenchError) else system_error(caught)
        if args.json:
            print_json({**answer(), "error": str(error), "exit_code": error.exit_code})
        raise error from caught


def system_error(error: OSError) -> PrerequisiteError:
    """Return what the system refused, as an error that the user can mend."""
    from ser_bench.errors import PrerequisiteError

    where = f": {error.filename}" if error.filename else ""
    return PrerequisiteError(
        f"{error.strerror or error}{where}", hint="a folder that can be written to: --out, --store and --to name others"
    )


def clean(text: Any) -> str:
    """Return ``text`` without control characters, so that a file's name can't reach the terminal's controls."""
    return "".join(c if c.isprintable() else "�" for c in str(text))


def print_table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> None:
    """Print a plain table; control characters in names can't reach the terminal."""
    from tabulate import tabulate

    print(
        tabulate(
            [[clean(c) for c in row] for row in rows],
            headers=list(headers),
            tablefmt="simple",
            disable_numparse=True,
        )
    )


def say(text: str) -> None:
    """Print a line on stderr."""
    print(f"ser-bench: {text}", file=sys.stderr)


def progress_bars(quiet: bool, unit: str = "it") -> Callable[[str, int], Callable[[int], None]]:
    """Return a factory of progress bars on stderr; where that is no terminal, a line now and then.

    Bars of unit ``B`` count bytes, and may be of an unknown number: 0.
    """

    def start(what: str, total: int) -> Callable[[int], None]:
        from tqdm import tqdm

        bar = tqdm(
            total=None if unit == "B" and not total else total,
            desc=what,
            disable=quiet,
            file=sys.stderr,
            unit=unit,
            unit_scale=unit == "B",
            mininterval=0.2 if sys.stderr.isatty() else 15.0,
            leave=True,
        )

        def step(n: int = 1) -> None:
            bar.update(n)
            if bar.total is not None and bar.n >= bar.total:
                bar.close()

        return step

    return start


@contextlib.contextmanager
def workshop(args: argparse.Namespace, *, logs: Path, threads: int = 1, timeout_s: float = 3600.0) -> Iterator[Any]:
    """Yield (workshop, solo executor); whatever happens, no worker process is left behind."""
    import signal
    from concurrent.futures import ThreadPoolExecutor

    from ser_bench import machine
    from ser_bench.errors import UsageError
    from ser_bench.pool import close_workers
    from ser_bench.prepare import Workshop
    from ser_bench.store import default_store

    jobs = args.jobs if args.jobs is not None else max(1, machine.n_cpus() // threads)
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least 1 expected")
    limit = machine.memory_gib() * 1024 * 0.9 / jobs
    worker = {"threads": threads, "log": str(logs / "worker"), "memory_mib": limit, "python": None}
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="worker")
    solo = executor if jobs == 1 else ThreadPoolExecutor(1, thread_name_prefix="solo")
    store = Path(args.store) if args.store else default_store()
    terminated = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield (
            Workshop(
                store=store.resolve(),
                executor=executor,
                worker=worker,
                timeout_s=timeout_s,
                progress=progress_bars(args.quiet),
            ),
            solo,
        )
    finally:
        close_workers(executor, solo)
        signal.signal(signal.SIGTERM, terminated)


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt
