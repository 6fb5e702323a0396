"""LightGCN against dense powers of the adjacency."""

import math

import numpy as np
import pytest
import torch
from tiny import small, tiny

from seapkg.models import build
from seapkg.models.lightgcn import LightGCN, LightGCNConfig

USERS, POSITIVES, NEGATIVES = torch.tensor([[0, 3, 3], [1, 4, 0], [5, 6, 15]])
DATASET = tiny()


def dense_adjacency() -> torch.Tensor:
    matrix = np.zeros((28, 28))
    for user, item in DATASET.train:
        matrix[user, 12 + item] = matrix[12 + item, user] = 1
    roots = matrix.sum(axis=1).clip(min=1) ** -0.5
    return torch.from_numpy(roots[:, None] * matrix * roots).float()


@pytest.mark.parametrize("n_layers", [0, 1, 2, 4])
def test_embed_is_the_mean_of_the_layers(n_layers):
    model = build("lightgcn", DATASET, small("lightgcn", n_layers=n_layers), seed=0)
    nodes, adjacency = torch.cat([model.users, model.items]), dense_adjacency()
    powers = [torch.linalg.matrix_power(adjacency, layer) @ nodes for layer in range(n_layers + 1)]
    expected = sum(powers) / (n_layers + 1)
    torch.testing.assert_close(torch.cat(model.embed()), expected)


def test_bpr_reads_the_final_rows_and_the_regularisation_those_of_layer_0():
    model = build("lightgcn", DATASET, small("lightgcn", regularisation=0.3), seed=0)
    users, items = model.embed()
    gaps = (users[USERS] * (items[POSITIVES] - items[NEGATIVES])).sum(dim=1)
    terms = model.losses(USERS, POSITIVES, NEGATIVES)
    torch.testing.assert_close(terms["bpr"], -gaps.sigmoid().log().mean())
    rows = model.users[USERS], model.items[POSITIVES], model.items[NEGATIVES]
    norms = sum(x.square().sum().sqrt() for x in rows) / 3
    torch.testing.assert_close(terms["regularisation"], 0.3 * norms)


def test_an_item_without_training_pairs_keeps_a_share_of_its_own_row():
    model = build("lightgcn", DATASET, small("lightgcn", n_layers=2), seed=0)
    torch.testing.assert_close(model.embed()[1][15], model.items[15] / 3)


def test_tables_are_drawn_xavier_uniform():
    torch.manual_seed(0)
    model = LightGCN(tiny(n_users=1000), LightGCNConfig(embed_dim=64))
    bound = math.sqrt(6 / (1000 + 64))
    assert 0.999 * bound < model.users.abs().max().item() <= bound
