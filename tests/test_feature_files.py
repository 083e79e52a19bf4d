"""Features written to files, tables made elsewhere as sets, and sets whose package is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ser_bench import cells, feature_files, registry
from ser_bench.errors import DataError, UsageError
from ser_bench.features import Analysis, FeatureSet
from ser_bench.features.tables import table_of
from ser_bench.store import PackedStore
from ser_bench.suites import ModelEntry, digest, load_suite, parse_suite
from ser_bench.utterances import UtteranceTable
from tests.processes import python, ser_bench
from tests.small_corpus import RATE_HZ, write_small_corpus, write_suite


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    write_small_corpus(folder / "data" / "small", n_speakers=4, n_each=2)
    return folder


def told(root: Path, *words: str, code: int = 0):
    done = ser_bench(
        *words, "--data", str(root / "data"), "--store", str(root / "store"), "--jobs", "1", "--quiet", "--json"
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def made(root):
    """The corpus's mfcc40-mean at the suite's rate, as written by the verb."""
    path = root / "made.parquet"
    rate = ("--sample-rate-hz", str(RATE_HZ))
    answer = told(root, "features", "small", "--set", "mfcc40-mean", *rate, "--out", str(path))
    return path, answer


def table(folder: Path, frame: pd.DataFrame, name: str = "t.csv") -> FeatureSet:
    path = folder / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if name.endswith("tsv") else ",", encoding="utf-8-sig")
    return registry.load("features", str(path))


def values_of(found: FeatureSet, ids: list[str]):
    rows = table_of(found)
    assert rows is not None
    return rows.of(ids)


# The verb


def test_a_file_of_vectors_has_a_row_per_utterance(made):
    path, answer = made
    frame = pd.read_parquet(path)
    assert (answer["rows"], answer["columns"], answer["n_used"]) == (24, 40, 24) == (len(frame), 40, 24)
    assert list(frame.columns) == ["utterance_id", *registry.load("features", "mfcc40-mean").columns]
    assert frame["utterance_id"].iloc[0] == "s0_angry_0" and frame["utterance_id"].is_unique


def test_a_second_file_of_the_same_set_computes_nothing(root, made):
    stored = {path: path.stat().st_mtime_ns for path in (root / "store" / "features").rglob("*.npz")}
    rate = ("--sample-rate-hz", str(RATE_HZ))
    told(root, "features", "small", "--set", "mfcc40-mean", *rate, "--out", str(root / "again.csv"))
    assert {path: path.stat().st_mtime_ns for path in (root / "store" / "features").rglob("*.npz")} == stored
    again = pd.read_csv(root / "again.csv")
    np.testing.assert_array_equal(again.iloc[:, 1:].astype(np.float32), pd.read_parquet(made[0]).iloc[:, 1:])


@pytest.mark.parametrize("at_once", [1, 10, 1000])
def test_blocks_of_any_size_hold_every_frame_once_in_order(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(feature_files, "_VALUES_AT_ONCE", at_once)
    lengths = {"k1": 3, "k2": 1, "k3": 7, "k4": 2}
    store = PackedStore(tmp_path / "store")
    store.write({key: np.full((n, 2), number, dtype=np.float32) for number, (key, n) in enumerate(lengths.items())})
    found = registry.load("features", "waveform16k")
    found = replace(found, columns=("a", "b"))
    ids = np.array(["u1", "u2", "u3", "u4"], dtype=object)
    blocks = list(feature_files._blocks({"x": found}, {"x": store}, list(lengths), ids))
    frame = pd.concat([block for _, block in blocks])
    assert sum(n for n, _ in blocks) == 4 and (len(blocks) == 1) == (at_once == 1000)
    assert frame["utterance_id"].tolist() == [u for u, n in zip(ids, lengths.values(), strict=True) for _ in range(n)]
    assert frame["frame"].tolist() == [n for length in lengths.values() for n in range(length)]
    assert frame["a"].tolist() == [number for number, n in enumerate(lengths.values()) for _ in range(n)]


def test_a_file_of_frames_numbers_them_within_each_utterance(root):
    answer = told(root, "features", "small", "--set", "logmel64", "--out", str(root / "frames.parquet"))
    frame = pd.read_parquet(root / "frames.parquet")
    assert len(frame) == answer["rows"] > 24
    for _, of_one in frame.groupby("utterance_id"):
        assert of_one["frame"].tolist() == list(range(len(of_one)))


def test_columns_of_several_sets_bear_the_set_s_name(root):
    told(root, "features", "small", "--set", "mfcc40-mean", "--set", "stats180", "--out", str(root / "both.csv"))
    columns = list(pd.read_csv(root / "both.csv", nrows=0))
    assert columns[:2] == ["utterance_id", "mfcc40-mean:mfcc_01"] and columns[-1] == "stats180:mel_128"


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--set", "mfcc40-mean", "--out", "made.parquet"], 2, "is there already"),
        (["--set", "mfcc40-mean", "--out", "made.txt"], 2, "in which format?"),
        (["--set", "logmel64", "--set", "stats180", "--out", "x.csv"], 2, "a file of their own"),
        (["--set", "logmel", "--out", "x.csv"], 2, "did you mean 'logmel64'?"),
        (["--set", "stats180", "--sample-rate-hz", "5", "--out", "x.csv"], 2, "between 1000 and 192000"),
    ],
)
def test_a_request_that_can_t_be_met_is_refused_and_nothing_written(root, made, words, code, error):
    before = made[0].read_bytes()
    at = words.index("--out") + 1
    words = [*words[:at], str(root / words[at])]
    answer = told(root, "features", "small", *words, code=code)
    assert error in answer["error"] and answer["out"] is None
    assert made[0].read_bytes() == before and not (root / "x.csv").exists()


def test_a_killed_write_leaves_no_file(root, monkeypatch):
    def broken(blocks, path, suffix, step):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(feature_files, "_write", broken)
    monkeypatch.setattr(feature_files, "extract", lambda *given: ({}, {}))
    row = {"utterance_id": "small:a", "corpus": "small", "path": "a.wav", "content_id": "k"}
    found = SimpleNamespace(corpus=SimpleNamespace(name="small"), root=root, table=UtteranceTable.from_rows([row]))
    workshop = SimpleNamespace(progress=lambda what, total: lambda n: None)
    out = root / "killed" / "x.csv"
    out.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        feature_files.write_features(found, {}, out, workshop, 16000)
    assert list(out.parent.iterdir()) == []


# A table as a set


def test_a_table_written_here_gives_the_predictions_of_the_set_it_was_made_from(root, made):
    suite = write_suite(
        root / "suite.toml", models='"logreg", { model = "logreg", label = "t", features = "made.parquet" }'
    )
    answer = told(root, "run", "--suite", str(suite), "--out", str(root / "runs"))
    out = Path(answer["out"])
    ours, theirs = (json.loads(path.read_text()) for path in sorted((out / "records").glob("*.json")))
    assert ours["predictions"]["sha256"] == theirs["predictions"]["sha256"]
    assert ours["timing"]["latency"] and theirs["timing"]["latency"] is None
    features = theirs["features"]
    assert features["origin"].startswith("table made.parquet, sha256 ") and str(root) not in json.dumps(theirs)
    assert (features["name"], features["n_columns"], features["sample_rate_hz"]) == ("made.parquet", 40, None)
    assert any("its cost is not known" in text for text in theirs["warnings"])
    assert ours["features"]["origin"].startswith("ser-bench ")


def test_a_table_can_be_named_on_the_command_line(root, made):
    suite = write_suite(root / "suite2.toml", models='"logreg"')
    answer = told(
        root, "run", "--suite", str(suite), "--features", str(made[0]), "--dry-run", "--out", str(root / "runs")
    )
    assert answer["plan"]["cells"] == 3


def test_an_utterance_without_a_row_stops_the_run_and_is_named(root, made):
    frame = pd.read_parquet(made[0])
    frame[~frame["utterance_id"].isin(["s1_sad_0", "s2_sad_1"])].to_parquet(root / "less.parquet")
    suite = write_suite(root / "less.toml", models='{ model = "logreg", features = "less.parquet" }')
    answer = told(root, "run", "--suite", str(suite), "--out", str(root / "runs"), code=4)
    assert "less.parquet has no row for 2 of 24 utterances (first: small:s1_sad_0, small:s2_sad_1)" in answer["error"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_ids_may_hold_the_corpus_or_leave_it_out(tmp_path, name):
    frame = pd.DataFrame({"utterance_id": ["007", "c:b"], "x": [1, 2.5], "y[0]": [3, 4]})
    found = table(tmp_path, frame, name)
    assert found.columns == ("x", "y_0")
    assert values_of(found, ["c:b", "c:007"]).tolist() == [[2.5, 4.0], [1.0, 3.0]]


def test_a_table_of_opensmile_is_joined_by_the_file_s_name(tmp_path):
    places = [("/a/one.wav", pd.Timedelta(0), pd.Timedelta("1s")), ("b/two.flac", pd.Timedelta(0), pd.Timedelta("2s"))]
    frame = pd.DataFrame({"F0": [1.0, 2.0]}, index=pd.MultiIndex.from_tuples(places, names=["file", "start", "end"]))
    found = table(tmp_path, frame, "smile.parquet")
    assert found.columns == ("F0",)
    assert values_of(found, ["c:two", "c:one"]).tolist() == [[2.0], [1.0]]


def test_one_row_without_a_corpus_may_not_answer_to_two_utterances(tmp_path):
    found = table(tmp_path, pd.DataFrame({"utterance_id": ["a", "b"], "x": [1.0, 2.0]}))
    with pytest.raises(DataError, match="one row answers to one:a and two:a"):
        values_of(found, ["one:a", "one:b", "two:a"])


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"utterance_id": ["a", "b"], "x": [1.0, np.nan]}, "column 'x': a finite number expected, got nan (b)"),
        ({"utterance_id": ["a", "b"], "x": [1.0, np.inf]}, "column 'x': a finite number expected, got inf (b)"),
        ({"utterance_id": ["a", "b"], "x": [1e300, 1.0]}, "column 'x': a finite number expected, got 1e+300 (a)"),
        ({"utterance_id": ["a", "b"], "x": ["1", "low"]}, "column 'x': a finite number expected, got low (b)"),
        ({"utterance_id": ["a", "a"], "x": [1.0, 2.0]}, "'a' stands twice"),
        ({"utterance_id": ["a", None], "x": [1.0, 2.0]}, "a row has none"),
        ({"name": ["a", "b"], "x": [1.0, 2.0]}, "no column utterance_id (or file)"),
        ({"utterance_id": ["a", "b"]}, "no column of features"),
        (
            {"utterance_id": ["a", "b"], "emotion": [0, 1], "x": [1.0, 2.0]},
            "column 'emotion' says nothing of the sound",
        ),
        ({"utterance_id": ["a", "b"], "Label": [0, 1], "x": [1.0, 2.0]}, "column 'Label' says nothing of the sound"),
        ({"utterance_id": ["a", "b"], "frame": [0, 1], "x": [1.0, 2.0]}, "it holds frames"),
        ({"utterance_id": ["a", "b"], "x[1]": [0, 1], "x_1": [1.0, 2.0]}, "column 'x_1' stands twice"),
    ],
)
def test_a_table_that_can_t_be_used_says_which_column_and_row(tmp_path, columns, error):
    with pytest.raises(DataError) as caught:
        table(tmp_path, pd.DataFrame(columns))
    assert error in str(caught.value) and str(caught.value).startswith("t.csv")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_what_is_no_table_is_said_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR1 nothing")
    with pytest.raises(DataError, match=f"{name}: no table that can be read"):
        registry.load("features", str(tmp_path / name))
    with pytest.raises(UsageError, match="is not there"):
        registry.load("features", str(tmp_path / f"other-{name}"))


def test_a_table_is_keyed_by_its_content_wherever_it_lies(tmp_path):
    (tmp_path / "b").mkdir()
    frame = pd.DataFrame({"utterance_id": ["a"], "x": [1.0]})
    here, there = table(tmp_path, frame), table(tmp_path / "b", frame)
    changed = table(tmp_path, frame.assign(x=2.0))
    keys = [cells.feature_digest("any", found, 16000) for found in (here, there, changed)]
    assert keys[0] == keys[1] != keys[2]
    assert values_of(changed, ["c:a"]) == [[2.0]], "a table that has changed is read again"


def test_a_suite_finds_its_tables_beside_itself_and_its_digest_does_not_hang_on_where(tmp_path):
    digests = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        path = write_suite(folder / "s.toml", models='{ model = "logreg", features = "sub/t.csv" }')
        path.write_text(path.read_text().replace('features = "mfcc40-mean"', 'features = "t.csv"'))
        suite = load_suite(str(path))
        assert suite.features == str(folder / "t.csv")
        assert suite.entries[0].features == str(folder / "sub" / "t.csv")
        digests.add(digest(suite))
    assert len(digests) == 1


def test_children_have_no_row_in_a_table(root, made):
    more = '[[augment]]\nkind = "noise"\nsnr_db = [10, 20]\n'
    suite = write_suite(root / "children.toml", models='{ model = "logreg", features = "made.parquet" }', more=more)
    answer = told(root, "run", "--suite", str(suite), "--out", str(root / "runs"), code=5)
    assert "holds no augmented children: augment = false" in answer["rows"][0]["reason"]


# A package that is missing


def test_a_row_whose_feature_package_is_missing_is_skipped_and_says_what_to_install(monkeypatch):
    suite = parse_suite(
        b'title = "t"\nversion = 1\ncorpora = ["toy-a"]\nlabels = "native"\nmodels = ["logreg"]\n'
        b'[protocol]\nkind = "speaker-kfold"\nfolds = 2\n',
        "t",
        "t",
    )
    entry = ModelEntry(model="logreg", features="egemaps")
    monkeypatch.setattr(cells.importlib.util, "find_spec", lambda name: None if name == "opensmile" else object())
    row = cells.plan_row(entry, suite, device="cpu", canary=None)
    assert row.skip == "needs opensmile: pip install 'ser-bench[opensmile]'"
    monkeypatch.undo()
    assert cells.lacking(registry.load("features", "logmel64")) is None


def test_the_sets_of_optional_packages_are_listed_without_them():
    code = (
        "import sys; sys.modules['opensmile'] = sys.modules['kaldi_native_fbank'] = None; "
        "from ser_bench.cli import main; sys.exit(main(['list', 'features', '--json']))"
    )
    done = python("-c", code)
    names = {entry["name"]: entry for entry in json.loads(done.stdout)["features"]}
    assert names["compare2016"]["columns"] == 6373 and names["kaldi-fbank23"]["columns"] == 23


def test_a_table_computes_nothing(tmp_path):
    found = table(tmp_path, pd.DataFrame({"utterance_id": ["a"], "x": [1.0]}))
    with pytest.raises(ValueError, match="made elsewhere"):
        found(Analysis(np.zeros(10, dtype=np.float32), 16000))
