"""What the board says in sentences: banners, why a row has no rank, how its intervals came about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ser_bench.paired import ALPHA, TESTED_FROM
from ser_bench.records import CorpusRef, Gap, Publication, RunRecord, SuiteRef
from ser_bench.report.parts import Board, GroupTable, Machine, Row
from ser_bench.report.text import METRICS, count, interval, listing, measure, score, short

MIN_RANKING_SPEAKERS = 4
"""With fewer test speakers, rows stand in order of their score, but bear no rank: the order is chance."""

TRANSDUCTIVE = ("speaker", "corpus")
"""Normalisations that look at the (unlabelled) test rows; never ranked with those that don't."""

REFERENCES = "Published results, not run here"
REFERENCE_TERMS = (
    "Others report these scores, under the protocol that each line states. They were not computed here "
    "and are not ranked with the rows above."
)

GAP = "What shared speakers are worth"

_WEAK = ("tree", "neighbours")
"""Families of simple learners, for which a low score is no sign of a fault."""

_APPROACHES = {
    "hand-made": "hand-made features",
    "scratch": "networks trained from scratch",
    "self-supervised": "self-supervised features",
}

_DECLARED = {
    "shared-speaker": "speaker-dependent control: speakers stand on both sides; "
    "never compare with speaker-disjoint rows",
    "shared-sentence": "declared control: sentences stand on both sides",
    "shared-sibling": "declared control: augmented siblings of one utterance stand on both sides",
    "shared-duplicate": "declared control: equal recordings stand on both sides",
    "dev-contains-test": "declared control: the dev set contains test rows",
    "fitted-on-all": "declared control: something was fitted on the test rows too",
}


def notices(suite: SuiteRef, records: Sequence[RunRecord]) -> Iterator[tuple[str, str]]:
    """Yield (kind, sentence) for what a reader must know before the first number."""
    corpora = {c.name: c for r in records for c in r.corpora}
    if suite.canary:
        yield "canary", f"canary run ({suite.canary}): a test of the harness, not a result"
    synthetic = sorted(name for name, c in corpora.items() if c.synthetic)
    if synthetic:
        yield (
            "synthetic",
            f"{', '.join(synthetic)}: synthetic speech: these numbers say nothing about real speech",
        )
    for declared in suite.declares:
        yield "control", _DECLARED.get(declared, f"declared control: {declared}")
    for name in sorted(corpora):
        if corpora[name].partial:
            yield (
                "partial",
                f"{name}: {_found_of_expected(corpora[name])}; not comparable with the whole corpus",
            )
    for there, total in sorted({(len(r.folds), r.folds_total) for r in records if _lacks_folds(r)}):
        yield "partial", f"{there} of {total} folds have test rows; not comparable with all folds"
    for note in suite.notes:
        yield "note", note


def published(publication: Publication | None) -> Iterator[tuple[str, str]]:
    """Yield (kind, sentence) for what was overridden to publish records, and for what their corpora's copies are."""
    if publication is None:
        return
    for what, sentences in sorted(publication.overrides.items()):
        for sentence in sentences:
            yield "override", f"published with --allow-{what}: {sentence}"
    for name, remark in sorted(publication.remarks.items()):
        yield "copy", f"{name}: {remark}"


def reason(record: RunRecord, group: Sequence[RunRecord]) -> str | None:
    """Return why a row has no score or, where it has one, no rank in its group; None for all other rows."""
    if record.status != "ok":
        return record.reason or "no reason was recorded"
    if record.model.family == "baseline":
        return None
    suite = record.suite
    why = [f"canary: {suite.canary}"] if suite.canary else []
    why += [f"declared: {name}" for name in suite.declares]
    why += ["declared: fitted-on-all"] if "all" in record.chosen.values() else []
    why += [f"{c.name}: {_found_of_expected(c)}" for c in record.corpora if c.partial]
    if _lacks_folds(record):
        why.append(f"{len(record.folds)} of {record.folds_total} folds")
    if record.n_test_speakers < MIN_RANKING_SPEAKERS:
        why.append(f"{count(record.n_test_speakers, 'test speaker')} can't rank")
    score = record.scores.get(suite.primary)
    if score is None or score.value is None:
        why.append(f"no {METRICS[suite.primary]}")
    if record.normalisation in TRANSDUCTIVE and any(_inductive(other) for other in group):
        why.append(f"transductive: normalised per {record.normalisation}, test rows included")
    if not why and not record.comparable:
        why.append("not comparable")
    return "; ".join(why) or None


