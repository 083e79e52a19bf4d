"""No utterance and no vote is lost unsaid, levels change at the cuts, and soft targets reach the models."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_bench.corpora import Corpus
from ser_bench.corpora.audit import Audit, fingerprint
from ser_bench.corpora.label_values import label_problems
from ser_bench.emotions import DIMENSION_SCHEMES, EMOTIONS, SCHEME_NAMES, SCHEMES, LabelScheme, label_scheme
from ser_bench.errors import DataError, UsageError
from ser_bench.fold_fit import FoldFit
from ser_bench.labelling import label, vote_shares
from ser_bench.models.contract import Examples, FitContext
from ser_bench.prediction_check import prediction_faults
from ser_bench.records import read_records
from ser_bench.registry import import_object, load
from ser_bench.suites import SAMPLE_SCHEME, digest, load_scheme, load_suite, with_labels
from ser_bench.utterances import UtteranceTable
from tests.small_corpus import EMOTIONS as SMALL
from tests.small_corpus import write_small_corpus, write_suite, write_table

NAN = float("nan")
VOTES = st.dictionaries(st.sampled_from(EMOTIONS), st.integers(0, 20), max_size=6)


def table_of(**columns: list[Any]) -> UtteranceTable:
    """Return a table with one row per cell of the columns."""
    n = len(next(iter(columns.values())))
    ids = [f"made:{i}" for i in range(n)]
    told = {"utterance_id": ids, "corpus": ["made"] * n, "path": ids, **columns}
    return UtteranceTable.from_rows([dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)])


def audit_of(table: UtteranceTable, *, scales: dict[str, tuple[float, float]] | None = None, silent: int = 0) -> Audit:
    """Return the audit of a made-up corpus whose usable utterances are ``table``."""

    class Nothing:
        def read(self, root: Path, select: Any) -> Any:
            raise AssertionError("the audit has read it already")

        def emotions(self) -> tuple[str, ...]:
            return ()

    corpus = Corpus(
        name="made", title="Made", language="und", licence="-", access="local", reader=Nothing(), scales=scales or {}
    )
    return Audit(
        corpus=corpus,
        root=Path(),
        table=table,
        n=len(table) + silent,
        dropped={"silent": silent} if silent else {},
        copies=0,
        unselected={},
        per_emotion={},
        speakers=0,
        problems=(),
        expected=None,
        examples={},
    )


# Dimensions in levels


@pytest.mark.parametrize("name", DIMENSION_SCHEMES)
def test_at_most_the_first_cut_is_low_and_at_least_the_second_is_high(name: str) -> None:
    scheme = DIMENSION_SCHEMES[name]
    values = [1.0, 2.5, np.nextafter(2.5, 3), 3.0, np.nextafter(3.5, 3), 3.5, 5.0, NAN]
    assert scheme.class_indices(values, (1, 5)) == [0, 0, 1, 1, 1, 2, 2, -1]
    assert scheme.classes == ("low", "mid", "high")
    assert name in (f"{scheme.column}-3", scheme.column) and scheme.numbers == (name == scheme.column)


@given(st.integers(0, 40), st.sampled_from([(1.0, 7.0), (0.0, 100.0), (-1.0, 1.0), (0.0, 1.0), (1.0, 9.0)]))
@settings(deadline=None)
def test_a_value_has_the_level_of_the_same_place_on_another_scale(tenths: int, scale: tuple[float, float]) -> None:
    scheme = DIMENSION_SCHEMES["valence-3"]
    share = tenths / 40  # every 40th, so that both cuts (15 and 25 fortieths) are among them, met exactly
    there = scale[0] + share * (scale[1] - scale[0])
    assert scheme.class_indices([there], scale) == scheme.class_indices([1 + 4 * share], (1, 5))


def test_the_levels_of_a_corpus_follow_its_own_scale() -> None:
    table = table_of(arousal=[3.25, 3.26, 4.74, 4.75, NAN], emotion=["sad"] * 5)
    found = label(audit_of(table, scales={"arousal": (1, 7)}), DIMENSION_SCHEMES["arousal-3"])
    assert found.classes.tolist() == [0, 1, 1, 2, -1]
    assert found.dropped == {"label-missing:arousal": 1} and found.merged == {}


def test_a_value_outside_the_stated_scale_has_no_level_and_is_counted() -> None:
    table = table_of(arousal=[1.0, 7.0, 9.0, -40.0, float("inf"), NAN], emotion=["sad"] * 6)
    found = audit_of(table, scales={"arousal": (1, 7)})
    labelled = label(found, DIMENSION_SCHEMES["arousal-3"])
    assert labelled.classes.tolist() == [0, 2, -1, -1, -1, -1]
    assert labelled.dropped == {"label-missing:arousal": 1, "outside-scale:arousal": 3}
    (problem,) = label_problems(found.corpus, table)
    assert (problem.kind, problem.severity, problem.path) == ("outside-scale", "warning", "made:2")
    assert problem.detail.startswith("arousal outside its scale [1, 7]: made:2 (9), made:3 (-40), made:4 (inf);")


@pytest.mark.parametrize(
    "text", ['{"angry": -1}', "notjson", '{"grr": 2}', "[1]", "[" * 100_000, '{"sad": 1' + "0" * 400 + "}"]
)
def test_the_audit_names_votes_that_can_not_be_read(text: str) -> None:
    table = table_of(votes=['{"sad": 2}', text, text, None])
    (problem,) = label_problems(audit_of(table).corpus, table)
    assert (problem.kind, problem.severity, problem.path) == ("bad-votes", "error", "made:1")
    assert problem.detail.startswith(f"made:1 and 1 more: votes {text[:80]!r}: ")


def test_numbers_without_a_scale_are_refused_and_no_numbers_need_none() -> None:
    scheme = DIMENSION_SCHEMES["arousal-3"]
    with pytest.raises(DataError, match="made has values for arousal, and nothing states their scale") as caught:
        label(audit_of(table_of(arousal=[3.0, NAN])), scheme)
    assert "[scales]: arousal = [1, 5]" in str(caught.value.hint)
    assert label(audit_of(table_of(emotion=["sad", "sad"])), scheme).dropped == {"label-missing:arousal": 2}


# Losses


@given(
    st.lists(st.sampled_from([*EMOTIONS, None]), min_size=1, max_size=30),
    st.sampled_from([name for name in SCHEME_NAMES if name != "native"]),
    st.integers(0, 3),
)
@settings(deadline=None)
def test_what_is_kept_and_what_is_dropped_add_up(emotions: list[str | None], name: str, silent: int) -> None:
    table = table_of(emotion=emotions, arousal=[float(i % 5) or NAN for i in range(len(emotions))])
    found = audit_of(table, silent=silent, scales={"arousal": (1, 5)})
    of = label(found, label_scheme(name))
    assert int((of.classes >= 0).sum()) + sum(of.dropped.values()) == found.n
    if name in SCHEMES:
        merged = [e for e in emotions if e in SCHEMES[name].merge]
        assert sum(of.merged.values()) == len(merged)
        assert of.dropped.get("label-missing:emotion", 0) == emotions.count(None)


def test_excited_counts_as_happy_where_the_scheme_says_so_and_only_there() -> None:
    found = audit_of(table_of(emotion=["excited", "happy", "frustrated", "neutral"]))
    of = label(found, SCHEMES["four-excited-happy"])
    assert of.classes.tolist() == [1, 1, -1, 2]
    assert of.merged == {"excited→happy": 1} and of.dropped == {"outside-scheme:frustrated": 1}
    assert label(found, SCHEMES["four"]).classes.tolist() == [-1, 1, -1, 2]


def test_native_keeps_levels_of_emotion_as_classes() -> None:
    levels = ["low-emotion", "normal-emotion", "high-emotion"]
    found = audit_of(table_of(emotion=[*levels, "low-emotion"]))
    of = label(found, label_scheme("native", levels))
    assert of.classes.tolist() == [1, 2, 0, 1] and of.dropped == {}


def test_the_fingerprint_of_a_corpus_covers_votes_and_numbers() -> None:
    plain = {"emotion": ["sad", "angry"], "speaker": ["a", "b"]}
    tables = [table_of(**plain, **more) for more in ({}, {"votes": ['{"sad": 1}', None]}, {"arousal": [2.0, NAN]})]
    assert len({fingerprint(table) for table in tables}) == 3


# Votes


@given(VOTES, st.sampled_from([*SCHEMES.values(), label_scheme("native", ["angry", "sad"])]))
@settings(deadline=None)
def test_shares_of_votes_sum_to_1_and_merging_adds(votes: dict[str, int], scheme: LabelScheme) -> None:
    shares = scheme.shares(votes)
    counted = {e: n for e, n in votes.items() if scheme.merge.get(e, e) in scheme.classes}
    if not sum(counted.values()):
        assert shares is None
        return
    assert shares is not None
    assert sum(shares) == pytest.approx(1)
    for name, share in zip(scheme.classes, shares, strict=True):
        own = sum(n for e, n in counted.items() if scheme.merge.get(e, e) == name)
        assert share == pytest.approx(own / sum(counted.values()))


def test_votes_that_no_class_takes_are_left_out_even_where_the_scheme_refuses_such_labels() -> None:
    table = table_of(votes=['{"sad": 1, "other": 7, "angry": 3}', '{"other": 2}', None])
    shares = vote_shares(table, label_scheme("native", ["angry", "sad"]))
    assert shares is not None
    np.testing.assert_array_equal(shares, [[0.75, 0.25], [NAN, NAN], [NAN, NAN]])


def test_without_any_vote_and_for_levels_there_are_no_shares() -> None:
    assert vote_shares(table_of(votes=[None, '{"other": 1}']), SCHEMES["six"]) is None
    assert vote_shares(table_of(votes=['{"sad": 1}']), DIMENSION_SCHEMES["valence-3"]) is None


@pytest.mark.parametrize(
    ("votes", "complaint"),
    [
        ("3", "a JSON object expected"),
        ("angry 3", "Expecting value"),
        ('{"angri": 3}', "'angri' is no canonical emotion.*did you mean 'angry'"),
        ('{"angry": -1}', "-1 votes for 'angry'"),
        ('{"angry": true}', "True votes for 'angry'"),
        ('{"angry": NaN}', "nan votes for 'angry'"),
        ("[" * 100_000, "made:1: votes"),
        (f'{{"angry": 1{"0" * 400}}}', "made:1: votes"),
        ('{"angry": 1e308, "sad": 1e308}', "more votes than can be counted"),
    ],
)
def test_votes_that_are_none_are_refused_with_the_utterance(votes: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        vote_shares(table_of(votes=[None, votes]), SCHEMES["six"])
    assert "made:1" in caught.value.message


# A scheme of one's own


def test_five_lines_make_a_scheme_for_suites_and_for_commands(tmp_path: Path) -> None:
    (tmp_path / "valence.toml").write_text(SAMPLE_SCHEME)
    scheme = load_scheme(str(tmp_path / "valence.toml"))
    assert scheme.class_indices(["angry", "happy", "neutral", "fear"]) == [0, 1, -1, -1]
    inline = write_suite(tmp_path / "inline.toml", more=f"[labels]\n{SAMPLE_SCHEME}")
    for path, labels in ((tmp_path / "by-file.toml", '"valence.toml"'), (inline, None)):
        text = write_suite(tmp_path / "base.toml").read_text()
        text = text.replace('labels = "native"\n', f"labels = {labels}\n" if labels else "")
        path.write_text(text if labels else f"{text}\n[labels]\n{SAMPLE_SCHEME}")
    by_file, inline_suite = load_suite(str(tmp_path / "by-file.toml")), load_suite(str(inline))
    assert by_file.labels == inline_suite.labels and digest(by_file) == digest(inline_suite)


def test_a_scheme_without_a_name_bears_its_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('classes = ["sad", "happy"]\nrest = "drop"\n')
    assert load_scheme(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('clases = ["sad", "happy"]\nrest = "drop"', "unknown key 'clases' in labels .did you mean 'classes'"),
        ('classes = ["sad", "happy"]', "missing required field `rest`"),
        ('classes = ["sad", "hapy"]\nrest = "drop"', "'hapy' is no emotion.*did you mean 'happy'"),
        ('classes = ["sad"', "not TOML"),
    ],
)
def test_a_scheme_that_does_not_fit_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint) as caught:
        load_scheme(str(path))
    assert "mine.toml" in caught.value.message
    assert "not TOML" in complaint or SAMPLE_SCHEME in str(caught.value.hint)


def test_a_scheme_that_is_not_there_is_refused_with_a_whole_one_in_the_hint() -> None:
    with pytest.raises(UsageError, match=r"label scheme 'no/such\.toml' is not there") as caught:
        load_scheme("no/such.toml")
    assert SAMPLE_SCHEME in str(caught.value.hint)


def test_other_labels_are_said_and_stand_beside_no_published_result() -> None:
    suite = load_suite("ravdess-loso")
    other = with_labels(suite, "four")
    assert other.labels == "four" and digest(other) != digest(suite)
    assert other.notes[0].startswith("Labels four instead of the suite's eight")
    assert (other.references, other.bands) == ((), ())


def test_soft_targets_are_part_of_the_digest_and_need_emotions(tmp_path: Path) -> None:
    hard, soft = (load_suite(str(write_suite(tmp_path / "s.toml", more=m))) for m in ("", 'targets = "soft"'))
    assert (hard.targets, soft.targets) == ("hard", "soft") and digest(hard) != digest(soft)
    with pytest.raises(UsageError, match="votes are for emotions, not for levels"):
        with_labels(soft, "valence-3")


# Models


def context(n_classes: int = 3) -> FitContext:
    return FitContext(n_classes=n_classes, class_names=tuple("abc"[:n_classes]), seed=0)


def test_logistic_regression_on_shares_is_that_on_every_vote_as_a_row() -> None:
    random = np.random.RandomState(0)
    values = random.normal(size=(20, 4)).astype(np.float32)
    votes = random.randint(0, 4, (20, 3)) + np.array([1, 0, 0])
    columns, each = tuple("wxyz"), votes.sum(axis=1)
    spec = load("models", "logreg")
    shares = (votes / each[:, None]).astype(np.float32)
    soft = import_object(spec.factory)(**spec.params, tol=1e-10)
    soft.fit(Examples(values=values, columns=columns, classes=np.zeros(20, int), distributions=shares), None, context())
    from sklearn.linear_model import LogisticRegression

    rows, labels = np.repeat(np.arange(20), each), np.concatenate([np.repeat(np.arange(3), v) for v in votes])
    by_hand = LogisticRegression(C=0.01, tol=1e-10, max_iter=1000)
    by_hand.fit(values[rows].astype(float), labels, sample_weight=1 / each[rows])
    predicted = soft.predict(Examples(values=values, columns=columns)).scores
    np.testing.assert_allclose(predicted, by_hand.predict_proba(values), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
@pytest.mark.parametrize("name", ["torch-cnn", "keras-cnn"])
def test_networks_learn_the_annotators_doubt_and_not_the_label(name: str) -> None:
    spec = load("models", name)
    for module in spec.requires:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{name} needs {module}")
    random = np.random.RandomState(0)
    classes = np.arange(60) % 2 * 2
    frames = np.repeat(classes - 1.0, 40)[:, None] + random.normal(0, 0.1, (2400, 4))
    offsets = np.arange(61) * 40
    shares = np.where(classes[:, None] == 0, [0.6, 0.1, 0.3], [0.3, 0.1, 0.6]).astype(np.float32)
    fed = [
        Examples.of_frames(frames.astype(np.float32), tuple("wxyz"), offsets, classes=classes, distributions=given)
        for given in (None, shares)
    ]
    told = []
    for examples in fed:
        model = import_object(spec.factory)(epochs=12, batch_size=20, n_channels=4, learning_rate=0.02, dropout=0.1)
        model.fit(examples, None, context())
        told.append(model.predict(examples).scores)
    hard, soft = told
    assert hard.max() > 0.9 and not hard[:, 1].any(), "labels know no doubt, and no class without a row"
    assert np.abs(soft - shares).mean() < 0.1


def cell_task(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """Return a worker's task over six rows of classes 0 and 1, of a scheme that has a third class."""
    shares = np.tile(np.array([0.5, 0.25, 0.25], dtype=np.float32), (6, 1))
    shares[4] = [0, 0, 1]
    shares[5] = [1, 0, 0]
    arrays = {"classes": np.array([0, 1, 0, 1, 1, 0]), "speakers": np.zeros(6, int), "corpora": np.zeros(6, int)}
    sides = {"train_0": np.arange(2, 6), "dev_0": np.arange(0), "test_0": np.arange(2)}
    np.savez(tmp_path / "data.npz", distributions=shares, **arrays, **sides)
    np.save(tmp_path / "values.npy", np.zeros((6, 1), np.float32))
    task = {"data": str(tmp_path / "data.npz"), "values": str(tmp_path / "values.npy"), "offsets": None, "fold": 0}
    task |= {"columns": ["x"], "class_names": ["a", "b", "c"], "seed": 3, "device": "cpu", "threads": 1, "inner": 0}
    told = {"normalise": "none", "soft_targets": True, "grid": {}, "uses_dev": False, "out": str(tmp_path / "out.npz")}
    return {**task, **told, **more}


