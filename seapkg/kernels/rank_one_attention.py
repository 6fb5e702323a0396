"""Fast form of `seapkg.models.rearm_parts.coordinate_attention`: scores are formed in blocks."""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Size of a block of scores: on a CPU it stays in the cache, a GPU prefers few large ones.
BLOCK_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}
LOG2_E = math.log2(math.e)
#: Powers of two up to this one can be summed and divided in float32 without a shift.
LARGEST_EXPONENT = 32


def rank_one_attention(
    query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """out_a = Σ_b P_ab v_b, with P the softmax over b of q_a k_b, for each row of the arguments.

    Args:
        query, key, value: [n, d].
        keep: uint8 [n, d, d], 0 where dropout removes a weight; None without dropout.
        share: the share of weights that dropout keeps; the kept ones are divided by it.

    Returns:
        [n, d].
    """
    return _RankOneAttention.apply(query, key, value, keep, share)


class _RankOneAttention(torch.autograd.Function):
    """Attention whose scores are of rank one.

    The row maxima of such scores are known without forming them, and the gradient needs P only in
    products with a few vectors. So P is formed block by block, and again in the backward pass; only
    `keep` stays in memory. Vectors are the left factor of each product, where small ones are
    fastest.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None, share: float):
        out, sums = torch.empty_like(query), torch.empty_like(query)
        for rows, buffer in _blocks(query):
            weights = _exponentials(query[rows], key[rows], buffer)
            torch.sum(weights, dim=2, out=sums[rows])
            if keep is not None:
                weights.mul_(keep[rows])
            out[rows] = _times(value[rows], weights.mT) / (share * sums[rows])
        ctx.save_for_backward(query, key, value, keep, out, sums)
        ctx.share = share
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        query, key, value, keep, out, sums = ctx.saved_tensors
        to_query, to_key, to_value = (torch.empty_like(part) for part in (query, key, value))
        for rows, buffer in _blocks(query):
            q, k, v = query[rows], key[rows], value[rows]
            weights = _exponentials(q, k, buffer)
            mean_key = _times(k, weights.mT)
            g = gradient[rows] / sums[rows]  # each row of P carries 1 / its sum
            pulled = g * out[rows]
            mean_pull = _times(pulled * q, weights)
            if keep is not None:
                weights.mul_(keep[rows])
                g = g / ctx.share
            from_values, from_keys = torch.bmm(torch.stack([g, g * q], dim=1), weights).unbind(1)
            to_value[rows] = from_values
            to_key[rows] = v * from_keys - mean_pull
            to_query[rows] = g * _times(v * k, weights.mT) - pulled * mean_key
        return to_query, to_key, to_value, None, None


def _times(vectors: Tensor, matrices: Tensor) -> Tensor:
    """Each of the `vectors` [n, d] times its matrix of `matrices` [n, d, d]. Returns [n, d]."""
    return torch.bmm(vectors[:, None], matrices).squeeze(1)


def _exponentials(query: Tensor, key: Tensor, buffer: Tensor) -> Tensor:
    """e^(q_a k_b) in `buffer` [n, d, d], as a power of two, which torch computes in half the time.

    Where it could overflow, the maximum over b is subtracted: q_a times the largest or the smallest
    key.
    """
    query = query * LOG2_E
    weights = torch.mul(query[:, :, None], key[:, None, :], out=buffer[: len(query)])
    if query.abs().max() * key.abs().max() > LARGEST_EXPONENT:
        of_largest = query * key.amax(dim=1, keepdim=True)
        of_smallest = query * key.amin(dim=1, keepdim=True)
        weights.sub_(torch.maximum(of_largest, of_smallest)[:, :, None])
    return weights.exp2_()


def _blocks(x: Tensor):
    """Slices of the rows of `x` [n, d], each with a buffer [rows, d, d] that all share."""
    n, d = x.shape
    step = max(1, min(n, BLOCK_BYTES[x.device.type] // (x.element_size() * d * d)))
    buffer = x.new_empty(step, d, d)
    for start in range(0, n, step):
        yield slice(start, start + step), buffer
