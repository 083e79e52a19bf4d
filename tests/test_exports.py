"""The board in other tools' hands: spreadsheets, LaTeX, model cards, badges, READMEs, one table of predictions."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ser_bench.cli import main
from ser_bench.errors import DataError, UsageError
from ser_bench.records import PredictionsRef, RunRecord, Score, encode
from ser_bench.report import (
    board_files,
    read_board,
    render_badge,
    render_csv,
    render_latex,
    render_model_index,
    write_reports,
)
from ser_bench.report.board import build
from ser_bench.report.exports import KINDS, parse_kinds, render_exports
from ser_bench.report.latex import tex
from ser_bench.report.model_index import rows_of_models
from ser_bench.report.predictions_table import predictions_table
from ser_bench.report.readme_block import markers, render_block, with_block
from tests import report_records as made_up

BOARDS = ("holdout", "loso", "held_against", "control", "partial", "demo", "cross", "hostile", "ratings")


def ratings() -> list[RunRecord]:
    """Rows that predict numbers, one of them worse than its mean would be."""
    at = made_up.suite("arousal-loso", primary="ccc", targets="values", labels="arousal", classes=(), notes=())
    rows = []
    for name, ccc in (("lda", 0.41), ("knn", -0.12)):
        whole = made_up.record(name, n_test=1438, n_test_speakers=24)
        scores = {"ccc": Score(value=ccc, low=ccc - 0.1, high=ccc + 0.1, method="cluster bootstrap", n_speakers=24)}
        scores |= {"rmse": Score(value=0.7), "pearson": Score(value=None)}
        rows.append(replace(whole, suite=at, scores=scores, confusion=(), per_class=()))
    return rows


def records(name: str) -> list[RunRecord]:
    return ratings() if name == "ratings" else getattr(made_up, name)()


def named(*names: str) -> list[RunRecord]:
    """Ranked rows that bear these names."""
    return [made_up.record(name, of="lda", n_test=1438, n_test_speakers=24) for name in names]


def lines_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def answers(*, scored: bool) -> pa.Table:
    """Two seeds that are right on an utterance per class, each by a speaker of its own."""
    truth = list(made_up.EIGHT) * 2
    columns: dict[str, list[object]] = {
        "seed": [0] * 8 + [1] * 8,
        "fold": ["fold-0"] * 16,
        "side": ["test"] * 16,
        "utterance_id": [f"ravdess:{name}" for name in truth],
        "speaker": [f"ravdess:{i}" for i in range(8)] * 2,
        "gender": ["female", "male"] * 8,
        "truth": [*truth],
        "predicted": [*truth],
    }
    if scored:
        columns |= {f"score_{name}": [float(name == other) for other in truth] for name in made_up.EIGHT}
    return pa.table(columns)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of two rows that are always right, of which only one gives scores."""
    folder = tmp_path / "run-1"
    (folder / "records").mkdir(parents=True)
    (folder / "predictions").mkdir()
    for i, record in enumerate(named("b-row", "a-row")):
        path = f"predictions/{i}.parquet"
        pq.write_table(answers(scored=bool(i)), folder / path)
        digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        right = {name: replace(score, value=1.0) for name, score in record.scores.items()}
        record = replace(record, scores=right, predictions=PredictionsRef(path=path, sha256=digest, n=16))
        (folder / "records" / f"{i}.json").write_bytes(encode(record))
    write_reports(folder, records_of(folder))
    return folder


def records_of(folder: Path) -> list[RunRecord]:
    from ser_bench.records import read_records

    return read_records(folder)


# CSV


@pytest.mark.parametrize("name", BOARDS)
def test_csv_has_a_line_per_row_and_its_numbers_unrounded(name: str) -> None:
    board = build(records(name))
    lines = lines_of(render_csv(board))
    rows = [(table, row) for table in board.tables for row in table.rows]
    assert len(lines) == len(rows)
    for line, (table, row) in zip(lines, rows, strict=True):
        assert None not in line and None not in line.values()
        assert (line["rank"], line["table"]) == ("" if row.rank is None else str(row.rank), table.title)
        for metric in ("uar", "war", "ccc", "rmse"):
            value = row.scores[metric].value if metric in row.scores else None
            assert (float(line[metric]) if line[metric] else None) == value
        assert line["fit_s"] == ("" if row.timing is None else repr(row.timing.fit_s))
    assert b"\r" not in render_csv(board)


