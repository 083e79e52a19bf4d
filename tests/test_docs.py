"""What the documentation prints is run as printed: a fenced block with a file name after its language is that file."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_bench import augment, cli, model_files, protocols, references, registry, suites
from ser_bench.corpora.contract import PROBLEM_KINDS
from ser_bench.emotions import EMOTIONS, SCHEMES
from ser_bench.records import RunRecord
from ser_bench.utterances import COLUMNS
from tests.small_corpus import RATE_HZ
from tests.test_layers import LAYERS

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PITCH_HZ = {"angry": 150, "happy": 260, "sad": 390, "ANG": 150, "HAP": 260, "SAD": 390}


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def printed_files(page: str) -> dict[str, str]:
    """File name -> content of every block that names one."""
    return {name: content for _, name, content in BLOCK.findall(text(page)) if name}


def commands(page: str) -> list[list[str]]:
    """The words after ``ser-bench`` of every command line in the shell blocks of a page."""
    lines = "".join(block for language, _, block in BLOCK.findall(text(page)) if language == "sh").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("ser-bench ")]


def write_files(files: dict[str, str], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def write_tone(path: Path, speaker: int, pitch_hz: float, take: int, seconds: float = 0.4) -> None:
    """Write a tone whose pitch tells the emotion, its overtone the speaker."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch = pitch_hz + 5 * speaker + 3 * (take % 3)
    tone = np.sin(2 * np.pi * pitch * time_s) + 0.05 * speaker * np.sin(4 * np.pi * pitch * time_s)
    noise = np.random.RandomState(take).randn(len(time_s))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * tone + 0.003 * noise, RATE_HZ, subtype="PCM_16")


def run(words: list[str], folder: Path, **env: str) -> Any:
    """Run a printed command line in ``folder``, with --json and one worker; return the object that it prints."""
    more = ["--json"] + (["--jobs", "1"] if words[0] != "show" else [])
    line = [sys.executable, "-m", "ser_bench", *words, *more]
    env = {**os.environ, "SER_BENCH_STORE": str(folder / "store"), **env}
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# README: a corpus and a suite of one's own


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The README's table, continued in its own manner, its suite, and the answers to its two commands."""
    folder = tmp_path_factory.mktemp("readme")
    files = printed_files("README.md")
    rows = list(csv.DictReader(files["data/mine/utterances.csv"].splitlines()))
    for speaker, emotion, take in product(("anna", "ben", "cem", "dora"), ("angry", "happy", "sad"), range(3)):
        rows.append({"path": f"{speaker}/{emotion}{take}.wav", "speaker": speaker, "emotion": emotion})
    for take, row in enumerate(rows):
        speaker = "abcd".index(row["speaker"][0])
        write_tone(folder / "data/mine" / row["path"], speaker, PITCH_HZ[row["emotion"]], take)
    continued = "".join(f"{row['path']},{row['speaker']},{row['emotion']}\n" for row in rows[3:])
    write_files({**files, "data/mine/utterances.csv": files["data/mine/utterances.csv"] + continued}, folder)
    check, suite = (words for words in commands("README.md") if "mine" in words or "mine.toml" in words)
    return folder, {"check": run(check, folder), "run": run([*suite, "--seeds", "0,1"], folder)}


def test_the_readmes_table_and_suite_make_a_board(mine: tuple[Path, dict[str, Any]]) -> None:
    check, answer = mine[1]["check"], mine[1]["run"]
    assert (check["corpus"], check["ok"], check["n"], check["speakers"]) == ("mine", True, 39, 4)
    assert {row["model"]: row["status"] for row in answer["rows"]} == dict.fromkeys(
        ("chance", "majority", "logreg", "svm-rbf"), "ok"
    )
    assert [row["folds"] for row in answer["rows"]] == [4, 4, 4, 4]
    assert answer["rows"][2]["uar"] > 0.8


