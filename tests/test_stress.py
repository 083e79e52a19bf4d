"""Test audio under stress: what conditions do to sound, and what runs store, score and show of it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ser_bench.audio import AudioSource, decode
from ser_bench.augment import CODECS, Augment, Seeded
from ser_bench.errors import PrerequisiteError, UsageError
from ser_bench.prediction_check import prediction_faults
from ser_bench.predictions import read_answers
from ser_bench.rating_metrics import ccc, speaker_rating_sums
from ser_bench.records import RunRecord, read_records
from ser_bench.report import board
from ser_bench.report.html import render_html
from ser_bench.report.markdown import render_markdown
from ser_bench.report.terminal import render_terminal
from ser_bench.run_audit import audit_run
from ser_bench.stress import check_codecs, read_condition, read_conditions
from ser_bench.stress_features import _changed
from ser_bench.stress_scores import stress_score
from ser_bench.suites import digest, parse_suite
from tests.small_corpus import write_suite
from tests.test_run import Place

RATE_HZ = 16_000


def speechlike(seed: int = 0, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """A gliding voice with a little breath, below full scale."""
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    voice = sum(np.sin(2 * np.pi * n * (140 + 40 * time_s) * time_s) / n for n in range(1, 30))
    return (0.2 * voice + 0.01 * np.random.RandomState(seed).randn(len(time_s))).astype(np.float32)


def heard(condition: str, samples: np.ndarray, rate_hz: int = RATE_HZ, sound: str = "an utterance") -> np.ndarray:
    for transform in read_condition(condition).transforms(sound):
        samples = transform(samples, rate_hz)
    return samples


def power_above(samples: np.ndarray, hz: float) -> float:
    power = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples)))) ** 2
    return float(power[np.fft.rfftfreq(len(samples), 1 / RATE_HZ) > hz].sum())


# Conditions


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "unknown condition ''"),
        ("nois:20", "did you mean 'noise'?"),
        ("speed:1.1", "noise:DB (-30 to 120)"),
        ("noise", "noise:DB with a number from -30 to 120"),
        ("noise:nan", "noise:DB with a number"),
        ("noise:inf", "noise:DB with a number"),
        ("noise:1e1", "noise:DB with a number"),
        ("noise:2٠", "noise:DB with a number"),  # an Arabic digit, which float() takes
        ("noise:20:5", "noise:DB with a number"),
        ("noise:121", "from -30 to 120"),
        ("gain:-61", "from -60 to 60"),
        ("lowpass:0", "from 50 to 48000"),
        ("codec:opuss", "did you mean 'opus'?"),
        ("codec:../../etc/passwd", "known: gsm, mp3, opus, ulaw"),
        ("<script>:1", "unknown condition '<script>:1'"),
        ("stress:noise:20", "unknown condition"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_there_is(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_condition(text)
    assert told in raised.value.message and raised.value.hint == "--stress noise:20,gain:-12,lowpass:4000,codec:opus"


def test_conditions_have_one_name_and_one_order_however_they_are_written() -> None:
    written = ["codec:opus", "lowpass: 4000", "noise:+20.0", "gain:-0", " noise : 5"]
    assert read_conditions(written) == ("noise:5", "noise:20", "gain:0", "lowpass:4000", "codec:opus")
    with pytest.raises(UsageError, match="'noise:20' is named twice"):
        read_conditions(["noise:20", "noise:20.0"])


@given(st.sampled_from(["noise", "gain"]), st.floats(-30, 60))
def test_a_name_spells_its_condition(kind: str, value: float) -> None:
    condition = read_condition(f"{kind}:{value:.3f}")
    assert read_condition(condition.name) == condition


def test_a_suite_may_state_conditions_and_keeps_its_digest() -> None:
    text = (
        'title = "t"\nversion = 1\ncorpora = ["c"]\nlabels = "four"\nmodels = ["logreg"]\n{}\n[protocol]\nkind = "{}"\n'
    )
    plain, stressed = (
        parse_suite(text.format(more, "speaker-kfold").encode(), "t", "t.toml")
        for more in ("", 'stress = ["noise:20", "noise:5.0"]')
    )
    assert stressed.stress == ("noise:5", "noise:20") and digest(stressed) == digest(plain)
    with pytest.raises(UsageError, match=r"t.toml: stress: unknown condition 'hiss'"):
        parse_suite(text.format('stress = ["hiss"]', "speaker-kfold").encode(), "t", "t.toml")


# What they do to sound


def test_noise_has_its_snr_differs_by_utterance_and_is_the_same_every_time() -> None:
    clean = speechlike()
    noise = heard("noise:10", clean).astype(np.float64) - clean
    assert 10 * np.log10(np.mean(clean.astype(np.float64) ** 2) / np.mean(noise**2)) == pytest.approx(10, abs=0.01)
    assert np.array_equal(heard("noise:10", clean), heard("noise:10.0", clean))
    assert not np.array_equal(heard("noise:10", clean), heard("noise:10", clean, sound="another"))
    child = Augment(steps=read_condition("noise:10").steps).transforms("an utterance", 1)[0]
    assert not np.array_equal(heard("noise:10", clean), child(clean, RATE_HZ))  # no noise that training has heard


def test_a_lowpass_takes_what_is_above_leaves_what_is_below_and_shifts_nothing() -> None:
    clean = speechlike()
    dull = heard("lowpass:1000", clean)
    assert power_above(dull, 2000) < 1e-8 * power_above(clean, 2000)
    below = power_above(clean, 0) - power_above(clean, 800)
    assert power_above(dull, 0) - power_above(dull, 800) == pytest.approx(below, rel=0.01)
    assert np.correlate(clean, dull, "full").argmax() == len(clean) - 1
    assert heard("lowpass:8000", clean) is clean  # half the rate: there is nothing above


def test_gain_is_clipped_at_full_scale_and_none_leaves_every_bit() -> None:
    clean = speechlike()
    loud = heard("gain:20", clean)
    assert np.abs(loud).max() == 1.0 and np.array_equal(loud, np.clip(clean * np.float32(10), -1, 1))
    assert np.array_equal(heard("gain:0", clean), clean)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 48_000])
def test_a_codec_keeps_length_and_place_and_changes_the_sound(codec: str, rate_hz: int) -> None:
    clean = speechlike(seconds=0.7123, rate_hz=rate_hz)
    coded = heard(f"codec:{codec}", clean, rate_hz)
    assert coded.shape == clean.shape and coded.dtype == np.float32 and np.isfinite(coded).all()
    assert abs(int(np.correlate(clean, coded, "full").argmax()) - (len(clean) - 1)) <= max(1, rate_hz // 16_000)
    assert 0.9 < np.corrcoef(clean, coded)[0, 1] < 0.999999
    assert np.array_equal(coded, heard(f"codec:{codec}", clean, rate_hz))
    assert heard(f"codec:{codec}", clean[:3], rate_hz).shape == (3,)


def test_a_codec_that_libsndfile_lacks_is_named_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    check_codecs(["noise:20", *(f"codec:{name}" for name in CODECS)])

    def refuse(*_: Any, **__: Any) -> None:
        raise soundfile.LibsndfileError(2, "no such encoder: ")

    monkeypatch.setattr(soundfile, "write", refuse)
    check_codecs(["noise:20"])
    with pytest.raises(PrerequisiteError, match=r"'codec:opus': libsndfile .* can't write Opus") as raised:
        check_codecs(["noise:20", "codec:opus"])
    assert "soundfile" in str(raised.value.hint)


def test_a_tested_child_is_changed_once_more() -> None:
    made = Augment(steps=read_condition("gain:-6").steps).transforms("samples", 1)
    child = SimpleNamespace(content_id="samples", key="child", transforms=made)
    table = SimpleNamespace(column=lambda name: np.array(["c:a", "c:a~1"]), __len__=None)
    prepared = SimpleNamespace(sound_keys=["samples", "child"], child_rows=(child,), table=_Sized(table))
    whole, again = _changed(prepared, [0, 1], "noise:20")  # type: ignore[arg-type]
    assert (whole.content_id, again.content_id) == ("samples", "samples") and whole.key != again.key
    assert again.transforms[:-1] == made and whole.transforms[0].seed != again.transforms[-1].seed


class _Sized:
    """Two rows, as far as :func:`_changed` looks."""

    def __init__(self, table: Any) -> None:
        self.column = table.column

    def __len__(self) -> int:
        return 2


# Scores


def test_the_drop_of_numbers_is_that_of_the_primary_score_paired_over_speakers() -> None:
    state = np.random.RandomState(1)
    speakers = np.repeat(np.arange(6), 20)
    truth = state.rand(120)
    clean, stressed = truth + 0.1 * state.randn(120), truth + 0.4 * state.randn(120)
    sums = [speaker_rating_sums(truth, answer, speakers)[None] for answer in (clean, stressed)]
    found = stress_score("noise:0", *sums, primary="ccc", n=120, n_unknown=0)
    assert found.scores["ccc"].value == pytest.approx(ccc(truth, stressed))
    drop = found.drop
    assert drop.value == pytest.approx(ccc(truth, clean) - ccc(truth, stressed))  # type: ignore[operator]
    without = [
        ccc(truth[speakers != g], clean[speakers != g]) - ccc(truth[speakers != g], stressed[speakers != g])  # type: ignore[operator]
        for g in range(6)
    ]
    se = np.sqrt(5 / 6 * np.square(np.array(without) - np.mean(without)).sum())
    assert drop.low == pytest.approx(drop.value - 2.570582 * se) and drop.n_speakers == 6  # t(5) at 97.5 %


# Runs

CONDITIONS = ("noise:-5", "gain:0", "codec:opus")
NETWORK = '{ model = "torch-cnn", params = { epochs = 3 } }'
MODELS = (
    '"chance", "logreg", { model = "logreg", label = "by-speaker", normalise = "speaker" }, '
    '"svm-linear-calibrated", '
    '{ model = "fusion", label = "both", params = { rows = ["logreg", "svm-linear-calibrated"] } }, '
    f'{{ model = "logreg", label = "elsewhere", features = "made.csv" }}, {NETWORK}'
)


@dataclasses.dataclass(frozen=True)
class Ran:
    """A run's folder, its records by row, where it was, and its answer."""

    folder: Path
    records: dict[str, RunRecord]
    place: Place
    answer: dict[str, Any]

    @staticmethod
    def of(place: Place, *words: str) -> Ran:
        answer, _ = place.run(*words)
        folder = Path(answer["out"])
        return Ran(folder, {record.row: record for record in read_records(folder)}, place, answer)


