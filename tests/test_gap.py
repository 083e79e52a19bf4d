"""The protocol gap: control minus disjoint on the same utterances, with speakers as its unit; and the speaker probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ser_bench.cli import main
from ser_bench.errors import DataError, UsageError
from ser_bench.gap import control_suite
from ser_bench.metrics import METRICS
from ser_bench.protocols import Fold, Split
from ser_bench.records import GAP as FILE
from ser_bench.records import read_gap, read_records
from ser_bench.stats import difference, score_with_interval, side_by_side
from ser_bench.suites import load_suite
from ser_bench.worker import probe_speakers
from tests.small_corpus import write_small_corpus, write_suite

Capture = pytest.CaptureFixture[str]


def split(n: int, *tested: list[int], declares: frozenset[str] = frozenset()) -> Split:
    rows = [np.array(test, dtype=np.int32) for test in tested]
    everything = np.arange(n, dtype=np.int32)
    none = np.empty(0, dtype=np.int32)
    folds = tuple(
        Fold(fold_id=str(i), train=np.setdiff1d(everything, t), dev=none, test=t, declares=declares)
        for i, t in enumerate(rows)
    )
    return Split(folds=folds, total=len(folds))


def test_the_control_has_as_many_folds_and_no_dev_set_where_the_suite_has_none() -> None:
    suite = load_suite("ravdess-speaker-5fold")
    control = control_suite(suite, split(10, [0, 1], [2, 3], [4, 5]), 10)
    assert (control.protocol.folds, control.protocol.dev.kind) == (3, "none")  # type: ignore[union-attr]
    assert control.name == "ravdess-speaker-5fold-control"
    assert msgspec.structs.asdict(control)["labels"] == suite.labels


@pytest.mark.parametrize(("n", "n_tested", "folds"), [(24, 3, 8), (24, 12, 2), (240, 2, 10)])
def test_the_control_of_a_hold_out_tests_as_large_a_share(n: int, n_tested: int, folds: int) -> None:
    control = control_suite(load_suite("ravdess-actor-holdout"), split(n, list(range(n_tested))), n)
    assert control.protocol.folds == folds  # type: ignore[union-attr]


def test_a_suite_that_shares_speakers_has_no_gap_to_measure() -> None:
    with pytest.raises(UsageError, match="declares shared-speaker"):
        control_suite(
            load_suite("ravdess-random-5fold"), split(10, [0], [1], declares=frozenset({"shared-speaker"})), 10
        )


def test_a_suite_that_trains_on_a_part_of_its_rows_has_no_comparable_control() -> None:
    with pytest.raises(UsageError, match="trains on a part"):
        control_suite(load_suite("ravdess-fewshot8"), split(10, [0, 1], [2, 3]), 12)


def test_the_gap_is_control_minus_disjoint_with_its_sign_and_an_interval_over_speakers() -> None:
    disjoint = np.array([[[[2, 2], [2, 2]], [[1, 3], [2, 2]], [[2, 2], [1, 3]]]], dtype=float)
    shared = np.array([[[[4, 0], [0, 4]], [[3, 1], [0, 4]], [[4, 0], [1, 3]]]], dtype=float)
    expected = float(METRICS["uar"](shared.sum(axis=1))[0] - METRICS["uar"](disjoint.sum(axis=1))[0])
    assert expected == pytest.approx(10 / 24)
    for one, other, sign in ((disjoint, shared, 1), (shared, disjoint, -1)):
        found = score_with_interval(side_by_side(one, other), difference(METRICS["uar"]), lowest=-1.0)
        assert found.value == pytest.approx(sign * expected)
        assert found.low is not None and found.high is not None
        assert found.low < sign * expected < found.high and (found.low < 0 if sign < 0 else found.high > 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with ``--gap``; its out folder holds the control's too."""
    folder = tmp_path_factory.mktemp("gap")
    write_small_corpus(folder / "data" / "small", n_speakers=6)
    suite = write_suite(folder / "small.toml", models='"chance", "logreg", "knn"')
    words = ["run", "--suite", str(suite), "--data", str(folder / "data"), "--quiet", "--jobs", "2", "--gap"]
    assert main([*words, "--store", str(folder / "store"), "--out", str(folder / "out")]) == 0
    found = [path.parent for path in (folder / "out").glob(f"*/{FILE}")]
    assert len(found) == 1
    return found[0]


def test_a_run_with_gap_stores_one_row_per_model_that_learns(run: Path) -> None:
    gap = read_gap(run, read_records(run))
    assert gap is not None
    assert [row.row for row in gap.rows] == ["logreg", "knn"]
    assert gap.n_speakers == 6 and "random 3-fold" in gap.control
    for row in gap.rows:
        assert row.gap.value == pytest.approx(row.control - row.disjoint)
        assert row.gap.method == "delete-one-speaker jackknife, t(5)"
        assert row.speaker_probe is not None and row.speaker_probe > 0.5, "the speakers' timbres differ"


