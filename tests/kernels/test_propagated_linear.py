"""A linear layer on propagated features against the propagation of its result."""

from functools import partial

import pytest
import torch
from tiny import tiny

from seapkg.graph import mean_of_layers
from seapkg.kernels import propagated_linear
from seapkg.kernels.propagated_linear import PropagatedLinear
from seapkg.models.base import training_graph

DATASET = tiny()
N_USERS, N_ITEMS = DATASET.n_users, DATASET.n_items


def layer_and_twin(n_layers: int):
    """The fast layer and its plain form, with the same parameters."""
    torch.manual_seed(0)
    x = torch.randn(N_ITEMS, 7, dtype=torch.float64)
    propagate = partial(mean_of_layers, training_graph(DATASET), n_layers=n_layers)
    layer = PropagatedLinear(3, x, propagate, N_USERS).double()

    def plain():
        items = x @ layer.weight.T + layer.bias
        return propagate(torch.cat([torch.zeros(N_USERS, 3), items]))

    return layer, plain


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("nodes", [None, torch.tensor([27, 0, 13, 0])])
def test_values_and_gradients_are_those_of_the_twin(n_layers, nodes, monkeypatch):
    monkeypatch.setattr(propagated_linear, "BLOCK_WIDTH", 3)  # blocks of 3, 3 and 1 columns
    layer, plain = layer_and_twin(n_layers)
    ours, theirs = layer(nodes), plain() if nodes is None else plain()[nodes]
    torch.testing.assert_close(ours, theirs)
    gradients = [
        torch.autograd.grad(out.sin().sum(), list(layer.parameters())) for out in (ours, theirs)
    ]
    for mine, oracle in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, oracle)


def test_the_propagated_features_are_left_out_of_the_state():
    assert layer_and_twin(2)[0].state_dict().keys() == {"weight", "bias"}
