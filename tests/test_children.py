"""Children: for training rows only, never without their parent; before the split only as a declared control."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from ser_bench import worker
from ser_bench.augment import Augment, Gain, Noise
from ser_bench.children import after_split, before_split, check_children, list_children, with_child_rows
from ser_bench.errors import LeakageError, UsageError
from ser_bench.models.contract import Examples, FitContext, Prediction
from ser_bench.protocols import Fold, RandomKFold, SpeakerKFold, check_fold, make_folds
from ser_bench.run_audit import audit_run
from ser_bench.store import PackedStore
from ser_bench.training_rows import with_children, with_repeats
from ser_bench.utterances import UtteranceTable
from tests.small_corpus import write_small_corpus, write_suite
from tests.tables import balanced
from tests.test_protocol_kinds import KINDS, split_of, tables

ENTRIES = (Augment(steps=(Noise(snr_db=10.0),), copies=2), Augment(steps=(Gain(gain_db=3.0),), classes=("b",)))
NAMES = ("a", "b", "c")


def ints(*rows: int) -> np.ndarray:
    return np.array(rows, dtype=np.int32)


# Who is trained on


@pytest.mark.parametrize("name", KINDS)
@given(made=tables())
@settings(max_examples=8, deadline=None)
def test_no_child_stands_on_a_side_without_its_parent(name: str, made: tuple[UtteranceTable, np.ndarray]) -> None:
    table, classes = made
    split, n = split_of(KINDS[name], table, classes), len(table)
    sentences = KINDS[name].sentences
    children = after_split(ENTRIES, table, classes, NAMES, split.folds, disjoint_sentences=sentences)
    parents = np.array([-1] * n + [child.parent for child in children])
    fitted_anywhere = set(np.concatenate([fold.fitted for fold in split.folds]).tolist())
    assert {child.parent for child in children} == fitted_anywhere
    for fold in split.folds:
        judged = set(np.concatenate([fold.dev, fold.test]).tolist())
        fits = [(fold.train, judged), (fold.fitted, set(fold.test.tolist()))]
        fits += [(fit, {*judge.tolist(), *fold.test.tolist()}) for fit, judge in fold.inner]
        for rows, others in fits:
            seen = with_children(rows.astype(np.int64), parents)
            made_from = parents[seen[len(rows) :]].tolist()
            assert seen[: len(rows)].tolist() == rows.tolist()
            assert set(made_from) == set(rows.tolist()) and not set(made_from) & others
            assert sorted(made_from) == sorted(r for r in rows.tolist() for _ in range(2 + (NAMES[classes[r]] == "b")))


def test_check_fold_refuses_a_child_of_a_test_utterance_in_training() -> None:
    table, classes = balanced(4, 3, 2)
    children = list_children(ENTRIES[:1], table, classes, NAMES, ints(0, 6))
    grown = with_child_rows(table, children)
    n, test = len(table), np.arange(6, dtype=np.int32)
    train = np.arange(6, n, dtype=np.int32)
    check_fold(grown, Fold(fold_id="f", train=np.append(train, ints(n + 2, n + 3)), dev=ints(), test=test))
    leaky = Fold(
        fold_id="f",
        train=np.append(train, ints(n)),
        dev=ints(),
        test=test,
        declares=frozenset({"shared-speaker"}),
    )
    told = r"train and test share 1 augmentation parent: made:00000~1\.1-noise in train, made:00000 in test"
    with pytest.raises(LeakageError, match=told):
        check_fold(grown, leaky)


@pytest.mark.parametrize("side", ["dev", "test", "inner"])
def test_a_fit_that_sees_others_children_is_refused(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, classes = balanced(6, 3, 1)
    train, dev, test = (np.arange(at, at + 6, dtype=np.int32) for at in (0, 6, 12))
    fold = Fold(fold_id="f", train=train, dev=dev, test=test, declares=frozenset({"shared-speaker"}))
    if side == "inner":
        fold = replace(fold, dev=ints(), inner=((train[:3], train[3:]),))
    at = {"dev": 6, "test": 12, "inner": 3}[side]
    monkeypatch.setattr("ser_bench.children.with_children", lambda rows, parents: np.append(rows, len(table)))
    children = list_children(ENTRIES[:1], table, classes, NAMES, ints(at))
    with pytest.raises(LeakageError, match="augmentation parent"):
        check_children(table, [fold], children, disjoint_sentences=False)


def test_a_child_is_its_parents_but_for_its_name_its_samples_and_its_length() -> None:
    table, classes = balanced(2, 2, 1)
    child = list_children(ENTRIES, table, classes, NAMES, ints(1))[2]
    assert child.utterance_id == "made:00001~2.1-gain"
    row = with_child_rows(table, [child]).frame.iloc[-1]
    parent = table.frame.iloc[1]
    assert (row["parent"], row["content_id"]) == ("made:00001", child.key)
    changed = {"utterance_id", "content_id", "parent", "duration_s"}
    assert row.drop(list(changed)).equals(parent.drop(list(changed)))


def test_a_childs_key_hangs_on_its_sound_and_on_no_fold_or_neighbour() -> None:
    table, classes = balanced(4, 3, 2)
    every = list_children(ENTRIES, table, classes, NAMES, np.arange(len(table)))
    assert len({child.key for child in every}) == len(every) == 2 * 24 + 8
    one = list_children(ENTRIES, table, classes, NAMES, ints(3))
    assert [child.key for child in one] == [child.key for child in every if child.parent == 3]
    moved = list_children(ENTRIES[::-1], table.rows(np.array([3])), classes[[3]], NAMES, ints(0))
    assert {child.key for child in moved} == {child.key for child in one}
    reseeded = list_children((Augment(steps=ENTRIES[0].steps, seed=1),), table, classes, NAMES, ints(3))
    assert reseeded[0].key not in {child.key for child in every}


def test_an_unknown_class_is_named_with_the_nearest() -> None:
    table, classes = balanced(2, 2, 1)
    entry = Augment(steps=(Noise(snr_db=1.0),), classes=("angri",))
    with pytest.raises(UsageError, match=r"augment, entry 1: classes: 'angri' is no class .*did you mean 'angry'"):
        list_children((entry,), table, classes, ("angry", "sad"), ints(0))


# Oversampling


@given(made=tables())
@settings(max_examples=30, deadline=None)
def test_oversampling_repeats_evenly_up_to_the_most_frequent_class(made: tuple[UtteranceTable, np.ndarray]) -> None:
    _, classes = made
    rows = np.arange(len(classes))
    seen = with_repeats(rows, classes, (0, 1, 2), 5)
    assert np.array_equal(seen[: len(rows)], rows)
    counts = np.bincount(classes[seen], minlength=3)
    assert set(counts[np.bincount(classes, minlength=3) > 0].tolist()) == {int(np.bincount(classes).max())}
    for index in range(3):
        times = np.bincount(seen, minlength=len(rows))[classes == index]
        assert not len(times) or times.max() - times.min() <= 1
    assert np.array_equal(seen, with_repeats(rows, classes, (0, 1, 2), 5))
    assert len(with_repeats(rows, classes, (), 5)) == len(rows)


# The worker


class Noted:
    """A model that notes which rows it was fitted on and asked about; its values tell the row."""

    fits: ClassVar[list[list[int]]] = []
    asked: ClassVar[list[list[int]]] = []
    means: ClassVar[list[float]] = []

    def __init__(self, size: int = 1) -> None:
        self.chosen: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def fit(self, train: Examples, dev: Examples | None, context: FitContext) -> None:
        Noted.fits.append(self.rows(train))
        assert train.classes is not None and train.speakers is not None
        assert train.classes.tolist() == [CLASSES[ORIGIN[row]] for row in self.rows(train)]
        assert train.speakers.tolist() == [ORIGIN[row] // 2 for row in self.rows(train)]

    def predict(self, examples: Examples) -> Prediction:
        Noted.asked.append(self.rows(examples))
        return Prediction(labels=np.zeros(len(examples), dtype=np.int64))

    @staticmethod
    def rows(examples: Examples) -> list[int]:
        if examples.offsets is None:
            return [int(value) for value in examples.values[:, 0]]
        return [int(examples.frames(i)[0, 0]) for i in range(len(examples))]


CLASSES = [0, 1, 0, 1, 0, 0, 0, 1]
PARENTS = np.array([-1] * 8 + [0, 0, 3, 5, 6])
ORIGIN = [*range(8), 0, 0, 3, 5, 6]


def run_cell(folder: Path, **more: Any) -> dict[str, Any]:
    """Run one cell in this process: rows 0-3 train, 4-5 dev, 6-7 test; children 8, 9 (of 0), 10 (3), 11 (5), 12 (6)."""
    Noted.fits.clear()
    Noted.asked.clear()
    sides = {"train_0": np.arange(4), "dev_0": np.arange(4, 6), "test_0": np.arange(6, 8)}
    told = {"classes": np.array(CLASSES)[ORIGIN], "speakers": np.array(ORIGIN) // 2, "corpora": np.zeros(13, dtype=int)}
    np.savez(folder / "data.npz", parents=PARENTS, **told, **sides)
    np.save(folder / "values.npy", np.arange(13, dtype=np.float32)[:, None])
    task = {
        "task": "cell", "factory": "tests.test_children:Noted", "requires": [], "params": {}, "grid": {"size": [1]},
        "uses_dev": False, "soft_targets": False, "normalise": "none", "data": str(folder / "data.npz"), "fold": 0,
        "inner": 0, "primary": "uar", "values": str(folder / "values.npy"), "offsets": None, "columns": ["row"],
        "class_names": ["a", "b"], "seed": 0, "device": "cpu", "threads": 1, "scratch": str(folder),
        "permute": False, "augment": True, "oversample": [], "out": str(folder / "cell.npz"),
    } | more  # fmt: skip
    meta: dict[str, Any] = worker.run_cell(task, lambda done, total: None)["meta"]
    return meta


def test_each_fit_sees_the_children_of_its_own_rows_and_nobody_is_asked_about_one(tmp_path: Path) -> None:
    meta = run_cell(tmp_path)
    assert Noted.fits == [[0, 1, 2, 3, 8, 9, 10], [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]]
    assert Noted.asked == [[4, 5], [0, 1, 2, 3, 4, 5], [6, 7]]
    assert (meta["n_children"], meta["n_repeated"]) == (4, 0)


def test_frames_of_children_are_seen_as_well(tmp_path: Path) -> None:
    np.save(tmp_path / "offsets.npy", np.arange(14))
    run_cell(tmp_path, offsets=str(tmp_path / "offsets.npy"))
    assert Noted.fits[-1] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]


def test_a_row_that_is_not_augmented_sees_utterances_alone(tmp_path: Path) -> None:
    meta = run_cell(tmp_path, augment=False)
    assert Noted.fits == [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5]] and meta["n_children"] == 0


def test_oversampling_repeats_children_too_in_fits_only(tmp_path: Path) -> None:
    meta = run_cell(tmp_path, oversample=[1])
    assert Noted.fits[1][:10] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert sorted(set(Noted.fits[1][10:])) == [1, 3, 10] and meta["n_repeated"] == 4
    assert Noted.asked == [[4, 5], [0, 1, 2, 3, 4, 5], [6, 7]]


def test_permuted_labels_of_children_are_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[int, int]] = []

    def note(self: Noted, train: Examples, dev: Examples | None, context: FitContext) -> None:
        seen.append(dict(zip(self.rows(train), train.targets.tolist(), strict=True)))

    monkeypatch.setattr(Noted, "fit", note)
    for seed in range(8):
        run_cell(tmp_path, permute=True, seed=seed)
    assert any(label[0] != CLASSES[0] for label in seen)
    assert all(label[row] == label[ORIGIN[row]] for label in seen for row in label)


@pytest.mark.parametrize("kind", ["speaker", "corpus", "all"])
def test_transductive_statistics_know_no_child(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[float]] = []
    monkeypatch.setattr(Noted, "fit", lambda self, train, dev, context: None)
    monkeypatch.setattr(Noted, "rows", staticmethod(lambda examples: found.append(examples.values[:, 0].tolist())))
    run_cell(tmp_path, normalise=kind)
    values = np.arange(8.0)
    pooled = values.reshape(4, 2) if kind == "speaker" else values[None]
    normal = ((pooled - pooled.mean(axis=1, keepdims=True)) / pooled.std(axis=1, keepdims=True)).ravel()
    assert found[-1] == pytest.approx(normal[6:].tolist(), abs=1e-6)


# The control


def test_before_the_split_children_are_dealt_apart_from_their_parents_and_tested() -> None:
    table, classes = balanced(5, 3, 4)
    children, grown, of_rows = before_split(ENTRIES[:1], table, classes, NAMES)
    assert len(grown) == 180 and of_rows.tolist() == [*classes, *np.repeat(classes, 2)]
    protocol = RandomKFold(folds=4, declares=("shared-sibling",))
    split = make_folds(protocol, grown, of_rows)
    assert {fold.declares for fold in split.folds} == {frozenset({"shared-speaker", "shared-sibling"})}
    assert sorted(np.concatenate([fold.test for fold in split.folds]).tolist()) == list(range(180))
    parents = np.array([child.parent for child in children])
    apart = sum(np.isin(parents[fold.test[fold.test >= 60] - 60], fold.fitted).sum() for fold in split.folds)
    assert apart > 60
    for honest in (RandomKFold(folds=4), SpeakerKFold(folds=5)):
        for fold in make_folds(honest, grown, of_rows).folds:
            check_fold(grown, fold)  # a family that is not declared to be parted stays together


# From end to end


AUGMENT = """
[[augment]]
kind = "noise"
snr_db = [10, 20]