def test_the_gap_compares_the_same_utterances(run: Path) -> None:
    import pandas as pd

    record = next(r for r in read_records(run) if r.row == "knn")
    gap = read_gap(run, [record])
    assert gap is not None and [row.run_id for row in gap.rows] == [record.run_id]
    assert record.predictions is not None
    frame = pd.read_parquet(run / record.predictions.path).query("side == 'test'")
    confusion = pd.crosstab(frame["truth"], frame["predicted"], dropna=False).to_numpy().astype(float)
    assert gap.rows[0].disjoint == pytest.approx(float(METRICS["uar"](confusion)))


def test_the_gap_stands_on_the_board_in_every_form_and_is_checked(run: Path, capsys: Capture) -> None:
    gap = read_gap(run, read_records(run))
    assert gap is not None
    shown = f"{gap.rows[0].gap.value:+.3f}"
    for name in ("leaderboard.md", "index.html"):
        page = (run / name).read_text()
        assert "What shared speakers are worth" in page and shown in page
    assert json.loads((run / "leaderboard.json").read_text())["gap"]["rows"][0]["row"] == "logreg"
    assert main(["report", "--check", str(run)]) == 0
    text = (run / FILE).read_text()
    (run / FILE).write_text(
        text.replace('"disjoint": 0.', '"disjoint": 0.1', 1).replace('"disjoint": 1.', '"disjoint": 0.9')
    )
    assert main(["report", str(run)]) == 0 and main(["report", "--check", str(run)]) == 4, "no prediction gives that"
    (run / FILE).write_text(text)
    assert main(["report", str(run)]) == 0
    (run / FILE).rename(run / "kept")
    assert main(["report", "--check", str(run)]) == 4, "the board holds figures that nothing stored gives"
    (run / "kept").rename(run / FILE)
    capsys.readouterr()


def test_the_controls_board_is_written_and_ranks_nothing(run: Path) -> None:
    boards = [json.loads(path.read_text()) for path in run.parent.glob("*-control-*/leaderboard.json")]
    assert [board["suite"]["declares"] for board in boards] == [["shared-speaker"]]
    assert all(row["rank"] is None for table in boards[0]["tables"] for row in table["rows"])


def test_the_same_command_again_does_nothing_twice(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **more: Any) -> None:
        raise AssertionError("a stored probe is computed again")

    monkeypatch.setattr("ser_bench.prepare.Workshop.submit", never)
    before = (run / FILE).read_bytes()
    root = run.parents[1]
    words = ["run", "--suite", str(root / "small.toml"), "--data", str(root / "data"), "--quiet", "--gap"]
    assert main([*words, "--store", str(root / "store"), "--out", str(run.parent)]) == 0
    assert (run / FILE).read_bytes() == before


def test_a_damaged_gap_file_is_said_and_not_shown(run: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"suite": 1}')
    with pytest.raises(DataError, match="no stored gap"):
        read_gap(tmp_path, [])


def test_a_canary_has_no_gap(capsys: Capture) -> None:
    assert main(["run", "--suite", "demo", "--gap", "--canary", "permuted"]) == 2
    assert "--gap" in capsys.readouterr().err


@pytest.mark.parametrize(("told", "low", "high"), [(True, 0.95, 1.0), (False, 0.0, 0.45)])
def test_the_probe_finds_speakers_where_the_features_tell_them(
    tmp_path: Path, told: bool, low: float, high: float
) -> None:
    state = np.random.RandomState(0)
    speakers = np.repeat(np.arange(5), 20)
    values = state.randn(100, 8) + (4 * np.eye(5, 8)[speakers] if told else 0)
    np.save(tmp_path / "values.npy", values.astype(np.float32))
    np.savez(tmp_path / "data.npz", speakers=speakers, part=np.tile(np.arange(5), 20))
    task: dict[str, Any] = {"values": str(tmp_path / "values.npy"), "offsets": None}
    answer = probe_speakers({**task, "data": str(tmp_path / "data.npz")}, lambda done, total: None)
    assert low <= answer["uar"] <= high


def test_the_probe_pools_frames_over_time(tmp_path: Path) -> None:
    state = np.random.RandomState(0)
    speakers = np.repeat(np.arange(3), 10)
    frames = state.randn(300, 4) + 3 * np.eye(3, 4)[np.repeat(speakers, 10)]
    np.save(tmp_path / "values.npy", frames.astype(np.float32))
    np.save(tmp_path / "offsets.npy", np.arange(31) * 10)
    np.savez(tmp_path / "data.npz", speakers=speakers, part=np.tile(np.arange(5), 6))
    task = {name: str(tmp_path / f"{name}.npy") for name in ("values", "offsets")}
    answer = probe_speakers({**task, "data": str(tmp_path / "data.npz")}, lambda done, total: None)
    assert answer["uar"] > 0.95
