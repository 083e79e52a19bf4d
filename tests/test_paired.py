"""Differences of two rows agree with independent implementations, and err as rarely as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_bench import stats
from ser_bench.errors import DataError
from ser_bench.metrics import METRICS
from ser_bench.paired import Pairing, compare_rows, holm, rank_groups, seed_spread
from ser_bench.predictions import Answers
from ser_bench.rating_metrics import ccc

N_CLASSES = 4


def answers(truth, predicted, speakers, *, corpora=("c",)) -> Answers:
    """Return a row's answers; speakers are dealt to the corpora in turn."""
    codes = np.unique(speakers[speakers >= 0])
    names = sorted(f"{corpora[code % len(corpora)]}:{code:04}" for code in codes.tolist())
    place = {int(name.partition(":")[2]): i for i, name in enumerate(names)} | {-1: -1}
    predicted = np.atleast_2d(predicted)
    return Answers(
        utterance_ids=np.array([f"u{i:06}" for i in range(len(truth))], dtype=object),
        speakers=np.array([place[code] for code in speakers.tolist()]),
        speaker_names=tuple(names),
        genders=np.full(len(truth), None),
        seeds=np.arange(len(predicted)),
        truth=np.asarray(truth),
        predicted=predicted,
        scores=None,
        probabilities=False,
    )


def made_up(seed, n_speakers, n=None, levels=(0.5, 0.6), seeds=(1, 2), corpora=("c",)):
    """Return two rows of unequally understood speakers."""
    random = np.random.RandomState(seed)
    n = n or 12 * n_speakers
    truth, speakers = random.randint(N_CLASSES, size=n), np.arange(n) % n_speakers
    understood = random.normal(0, 0.1, size=n_speakers)[speakers]
    rows = []
    for level, n_seeds in zip(levels, seeds, strict=True):
        right = random.random_sample((n_seeds, n)) < level + understood
        rows.append(
            answers(
                truth, np.where(right, truth, random.randint(N_CLASSES, size=(n_seeds, n))), speakers, corpora=corpora
            )
        )
    return rows


def compare(ours, theirs, primary="uar"):
    return compare_rows(ours, theirs, n_classes=N_CLASSES, primary=primary)


def shares(ours, theirs):
    """Return what each speaker adds to the difference of two UARs, by the formula."""
    n_k = np.bincount(ours.truth, minlength=N_CLASSES)
    gain = (theirs.predicted == ours.truth).mean(axis=0) - (ours.predicted == ours.truth).mean(axis=0)
    worth = gain / ((n_k > 0).sum() * n_k[ours.truth])
    return np.array([worth[ours.speakers == g].sum() for g in range(len(ours.speaker_names))])


# Against others


@pytest.mark.parametrize("n_speakers", [6, 9, 13])
def test_the_test_of_few_speakers_is_scipys_exact_permutation_test(n_speakers):
    from scipy.stats import permutation_test

    ours, theirs = made_up(n_speakers, n_speakers)
    expected = permutation_test(
        (shares(ours, theirs),), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    found = compare(ours, theirs)
    assert found.value == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)


def test_drawn_swaps_come_near_scipys_test():
    from scipy.stats import permutation_test

    ours, theirs = made_up(3, 24, levels=(0.5, 0.54))
    of = (shares(ours, theirs),)
    expected = permutation_test(of, np.sum, permutation_type="samples", n_resamples=50_000, alternative="two-sided")
    assert compare(ours, theirs).p == pytest.approx(expected.pvalue, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_the_naive_test_is_statsmodels_mcnemar_of_the_first_seeds(seed):
    from statsmodels.stats.contingency_tables import mcnemar

    ours, theirs = made_up(seed, 8)
    a, b = (row.predicted[0] == row.truth for row in (ours, theirs))
    table = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    assert compare(ours, theirs).p_naive == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None)
def test_holm_is_statsmodels_holm(p):
    from statsmodels.stats.multitest import multipletests

    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)


@pytest.mark.parametrize("primary", ["uar", "war", "macro_f1"])
@pytest.mark.parametrize("n_speakers", [7, 22])
def test_the_interval_is_that_of_a_score_for_the_difference_of_two(primary, n_speakers):
    ours, theirs = made_up(1, n_speakers, seeds=(2, 2))
    both = stats.side_by_side(ours.confusions(N_CLASSES), theirs.confusions(N_CLASSES))
    expected = stats.score_with_interval(both, stats.difference(METRICS[primary]), lowest=-1.0)
    found = compare(ours, theirs, primary)
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-9
    )
    assert expected.method in found.method