@pytest.fixture(scope="module")
def stressed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    pytest.importorskip("torch")
    place = Place(tmp_path_factory.mktemp("stress"))
    rows = place.rows()
    ids = [row["path"].removesuffix(".wav") for row in rows]
    values = np.random.RandomState(0).rand(len(ids))
    pd.DataFrame({"utterance_id": ids, "x": values, "y": values**2}).to_csv(place.root / "made.csv", index=False)
    write_suite(place.root / "suite.toml", models=MODELS)
    return Ran.of(place, "--stress", "codec:opus,noise:-5,gain:0")


def lines(ran: Ran, row: str) -> pd.DataFrame:
    record = ran.records[row]
    assert record.predictions is not None
    return pq.read_table(ran.folder / record.predictions.path).to_pandas()


def test_every_fitted_model_is_tested_under_every_condition(stressed: Ran) -> None:
    for row in ("logreg", "by-speaker", "svm-linear-calibrated", "both", "torch-cnn"):
        record = stressed.records[row]
        assert record.status == "ok" and tuple(of.condition for of in record.stress) == CONDITIONS
        frame = lines(stressed, row)
        test = frame[frame.side == "test"].drop(columns=["side", "predicted"]).filter(regex="^(?!score_)")
        for condition in CONDITIONS:
            of = frame[frame.side == f"stress:{condition}"]
            same = of.drop(columns=["side", "predicted"]).filter(regex="^(?!score_)")
            assert same.reset_index(drop=True).equals(test.reset_index(drop=True))
            assert not of[[name for name in of if name.startswith("score_")]].isna().any(axis=None)


