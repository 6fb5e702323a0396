"""Statistics of comparisons: intervals, differences paired by user and seed, Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95  # of all confidence intervals


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