def test_csv_says_what_the_board_warns_of() -> None:
    assert {line["notices"] for line in lines_of(render_csv(build(records("demo"))))} == {"synthetic"}
    line = next(line for line in lines_of(render_csv(build(records("control")))) if line["row"] == "lda")
    assert (line["notices"], line["reason"], line["rank"]) == ("control", "declared: shared-speaker", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1"])
def test_csv_text_is_never_a_formula_and_numbers_stay_numbers(name: str) -> None:
    (line,) = lines_of(render_csv(build(named(name))))
    assert line["row"] == f"'{name}"
    assert [line["ccc"] for line in lines_of(render_csv(build(ratings())))] == ["0.41", "-0.12"]


def test_csv_and_badge_say_what_can_not_be_told_apart(run: Path) -> None:
    board = read_board(run, records_of(run))
    first, second = lines_of(render_csv(board))
    assert (first["against"], first["difference"], first["rank"]) == ("", "", "1")
    assert (second["against"], float(second["difference"]), second["rank"]) == ("a-row", 0.0, "1")
    assert "by a-row, sharing its rank with 1 row, tested on" in shown_by(render_badge(board))[1]


# LaTeX

TOKEN = re.compile(
    r"\\[{}$&#_%,]|\\(?:text[a-z]+|ldots)\{\}|\$(?:-|\\(?:pm|times|geq|leq|rightarrow|leftarrow|downarrow))\$"
    r"|\{[-,'`\[*]\}|[A-Za-z0-9 .,;:()/'`+=@!?*\[\]À-ž~-]"
)


@given(st.text() | st.sampled_from(made_up.HOSTILE) | st.text("\\{}$&#_%~^-,'`[]*<>|\""))
def test_escaped_text_holds_nothing_that_latex_would_obey(text: str) -> None:
    escaped = tex(text)
    assert "".join(found[0] for found in TOKEN.finditer(escaped)) == escaped
    assert not escaped.startswith(("[", "*"))
    assert "--" not in escaped.replace("---", "") or re.search("[–—]", text)


@pytest.mark.parametrize("name", BOARDS)
def test_latex_tables_are_whole(name: str) -> None:
    text = render_latex(build(records(name))).decode()
    bare = re.sub(r"\\[{}$&#_%]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    commands = set(re.findall(r"\\([A-Za-z]+)", text.partition("\n\\begin")[2]))
    ours = {"begin", "end", "centering", "caption", "label", "small", "toprule", "midrule", "bottomrule"}
    shown = {"multicolumn", "emph", "ldots", "rightarrow", "pm", "times", "geq", "leq"}
    assert {command for command in commands if not command.startswith("text")} <= ours | shown
    for table in text.split("\\begin{tabular}")[1:]:
        rows = [line for line in table.partition("\\end{tabular}")[0].splitlines() if "&" in line]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} <= {7}


def test_a_caption_says_what_was_tested_how_and_by_which_suite() -> None:
    board = build(records("partial"))
    caption = next(line for line in render_latex(board).decode().splitlines() if "\\caption" in line)
    for said in (
        "Partial: crema-d: 1,621 of 7,442 utterances",
        "Protocol: ",
        "Tested: 400 utterances, 20 speakers.",
        "cluster bootstrap over 20 speakers, 10,000 draws",
        f"version 1, digest {board.suite.digest[:12]}.",
    ):
        assert said in caption


def test_latex_sets_references_apart_and_shows_negative_correlations_with_a_minus() -> None:
    text = render_latex(build(records("loso"))).decode()
    assert re.findall(r"\\emph\{(.+?)\}", text) == ["Not ranked", "Reference"]
    assert text.index("\\emph{Reference}") < text.index("-- & chance")
    numbers = render_latex(build(ratings())).decode()
    assert "& CCC [95\\,\\%] & RMSE & Pearson &" in numbers
    assert "$-$0.120 [$-$0.220, $-$0.020]" in numbers


# Model cards


def card_of(board: made_up.RunRecord, row: str) -> dict[str, object]:
    text = render_model_index(build(board), row).decode()
    assert text.startswith("---\n") and text.endswith("\n---\n")
    return next(yaml.safe_load_all(text))["model-index"][0]


def test_a_model_card_states_scores_data_and_whose_test_rows() -> None:
    card = card_of(records("loso"), "lda")
    ((result,), board) = card["results"], build(records("loso"))
    row = next(row for row in board.tables[0].rows if row.row == "lda")
    assert [(m["type"], m["value"], m.get("args")) for m in result["metrics"]] == [
        ("recall", row.scores["uar"].value, {"average": "macro"}),
        ("accuracy", row.scores["war"].value, None),
        ("f1", row.scores["macro_f1"].value, {"average": "macro"}),
    ]
    assert result["dataset"]["revision"] == board.tables[0].test_fingerprint
    assert result["dataset"]["name"] == "RAVDESS, ravdess-loso v1 (1,438 utterances, 24 speakers)"


def test_a_model_card_has_a_result_per_test_set_and_says_why_it_has_no_rank() -> None:
    results = card_of(records("cross"), "lda")["results"]
    assert sorted(of["dataset"]["type"] for of in results) == [*["crema-d"] * 2, *["ravdess"] * 2, *["tess"] * 2]
    (control,) = card_of(records("control"), "lda")["results"]
    assert control["dataset"]["name"].endswith("; not ranked: declared: shared-speaker; control")
    with pytest.raises(DataError, match=r"no row 'ldo' with scores on this board \(did you mean 'lda'\?\)"):
        render_model_index(build(records("loso")), "ldo")


@pytest.mark.parametrize("name", BOARDS)
def test_the_hubs_own_reader_takes_every_model_card(name: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    board = build(records(name))
    for row in rows_of_models(board):
        card = hub.ModelCard(render_model_index(board, row).decode())
        assert card.data.model_name == row
        assert all(re.fullmatch(r"[\w.-]+", result.dataset_type) for result in card.data.eval_results)


def test_model_cards_of_any_row_have_names_of_their_own_that_stay_in_the_folder(tmp_path: Path) -> None:
    names = ("lda", "LDA", "l/d/a", "l-d-a", "../lda", "", "ё", *made_up.HOSTILE)
    files = render_exports(build(named(*names)), tmp_path, [], ["model-index"])
    assert len({file.casefold() for file in files}) == len(names)
    assert all(re.fullmatch(r"model-index-[A-Za-z0-9._-]{1,60}\.yml", file) for file in files)
    assert "model-index-lda.yml" in files


# Badges


def shown_by(data: bytes) -> tuple[str, str]:
    """What a badge shows, and its title."""
    root = ElementTree.fromstring(data)
    name = "{http://www.w3.org/2000/svg}"
    assert b"href" not in data and b"url(http" not in data
    return " | ".join(of.text or "" for of in root.iter(f"{name}text")), root.findtext(f"{name}title") or ""


def test_the_badge_shows_the_best_ranked_row_with_interval_and_speakers() -> None:
    shown, title = shown_by(render_badge(build(records("loso"))))
    assert shown == "ravdess-loso v1 | UAR .59 [.54, .64] · 24 speakers"
    assert title == "ravdess-loso v1: UAR .59 [.54, .64] by torch-cnn, tested on 1,438 utterances, 24 speakers"
    assert shown_by(render_badge(build(ratings())))[0] == "arousal-loso v1 | CCC .41 [.31, .51] · 24 speakers"


@pytest.mark.parametrize(
    ("name", "value", "title"),
    [
        ("holdout", "not ranked", "3 test speakers can't rank"),
        ("control", "control", "speakers stand on both sides"),
        ("demo", "synthetic", "these numbers say nothing about real speech"),
        ("partial", "partial", "1,621 of 7,442 utterances"),
    ],
)
def test_where_there_is_nothing_to_show_off_the_badge_says_why(name: str, value: str, title: str) -> None:
    shown, told = shown_by(render_badge(build(records(name))))
    assert shown.endswith(f"| {value}")
    assert title in told
    assert b"#0b5fa5" not in render_badge(build(records(name)))


def test_rows_of_other_test_sets_are_no_contest() -> None:
    other = [replace(row, test_fingerprint="b" * 64) for row in named("knn-b")]
    assert shown_by(render_badge(build([*named("lda"), *other])))[0].endswith("| 2 test sets")


@pytest.mark.parametrize("text", [*made_up.HOSTILE, "\uffff & ]]>", '"><script>'])
def test_hostile_names_are_text_in_a_badge(text: str) -> None:
    rows = [replace(row, suite=made_up.suite(text, notes=())) for row in named(text)]
    data = render_badge(build(rows))
    assert {of.tag.rpartition("}")[2] for of in ElementTree.fromstring(data).iter()} == {
        *("svg", "title", "clipPath", "rect", "g", "text")
    }


# Predictions


def test_all_predictions_stand_in_one_table_with_their_rows(run: Path) -> None:
    records = records_of(run)
    data = predictions_table(run, records)
    assert data == predictions_table(run, records[::-1])
    table = pq.read_table(io.BytesIO(data)).to_pydict()
    assert table["row"] == ["a-row"] * 16 + ["b-row"] * 16
    assert table["score_angry"] == [1.0, *[0.0] * 7] * 2 + [None] * 16
    assert table["run_id"][0] == next(record.run_id for record in records if record.row == "a-row")


def test_predictions_that_were_not_scored_are_refused(run: Path) -> None:
    (run / "predictions" / "0.parquet").write_bytes(b"other")
    with pytest.raises(DataError, match=r"0\.parquet: missing, or not the file that was scored"):
        predictions_table(run, records_of(run))


# READMEs


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_block_is_put_between_its_markers_and_every_other_byte_stays(end: str, bom: str) -> None:
    begin, last = markers("run-1")
    before, after = f"{bom}# Ours{end}{end}{begin}{end}", f"{last}{end}  no end of line  "
    data = with_block(f"{before}old{end}{after}".encode(), "run-1", "one\ntwo", where=Path("README.md"))
    assert data.decode() == f"{before}one{end}two{end}{after}"
    assert with_block(data, "run-1", "one\ntwo", where=Path("README.md")) == data


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "found the first nowhere, the second nowhere"),
        ("{0}\n", "found the first once, the second nowhere"),
        ("{1}\n{0}\n", "found them in the other order"),
        ("{0}\n{1}\n{0}\n{1}\n", "found the first 2 times, the second 2 times"),
        ("see {0}\n{1}\n", "found the first nowhere, the second once"),
    ],
)
def test_markers_that_are_not_as_they_should_be_are_told_with_the_lines_to_paste(lines: str, said: str) -> None:
    begin, end = markers("run-1")
    with pytest.raises(DataError, match=said) as caught:
        with_block(lines.format(begin, end).encode(), "run-1", "", where=Path("README.md"))
    assert "README.md: expected, each once on a line of its own and in this order" in str(caught.value)
    assert f"\n{begin}\n{end}\n" in str(caught.value)


