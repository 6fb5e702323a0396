"""Fast form of `cosine_factors_plain` below: narrow factors where the rows have low rank."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

SHORTEST = 1e-12


def cosine_factors_plain(a: Tensor, weights: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Two tables whose product is the cosines [n, m] of `a` with the rows of `weights @ basis`.

    Args:
        a: [n, dim].
        weights: [m, rank].
        basis: [rank, dim].

    Returns:
        [n, width] and [m, width], here with width = dim.
    """
    return F.normalize(a, dim=1), F.normalize(weights @ basis, dim=1)


def cosine_factors(a: Tensor, weights: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """As `cosine_factors_plain`, but with width = min(rank, dim), as a · (wB) = (a Bᵀ) · w."""
    a, rows = F.normalize(a, dim=1), weights @ basis
    inverse_lengths = rows.norm(dim=1, keepdim=True).clamp_min(SHORTEST).reciprocal()
    if len(basis) < basis.shape[1]:
        return a @ basis.T, weights * inverse_lengths
    return a, rows * inverse_lengths
