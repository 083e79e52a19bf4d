"""The protocol gap: what the same models score when speakers stand on both sides, and how well features tell them.

Both suites score the same utterances, once with their speakers unseen and once with speakers shared; the gap is the
difference of the two scores of the pooled test rows, its interval resamples (or deletes) whole speakers from both.
Or the control is a suite of its own, a published protocol, which may test other utterances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from ser_bench.errors import DataError, UsageError
from ser_bench.metrics import METRICS
from ser_bench.protocols import CrossCorpus, Dev, LeaveOneCorpusOut, RandomKFold, Split
from ser_bench.records import GAP, Gap, GapRow, RunRecord, Score, read_gap, read_records
from ser_bench.stats import Statistic, corpora_of, difference, score_with_interval, side_by_side
from ser_bench.store import write_atomically
from ser_bench.suites import Suite

if TYPE_CHECKING:
    import pandas as pd

_MOST_FOLDS = 10
_COMPARED = ("uar", "war")

UNPAIRED = "unpaired: other utterances are tested"
"""How a difference came about that has no interval."""


def check_counterpart(suite: Suite, control: Suite) -> None:
    """Refuse a published counterpart with which a suite can't be compared.

    Raises:
        UsageError: If their labels, primary metrics or threads differ, or one of them has pairs of corpora.
    """
    for key in ("labels", "metrics", "threads"):
        ours, theirs = getattr(suite, key), getattr(control, key)
        if ours != theirs:
            raise UsageError(f"--gap: {key} of {suite.name} is {ours!r}, but {theirs!r} of {control.name}, its control")
    if any(isinstance(one.protocol, CrossCorpus | LeaveOneCorpusOut) for one in (suite, control)):
        raise UsageError(f"--gap: {suite.name} or {control.name} trains and tests on different corpora")


def control_suite(suite: Suite, split: Split, n_usable: int) -> Suite:
    """Return the speaker-dependent control of a suite: the same but for random folds, which share speakers.

    It has as many folds as the suite, or for a hold-out as many as give test sides of the same share (2 to 10), so
    that both train on about as much.

    Args:
        suite: The suite.
        split: Its folds.
        n_usable: Utterances that its protocol can use.

    Raises:
        UsageError: If the suite shares something itself, trains and tests on different corpora, or trains on a part
            of its rows only (few-shot, speaker-and-sentence-disjoint).
    """
    if any(fold.pair is not None for fold in split.folds) or isinstance(suite.protocol, CrossCorpus):
        raise UsageError(f"--gap: {suite.name} trains and tests on different corpora; no control shares its speakers")
    declared = {name for fold in split.folds for name in fold.declares - fold.dev_only}
    if declared:
        raise UsageError(
            f"--gap: {suite.name} is a control itself: it declares {', '.join(sorted(declared))}",
            hint="name the speaker-disjoint suite: ser-bench list suites",
        )
    if any(len(fold.train) + len(fold.dev) + len(fold.test) < n_usable for fold in split.folds):
        raise UsageError(
            f"--gap: {suite.name} trains on a part of what it could; random folds would train on more, and the "
            "difference would not be that of the speakers",
            hint="ser-bench run --suite ravdess-speaker-5fold --gap",
        )
    n_tested = sum(len(fold.test) for fold in split.folds)
    folds = len(split.folds) if len(split.folds) > 1 else round(n_usable / n_tested)
    nested, has_dev = any(fold.inner for fold in split.folds), any(len(fold.dev) for fold in split.folds)
    dev = Dev(kind="inner-kfold" if nested else "random-kfold" if has_dev else "none", folds=suite.protocol.dev.folds)
    return msgspec.structs.replace(
        suite,
        name=f"{suite.name}-control",
        title=f"{suite.title}: speaker-dependent control",
        protocol=RandomKFold(folds=min(_MOST_FOLDS, max(2, folds)), dev=dev),
        references=(),
        bands=(),
    )


def measure_gap(
    folder: Path,
    records: Sequence[RunRecord],
    control_folder: Path,
    control_records: Sequence[RunRecord],
    probes: Mapping[str, float],
    *,
    published: bool = False,
) -> Gap:
    """Return the gap of every row that both runs scored.

    Args:
        folder: Run folder of the speaker-disjoint suite.
        records: Its records.
        control_folder: Run folder of its control.
        control_records: The control's records.
        probes: Feature set -> how well it tells the speakers (UAR).
        published: Whether the control is a suite of its own, scored on all that it tests.

    Raises:
        DataError: If a control of random folds lacks an utterance that the suite tested.
    """
    controls = {record.row: record for record in control_records if record.status == "ok"}
    rows = []
    for record in records:
        control = controls.get(record.row)
        if record.status != "ok" or control is None or record.model.family == "baseline":
            continue
        sides = _sides(folder, record, control_folder, control, published)
        found = _differences(record, sides)
        primary = METRICS[record.suite.primary]
        row = GapRow(
            row=record.row,
            run_id=record.run_id,
            control_run_id=control.run_id,
            features=record.features.name if record.features else None,
            disjoint=_mean(primary, sides[0]),
            control=_mean(primary, sides[1]),
            gap=found[record.suite.primary],
            speaker_probe=probes.get(record.features.name) if record.features else None,
        )
        rows.append(_against_published(row, record, control, found) if published else row)
    first = control_records[0]
    scored = next((record for record in records if record.status == "ok"), records[0])
    return Gap(
        suite=records[0].suite.name,
        control=first.suite.protocol,
        control_folder=control_folder.name,
        primary=records[0].suite.primary,
        n_test=scored.n_test,
        n_speakers=sum(corpus.speakers for corpus in records[0].corpora),
        rows=tuple(rows),
        control_suite=first.suite.name if published else None,
    )


def gap_faults(folder: Path, records: Sequence[RunRecord]) -> list[str]:
    """Return what of a stored gap the predictions of run and control do not give, in words; empty where all is well.

    Only the speaker probe can't be checked without the features.
    """
    gap = read_gap(folder, records)
    if gap is None:
        return []
    control = folder.parent / gap.control_folder
    if not (control / "records").is_dir():
        return [
            f"{GAP}: its control, {gap.control_folder}, does not lie beside the run, so no figure of it can be checked"
        ]
    probes = {row.features: row.speaker_probe for row in gap.rows if row.features and row.speaker_probe is not None}
    again = measure_gap(
        folder, records, control, read_records(control), probes, published=gap.control_suite is not None
    )
    if again == gap:
        return []
    rows = {row.row: row for row in again.rows}
    wrong = [row.row for row in gap.rows if rows.get(row.row) != row]
    return [f"{GAP}: the predictions give other figures ({', '.join(wrong) or 'its head'})"]


def write_gap(folder: Path, gap: Gap) -> None:
    """Store the gap beside the records that it is about."""
    write_atomically(folder / GAP, msgspec.json.format(msgspec.json.encode(gap), indent=1) + b"\n")


def _against_published(row: GapRow, record: RunRecord, control: RunRecord, found: Mapping[str, Score]) -> GapRow:
    """Return the row with what its source states, what its protocol gives here, and what is left of it."""
    stated = (*control.suite.references, *record.suite.references)
    kept = {*_COMPARED, record.suite.primary}
    return msgspec.structs.replace(
        row,
        published=next((reference for reference in stated if reference.row == record.row), None),
        reproduced={name: score for name, score in control.scores.items() if name in kept},
        honest={name: score for name, score in record.scores.items() if name in kept},
        differences=dict(found),
    )


Sides = tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]
"""Confusion matrices by seed and speaker of suite and control, and the speakers; none where they can't be paired."""


