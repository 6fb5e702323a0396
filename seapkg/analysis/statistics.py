"""The statistics of comparisons: intervals over seeds, differences paired by user and seed, Holm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

PAIRED_TESTS = {
    "users": "paired t-test over users, each averaged over seeds",
    "seeds": "paired t-test over seeds, each averaged over users",
}


@dataclass(frozen=True)
class Interval:
    """A mean over `n` values, give or take `half_width`; that is nan where one value says nothing of the spread."""

    mean: float
    half_width: float
    n: int
    level: float = 0.95

    def __str__(self) -> str:
        if np.isnan(self.half_width):
            return f"{self.mean:.4f} (n = 1, no interval)"
        return f"{self.mean:.4f} ± {self.half_width:.4f} (n = {self.n}, {100 * self.level:g} %)"


@dataclass(frozen=True)
class Difference:
    """The mean of a - b with its interval [low, high], and the p-value of the named test of no difference."""

    mean: float
    low: float
    high: float
    p: float
    n_users: int
    n_seeds: int
    test: str = PAIRED_TESTS["users"]
    level: float = 0.95


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of `values` and the half width of Student's t interval: t s / √n, with n - 1 degrees of freedom.

    One value has no interval: its half width is nan. Raises ValueError where there is no value, or one that is not
    finite.
    """
    values = _finite(values, "values")
    if values.ndim != 1:
        raise ValueError(f"values must be one row of numbers; their shape is {values.shape}")
    return Interval(float(values.mean()), _half_width(values, level), len(values), level)


def paired_difference(
    a: np.ndarray, b: np.ndarray, level: float = 0.95, over: str = "users"
) -> Difference:
    """Is a better than b, user by user and seed by seed?

    `a`, `b`: one metric, [n_seeds, n_users] or [n_users]; the same users in the same order, the same seeds in the
    same order. Over "users", each user's difference is averaged over the seeds, and the interval and the test are
    Student's over users: they speak of other users like these, and of these seeds. Over "seeds" it is the other way
    about: of other trainings, and of these users. A single seed then has no interval: nan.
    """
    a, b = (np.atleast_2d(_finite(x, name)) for x, name in ((a, "a"), (b, "b")))
    if a.shape != b.shape:
        raise ValueError(f"a pair needs its partner: a is {a.shape}, b is {b.shape} (seeds, users)")
    if over not in PAIRED_TESTS:
        raise ValueError(f"over is {' or '.join(PAIRED_TESTS)}; it is {over!r}")
    paired = (a - b).mean(axis=0 if over == "users" else 1)
    mean, half = float(paired.mean()), _half_width(paired, level)
    n_seeds, n_users = a.shape
    return Difference(
        mean,
        mean - half,
        mean + half,
        _p_value(paired),
        n_users,
        n_seeds,
        PAIRED_TESTS[over],
        level,
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction: adjusted p-values in the order given, [n].

    The k-th smallest (from 0) is multiplied by n - k, made no smaller than the one before it, and cut off at 1.
    """
    p = _finite(p_values, "p-values") if len(p_values) else np.empty(0)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p-values lie between 0 and 1; given {p.tolist()}")
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def _half_width(values: np.ndarray, level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level lies between 0 and 1, such as 0.95; it is {level}")
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values))


def _p_value(differences: np.ndarray) -> float:
    """scipy's paired t-test. No difference anywhere is no evidence at all; one pair cannot be tested."""
    if len(differences) < 2:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(stats.ttest_rel(differences, np.zeros_like(differences)).pvalue)


def _finite(values: object, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError(f"there are no {name}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers")
    return array
