"""Measures of similarity of two representations of the same items.

Representations are float arrays [n_items, dim]; row i of both is item i. No function holds an
items x items matrix: kernels and cosines are computed in blocks of rows.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import normalize

BLOCK = 1024
WIDTH_ROWS = 1000  # the width of a Gaussian kernel comes from this many rows


def cosines(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean cosine of matched rows (a_i, b_i) and of unmatched rows (a_i, b_j), j ≠ i.

    Args:
        a, b: [n_items, dim].
    """
    a, b = map(normalize, _same_items(a, b))
    n, matched = len(a), float((a * b).sum())
    total = float(a.sum(axis=0) @ b.sum(axis=0))
    return matched / n, (total - matched) / (n * (n - 1))


def retrieval(a: np.ndarray, b: np.ndarray, k: int = 10) -> float:
    """The share of items whose row in b is among the k nearest (by cosine) to their row in a.

    Chance is k / n_items. Rows that tie with the right one count as nearer.

    Args:
        a, b: [n_items, dim].
        k: the number of neighbours.
    """
    a, b = map(normalize, _same_items(a, b))
    items = np.arange(len(a))
    n_found = 0
    for rows in _blocks(len(a)):
        scores = a[rows] @ b.T  # [block, n_items]
        matched = (a[rows] * b[rows]).sum(axis=1, keepdims=True)
        scores[items[: len(matched)], items[rows]] = -np.inf
        n_nearer = (scores >= matched - 1e-12).sum(axis=1)
        n_found += int((n_nearer < k).sum())
    return n_found / len(a)


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al., 2019, arXiv:1905.00414).

    From 0 to 1; 1 for a rotation and scaling, 0 where a representation is the same for all items.

    Args:
        a: [n_items, dim_a].
        b: [n_items, dim_b].
    """
    a, b = _same_items(a, b)
    if _is_constant(a) or _is_constant(b):
        return 0.0
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(a.T @ b) ** 2 / norms)


def normalised_hsic(a: np.ndarray, b: np.ndarray) -> float:
    """The Hilbert-Schmidt independence criterion with Gaussian kernels (Gretton et al., 2005).

    Normalised to lie from 0 to 1. 0 means independence of any form; the estimate is biased, so
    independent representations lie a little above 0.

    Args:
        a: [n_items, dim_a].
        b: [n_items, dim_b].
    """
    a, b = _same_items(a, b)
    if _is_constant(a) or _is_constant(b):
        return 0.0
    ab, aa, bb = _hsic(a, b)
    return float(ab / np.sqrt(aa * bb))


def _hsic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """tr(K H L H), tr(K H K H) and tr(L H L H) for the kernels K of a and L of b."""
    width_a, width_b, n = _width(a), _width(b), len(a)
    products, row_sums = np.zeros(3), np.empty((2, n))
    for rows in _blocks(n):
        kernel_a, kernel_b = _gaussian(a, rows, width_a), _gaussian(b, rows, width_b)
        products += (kernel_a * kernel_b).sum(), (kernel_a**2).sum(), (kernel_b**2).sum()
        row_sums[:, rows] = kernel_a.sum(axis=1), kernel_b.sum(axis=1)
    first, second = row_sums[[0, 0, 1]], row_sums[[1, 0, 1]]
    cross = (first * second).sum(axis=1)
    totals = first.sum(axis=1) * second.sum(axis=1)
    return products - 2 * cross / n + totals / n**2


def _gaussian(x: np.ndarray, rows: slice, width: float) -> np.ndarray:
    return rbf_kernel(x[rows], x, gamma=1 / (2 * width**2))


def _width(x: np.ndarray) -> float:
    """The median distance of some rows."""
    sample = np.random.default_rng(0).permutation(len(x))[:WIDTH_ROWS]
    distances = pdist(x[sample])
    return float(np.median(distances) or distances.mean() or 1.0)


def _is_constant(x: np.ndarray) -> bool:
    """Whether all rows are equal up to rounding."""
    return bool(np.linalg.norm(x - x.mean(axis=0)) <= 1e-6 * np.linalg.norm(x))


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]


def _same_items(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, checked."""
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"needs the same items, two at least; given {len(a)} and {len(b)}")
    return np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
