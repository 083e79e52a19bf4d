"""Metrics agree with scikit-learn, and with what their definitions promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from ser_bench.calibration import brier_score, expected_calibration_error, negative_log_likelihood, reliability
from ser_bench.metrics import (
    METRICS,
    class_precisions,
    class_recalls,
    confusion_matrix,
    cross_entropy,
    js_divergence,
    multilabel_f1,
    soft_scores,
    speaker_confusions,
    unweighted_average_recall,
)

K = 6
ROWS = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1), st.integers(0, 4)), min_size=1, max_size=60)


def _columns(rows):
    return np.array(rows, dtype=np.int64).T


def _scores(truth, predicted):
    confusion = confusion_matrix(truth, predicted, K)
    return {name: float(score(confusion)) for name, score in METRICS.items()}


@given(ROWS)
@settings(deadline=None)
def test_every_metric_equals_scikit_learns(rows):
    truth, predicted, _ = _columns(rows)
    macro = {"labels": np.unique(truth), "average": "macro", "zero_division": 0}
    expected = {
        "uar": recall_score(truth, predicted, **macro),
        "war": accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, **macro),
        "macro_precision": precision_score(truth, predicted, **macro),
    }
    assert _scores(truth, predicted) == pytest.approx(expected, abs=1e-12)
    assert unweighted_average_recall(truth, predicted) == pytest.approx(expected["uar"], abs=1e-12)


@given(ROWS)
@settings(deadline=None)
def test_per_class_scores_equal_scikit_learns_and_are_nan_where_undefined(rows):
    truth, predicted, _ = _columns(rows)
    confusion = confusion_matrix(truth, predicted, K)
    each = {"labels": range(K), "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(class_recalls(confusion), recall_score(truth, predicted, **each), atol=1e-12)
    np.testing.assert_allclose(class_precisions(confusion), precision_score(truth, predicted, **each), atol=1e-12)


@given(ROWS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_rows_and_names_of_classes_do_not_matter(rows, random):
    truth, predicted, _ = _columns(rows)
    order, names = list(range(len(rows))), list(range(K))
    random.shuffle(order)
    random.shuffle(names)
    renamed = np.array(names)
    assert _scores(truth[order], predicted[order]) == _scores(truth, predicted)
    assert _scores(renamed[truth], renamed[predicted]) == pytest.approx(_scores(truth, predicted), abs=1e-12)


@given(ROWS, st.data())
def test_constant_predictions_have_a_uar_of_exactly_one_over_the_classes_present(rows, data):
    truth, _, _ = _columns(rows)
    present = np.unique(truth)
    constant = np.full_like(truth, data.draw(st.sampled_from(present.tolist())))
    assert unweighted_average_recall(truth, constant) == 1 / len(present)


@given(ROWS)
def test_speaker_confusions_are_those_of_each_speaker_and_sum_to_the_whole(rows):
    truth, predicted, speakers = _columns(rows)
    by_speaker = speaker_confusions(truth, predicted, 10 * speakers - 1, K)
    for matrix, speaker in zip(by_speaker, np.unique(speakers), strict=True):
        own = speakers == speaker
        np.testing.assert_array_equal(matrix, confusion_matrix(truth[own], predicted[own], K))
    np.testing.assert_array_equal(by_speaker.sum(axis=0), confusion_matrix(truth, predicted, K))


@given(ROWS)
def test_metrics_of_a_stack_are_the_metrics_of_its_matrices(rows):
    truth, predicted, speakers = _columns(rows)
    stack = speaker_confusions(truth, predicted, speakers, K)[None]
    for score in (*METRICS.values(), class_recalls, class_precisions):
        np.testing.assert_array_equal(score(stack)[0], [score(matrix) for matrix in stack[0]])


def test_confusion_matrix_has_truth_down_and_predicted_across():
    confusion = confusion_matrix(np.array([0, 0, 1], dtype=np.int8), np.array([2, 0, 2], dtype=np.int32), 3)
    assert confusion.dtype == np.int64
    assert confusion.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_a_class_absent_from_truth_is_left_out_of_every_mean_even_where_predicted():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    assert _scores(truth, predicted) == pytest.approx(
        {"uar": 0.75, "war": 0.75, "macro_f1": (2 / 3 + 1) / 2, "macro_precision": 1.0}
    )


def test_a_class_never_predicted_counts_zero_in_the_mean_precision_and_is_nan_in_the_table():
    truth, predicted = np.array([0, 1]), np.array([0, 0])
    assert _scores(truth, predicted)["macro_precision"] == 0.25
    np.testing.assert_array_equal(class_precisions(confusion_matrix(truth, predicted, 2)), [0.5, np.nan])


@pytest.mark.filterwarnings("error")
def test_an_empty_matrix_has_no_score():
    for score in METRICS.values():
        assert np.isnan(score(np.zeros((K, K), dtype=np.int64)))


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([], [], "truth is empty: at least one utterance expected"),
        ([0, 1], [0], r"truth and predicted, both \(n,\), expected, got \(2,\) and \(1,\)"),
        ([[0, 1]], [[0, 1]], r"got \(1, 2\) and \(1, 2\)"),
        ([0, K, 0], [0, 0, 0], f"truth: classes 0 to {K - 1} expected, got {K} at row 1"),
        ([0, 0], [0, -1], f"predicted: classes 0 to {K - 1} expected, got -1 at row 1"),
        ([0.0, 1.0], [0, 1], "truth: integer class indices expected, got float64"),
    ],
)
def test_bad_input_is_refused_by_name(truth, predicted, message):
    dtype = np.float64 if 1.0 in truth else np.int64
    truth, predicted = np.array(truth, dtype=dtype), np.array(predicted, dtype=np.int64)
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, predicted, K)
    with pytest.raises(ValueError, match=message):
        speaker_confusions(truth, predicted, np.zeros(truth.shape, dtype=np.int64), K)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [([], [], "truth is empty"), ([0, 1], [0], "got"), ([0, -1], [0, 0], "got -1")],
)
def test_unweighted_average_recall_refuses_bad_input(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        unweighted_average_recall(np.array(truth, dtype=np.int64), np.array(predicted, dtype=np.int64))


def test_speaker_confusions_wants_one_speaker_per_utterance():
    with pytest.raises(ValueError, match=r"one speaker per utterance expected, got \(1,\) for \(2,\)"):
        speaker_confusions(np.array([0, 1]), np.array([0, 1]), np.array([0]), 2)


COUNTS = st.lists(st.lists(st.integers(0, 6), min_size=K, max_size=K).filter(any), min_size=1, max_size=20)


def _shares(counts):
    return np.array(counts, dtype=float) / np.sum(counts, axis=1, keepdims=True)


@given(COUNTS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_scores_against_votes_equal_scipys_and_scikit_learns(counts, random):
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import entropy

    votes = _shares(counts)
    predicted = _shares([[random.randint(0, 9) for _ in range(K - 1)] + [1] for _ in counts])
    assert js_divergence(votes, predicted) == pytest.approx(np.mean(jensenshannon(votes, predicted, 2, axis=1) ** 2))
    floor = np.maximum(predicted, np.finfo(float).eps)
    expected = [entropy(q) + np.sum(q[q > 0] * np.log(q[q > 0] / p[q > 0])) for q, p in zip(votes, floor, strict=True)]
    assert cross_entropy(votes, predicted) == pytest.approx(np.mean(expected))
    target, said = votes > 1 / K, predicted > 1 / K
    if target.any():
        spoken = np.flatnonzero(target.any(axis=0))
        f1 = f1_score(target.astype(int), said.astype(int), labels=spoken, average="macro", zero_division=0)
        assert multilabel_f1(votes, predicted) == pytest.approx(f1)
    else:
        assert np.isnan(multilabel_f1(votes, predicted))


def test_a_prediction_equal_to_the_votes_is_as_good_as_can_be():
    votes = _shares([[3, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 5, 0, 0, 0]])
    assert js_divergence(votes, votes) == 0.0
    assert multilabel_f1(votes[[0, 2]], votes[[0, 2]]) == 1.0
    assert cross_entropy(votes, votes) < cross_entropy(votes, np.full_like(votes, 1 / K))
    assert js_divergence(votes[2:], votes[:1] * 0 + np.eye(K)[3]) == 1.0


def test_scores_against_votes_are_the_mean_over_seeds_of_rows_with_votes():
    votes = np.array([[1, 0], [0, 1], [np.nan, np.nan], [1, 0]])
    predicted = np.array([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1], [0.25, 0.75]])
    found = soft_scores(votes, predicted, np.array([0, 0, 0, 1]))
    of_first, of_second = (-np.log(0.5) - np.log(0.75)) / 2, -np.log(0.25)
    assert found["cross_entropy"] == pytest.approx((of_first + of_second) / 2)


PROBABILITIES = st.lists(
    st.tuples(st.integers(0, K - 1), st.lists(st.integers(0, 9), min_size=K, max_size=K).filter(any)),
    min_size=1,
    max_size=40,
)


@given(PROBABILITIES)
@settings(deadline=None)
def test_likelihood_and_brier_score_equal_scikit_learns(rows):
    from sklearn.metrics import brier_score_loss, log_loss

    truth, p = np.array([of for of, _ in rows]), _shares([shares for _, shares in rows])
    floored = np.maximum(p, 1e-15)
    assert negative_log_likelihood(truth, p) == pytest.approx(log_loss(truth, floored, labels=range(K)), rel=1e-6)
    binary = [brier_score_loss(truth == k, p[:, k], pos_label=True) for k in range(K)]
    assert brier_score(truth, p) == pytest.approx(sum(binary))


@given(PROBABILITIES)
@settings(deadline=None)
def test_calibration_error_equals_a_naive_loop_over_bins(rows):
    truth, p = np.array([of for of, _ in rows]), _shares([shares for _, shares in rows])
    predicted = p.argmax(axis=1)
    confidence, error = p.max(axis=1), 0.0
    for b in range(15):
        inside = (confidence * 15 > b) & (confidence * 15 <= b + 1)
        if inside.any():
            error += inside.mean() * abs((truth == predicted)[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(truth, predicted, p) == pytest.approx(error)
    bins = reliability(truth, predicted, p)
    assert bins.n.sum() == len(truth) and (bins.n > 0).all() and (np.diff(bins.confidence) > 0).all()


def test_honest_and_overconfident_probabilities_are_told_apart():
    truth = np.array([0, 0, 0, 1])
    honest, sure = np.tile([0.75, 0.25], (4, 1)), np.tile([1.0, 0.0], (4, 1))
    assert expected_calibration_error(truth, truth * 0, honest) == 0
    assert expected_calibration_error(truth, truth * 0, sure) == 0.25
    assert negative_log_likelihood(truth, sure) == pytest.approx(-np.log(1e-15) / 4)
    assert expected_calibration_error(truth, truth * 0 + 1, sure) == 0.25  # the label is the model's own: confidence 0
    with pytest.raises(ValueError, match="a row of probabilities per truth"):
        brier_score(truth, honest[:3])
