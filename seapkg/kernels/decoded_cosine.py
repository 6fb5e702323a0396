"""Fast form of `decoded_cosines_plain` below: the decodings are never formed."""

import torch
from torch import Tensor
from torch.nn import functional as F

SHORTEST = 1e-12


def decoded_cosines_plain(target: Tensor, codes: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The cosine of each target with the linear decoding of each of its codes.

    Args:
        target: [n, width].
        codes: [n_codes, n, dim].
        weight: of the decoder, [width, dim].
        bias: of the decoder, [width].

    Returns:
        [n_codes, n].
    """
    return F.cosine_similarity(target, F.linear(codes, weight, bias), dim=2, eps=SHORTEST)


def decoded_cosines(target: Tensor, codes: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As `decoded_cosines_plain`; the cost in `width` does not grow with the number of codes.

    With the bias as one more column of W that meets a 1 in the code c, x·(W c) = (Wᵀx)·c and
    ‖W c‖² = c·(WᵀW)c. The latter loses digits where decodings cancel, so narrow targets, which are
    cheap anyway, take the plain form.
    """
    if len(weight) <= weight.shape[1]:
        return decoded_cosines_plain(target, codes, weight, bias)
    weight = torch.cat([weight, bias[:, None]], dim=1)  # [width, dim + 1]
    codes = F.pad(codes, (0, 1), value=1.0)  # [n_codes, n, dim + 1]
    dots = (codes * (target @ weight)).sum(dim=2)  # [n_codes, n]
    squares = (codes * (codes @ (weight.T @ weight))).sum(dim=2)
    lengths = target.norm(dim=1).clamp_min(SHORTEST) * squares.clamp_min(SHORTEST**2).sqrt()
    return dots / lengths