def test_a_class_that_no_training_row_is_labelled_with_takes_no_share(tmp_path: Path) -> None:
    cell = FoldFit(cell_task(tmp_path), tmp_path, lambda done, total: None)
    cell._normalise_by(cell.train)
    train = cell.examples(cell.train, with_classes=True)
    assert train.distributions is not None
    np.testing.assert_allclose(train.distributions, [[2 / 3, 1 / 3, 0], [2 / 3, 1 / 3, 0], [0, 1, 0], [1, 0, 0]])
    assert cell.examples(cell.test).distributions is None, "nothing is told when predicting"


def test_models_that_take_no_soft_targets_get_none(tmp_path: Path) -> None:
    cell = FoldFit(cell_task(tmp_path, soft_targets=False), tmp_path, lambda done, total: None)
    cell._normalise_by(cell.train)
    assert cell.examples(cell.train, with_classes=True).distributions is None


def test_permuted_labels_take_their_votes_along(tmp_path: Path) -> None:
    plain = FoldFit(cell_task(tmp_path), tmp_path, lambda done, total: None)
    moved = FoldFit(cell_task(tmp_path, permute=True), tmp_path, lambda done, total: None)
    assert plain.distributions is not None and moved.distributions is not None
    pairs = [
        sorted((int(k), *map(float, row)) for k, row in zip(c.classes[c.train], c.distributions[c.train], strict=True))
        for c in (plain, moved)
    ]
    assert pairs[0] == pairs[1]
    assert not np.array_equal(plain.distributions, moved.distributions)


