"""Fast forms of `seapkg.losses.solosim`, `info_nce` and `grace`: blocks of rows, linear memory."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Below this temperature the row maximum is subtracted; e^(1/τ) overflows float32 at τ = 1/88.
LOW_TEMPERATURE = 1 / 30
#: Size of a block, 64 rows at least: on a CPU it stays in the cache, a GPU prefers few large ones.
BLOCK_BYTES = {"cpu": 2 << 20, "cuda": 256 << 20}


def solosim(a: Tensor, b: Tensor, temperature: float, partners: Tensor | None = None) -> Tensor:
    """As `seapkg.losses.solosim` (SEA Eq. 16). Products of rows of `a` and `b` are from -1 to 1."""
    return _blocked_softmax(a, b, temperature, partners)


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """As `seapkg.losses.info_nce`. `a, b`: [n, dim], rows of unit norm."""
    return (solosim(a, b, temperature) + solosim(b, a, temperature)) / 2


def grace(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """As `seapkg.losses.grace`. `a, b`: [n, dim], rows of unit norm."""
    return _blocked_softmax(a, torch.cat([b, a]), temperature)


def _blocked_softmax(
    a: Tensor, candidates: Tensor, temperature: float, partners: Tensor | None = None
) -> Tensor:
    row_bytes = a.element_size() * candidates.shape[0]
    block_rows = max(64, BLOCK_BYTES[a.device.type] // row_bytes)
    return _BlockedSoftmax.apply(a, candidates, temperature, block_rows, partners)


class _BlockedSoftmax(torch.autograd.Function):
    """Softmax cross-entropy of the rows of `a` [n, dim] with `candidates` [m, dim].

    The candidates in rows `partners` are the partners b, by default the first n. In that case, if
    m = 2 n, the others are the rows of `a` again, and no row is its own candidate (`grace`).

    With P the softmax and c the candidates, the gradients are (P c - b) / (n τ) and
    (Pᵀ a - a) / (n τ). Both are computed in the forward pass, while a block of P is in the cache;
    backward scales them. P is not normalised: the sums of its rows come from a column of ones
    beside the candidates, and divide the narrow factors.
    """

    @staticmethod
    def forward(
        ctx,
        a: Tensor,
        candidates: Tensor,
        temperature: float,
        block_rows: int,
        partners: Tensor | None = None,
    ) -> Tensor:
        n, m = len(a), len(candidates)
        b = candidates[:n] if partners is None else candidates[partners]
        scaled = candidates / temperature
        with_ones = F.pad(candidates, (0, 1), value=1.0).T.contiguous()  # [dim + 1, m]
        to_a, to_candidates = torch.empty_like(a), torch.zeros_like(candidates)
        buffer = a.new_empty(m * min(block_rows, n))
        total = -(a * b).sum() / temperature
        for start in range(0, n, block_rows):
            block = slice(start, start + block_rows)
            rows = a[block]
            weights = buffer[: m * len(rows)].view(m, -1)  # [m, block]
            torch.mm(scaled, rows.T, out=weights)  # logits
            if partners is None and m > n:
                weights[n:][block].fill_diagonal_(-torch.inf)
            if temperature < LOW_TEMPERATURE:
                highest = weights.amax(dim=0)  # [block]
                total += highest.sum()
                weights.sub_(highest)
            weights.exp_()
            products = with_ones @ weights  # [dim + 1, block]
            sums = products[-1]
            total += sums.log().sum()
            torch.div(products[:-1].T, sums[:, None], out=to_a[block])
            scaled_rows = rows.T.contiguous() / sums  # a narrow product wants [dim, block]
            to_candidates.addmm_(weights, scaled_rows.T)
        if partners is None:
            to_candidates[:n] -= a
        else:
            to_candidates.index_add_(0, partners, a, alpha=-1)
        scale = n * temperature
        ctx.save_for_backward((to_a - b) / scale, to_candidates.div_(scale))
        return total / n

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        to_a, to_candidates = ctx.saved_tensors
        return gradient * to_a, gradient * to_candidates, None, None, None