@pytest.mark.parametrize("name", BOARDS)
def test_a_block_warns_counts_and_never_holds_a_marker(name: str) -> None:
    board = build(records(name))
    block = render_block(board, 2)
    assert block.startswith("> **" if name in ("control", "partial", "demo", "cross") else "**")
    tables = re.findall(r"(?:^\|.*\n?)+", block, re.MULTILINE)
    assert [len(table.splitlines()) - 2 for table in tables] == [min(2, len(table.rows)) for table in board.tables]
    for table in board.tables:
        assert f"{table.n_test:,} utterances, {table.n_test_speakers} speakers" in block
    assert not re.search(r"^<!--", block, re.MULTILINE)


def test_the_readme_is_kept_up_to_date_or_only_checked(run: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    command = ["report", str(run), "--readme", str(readme), "--rows", "1", "--json"]
    readme.write_text("# Ours\n")
    stored = (run / "leaderboard.md").stat().st_mtime_ns
    assert main(command) == 4
    assert (run / "leaderboard.md").stat().st_mtime_ns == stored
    readme.write_text("# Ours\n{}\nold\n{}\n".format(*markers("run-1")))
    again = readme.read_bytes()
    assert main([*command, "--check"]) == 4
    assert readme.read_bytes() == again
    assert main(command) == 0
    assert "| a-row " in readme.read_text() and "The first 1 of 2 rows." in readme.read_text()
    assert main([*command, "--check"]) == 0


# The verb


def test_exports_lie_beside_the_board_and_are_checked_and_renewed_from_then_on(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.name for path in run.iterdir()}
    assert main(["report", str(run), "--export", "csv,latex,badge,model-index,parquet"]) == 0
    exported = {path.name for path in run.iterdir()} - names
    cards = {"model-index-a-row.yml", "model-index-b-row.yml"}
    assert exported == {"leaderboard.csv", "leaderboard.tex", "badge.svg", "predictions.parquet", *cards}
    whole = {name: (run / name).read_bytes() for name in exported}
    for name in exported:
        (run / name).write_bytes(b"stale")
    (run / "model-index-gone.yml").write_bytes(b"stale")
    capsys.readouterr()
    assert main(["report", "--check", str(run)]) == 4
    said = capsys.readouterr().err
    assert [name for name in (*exported, "model-index-gone.yml") if f"{name} differs" not in said] == []
    assert f"try: rm {run / 'model-index-gone.yml'}" in said
    write_reports(run, records_of(run))
    assert {name: (run / name).read_bytes() for name in exported} == whole
    (run / "model-index-gone.yml").unlink()
    assert main(["report", "--check", str(run)]) == 0


def test_with_a_folder_named_the_run_folder_stays_as_it_is(run: Path, tmp_path: Path) -> None:
    before = {path.name for path in run.iterdir()}
    assert main(["report", str(run), "--export", "json,csv", "--to", str(tmp_path / "there"), "--json"]) == 0
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"leaderboard.csv", "leaderboard.json"}
    assert {path.name for path in run.iterdir()} == before
    assert main(["report", str(run), "--to", str(tmp_path), "--json"]) == 2


