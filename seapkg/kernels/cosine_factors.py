"""Fast form of two tables of unit rows: narrow factors where the rows have low rank."""

from torch import Tensor
from torch.nn import functional as F

SHORTEST = 1e-12


def cosine_factors(a: Tensor, weights: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Two tables whose product is the cosines [n, m] of `a` with the rows of `weights @ basis`.

    The plain form is the rows of both, scaled to unit norm, of width dim. As a · (wB) = (a Bᵀ) · w,
    the width is min(rank, dim).

    Args:
        a: [n, dim].
        weights: [m, rank].
        basis: [rank, dim].

    Returns:
        [n, width] and [m, width].
    """
    a, rows = F.normalize(a, dim=1), weights @ basis
    inverse_lengths = rows.norm(dim=1, keepdim=True).clamp_min(SHORTEST).reciprocal()
    if len(basis) < basis.shape[1]:
        return a @ basis.T, weights * inverse_lengths
    return a, rows * inverse_lengths
