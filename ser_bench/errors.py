"""The error family: every mistake a user can make, with its exit code and the next command to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

GATE_FAILED = 1
"""Exit code of a comparison that found something worse; no error, so no class has it."""


class SerBenchError(Exception):
    """A mistake that the user can mend; shown without a traceback.

    Args:
        message: What was received and what was expected.
        hint: The next command to type, or None.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  try: {self.hint}"


class UsageError(SerBenchError):
    """An unknown name, a bad option, a suite file that does not validate (exit 2)."""


class PrerequisiteError(SerBenchError):
    """Something that has to be there first is not: a corpus, an extra, a device (exit 3)."""

    exit_code = 3


class DataError(SerBenchError):
    """A corpus, table or stored file that can't be used as it is (exit 4)."""

    exit_code = 4


class LeakageError(DataError):
    """A fold that lets its test side leak into training (exit 4)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for a near miss, else the known names, ready to append to a message."""
    names = sorted(known)
    folded = {known_name.casefold(): known_name for known_name in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {folded[near[0]]!r}?)"
    return f" (known: {', '.join(names)})" if names else ""
