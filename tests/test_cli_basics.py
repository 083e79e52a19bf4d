"""Looking around on the command line: results on stdout, errors with a way out on stderr, codes that mean one thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ser_bench import __version__
from ser_bench.cli import VERBS, main
from ser_bench.emotions import SCHEME_NAMES
from ser_bench.registry import entries
from ser_bench.suites import digest, load_suite, suite_names
from tests.processes import REPORT_HEAVY, python, ser_bench

Capture = pytest.CaptureFixture[str]


def answer(capsys: Capture, *words: str) -> str:
    """What a command prints on stdout when all goes well; stderr must stay empty then."""
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def as_json(capsys: Capture, *words: str) -> Any:
    return json.loads(answer(capsys, *words, "--json"))


# list


@pytest.mark.parametrize("kind", ["models", "features", "corpora"])
def test_list_names_everything_that_is_registered(capsys: Capture, kind: Any) -> None:
    listed = as_json(capsys, "list", kind)
    assert list(listed) == [kind]
    assert [entry["name"] for entry in listed[kind]] == list(entries(kind))
    assert all(entry["title"] for entry in listed[kind])


def test_list_names_every_suite_with_its_title(capsys: Capture) -> None:
    listed = as_json(capsys, "list", "suites")["suites"]
    assert [entry["name"] for entry in listed] == suite_names()
    assert {"title", "corpora", "labels"} <= set(listed[0])


def test_list_names_every_scheme_and_native(capsys: Capture) -> None:
    listed = as_json(capsys, "list", "schemes")["schemes"]
    assert [entry["name"] for entry in listed] == [*SCHEME_NAMES]


def test_list_without_a_kind_lists_all_kinds(capsys: Capture) -> None:
    assert list(as_json(capsys, "list")) == ["suites", "models", "corpora", "features", "schemes"]
    text = answer(capsys, "list")
    assert all(word in text for word in ("ravdess-loso", "svm-rbf", "crema-d", "stats180", "seven-drop-calm"))


def test_a_broken_plug_in_does_not_hide_the_columns_of_the_others(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    from ser_bench import registry

    whole = registry.entries("models")
    broken = EntryPoint("aaa", "no_such_module:MODEL", "ser_bench.models")
    monkeypatch.setattr(registry, "entries", lambda kind: {"aaa": broken, **whole})
    listed = as_json(capsys, "list", "models")["models"]
    assert listed[0]["name"] == "aaa" and listed[0]["title"].startswith("broken: model 'aaa'")
    header = answer(capsys, "list", "models").splitlines()[0]
    assert header.split() == ["name", "title", "family", "framework", "input", "predicts"]


def test_listing_everything_imports_no_framework() -> None:
    found = python("-c", f"import ser_bench.cli; ser_bench.cli.main(['list'])\n{REPORT_HEAVY}")
    assert found.stderr.strip() == "[]"


# show


def test_show_suite_states_what_decides_its_scores(capsys: Capture) -> None:
    shown = as_json(capsys, "show", "suite", "demo")
    suite = load_suite("demo")
    assert shown["digest"] == digest(suite)
    assert shown["models"] == [entry.row for entry in suite.entries]
    assert shown["protocol"]["kind"] == "speaker-kfold"
    assert shown["protocol_in_words"].startswith("speaker-disjoint 2-fold")
    assert (shown["labels"], shown["sample_rate_hz"], shown["seeds"]) == ("six", 16000, [0])


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_can_be_shown(capsys: Capture, name: str) -> None:
    assert as_json(capsys, "show", "suite", name)["name"] == name


def test_show_scheme_states_every_fate(capsys: Capture) -> None:
    expected = {
        "name": "seven",
        "classes": ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"],
        "merge": {"calm": "neutral"},
        "drop": [],
        "rest": "drop",
    }
    assert as_json(capsys, "show", "scheme", "seven") == expected
    assert "calm: neutral" in answer(capsys, "show", "scheme", "seven")


def test_show_prints_nested_values_as_lines_and_obeys_the_width(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    shown = answer(capsys, "show", "corpus", "ravdess") + answer(capsys, "show", "suite", "ravdess-loso")
    assert max(len(line) for line in shown.splitlines() if "http" not in line) <= 72
    assert "surprise 192" in shown and "ser-bench fetch ravdess" in shown and "sample_rates_hz:   48000" in shown
    assert not set("{}'") & set(shown)


def test_losses_without_data_and_without_stated_counts_say_so(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SER_BENCH_DATA", raising=False)
    assert main(["show", "corpus", "nemo", "--labels", "four"]) == 3
    said = capsys.readouterr().err
    assert "nobody states the counts per emotion of nEMO" in said and "--labels four --data DIR" in said


def test_show_scheme_native_invents_no_classes(capsys: Capture) -> None:
    assert as_json(capsys, "show", "scheme", "native")["classes"] == ["the corpus's own"]


def test_show_model_states_parameters_and_origin(capsys: Capture) -> None:
    shown = as_json(capsys, "show", "model", "svm-rbf")
    assert (shown["name"], shown["framework"], shown["params"]["C"]) == ("svm-rbf", "scikit-learn", 10.0)
    assert shown["origin"] == f"ser-bench {__version__}"


def test_show_features_states_its_columns(capsys: Capture) -> None:
    shown = as_json(capsys, "show", "features", "stats180")
    assert shown["kind"] == "vector" and shown["columns"].startswith("180: ")


# errors


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("show", "suite", "ravdes-loso"), "unknown suite 'ravdes-loso' (did you mean 'ravdess-loso'?)"),
        (("show", "model", "randomforest"), "unknown model 'randomforest' (did you mean 'random-forest'?)"),
        (("show", "features", "stats18"), "unknown feature set 'stats18' (did you mean 'stats180'?)"),
        (("show", "scheme", "sevn"), "unknown label scheme 'sevn' (did you mean 'seven'?)"),
        (("show", "corpus", "ravdes"), "'ravdes'"),
        (("show", "corpus", "ravdess", "--labels", "sevn"), "unknown label scheme 'sevn' (did you mean 'seven'?)"),
    ],
)
@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_an_unknown_name_exits_2_with_the_nearest_one_and_a_command_on_stderr(
    capsys: Capture, words: tuple[str, ...], complaint: str, json_flag: tuple[str, ...]
) -> None:
    assert main([*words, *json_flag]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ser-bench: error: ") and complaint in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [("show", "suite", "ravdes-loso"), ("show", "model", "svn"), ("show", "scheme", "x")])
def test_an_error_ends_with_the_next_command_to_type(capsys: Capture, words: tuple[str, ...]) -> None:
    main(words)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("  try: ser-bench list ")
    assert main(last.split()[2:]) == 0


def test_debug_shows_the_traceback() -> None:
    found = ser_bench("show", "suite", "nowhere", "--debug")
    assert found.returncode == 1
    assert "Traceback" in found.stderr and "UsageError" in found.stderr


@pytest.mark.parametrize("names", [(), ("demo", "demo-cross")])
def test_show_takes_one_name_where_it_shows_one_thing(capsys: Capture, names: tuple[str, ...]) -> None:
    assert main(["show", "suite", *names]) == 2
    assert f"one name expected, got {len(names)}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("lst",), ("list", "model"), ("show",), ("list", "--wrong")])
def test_a_wrong_command_line_exits_2_with_usage_on_stderr(capsys: Capture, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: ser-bench")


# help and version


@pytest.mark.parametrize("words", [(), *((verb,) for verb in VERBS)])
def test_help_shows_an_example_of_every_verb(capsys: Capture, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text and f"  ser-bench {' '.join(words)}" in text


def test_help_names_every_exit_code(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert [f"{code} " in text.partition("exit codes:")[2] for code in range(6)] == [True] * 6


def test_version_is_the_installed_one() -> None:
    found = ser_bench("--version")
    assert (found.returncode, found.stdout, found.stderr) == (0, f"ser-bench {__version__}\n", "")


# the terminal


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_can_show_any_list(encoding: str) -> None:
    found = ser_bench("list", "schemes", PYTHONIOENCODING=encoding)
    assert (found.returncode, found.stderr) == (0, "")
    listed = json.loads(ser_bench("list", "schemes", "--json", PYTHONIOENCODING=encoding).stdout)
    assert {entry["name"]: entry["merges"] for entry in listed["schemes"]}["seven"] == "calm→neutral"


@pytest.mark.parametrize("words", [("list",), ("list", "schemes")], ids=["long", "short"])
def test_a_reader_that_goes_away_is_no_error(words: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ser_bench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