def table_title(record: RunRecord, split: bool) -> str:
    """Return a table's title: its pair where there is one, its test set where several stand side by side."""
    title = "Ranking" if record.train is None else f"{record.train} → {record.test}"
    return f"{title}, test set {short(record.test_fingerprint)}" if split else title


def table_notes(group: Sequence[RunRecord], *, split: bool) -> Iterator[str]:
    """Yield the footnotes of a table."""
    scored = [r for r in group if r.status == "ok"]
    learned = [r for r in scored if r.model.family != "baseline"]
    primary = group[0].suite.primary
    if split:
        yield "These rows share their test rows with no other table, so they are ranked apart."
    for why, rows in _rows_by((reason(r, group), r) for r in learned).items():
        yield f"No rank{'s' if len(rows) == len(learned) else ': ' + listing(rows)} ({why})."
    absent = _rows_by((", ".join(r.absent_classes), r) for r in scored)
    for names in absent:
        yield f"UAR leaves out: {names} (not in the test data)."
    methods = _rows_by((_interval_method(r, primary), r) for r in scored)
    for method, rows in methods.items():
        yield f"{method}." if len(methods) == 1 else f"{method}: {listing(rows)}."
    weak = _rows_by((hint, r) for r in learned for _, hint in _outside(r) if hint)
    for hint, rows in weak.items():
        yield f"{hint}: {listing(rows)}."
    unequal = sorted(r.row for r in scored if r.timing and r.timing.reproduced is False)
    if unequal:
        yield f"The solo refit did not give the stored predictions again: {listing(unequal)}."


def comparison_notes(rows: Sequence[Row], missing: Sequence[str], least_p: float | None) -> Iterator[str]:
    """Yield what a reader must know of the differences between a table's rows, and of the ranks that rest on them.

    Args:
        rows: Of the table.
        missing: Those that were to be compared, but whose answers are not at hand.
        least_p: As in :class:`~ser_bench.report.evidence.Told`.
    """
    differences = [row.evidence.difference for row in rows if row.evidence.difference]
    if missing:
        yield f"Nothing was compared, and ranks follow scores: no stored answers of {listing(missing)}."
    if not differences:
        return
    n_speakers = max(len(row.evidence.speakers) for row in rows)
    if any(row.rank for row in rows):
        yield "Rows share a rank where none is significantly worse than the first of them."
    for method in sorted({difference.method for difference in differences}):
        yield f"Differences, two-sided at 5 %, Holm's correction: {method}."
    if 0 < n_speakers < TESTED_FROM:
        yield f"With fewer than {TESTED_FROM} test speakers no test over speakers can reach 5 %."
    if least_p is not None and least_p >= ALPHA:
        yield (
            f"So few speakers can't tell so many rows apart: after the correction the least p that can be had is "
            f"{least_p:.2f}."
        )


def soft_terms(rows: Sequence[Row]) -> str | None:
    """Return what the scores against annotators' votes are of; None where no row has any."""
    counts = sorted({row.soft.n for row in rows if row.soft})
    if not counts:
        return None
    return (
        f"Probabilities against the annotators' votes, on the {' or '.join(count(n) for n in counts)} test utterances "
        "that carry some: cross-entropy in nats, Jensen-Shannon divergence in bits (both better where lower), "
        "macro-F1 of the classes with more than 1/K of an utterance."
    )


