"""Fast form of `seapkg.models.sea.read_halves`: a wide map is folded into its readers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def read_halves(
    features: Tensor,
    wide: nn.Linear,
    whole: nn.Linear,
    of_generic: list[nn.Linear],
    of_unique: list[nn.Linear],
) -> tuple[Tensor, ...]:
    """What layers make of V = wide(features) and its halves: one product, without forming V.

    No activation stands between V and its readers, so values and gradients are the same at a
    fraction of the cost.

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
    halves = [wide.out_features // 2, wide.out_features - wide.out_features // 2]
    # `split`, as the gradients of two slices would each be filled up to the full size.
    upper, lower = whole.weight.split(halves, dim=1)
    upper = torch.cat([upper, *(layer.weight for layer in of_generic)])
    lower = torch.cat([lower, *(layer.weight for layer in of_unique)])
    upper_wide, lower_wide = wide.weight.split(halves)
    upper_bias, lower_bias = wide.bias.split(halves)
    n = whole.out_features
    pairs = (upper @ upper_wide, lower @ lower_wide), (upper @ upper_bias, lower @ lower_bias)
    weight, bias = (torch.cat([u[:n] + v[:n], u[n:], v[n:]]) for u, v in pairs)
    bias = bias + torch.cat([_bias(layer) for layer in layers])
    widths = [layer.out_features for layer in layers]
    return F.linear(features, weight, bias).split(widths, dim=1)


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
