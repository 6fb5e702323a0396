"""The losses as the papers write them: ranking, alignment of views, separation of parts.

Views are [n_items, dim] with rows of unit norm; row i of both belongs to item i. `temperature` is τ
> 0. Models call the fast forms of the softmax losses in `seapkg.kernels.blocked_softmax`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def bpr(positive_scores: Tensor, negative_scores: Tensor, log_base: str = "e") -> Tensor:
    """Bayesian personalised ranking (SEA Eq. 18): the mean of -log σ(s_ui - s_uj), as a softplus.

    Args:
        positive_scores: [batch], scores of the observed items.
        negative_scores: [batch], scores of the sampled items.
        log_base: "e", or "2" as in SEA's published code (1 / ln 2 times as large).
    """
    loss = F.softplus(negative_scores - positive_scores).mean()
    return loss / math.log(2) if log_base == "2" else loss


def embedding_norm(*rows: Tensor) -> Tensor:
    """MMRec's "EmbLoss": the sum of the Frobenius norms of `rows`, over the batch size.

    Args:
        rows: [batch, dim] each.
    """
    return sum(torch.linalg.vector_norm(part) for part in rows) / rows[-1].shape[0]


def half_squares(*rows: Tensor, batch_size: int) -> Tensor:
    """Half the sum of the squares of `rows` [batch, dim] each, over `batch_size` (MICRO)."""
    return sum(part.square().sum() for part in rows) / (2 * batch_size)


def solosim(a: Tensor, b: Tensor, temperature: float, partners: Tensor | None = None) -> Tensor:
    """Solosim alignment (SEA Eq. 16): the mean over i of -log softmax_j(a_i·b_j / τ) at j = i.

    This is InfoNCE in one direction, with all other items as negatives. The published code has text
    in `a` and image in `b`.

    Args:
        a: [n, dim], rows of unit norm.
        b: [m, dim], likewise.
        temperature: τ.
        partners: int64 [n], the row j of `b` that belongs to row i; by default m = n and j = i.
    """
    logits = a @ b.T / temperature  # [n, m]
    if partners is None:
        partners = torch.arange(len(a), device=a.device)
    return F.cross_entropy(logits, partners)


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """InfoNCE: the mean of both directions of `solosim`. `a, b`: [n, dim], rows of unit norm."""
    return (solosim(a, b, temperature) + solosim(b, a, temperature)) / 2


def grace(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """MICRO's contrast, after GRACE: `solosim` with the other rows of `a` as further negatives.

    The mean over i of -log e^(a_i·b_i/τ) / (Σ_j e^(a_i·b_j/τ) + Σ_{j≠i} e^(a_i·a_j/τ)). `a, b`: [n,
    dim].
    """
    between = a @ b.T / temperature  # [n, n]
    within = (a @ a.T / temperature).fill_diagonal_(-torch.inf)  # no row is its own negative
    logits = torch.cat([between, within], dim=1)  # [n, 2 n]
    return F.cross_entropy(logits, torch.arange(len(a), device=a.device))


def positives(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """The mean of -a_i·b_i / τ: alignment without negatives, as in SEA's introduction.

    Args:
        a, b: [n, dim], rows of unit norm.
        temperature: τ.
    """
    return -(a * b).sum(dim=1).mean() / temperature


def negative_l2(generic: Tensor, unique: Tensor) -> Tensor:
    """Negative distance (SEA Eq. 30) of one modality: minus the mean over items of ||u - g||².

    It has no lower bound.

    Args:
        generic, unique: [n_items, dim].
    """
    return -(unique - generic).square().sum(dim=1).mean()


def orthogonality(a: Tensor, b: Tensor) -> Tensor:
    """The mean over items of cos²(a, b), from 0 to 1: an orthogonality penalty.

    SEA Sec. 2 criticises it between the unique parts of two modalities
    (`distancing="subtraction"`). Between the generic and the unique part of one modality it is
    `distancing="orthogonal"`, which the paper does not describe.

    Args:
        a, b: [n_items, dim].
    """
    return F.cosine_similarity(a, b, dim=1).square().mean()


def difference(a: Tensor, b: Tensor) -> Tensor:
    """REARM's decorrelation of two views: the mean square of their columns' inner products (B17).

    Columns are centred, then rows are divided by their norm, which counts as a constant. The sum
    over rows stands inside the square, so the value grows with the square of their number.

    Args:
        a, b: [batch, dim].
    """
    a, b = (view - view.mean(dim=0) for view in (a, b))
    a, b = (view / (view.detach().norm(dim=1, keepdim=True) + 1e-6) for view in (a, b))
    return (a.T @ b).square().mean()
