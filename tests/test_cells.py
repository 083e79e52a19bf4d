"""What the key of a cell hangs on, and how a fold is counted in a record."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_bench import machine
from ser_bench.cells import Row, _row_digest
from ser_bench.emotions import SCHEMES
from ser_bench.models.contract import ModelSpec
from ser_bench.prepare import Prepared
from ser_bench.protocols import Fold, Split
from ser_bench.scoring import fold_ref
from ser_bench.suites import load_suite
from ser_bench.utterances import UtteranceTable
from tests.tables import changed, made_up


def prepared(table: UtteranceTable, classes: np.ndarray, split: Split) -> Prepared:
    return Prepared(
        table=table,
        classes=classes,
        votes=None,
        scheme=SCHEMES["four"],
        split=split,
        corpora=(),
        roots={},
        audits=(),
    )


def keyed(speakers: Sequence[str]) -> tuple[str, list[str]]:
    """The digest of a fold with speaker a in training, b in dev, c tested; and the sounds in the order of the fit."""
    table, classes = made_up(speakers, [0] * len(speakers))
    for row, speaker in enumerate(speakers):
        table = changed(table, "content_id", row, f"{speaker}{speakers[:row].count(speaker)}")
    train, dev, test = (np.flatnonzero([s == side for s in speakers]).astype(np.int32) for side in "abc")
    fold = Fold(fold_id="f", train=train, dev=dev, test=test)
    digests = prepared(table, classes, Split(folds=(fold,), total=1)).fold_digests
    return digests[0], table.column("content_id")[fold.fitted].tolist()


def test_the_order_in_which_train_and_dev_rows_are_fitted_is_in_the_key() -> None:
    one, rows = keyed("aabbcc")
    other, mixed = keyed("ababcc")  # the same sounds on each side, in the same order
    assert sorted(rows) == sorted(mixed) and rows != mixed and one != other
    again, _ = keyed("aacbbc")  # where test rows stand between them is nothing to the fit
    assert again == one


def test_rows_without_a_speaker_are_no_speaker_of_a_fold() -> None:
    table, classes = made_up(["a", None, "b", None, None], [0] * 5)
    sides = {"train": [0, 1, 2], "dev": [3], "test": [4, 2]}
    fold = Fold(fold_id="f", **{side: np.array(rows, dtype=np.int32) for side, rows in sides.items()})
    ref = fold_ref(prepared(table, classes, Split(folds=(fold,), total=1)), 0, "digest")
    assert (ref.train_speakers, ref.dev_speakers, ref.test_speakers) == (2, 0, 1)


@pytest.mark.parametrize("param", ["build", "import"])
def test_the_source_of_a_users_module_is_in_the_key(
    param: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module is named by a parameter, not by the specification's factory."""
    monkeypatch.syspath_prepend(tmp_path)
    spec = ModelSpec(name="n", title="n", family="network", framework="numpy", factory="ser_bench.models.baselines:X")
    of: dict[str, Any] = {
        "origin": "",
        "features": None,
        "feature_set": None,
        "normalise": "none",
        "grid": {},
        "seeds": (0,),
    }
    row = Row(label="n", spec=spec, params={param: f"theirs_{param}:Net"}, **of)
    keys = []
    for width in (8, 16):
        (tmp_path / f"theirs_{param}.py").write_text(f"WIDTH = {width}")
        importlib.invalidate_caches()
        machine.module_digest.cache_clear()
        keys.append(_row_digest(row, load_suite("ravdess-loso"), None))
    assert keys[0] != keys[1]
