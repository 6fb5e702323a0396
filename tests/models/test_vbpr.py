"""VBPR against its equations, alone and with separation plugged in."""

import pytest
import torch
from tiny import small, tiny

from seapkg.errors import RequestError
from seapkg.models import build

USERS, POSITIVES, NEGATIVES = torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]])
DATASET = tiny("image", "text")
PLUG_INS = [
    {"alignment": "solosim"},
    {"distancing": "club"},
    {"distancing": "negative_l2"},
    {"alignment": "info_nce", "alignment_items": "batch", "distancing": "club"},
]


def vbpr(**options):
    model = build("vbpr", DATASET, small("vbpr", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.content.bias.normal_(generator=torch.Generator().manual_seed(1))
    return model


def item_rows(model) -> torch.Tensor:
    """[E_i ; W [x_image | x_text] + b], the projection as one matrix."""
    features = torch.cat([torch.from_numpy(x.copy()) for x in DATASET.features.values()], dim=1)
    weight = torch.cat(list(model.content.weights.values()), dim=1)
    return torch.cat([model.items, features @ weight.T + model.content.bias], dim=1)


def test_items_are_their_table_beside_their_projected_features():
    model = vbpr()
    users, items = model.embed()
    torch.testing.assert_close(items, item_rows(model))
    assert torch.equal(users, model.users)


@pytest.mark.parametrize("options", [{}, *PLUG_INS], ids=str)
def test_ranking_and_regularisation_read_the_final_rows_with_and_without_separation(options):
    model = vbpr(regularisation=0.3, **options)
    items = item_rows(model)
    u, p, n = model.users[USERS], items[POSITIVES], items[NEGATIVES]
    gaps = (u * p).sum(dim=1) - (u * n).sum(dim=1)
    terms = model.losses(USERS, POSITIVES, NEGATIVES)
    torch.testing.assert_close(terms["bpr"], -gaps.sigmoid().log().mean())
    norms = sum(x.square().sum().sqrt() for x in (u, p, n)) / 4
    torch.testing.assert_close(terms["regularisation"], 0.3 * norms)
    expected = [kind for kind in ("alignment", "distancing") if kind in options]
    assert list(terms) == ["bpr", "regularisation", *expected]


def test_an_item_that_stands_in_a_batch_twice_is_projected_once_and_counts_twice(monkeypatch):
    users, positives, negatives = torch.tensor([[0, 3, 3, 8], [4, 4, 0, 9], [0, 6, 4, 9]])
    model, projected = vbpr(regularisation=0.3), []
    project = model.content.forward
    monkeypatch.setattr(
        model.content, "forward", lambda items: projected.append(items) or project(items)
    )
    ours = model.losses(users, positives, negatives)
    assert [items.tolist() for items in projected] == [[0, 4, 6, 9]]
    items = item_rows(model)
    u, p, n = model.users[users], items[positives], items[negatives]
    oracle = {
        "bpr": -((u * p).sum(dim=1) - (u * n).sum(dim=1)).sigmoid().log().mean(),
        "regularisation": 0.3 * sum(x.square().sum().sqrt() for x in (u, p, n)) / 4,
    }
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for term, expected in oracle.items():
        torch.testing.assert_close(ours[term], expected)
        pairs = (
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            for loss in (ours[term], expected)
        )
        for mine, theirs in zip(*pairs, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", PLUG_INS, ids=str)
def test_separation_moves_parameters_that_enter_the_score(options):
    """The gradient of the separation terms alone, followed a little, changes the scores."""
    model = vbpr(**options)
    before = model.score(torch.arange(12)).detach()
    terms = model.losses(USERS, POSITIVES, NEGATIVES)
    (sum(terms.values()) - terms["bpr"] - terms["regularisation"]).backward()
    with torch.no_grad():
        for weight in model.content.weights.values():
            assert weight.grad.any()
            weight -= weight.grad
    assert not torch.allclose(model.score(torch.arange(12)), before, rtol=1e-3)


def test_parts_are_the_halves_of_the_projections():
    model = vbpr(alignment="solosim")
    parts, projected = model.parts(), model.content()
    for name, x in projected.items():
        torch.testing.assert_close(parts[f"{name}/generic"], x[:, :4])
        torch.testing.assert_close(parts[f"{name}/unique"], x[:, 4:])


def test_an_odd_width_cannot_be_separated():
    with pytest.raises(RequestError, match="embed_dim"):
        small("vbpr", embed_dim=5, alignment="solosim")


def test_an_odd_width_is_fine_without_separation():
    model = build("vbpr", DATASET, small("vbpr", embed_dim=5), seed=0)
    assert model.embed()[1].shape == (16, 10)


def test_a_batch_with_one_item_can_be_aligned():
    model = vbpr(alignment="solosim", alignment_items="batch")
    terms = model.losses(USERS[:1], POSITIVES[:1], NEGATIVES[:1])
    assert all(term.isfinite() for term in terms.values())
