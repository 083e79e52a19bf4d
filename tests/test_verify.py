"""Verifying submissions: every lie that a file can tell is found, and no file does harm while it is looked at."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_bench import submissions
from ser_bench.audio import file_digest
from ser_bench.cli import main
from ser_bench.records import UTTERANCES, FoldRef, RunRecord, Score, decode, encode
from ser_bench.run_audit import run_table
from ser_bench.suites import load_suite
from ser_bench.verify import _label_faults
from tests.small_corpus import write_small_corpus, write_suite, write_table
from tests.small_runs import small_run

Capture = pytest.CaptureFixture[str]
ROW = "001-logreg"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    assert main(["publish", str(small_run().folder), "--to", str(folder), "--json"]) == 0
    return folder / small_run().folder.name


@pytest.fixture
def board(published: Path, tmp_path: Path) -> Path:
    """A published run, to be spoilt."""
    return Path(shutil.copytree(published, tmp_path / "results" / published.name))


def verify(capsys: Capture, *words: object, suite: bool = True) -> tuple[int, Any]:
    capsys.readouterr()
    more = ["--suite", str(small_run().suite)] if suite else []
    code = main(["verify", *map(str, words), *more, "--json"])
    return code, json.loads(capsys.readouterr().out)


def faults(capsys: Capture, *words: object) -> str:
    """The faults of a submission that is not ok."""
    code, told = verify(capsys, *words)
    found = [fault for one in told["submissions"] for fault in one["faults"]]
    assert (code, told["ok"]) == (4, False) and (found or told["error"])
    return "\n".join(found) or str(told["error"])


def record_of(board: Path, row: str = ROW) -> RunRecord:
    return decode((board / "records" / f"{row}.json").read_bytes())


def rewrite(board: Path, row: str = ROW, **changes: Any) -> None:
    record = msgspec.structs.replace(record_of(board, row), **changes)
    (board / "records" / f"{row}.json").write_bytes(encode(record))


def forge(board: Path, change: Callable[[pd.DataFrame], pd.DataFrame], row: str = ROW, **changes: Any) -> None:
    """Change a row's predictions, and let its record say that these were the ones that were scored."""
    record = record_of(board, row)
    assert record.predictions is not None
    path = board / record.predictions.path
    table = pa.Table.from_pandas(change(pd.read_parquet(path)), preserve_index=False)
    pq.write_table(table, path)
    at = msgspec.structs.replace(record.predictions, sha256=file_digest(path), n=table.num_rows)
    rewrite(board, row, predictions=at, **changes)


def packed(folder: Path, to: Path) -> Path:
    """Return a zip of a folder, its name inside."""
    return Path(shutil.make_archive(str(to), "zip", folder.parent, folder.name))


def test_a_published_board_is_what_it_says_as_a_folder_and_as_an_archive(
    board: Path, tmp_path: Path, capsys: Capture
) -> None:
    flat = shutil.make_archive(str(tmp_path / "flat"), "gztar", board)
    for given in (board, board.parent, packed(board, tmp_path / "packed"), flat):
        code, told = verify(capsys, given)
        assert (code, told["ok"]) == (0, True), told
        (found,) = told["submissions"]
        assert found["rows"] == ["chance", "logreg"] and found["suite"] == "small" and found["n_predictions"] == 270
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.tar.gz", "packed.zip", "results"]


def test_a_suite_that_does_not_ship_is_said_to_be_unchecked(board: Path, capsys: Capture) -> None:
    code, told = verify(capsys, board, suite=False)
    assert code == 0 and "folds were not dealt again" in told["submissions"][0]["notes"][0]


