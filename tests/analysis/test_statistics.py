"""Intervals, paired differences and Holm's correction, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from seapkg.analysis.statistics import (
    detectable_difference,
    holm,
    mean_interval,
    paired_difference,
    permutation_p,
)


def test_interval_of_three_values_by_hand():
    # mean 2, s = 1, t(0.975; 2) = 4.30265, half width = 4.30265 / sqrt(3)
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0 and interval.n == 3
    assert interval.half_width == pytest.approx(4.302652729911275 / math.sqrt(3), rel=1e-9)


def test_interval_equals_scipys():
    values = np.random.default_rng(0).normal(size=9)
    low, high = stats.t.interval(0.95, 8, loc=values.mean(), scale=stats.sem(values))
    interval = mean_interval(values)
    assert (
        interval.mean - interval.half_width,
        interval.mean + interval.half_width,
    ) == pytest.approx((low, high))


def test_one_value_has_no_interval():
    assert math.isnan(mean_interval([0.5]).half_width)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_interval_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError):
        mean_interval(values)


def test_difference_by_hand():
    # differences by user, averaged over two seeds: 1, 2, 3
    a = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 2.0]])
    difference = paired_difference(a, np.zeros((2, 3)))
    assert difference.mean == 2.0
    assert difference.high - difference.mean == pytest.approx(
        4.302652729911275 / math.sqrt(3), rel=1e-9
    )
    assert difference.mean - difference.low == pytest.approx(difference.high - difference.mean)
    # t = 2 / (1 / sqrt(3)) = 3.4641 with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2)
    assert difference.p == pytest.approx(1 - 3.4641016151377544 / math.sqrt(14), rel=1e-9)


def test_difference_has_a_direction():
    better, worse = np.array([[2.0, 3.0, 5.0]]), np.array([[1.0, 1.0, 1.0]])
    assert paired_difference(better, worse).mean > 0 > paired_difference(worse, better).mean


def test_difference_equals_scipys_test_of_pairs_not_of_two_samples():
    a, b = np.random.default_rng(1).normal(size=(2, 40))
    b = a + 0.1 * b + 0.05
    found, oracle = paired_difference(a[None], b[None]), stats.ttest_rel(a, b)
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.low, found.high) == pytest.approx(oracle.confidence_interval())
    assert found.p < stats.ttest_ind(a, b).pvalue


def test_no_difference_anywhere_is_no_evidence():
    same = np.ones((2, 5))
    assert paired_difference(same, same).p == 1.0


def test_a_value_that_is_not_finite_is_refused():
    a = np.array([[0.1, math.nan, 0.2]])
    with pytest.raises(ValueError, match="finite"):
        paired_difference(a, np.zeros((1, 3)))


def test_users_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        paired_difference(np.ones((1, 4)), np.ones((1, 5)))


def test_holm_by_hand():
    # sorted .01 .03 .04, times 3 2 1: .03 .06 .04, and never below the one before: .03 .06 .06
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_holm_stops_at_one_and_keeps_a_single_value():
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])
    assert len(holm([])) == 0


@pytest.mark.parametrize("p", [[-0.1], [1.1], [math.nan]])
def test_holm_refuses_what_is_no_p_value(p):
    with pytest.raises(ValueError):
        holm(p)


def test_over_seeds_each_seed_is_averaged_over_users_first():
    # differences by seed: 1 and 3; mean 2, s = sqrt(2), half width = t(0.975; 1) * s / sqrt(2)
    a = np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]])
    difference = paired_difference(a, np.zeros((2, 3)), over="seeds")
    assert difference.mean == 2.0
    assert difference.high - difference.mean == pytest.approx(12.706204736432095)
    assert difference.p == pytest.approx(stats.ttest_rel([1.0, 3.0], [0.0, 0.0]).pvalue)


def test_one_seed_cannot_speak_of_other_seeds():
    difference = paired_difference(np.ones((1, 4)), np.zeros((1, 4)), over="seeds")
    assert difference.mean == 1.0 and math.isnan(difference.p) and math.isnan(difference.low)


def exact_permutation_p(differences):
    """The share of all sign patterns whose sum is at least as far from 0, by scipy."""
    total = lambda x, axis: x.sum(axis=axis)  # noqa: E731
    return stats.permutation_test(
        (differences,), total, permutation_type="samples", vectorized=True
    ).pvalue


@pytest.mark.parametrize("seed", range(4))
def test_permutation_p_equals_the_enumeration_of_all_signs_of_six_users(seed):
    differences = np.random.default_rng(seed).normal(0.5, 1, 6)
    found = permutation_p(differences[None], np.zeros((1, 6)), n_resamples=50_000)
    assert found == pytest.approx(exact_permutation_p(differences), abs=0.01)


def test_permutation_p_of_six_equal_users_by_hand():
    # all signs alike in 2 of 64 patterns, each as far from 0 as the data
    a = np.full((1, 6), 0.1) + 0.2
    assert permutation_p(a, np.full((1, 6), 0.2), 50_000) == pytest.approx(2 / 64, abs=0.004)


def test_permutation_p_averages_seeds_first_and_ignores_users_without_a_difference():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 8))
    averaged = [x.mean(axis=0, keepdims=True) for x in (a, b)]
    assert permutation_p(a, b) == permutation_p(*averaged)
    same = np.zeros((3, 500))
    assert permutation_p(np.hstack([a, same]), np.hstack([b, same])) == permutation_p(a, b)
    assert permutation_p(same, same) == 1


def test_a_detectable_difference_would_just_have_been_significant():
    values = np.array([0.1, -0.2, 0.3, 0.05])
    interval = mean_interval(values)
    detectable = detectable_difference(interval.half_width, interval.n, n_tests=5)
    for factor in (1.0001, 0.9999):
        shifted = values - interval.mean + factor * detectable
        alone = paired_difference(shifted[:, None], np.zeros((4, 1)), over="seeds").p
        assert (holm([alone, 0.9, 0.9, 0.9, 0.9])[0] < 0.05) == (factor > 1)
    assert detectable_difference(interval.half_width, 4, 1) == pytest.approx(interval.half_width)