def test_sound_that_is_not_changed_gives_the_answers_that_were_given(stressed: Ran) -> None:
    for row in ("logreg", "by-speaker", "svm-linear-calibrated", "both", "torch-cnn"):
        record = stressed.records[row]
        clean, same, noisy = (
            read_answers(stressed.folder, record, side) for side in ("test", "stress:gain:0", "stress:noise:-5")
        )
        assert np.array_equal(clean.predicted, same.predicted) and np.array_equal(clean.scores, same.scores)
        assert not np.array_equal(clean.scores, noisy.scores)
        score = next(of for of in record.stress if of.condition == "gain:0")
        assert score.drop.value == 0 and score.scores["uar"] == record.scores["uar"]


def test_scores_and_drops_are_those_of_the_stored_predictions(stressed: Ran) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    for record in stressed.records.values():
        assert prediction_faults(stressed.folder, record) == []
    record, frame = stressed.records["logreg"], lines(stressed, "logreg")
    test, noisy = (frame[frame.side == side] for side in ("test", "stress:noise:-5"))
    score = record.stress[0]
    assert score.scores["uar"].value == pytest.approx(balanced_accuracy_score(noisy.truth, noisy.predicted))
    assert score.scores["war"].value == pytest.approx(accuracy_score(noisy.truth, noisy.predicted))
    lost = balanced_accuracy_score(test.truth, test.predicted) - balanced_accuracy_score(noisy.truth, noisy.predicted)
    assert score.drop.value == pytest.approx(lost) and lost > 0.2 and score.n == len(test) == 45
    forged = msgspec.structs.replace(score, drop=msgspec.structs.replace(score.drop, value=lost + 0.01))
    lost_side = msgspec.structs.replace(score, condition="noise:3")
    for bad, told in ((forged, "drop under noise:-5"), (lost_side, "no rows of side 'stress:noise:3'")):
        faults = prediction_faults(stressed.folder, msgspec.structs.replace(record, stress=(bad,)))
        assert len(faults) == 1 and told in faults[0]


