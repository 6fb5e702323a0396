"""Measures of similarity of two representations of the same items.

Representations are float64 arrays [n_items, dim]; row i of both is item i. No function holds an
items x items matrix: kernels and cosines are computed in blocks of rows.
"""

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import normalize
from sklearn.utils import gen_batches

BLOCK = 1024
WIDTH_ROWS = 1000  # the width of a Gaussian kernel comes from this many rows


def cosines(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean cosine of matched rows (a_i, b_i) and of unmatched rows (a_i, b_j), j ≠ i.

    Args:
        a, b: [n_items, dim].
    """
    a, b = normalize(a), normalize(b)
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
    a, b = normalize(a), normalize(b)
    matched = (a * b).sum(axis=1, keepdims=True)
    n_found = 0
    for rows in gen_batches(len(a), BLOCK):
        scores = a[rows] @ b.T  # [block, n_items]
        ranks = (scores >= matched[rows] - 1e-12).sum(axis=1)  # 1 for the nearest
        n_found += int((ranks <= k).sum())
    return n_found / len(a)


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al., 2019, arXiv:1905.00414).

    From 0 to 1; 1 for a rotation and scaling, 0 where a representation is the same for all items.

    Args:
        a: [n_items, dim_a].
        b: [n_items, dim_b].
    """
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
    if _is_constant(a) or _is_constant(b):
        return 0.0
    return _hsic(a, b) / np.sqrt(_hsic(a, a) * _hsic(b, b))


def _hsic(a: np.ndarray, b: np.ndarray) -> float:
    """tr(K H L H) for the kernels K of a and L of b, with H the centring matrix."""
    gamma_a, gamma_b, n = _gamma(a), _gamma(b), len(a)
    product, sums_a, sums_b = 0.0, np.empty(n), np.empty(n)
    for rows in gen_batches(n, BLOCK):
        kernel_a, kernel_b = rbf_kernel(a[rows], a, gamma_a), rbf_kernel(b[rows], b, gamma_b)
        product += (kernel_a * kernel_b).sum()
        sums_a[rows], sums_b[rows] = kernel_a.sum(axis=1), kernel_b.sum(axis=1)
    centring = 2 * (sums_a @ sums_b) / n - sums_a.sum() * sums_b.sum() / n**2
    return float(product - centring)


def _gamma(x: np.ndarray) -> float:
    """1 / (2 σ²), where the width σ is the median distance of some rows."""
    sample = np.random.default_rng(0).permutation(len(x))[:WIDTH_ROWS]
    distances = pdist(x[sample])
    width = np.median(distances) or distances.mean()
    return 1 / (2 * width**2)


def _is_constant(x: np.ndarray) -> bool:
    """Whether all rows are equal up to rounding."""
    return bool(np.linalg.norm(x - x.mean(axis=0)) <= 1e-6 * np.linalg.norm(x))
