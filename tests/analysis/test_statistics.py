"""Intervals, paired differences and Holm's correction, against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from seapkg.analysis.statistics import holm, mean_interval, paired_difference


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