def warnings(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Return (warning, rows that bear it), each warning once."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for text in row.warnings:
            found.setdefault(text, []).append(row.row)
    return sorted(found.items())


def implausible(record: RunRecord) -> list[str]:
    """Return a warning per band of the suite that the record's score lies outside of, with the likely cause."""
    return [warning for warning, _ in _outside(record) if warning]


def group_terms(groups: GroupTable) -> str:
    """Return over which classes a table by group averages, and how many test rows it leaves out."""
    over = "no class is spoken in every group"
    if groups.classes:
        over = f"mean recall of {listing(groups.classes, most=12)}, which every group has"
    unknown = f"; {count(groups.n_unknown, 'utterance')} of unknown {groups.column}" if groups.n_unknown else ""
    return f"{over}{unknown}. The gap is the largest less the smallest."


def chosen_by(record: RunRecord) -> str:
    """Return in words who chose the parameters of a row."""
    if "inner folds" in record.chosen.values():
        return "chosen on inner folds of the training rows (best mean score), then refitted on all of them"
    if record.chosen.get("features") == "train" and not record.model.uses_dev:
        return "columns chosen by the model on its training rows; fixed parameters"
    speakers = sorted({f.dev_speakers for f in record.folds if f.n_dev})
    without = sum(1 for f in record.folds if not f.n_dev)
    if not (record.model.uses_dev or record.model.chosen):
        return "nothing was chosen: fixed parameters" + (", trained on train + dev" if speakers else "")
    if not speakers:
        return "no dev set: nothing was chosen, fixed budget"
    span = f"{speakers[0]}–{speakers[-1]}" if len(speakers) > 1 else f"{speakers[0]}"
    who = f"chosen on {span} dev speaker{'' if span == '1' else 's'}, then refitted on train + dev"
    return who + (f"; no dev set in {without} of {len(record.folds)} folds: fixed budget" if without else "")


def corpus_counts(corpus: CorpusRef) -> str:
    """Return ``1,440 used of 1,440 found (1,440 expected), 24 speakers (24 expected), 8 classes``."""
    expected = "no expected count stated" if corpus.expected is None else f"{count(corpus.expected)} expected"
    speakers = count(corpus.speakers, "speaker")
    if corpus.expected_speakers is not None:
        speakers += f" ({count(corpus.expected_speakers)} expected)"
    classes = sum(1 for n in corpus.per_class.values() if n)
    told = f", {count(classes, 'class')}" if corpus.per_class else ""
    used = f"{count(corpus.n_used)} used of {count(corpus.n)} found ({expected})"
    return f"{used}, {speakers}{told}"


def exclusions(corpus: CorpusRef) -> list[tuple[str, int]]:
    """Return (reason, utterances), the largest first."""
    return sorted(corpus.dropped.items(), key=lambda item: (-item[1], item[0]))


def counted(corpus: CorpusRef) -> Iterator[str]:
    """Yield what happened to utterances beside being excluded: merged, lying there twice, not selected."""
    for emotion, n in sorted(corpus.merged.items()):
        yield f"merged: {emotion} ({count(n, 'utterance')})"
    if corpus.copies:
        yield f"further copies of the same utterance on disk, used once: {count(corpus.copies)}"
    for what, n in sorted(corpus.unselected.items()):
        yield f"not selected: {what} ({count(n, 'utterance')})"


def definitions(board: Board) -> Iterator[str]:
    """Yield how to read the numbers; every sentence holds for all rows."""
    if board.suite.targets == "values":
        yield "CCC is the concordance correlation of numbers, 1 where they agree: a wrong level or spread costs, too."
        yield f"RMSE is the root mean square error, in units of {board.suite.labels} as the corpus states it."
    else:
        yield "UAR is the mean of the per-class recalls, WAR the share of utterances that were right."
    yield "Scores pool the test rows of all folds and average over seeds; the per-fold mean is another number."
    yield "Intervals resample speakers, not utterances. Where they overlap, an order of rows may be chance."
    if any(row.timing for table in board.tables for row in table.rows):
        yield "Costs come from a solo pass: each model refits one named cell with nothing else running."
        yield "Latency is one utterance at a time, from decoding to the label: decode, features and predict."
        yield "RTF, the real-time factor, is seconds of work per second of speech."
        latencies = [row.timing.latency for table in board.tables for row in table.rows if row.timing]
        if any(latency and latency.batched for latency in latencies):
            yield "Batched latency is that of up to 32 utterances at once, shared among them; disk: the saved model."


def machine(of: Machine) -> str:
    """Return one line on what ran the rows: CPU, memory, GPU, system, versions, commit."""
    where, code = of.environment, of.code
    commit = "" if code.commit is None else f", commit {short(code.commit)}{' with changes' if code.dirty else ''}"
    parts = [f"{where.cpu}, {count(where.n_cpus, 'CPU')}, {measure(where.memory_gib)} GiB"]
    parts += [where.gpu] if where.gpu else []
    parts += [where.platform, f"Python {where.python}"]
    parts += [f"{name} {version}" for name, version in sorted(where.packages.items())]
    return "; ".join([*parts, f"ser-bench {code.version}{commit}"])


def size(n_utterances: int, n_speakers: int) -> str:
    """Return ``180 utterances, 3 speakers``, which stands in every header."""
    if not n_utterances:
        return "no test rows were scored"
    return f"{count(n_utterances, 'utterance')}, {count(n_speakers, 'speaker')}"


def _outside(record: RunRecord) -> Iterator[tuple[str | None, str | None]]:
    """Yield (warning, hint) per band that a score lies outside of, one of the two being None.

    Only rows that may be compared with what was published are judged: no baselines, controls, canaries, partial
    corpora, nor rows whose normalisation saw the test rows.
    """
    if not record.comparable or record.model.family == "baseline" or record.normalisation in TRANSDUCTIVE:
        return
    for band in record.suite.bands:
        score = record.scores.get(band.metric)
        side = None if score is None or score.value is None else band.side(record.approach, score.value)
        if side is None:
            continue
        whom = _APPROACHES.get(record.approach or "", "any features") if band.approaches else "any features"
        low = side == "low"
        edge, cause = (band.low, band.cause_low) if low else (band.high, band.cause_high)
        where = f"{METRICS[band.metric]} {'below' if low else 'above'} {edge:g}"
        if low and record.model.family in _WEAK:
            yield None, f"{where}, weaker than the published range ({whom}), as simple learners often are"
        else:
            yield f"{where}, outside the published range ({whom}): {cause}", None


def _found_of_expected(corpus: CorpusRef) -> str:
    text = f"{count(corpus.n)} of {count(corpus.expected)} utterances"
    if corpus.expected_speakers is not None and corpus.speakers < corpus.expected_speakers:
        text += f", {count(corpus.speakers)} of {count(corpus.expected_speakers)} speakers"
    return text


def _lacks_folds(record: RunRecord) -> bool:
    return record.status == "ok" and len(record.folds) < record.folds_total


def _inductive(record: RunRecord) -> bool:
    ok = record.status == "ok" and record.model.family != "baseline"
    return ok and record.normalisation not in TRANSDUCTIVE


def _interval_method(record: RunRecord, primary: str) -> str | None:
    score = record.scores.get(primary)
    if score is None or score.value is None:
        return None
    if score.low is None:
        return interval(score).capitalize()
    return f"95 % intervals: {score.method} ({count(score.n_speakers, 'test speaker')})"


def _rows_by(pairs: Iterable[tuple[str | None, RunRecord]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, record in pairs:
        if key:
            found.setdefault(key, []).append(record.row)
    return {key: sorted(found[key]) for key in sorted(found)}


def gap_cells(gap: Gap) -> list[list[str]]:
    """Return a line per model: its name, both scores, their difference, its interval, the speaker probe."""
    return [
        [
            row.row,
            score(row.disjoint),
            score(row.control),
            "–" if row.gap.value is None else f"{row.gap.value:+.3f}",
            interval(row.gap),
            score(row.speaker_probe),
        ]
        for row in gap.rows
    ]


def gap_terms(gap: Gap) -> str:
    """Return what the columns of the gap mean."""
    speakers = f"{count(gap.n_speakers)} speakers apart" + (
        f", chance {score(1 / gap.n_speakers)}" if gap.n_speakers else ""
    )
    return (
        f"{METRICS[gap.primary]} of the same {count(gap.n_test)} test utterances: with their speakers unseen in "
        f"training, and under the control ({gap.control}). The gap is the difference; its 95 % interval resamples "
        f"speakers. Speaker probe: UAR at which a linear discriminant on the same features tells {speakers}."
    )