def test_a_fused_row_averages_what_its_rows_say_of_changed_sound(stressed: Ran) -> None:
    one, other, both = (
        read_answers(stressed.folder, stressed.records[row], "stress:noise:-5").scores
        for row in ("logreg", "svm-linear-calibrated", "both")
    )
    assert both is not None and one is not None and other is not None
    assert np.allclose(both, (one + other) / 2, atol=1e-12)


def test_rows_that_no_sound_reaches_are_not_stressed_and_say_so(stressed: Ran) -> None:
    chance, elsewhere = stressed.records["chance"], stressed.records["elsewhere"]
    assert chance.stress == () and elsewhere.stress == () and elsewhere.status == "ok"
    assert any(warning.startswith("not stressed: features were made elsewhere") for warning in elsewhere.warnings)
    assert not any("stress" in warning for warning in chance.warnings)
    assert set(lines(stressed, "chance").side) == {"train", "test"}


def test_the_audit_takes_changed_sound_for_no_side_of_its_own(stressed: Ran) -> None:
    for found in audit_run(stressed.folder):
        assert {finding.kind for finding in found.findings} <= {"test-statistics"}  # of the row by speaker
        assert set(found.counts) <= {"train", "dev", "test"}


def test_the_board_shows_what_each_row_loses(stressed: Ran) -> None:
    built = board.build(list(stressed.records.values()))
    drop = stressed.records["logreg"].stress[0].drop
    cell = f"{drop.value:.3f} [{drop.low:.3f}, {drop.high:.3f}]"
    for text in (render_markdown(built), render_html(built)):
        assert "Under stress" in text and cell in text and "noise:-5: white noise at -5 dB SNR" in text
        assert "codec:opus: through Opus at about 24 kbit/s" in text
    printed = render_terminal(built)
    assert "Under stress" in printed and all(len(line) <= 116 for line in printed.splitlines())
    assert re.search(rf"^logreg +noise:-5 +\S+ +{re.escape(cell)}$", printed, re.MULTILINE)
    plain = [msgspec.structs.replace(record, stress=()) for record in stressed.records.values()]
    writers = (render_markdown, render_html, render_terminal)
    assert not any("Under stress" in write(board.build(plain)) for write in writers)
    odd = msgspec.structs.replace(stressed.records["logreg"].stress[0], condition="<b>|`x`")
    hostile = board.build([msgspec.structs.replace(stressed.records["logreg"], stress=(odd,))])
    assert "<b>" not in render_html(hostile) and "`` <b>\\|`x` ``" in render_markdown(hostile)


def test_the_answer_tells_what_each_row_loses(stressed: Ran) -> None:
    rows = {row["model"]: row["stress"] for row in stressed.answer["rows"]}
    assert rows["elsewhere"] == [] and [of["condition"] for of in rows["logreg"]] == list(CONDITIONS)
    of = stressed.records["logreg"].stress[0]
    assert rows["logreg"][0] | {"n": of.n, "uar": of.scores["uar"].value, "drop": of.drop.value} == rows["logreg"][0]
    assert (rows["logreg"][0]["drop_low"], rows["logreg"][0]["drop_high"]) == (of.drop.low, of.drop.high)


