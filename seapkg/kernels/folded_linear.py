"""Fast form of `seapkg.models.sea.read_halves`: a wide map is folded into its readers."""

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
    """As `seapkg.models.sea.read_halves`: one product, without forming V = wide(features).

    There is no activation between V and its readers, so values and gradients are the same at a
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
    half = wide.out_features // 2
    halves = [half, wide.out_features - half]
    # `split`, as the gradients of two slices would each be filled up to the full size.
    whole_generic, whole_unique = whole.weight.split(halves, dim=1)
    generic_readers = torch.cat([whole_generic, *(layer.weight for layer in of_generic)])
    unique_readers = torch.cat([whole_unique, *(layer.weight for layer in of_unique)])
    generic_weight, unique_weight = wide.weight.split(halves)
    generic_bias, unique_bias = wide.bias.split(halves)

    n_whole = whole.out_features
    weight = _stacked(generic_readers @ generic_weight, unique_readers @ unique_weight, n_whole)
    bias = _stacked(generic_readers @ generic_bias, unique_readers @ unique_bias, n_whole)
    bias = bias + torch.cat([_bias(layer) for layer in layers])
    widths = [layer.out_features for layer in layers]
    return F.linear(features, weight, bias).split(widths, dim=1)


def _stacked(generic: Tensor, unique: Tensor, n_whole: int) -> Tensor:
    """The rows of all readers; the first `n_whole` of both belong to `whole` and are added."""
    whole = generic[:n_whole] + unique[:n_whole]
    return torch.cat([whole, generic[n_whole:], unique[n_whole:]])


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
