"""Records survive the disk to the byte, and nothing that is not a record is taken for one."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ser_bench.errors import DataError
from ser_bench.records import SCHEMA_VERSION, CorpusRef, FoldRef, RunRecord, decode, encode, read_records

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    Any: st.none() | st.booleans() | st.integers(-9, 9) | TEXT | st.lists(TEXT, max_size=2),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of this type may hold."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of(*(values_of(part) for part in parts))
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is tuple:
        return st.lists(values_of(parts[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values_of(parts[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return st.builds(hint, **{name: values_of(field) for name, field in get_type_hints(hint).items()})
    return PLAIN[hint]


@pytest.fixture(scope="module")
def sound() -> dict[str, Any]:
    """A record as plain objects, with every field that has no default."""
    parts: dict[Any, Any] = {str: "x", int: 1, float: 0.5, bool: True}

    def smallest(struct: type[msgspec.Struct]) -> dict[str, Any]:
        hints = get_type_hints(struct)
        required = [f.name for f in msgspec.structs.fields(struct) if f.required]
        return {name: simplest(hints[name]) for name in required}

    def simplest(hint: Any) -> Any:
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return smallest(hint)
        if type(None) in get_args(hint):
            return None
        if get_origin(hint) is Literal:
            return get_args(hint)[0]
        return {tuple: [], dict: {}}.get(get_origin(hint), parts.get(hint))

    record = smallest(RunRecord)
    decode(json.dumps(record).encode())
    return record


RECORDS = values_of(RunRecord).map(lambda record: msgspec.structs.replace(record, schema_version=SCHEMA_VERSION))


@given(RECORDS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_record_comes_back_equal_and_renders_to_the_same_bytes(record: RunRecord) -> None:
    data = encode(record)
    assert decode(data) == record
    assert encode(decode(data)) == data
    json.loads(data)


def test_a_record_states_its_schema_version_and_ends_with_a_newline(sound: dict[str, Any]) -> None:
    data = encode(decode(json.dumps(sound).encode()))
    assert json.loads(data)["schema_version"] == SCHEMA_VERSION
    assert data.endswith(b"}\n")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, -3])
def test_another_schema_is_refused_with_what_to_do(version: int, sound: dict[str, Any]) -> None:
    newer = {**sound, "schema_version": version, "something_new": 1}
    with pytest.raises(DataError, match=f"^r.json: schema version {version}, this ser-bench reads 1 to") as e:
        decode(json.dumps(newer).encode(), "r.json")
    assert e.value.hint == "pip install --upgrade ser-bench"
    assert e.value.exit_code == 4


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"null", b"[]", b"not json", b'{"run_id": "x"', b"\xff\xfe", b"\x80\x04K\x01.", b"[" * 200_000],
    ids=["empty", "no keys", "null", "list", "words", "cut", "no text", "pickle", "deep"],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^r\.json: not a run record"):
        decode(data, "r.json")


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused_as_data_and_never_a_crash(data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data)


@pytest.mark.parametrize("place", ["top", "suite", "model", "environment"])
def test_an_unknown_key_is_refused_wherever_it_stands(sound: dict[str, Any], place: str) -> None:
    odd = json.loads(json.dumps(sound))
    (odd if place == "top" else odd[place])["uarr"] = 1.0
    with pytest.raises(DataError, match="unknown field `uarr`"):
        decode(json.dumps(odd).encode())


@pytest.mark.parametrize(
    ("key", "value"), [("status", "fine"), ("seeds", [0.5]), ("folds_total", "5"), ("model", None)]
)
def test_a_value_of_the_wrong_type_is_refused(sound: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"not a run record.*{key}"):
        decode(json.dumps({**sound, key: value}).encode())


# Which rows may be compared


def comparable(sound: dict[str, Any], **changes: Any) -> bool:
    """Whether a finished row of 2 folds on a complete corpus is comparable once ``changes`` are made."""
    record = decode(json.dumps(sound).encode())
    fold = FoldRef(
        fold_id="f", n_train=1, n_dev=0, n_test=1, train_speakers=1, dev_speakers=0, test_speakers=1, digest="d"
    )
    whole = msgspec.structs.replace(
        record, status="ok", folds=(fold, fold), folds_total=2, corpora=(corpus(n=10, expected=10),)
    )
    assert whole.comparable
    return msgspec.structs.replace(whole, **changes).comparable


def corpus(n: int, expected: int | None) -> CorpusRef:
    plain: dict[str, Any] = dict.fromkeys(("name", "title", "version", "licence", "fingerprint"), "x")
    counts: dict[str, Any] = {name: {} for name in ("dropped", "merged", "unselected", "per_class")}
    return CorpusRef(**plain, **counts, n=n, n_used=n, speakers=1, expected=expected, expected_speakers=None, copies=0)


def test_a_row_is_not_comparable_where_a_fold_a_file_or_the_honesty_is_missing(sound: dict[str, Any]) -> None:
    suite = decode(json.dumps(sound).encode()).suite
    assert not comparable(sound, status="failed")
    assert not comparable(sound, folds_total=3)
    assert not comparable(sound, corpora=(corpus(n=9, expected=10),))
    assert not comparable(sound, suite=msgspec.structs.replace(suite, declares=("shared-speaker",)))
    assert not comparable(sound, suite=msgspec.structs.replace(suite, canary="permuted"))
    assert comparable(sound, corpora=(corpus(n=9, expected=None),))


# A run's folder


def test_records_are_read_in_the_order_of_their_file_names(sound: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    for name in ("02-b", "10-c", "01-a"):
        (tmp_path / "records" / f"{name}.json").write_text(json.dumps({**sound, "row": name}))
    assert [record.row for record in read_records(tmp_path)] == ["01-a", "02-b", "10-c"]


def test_a_folder_without_records_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run records under") as caught:
        read_records(tmp_path)
    assert caught.value.hint == "ser-bench run --suite demo"


def test_a_damaged_record_is_named(sound: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "01-a.json").write_text(json.dumps(sound)[:-9])
    with pytest.raises(DataError, match=r"01-a\.json: not a run record"):
        read_records(tmp_path)
