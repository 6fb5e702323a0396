"""Fast form of `seapkg.losses.solosim` of a batch in which rows repeat: each row counts once."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seapkg.kernels.blocked_softmax import BLOCK_BYTES


def solosim_of_repeats(
    a: Tensor, b: Tensor, a_places: Tensor, b_places: Tensor, temperature: float
) -> Tensor:
    """As `seapkg.losses.solosim(a[a_places], b[b_places], temperature)`, for rows of any norm.

    Args:
        a: [n, dim].
        b: [m, dim].
        a_places, b_places: int64 [batch], the rows of the pairs.
        temperature: τ.
    """
    batch, scaled = len(a_places), a / temperature
    shares = torch.bincount(a_places, minlength=len(a)).to(a.dtype) / batch
    counts = torch.bincount(b_places, minlength=len(b)).to(a.dtype)
    partners = F.embedding(a_places, scaled) * F.embedding(b_places, b)  # [batch, dim]
    return _MeanLogSumExp.apply(scaled, b, shares, counts) - partners.sum() / batch


class _MeanLogSumExp(torch.autograd.Function):
    """Σ_k w_k ln Σ_l c_l e^(a_k · b_l), in blocks of rows of `a`: linear memory.

    With P the softmax, the gradients are w_k Σ_l P_kl b_l and Σ_k w_k P_kl a_k. They are computed
    in the forward pass, while a block of P is in the cache. P is not normalised: the sums of its
    rows come from a column of ones beside b, and divide the narrow factors.
    """

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, shares: Tensor, counts: Tensor) -> Tensor:
        most = BLOCK_BYTES[a.device.type] // (a.element_size() * len(b))
        block_rows = max(64, most // 64 * 64)  # products are fastest at multiples of 64
        counted = (F.pad(b, (0, 1), value=1.0) * counts[:, None]).T.contiguous()  # [dim + 1, m]
        to_a, to_b, total = torch.empty_like(a), torch.zeros_like(b), a.new_zeros(())
        for start in range(0, len(a), block_rows):
            block = slice(start, start + block_rows)
            rows, share = a[block], shares[block, None]
            weights = b @ rows.T  # logits [m, block]
            highest = weights.amax(dim=0)
            weights.sub_(highest).exp_()
            products = (counted @ weights).T  # [block, dim + 1]
            sums = products[:, -1:]
            total += (share * (sums.log() + highest[:, None])).sum()
            to_a[block] = share * products[:, :-1] / sums
            to_b.addmm_(weights, share * rows / sums)
        ctx.save_for_backward(to_a, to_b * counts[:, None])
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        to_a, to_b = ctx.saved_tensors
        return gradient * to_a, gradient * to_b, None, None
