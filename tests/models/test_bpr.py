"""MF-BPR against its equations."""

import math

import torch
from tiny import small, tiny

from seapkg.models import build
from seapkg.models.bpr import BPR, BPRConfig

USERS, POSITIVES, NEGATIVES = torch.tensor([[0, 3, 3], [1, 4, 0], [5, 6, 15]])


def test_the_score_is_the_product_of_the_two_tables():
    model = build("bpr", tiny(), small("bpr"), seed=0)
    expected = [
        [sum(a * b for a, b in zip(u, i, strict=True)) for i in model.items.tolist()]
        for u in model.users.tolist()
    ]
    torch.testing.assert_close(model.score(torch.arange(12)), torch.tensor(expected))


def test_the_losses_are_bpr_and_the_weighted_norm_of_the_batch_rows():
    model = build("bpr", tiny(), small("bpr", regularisation=0.3), seed=0)
    u, p, n = model.users[USERS], model.items[POSITIVES], model.items[NEGATIVES]
    gaps = (u * p).sum(dim=1) - (u * n).sum(dim=1)
    terms = model.losses(USERS, POSITIVES, NEGATIVES)
    torch.testing.assert_close(terms["bpr"], -gaps.sigmoid().log().mean())
    norms = sum(x.square().sum().sqrt() for x in (u, p, n)) / 3
    torch.testing.assert_close(terms["regularisation"], 0.3 * norms)
    assert list(terms) == ["bpr", "regularisation"]


def test_a_batch_moves_only_its_rows():
    model = build("bpr", tiny(), small("bpr"), seed=0)
    sum(model.losses(USERS, POSITIVES, NEGATIVES).values()).backward()
    assert model.users.grad.any(dim=1).nonzero().flatten().tolist() == [0, 3]
    assert model.items.grad.any(dim=1).nonzero().flatten().tolist() == [0, 1, 4, 5, 6, 15]


def test_tables_are_drawn_xavier_normal():
    torch.manual_seed(0)
    model = BPR(tiny(n_users=1000), BPRConfig(embed_dim=64))
    expected = math.sqrt(2 / (1000 + 64))
    # The standard deviation of 64 000 numbers is known to 1/√128 000.
    # Kurtosis tells a normal distribution (3) from a uniform one (1.8).
    assert abs(model.users.std().item() / expected - 1) < 4 / math.sqrt(128_000)
    assert 2.8 < (model.users / model.users.std()).pow(4).mean().item() < 3.2