# End to end


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 45 tones: two of three carry votes, and arousal on 1 to 7 is missing once."""
    root = tmp_path_factory.mktemp("labels")
    rows = write_small_corpus(root / "data" / "small")
    for i, row in enumerate(rows):
        after = SMALL[(SMALL.index(row["emotion"]) + 1) % 3]
        row["votes"] = json.dumps({row["emotion"]: 3, after: 1, "other": 2}) if i % 3 else ""
        row["arousal"] = str(1 + i % 7) if i else ""
    write_table(root / "data" / "small" / "utterances.csv", rows)
    (root / "data" / "small" / "corpus.toml").write_text("[scales]\narousal = [1, 7]\n")
    for targets in ("hard", "soft"):
        write_suite(root / f"{targets}.toml", models='"chance", "logreg", "svm-rbf"', more=f'targets = "{targets}"')
    return root


def ask(place: Path, *words: str) -> Any:
    """Run a verb with --json; return what it printed."""
    where = ["--data", str(place / "data"), "--store", str(place / "store"), "--jobs", "1", "--quiet", "--json"]
    out = ["--out", str(place / "out")] if words[0] == "run" else []
    command = [sys.executable, "-m", "ser_bench", *words, *where, *out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=place)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_with_soft_targets_says_who_used_them_and_scores_against_the_votes(place: Path) -> None:
    answers = {targets: ask(place, "run", "--suite", f"{targets}.toml") for targets in ("hard", "soft")}
    rows = {(targets, row["model"]): row for targets, answer in answers.items() for row in answer["rows"]}
    assert {key for key, row in rows.items() if row["targets"] == "soft"} == {("soft", "logreg")}
    assert rows["soft", "logreg"]["soft"]["n"] == 30
    assert rows["soft", "logreg"]["soft"]["cross_entropy"] < rows["hard", "logreg"]["soft"]["cross_entropy"]
    nothing = dict.fromkeys(("cross_entropy", "js_divergence", "multilabel_f1"))
    assert rows["soft", "svm-rbf"]["soft"] == {"n": 30, **nothing}
    chance = rows["soft", "chance"]["soft"]
    assert chance["cross_entropy"] == pytest.approx(np.log(3)) and chance["multilabel_f1"] == 0.0
    assert any("30 of 45 training utterances carry votes" in text for text in rows["soft", "logreg"]["warnings"])
    assert "trained on labels: it takes no soft targets" in rows["soft", "svm-rbf"]["warnings"]
    assert rows["hard", "logreg"]["warnings"] == []
    board = (Path(answers["soft"]["out"]) / "leaderboard.md").read_text()
    assert "Probabilities against the annotators' votes, on the 30 test utterances" in board


def test_the_scores_against_votes_come_from_the_stored_predictions(place: Path) -> None:
    folder = Path(ask(place, "run", "--suite", "soft.toml")["out"])
    record = next(record for record in read_records(folder) if record.row == "logreg")
    assert prediction_faults(folder, record) == []
    assert record.soft is not None and record.soft.js_divergence is not None
    other = msgspec.structs.replace(record.soft, js_divergence=record.soft.js_divergence + 1e-6)
    faults = prediction_faults(folder, msgspec.structs.replace(record, soft=other))
    assert len(faults) == 1 and faults[0].startswith("js_divergence is ")


def test_labels_on_the_command_line_replace_the_suites(place: Path) -> None:
    answer = ask(place, "run", "--suite", "hard.toml", "--labels", "arousal-3", "--models", "chance", "--dry-run")
    (corpus,) = answer["corpora"]
    # 44 values run 2 … 7, 1 … on 1 to 7, where the cuts are 3.25 and 4.75: 1 2 3 | 4 | 5 6 7
    assert corpus["dropped"] == {"label-missing:arousal": 1}
    assert corpus["per_class"] == {"low": 20, "mid": 6, "high": 18}
    assert corpus["n"] == 45 and corpus["n_used"] == 44


def test_the_losses_of_a_corpus_add_up_under_every_scheme(place: Path) -> None:
    losses = ask(place, "show", "losses", "small")["losses"]
    assert [loss["scheme"] for loss in losses] == list(SCHEME_NAMES)
    for loss in losses:
        assert loss["n"] == 45 == loss["kept"] + sum(loss["dropped"].values()) and loss["error"] is None
        assert loss["kept"] == sum(loss["per_class"].values())
    by_scheme = {loss["scheme"]: loss for loss in losses}
    assert by_scheme["valence-3"]["dropped"] == {"label-missing:valence": 45}
    assert by_scheme["native"]["kept"] == 45


@pytest.mark.parametrize(
    ("scales", "complaint"),
    [
        ("arousl = [1, 7]", "unknown key 'scales.arousl'.*did you mean 'arousal'"),
        ("arousal = 7", "scales.arousal is 7 .expected list"),
        ("arousal = [7, 1]", r"scales.arousal is \[7, 1\] .expected \[lowest, highest\]"),
    ],
)
def test_a_scale_that_is_none_is_refused(tmp_path: Path, scales: str, complaint: str) -> None:
    from ser_bench.corpora.locate import resolve_corpus

    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "t.csv").write_text("path,speaker,emotion\n")
    (folder / "corpus.toml").write_text(f"[scales]\n{scales}\n")
    with pytest.raises(DataError, match=complaint):
        resolve_corpus("mine", tmp_path)
