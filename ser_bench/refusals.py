"""What keeps a run from being published: uncommitted code, missing rows, unknown licences, leaks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ser_bench.cells import LONGER_BUDGET
from ser_bench.records import RunRecord
from ser_bench.run_audit import audit_run

OVERRIDES = ("dirty", "partial", "unknown-licence", "leak")
"""What can be overridden, as in ``publish --allow-dirty``."""

_UNKNOWN_LICENCE = re.compile(r"\s*$|not stated|unknown|as stated in", re.IGNORECASE)
_SHOWN = 5


def refusals(folder: Path, records: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Return what stands against publishing a run folder: a key of :data:`OVERRIDES` -> sentences, sorted.

    A corpus of which only a part lies here is no reason, nor are the folds that it lacks: the board names both.

    Args:
        folder: The run folder, whose predictions and utterance table are audited for leaks.
        records: Its records, in the order of their files.
    """
    found = {
        "dirty": _dirty(records),
        "partial": _partial(folder, records),
        "unknown-licence": _licences(records),
        "leak": _leaks(folder, records),
    }
    return {what: told for what, sentences in found.items() if (told := tuple(sentences))}


def names(rows: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    told = list(dict.fromkeys(rows))
    more = f" and {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def licence_known(licence: str) -> bool:
    """Whether a corpus states a licence at all, in whatever words."""
    return _UNKNOWN_LICENCE.match(licence) is None


def _dirty(records: Sequence[RunRecord]) -> Iterator[str]:
    commits = sorted({record.code.commit or "?" for record in records if record.code.dirty})
    for commit in commits:
        rows = [record.row for record in records if record.code.dirty and (record.code.commit or "?") == commit]
        yield f"uncommitted changes on commit {commit[:12]} made {names(rows)}"


def _partial(folder: Path, records: Sequence[RunRecord]) -> Iterator[str]:
    for status in ("failed", "skipped"):
        rows = [r.row for r in records if r.status == status and not (r.reason or "").startswith(LONGER_BUDGET)]
        if rows:
            yield f"{status}: {names(rows)}"
    numbers = [int(path.name[:3]) for path in (folder / "records").glob("[0-9][0-9][0-9]-*.json")]
    absent = sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers))
    if absent:
        yield f"rows of the plan are missing: number {names([str(n) for n in absent])}"
    for there, total in sorted({(len(r.folds), r.folds_total) for r in records if _lacks_folds(r)}):
        yield f"{there} of {total} folds, though the corpora are whole"


def _lacks_folds(record: RunRecord) -> bool:
    whole = not any(corpus.partial for corpus in record.corpora)
    return record.status == "ok" and whole and len(record.folds) < record.folds_total


def _licences(records: Sequence[RunRecord]) -> Iterator[str]:
    for name, licence in sorted({(corpus.name, corpus.licence) for record in records for corpus in record.corpora}):
        if not licence_known(licence):
            yield f"{name}: licence {licence.strip() or 'not stated'}"


def _leaks(folder: Path, records: Sequence[RunRecord]) -> Iterator[str]:
    if not any(record.predictions for record in records):
        return
    for audit in audit_run(folder):
        for finding in audit.findings:
            if finding.severity == "leak":
                sides = f" ({' and '.join(finding.sides)})" if finding.sides else ""
                yield f"{names(audit.rows)}: {finding.kind}{sides}: {finding.detail}"
