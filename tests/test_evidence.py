"""What a board says of stored predictions can be computed from them by anybody, and a missing file harms nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from sklearn.metrics import log_loss, recall_score

from ser_bench.records import RunRecord
from ser_bench.report import (
    StoredAnswers,
    board,
    read_board,
    render_html,
    render_json,
    render_markdown,
    render_terminal,
    write_reports,
)
from ser_bench.report.parts import Board, Evidence, Row
from ser_bench.report.terminal import WIDTH
from tests import report_records as made_up

CLASSES = made_up.FOUR
LEVELS = {"lda": 0.9, "svm-rbf": 0.88, "logreg": 0.5, "knn": 0.48, "chance": 0.0}


def stored(folder: Path, *, n_speakers: int = 12, levels: dict[str, float] = LEVELS, seeds: int = 2) -> list[RunRecord]:
    """Write made-up predictions of rows that are right by so much more than chance; return their records."""
    at = made_up.suite("ravdess-loso", classes=CLASSES, notes=())
    random = np.random.RandomState(0)
    n = 16 * n_speakers
    truth, speaker = np.arange(n) % 4, np.arange(n) // 16
    (folder / "predictions").mkdir(parents=True)
    records = []
    for name, level in levels.items():
        frames, uars = [], []
        for seed in range(seeds):
            right = random.random_sample(n) < np.where(speaker == 1, 0.3 * level, level)
            predicted = np.where(right, truth, random.randint(4, size=n))
            p = random.dirichlet(np.ones(4), size=n)
            frames.append(
                pd.DataFrame(
                    {
                        "seed": seed,
                        "fold": "fold-0",
                        "side": "test",
                        "utterance_id": [f"ravdess:{i:05}" for i in range(n)],
                        "speaker": [f"ravdess:{code:02}" for code in speaker],
                        "gender": np.where(speaker % 2, "male", "female"),
                        "truth": np.array(CLASSES)[truth],
                        "predicted": np.array(CLASSES)[predicted],
                        **{f"score_{k}": p[:, i] if name != "svm-rbf" else np.nan for i, k in enumerate(CLASSES)},
                    }
                )
            )
            uars.append(recall_score(truth, predicted, average="macro"))
        made = made_up.record(name, suite=at, n_test=n, n_test_speakers=n_speakers, seeds=tuple(range(seeds)))
        assert made.predictions is not None
        pd.concat(frames).to_parquet(folder / made.predictions.path)
        uar = replace(made.scores["uar"], value=float(np.mean(uars)))
        records.append(replace(made, scores={**made.scores, "uar": uar}))
    return records


def rows_of(built: Board) -> dict[str, Row]:
    return {row.row: row for row in built.tables[0].rows}


def test_rows_that_can_not_be_told_apart_share_a_rank_in_every_file(tmp_path: Path) -> None:
    built = read_board(tmp_path, stored(tmp_path))
    ranks = {row.row: row.rank for row in built.tables[0].rows}
    assert ranks == {"lda": 1, "svm-rbf": 1, "logreg": 3, "knn": 3, "chance": None}
    assert [
        re.sub(" +", " ", line)[:12] for line in render_markdown(built).splitlines() if line.startswith("| 3 ")
    ] == [
        "| 3 | logreg",
        "| 3 | knn | ",
    ]
    assert re.findall(r"^[13] +(\S+)", render_terminal(built), re.MULTILINE) == ["lda", "svm-rbf", "logreg", "knn"]
    assert re.findall(r'<td class="rank number" data-value="(\d*)"', render_html(built)) == ["1", "1", "3", "3", ""]
    data = json.loads(render_json(built))["tables"][0]["rows"]
    assert [row["rank"] for row in data] == [1, 1, 3, 3, None]
    assert "Rows share a rank where none is significantly worse than the first of them." in built.tables[0].notes


def test_differences_are_those_of_the_leader_and_stand_in_every_file(tmp_path: Path) -> None:
    built = read_board(tmp_path, stored(tmp_path))
    rows = rows_of(built)
    assert [name for name, row in rows.items() if row.evidence.difference is None] == ["lda", "chance"]
    for row in list(rows.values())[1:4]:
        of = row.evidence.difference
        assert of is not None and of.against == "lda" and of.p is not None and of.p_holm is not None
        assert of.value == pytest.approx(rows["lda"].scores["uar"].value - row.scores["uar"].value, abs=1e-6)
        assert of.low <= of.value <= of.high and of.p <= of.p_holm <= 1
    of = rows["knn"].evidence.difference
    cell = f"{of.value:.3f} [{of.low:.3f}, {of.high:.3f}]"
    for text in (render_markdown(built), render_terminal(built), render_html(built)):
        assert cell in text
    assert "### Compared with the best row" in render_markdown(built)
    assert max(map(len, render_terminal(built).splitlines())) <= WIDTH


def test_ten_lines_of_scikit_learn_give_the_same_evidence(tmp_path: Path) -> None:
    (lda,) = stored(tmp_path, levels={"lda": 0.6}, seeds=1)
    evidence = rows_of(read_board(tmp_path, [lda]))["lda"].evidence
    frame = pd.read_parquet(tmp_path / lda.predictions.path)
    by_speaker = {
        speaker: recall_score(of.truth, of.predicted, average="macro", labels=sorted(set(of.truth)), zero_division=0)
        for speaker, of in frame.groupby("speaker")
    }
    assert {one.speaker: one.value for one in evidence.speakers} == pytest.approx(by_speaker, abs=1e-6)
    assert evidence.speaker_sd == pytest.approx(np.std(list(by_speaker.values()), ddof=1), abs=1e-6)
    scores = frame[[f"score_{name}" for name in CLASSES]].to_numpy()
    assert evidence.calibration.nll == pytest.approx(log_loss(frame.truth, scores, labels=list(CLASSES)), abs=1e-6)
    assert sum(n for _, _, n in evidence.calibration.bins) == len(frame)
    table = pd.crosstab(frame.truth, frame.predicted, normalize="index")
    for pair in evidence.confused:
        assert pair.share == pytest.approx(table.loc[pair.truth, pair.predicted], abs=1e-6)
    wrong = table.where(~np.eye(4, dtype=bool)).stack().sort_values(ascending=False)
    assert [pair.share for pair in evidence.confused] == pytest.approx(wrong.iloc[:5].tolist(), abs=1e-6)
    first, pair = evidence.examples[0], evidence.confused[0]
    mistakes = frame[(frame.truth == pair.truth) & (frame.predicted == pair.predicted)]
    surest = mistakes.loc[mistakes[f"score_{pair.predicted}"].idxmax()]
    assert (first.utterance_id, first.speaker) == (surest.utterance_id, surest.speaker)
    assert first.probability == pytest.approx(surest[f"score_{pair.predicted}"], abs=1e-6)


def test_the_worst_speaker_stands_first_with_name_and_gender(tmp_path: Path) -> None:
    built = read_board(tmp_path, stored(tmp_path))
    speakers = rows_of(built)["lda"].evidence.speakers
    assert (speakers[0].speaker, speakers[0].gender, speakers[0].n) == ("ravdess:01", "male", 16)
    assert [one.value for one in speakers] == sorted(one.value for one in speakers)
    assert "| lda | `ravdess:01` |" in re.sub(" +", " ", render_markdown(built))


def test_only_probabilities_are_calibrated_and_only_several_seeds_spread(tmp_path: Path) -> None:
    rows = rows_of(read_board(tmp_path, stored(tmp_path)))
    assert rows["svm-rbf"].evidence.calibration is None
    assert all(example.probability is None for example in rows["svm-rbf"].evidence.examples)
    assert rows["lda"].evidence.calibration is not None and rows["knn"].evidence.seed_sd > 0
    (single,) = stored(tmp_path / "single", levels={"lda": 0.6}, seeds=1)
    assert rows_of(read_board(tmp_path / "single", [single]))["lda"].evidence.seed_sd is None


def test_below_six_speakers_differences_are_about_these_speakers_only(tmp_path: Path) -> None:
    built = read_board(tmp_path, stored(tmp_path, n_speakers=5))
    assert "With fewer than 6 test speakers no test over speakers can reach 5 %." in built.tables[0].notes
    assert any("these 5 speakers only: 10,000 swaps of 80 utterances" in note for note in built.tables[0].notes)
    assert rows_of(built)["knn"].rank == 3
    few = read_board(tmp_path / "3", stored(tmp_path / "3", n_speakers=3))
    assert {row.rank for row in few.tables[0].rows} == {None}
    assert rows_of(few)["knn"].evidence.difference.method.startswith("these 3 speakers only")
    assert not any("share a rank" in note for note in few.tables[0].notes)


def test_a_table_of_more_rows_than_its_speakers_can_tell_apart_says_so(tmp_path: Path) -> None:
    built = read_board(tmp_path, stored(tmp_path, n_speakers=6))
    assert {row.rank for row in built.tables[0].rows if row.standing == "ranked"} == {1}
    assert any(
        note.endswith("after the correction the least p that can be had is 0.09.") for note in built.tables[0].notes
    )


def test_a_missing_or_damaged_file_leaves_evidence_empty_and_ranks_by_score(tmp_path: Path) -> None:
    records = stored(tmp_path)
    (tmp_path / records[0].predictions.path).unlink()
    (tmp_path / records[2].predictions.path).write_bytes(b"PAR1 no more")
    built = read_board(tmp_path, records)
    rows = rows_of(built)
    assert rows["lda"].evidence == rows["logreg"].evidence == Evidence()
    assert rows["knn"].evidence.speakers and rows["knn"].evidence.difference is None
    assert [row.rank for row in built.tables[0].rows] == [1, 2, 3, 4, None]
    note = "Nothing was compared, and ranks follow scores: no stored answers of lda, logreg."
    assert note in built.tables[0].notes
    render_html(built), render_markdown(built), render_terminal(built)
    assert set(StoredAnswers.of_run(tmp_path, records)) == {record.run_id for record in records}


def test_a_file_that_answers_for_other_utterances_is_compared_with_none(tmp_path: Path) -> None:
    records = stored(tmp_path)
    path = tmp_path / records[1].predictions.path
    frame = pd.read_parquet(path)
    frame["utterance_id"] = "x" + frame["utterance_id"]
    frame.to_parquet(path)
    built = read_board(tmp_path, records)
    assert "no stored answers of svm-rbf." in " ".join(built.tables[0].notes)
    assert {row.evidence.difference for row in built.tables[0].rows} == {None}


def test_without_answers_the_board_is_what_it_was(tmp_path: Path) -> None:
    records = stored(tmp_path)
    built = board.build(records)
    assert {row.evidence for row in built.tables[0].rows} == {Evidence()}
    assert [row.rank for row in built.tables[0].rows] == [1, 2, 3, 4, None]
    assert "### " not in render_markdown(built)


def test_the_same_predictions_give_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    records = stored(tmp_path)
    write_reports(tmp_path, records)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    write_reports(tmp_path, records[::-1])
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_hostile_speakers_are_inert(tmp_path: Path) -> None:
    records = stored(tmp_path)
    for record in records:
        path = tmp_path / record.predictions.path
        frame = pd.read_parquet(path)
        frame["speaker"] = frame["speaker"].replace("ravdess:01", "<script>alert(1)</script>|\x1b[31m")
        frame.to_parquet(path)
    built = read_board(tmp_path, records)
    assert "`<script>alert(1)</script>\\|\\x1b[31m`" in render_markdown(built)
    assert "<script>alert(1)" not in render_html(built)
    assert "\x1b" not in render_terminal(built) + render_markdown(built) + render_html(built)
