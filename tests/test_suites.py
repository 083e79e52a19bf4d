"""Suites are read strictly: a typo is an error with the nearest key, and the digest covers what decides folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ser_bench import registry
from ser_bench.emotions import EMOTIONS, SCHEMES
from ser_bench.errors import PrerequisiteError, UsageError
from ser_bench.protocols.spec import declared
from ser_bench.suites import ALIASES, Suite, digest, load_suite, parse_suite, suite_names

BUNDLED = (
    "cafe-emobox-3fold",
    "cafe-serab",
    "crema-d-emobox-split",
    "crema-d-emosuperb-5fold",
    "crema-d-fewshot8",
    "crema-d-random-5fold",
    "crema-d-sentence-disjoint",
    "crema-d-speaker-5fold",
    "crema-d-speaker-sentence",
    "demo",
    "demo-cross",
    "emodb-emobox-5fold",
    "emodb-loso",
    "emodb-random-5fold",
    "emodb-serab",
    "emovo-emobox-6fold",
    "emovo-serab",
    "english-four-cross",
    "english-four-loco",
    "iemocap-sessions",
    "meld-official",
    "msp-improv-activation",
    "msp-improv-sessions",
    "msp-improv-valence",
    "ravdess-actor-holdout",
    "ravdess-actor-holdout-random-dev",
    "ravdess-egemaps-search",
    "ravdess-emobox-6fold",
    "ravdess-fewshot8",
    "ravdess-loso",
    "ravdess-nested-5fold",
    "ravdess-nkululeko",
    "ravdess-random-5fold",
    "ravdess-sentence-disjoint",
    "ravdess-serab",
    "ravdess-speaker-5fold",
    "savee-loso",
    "seed000-honest",
    "seed000-published",
    "seed001-honest",
    "seed001-published",
    "seed002-honest",
    "seed002-published",
    "seed003-honest",
    "seed003-published",
    "seed004-crema-d",
    "subesco-emobox-5fold",
    "tess-emobox-split",
    "tess-loso",
    "tess-random-5fold",
)

SOUND = """\
title = "A suite"
version = 1
corpora = ["ravdess"]
labels = "eight"
models = ["chance", { model = "svm-rbf", label = "svm-c1", params = { C = 1.0 } }]

[protocol]
kind = "speaker-kfold"
folds = 5
dev = { folds = 4 }

