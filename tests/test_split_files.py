"""Split files: our own and other people's are read as they are, and published speaker sets come out exactly."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ser_bench import registry
from ser_bench.errors import DataError, LeakageError, UsageError
from ser_bench.protocols import Dev, Listing, SplitFile, make_folds, read_split
from ser_bench.suites import Suite, digest, load_suite
from ser_bench.utterances import UtteranceTable
from tests.tables import made_up


def complete(corpus: str, speakers: Sequence[str]) -> tuple[UtteranceTable, np.ndarray]:
    """A complete made-up copy: every speaker says four classes twice."""
    return made_up([s for s in speakers for _ in range(8)], [k % 4 for _ in speakers for k in range(8)], corpus=corpus)


def by_speaker(suite: str, corpus: str, speakers: Sequence[str]) -> list[dict[str, list[str]]]:
    """The speakers of each side of each fold of a bundled suite."""
    table, classes = complete(corpus, speakers)
    found = []
    for fold in make_folds(load_suite(suite).protocol, table, classes).folds:
        names = {side: set(table.column("speaker")[getattr(fold, side)]) for side in ("train", "dev", "test")}
        found.append({side: sorted(name.partition(":")[2] for name in of) for side, of in names.items()})
    return found


ACTORS = [f"{n:02d}" for n in range(1, 25)]
CREMA_D = [str(n) for n in range(1001, 1092)]
SUBESCO = [f"{sex}_{n:02d}" for sex in "FM" for n in range(1, 11)]


@pytest.mark.parametrize(
    ("suite", "corpus", "speakers", "tested"),
    [
        ("ravdess-actor-holdout", "ravdess", ACTORS, ["22 23 24"]),
        ("ravdess-actor-holdout-random-dev", "ravdess", ACTORS, ["22 23 24"]),
        ("ravdess-nkululeko", "ravdess", ACTORS, ["21 22 23 24"]),
        (
            "ravdess-emobox-6fold",
            "ravdess",
            ACTORS,
            ["01 11 20 21", "04 10 12 14", "08 09 19 23", "03 05 07 24", "02 15 16 18", "06 13 17 22"],
        ),
        ("emovo-emobox-6fold", "emovo", ["f1", "f2", "f3", "m1", "m2", "m3"], ["f2", "m3", "m2", "f3", "f1", "m1"]),
        ("cafe-emobox-3fold", "cafe", ACTORS[:12], ["01 07 08 10", "02 04 09 12", "03 05 06 11"]),
        (
            "subesco-emobox-5fold",
            "subesco",
            SUBESCO,
            [
                "F_03 M_03 M_08 M_09",
                "F_01 F_04 F_10 M_07",
                "F_06 F_08 M_05 M_06",
                "F_05 F_07 F_09 M_04",
                "F_02 M_01 M_02 M_10",
            ],
        ),
        (
            "crema-d-emosuperb-5fold",
            "crema-d",
            CREMA_D,
            [
                " ".join(map(str, range(first, last + 1)))
                for first, last in ((1037, 1054), (1001, 1018), (1073, 1091), (1055, 1072), (1019, 1036))
            ],
        ),
        ("savee-loso", "savee", ["DC", "JE", "JK", "KL"], ["DC", "JE", "JK", "KL"]),
        (
            "emodb-loso",
            "emodb",
            ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"],
            ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"],
        ),
        ("tess-loso", "tess", ["OAF", "YAF"], ["OAF", "YAF"]),
    ],
)
def test_the_published_test_speakers_come_out_exactly(
    suite: str, corpus: str, speakers: Sequence[str], tested: list[str]
) -> None:
    folds = by_speaker(suite, corpus, speakers)
    assert [" ".join(fold["test"]) for fold in folds] == tested
    for fold in folds:
        assert sorted({*fold["train"], *fold["dev"], *fold["test"]}) == sorted(speakers)


def test_nkululekos_train_and_dev_actors_come_out_exactly() -> None:
    (fold,) = by_speaker("ravdess-nkululeko", "ravdess", ACTORS)
    assert (fold["train"], fold["dev"]) == ([*ACTORS[:15], "18"], ["16", "17", "19", "20"])


def test_emo_superbs_dev_session_is_the_one_after_the_tested_one() -> None:
    folds = by_speaker("crema-d-emosuperb-5fold", "crema-d", CREMA_D)
    assert [fold["dev"][0] for fold in folds] == ["1055", "1019", "1001", "1073", "1037"]
    assert sorted((len(f["train"]), len(f["dev"]), len(f["test"])) for f in folds) == [
        (54, 18, 19),
        (54, 19, 18),
        (55, 18, 18),
        (55, 18, 18),
        (55, 18, 18),
    ]


@pytest.mark.parametrize(
    ("corpus", "speakers"),
    [
        ("ravdess", ACTORS),
        ("cafe", ACTORS[:12]),
        ("emodb", ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"]),
        ("emovo", ["f1", "f2", "f3", "m1", "m2", "m3"]),
    ],
)
def test_serabs_splits_are_the_shuffled_speakers_cut_at_60_and_80_percent(corpus: str, speakers: list[str]) -> None:
    shuffled = sorted(speakers)
    np.random.RandomState(0).shuffle(shuffled)
    first, second = int(0.6 * len(shuffled)), int((0.6 + 0.2) * len(shuffled))
    (fold,) = by_speaker(f"{corpus}-serab", corpus, speakers)
    assert fold == {
        "train": sorted(shuffled[:first]),
        "dev": sorted(shuffled[first:second]),
        "test": sorted(shuffled[second:]),
    }


def test_every_bundled_split_file_belongs_to_a_suite_and_lists_no_speaker_on_two_sides() -> None:
    folder = Path(__file__).parents[1] / "benchmarks" / "suites"
    for path in folder.glob("*.csv"):
        listed = load_suite(path.stem).protocol
        assert isinstance(listed, SplitFile) and listed.file == path.name
        for sides in listed.listed.values():
            names = [name for of in sides.values() for name in of]
            assert len(names) == len(set(names)), path


def test_the_sessions_of_iemocap_and_msp_improv_are_the_folds() -> None:
    for suite, speakers in (
        ("iemocap-sessions", [(f"Ses0{n}{sex}", str(n)) for n in range(1, 6) for sex in "FM"]),
        ("msp-improv-sessions", [(f"{sex}0{n}", f"0{n}") for n in range(1, 7) for sex in "FM"]),
    ):
        table, classes = complete("made", [name for name, _ in speakers])
        session = [of for _, of in speakers for _ in range(8)]
        table = UtteranceTable.from_frame(table.frame.assign(session=session))
        folds = make_folds(load_suite(suite).protocol, table, classes).folds
        tested = [sorted({s.partition(":")[2] for s in table.column("speaker")[fold.test]}) for fold in folds]
        assert tested == [[name for name, of in speakers if of == each] for each in sorted({s for _, s in speakers})]
        assert all(len(set(table.column("session")[fold.dev])) == 1 for fold in folds)


# Our own format


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def suite_with(folder: Path, protocol: str) -> Suite:
    text = 'title = "t"\nversion = 1\ncorpora = ["ravdess"]\nlabels = "eight"\nmodels = ["chance"]\n[protocol]\n'
    return load_suite(str(write(folder / "mine.toml", text + protocol)))


def test_a_split_file_lies_beside_its_suite_and_decides_the_suites_digest(tmp_path: Path) -> None:
    write(tmp_path / "mine.csv", "fold,side,speaker\n1,test,a\n1,dev,b\n2,test,b\n")
    protocol = 'kind = "split-file"\nfile = "mine.csv"\nrest = "train"\n'
    suite = suite_with(tmp_path, protocol)
    assert isinstance(suite.protocol, SplitFile)
    assert (suite.protocol.by, suite.protocol.listed) == (
        "speaker",
        {"1": {"test": ("a",), "dev": ("b",)}, "2": {"test": ("b",)}},
    )
    write(tmp_path / "mine.csv", "fold,side,speaker\n1,test,a\n1,dev,c\n2,test,b\n")
    assert digest(suite_with(tmp_path, protocol)) != digest(suite)


def test_a_bundled_split_file_is_known_by_its_name_in_any_suite(tmp_path: Path) -> None:
    suite = suite_with(tmp_path, 'kind = "split-file"\nfile = "ravdess-nkululeko.csv"\n')
    assert suite.protocol == load_suite("ravdess-nkululeko").protocol


@pytest.mark.parametrize(
    ("protocol", "complaint"),
    [
        ('kind = "split-file"\nfile = "gone.csv"', "split file '.*gone.csv' is not there"),
        ('kind = "split-file"\nfile = "mine.csv"\nby = "speaker"', "stand in its place, not beside it"),
        ('kind = "split-file"', "takes file = a split file, or listed"),
        ('kind = "split-file"\nfile = "mine.csv"\ndev = { kind = "random-kfold" }', "dev.kind = 'random-kfold'"),
    ],
)
def test_a_split_file_that_is_not_there_or_said_twice_is_refused(tmp_path: Path, protocol: str, complaint: str) -> None:
    write(tmp_path / "mine.csv", "fold,side,speaker\n1,test,a\n")
    with pytest.raises(UsageError, match=complaint):
        suite_with(tmp_path, protocol)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fold,side\n1,test\n", "columns fold, side"),
        ("fold,side,speaker\n1,tset,a\n", "'tset' is no side"),
        ("fold,side,speaker\n", "lists nothing"),
        ("\xff\xfe", "columns"),
        ("fold,side,speaker\n1,test,a\n1,train\n", r"mine\.csv: row 3 has 2 cells \(3 expected\)"),
        ("fold,side,speaker\n1,test,a,b\n", r"mine\.csv: row 2 has 4 cells \(3 expected\)"),
        (f"fold,side,speaker\n1,test,{'x' * 200_000}\n", r"mine\.csv: row 2: field larger than"),
    ],
)
def test_a_file_that_is_no_split_is_refused_with_what_was_expected(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_split(write(tmp_path / "mine.csv", text))


# From names to rows


def split_by(listed: dict[str, dict[str, tuple[str, ...]]], **more: object) -> SplitFile:
    return SplitFile(listed=listed, **more)  # type: ignore[arg-type]


def test_a_speaker_that_a_complete_corpus_lacks_is_an_error_and_in_a_partial_one_counted() -> None:
    table, classes = complete("made", ["a", "b", "c"])
    split = split_by({"1": {"test": ("a", "zoe")}}, rest="train")
    with pytest.raises(UsageError, match=r"names 1 speakers that the corpus lacks \(first: 'zoe'\)"):
        make_folds(split, table, classes)
    notes = make_folds(split, table, classes, partial=True).notes
    assert notes == ("1 speakers of the split are not among the usable ones (first: zoe).",)


def test_as_many_utterances_may_be_missing_as_can_not_be_used() -> None:
    table, classes = complete("made", ["a", "b"])
    ids = [f"{i:05d}" for i in range(16)]
    split = split_by({"1": {"test": (*ids[:8], "gone"), "train": tuple(ids[8:])}}, by="utterance")
    assert "1 utterances of the split" in make_folds(split, table, classes, unusable=1).notes[0]
    with pytest.raises(UsageError, match=r"names 1 utterances that the corpus lacks \(first: 'gone'\)"):
        make_folds(split, table, classes, unusable=0)


def test_rows_that_no_fold_names_train_or_are_left_out_and_counted_or_are_an_error() -> None:
    table, classes = complete("made", ["a", "b", "c"])
    listed = {"1": {"test": ("a",), "train": ("b",)}}
    with pytest.raises(UsageError, match="fold '1' of the split leaves 8 utterances unnamed"):
        make_folds(split_by(listed), table, classes)
    out = make_folds(split_by(listed, rest="leave-out"), table, classes)
    assert len(out.excluded["not-in-split"]) == 8 and len(out.folds[0].train) == 8
    assert len(make_folds(split_by(listed, rest="train"), table, classes).folds[0].train) == 16


def test_a_list_with_a_speaker_on_two_sides_is_refused_unless_declared() -> None:
    table, classes = complete("made", ["a", "b"])
    half = {
        "1": {"test": tuple(f"{i:05d}" for i in range(0, 16, 2)), "train": tuple(f"{i:05d}" for i in range(1, 16, 2))}
    }
    with pytest.raises(LeakageError, match="train and test share 2 speaker"):
        make_folds(split_by(half, by="utterance"), table, classes)
    (fold,) = make_folds(split_by(half, by="utterance", declares=("shared-speaker",)), table, classes).folds
    assert fold.declares == {"shared-speaker"}
    both = {"1": {"test": ("00000",), "train": ("00000", "00001")}}
    with pytest.raises(LeakageError, match="share 1 utterance"):
        make_folds(split_by(both, by="utterance", rest="leave-out", declares=("shared-speaker",)), table, classes)


@pytest.mark.parametrize(
    "name", ["made:00003", "00003", "00003.wav", "downloads/x/00003.wav", "DC/00003.WAV", "x\\y\\00003.flac"]
)
def test_an_utterance_is_known_by_its_id_its_file_or_the_end_of_its_path(name: str) -> None:
    table, classes = complete("made", ["a", "b"])
    split = split_by({"1": {"test": (name,)}}, by="utterance", rest="train", declares=("shared-speaker",))
    assert make_folds(split, table, classes).folds[0].test.tolist() == [3]


def test_a_file_name_that_two_utterances_bear_is_told_apart_by_its_folder() -> None:
    table, classes = complete("made", ["a", "b"])
    paths = [f"{'DC' if i < 8 else 'JE'}/a{i % 8}.wav" for i in range(16)]
    table = UtteranceTable.from_frame(table.frame.assign(path=paths))
    split = split_by(
        {"1": {"test": ("AudioData/JE/a2.wav",)}}, by="utterance", rest="train", declares=("shared-speaker",)
    )
    assert make_folds(split, table, classes).folds[0].test.tolist() == [10]
    vague = split_by({"1": {"test": ("a2.wav",)}}, by="utterance", rest="train", declares=("shared-speaker",))
    with pytest.raises(UsageError, match=r"lacks \(first: 'a2\.wav'\)"):
        make_folds(vague, table, classes)


def test_a_listed_split_can_be_tuned_on_inner_folds_of_train_and_dev() -> None:
    table, classes = complete("made", ["a", "b", "c", "d", "e"])
    split = split_by({"1": {"test": ("a",), "dev": ("b",)}}, rest="train", dev=Dev(kind="inner-kfold", folds=2))
    (fold,) = make_folds(split, table, classes).folds
    assert len(fold.inner) == 2 and sorted(fold.judged) == list(range(8, 40)) and not len(fold.dev)


@pytest.mark.parametrize("kind", ["none", "speaker-kfold"])
def test_a_list_whose_own_dev_side_is_not_used_says_so(kind: str) -> None:
    table, classes = complete("made", ["a", "b", "c", "d", "e"])
    listed = {"1": {"test": ("a",), "dev": ("b",)}}
    split = make_folds(split_by(listed, rest="train", dev=Dev(kind=kind)), table, classes)  # type: ignore[arg-type]
    assert split.notes == (f"The split's own dev rows count as training rows: the suite asks for dev = {kind}.",)
    assert not make_folds(split_by(listed, rest="train"), table, classes).notes


def test_utterances_that_two_folds_test_are_counted() -> None:
    table, classes = complete("made", ["a", "b", "c"])
    twice = make_folds(split_by({"1": {"test": ("a",)}, "2": {"test": ("a", "b")}}, rest="train"), table, classes)
    assert twice.notes == (
        "8 of 16 test utterances are tested in more than one fold: pooled scores count each of their answers.",
    )
    assert not make_folds(split_by({"1": {"test": ("a",)}, "2": {"test": ("b",)}}, rest="train"), table, classes).notes


# Other people's formats


def emobox(key: str, wav: str) -> dict[str, object]:
    return {"key": key, "dataset": "cafe", "wav": wav, "type": "raw", "length": 3.5, "emo": "p", "channel": 1}


def test_emoboxs_folder_is_read_both_as_json_lines_and_as_json(tmp_path: Path) -> None:
    wavs = {"test": "downloads/cafe/Peur/08-P-2-1.wav", "train": "downloads/cafe/Joie/01-J-1-1.wav"}
    expected = {
        "1": {"test": (wavs["test"],), "train": (wavs["train"],)},
        "2": {"test": (wavs["train"],), "train": (wavs["test"],)},
    }
    for suffix in ("jsonl", "json"):
        folder = tmp_path / suffix
        for fold, sides in expected.items():
            for side, (wav,) in sides.items():
                entry = emobox("key", wav)
                text = json.dumps(entry) + "\n" if suffix == "jsonl" else json.dumps({entry.pop("key"): entry})
                write(folder / f"fold_{fold}" / f"cafe_{side}_fold_{fold}.{suffix}", text)
        write(folder / "cafe.jsonl", "{}\n")
        write(folder / "fold_1" / "cafe_test_fold1.jsonl", json.dumps(emobox("key", "another/list.wav")))
        write(folder / "label_map.json", "{}")
        assert read_split(folder) == Listing(by="utterance", folds=expected)  # type: ignore[arg-type]
    one = tmp_path / "jsonl" / "fold_1" / "cafe_test_fold_1.jsonl"
    assert read_split(one).folds == {"1": {"test": (wavs["test"],)}}


def test_emo_superbs_label_file_is_read_with_the_fold_of_its_name(tmp_path: Path) -> None:
    header = "FileName,angry,sad,disgust,fear,neutral,happy,SpkrID,Gender,Split_Set\n"
    rows = "1037_IWL_HAP_XX.wav,0.386,0.01,0.01,0.01,0.01,0.574,1037,Female,Train\n"
    rows += "1001_DFA_ANG_XX.wav,0.9,0.02,0.02,0.02,0.02,0.02,1001,Male,Test\n"
    rows += "1023_TAI_FEA_XX.wav,0.198,0.01,0.104,0.386,0.292,0.01,1023,Male,Development\n"
    path = write(tmp_path / "labels_consensus_3.csv", header + rows)
    assert read_split(path).folds == {
        "3": {"train": ("1037_IWL_HAP_XX.wav",), "test": ("1001_DFA_ANG_XX.wav",), "dev": ("1023_TAI_FEA_XX.wav",)}
    }


def test_nkululekos_tables_are_read_alone_and_through_its_ini_file(tmp_path: Path) -> None:
    files = {"train": "./Actor_01/03-01-01-01-01-01-01.wav", "dev": "./Actor_16/x.wav", "test": "./Actor_21/y.wav"}
    for side, file in files.items():
        write(tmp_path / f"ravdess_{side}.csv", f"file,emotion,speaker,gender\n{file},angry,1,male\n")
    listed = {"1": {side: (file,) for side, file in files.items()}}
    assert read_split(tmp_path).folds == listed
    assert read_split(tmp_path / "ravdess_dev.csv").folds == {"1": {"dev": (files["dev"],)}}
    ini = "[EXP]\nroot = ./\n[DATA]\ndatabases = ['train', 'dev', 'test']\n"
    for side in files:
        ini += f"{side} = ./data/ravdess/ravdess_{side}.csv\n{side}.type = csv\n{side}.split_strategy = {side}\n"
    assert read_split(write(tmp_path / "exp.ini", ini + "target = emotion\n")).folds == listed


def test_nkululekos_ini_file_may_list_test_speakers_or_test_databases(tmp_path: Path) -> None:
    ini = "[DATA]\ndatabases = ['emodb']\nemodb = ./emodb/\nemodb.split_strategy = [12, 14, '15']\n"
    assert read_split(write(tmp_path / "a.ini", ini)) == Listing(
        by="speaker", folds={"1": {"test": ("12", "14", "15")}}
    )
    write(tmp_path / "held.csv", "file,emotion\nz.wav,sad\n")
    ini = "[DATA]\ndatabases = ['held']\ntests = ['held']\nheld = held.csv\n"
    assert read_split(write(tmp_path / "b.ini", ini)).folds == {"1": {"test": ("z.wav",)}}
    drawn = "[DATA]\ndatabases = ['emodb']\nemodb = ./emodb/\nemodb.split_strategy = speaker_split\n"
    with pytest.raises(DataError, match="split_strategy = 'speaker_split' of emodb lists nothing"):
        read_split(write(tmp_path / "c.ini", drawn))


def test_json_nested_deeper_than_any_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not one of EmoBox's lists: RecursionError"):
        read_split(write(tmp_path / "a_test_fold_1.json", "[" * 200_000))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"file\n\xff\xfe.wav\n", "t.csv: a split file can't be read"),
        (b"file\n" + b"x" * 200_000, "t.csv: row 2: field larger than"),
        (b"x,file\n1\n", "t.csv: row 2 has 1 cells"),
    ],
)
def test_a_damaged_table_of_an_experiment_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    ini = write(tmp_path / "n.ini", "[DATA]\ndatabases = ['a']\na = t.csv\na.split_strategy = train\n")
    with pytest.raises(DataError, match=complaint):
        read_split(ini)


@pytest.mark.parametrize("name", ["cafe.jsonl", "cafe_test_fold_1.jsonl", "exp.ini", "notes.csv"])
def test_a_foreign_file_that_does_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        read_split(write(tmp_path / name, "nothing: of the kind\n"))
    with pytest.raises(DataError, match="no split file in this folder"):
        read_split(write(tmp_path / "sub" / "a.txt", "").parent)


@pytest.mark.parametrize(
    ("suite", "corpus", "tested"),
    [
        ("emodb-emobox-5fold", "emodb", {"W": 127, "L": 81, "E": 46, "A": 69, "F": 71, "T": 62, "N": 79}),
        (
            "tess-emobox-split",
            "tess",
            dict.fromkeys(("angry", "disgust", "fear", "happy", "neutral", "ps", "sad"), 100),
        ),
        (
            "crema-d-emobox-split",
            "crema-d",
            {**dict.fromkeys(("ANG", "DIS", "FEA", "HAP", "SAD"), 317), "NEU": 271},
        ),
    ],
)
def test_emoboxs_speaker_dependent_lists_test_the_right_number_of_each_emotion(
    suite: str, corpus: str, tested: dict[str, int]
) -> None:
    protocol = load_suite(suite).protocol
    assert isinstance(protocol, SplitFile) and protocol.declares == ("shared-speaker",)
    reader = registry.load("corpora", corpus).reader
    pattern = re.compile(getattr(reader, "pattern", None) or reader.reader.pattern)
    names = [name for sides in protocol.listed.values() for name in sides["test"]]
    assert len(set(names)) == len(names)
    assert Counter(pattern.fullmatch(name)["emotion"] for name in names) == tested