def test_the_committed_results_are_what_they_say_by_the_workflows_own_command(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = re.findall(r"run: ser-bench (.+)", (ROOT / ".github" / "workflows" / "verify-results.yml").read_text())
    assert steps == ["verify results", "report --check results/*/"]  # the second is run by tests/test_docs.py
    monkeypatch.chdir(ROOT)
    code, told = verify(capsys, *steps[0].split()[1:], suite=False)
    assert code == 0, [fault for one in told["submissions"] for fault in one["faults"]]
    assert {one["folder"] for one in told["submissions"]} == {
        path.parent.name for path in ROOT.glob("results/*/records")
    }
    assert not any("dealt" in note for one in told["submissions"] for note in one["notes"]), "their suites ship"


# What a record can claim


def better(record: RunRecord) -> dict[str, Any]:
    return {"scores": {**record.scores, "uar": msgspec.structs.replace(record.scores["uar"], value=0.99)}}


def narrower(record: RunRecord) -> dict[str, Any]:
    return {"scores": {**record.scores, "uar": msgspec.structs.replace(record.scores["uar"], low=0.98)}}


def fold(record: RunRecord, **changes: Any) -> tuple[FoldRef, ...]:
    return (msgspec.structs.replace(record.folds[0], **changes), *record.folds[1:])


CLAIMS: dict[str, tuple[Callable[[RunRecord], dict[str, Any]], str]] = {
    "a better score": (better, "uar is 0.99, its predictions give"),
    "a narrower interval": (narrower, "scores.uar.low is 0.98"),
    "a score of its own": (lambda r: {"scores": {**r.scores, "mos": Score(value=5.0)}}, "nobody knows: mos"),
    "a confusion": (lambda r: {"confusion": ((9, 6, 0), (0, 15, 0), (0, 0, 15))}, "confusion[0][0] is 9"),
    "test utterances": (lambda r: {"n_test": 4500}, "n_test is 4500, its predictions give 45"),
    "a fold's size": (lambda r: {"folds": fold(r, n_test=17)}, "17 test utterances stated, 18 in"),
    "a fold's digest": (lambda r: {"folds": fold(r, digest="0" * 16)}, "other folds than the suite deals"),
    "fewer folds": (lambda r: {"folds_total": 2}, "2 folds stated in all, 3 expected"),
    "a seed twice": (lambda r: {"seeds": (0, 0)}, "stand twice"),
    "a seed more": (lambda r: {"seeds": (0, 1)}, "no train rows of seed 1"),
    "a suite": (
        lambda r: {"suite": msgspec.structs.replace(r.suite, digest="0" * 16)},
        "records are of several suites",
    ),
    "other labels": (
        lambda r: {"suite": msgspec.structs.replace(r.suite, labels="six")},
        "states six, here it is native",
    ),
    "a class twice": (
        lambda r: {"suite": msgspec.structs.replace(r.suite, classes=(*r.suite.classes, r.suite.classes[0]))},
        "a class of the record stands twice",
    ),
    "no corpus, so none that is partial": (lambda r: {"corpora": ()}, "small is in its folds, and none of its corpora"),
    "a number that no float holds": (lambda r: {"n_test": 10**400}, "n_test is 1000"),
    "another metric": (lambda r: {"suite": msgspec.structs.replace(r.suite, primary="war")}, "its suite states war"),
    "a declaration": (
        lambda r: {"suite": msgspec.structs.replace(r.suite, declares=("shared-speaker",))},
        "the suite's folds declare []",
    ),
    "another copy": (
        lambda r: {"corpora": (msgspec.structs.replace(r.corpora[0], fingerprint="0" * 32),)},
        "fingerprint 0000",
    ),
    "more speakers": (
        lambda r: {"corpora": (msgspec.structs.replace(r.corpora[0], speakers=50),)},
        "speakers 50 stated",
    ),
    "scores of a failure": (lambda r: {"status": "failed", "predictions": None}, "failed, and has scores"),
    "no predictions": (lambda r: {"predictions": None}, "no predictions"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_record_that_claims_what_its_predictions_do_not_give_is_found_out(
    claim: str, board: Path, capsys: Capture
) -> None:
    changes, said = CLAIMS[claim]
    rewrite(board, **changes(record_of(board)))
    assert said in faults(capsys, board)


@pytest.mark.parametrize("path", ["../../secret.parquet", "/etc/passwd", "predictions/../utterances.parquet", "x"])
def test_predictions_that_lie_elsewhere_are_not_opened(path: str, board: Path, capsys: Capture) -> None:
    record = record_of(board)
    assert record.predictions is not None
    rewrite(board, predictions=msgspec.structs.replace(record.predictions, path=path))
    assert "predictions/NAME.parquet expected" in faults(capsys, board)


def test_a_row_that_stands_twice_is_found(board: Path, capsys: Capture) -> None:
    shutil.copy(board / "predictions" / f"{ROW}.parquet", board / "predictions" / "002-again.parquet")
    record = record_of(board)
    assert record.predictions is not None
    at = msgspec.structs.replace(record.predictions, path="predictions/002-again.parquet")
    (board / "records" / "002-again.json").write_bytes(encode(msgspec.structs.replace(record, predictions=at)))
    found = faults(capsys, board)
    assert "same run_id" in found and "same row" in found


# What predictions can claim


def on_both_sides(frame: pd.DataFrame) -> pd.DataFrame:
    """Let a tested utterance stand among those that were fitted, in the place of another."""
    tested = frame[(frame["side"] == "test") & (frame["fold"] == frame["fold"][0])].iloc[0]
    place = frame.index[(frame["side"] == "train") & (frame["fold"] == frame["fold"][0])][0]
    frame.loc[place, ["utterance_id", "speaker", "truth"]] = tested[["utterance_id", "speaker", "truth"]]
    return frame


def set_first(where: str, /, **cells: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        for name, value in cells.items():
            frame.loc[frame.index[frame["side"] == where][0], name] = value
        return frame

    return change


FORGED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "other answers": (lambda f: f.assign(predicted="sad"), "its predictions give 0.333"),
    "a speaker on both sides": (on_both_sides, "speaks on both sides"),
    "a line twice": (lambda f: pd.concat([f, f.tail(1)]), "1 lines stand twice"),
    "a line less": (lambda f: f.drop(f.index[f["side"] == "test"][0]), "test utterances stated"),
    "a class": (set_first("test", predicted="bliss"), "'bliss', which is no class"),
    "a truth": (set_first("test", truth="sad"), "truth of 1 lines"),
    "a speaker": (set_first("test", speaker="small:nobody"), "speaker of 1 lines"),
    "an utterance": (set_first("test", utterance_id="small:new"), "not in the utterance table"),
    "no answer": (set_first("test", predicted=None), "predicted is null"),
    "a score that is none": (set_first("test", score_angry=float("nan")), "some of its test rows have scores"),
    "an infinite score": (set_first("test", score_angry=float("inf")), "score_angry is infinite"),
    "a side": (lambda f: f.assign(side=f["side"].replace("train", "hidden")), "side 'hidden'"),
    "a fold": (set_first("test", fold="fold-9"), "fold 'fold-9'"),
    "a column less": (lambda f: f.drop(columns="speaker"), "column 'speaker' is missing"),
    "no truth": (lambda f: f.drop(columns="truth"), "column 'truth' is missing"),
    "a column more": (lambda f: f.assign(audio="RIFF"), "unknown column 'audio'"),
    "a score of no class": (lambda f: f.assign(score_bliss=0.5), "'score_bliss' is of no class"),
    "numbers as text": (lambda f: f.assign(seed=f["seed"].astype(str)), "'seed' holds"),
    "text as numbers": (lambda f: f.assign(speaker=1), "'speaker' holds"),
    "a huge cell": (set_first("test", fold="x" * 20_000), "more than 10,000 bytes"),
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_predictions_are_found_though_their_digest_is_right(what: str, board: Path, capsys: Capture) -> None:
    change, said = FORGED[what]
    forge(board, change)
    assert said in faults(capsys, board)


def test_other_folds_than_the_suites_are_found_though_all_else_fits(board: Path, capsys: Capture) -> None:
    def swap(frame: pd.DataFrame) -> pd.DataFrame:  # what is tested in the first fold by what is in the second
        names = {"fold-1": "fold-2", "fold-2": "fold-1"}
        return frame.assign(fold=frame["fold"].replace(names))

    before = record_of(board).folds
    forge(
        board,
        swap,
        folds=tuple(msgspec.structs.replace(f, n_test=n) for f, n in zip(before, _sizes(board, swap), strict=True)),
    )
    assert "rows are not those of the suite's fold" in faults(capsys, board)


def _sizes(board: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> list[int]:
    frame = change(pd.read_parquet(board / "predictions" / f"{ROW}.parquet"))
    tested = frame[frame["side"] == "test"]
    return [int((tested["fold"] == fold.fold_id).sum()) for fold in record_of(board).folds]


def test_predictions_of_another_run_are_not_taken(board: Path, capsys: Capture) -> None:
    shutil.copy(board / "predictions" / "000-chance.parquet", board / "predictions" / f"{ROW}.parquet")
    assert "SHA-256 differs" in faults(capsys, board)


@pytest.mark.parametrize("name", ["predictions/001-logreg.parquet", UTTERANCES, "records/001-logreg.json"])
def test_a_damaged_file_is_named(name: str, board: Path, capsys: Capture) -> None:
    data = (board / name).read_bytes()
    (board / name).write_bytes(data[: len(data) // 2])
    assert name in faults(capsys, board)


def test_a_run_without_its_utterances_can_not_be_verified(board: Path, capsys: Capture) -> None:
    (board / UTTERANCES).unlink()
    assert "utterances.parquet is missing" in faults(capsys, board)


def test_other_names_of_speakers_give_other_folds_and_another_fingerprint(board: Path, capsys: Capture) -> None:
    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(speaker=frame["speaker"].replace({"small:s0": "small:s9"}))

    renamed(pd.read_parquet(board / UTTERANCES)).to_parquet(board / UTTERANCES, index=False)
    for row in ("000-chance", ROW):
        forge(board, renamed, row)
    found = faults(capsys, board)
    assert "small: fingerprint" in found and "SHA-256" not in found


def test_a_class_that_is_not_its_emotions_is_found(board: Path) -> None:
    table, _ = run_table(board)
    classes = pd.Series(table.column("emotion"), index=table.column("utterance_id"))
    suite = load_suite(str(small_run().suite))
    assert list(_label_faults(table, classes, suite)) == []
    classes.iloc[3] = "sad" if classes.iloc[3] != "sad" else "angry"
    assert classes.index[3] in next(_label_faults(table, classes, suite))


def test_scores_on_changed_sound_are_computed_again(tmp_path: Path, capsys: Capture) -> None:
    run = small_run("--stress", "gain:-6,noise:0", "--models", "logreg").folder
    assert main(["publish", str(run), "--to", str(tmp_path), "--json"]) == 0
    board = tmp_path / run.name
    assert verify(capsys, board)[0] == 0
    record = record_of(board, "000-logreg")
    drop = msgspec.structs.replace(record.stress[1].drop, value=0.0625)
    stress = (record.stress[0], msgspec.structs.replace(record.stress[1], drop=drop))
    rewrite(board, "000-logreg", stress=stress)
    assert "stress[1].drop.value is 0.0625" in faults(capsys, board)
    rewrite(board, "000-logreg", stress=record.stress[:1])
    assert "side 'stress:gain:-6' is not the record's" in faults(capsys, board)


def test_a_corpus_at_hand_is_compared(board: Path, tmp_path: Path, capsys: Capture) -> None:
    places = dict(zip(small_run().places[:-3:2], small_run().places[1:-3:2], strict=True))
    code, told = verify(capsys, board, "--data", places["--data"], "--store", tmp_path / "store", "--quiet")
    assert code == 0 and not any("copy" in note for note in told["submissions"][0]["notes"])
    other = tmp_path / "data"
    shutil.copytree(Path(places["--data"]), other)
    text = (other / "small" / "utterances.csv").read_text()
    (other / "small" / "utterances.csv").write_text(text.replace("s0_angry_0.wav,s0,angry", "s0_angry_0.wav,s1,sad"))
    shutil.copy(other / "small" / "s1_sad_1.wav", other / "small" / "s1_sad_0.wav")
    code, told = verify(capsys, board, "--data", other, "--store", tmp_path / "store", "--quiet")
    assert code == 4
    assert [fault for fault in told["submissions"][0]["faults"] if "small:s0_angry_0" in fault and "corpora's" in fault]


def test_a_run_that_hides_its_classes_is_not_taken_for_one_of_numbers(board: Path, capsys: Capture) -> None:
    table = pd.read_parquet(board / UTTERANCES)
    table.drop(columns="class_name").to_parquet(board / UTTERANCES)
    assert "has to have a column 'class_name'" in faults(capsys, board)


def test_folds_of_numbers_are_dealt_again_where_their_scale_is_known(tmp_path: Path, capsys: Capture) -> None:
    data, suite = tmp_path / "data", tmp_path / "numbers.toml"
    rows = write_small_corpus(data / "small")
    write_table(data / "small" / "utterances.csv", [{**row, "arousal": str(1 + at % 5)} for at, row in enumerate(rows)])
    (data / "small" / "corpus.toml").write_text('licence = "CC0-1.0"\n[scales]\narousal = [1, 5]\n')
    write_suite(suite, models='"mean"', more='targets = "values"')
    suite.write_text(suite.read_text().replace('"native"', '"arousal"'))
    places = ("--data", str(data), "--store", str(tmp_path / "store"), "--quiet")
    assert main(["run", "--suite", str(suite), *places, "--out", str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").glob("numbers-*")
    assert main(["publish", str(run), "--to", str(tmp_path / "results"), "--allow-dirty"]) == 0
    board = tmp_path / "results" / run.name

    code, told = verify(capsys, board, "--suite", suite, suite=False)
    assert code == 0 and "nobody here knows the scale" in told["submissions"][0]["notes"][0]
    code, told = verify(capsys, board, "--suite", suite, *places, suite=False)
    assert code == 0 and not any("dealt" in note for note in told["submissions"][0]["notes"])
    rewrite(board, "000-mean", folds=fold(record_of(board, "000-mean"), digest="0" * 16))
    _, told = verify(capsys, board, "--suite", suite, *places, suite=False)
    assert "mean: other folds than the suite deals (fold-1: digest differs)" in told["submissions"][0]["faults"]
    write_table(data / "small" / "utterances.csv", [{**row, "arousal": "3"} for row in rows])
    _, told = verify(capsys, board, "--suite", suite, *places, suite=False)
    assert any(
        fault.startswith("number of 36 utterances is not the corpora's") for fault in told["submissions"][0]["faults"]
    )


# Files that do harm


@pytest.mark.parametrize("name", ["x.json", "model.pkl", "notes.txt", "records/deep/000-a.json", "predictions/a.npz"])
def test_an_unexpected_file_is_refused(name: str, board: Path, capsys: Capture) -> None:
    path = board / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert "no part of a submission" in faults(capsys, board)


def test_links_and_pipes_are_refused_unread(board: Path, capsys: Capture) -> None:
    path = board / "records" / "002-link.json"
    path.symlink_to(board / "records" / f"{ROW}.json")
    assert "is a link or a device" in faults(capsys, board)
    path.unlink()
    os.mkfifo(path)
    assert "is a link or a device" in faults(capsys, board)


def archive(path: Path, members: dict[str, bytes], mode: int | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.external_attr = mode << 16
            zipped.writestr(info, data)
    return path


@pytest.mark.parametrize(
    ("members", "mode", "said"),
    [
        ({"../../records/000-a.json": b"{}"}, None, "refused"),
        ({"/etc/records/000-a.json": b"{}"}, None, "absolute"),
        ({"records/000-a.json": b"/etc/passwd"}, stat.S_IFLNK | 0o777, "is a link"),
        ({"records/000-a.json": b"{}", "RECORDS/000-A.json": b"{}"}, None, "in case only"),
        ({"records/000-a.json": bytes(80 * 2**20)}, None, "would come out of"),
        ({"readme.txt": b"x"}, None, "holds no records/"),
        ({"run/records/000-a.json": b"{}", "virus.exe": b"x"}, None, "is no run's folder"),
    ],
)
def test_an_archive_that_was_made_to_do_harm_is_refused(
    members: dict[str, bytes], mode: int | None, said: str, tmp_path: Path, capsys: Capture
) -> None:
    path = archive(tmp_path / "submission.zip", members, mode)
    assert said in faults(capsys, path)
    assert [one.name for one in tmp_path.iterdir()] == ["submission.zip"]


def test_something_else_than_an_archive_is_named(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "page.zip").write_text("<html>")
    assert "neither a zip nor a tar" in faults(capsys, tmp_path / "page.zip")
    assert verify(capsys, tmp_path / "nothing.zip")[0] == 3


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b'{"run_id": 1}', b"[" * 100_000, b'{"uar": NaN}'])
def test_a_record_that_is_none_is_a_fault(data: bytes, board: Path, capsys: Capture) -> None:
    (board / "records" / f"{ROW}.json").write_bytes(data)
    assert "not a run record" in faults(capsys, board)


def test_a_score_that_is_no_number_is_refused(board: Path, capsys: Capture) -> None:
    path = board / "records" / f"{ROW}.json"
    value = record_of(board).scores["uar"].value
    path.write_text(path.read_text().replace(f'"value": {value}', '"value": NaN'))
    assert "not a run record" in faults(capsys, board)


def test_files_too_large_to_be_honest_are_not_read(
    board: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "MAX_JSON_BYTES", 1000)
    assert "at most 1,000 expected" in faults(capsys, board)


def test_a_parquet_file_that_unfolds_into_too_much_is_not_read(board: Path, capsys: Capture) -> None:
    n = 5_000_000
    buffer = BytesIO()
    names = ("seed", "fold", "side", "utterance_id", "speaker", "truth", "predicted")
    one = pa.table({name: pa.array([0 if name == "seed" else "x" * 9999]) for name in names})
    pq.write_table(one, buffer)
    (board / "predictions" / f"{ROW}.parquet").write_bytes(buffer.getvalue())
    rows = pa.table(
        {
            "seed": pa.array(np.zeros(n, dtype=np.int64)),
            **{
                name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int32)), pa.array(["x"]))
                for name in names[1:]
            },
        }
    )
    pq.write_table(pa.concat_tables([rows] * 5), board / "predictions" / f"{ROW}.parquet")
    assert (board / "predictions" / f"{ROW}.parquet").stat().st_size < 2**20
    assert "made to do harm?" in faults(capsys, board)


def test_texts_that_unfold_into_too_much_are_not_read(
    board: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "MAX_COLUMN_BYTES", 2**20)
    forge(board, lambda frame: pd.concat([frame.assign(speaker="x" * submissions.MAX_TEXT)] * 2))
    assert (board / "predictions" / f"{ROW}.parquet").stat().st_size < 2**17
    assert "its texts unfold into more than 1,048,576 bytes" in faults(capsys, board)


def test_a_gap_whose_control_lies_elsewhere_is_not_followed(tmp_path: Path, capsys: Capture) -> None:
    run = small_run("--gap")
    assert main(["publish", str(run.folder), "--to", str(tmp_path / "results"), "--json"]) == 0
    gap = tmp_path / "results" / run.folder.name / "gap.json"
    stated = json.loads(gap.read_text())
    gap.write_text(json.dumps({**stated, "control_folder": "../../etc"}))
    assert "name of a folder beside" in faults(capsys, tmp_path / "results")
    row = {**stated["rows"][0], "disjoint": 0.1}
    gap.write_text(json.dumps({**stated, "rows": [row]}))
    assert "the predictions give other figures" in faults(capsys, tmp_path / "results")
