"""Fast form of `seapkg.models.sea.read_halves`: a wide linear map is folded into the layers that read it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def read_halves(
    features: Tensor,
    wide: nn.Linear,
    whole: nn.Linear,
    of_generic: list[nn.Linear],
    of_unique: list[nn.Linear],
) -> tuple[Tensor, ...]:
    """What layers make of V = wide(features) and its halves, without forming V: one product for all of them.

    No activation stands between V and its readers, so values and gradients are the same at a fraction of the cost.

    Args:
        features: [n, width].
        wide: width -> width, the map that is folded in.
        whole: the layer that reads all of V.
        of_generic: layers that read the first width // 2 columns of V.
        of_unique: layers that read the other columns.

    Returns:
        The output [n, out_features] of each layer, in the order of the arguments.
    """
    layers = [whole, *of_generic, *of_unique]
    half = wide.out_features // 2
    upper = torch.cat([whole.weight[:, :half], *(layer.weight for layer in of_generic)])
    lower = torch.cat([whole.weight[:, half:], *(layer.weight for layer in of_unique)])
    weights = _ReadHalves.apply(wide.weight, upper, lower)
    biases = upper @ wide.bias[:half], lower @ wide.bias[half:]
    n = whole.out_features
    weight, bias = (torch.cat([u[:n] + v[:n], u[n:], v[n:]]) for u, v in (weights, biases))
    bias = bias + torch.cat([_bias(layer) for layer in layers])
    widths = [layer.out_features for layer in layers]
    return F.linear(features, weight, bias).split(widths, dim=1)


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias


class _ReadHalves(torch.autograd.Function):
    """upper W[:h] and lower W[h:], with h the width of `upper`.

    Autograd would give each slice of W a gradient of the full size of W, filled with zeros, and add them.
    """

    @staticmethod
    def forward(ctx, weight: Tensor, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(weight, upper, lower)
        half = upper.shape[1]
        return upper @ weight[:half], lower @ weight[half:]

    @staticmethod
    @once_differentiable
    def backward(ctx, to_upper: Tensor, to_lower: Tensor):
        weight, upper, lower = ctx.saved_tensors
        half, gradient = upper.shape[1], torch.empty_like(weight)
        torch.mm(upper.T, to_upper, out=gradient[:half])
        torch.mm(lower.T, to_lower, out=gradient[half:])
        return gradient, to_upper @ weight[:half].T, to_lower @ weight[half:].T
