"""Publishing: what is refused and how that is overridden, boards that grow, and tables that belong to their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ser_bench.cli import main
from ser_bench.records import PUBLICATION, RunRecord, encode, read_publication, read_records
from ser_bench.refusals import OVERRIDES, licence_known
from tests.small_runs import small_run

Capture = pytest.CaptureFixture[str]


def publish(capsys: Capture, run: Path, to: Path, *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["publish", str(run), "--to", str(to), "--json", *words]) == code
    told = json.loads(capsys.readouterr().out)
    return told if code else told["published"]


def change(run: Path, row: str, **changes: Any) -> RunRecord:
    """Write a record of ``run`` anew, with other fields."""
    path = next(path for path in sorted((run / "records").glob("*.json")) if path.stem.endswith(row))
    record = next(record for record in read_records(run) if record.row == row)
    path.write_bytes(encode(msgspec.structs.replace(record, **changes)))
    return read_records(run)[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_published_run_is_a_run_folder_with_its_tables_and_no_more(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    (run / "models").mkdir()
    (run / "models" / "weights").write_text("large")
    published = publish(capsys, run, tmp_path / "results")
    board = tmp_path / "results" / run.name
    assert published == [
        {"folder": str(board), "added": ["chance", "logreg"], "replaced": [], "unchanged": [], "overrides": {}}
    ]
    kept = contents(run)
    expected = {name: data for name, data in kept.items() if not name.startswith(("models/", ".lock"))}
    assert contents(board) == expected
    assert main(["report", "--check", str(board)]) == 0
    assert main(["verify", str(board), "--suite", str(small_run().suite)]) == 0


def test_publishing_a_run_twice_changes_nothing(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().folder
    publish(capsys, run, tmp_path)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert publish(capsys, run, tmp_path)[0]["unchanged"] == ["chance", "logreg"]
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == times


def test_rows_of_another_run_of_the_suite_stand_beside(tmp_path: Path, capsys: Capture) -> None:
    publish(capsys, small_run().folder, tmp_path, "--name", "board")
    more = small_run("--models", "lda").folder
    assert publish(capsys, more, tmp_path, "--name", "board")[0]["added"] == ["lda"]
    board = tmp_path / "board"
    assert [record.row for record in read_records(board)] == ["chance", "logreg", "lda"]
    assert [path.name for path in sorted((board / "predictions").iterdir())][-1] == "002-lda.parquet"
    assert main(["report", "--check", str(board)]) == 0
    assert main(["verify", str(board), "--suite", str(small_run().suite)]) == 0


def test_another_result_of_a_row_replaces_the_first_only_when_told_so(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    publish(capsys, run, tmp_path / "results", "--name", "board")
    change(run, "logreg", created="2030-01-01T00:00:00Z")
    before = contents(tmp_path / "results")
    told = publish(capsys, run, tmp_path / "results", "--name", "board", code=4)
    assert "another result of logreg" in told["error"] and "--replace" in told["error"]
    assert contents(tmp_path / "results") == before, "a refused run leaves everything as it was"
    published = publish(capsys, run, tmp_path / "results", "--name", "board", "--replace")
    assert (published[0]["replaced"], published[0]["unchanged"]) == (["logreg"], ["chance"])
    assert "2030-01-01" in (tmp_path / "results" / "board" / "records" / "001-logreg.json").read_text()


def test_a_row_that_could_not_run_gives_way_to_one_that_did_and_never_takes_its_place(
    tmp_path: Path, capsys: Capture
) -> None:
    run = small_run().copied(tmp_path / "whole")
    lacking = small_run().copied(tmp_path / "lacking")
    change(lacking, "logreg", status="failed", reason="killed", scores={}, predictions=None)
    to = tmp_path / "results"
    publish(capsys, lacking, to, "--allow-partial")
    assert publish(capsys, run, to)[0]["replaced"] == ["logreg"]
    assert read_publication(to / run.name) is None, "what was overridden is no longer so"
    assert publish(capsys, lacking, to, "--allow-partial")[0]["unchanged"] == ["chance", "logreg"]
    assert [record.status for record in read_records(to / run.name)] == ["ok", "ok"]


def refused(run: Path, what: str) -> None:
    """Make a run that is refused for one reason."""
    record = next(record for record in read_records(run) if record.row == "logreg")
    if what == "dirty":
        change(run, "logreg", code=msgspec.structs.replace(record.code, dirty=True))
    elif what == "partial":
        change(run, "logreg", status="failed", reason="killed", scores={}, predictions=None)
        (run / "predictions" / "001-logreg.parquet").unlink()
    elif what == "unknown-licence":
        for row in ("chance", "logreg"):
            corpora = tuple(msgspec.structs.replace(corpus, licence="not stated") for corpus in record.corpora)
            change(run, row, corpora=corpora)
    else:
        change(run, "logreg", chosen={**record.chosen, "checkpoint": "test"})


SAID = {
    "dirty": "uncommitted changes on commit c0ffee made logreg",
    "partial": "failed: logreg",
    "unknown-licence": "small: licence not stated",
    "leak": "logreg: chosen-on-test: checkpoint: chosen on the test side",
}


@pytest.mark.parametrize("what", OVERRIDES)
def test_a_refusal_names_its_override_and_the_override_stands_on_the_board(
    what: str, tmp_path: Path, capsys: Capture
) -> None:
    run = small_run().copied(tmp_path)
    refused(run, what)
    told = publish(capsys, run, tmp_path / "results", code=4)
    assert told["published"] == [] and SAID[what] in told["error"] and f"--allow-{what} " in told["error"]
    assert not (tmp_path / "results").exists()
    others = [f"--allow-{other}" for other in OVERRIDES if other != what]
    publish(capsys, run, tmp_path / "results", *others, code=4)
    assert publish(capsys, run, tmp_path / "results", f"--allow-{what}")[0]["overrides"] == {what: [SAID[what]]}
    board = tmp_path / "results" / run.name
    for name in ("leaderboard.md", "leaderboard.json", "index.html"):
        assert f"published with --allow-{what}: {SAID[what]}" in (board / name).read_text().replace("\\", "")
    assert main(["verify", str(board), "--suite", str(small_run().suite)]) == 0
    (board / PUBLICATION).unlink()
    assert main(["report", "--check", str(board)]) == 4
    assert main(["verify", str(board), "--suite", str(small_run().suite)]) == 4


def test_a_licence_that_one_row_alone_lacks_is_refused(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    (corpus,) = read_records(run)[0].corpora
    change(run, "chance", corpora=(msgspec.structs.replace(corpus, licence=""),))
    assert SAID["unknown-licence"] in publish(capsys, run, tmp_path / "results", code=4)["error"]


def test_a_run_that_lost_a_record_is_no_whole_run(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    (run / "records" / "001-logreg.json").unlink()  # the last one: no gap in the numbers
    assert "it lacks records of its plan" in publish(capsys, run, tmp_path / "results", code=4)["error"]


def test_a_row_of_a_longer_budget_is_not_missing(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    reason = "runs with a longer budget only: --budget full"
    change(run, "logreg", status="skipped", reason=reason, scores={}, predictions=None)
    assert publish(capsys, run, tmp_path / "results")[0]["overrides"] == {}


def test_a_run_whose_predictions_were_touched_is_refused_whatever_is_allowed(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().copied(tmp_path)
    (run / "predictions" / "001-logreg.parquet").write_bytes(b"PAR1")
    everything = [f"--allow-{what}" for what in OVERRIDES]
    assert "SHA-256" in publish(capsys, run, tmp_path / "results", *everything, code=4)["error"]


def test_remarks_on_copies_stay_on_the_board(tmp_path: Path, capsys: Capture) -> None:
    run = small_run().folder
    publish(capsys, run, tmp_path, "--remark", "small: re-packed copy, 22.05 kHz")
    publish(capsys, run, tmp_path)
    assert "> **Copy**: small: re-packed copy, 22.05 kHz" in (tmp_path / run.name / "leaderboard.md").read_text()
    publish(capsys, run, tmp_path, "--remark", "small: 5 of 9 speakers")
    publication = read_publication(tmp_path / run.name)
    assert publication is not None and publication.remarks == {"small": "5 of 9 speakers"}
    assert "no corpus" in publish(capsys, run, tmp_path, "--remark", "smal: x", code=2)["error"]


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".", ""])
def test_a_board_lies_in_a_folder_of_its_own(name: str, tmp_path: Path, capsys: Capture) -> None:
    if name:
        publish(capsys, small_run().folder, tmp_path / "results", "--name", name, code=2)
        assert list(tmp_path.iterdir()) == []


def test_a_board_of_another_suite_is_not_added_to(tmp_path: Path, capsys: Capture) -> None:
    publish(capsys, small_run().folder, tmp_path, "--name", "board")
    other = small_run("--labels", "four").folder
    assert "is a board of suite" in publish(capsys, other, tmp_path, "--name", "board", code=4)["error"]


def test_a_gap_is_published_with_the_control_that_it_is_computed_from(tmp_path: Path, capsys: Capture) -> None:
    run = small_run("--gap")
    published = publish(capsys, run.folder, tmp_path)
    assert len(published) == 2
    control = next(path for path in tmp_path.iterdir() if "-control-" in path.name)
    assert main(["report", "--check", str(tmp_path / run.folder.name), str(control)]) == 0
    capsys.readouterr()
    assert main(["verify", str(tmp_path), "--suite", str(run.suite)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("licence", "known"),
    [("CC-BY-4.0", True), ("research use only", True), ("", False), ("not stated", False), ("Unknown", False)],
)
def test_a_licence_in_any_words_is_one(licence: str, known: bool) -> None:
    assert licence_known(licence) is known
