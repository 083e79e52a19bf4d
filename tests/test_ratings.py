"""Numbers as targets: CCC by its definition, intervals that cover, and a run of values from end to end."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from ser_bench import cli
from ser_bench.errors import UsageError
from ser_bench.fold_fit import FoldFit, checked
from ser_bench.models.contract import Examples, FitContext, Prediction
from ser_bench.prediction_check import prediction_faults
from ser_bench.rating_metrics import ccc, pearson_of_sums, rating_sums, rmse_of_sums, speaker_rating_sums
from ser_bench.rating_scores import rating_fields
from ser_bench.records import read_records
from ser_bench.registry import import_object, load
from ser_bench.suites import load_suite, parse_suite, with_labels
from tests.small_corpus import EMOTIONS, write_small_corpus, write_suite, write_table
from tests.test_run import Place

NUMBERS = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=3, max_size=30)


def series(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.array(pairs).T
    return np.round(truth, 3), np.round(predicted, 3)


def literal_ccc(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Lin's coefficient, as the paper states it."""
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return 2 * covariance / (truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2)


# The scores


@given(NUMBERS)
def test_the_scores_are_those_of_their_definitions(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = series(pairs)
    sums = rating_sums(truth, predicted)
    assert float(rmse_of_sums(sums)) == pytest.approx(np.sqrt(np.mean((truth - predicted) ** 2)), abs=1e-9)
    if min(np.ptp(truth), np.ptp(predicted)) > 0.1:
        assert ccc(truth, predicted) == pytest.approx(literal_ccc(truth, predicted), abs=1e-9)
        assert float(pearson_of_sums(sums)) == pytest.approx(pearsonr(truth, predicted).statistic, abs=1e-7)


@given(NUMBERS, st.floats(-100, 100), st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_ccc_asks_for_neither_scale_nor_order_nor_which_of_the_two_is_truth(
    pairs: list[tuple[float, float]], shift: float, scale: float, random: Any
) -> None:
    truth, predicted = series(pairs)
    if min(np.ptp(truth), np.ptp(predicted)) < 0.1:
        return
    value = ccc(truth, predicted)
    assert value is not None and abs(value) <= 1 + 1e-12
    assert ccc(predicted, truth) == pytest.approx(value, abs=1e-9)
    assert ccc(shift + scale * truth, shift + scale * predicted) == pytest.approx(value, abs=1e-6)
    random.shuffle(order := list(range(len(truth))))
    assert ccc(truth[order], predicted[order]) == pytest.approx(value, abs=1e-9)
    assert abs(value) <= abs(float(pearson_of_sums(rating_sums(truth, predicted)))) + 1e-9


@pytest.mark.parametrize("constant", [0.0, 3.0, 3.3, 1e6])
def test_a_constant_agrees_with_nothing_and_correlates_with_nothing(constant: float) -> None:
    truth = np.array([1.1, 2.7, 3.3, 4.9, 3.7])
    sums = rating_sums(truth, np.full(5, constant))
    assert ccc(truth, np.full(5, constant)) == 0
    assert math.isnan(pearson_of_sums(sums))
    assert ccc(truth, truth) == 1 and ccc(np.full(3, constant), np.full(3, constant)) is None


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        rating_sums(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="no finite number for each of 2"):
        checked(Prediction(ratings=np.array([1.0, np.inf])), 2, 0)
    with pytest.raises(ValueError, match="no finite number for each of 2"):
        checked(Prediction(labels=np.array([0, 1])), 2, 0)


@pytest.mark.parametrize("n_speakers", [8, 30])
def test_the_interval_covers_the_ccc_of_all_speakers(n_speakers: int) -> None:
    """Speakers differ in how loud they are taken to be; the CCC over all there could be is known."""

    def sample(random: np.random.RandomState, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        speakers = np.repeat(np.arange(n), 25)
        truth = random.randn(len(speakers))
        return truth, 0.7 * truth + 0.6 * random.randn(n)[speakers] + 0.4 * random.randn(len(speakers)), speakers

    whole = 2 * 0.7 / (1 + 0.49 + 0.36 + 0.16)
    random = np.random.RandomState(n_speakers)
    held = []
    for _ in range(40 if n_speakers > 19 else 150):
        truth, predicted, speakers = sample(random, n_speakers)
        score = rating_fields([(truth, predicted)], speakers, ())["scores"]["ccc"]
        held.append(score.low <= whole <= score.high)
    assert 0.85 <= np.mean(held) <= 1


def test_the_headline_is_the_mean_over_seeds_and_its_bounds_are_ccc_s() -> None:
    truth, speakers = np.tile([1.0, 2.0, 3.0, 4.0], 3), np.repeat([0, 1, 2], 4)
    noise = np.random.RandomState(0).randn(12) * 0.3
    seeds = [(truth, truth + noise), (truth, -truth)]
    fields = rating_fields(seeds, speakers, ())
    assert fields["scores"]["ccc"].value == pytest.approx(np.mean([literal_ccc(*one) for one in seeds]))
    assert fields["scores"]["ccc"].low >= -1 and fields["scores"]["rmse"].high > 1
    assert fields["ccc_seed_sd"] > 0
    by_speaker = speaker_rating_sums(truth, truth + noise, speakers)
    assert np.allclose(by_speaker.sum(axis=0), rating_sums(truth, truth + noise))
    unknown = rating_fields(seeds, np.where(speakers == 0, -1, speakers), ())["scores"]["ccc"]
    assert (unknown.low, unknown.method) == (None, "none: 4 utterances of unknown speakers")


# The suites


def test_values_go_with_a_dimension_and_rank_by_ccc() -> None:
    for name in ("arousal", "valence"):
        suite = load_suite(f"msp-improv-sessions-{name}")
        assert (suite.labels, suite.targets, suite.primary) == (name, "values", "ccc")
    text = 'title = "t"\nversion = 1\ncorpora = ["c"]\nlabels = "{}"\ntargets = "{}"\nmodels = ["mean"]\n{}\n'
    text += '[protocol]\nkind = "loso"\n'
    for labels, targets, more, said in (
        ("arousal", "hard", "", "values go with arousal, dominance, valence"),
        ("arousal-3", "values", "", "values go with"),
        ("four", "values", "", "values go with"),
        ("arousal", "values", 'metrics = { primary = "uar" }', "'uar' is no score of targets = 'values'"),
        ("four", "hard", 'metrics = { primary = "ccc" }', "'ccc' is no score of targets = 'hard'"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_suite(text.format(labels, targets, more).encode(), "s", "s.toml")


def test_other_labels_turn_a_suite_into_one_of_values_and_back() -> None:
    classes = load_suite("msp-improv-sessions")
    values = with_labels(classes, "dominance")
    assert (values.targets, values.primary, values.references) == ("values", "ccc", ())
    again = with_labels(values, "four")
    assert (again.targets, again.primary) == ("hard", "uar")


# The models


def examples(n: int = 60, n_columns: int = 6, *, frames: bool = False) -> Examples:
    random = np.random.RandomState(0)
    ratings = (3 + random.randn(n)).astype(np.float32)
    if not frames:
        values = (ratings[:, None] + 0.3 * random.randn(n, n_columns)).astype(np.float32)
        return Examples(values=values, columns=tuple(map(str, range(n_columns))), ratings=ratings)
    length = 40
    values = (np.repeat(ratings, length)[:, None] - 3 + 0.3 * random.randn(n * length, n_columns)).astype(np.float32)
    offsets = np.arange(n + 1, dtype=np.int64) * length
    return Examples.of_frames(values, tuple(map(str, range(n_columns))), offsets, ratings=ratings)


@pytest.mark.parametrize("name", ["mean", "ridge", "svr", "random-forest-regressor", "seed004-cnn", "torch-cnn"])
def test_a_model_of_values_learns_them_answers_alike_again_and_can_be_saved(name: str, tmp_path: Path) -> None:
    spec = load("models", name)
    assert "values" in spec.targets
    if spec.framework == "torch":
        pytest.importorskip("torch", reason="pip install '.[torch]'")
    told = examples(frames=spec.input == "frames")
    training = {"epochs": 25, "learning_rate": 3e-3, "batch_size": 16} if spec.framework == "torch" else {}
    made = [import_object(spec.factory)(**{**spec.params, **training}) for _ in range(2)]
    for model in made:
        model.fit(told, None, FitContext(n_classes=0, class_names=(), seed=0))
    one, other = (checked(model.predict(told), len(told), 0).answers for model in made)
    assert np.array_equal(one, other)
    assert told.ratings is not None
    score = ccc(told.ratings, one)
    assert score == 0 if name == "mean" else score is not None and score > 0.9
    if name != "mean":
        made[0].save(tmp_path)
        again = import_object(spec.factory)(**{**spec.params, **training})
        again.load(tmp_path)
        assert np.allclose(again.predict(told).answers, one, atol=1e-5)


def test_a_network_keeps_the_epoch_of_the_best_dev_ccc() -> None:
    pytest.importorskip("torch", reason="pip install '.[torch]'")
    spec = load("models", "torch-cnn")
    model = import_object(spec.factory)(**{**spec.params, "epochs": 4})
    told = examples(frames=True)
    model.fit(told, told, FitContext(n_classes=0, class_names=(), seed=0))
    curve = [entry["dev_ccc"] for entry in model.facts["curve"]]
    assert model.chosen == {"epochs": 1 + int(np.argmax(curve))}
    assert ccc(told.ratings, model.predict(told).answers) == pytest.approx(max(curve))


# A run


@pytest.fixture(scope="module")
def valued(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A corpus whose pitch tells the arousal, one utterance without a number, and a suite of values over it."""
    place = Place(tmp_path_factory.mktemp("valued"))
    random = np.random.RandomState(1)
    rows: list[dict[str, str]] = write_small_corpus(place.corpus)
    for row in rows:
        row["arousal"] = f"{1.5 + 1.2 * EMOTIONS.index(row['emotion']) + 0.4 * random.rand():.2f}"
    rows[3]["arousal"] = ""
    write_table(place.corpus / "utterances.csv", rows)
    (place.corpus / "corpus.toml").write_text("[scales]\narousal = [1, 5]\n")
    models = (
        '"mean", "ridge", { model = "svr", grid = { C = [0.1, 1.0] } }, "logreg", '
        '{ model = "fusion", label = "both", params = { rows = ["ridge", "svr"], weights = [1.0, 3.0] } }'
    )
    path = write_suite(place.root / "suite.toml", models=models, more='targets = "values"\nseeds = [0, 1]')
    path.write_text(path.read_text().replace('"native"', '"arousal"'))
    return place


@pytest.fixture(scope="module")
def answer(valued: Place) -> dict[str, Any]:
    found: dict[str, Any] = valued.run()[0]
    return found


def test_a_run_of_values_scores_numbers_and_says_what_it_left_out(answer: dict[str, Any]) -> None:
    mean, ridge, svr, logreg, both = answer["rows"]
    assert [row["status"] for row in answer["rows"]] == ["ok", "ok", "ok", "skipped", "ok"]
    assert logreg["reason"] == "predicts classes, and the suite asks for values"
    assert answer["corpora"][0]["dropped"] == {"label-missing:arousal": 1}
    for row in (mean, ridge, svr, both):
        assert (row["uar"], row["war"], row["macro_f1"], row["uar_train"]) == (None,) * 4
        assert (row["targets"], row["n_test"]) == ("values", 44)
    assert abs(mean["ccc"]) < 0.1
    assert ridge["ccc"] > 0.8 and ridge["ccc_low"] < ridge["ccc"] < ridge["ccc_high"] <= 1
    assert ridge["rmse"] < mean["rmse"] and ridge["pearson"] > 0.8 and ridge["ccc_train"] > 0.8
    assert svr["ccc_dev"] is not None and svr["params"]["C"] == 1.0


def test_fused_numbers_are_the_weighted_mean_of_the_rows_numbers(answer: dict[str, Any]) -> None:
    records = {record.row: record for record in read_records(Path(answer["out"]))}
    keys = ["fold", "side", "utterance_id"]

    def told(row: str) -> Any:
        frame = pq.read_table(Path(answer["out"]) / records[row].predictions.path).to_pandas()
        return frame[frame["side"] != "dev"].groupby(keys)["predicted_value"].mean()

    expected = 0.25 * told("ridge") + 0.75 * told("svr")
    assert np.allclose(told("both"), expected.reindex(told("both").index)) and len(told("both")) > 44
    assert prediction_faults(Path(answer["out"]), records["both"]) == []


def test_the_stored_predictions_give_the_scores_again_and_tampering_shows(
    valued: Place, answer: dict[str, Any]
) -> None:
    out = Path(answer["out"])
    record = read_records(out)[1]
    assert record.suite.classes == () and record.confusion == () and record.per_class == ()
    assert record.predictions is not None
    test = pq.read_table(out / record.predictions.path).to_pandas().query("side == 'test'")
    assert set(test) >= {"truth_value", "predicted_value"} and not {"truth", "predicted"} & set(test)
    expected = literal_ccc(test["truth_value"].to_numpy(), test["predicted_value"].to_numpy())
    assert record.scores["ccc"].value == pytest.approx(expected, abs=1e-12)
    assert prediction_faults(out, record) == []
    assert cli.main(["report", "--check", str(out), "--json"]) == 0
    import msgspec

    scores = {**record.scores, "rmse": msgspec.structs.replace(record.scores["rmse"], value=0.1)}
    assert [fault.split()[0] for fault in prediction_faults(out, msgspec.structs.replace(record, scores=scores))] == [
        "rmse"
    ]


def test_a_kept_model_of_values_answers_numbers_for_files_and_windows(
    valued: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(valued.run("--models", "ridge", "--keep-models")[0]["out"])
    stored = pq.read_table(out / "predictions" / "000-ridge.parquet").to_pandas().query("side == 'test' and seed == 0")
    first = stored[stored["fold"] == stored["fold"].min()].iloc[0]
    table = pq.read_table(out / "utterances.parquet").to_pandas().set_index("utterance_id")
    path = str(valued.corpus / table.loc[first["utterance_id"], "path"])
    line = ["predict", str(out), "--model", "ridge", path]
    assert cli.main([*line, "--json", "--window", "0.2"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["files"]
    assert told["label"] is None and told["scores"] is None
    assert told["value"] == pytest.approx(
        np.mean([one["value"] for one in told["windows"] if one["value"] is not None])
    )
    assert cli.main([*line, "--csv"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header == "file,start_s,end_s,arousal,error"
    assert float(row.split(",")[3]) == pytest.approx(first["predicted_value"], abs=1e-5)


def test_the_board_of_values_speaks_of_ccc_and_of_no_recall(answer: dict[str, Any]) -> None:
    out = Path(answer["out"])
    for name in ("leaderboard.md", "index.html"):
        text = (out / name).read_text()
        assert "CCC" in text and "RMSE" in text and "Pearson" in text
        assert "UAR" not in text and "0 class" not in text
    table = json.loads((out / "leaderboard.json").read_text())["tables"][0]
    ranked = [row["scores"]["ccc"]["value"] for row in table["rows"] if row["rank"]]
    assert len(ranked) == 3 and ranked == sorted(ranked, reverse=True)


def test_the_canaries_tell_numbers_and_permute_them(valued: Place) -> None:
    oracle, _ = valued.run("--canary", "oracle", "--models", "ridge,svr")
    assert [row["ccc"] > 0.95 for row in oracle["rows"]] == [True, True]
    permuted, _ = valued.run("--canary", "permuted", "--models", "ridge")
    assert permuted["rows"][0]["ccc"] < 0.6


def test_any_regressor_is_a_model_of_values_and_a_classifier_is_none(valued: Place) -> None:
    found, _ = valued.run("--model", "sklearn.linear_model:Ridge", "--param", "alpha=10")
    assert (found["rows"][0]["model"], found["rows"][0]["status"]) == ("Ridge(alpha=10)", "ok")
    _, said = valued.run("--model", "sklearn.svm:SVC", code=2)
    assert "is a classifier; the suite asks for values" in said
    _, said = valued.run("--models", "logreg", code=3)
    assert "predicts classes, and the suite asks for values" in said
    _, said = valued.run("--gap", code=2)
    assert "--gap compares classes" in said


def test_another_number_under_the_same_sound_is_another_fit_and_other_scales_are_refused(tmp_path: Path) -> None:
    def run(place: Path, *corpora: str) -> subprocess.CompletedProcess[str]:
        suite = place / "suite.toml"
        text = write_suite(suite, models='"mean"', more='targets = "values"').read_text()
        listed = ", ".join(f'"{name}"' for name in corpora)
        suite.write_text(text.replace('"native"', '"valence"').replace('"small"', listed))
        line = [sys.executable, "-m", "ser_bench", "run", "--suite", str(suite), "--data", str(place / "data")]
        line += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--jobs", "1", "--json", "--quiet"]
        return subprocess.run(line, capture_output=True, text=True, timeout=240)

    means = []
    for place, low in ((tmp_path / "a", 2.0), (tmp_path / "b", 3.0)):
        for name, scale in (("one", 5), ("two", 7)):
            rows = write_small_corpus(place / "data" / name, n_each=1)
            for row in rows:
                row["valence"] = str(low + EMOTIONS.index(row["emotion"]) / 2)
            write_table(place / "data" / name / "utterances.csv", rows)
            (place / "data" / name / "corpus.toml").write_text(f"[scales]\nvalence = [1, {scale}]\n")
        answer = json.loads(run(place, "one").stdout)
        frame = pq.read_table(next((Path(answer["out"]) / "predictions").glob("*.parquet"))).to_pandas()
        means.append(frame["predicted_value"].mean())
    assert means[1] - means[0] == pytest.approx(1, abs=1e-6)
    other = run(tmp_path / "a", "one", "two")
    assert other.returncode == 4 and "other scales in the corpora: one [1.0, 5.0], two [1.0, 7.0]" in other.stderr


def test_the_permuted_canary_permutes_numbers_among_each_training_speakers_own_rows(tmp_path: Path) -> None:
    speakers, ratings = np.repeat([0, 1, 2], 4), np.arange(12) / 4
    sides = {"train_0": np.arange(8), "dev_0": np.arange(0), "test_0": np.arange(8, 12)}
    arrays = {"classes": np.zeros(12, int), "speakers": speakers, "corpora": np.zeros(12, int), "ratings": ratings}
    np.savez(tmp_path / "data.npz", **arrays, **sides)
    np.save(tmp_path / "values.npy", np.zeros((12, 1), np.float32))
    task = {"data": str(tmp_path / "data.npz"), "values": str(tmp_path / "values.npy"), "offsets": None, "fold": 0}
    task |= {"columns": ["x"], "class_names": [], "seed": 3, "device": "cpu", "threads": 1, "inner": 0, "grid": {}}
    task |= {"soft_targets": False, "normalise": "none", "permute": True, "out": str(tmp_path / "out.npz")}
    cell = FoldFit(task, tmp_path, lambda done, total: None)
    assert cell.ratings is not None and not np.array_equal(cell.ratings, ratings)
    for speaker in range(3):
        own = speakers == speaker
        assert sorted(cell.ratings[own]) == ratings[own].tolist()
    assert np.array_equal(cell.ratings[8:], ratings[8:]), "what is tested stays as it is"
    cell._normalise_by(cell.train)
    told = cell.examples(cell.train, with_classes=True)
    assert told.classes is None and told.ratings is not None and told.ratings.dtype == np.float32
    assert cell.examples(cell.test).ratings is None
