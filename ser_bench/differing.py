"""What two records differ in, in words: code, suite, data, packages, machine; and what keeps their times apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ser_bench.records import RunRecord


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """Something in which two sides differ; null where a side has none."""

    what: str
    base: str | None
    head: str | None


def differing(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> list[Differing]:
    """Return what differs between the two sides of matched rows: code, suite, data, packages, machine, settings."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for pair in pairs:
        base, head = (_facts(record) for record in pair)
        for what in {**base, **head}:
            if base.get(what) != head.get(what):
                sides = found.setdefault(what, (set(), set()))
                for side, facts in zip(sides, (base, head), strict=True):
                    side.update([facts[what]] if what in facts else [])
    return [
        Differing(what=what, base=", ".join(sorted(sides[0])) or None, head=", ".join(sorted(sides[1])) or None)
        for what, sides in found.items()
    ]


def _facts(record: RunRecord) -> dict[str, str]:
    at, code, suite = record.environment, record.code, record.suite
    facts: dict[str, Any] = {
        "ser-bench": code.version,
        "commit": f"{code.commit}{' and changes' if code.dirty else ''}" if code.commit else None,
        "scoring code": code.source,
        "suite": suite.name,
        "suite digest": suite.digest,
        **{f"corpus {corpus.name}": corpus.fingerprint for corpus in record.corpora},
        "features": f"{record.features.name} {record.features.version}" if record.features else None,
        "normalisation": record.normalisation,
        f"parameters of {record.row}": ", ".join(f"{k}={record.model.params[k]}" for k in sorted(record.model.params)),
        "seeds": ", ".join(map(str, record.seeds)),
        "Python": at.python,
        **at.packages,
        "platform": at.platform,
        "CPU": at.cpu,
        "CPUs": at.n_cpus,
        "GPU": at.gpu,
        "device": record.model.device,
        "threads": record.timing.threads if record.timing else None,
    }
    return {what: str(value) for what, value in facts.items() if value is not None}


def elsewhere(ours: RunRecord, theirs: RunRecord) -> str | None:
    """Return what keeps the times of two rows from being compared; None where nothing does."""
    facts = [_where(ours), _where(theirs)]
    told = [f"{what} {facts[0][what]} and {facts[1][what]}" for what in facts[0] if facts[0][what] != facts[1][what]]
    return f"measured elsewhere: {'; '.join(told)}" if told else None


def _where(record: RunRecord) -> dict[str, Any]:
    at, timing = record.environment, record.timing
    heard = timing.latency.audio_s if timing and timing.latency else 0.0
    return {
        "CPU": at.cpu,
        "CPUs": at.n_cpus,
        "device": record.model.device,
        "GPU": at.gpu if record.model.device != "cpu" else None,
        "threads": timing.threads if timing else None,
        "Python": at.python,
        "numpy": at.packages.get("numpy"),
        "timed": timing.cell if timing else None,
        "seconds heard": round(heard, 3),
    }