@pytest.mark.parametrize("primary", ["uar", "war"])
def test_sums_of_hits_and_swapped_confusion_matrices_are_the_same_test(primary, monkeypatch):
    for n_speakers in (4, 8, 21):
        ours, theirs = made_up(5, n_speakers, n=120, seeds=(2, 3))
        fast = compare(ours, theirs, primary)
        monkeypatch.setitem(METRICS, "another", METRICS[primary])
        slow = compare(ours, theirs, "another")
        for name in ("value", "low", "high", "p", "p_naive", "detectable"):
            assert getattr(slow, name) == pytest.approx(getattr(fast, name), abs=1e-9), name
        assert slow.method == fast.method


def test_numbers_are_compared_by_swapping_speakers_too():
    random = np.random.RandomState(0)
    speakers, truth = np.arange(120) % 8, random.normal(size=120)
    ours, theirs = (answers(truth, truth + random.normal(0, sd, size=120), speakers) for sd in (1.5, 0.4))
    found = compare_rows(ours, theirs, n_classes=0, primary="ccc")
    assert found.value == pytest.approx(ccc(truth, theirs.predicted[0]) - ccc(truth, ours.predicted[0]))
    large = 0
    for code in range(128):
        swapped = np.isin(ours.speakers, [g for g in range(8) if code >> g & 1])
        a, b = np.where(swapped, theirs.predicted, ours.predicted), np.where(swapped, ours.predicted, theirs.predicted)
        large += abs(ccc(truth, b[0]) - ccc(truth, a[0])) >= found.value - 1e-12
    assert (found.p, found.p_naive) == (large / 128, None)
    assert found.low < found.value < found.high


# What holds for any two rows


@given(
    seed=st.integers(0, 2**32 - 1),
    n_speakers=st.sampled_from([1, 2, 5, 6, 12, 14, 20]),
    seeds=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    primary=st.sampled_from(["uar", "war", "macro_f1"]),
)
@settings(max_examples=40, deadline=None)
def test_the_other_way_round_is_the_same_with_the_other_sign(seed, n_speakers, seeds, primary):
    ours, theirs = made_up(seed, n_speakers, n=60, seeds=seeds)
    one, other = compare(ours, theirs, primary), compare(theirs, ours, primary)
    assert one.value == pytest.approx(-other.value, abs=1e-12)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)
    assert (one.p, one.p_naive, one.detectable) == pytest.approx((other.p, other.p_naive, other.detectable))
    assert 0 < one.p <= 1 and 0 < one.p_naive <= 1


@pytest.mark.parametrize("n_speakers", [1, 3, 6, 24])
def test_a_row_does_not_differ_from_itself(n_speakers):
    row, _ = made_up(2, n_speakers)
    found = compare(row, row)
    assert (found.value, found.low, found.high, found.p, found.p_naive) == (0, 0, 0, 1, 1)
    assert found.detectable is None


def test_a_row_compares_the_same_alone_and_in_a_table():
    rows = [made_up(7, 16, levels=(level, level))[0] for level in (0.3, 0.5, 0.6, 0.8)]
    rows = [replace(row, truth=rows[0].truth) for row in rows]
    together = Pairing(rows, n_classes=N_CLASSES, primary="uar").compare([0, 2, 3], 1)
    for row, found in zip((0, 2, 3), together, strict=True):
        alone = compare(rows[row], rows[1])
        assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high), abs=1e-12)
        assert (found.p, found.method) == (alone.p, alone.method)


def test_a_class_of_one_speaker_is_left_out_of_draws_without_that_speaker():
    truth, speakers = np.zeros(80, dtype=int), np.arange(80) % 20
    truth[0] = 1
    ours, theirs = answers(truth, truth * 0 + 1, speakers), answers(truth, truth * 0, speakers)
    found = compare(ours, theirs)
    assert (found.value, found.low, found.high) == pytest.approx((0.0, 0.0, 1.0))


# What a method can't do, and says


def test_five_speakers_are_tested_on_their_own_utterances_only():
    ours, theirs = made_up(0, 5, n=400, levels=(0.4, 0.6))
    found = compare(ours, theirs)
    assert found.method.startswith("these 5 speakers only: 10,000 swaps of 400 utterances; bootstrap of utterances")
    assert found.p < 0.01 and found.low > 0
    assert compare(*made_up(0, 1)).method.startswith("this speaker only")