def python(script: str, argument: Path, folder: Path) -> str:
    (folder / "printed.py").write_text(printed_files("docs/records.md")[script])
    line = [sys.executable, "printed.py", str(argument)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_printed_recomputation_gives_every_records_scores(mine: tuple[Path, dict[str, Any]]) -> None:
    out = Path(mine[1]["run"]["out"])
    lines = [json.loads(line) for line in python("recompute.py", out, mine[0]).splitlines()]
    records = {path.stem: json.loads(path.read_text()) for path in (out / "records").glob("*.json")}
    assert [line["record"] for line in lines] == sorted(records)
    for line in lines:
        expected = {name: score["value"] for name, score in records[line.pop("record")]["scores"].items()}
        assert line == pytest.approx(expected, abs=1e-12)


def test_the_printed_interval_is_the_records(mine: tuple[Path, dict[str, Any]]) -> None:
    out = Path(mine[1]["run"]["out"])
    stored = json.loads((out / "records" / "000-chance.json").read_text())["scores"]["uar"]
    printed = python("interval.py", out / "predictions" / "000-chance.parquet", mine[0])
    found = {name: float(re.findall(rf"\b{name}=([\d.]+)", printed)[0]) for name in ("value", "low", "high")}
    assert found == pytest.approx({name: stored[name] for name in found}, abs=1e-12)
    assert stored["method"] in printed


def test_the_run_folder_and_the_predictions_are_as_documented(mine: tuple[Path, dict[str, Any]]) -> None:
    import pyarrow.parquet as pq

    out = Path(mine[1]["run"]["out"])
    page = text("docs/records.md")
    for path in (p for p in out.iterdir() if not p.name.startswith(".")):
        assert path.name in page, path
    for place in (p.name for p in out.parent.iterdir() if p != out):
        assert place in page, place
    for name in pq.read_schema(out / "predictions" / "002-logreg.parquet").names:
        assert f"`{'score_CLASS' if name.startswith('score_') else name}`" in page, name


# docs/extending.md: a table with a description, and a package


def test_the_printed_corpus_toml_describes_its_table(tmp_path: Path) -> None:
    write_files({n: c for n, c in printed_files("docs/extending.md").items() if n.startswith("data/")}, tmp_path)
    for speaker, name in enumerate(("anna", "ben")):
        write_tone(tmp_path / f"data/interviews/{name}.wav", speaker, 200, 0, seconds=6)
    check, *shows = (words for words in commands("docs/extending.md") if "interviews" in words)
    written = [run(words, tmp_path) for words in shows if words[0] == "features"]
    assert [(one["n_used"], one["columns"]) for one in written] == [(3, 180), (3, 192)]
    assert all((tmp_path / one["out"]).is_file() for one in written)
    found = run(check, tmp_path)
    assert (found["ok"], found["n"], found["expected"], found["speakers"]) == (True, 3, 3, 2)
    assert found["per_emotion"] == {"angry": 1, "calm": 1, "happy": 1}
    assert found["unselected"] == {"emotion=unklar": 1}
    shown = [run(words, tmp_path) for words in shows if words[0] == "show"]
    assert [one["n_used"] for one in shown] == [3] * 4
    assert all((tmp_path / path).is_file() for one in shown for path in one["files"])
    assert [len(one["files"]) for one in shown] == [0, 1, 2, 2]


@pytest.fixture(scope="module")
def voicelab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The printed package with its printed entry points, importable from here, and the corpus that it describes."""
    folder = tmp_path_factory.mktemp("voicelab")
    files = printed_files("docs/extending.md")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    groups = project["entry-points"].items()
    points = [f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in named.items()) for group, named in groups]
    info = f"{project['name']}-{project['version']}.dist-info"
    files |= {
        "voicelab/__init__.py": "",
        "voicelab/suites/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        f"{info}/entry_points.txt": "\n".join(points),
    }
    write_files(files, folder)
    for speaker, name in enumerate(("F01", "F02", "M03", "M04")):
        for code in ("ANG", "HAP", "SAD"):
            for sentence in (1, 2, 3):
                path = folder / "data/studio" / f"{name}_{code}_{sentence}_c.wav"
                write_tone(path, speaker, PITCH_HZ[code], sentence)
    return folder


def in_package(words: list[str], folder: Path) -> Any:
    return run(words, folder, PYTHONPATH=str(folder))


def test_the_printed_package_brings_its_corpus_features_model_and_suite(voicelab: Path) -> None:
    printed = [words for words in commands("docs/extending.md") if "interviews" not in words]
    show, check, suite, oracle, permuted = printed
    shown = in_package(show, voicelab)
    assert (shown["name"], shown["origin"]) == ("nearest-mean", "voicelab 1.0")
    found = in_package(check, voicelab)
    assert (found["ok"], found["n"], found["expected"], found["problems"]) == (True, 36, 36, [])
    chance, nearest, svm = in_package(suite, voicelab)["rows"]
    assert (nearest["model"], nearest["status"], nearest["features"]) == ("nearest-mean", "ok", "shape6")
    assert (svm["model"], svm["normalisation"], svm["features"]) == ("svm-raw", "none", "mfcc40-mean")
    assert nearest["uar"] > 0.7 > 0.6 > chance["uar"] and nearest["uar_dev"] is not None
    assert in_package(oracle, voicelab)["rows"][0]["uar"] == 1.0
    assert in_package(permuted, voicelab)["rows"][0]["uar"] < 0.6


def test_the_printed_networks_learn_under_the_printed_label_scheme(voicelab: Path) -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("keras") is None:
        pytest.skip("the printed networks need torch and keras: pip install '.[torch,keras]'")
    answer = in_package(["run", "--suite", "studio-valence", "--data", "data"], voicelab)
    network = answer["rows"][2]
    assert (network["model"], network["status"], network["features"]) == ("conv-net", "ok", "logmel64")
    assert network["uar"] > 0.8
    dense = answer["rows"][3]
    assert (dense["model"], dense["status"]) == ("dense-net", "ok") and dense["uar"] > 0.8
    assert answer["corpora"][0]["per_class"] == {"negative": 24, "positive": 12}


# What the pages name is there


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text(page)):
            file, _, anchor = target.partition("#")
            path = (ROOT / page).parent / file if file else ROOT / page
            assert path.exists(), f"{page}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = [re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings]
                assert anchor in slugs, f"{page}: {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_every_printed_command_line_parses_and_names_what_there_is(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def note(args: Any) -> int:
        seen.append(args)
        return 0

    for verb in cli.VERBS:
        monkeypatch.setattr(f"ser_bench.cli.{verb}_verb.main", note)
    for words in commands(page):
        assert cli.main(words) == 0, words
    own = {Path(name).stem for name in printed_files(page)}
    for args in seen:
        suite = getattr(args, "suite", None)
        assert suite is None or Path(suite).stem in own or suite in suites.suite_names(), suite
        for model in (getattr(args, "models", None) or "").split(","):
            assert model in ("", "nearest-mean") or model in registry.entries("models"), model


def test_every_tox_environment_that_is_named_exists() -> None:
    declared = re.findall(r"^\[testenv:(\w+)\]", text("tox.ini"), re.MULTILINE)
    for page in PAGES:
        for name in re.findall(r"tox run -e (\w+)", text(page)):
            assert name in declared, f"{page}: {name}"


def test_the_readmes_two_lines_come_first() -> None:
    first = BLOCK.search(text("README.md"))
    assert first is not None
    lines = [f"python3 -m pip install tox && python3 -m tox run -e {name}" for name in ("main", "tests")]
    assert first[3].splitlines() == lines


def explained(page: str) -> set[str]:
    """Every word of a page that stands in backticks or in a block."""
    quoted = " ".join([*re.findall(r"`([^`\n]+)`", text(page)), *(block for *_, block in BLOCK.findall(text(page)))])
    return set(re.findall(r"[\w-]+", quoted))


def fields(*structs: Any) -> set[str]:
    return {name for struct in structs for name in struct.__struct_fields__}


def test_every_key_of_a_suite_is_explained() -> None:
    parts = (
        augment.Augment,
        suites.ModelEntry,
        suites.OwnScheme,
        suites.Metrics,
        protocols.Dev,
        references.Reference,
        references.Band,
    )
    asked = fields(suites.Suite, *parts)
    assert asked - explained("docs/extending.md") == set()


def test_every_transform_is_explained_with_its_keys() -> None:
    kinds = augment.KINDS
    asked = {*kinds, augment.CHAIN, *fields(augment.Augment, *kinds.values())}
    assert asked - explained("docs/protocols.md") == set()


def test_every_protocol_with_its_keys_every_scheme_and_every_declaration_is_explained() -> None:
    kinds = protocols.Protocol.__args__
    tags = {str(kind.__struct_config__.tag) for kind in kinds}
    asked = fields(*kinds) | tags | set(SCHEMES) | {"native"} | set(protocols.DECLARATIONS)
    assert asked - explained("docs/protocols.md") == set()


def test_every_field_of_a_saved_models_file_is_explained() -> None:
    parts = (model_files.SavedSpec, model_files.SavedFeatures, model_files.Normalisation, model_files.TrainedOn)
    asked = fields(model_files.ModelFile, model_files.Member, model_files.TrainingCorpus, *parts)
    assert asked - explained("docs/records.md") == set()


def test_every_field_of_a_record_is_explained() -> None:
    assert fields(RunRecord) - explained("docs/records.md") == set()


def test_the_page_of_corpora_is_the_one_of_their_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "corpora", "--markdown"]) == 0
    assert capsys.readouterr().out == text("docs/corpora.md"), "ser-bench list corpora --markdown > docs/corpora.md"


def test_the_page_of_feature_sets_is_the_one_of_their_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "features", "--markdown"]) == 0
    assert capsys.readouterr().out == text("docs/features.md"), "ser-bench list features --markdown > docs/features.md"


def test_every_problem_kind_is_explained_in_its_own_words() -> None:
    page = text("docs/json.md")
    for kind, meaning in PROBLEM_KINDS.items():
        assert f"| `{kind}` | {meaning} |" in page


def test_every_column_that_a_users_table_may_have_is_named() -> None:
    ours = {"corpus", "content_id", "duration_s", "sample_rate_hz", "parent", "native_label"}
    assert set(COLUMNS) - ours - explained("docs/extending.md") == set()


def test_the_canonical_emotions_are_listed() -> None:
    assert ", ".join(EMOTIONS) in text("docs/extending.md")
    assert ", ".join(EMOTIONS) in re.sub(r"\s+", " ", text("docs/protocols.md"))


def test_the_table_of_layers_is_the_one_that_is_enforced() -> None:
    lines = re.findall(r"^\| (\d+) \| (.+) \|$", text("CONTRIBUTING.md"), re.MULTILINE)
    stated = {name: int(layer) for layer, names in lines for name in re.findall(r"`(\w+)`", names)}
    assert stated == {name: layer for name, layer in LAYERS.items() if name != "__init__"}


def test_the_readmes_boards_are_those_of_the_stored_records() -> None:
    from ser_bench.records import read_records
    from ser_bench.report import read_board
    from ser_bench.report.readme_block import Readme

    folders = [ROOT / "results" / name for name in re.findall(r"<!-- ser-bench:(\S+):begin", text("README.md"))]
    assert len(folders) == 2
    for folder in folders:
        readme = Readme(ROOT / "README.md", [folder])
        assert not readme.put(folder, read_board(folder, read_records(folder)), None), (
            f"ser-bench report results/{folder.name} --readme README.md"
        )


@pytest.mark.parametrize("run", sorted((ROOT / "results").glob("*/")), ids=lambda run: run.name)
def test_every_published_board_is_what_its_records_and_predictions_give(run: Path) -> None:
    from ser_bench.cli import main

    assert main(["report", "--check", str(run), "--json"]) == 0


def test_the_gaps_that_the_readme_states_are_the_stored_ones() -> None:
    import json

    rows = json.loads((ROOT / "results" / "ravdess-speaker-5fold-b5bdd1fe" / "gap.json").read_text())["rows"]
    gaps = {row["row"]: f"{100 * row['gap']['value']:.1f}" for row in rows}
    assert f"worth {gaps['logreg']} points to logistic regression and {gaps['svm-rbf']} to an RBF SVM" in re.sub(
        r"\s+", " ", text("README.md")
    )


def test_every_finding_of_the_leak_audit_is_explained_in_its_own_words() -> None:
    from ser_bench.leakage import FINDINGS

    page = text("docs/leakage.md")
    for kind, meaning in FINDINGS.items():
        assert f"| `{kind}` | {meaning} |" in page


LEAKS = re.compile(r"<!-- leaks:(\S+):begin -->\n(.*?)<!-- leaks:\1:end -->", re.DOTALL)


@pytest.mark.parametrize(("run", "printed"), LEAKS.findall(text("docs/leaks.md")))
def test_what_a_leak_changes_is_what_the_stored_records_give(run: str, printed: str) -> None:
    from ser_bench.report.leaks import render_leaks

    assert printed == render_leaks(ROOT / "results" / run), f"ser-bench report --leaks results/{run}"