def _differences(record: RunRecord, sides: Sides) -> dict[str, Score]:
    """Return metric -> control minus suite, with an interval over speakers where the two are paired."""
    ours, theirs, speakers = sides
    differences = {}
    for name in dict.fromkeys((*_COMPARED, record.suite.primary)):
        statistic = METRICS[name]
        if not speakers:
            differences[name] = Score(value=_mean(statistic, theirs) - _mean(statistic, ours), method=UNPAIRED)
            continue
        both, strata = side_by_side(ours, theirs), corpora_of(speakers)
        found = score_with_interval(both, difference(statistic), lowest=-1.0, strata=strata)
        differences[name] = Score(**asdict(found))
    return differences


def _mean(statistic: Statistic, counts: NDArray[np.float64]) -> float:
    return float(statistic(counts.sum(axis=1)).mean())


def _sides(folder: Path, record: RunRecord, control_folder: Path, control: RunRecord, published: bool) -> Sides:
    """Return the confusion matrices of what both runs tested, for the seeds that both have.

    Random folds are held against the suite on its own utterances. A published protocol is scored on all that it
    tests, children too; it is paired where it tests at least the suite's utterances, and of the same speakers.

    Returns:
        Shapes (n_seeds, n_speakers, K, K), speakers in the same order where paired, else one for all.
    """
    ours, theirs = _tested(folder, record), _tested(control_folder, control)
    absent = set(ours["utterance_id"]) - set(theirs["utterance_id"])
    if not published:
        if absent:
            raise DataError(f"{record.row}: the control lacks {len(absent)} tested utterances, first {min(absent)}")
        theirs = theirs[theirs["utterance_id"].isin(set(ours["utterance_id"]))]
    speakers = set(ours["speaker"])
    paired = not absent and speakers == set(theirs["speaker"]) and ours["speaker"].notna().all()
    seeds = sorted(set(ours["seed"]) & set(theirs["seed"]))
    names = tuple(sorted(speakers)) if paired else ()
    places = {name: place for place, name in enumerate(names)}
    one, other = (_confusions(frame, seeds, places, record.suite.classes) for frame in (ours, theirs))
    return one, other, names


def _tested(folder: Path, record: RunRecord) -> pd.DataFrame:
    import pandas as pd

    assert record.predictions is not None
    columns = ["seed", "side", "utterance_id", "speaker", "truth", "predicted"]
    frame = pd.read_parquet(folder / record.predictions.path, columns=columns)
    return frame[frame["side"] == "test"]


def _confusions(
    frame: pd.DataFrame, seeds: Sequence[int], speakers: Mapping[str, int], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return matrices (n_seeds, n_speakers, K, K), truth down; without ``speakers`` all rows count as one speaker's."""
    index = {name: place for place, name in enumerate(classes)}
    counts = np.zeros((len(seeds), max(1, len(speakers)), len(index), len(index)))
    kept = frame[frame["seed"].isin(seeds)]
    who = kept["speaker"].map(speakers) if speakers else kept["seed"] * 0
    at = (
        kept["seed"].map({seed: place for place, seed in enumerate(seeds)}),
        who,
        kept["truth"].map(index),
        kept["predicted"].map(index),
    )
    np.add.at(counts, tuple(values.to_numpy(dtype=np.int64) for values in at), 1)
    return counts
