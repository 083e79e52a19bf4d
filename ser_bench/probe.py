"""The speaker probe: how well a feature set tells who speaks, by a linear discriminant on unseen utterances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ser_bench.cells import Row
from ser_bench.matrices import lay_out
from ser_bench.prepare import Prepared, Workshop
from ser_bench.protocols import Dev, RandomKFold, make_folds
from ser_bench.suites import Suite

FOLDS = 5


def probe_speakers(rows: Sequence[Row], prepared: Prepared, suite: Suite, workshop: Workshop) -> dict[str, float]:
    """Return feature set -> UAR, in [0, 1], of a discriminant trained to tell the speakers; chance is 1 / speakers.

    Folds are random (5, equal samples together), so every speaker stands on both sides. Frame sets are pooled to
    their mean and standard deviation over time. Utterances of unknown speakers are left out; a set that can't be laid
    out (a failed extraction) has no entry.

    Source: a linear discriminant with shrinkage (Ledoit & Wolf 2004), inputs standardised on training rows.
    """
    codes = prepared.table.codes("speaker")
    known = codes >= 0
    if len(np.unique(codes[known])) < 2 or known.sum() < FOLDS:
        return {}
    table = prepared.table.rows(known)
    protocol = RandomKFold(folds=FOLDS, dev=Dev(kind="none"))
    folds = make_folds(protocol, table, codes[known]).folds
    part = np.full(len(codes), -1, dtype=np.int64)
    for number, fold in enumerate(folds):
        part[np.flatnonzero(known)[fold.test]] = number
    found = {}
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        np.savez(scratch / "probe.npz", speakers=codes, part=part)
        fed = [row for row in rows if row.features and not row.skip]
        shown = {row.features: row.features_name or "" for row in fed}
        laid = lay_out(fed, prepared, suite, workshop, canary=None, scratch=scratch)
        pending = {
            name: workshop.submit(
                {
                    "task": "probe",
                    "values": features.values,
                    "offsets": features.offsets,
                    "data": str(scratch / "probe.npz"),
                }
            )
            for name, features in laid.items()
            if name is not None and not isinstance(features, str)
        }
        step = workshop.progress("speaker probe", len(pending)) if pending else None
        for name, future in pending.items():
            answer = future.result()
            if answer["ok"]:
                found[shown[name]] = float(answer["uar"])
            if step:
                step(1)
    return found