def test_below_six_speakers_how_unlike_speakers_are_is_no_part_of_the_interval():
    speakers = np.arange(80) % 2
    truth = speakers * 0
    found = compare(answers(truth, speakers, speakers), answers(truth, 1 - speakers, speakers), "war")
    assert (found.value, found.low, found.high, found.p) == pytest.approx((0, 0, 0, 1))


def test_an_utterance_that_several_folds_test_is_swapped_as_one():
    ours, theirs = made_up(0, 2, n=100)
    twice = [
        replace(
            row,
            utterance_ids=np.repeat(row.utterance_ids, 2),
            speakers=np.repeat(row.speakers, 2),
            truth=np.repeat(row.truth, 2),
            predicted=np.repeat(row.predicted, 2, axis=1),
        )
        for row in (ours, theirs)
    ]
    one, other = compare(ours, theirs), compare(*twice)
    assert (one.p, one.low, one.high) == pytest.approx((other.p, other.low, other.high), abs=1e-12)
    assert (one.n, other.n) == (100, 200)


def test_six_speakers_can_reach_five_per_cent_and_five_could_not():
    speakers, truth = np.arange(60) % 6, np.arange(60) % 2
    found = compare(answers(truth, 1 - truth, speakers), answers(truth, truth, speakers))
    assert found.p == 1 / 32
    assert found.method.startswith("all 32 swaps of 6 speakers; delete-one-speaker jackknife, t(5)")


def test_unknown_speakers_give_a_difference_without_p_and_the_reason():
    truth = np.arange(80) % 2
    speakers = np.where(np.arange(80) == 7, -1, np.arange(80) % 8)
    found = compare(answers(truth, truth * 0, speakers), answers(truth, truth, speakers))
    assert (found.value, found.p, found.low, found.high, found.detectable) == (0.5, None, None, None, None)
    assert found.method == "none: 1 utterance of unknown speakers"


def test_speakers_of_several_corpora_are_drawn_within_their_corpus():
    ours, theirs = made_up(4, 24, corpora=("a", "b"))
    found = compare(ours, theirs)
    assert found.method.endswith("cluster bootstrap over 24 speakers, 10,000 draws, within each corpus")
    strata = np.array([name[0] == "b" for name in ours.speaker_names]).astype(int)
    draws = np.concatenate(list(stats.resampling_counts(24, 999, strata)))
    assert (draws[:, strata == 0].sum(axis=1) == 12).all() and (draws.sum(axis=1) == 24).all()
    np.testing.assert_array_equal(draws, np.concatenate(list(stats.resampling_counts(24, strata=strata))))
    few = compare(*made_up(4, 8, corpora=("a", "b")))
    assert few.method.endswith("delete-one-speaker jackknife, t(6), within each corpus")


def test_the_errors_of_strata_add_up():
    random = np.random.RandomState(0)
    one, other = random.normal(size=5), random.normal(3, 2, size=7)
    expected = np.sqrt(stats.jackknife_error(one) ** 2 + stats.jackknife_error(other) ** 2)
    strata = np.array([0] * 5 + [1] * 7)
    assert stats.jackknife_error(np.concatenate([one, other]), strata) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda row: {"utterance_ids": row.utterance_ids[::-1]}, "other utterances"),
        (lambda row: {"truth": 1 - row.truth}, "other truths"),
        (lambda row: {"speakers": row.speakers[::-1]}, "other speakers"),
        (lambda row: {"speaker_names": tuple(f"x{name}" for name in row.speaker_names)}, "other speakers"),
        (lambda row: {"utterance_ids": row.utterance_ids[1:]}, "96 and 95 columns"),
    ],
)
def test_rows_of_other_test_sets_are_refused(change, what):
    ours, theirs = made_up(0, 8)
    with pytest.raises(DataError, match=what):
        compare(ours, replace(theirs, **change(theirs)))


# Ranks


def test_rows_that_can_not_be_told_from_their_groups_leader_share_its_rank():
    p = {("a", "b"): 0.4, ("a", "c"): 0.001, ("a", "d"): 0.9, ("c", "d"): 0.3, ("a", "e"): 0.001, ("c", "e"): 0.004}
    names, asked = "abcde", []

    def against(leader, rest):
        asked.append((names[leader], [names[row] for row in rest]))
        return [p[names[leader], names[row]] for row in rest]

    assert rank_groups([0.9, 0.8, 0.7, 0.6, 0.5], against) == [1, 1, 3, 3, 5]
    assert asked == [("a", ["b", "c", "d", "e"]), ("c", ["d", "e"]), ("e", [])]


