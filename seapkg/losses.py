"""The losses: ranking (BPR), four ways to align two views, and cheap ways to push two parts apart.

Views are [n_items, dim] with rows of unit norm; row i of both is item i. `temperature` is τ > 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Below this temperature rows are shifted by their maximum first, lest e^(1/τ) overflow (in float32 at τ = 1/88).
SHARP = 1 / 30
#: What a block of rows of Solosim takes, 64 rows at least: on a CPU it stays in the cache, a GPU wants few large ones.
BLOCK_BYTES = {"cpu": 2 << 20, "cuda": 256 << 20}


def bpr(positive_scores: Tensor, negative_scores: Tensor, log_base: str = "e") -> Tensor:
    """Bayesian personalised ranking (SEA Eq. 18), the mean of -log σ(s_ui - s_uj); both arguments [batch].

    `log_base` "2" is the released code's, 1/ln 2 times as large. Computed as a softplus, so it never overflows.
    """
    loss = F.softplus(negative_scores - positive_scores).mean()
    return loss / math.log(2) if log_base == "2" else loss


def embedding_norm(*rows: Tensor) -> Tensor:
    """MMRec's "EmbLoss" (spec C.6): Frobenius norms of the batch rows, not squared, added, over the batch size."""
    return sum(torch.linalg.vector_norm(part) for part in rows) / rows[-1].shape[0]


def solosim(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Solosim alignment as published (SEA Eq. 16): the mean over i of -log softmax_j(a_i·b_j / τ) at j = i.

    `a, b`: [n, dim], rows of unit norm; the released code has text in `a`, image in `b`. One direction, all other
    items as negatives: this *is* InfoNCE in one direction (spec A.5, "S-code"). Returns a scalar. Computed in
    blocks of rows: memory linear in n. Rows must be of unit norm: much longer ones overflow.
    """
    return _blocked_softmax(a, b, temperature)


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """InfoNCE in both directions: the mean of `solosim(a, b)` and `solosim(b, a)`."""
    return (solosim(a, b, temperature) + solosim(b, a, temperature)) / 2


def grace(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """MICRO's contrast, after GRACE (spec D.9): `solosim` with the other rows of `a` as further negatives.

    The mean over i of -log e^(a_i·b_i/τ) / (Σ_j e^(a_i·b_j/τ) + Σ_{j≠i} e^(a_i·a_j/τ)). Rows of unit norm, in blocks.
    """
    return _blocked_softmax(a, torch.cat([b, a]), temperature)


def positives(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Alignment without negatives (spec A.5, "S-pos"; what the paper's introduction says): the mean of -a_i·b_i / τ."""
    return -(a * b).sum(dim=1).mean() / temperature


def negative_l2(generic: Tensor, unique: Tensor) -> Tensor:
    """Negative distance (SEA Eq. 30) for one modality: minus the mean over items of ||u - g||². Unbounded below."""
    return -(unique - generic).square().sum(dim=1).mean()


def orthogonality(generic: Tensor, unique: Tensor) -> Tensor:
    """How far two parts are from a right angle, for one modality: the mean over items of cos²(g, u), from 0 to 1.

    The penalty of the subtraction-and-orthogonality paradigm that the SEA paper argues against (Theorem 1).
    """
    return F.cosine_similarity(generic, unique, dim=1).square().mean()


def difference(a: Tensor, b: Tensor) -> Tensor:
    """REARM's decorrelation of two views [n, d] (spec B17): the mean square of all d x d sums of products.

    Columns are centred over the rows, then rows divided by their norm, which is taken as constant. A sum over rows
    stands inside the square, so the value grows with their number squared.
    """
    a, b = (view - view.mean(dim=0) for view in (a, b))
    a, b = (view / (view.detach().norm(dim=1, keepdim=True) + 1e-6) for view in (a, b))
    return (a.T @ b).square().mean()


def _blocked_softmax(a: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    block_rows = max(64, BLOCK_BYTES[a.device.type] // (a.element_size() * candidates.shape[0]))
    return _BlockedSoftmax.apply(a, candidates, temperature, block_rows)


class _BlockedSoftmax(torch.autograd.Function):
    """`solosim` and its gradient in one sweep over blocks of rows, which stand as columns [m, block] of one buffer.

    `candidates`: [m, dim], what the rows of `a` [n, dim] are matched with, first their partners b. Where there are 2 n,
    the others are the rows of `a` once more, and no row is its own candidate (`grace`).

    The gradient is known up to the scalar that arrives in backward, so it is computed while the block of
    probabilities is at hand: with P the softmax and c the candidates, (P c - b) / (n τ) for a and (P' a - a) / (n τ)
    for b. P itself is never formed: its rows' sums, for which the candidates get a column of ones, divide the narrow
    factors instead.
    """

    @staticmethod
    def forward(ctx, a: Tensor, candidates: Tensor, temperature: float, block_rows: int) -> Tensor:
        (n, m), most = (len(a), len(candidates)), min(block_rows, len(a))
        b, needed = candidates[:n], any(ctx.needs_input_grad[:2])
        gradient_a, gradient_candidates = torch.empty_like(a), torch.zeros_like(candidates)
        scaled, block = candidates / temperature, a.new_empty(m * most)
        with_ones = torch.cat(
            [candidates, candidates.new_ones(m, 1)], dim=1
        ).T.contiguous()  # [dim + 1, m]
        total = -(a * b).sum() / temperature
        for start in range(0, n, most):
            rows = a[start : start + most]
            weights = torch.mm(
                scaled, rows.T, out=block[: m * len(rows)].view(m, -1)
            )  # [m, block], logits at first
            if m > n:
                weights[n + start : n + start + len(rows)].fill_diagonal_(-torch.inf)
            if temperature < SHARP:
                highest = weights.amax(dim=0)
                total += highest.sum()
                weights.sub_(highest)
            products = (with_ones @ weights.exp_()).T  # [block, dim + 1]
            sums = products[:, -1:]
            total += sums.log().sum()
            if needed:
                torch.div(products[:, :-1], sums, out=gradient_a[start : start + most])
                gradient_candidates.addmm_(weights, rows / sums)
        if needed:
            gradient_candidates[:n] -= a
            scale = n * temperature
            ctx.save_for_backward((gradient_a - b) / scale, gradient_candidates.div_(scale))
        return total / n

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        gradient_a, gradient_candidates = ctx.saved_tensors
        return gradient * gradient_a, gradient * gradient_candidates, None, None