def test_predictions_stored_by_another_release_of_pyarrow_are_the_same_rows(run: Path) -> None:
    assert main(["report", str(run), "--export", "parquet", "--json"]) == 0
    path = run / "predictions.parquet"
    pq.write_table(pq.read_table(path), path, compression="none")
    from ser_bench.report.exports import stale_files

    files = {path.name: predictions_table(run, records_of(run))}
    assert stale_files(run, files) == []
    pq.write_table(pq.read_table(path).slice(1), path)
    assert stale_files(run, files) == [path.name]


def test_an_unknown_kind_is_refused_with_the_near_one() -> None:
    with pytest.raises(UsageError, match=r"latx: no such kind \(did you mean 'latex'"):
        parse_kinds("csv,latx")


# The same bytes

RENDERED = """
import hashlib, locale, sys, pathlib, contextlib
from ser_bench.records import read_records
from ser_bench.report import board_files, read_board
from ser_bench.report.exports import KINDS, render_exports
from ser_bench.report.readme_block import render_block
with contextlib.suppress(locale.Error):
    locale.setlocale(locale.LC_ALL, "")
for folder in map(pathlib.Path, sys.argv[1:]):
    records = read_records(folder)
    board = read_board(folder, records)
    kinds = [kind for kind in KINDS if kind != "parquet" or (folder / "predictions").is_dir()]
    files = board_files(board) | render_exports(board, folder, records, kinds)
    files["block"] = render_block(board).encode()
    for name, data in files.items():
        print(folder.name, name, hashlib.sha256(data).hexdigest())
"""


def test_another_locale_time_zone_and_hash_seed_give_the_same_bytes_of_everything(run: Path, tmp_path: Path) -> None:
    folders = [run]
    for name in ("cross", "hostile", "ratings"):
        folders.append(tmp_path / name)
        (folders[-1] / "records").mkdir(parents=True)
        for i, record in enumerate(records(name)):
            (folders[-1] / "records" / f"{i:03}.json").write_bytes(encode(record))
    answers = set()
    # languages that are not installed fall back to C: nothing may follow them, there or not
    for seed, language, zone in (("0", "de_DE.UTF-8", "Asia/Tokyo"), ("4711", "C", "UTC"), ("1", "tr_TR", "GMT+12")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": language, "TZ": zone, "PYTHONUTF8": "0"}
        command = [sys.executable, "-c", RENDERED, *map(str, folders)]
        answers.add(subprocess.run(command, env=env, check=True, capture_output=True, cwd=tmp_path).stdout)
    (answer,) = answers
    assert len(answer.splitlines()) > len(folders) * (len(KINDS) + 2)
    assert board_files(build(records("ratings"))).keys() == {"leaderboard.md", "leaderboard.json", "index.html"}