def test_a_p_of_five_per_cent_is_corrected_for_the_comparisons_of_its_table():
    assert rank_groups([2, 1], lambda leader, rest: [0.02] * len(rest)) == [1, 2]
    assert rank_groups([3, 2, 1], lambda leader, rest: [0.02, 0.9][: len(rest)]) == [1, 2, 2]
    assert rank_groups([4, 3, 2, 1], lambda leader, rest: [0.02, 0.9, 0.9][: len(rest)]) == [1, 1, 1, 1]


def test_nobody_is_worse_where_nobody_can_tell():
    assert rank_groups([0.1, 0.9, 0.5], lambda leader, rest: [np.nan] * len(rest)) == [1, 1, 1]
    assert rank_groups([0.1], lambda leader, rest: []) == [1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_ranks_never_fall_as_scores_do(scores, seed):
    random = np.random.RandomState(seed)
    ranks = rank_groups(scores, lambda leader, rest: random.choice([1e-6, 0.5], size=len(rest)))
    by_score = [ranks[row] for row in sorted(range(len(scores)), key=lambda row: -scores[row])]
    assert by_score == sorted(by_score)
    assert all(rank == 1 + sum(other < rank for other in ranks) for rank in ranks)


def test_the_swaps_of_a_large_table_let_a_corrected_p_reach_five_per_cent():
    rows = [made_up(0, 14, n=140)[0]] * 300
    p = Pairing(rows, n_classes=N_CLASSES, primary="uar")
    assert holm([1 / (1 + p._n_swaps)] * 299).max() < 0.05


def test_seeds_have_a_spread_of_their_own():
    row, several = made_up(0, 6, seeds=(1, 3))
    assert seed_spread(row, n_classes=N_CLASSES, primary="uar") is None
    uars = [
        np.mean([(line == several.truth)[several.truth == k].mean() for k in range(N_CLASSES)])
        for line in several.predicted
    ]
    assert seed_spread(several, n_classes=N_CLASSES, primary="uar") == pytest.approx(np.std(uars, ddof=1))


# How often they err


def clustered(random, n_speakers, gain, n_each=24):
    """Return two rows whose expected difference is ``gain``, which speakers share unequally."""
    n = n_speakers * n_each
    speakers, truth = np.repeat(np.arange(n_speakers), n_each), np.tile(np.arange(n_each) % N_CLASSES, n_speakers)
    easy = random.uniform(-0.15, 0.15, size=n_speakers)[speakers]
    favoured = random.uniform(-0.2, 0.2, size=n_speakers)[speakers]
    common = random.random_sample(n)  # both rows find the same utterances hard
    rows = []
    for level in (0.5 + easy, 0.5 + easy + favoured + gain):
        mixed = np.where(random.random_sample(n) < 0.5, common, random.random_sample(n))
        rows.append(answers(truth, np.where(mixed < level, truth, (truth + 1) % N_CLASSES), speakers))
    return rows


def rates(n_speakers, gain, n_trials):
    """Return how often the interval holds the expected difference, and how often each test finds one."""
    random = np.random.RandomState(n_speakers)
    held, found, naive = [], [], []
    for _ in range(n_trials):
        of = compare(*clustered(random, n_speakers, gain))
        held.append(of.low <= gain <= of.high)
        found.append(of.p < 0.05)
        naive.append(of.p_naive < 0.05)
    return tuple(float(np.mean(of)) for of in (held, found, naive))


def test_interval_and_test_hold_what_they_promise_on_a_few_simulations():
    held, found, naive = rates(12, 0.0, 150)
    assert held > 0.9 and found < 0.1 and naive > found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_speakers", "least", "seldom"),
    [(6, 0.94, 0.0), (12, 0.94, 0.025), (24, 0.92, 0.03)],  # of 32 swaps one can be extreme, and none where two tie
)
def test_nineteen_of_twenty_intervals_hold_the_truth_and_one_test_in_twenty_is_wrong(n_speakers, least, seldom):
    held, found, naive = rates(n_speakers, 0.0, 2000)
    print(f"{n_speakers} speakers: interval {held:.3f}, test {found:.3f}, McNemar {naive:.3f}")
    assert least < held < 0.97
    assert seldom < found < 0.062
    assert naive > 0.08


@pytest.mark.slow
def test_a_detectable_difference_is_found_four_times_in_five():
    random = np.random.RandomState(9)
    typical = float(np.median([compare(*clustered(random, 12, 0.0)).detectable for _ in range(300)]))
    _, found, _ = rates(12, typical, 1000)
    print(f"detectable {typical:.3f}: found in {found:.3f}")
    assert 0.72 < found < 0.88