def test_fits_and_clean_predictions_are_the_same_bits_with_and_without_stress(stressed: Ran) -> None:
    clean = Ran.of(stressed.place)
    assert clean.folder != stressed.folder
    for row, record in clean.records.items():
        frame = lines(stressed, row)
        kept = frame[~frame.side.str.startswith("stress:")].reset_index(drop=True)
        order = ["seed", "fold", "side", "utterance_id"]
        kept, plain = (of.sort_values(order).reset_index(drop=True) for of in (kept, lines(clean, row)))
        assert kept.equals(plain)
        told = stressed.records[row]
        assert record.scores == told.scores and record.confusion == told.confusion and record.curves == told.curves
        assert record.suite.digest == told.suite.digest and record.stress == ()
        assert (record.run_id == told.run_id) is False
    fitted = {path.stem for path in (stressed.place.root / "out" / "cells").rglob("*.npz")}
    assert len(fitted) == 2 * 3 * 5 + 2 * 3  # chance and the table's row are fitted once, the others twice


def test_the_same_run_elsewhere_gives_the_same_bytes(stressed: Ran, tmp_path: Path) -> None:
    root = stressed.place.root
    words = ["--stress", "noise:-5,codec:opus", "--models", "logreg"]
    first, second = (
        Ran.of(Place(root), *words, "--store", str(tmp_path / f"store{n}"), "--out", str(tmp_path / f"out{n}"))
        for n in range(2)
    )
    assert first.folder != second.folder and first.folder.name == second.folder.name
    (path,) = (p.name for p in (first.folder / "predictions").iterdir())
    assert (first.folder / "predictions" / path).read_bytes() == (second.folder / "predictions" / path).read_bytes()
    assert first.records["logreg"].stress == second.records["logreg"].stress
    (file,) = (first.folder / "records").iterdir()
    before = file.read_bytes()
    again = Ran.of(
        Place(root),
        *("--stress", "codec:opus,noise:-5.0", "--models", "logreg"),
        *("--store", str(tmp_path / "store0"), "--out", str(tmp_path / "out0")),
    )
    assert again.folder == first.folder and file.read_bytes() == before  # nothing was done again


def test_learning_curves_are_recorded_as_the_judged_fit_went(stressed: Ran) -> None:
    record = stressed.records["torch-cnn"]
    assert [curve.fold_id for curve in record.curves] == [fold.fold_id for fold in record.folds]
    for curve in record.curves:
        assert curve.values["epoch"] == (1, 2, 3) and set(curve.values) >= {"train_loss", "dev_uar"}
        assert all(value == float(f"{value:.6g}") for series in curve.values.values() for value in series)
    assert stressed.records["logreg"].curves == ()


def test_a_canary_is_not_stressed(stressed: Ran) -> None:
    _, told = stressed.place.run("--stress", "noise:5", "--canary", "permuted", code=2)
    assert "--stress: a canary's models learnt nothing of use" in told
    _, told = stressed.place.run("--stress", "nois:5", code=2)
    assert "--stress: unknown condition 'nois:5' (did you mean 'noise'?)" in told


@pytest.mark.corpus
def test_real_speech_is_heard_as_stated_and_gives_other_features(corpora_root: Path) -> None:
    from ser_bench.features.contract import Analysis
    from ser_bench.registry import load

    stats = load("features", "stats180")
    paths = (
        sorted((corpora_root / "ravdess").rglob("*.wav"))[::400][:3]
        or sorted((corpora_root / "ravdess").rglob("*.flac"))[:3]
    )
    assert paths
    for path in paths:
        clean, rate_hz = decode(AudioSource(path=str(path)), 22_050)
        plain = stats(Analysis(clean, rate_hz))
        for name in ("noise:10", "gain:-12", "lowpass:4000", *(f"codec:{codec}" for codec in CODECS)):
            alter: tuple[Seeded, ...] = read_condition(name).transforms(path.name)
            changed, _ = decode(AudioSource(path=str(path), transforms=alter), 22_050)
            values = stats(Analysis(changed, rate_hz))
            assert changed.shape == clean.shape and np.isfinite(values).all() and not np.allclose(values, plain)
            if name == "noise:10":
                noise = changed.astype(np.float64) - clean
                snr_db = 10 * np.log10(np.mean(clean.astype(np.float64) ** 2) / np.mean(noise**2))
                assert snr_db == pytest.approx(10, abs=0.01)
            elif name.startswith("codec"):
                assert np.corrcoef(clean, changed)[0, 1] > 0.5
    assert json.dumps(read_conditions(["noise:10"])) == '["noise:10"]'
