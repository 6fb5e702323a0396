"""Attention among the coordinates of a vector, each a token of width 1 (REARM, spec B8)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: What a block of vectors' scores takes: on a CPU it stays in the cache, a GPU wants few large ones.
BLOCK_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}
LOG2_E = math.log2(math.e)
#: Powers of two up to this one can be added and divided in float32 as they are.
LARGEST_EXPONENT = 32


class DimensionAttention(nn.Module):
    """One head of width 1: the `d` coordinates of a query vector attend to those of another vector.

    With scalars w, b for query, key and value, w_o for the output, and x, y of `d` coordinates:
    out_a = w_o Σ_b softmax_b((w_q x_a + b_q)(w_k y_b + b_k)) (w_v y_b + b_v).
    There is no shift of the output: the layer norm that follows takes it out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3, 1)))  # query, key, value
        self.shifts = nn.Parameter(torch.zeros(3))
        self.out_scale = nn.Parameter(torch.empty(1).uniform_(-1, 1))

    def forward(
        self, x: Tensor, y: Tensor, rate: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """`x`, `y`: [n, d]. `rate`: of dropout on the attention weights; 1 leaves zeros. Returns [n, d]."""
        if rate == 1:
            return torch.zeros_like(x)
        query, key, value = (
            scale * tokens + shift
            for scale, shift, tokens in zip(self.scales, self.shifts, (x, y, y), strict=True)
        )
        kept, share = (
            keep_mask((*x.shape, x.shape[1]), rate, generator, x.device) if rate else (None, 1.0)
        )
        return self.out_scale * _RankOneAttention.apply(query, key, value, kept, share)


def keep_mask(shape: tuple[int, ...], rate: float, generator, device) -> tuple[Tensor, float]:
    """What dropout at `rate` keeps, uint8 0 or 1, and the share it keeps.

    A decision is read from each of 8 random bits, which is many times as fast as a draw each. Their share is a
    multiple of 1/256, at least one: of the two next to 1 - rate it is drawn so that it is 1 - rate on average.
    """
    dropped = min(int(256 * rate + float(torch.rand((), generator=generator, device=device))), 255)
    kept = _at_least(
        _random_bytes(torch.Size(shape).numel(), generator, torch.device(device)), dropped
    )
    return kept.view(torch.uint8).view(shape), 1 - dropped / 256


def _random_bytes(n: int, generator, device: torch.device) -> Tensor:
    """uint8 [n]. On a CPU NumPy draws them, seeded by `generator`: ten times as fast as torch."""
    n_words = -(-n // 8)
    if device.type != "cpu":
        words = torch.empty(n_words, dtype=torch.int64, device=device).random_(
            -(2**63), None, generator=generator
        )
    else:
        seed = int(torch.randint(2**62, (1,), generator=generator))
        draw = np.random.Generator(np.random.SFC64(seed)).integers(
            2**64, size=n_words, dtype=np.uint64
        )
        words = torch.from_numpy(draw.view(np.int64))
    return words.view(torch.uint8)[:n]


def _at_least(numbers: Tensor, least: int) -> Tensor:
    """Where bytes are `least` or more. On a CPU NumPy compares them: five times as fast as torch."""
    if numbers.device.type != "cpu":
        return numbers >= least
    return torch.from_numpy(numbers.numpy() >= np.uint8(least))


class _RankOneAttention(torch.autograd.Function):
    """out_a = Σ_b P_ab v_b, P the softmax over b of q_a k_b (dropped where not `kept`, the rest over `share`).

    Scores are of rank one, so their row maxima are known without forming them, and the gradient needs of P only
    products with a few vectors: P is formed block by block and formed again in the backward pass. Only `kept`, a byte
    a score, stays in memory. Vectors stand on the left of every product, where small ones are fastest.
    """

    @staticmethod
    def forward(
        ctx, query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None, share: float
    ) -> Tensor:
        out, sums, buffer = torch.empty_like(query), torch.empty_like(query), _buffer(query)
        for rows in _blocks(query):
            weights = _weights(query[rows], key[rows], buffer)
            torch.sum(weights, dim=2, out=sums[rows])
            if kept is not None:
                weights.mul_(kept[rows])
            out[rows] = torch.bmm(value[rows, None], weights.mT).squeeze(1) / (share * sums[rows])
        ctx.save_for_backward(query, key, value, kept, out, sums)
        ctx.share = share
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        query, key, value, kept, out, sums = ctx.saved_tensors
        to_query, to_key, to_value = (torch.empty_like(part) for part in (query, key, value))
        buffer = _buffer(query)
        for rows in _blocks(query):
            q, k, v = query[rows], key[rows], value[rows]
            weights = _weights(q, k, buffer)
            mean_key = torch.bmm(k[:, None], weights.mT).squeeze(1)
            g = gradient[rows] / sums[rows]  # each row of P carries 1 / its sum
            pulled = g * out[rows]
            mean_pull = torch.bmm((pulled * q)[:, None], weights).squeeze(1)
            if kept is not None:
                weights.mul_(kept[rows])
                g = g / ctx.share
            from_values, from_keys = torch.bmm(torch.stack([g, g * q], dim=1), weights).unbind(
                dim=1
            )
            to_value[rows] = from_values
            to_key[rows] = v * from_keys - mean_pull
            to_query[rows] = (
                g * torch.bmm((v * k)[:, None], weights.mT).squeeze(1) - pulled * mean_key
            )
        return to_query, to_key, to_value, None, None


def _weights(query: Tensor, key: Tensor, buffer: Tensor) -> Tensor:
    """e^(q_a k_b) in `buffer` [n, d, d], or e^(q_a k_b - max_b) where it could overflow; q_a times the largest or the
    least key is the maximum.

    Taken as a power of two, which torch finds in half the time.
    """
    query = query * LOG2_E
    weights = torch.mul(query[:, :, None], key[:, None, :], out=buffer[: len(query)])
    if query.abs().max() * key.abs().max() > LARGEST_EXPONENT:
        highest = torch.maximum(
            query * key.amax(dim=1, keepdim=True), query * key.amin(dim=1, keepdim=True)
        )
        weights.sub_(highest[:, :, None])
    return weights.exp2_()


def _block_rows(x: Tensor) -> int:
    return max(1, BLOCK_BYTES[x.device.type] // (x.element_size() * x.shape[1] ** 2))


def _buffer(x: Tensor) -> Tensor:
    return x.new_empty(min(_block_rows(x), len(x)), x.shape[1], x.shape[1])


def _blocks(x: Tensor) -> list[slice]:
    step = _block_rows(x)
    return [slice(start, start + step) for start in range(0, len(x), step)]
