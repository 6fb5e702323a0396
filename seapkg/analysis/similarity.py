"""How alike two representations of the same items are: what a picture of them cannot prove.

Representations are float [n_items, dim]; row i of both is item i. Nothing here holds an items x items matrix.
"""

from __future__ import annotations

import numpy as np

BLOCK = 1024
#: Rows from which the width of a Gaussian kernel is taken.
WIDTH_ROWS = 1000


def cosines(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean cosine of matched rows (a_i, b_i), and of all unmatched ones (a_i, b_j), j ≠ i. Widths must agree."""
    _same_items(a, b)
    a, b = _unit(a), _unit(b)
    n, matched = len(a), float((a * b).sum())
    total = float(a.sum(axis=0) @ b.sum(axis=0))
    return matched / n, (total - matched) / (n * (n - 1))


def retrieval(a: np.ndarray, b: np.ndarray, k: int = 10) -> float:
    """The share of items whose row in `b` is among the `k` of `b` nearest by cosine to their row in `a`.

    Chance is k / n. Rows of `b` that tie with the right one count as nearer. Widths must agree.
    """
    _same_items(a, b)
    a, b = _unit(a), _unit(b)
    found = 0
    for rows in _blocks(len(a)):
        likeness = a[rows] @ b.T  # [block, n]
        own = (a[rows] * b[rows]).sum(axis=1, keepdims=True)
        likeness[np.arange(len(own)), np.arange(len(a))[rows]] = -np.inf
        found += int(((likeness >= own - 1e-12).sum(axis=1) < k).sum())
    return found / len(a)


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al., 2019, arXiv:1905.00414): 0 to 1, 1 for a rotation and scaling.

    Widths may differ. A part that is the same for all items is like nothing: 0.
    """
    _same_items(a, b)
    if _is_constant(a) or _is_constant(b):
        return 0.0
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float(np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)))


def normalised_hsic(a: np.ndarray, b: np.ndarray) -> float:
    """The Hilbert-Schmidt independence criterion with Gaussian kernels, over that of each with itself: 0 to 1.

    0 only where the two are independent, whatever the form of the dependence (Gretton et al., 2005); the biased
    estimate, so a little above 0 even then. Each kernel's width is the median distance of 1000 rows.
    """
    _same_items(a, b)
    if _is_constant(a) or _is_constant(b):
        return 0.0
    across, own_a, own_b = _hsic(a, b)
    return float(across / np.sqrt(own_a * own_b))


def _hsic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """tr(K H L H), tr(K H K H) and tr(L H L H), summed up block by block."""
    width_a, width_b, n = _width(a), _width(b), len(a)
    products, row_sums = np.zeros(3), np.empty((2, n))
    for rows in _blocks(n):
        kernel_a, kernel_b = _gaussian(a, rows, width_a), _gaussian(b, rows, width_b)
        products += (kernel_a * kernel_b).sum(), (kernel_a**2).sum(), (kernel_b**2).sum()
        row_sums[:, rows] = kernel_a.sum(axis=1), kernel_b.sum(axis=1)
    first, second = row_sums[[0, 0, 1]], row_sums[[1, 0, 1]]
    return (
        products
        - 2 * (first * second).sum(axis=1) / n
        + first.sum(axis=1) * second.sum(axis=1) / n**2
    )


def _gaussian(x: np.ndarray, rows: slice, width: float) -> np.ndarray:
    return np.exp(-_squared_distances(x[rows], x) / (2 * width**2))


def _width(x: np.ndarray) -> float:
    some = x[np.random.default_rng(0).permutation(len(x))[:WIDTH_ROWS]]
    distances = np.sqrt(_squared_distances(some, some)[np.triu_indices(len(some), 1)])
    return float(np.median(distances) or distances.mean() or 1.0)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0)


def _is_constant(x: np.ndarray) -> bool:
    """The same for all items, up to rounding."""
    return bool(np.linalg.norm(x - x.mean(axis=0)) <= 1e-6 * np.linalg.norm(x))


def _unit(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _same_items(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(
            f"two representations of the same items, two at least, are needed; given {len(a)}, {len(b)}"
        )