[[augment]]
kind = "chain"
steps = [{ kind = "speed", factor = [0.9, 1.1] }, { kind = "gain", gain_db = -6 }]
"""
MODELS = '"chance", "logreg", { model = "logreg", label = "bare", augment = false }'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The folder, and what ``run --json`` printed of an augmented suite, the same without, and the control."""
    here = tmp_path_factory.mktemp("augmented")
    write_small_corpus(here / "data" / "small", n_speakers=4, n_each=2)
    write_suite(here / "after.toml", models=MODELS, more='oversample = ["sad"]' + AUGMENT)
    write_suite(here / "plain.toml")
    control = 'kind = "random-kfold"\nfolds = 3\ndeclares = ["shared-sibling"]'
    write_suite(here / "before.toml", protocol=control, more="augment_before_split = true" + AUGMENT)
    found = {}
    for name in ("after", "plain", "before"):
        line = [
            sys.executable,
            "-m",
            "ser_bench",
            "run",
            "--suite",
            f"{name}.toml",
            "--data",
            "data",
            "--store",
            "store",
        ]
        line += ["--out", "out", "--jobs", "1", "--quiet", "--json"]
        done = subprocess.run(line, cwd=here, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return here, found


def records(here: Path, answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        r["row"]: r for r in map(json.loads, map(Path.read_text, (here / answer["out"] / "records").glob("*.json")))
    }


def test_children_are_trained_on_and_counted_as_no_utterance(runs: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    here, found = runs
    after, plain = (records(here, found[name]) for name in ("after", "plain"))
    record = after["logreg"]
    assert [(fold["n_children"], fold["n_repeated"]) for fold in record["fold_scores"]] == [
        (2 * (fold["n_train"] + fold["n_dev"]), 0) for fold in record["folds"]
    ]
    assert record["corpora"][0]["n_used"] == 24 and record["n_test"] == 24
    assert record["folds"] == plain["logreg"]["folds"]
    assert "children per fold, beside its utterances" in " ".join(record["warnings"])
    assert "no child is judged or tested" in " ".join(record["suite"]["notes"])
    assert after["bare"]["warnings"] == ["trained without children"]
    assert after["bare"]["scores"] == plain["logreg"]["scores"]
    assert after["chance"]["scores"] == plain["chance"]["scores"] and not after["chance"]["warnings"]
    names = pq.read_table(here / found["after"]["out"] / record["predictions"]["path"])["utterance_id"].to_pylist()
    assert names and not [name for name in names if "~" in name]


def test_augmented_cells_have_keys_of_their_own_and_others_keep_theirs(
    runs: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    here, _ = runs  # per suite 3 folds: chance is one in both speaker-disjoint ones, as is logreg without children
    assert len(list((here / "out" / "cells").glob("*/*.npz"))) == 3 + 3 + 3 + 2 * 3


def test_children_before_the_split_are_tested_and_never_ranked(runs: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    here, found = runs
    record = records(here, found["before"])["logreg"]
    assert record["suite"]["declares"] == ["shared-sibling", "shared-speaker"]
    assert record["n_test"] == 72 and record["corpora"][0]["n_used"] == 24
    assert "a published mistake: 48 children" in " ".join(record["suite"]["notes"])
    (audited,) = [one for one in audit_run(here / found["before"]["out"]) if "logreg" in one.rows]
    siblings = [finding for finding in audited.findings if finding.kind == "shared-sibling"]
    assert next((finding.declared, finding.sides) for finding in siblings) == (True, ("train", "test"))
    assert not [f for one in audit_run(here / found["after"]["out"]) for f in one.findings if f.severity == "leak"]


def test_no_childs_features_are_computed_twice(runs: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    (folder,) = (runs[0] / "store" / "features").iterdir()
    keys = [key for shard in folder.glob("*.npz") for key in np.load(shard)["keys"].tolist()]
    assert len(keys) == len(set(keys)) == 24 * 3  # one run trained on them, another one tested them
    assert PackedStore(folder).missing(keys) == []
