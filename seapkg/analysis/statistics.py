"""Statistics of comparisons: intervals, paired differences, permutation test, Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95  # of all confidence intervals
N_RESAMPLES = 9999  # of a permutation test
BATCH = 500  # resamples at once


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval.

    Attributes:
        mean: the mean of the values.
        half_width: half the width of the interval; nan for a single value.
        n: the number of values.
    """

    mean: float
    half_width: float
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of a - b, its 95 % confidence interval and the p-value of "no difference".

    Attributes:
        mean, low, high: the mean difference and its interval.
        p: the p-value of Student's paired test.
    """

    mean: float
    low: float
    high: float
    p: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of `values` and Student's t interval.

    Args:
        values: [n], finite, n >= 1.

    Raises:
        ValueError: if there is no value, or one is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a mean needs at least one value, all of them finite; given {values}")
    n, half_width = len(values), float("nan")
    if n > 1:
        half_width = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * stats.sem(values))
    return Interval(float(values.mean()), half_width, n)


def paired_difference(a: np.ndarray, b: np.ndarray, over: str = "users") -> Difference:
    """Tests whether a is better than b, paired by user and seed.

    Over "users", a user's differences are averaged over the seeds first; the interval generalises
    to other users and holds for these seeds. Over "seeds" it is the other way round, and a single
    seed has no interval (nan).

    Args:
        a, b: one metric, [n_seeds, n_users], same users and seeds in the same order.
        over: "users" or "seeds".

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    if a.shape != b.shape:
        raise ValueError(f"a and b need one shape [n_seeds, n_users]; given {a.shape}, {b.shape}")
    differences = np.subtract(a, b, dtype=np.float64).mean(axis={"users": 0, "seeds": 1}[over])
    interval = mean_interval(differences)
    low, high = interval.mean - interval.half_width, interval.mean + interval.half_width
    return Difference(interval.mean, low, high, _p_value(differences))


def permutation_p(a: np.ndarray, b: np.ndarray, n_resamples: int = N_RESAMPLES) -> float:
    """The p-value of a two-sided permutation test over users, which assumes no distribution.

    Without a difference, a and b are exchangeable within each user. So the users' differences,
    averaged over the seeds first, get random signs, drawn with a fixed seed. The p-value is the
    share of resamples, the observed one included, whose mean is at least as far from 0.

    Args:
        a, b: as in `paired_difference`.
        n_resamples: the number of random resamples.
    """
    differences = np.subtract(a, b, dtype=np.float64).mean(axis=0)
    sizes = np.abs(differences[differences != 0])  # a difference of 0 has no sign to flip
    observed = abs(differences.sum()) - 1e-9 * sizes.sum()  # ties count in spite of rounding
    generator = np.random.default_rng(0)
    n_extreme = 0
    for start in range(0, n_resamples, BATCH):
        shape = (min(BATCH, n_resamples - start), len(sizes))
        is_positive = generator.integers(0, 2, shape, dtype=np.int8)
        sums = 2 * (is_positive @ sizes) - sizes.sum()
        n_extreme += int((np.abs(sums) >= observed).sum())
    return (1 + n_extreme) / (1 + n_resamples)


def detectable_difference(half_width: float, n: int, n_tests: int) -> float:
    """The smallest difference that would have been significant, given the observed spread.

    It is the half-width of the interval at the level 1 - .05 / n_tests: a difference larger than
    this is significant after Holm's correction, whatever the other tests of the family find.

    Args:
        half_width: of the 95 % interval of the paired difference.
        n: the number of users or seeds behind the interval.
        n_tests: the size of Holm's family.
    """
    family, single = (stats.t.ppf(1 - (1 - LEVEL) / (2 * tests), n - 1) for tests in (n_tests, 1))
    return float(half_width * family / single)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction for several tests.

    The k-th smallest p-value (from 0) is multiplied by n - k, raised to the one before it where
    that is larger, and limited to 1.

    Args:
        p_values: [n], between 0 and 1.

    Returns:
        The corrected p-values, [n], in the given order.

    Raises:
        ValueError: if a p-value is nan or outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1; given {p.tolist()}")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected


def _p_value(differences: np.ndarray) -> float:
    """Student's test of a mean of 0; 1 where all differences are 0, nan for a single one."""
    if len(differences) < 2:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(stats.ttest_1samp(differences, 0).pvalue)