[metrics]
primary = "war"
"""


def parse(text: str) -> Suite:
    return parse_suite(text.encode(), "made", "suite made")


def changed(old: str, new: str) -> str:
    """The sound suite with one thing changed."""
    assert SOUND.count(old) == 1
    return SOUND.replace(old, new)


# What comes with ser-bench


def test_every_bundled_suite_is_listed() -> None:
    assert set(BUNDLED) <= set(suite_names())


@pytest.mark.parametrize("name", suite_names())
def test_every_installed_suite_parses_and_names_only_what_is_registered(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert {*suite.corpora, *suite.optional_corpora} <= set(registry.entries("corpora"))
    assert {entry.model for entry in suite.entries} <= set(registry.entries("models"))
    features = {suite.features, suite.frames, *(entry.features for entry in suite.entries if entry.features)}
    assert features <= set(registry.entries("features"))
    assert suite.scheme(EMOTIONS).classes


@pytest.mark.parametrize("name", [name for name in BUNDLED if "random" in name])
def test_a_random_control_says_so(name: str) -> None:
    suite = load_suite(name)
    assert "control" in suite.title and suite.notes


def test_bundled_suites_differ_in_their_digests() -> None:
    assert len({digest(load_suite(name)) for name in BUNDLED}) == len(BUNDLED)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_loads_the_suite_that_it_stands_for(alias: str, name: str) -> None:
    assert load_suite(alias) == load_suite(name) and alias not in suite_names()


@pytest.mark.parametrize("name", [name for name in BUNDLED if "cross" not in name and "loco" not in name])
def test_a_suite_that_shares_speakers_says_so_in_its_notes(name: str) -> None:
    suite = load_suite(name)
    if "shared-speaker" in declared(suite.protocol) or suite.protocol.dev.kind == "random-kfold":
        assert any("ever compare" in note or "control" in note for note in suite.notes)


# The digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "A suite"', 'title = "Another title"'),
        ('title = "A suite"', 'title = "A suite"\nnotes = ["A sentence for the board."]'),
        ('models = ["chance"', 'models = ["majority", "chance"'),
        ("C = 1.0", "C = 2.0"),
        ('title = "A suite"', 'title = "A suite"\nseeds = [0, 1, 2]'),
        ('primary = "war"', 'primary = "uar"'),
        ("folds = 5\n", "folds = 5\nseed = 0\n"),
    ],
)
def test_models_seeds_prose_and_spelt_out_defaults_leave_the_digest_alone(old: str, new: str) -> None:
    assert digest(parse(changed(old, new))) == digest(parse(SOUND))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('labels = "eight"', 'labels = "seven"'),
        ('labels = "eight"', 'labels = { classes = ["sad", "happy"], rest = "drop" }'),
        ("folds = 5", "folds = 6"),
        ("folds = 5\n", "folds = 5\nseed = 1\n"),
        ("{ folds = 4 }", "{ folds = 3 }"),
        ('kind = "speaker-kfold"', 'kind = "random-kfold"'),
        ("version = 1", "version = 1\nsample_rate_hz = 16000"),
        ("version = 1", "version = 2"),
        ("version = 1", 'version = 1\nselect = { channel = "song" }'),
        ("version = 1", "version = 1\nthreads = 2"),
        ('["ravdess"]', '["ravdess", "savee"]'),
    ],
)
def test_whatever_decides_folds_labels_or_samples_changes_the_digest(old: str, new: str) -> None:
    assert digest(parse(changed(old, new))) != digest(parse(SOUND))


def test_the_digest_is_the_same_on_every_machine_and_version() -> None:
    # A change here changes the digest of every published suite: say so in the changelog.
    assert digest(parse(SOUND)) == "17fa928731f78da9"


def test_the_digest_of_a_suite_does_not_hang_on_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SOUND)
    mine = load_suite(str(tmp_path / "mine.toml"))
    assert mine.name == "mine"
    assert digest(mine) == digest(parse(SOUND))


# Typos


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("title =", "titel =", r"unknown key 'titel' \(did you mean 'title'\?\)"),
        ("version = 1", "version = 1\nseed = [0]", r"unknown key 'seed' \(did you mean 'seeds'\?\)"),
        ("folds = 5", "fold = 5", r"unknown key 'fold' in protocol \(did you mean 'folds'\?\)"),
        ("{ folds = 4 }", "{ fold = 4 }", r"unknown key 'fold' in protocol\.dev \(did you mean 'folds'\?\)"),
        ("label =", "lable =", r"unknown key 'lable' in models\[.*\] \(did you mean 'label'\?\)"),
        ("primary =", "primry =", r"unknown key 'primry' in metrics \(did you mean 'primary'\?\)"),
        ('"speaker-kfold"', '"speaker-fold"', r"unknown protocol kind 'speaker-fold' \(did you mean 'speaker-kfold'"),
        ('labels = "eight"', 'labels = "eigth"', r"unknown label scheme 'eigth' \(did you mean 'eight'\?\)"),
        (
            'labels = "eight"',
            'labels = { classes = ["sad", "happy"], rests = "drop" }',
            r"unknown key 'rests' in labels \(did you mean 'rest'\?\)",
        ),
        (
            'labels = "eight"',
            'labels = { classes = ["sad", "hapy"], rest = "drop" }',
            r"class 'hapy' is no emotion.*\(did you mean 'happy'\?\)",
        ),
        ("version = 1", 'version = 1\nname = "other"', "unknown key 'name'"),
    ],
)
def test_a_misspelt_key_or_name_is_refused_with_the_nearest_one(old: str, new: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=f"^suite made: .*{complaint}"):
        parse(changed(old, new))


def test_a_key_of_another_protocol_is_refused_with_the_keys_of_this_one() -> None:
    with pytest.raises(UsageError, match=r"unknown key 'folds' in protocol \(known: dev, disjoint, kind\)"):
        parse(changed('kind = "speaker-kfold"', 'kind = "loso"'))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title = "A suite"\n', "", "required field `title`"),
        ("version = 1", 'version = "1"', r"Expected `int`, got `str`.*version"),
        ('["ravdess"]', '"ravdess"', r"Expected `array`, got `str`.*corpora"),
        ('["ravdess"]', "[]", "corpora, models and seeds must not be empty"),
        ('["ravdess"]', '["ravdess", "ravdess"]', "corpora holds 'ravdess' twice"),
        ("version = 1", "version = 1\nseeds = [0, 1, 0]", "seeds holds 0 twice"),
        ("version = 1", "version = 1\nsample_rate_hz = 22", "sample_rate_hz = 22: between 1000 and 192000"),
        ("version = 1", "version = 1\nthreads = 0", "threads = 0: at least 1"),
        ('kind = "speaker-kfold"', "kind = 5", r"Expected `str`, got `int`.*protocol\.kind"),
        ('kind = "speaker-kfold"', "", r"required field `kind`.*protocol"),
        ("folds = 5", "folds = 1", "folds = 1: at least 2"),
        ('primary = "war"', 'primary = "accuracy"', r"metrics\.primary: 'accuracy' is none of ccc, macro_f1, uar, war"),
        ('label = "svm-c1"', 'label = "chance"', "two rows are called 'chance'; give one of them a label"),
        (
            '"chance", { model = "svm-rbf", label = "svm-c1"',
            '"svm-rbf", { model = "svm-rbf"',
            "two rows are called 'svm-rbf'",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_place(old: str, new: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=f"^suite made: .*{complaint}"):
        parse(changed(old, new))


def test_two_rows_of_one_model_need_two_labels_and_then_both_stand() -> None:
    suite = parse(changed('"chance", {', '"chance", "svm-rbf", {'))
    assert [(entry.row, entry.model) for entry in suite.entries] == [
        ("chance", "chance"),
        ("svm-rbf", "svm-rbf"),
        ("svm-c1", "svm-rbf"),
    ]


@pytest.mark.parametrize("text", ["title = ", "[protocol", 'title = "a"\ntitle = "b"', "\x00"])
def test_a_file_that_is_no_toml_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(UsageError, match=r"^suite made: not TOML: "):
        parse(text)


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^suite made: not TOML: 'utf-8' codec"):
        parse_suite(SOUND.encode("utf-16"), "made", "suite made")


@pytest.mark.parametrize("bom, newline", [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_a_byte_order_mark_and_windows_line_ends_are_nothing_to_mind(bom: str, newline: str) -> None:
    assert parse(bom + SOUND.replace("\n", newline)) == parse(SOUND)


def test_a_suite_is_frozen() -> None:
    with pytest.raises(AttributeError):
        parse(SOUND).version = 2  # type: ignore[misc]


def test_a_scheme_written_in_the_suite_is_the_scheme() -> None:
    own = '{ name = "valence", classes = ["good", "bad"], merge = { happy = "good", sad = "bad" }, rest = "refuse" }'
    scheme = parse(changed('labels = "eight"', f"labels = {own}")).scheme(())
    assert (scheme.name, scheme.classes, scheme.class_of("sad"), scheme.rest) == (
        "valence",
        ("good", "bad"),
        "bad",
        "refuse",
    )
    assert parse(SOUND).scheme(()) is SCHEMES["eight"]


# Finding them


def test_an_unknown_suite_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"unknown suite 'ravdes-loso' \(did you mean 'ravdess-loso'\?\)"):
        load_suite("ravdes-loso")


@pytest.mark.parametrize("name", ["mine.toml", "folder/mine", "folder/mine.toml"])
def test_a_suite_file_that_is_not_there_is_said_to_be_so(name: str) -> None:
    with pytest.raises(UsageError, match=f"suite file '{name}' is not there"):
        load_suite(name)


def test_an_error_in_a_users_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(changed("title =", "titel ="))
    with pytest.raises(UsageError, match=rf"{path}: unknown key 'titel'"):
        load_suite(str(path))


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, dict[str, str]], None]]:
    """Install a package of suites under an entry-point name: (name, source of its module, files)."""

    def install(name: str, source: str, suites: dict[str, str]) -> None:
        package = f"{tmp_path.name}_{name}"
        info = tmp_path / f"{name}-1.dist-info"
        for folder in (info, tmp_path / package):
            folder.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[ser_bench.suites]\n{name} = {package}\n")
        (tmp_path / package / "__init__.py").write_text(source)
        for stem, text in suites.items():
            (tmp_path / package / f"{stem}.toml").write_text(text)
        registry.entries.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    registry.entries.cache_clear()


def test_a_plug_in_adds_suites(plug_in: Callable[[str, str, dict[str, str]], None]) -> None:
    plug_in("acme", "", {"acme-loso": SOUND})
    assert "acme-loso" in suite_names()
    assert load_suite("acme-loso").title == "A suite"


def test_a_plug_in_can_not_replace_a_bundled_suite(plug_in: Callable[[str, str, dict[str, str]], None]) -> None:
    ours = load_suite("demo")
    plug_in("acme", "", {"demo": SOUND})
    assert load_suite("demo") == ours
    assert load_suite("acme/demo").title == "A suite"


def test_a_broken_package_of_suites_stays_listed_and_loses_only_its_own(
    plug_in: Callable[[str, str, dict[str, str]], None],
) -> None:
    plug_in("acme", "import no_such_module_anywhere", {"acme-loso": SOUND})
    assert {"acme", "demo"} <= set(suite_names())
    assert load_suite("demo").name == "demo"
    with pytest.raises(PrerequisiteError, match=r"suite 'acme' of acme .*no_such_module_anywhere"):
        load_suite("acme")


def test_a_suite_survives_json(tmp_path: Path) -> None:
    for name in BUNDLED:
        suite = load_suite(name)
        assert msgspec.json.decode(msgspec.json.encode(suite), type=Suite) == suite


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('targets = "sof"', "targets: 'sof' is none of hard, soft, values (did you mean 'soft'?)"),
        ('normalise = "speker"', "none, speaker, standard (did you mean 'speaker'?)"),
        ('protocol = { kind = "official", declares = ["shared-speakr"] }', "(did you mean 'shared-speaker'?)"),
        ('protocol = { kind = "random-kfold", declares = ["shared-speaker"] }', "leave 'shared-speaker' out"),
        ('protocol = { kind = "loso", dev = { kind = "speker-kfold" } }', "(did you mean 'speaker-kfold'?)"),
        ('protocol = { kind = "split-file", listed = { a = { tran = ["1"] } } }', "'tran' is none of dev, test, train"),
        ('targets = "sof"\nprotocol = 3', "targets: 'sof' is none of"),
        ('references = [{ label = "x", kind = "humn" }]', "references[0].kind: 'humn' is none of control, human"),
        ('bands = [{ approaches = ["scrach"] }]', "(did you mean 'scratch'?)"),
    ],
)
def test_a_word_outside_a_closed_list_is_told_with_the_list(more: str, words: str) -> None:
    head = 'title = "x"\nversion = 1\ncorpora = ["ravdess"]\nlabels = "eight"\nmodels = ["chance"]\n'
    with pytest.raises(UsageError) as caught:
        parse(head + more + ("" if "protocol" in more else '\nprotocol = { kind = "loso" }'))
    assert words in caught.value.message
