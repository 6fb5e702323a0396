"""FREEDOM: the pruned graph in training, the full one at evaluation, and the content branch."""

import numpy as np
import pytest
import torch
from tiny import small, tiny

from seapkg.errors import RequestError
from seapkg.graph import ItemGraphs, normalised_adjacency
from seapkg.models import build

USERS, POSITIVES, NEGATIVES = torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]])
DATASET = tiny("image", "text")
PLUG_INS = [
    {"alignment": "solosim"},
    {"distancing": "club"},
    {"distancing": "negative_l2"},
    {"alignment": "info_nce", "alignment_items": "batch", "distancing": "club"},
]


def freedom(**options):
    return build("freedom", DATASET, small("freedom", **options), seed=0)


def expected_tables(model, pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """The final vectors of FREEDOM, dense, with the user-item graph of the given pairs."""
    adjacency = normalised_adjacency(torch.as_tensor(np.array(pairs)), 12, 16).matrix().to_dense()
    nodes = torch.cat([model.users, model.items])
    layers = [nodes, adjacency @ nodes, adjacency @ adjacency @ nodes]
    neighbours = ItemGraphs(DATASET, 3, 0.1)(torch.eye(16)) @ model.items
    return (sum(layers) / 3)[:12], (sum(layers) / 3)[12:] + neighbours


def kept_pairs(model) -> list[tuple[int, int]]:
    """The pairs in the upper right block of this epoch's graph."""
    return [
        (user, node - 12)
        for user, node in model.pruned.matrix().to_dense().nonzero().tolist()
        if user < 12
    ]


def test_evaluation_uses_the_full_graph_even_after_an_epoch_began():
    model = freedom()
    model.begin_epoch(torch.Generator().manual_seed(0))
    for ours, theirs in zip(model.embed(), expected_tables(model, DATASET.train), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_training_ranks_on_the_pruned_graph_with_weights_from_the_kept_degrees():
    model = freedom()
    model.begin_epoch(torch.Generator().manual_seed(0))
    users, items = expected_tables(model, kept_pairs(model))
    gaps = (users[USERS] * (items[POSITIVES] - items[NEGATIVES])).sum(dim=1)
    terms = model.losses(USERS, POSITIVES, NEGATIVES)
    assert list(terms) == ["bpr"]
    torch.testing.assert_close(terms["bpr"], -gaps.sigmoid().log().mean())


def test_each_epoch_keeps_other_training_pairs_and_never_a_held_out_one():
    model, generator = freedom(edge_dropout=0.5), torch.Generator().manual_seed(0)
    train, seen = {tuple(pair) for pair in DATASET.train.tolist()}, []
    for _ in range(8):
        model.begin_epoch(generator)
        seen.append(frozenset(kept_pairs(model)))
        assert len(seen[-1]) == 24 and seen[-1] <= train
    assert len(set(seen)) == 8


@pytest.mark.parametrize(("dropout", "kept"), [(0.0, 48), (0.75, 12), (0.8, 9), (0.5, 24)])
def test_the_number_of_kept_edges_is_rounded_down(dropout, kept):
    model = freedom(edge_dropout=dropout)
    model.begin_epoch(torch.Generator().manual_seed(0))
    assert len(kept_pairs(model)) == kept


@pytest.mark.parametrize("dropout", [1.0, -0.1])
def test_an_impossible_edge_dropout_is_refused(dropout):
    with pytest.raises(RequestError, match="edge_dropout"):
        small("freedom", edge_dropout=dropout)


def test_nobody_s_features_are_projected_when_their_loss_has_no_weight():
    model = freedom()
    assert model.content is None and model.parts() == {}
    assert {name for name, _ in model.named_parameters()} == {"users", "items"}


@pytest.mark.parametrize("in_score", [True, False])
def test_the_content_loss_ranks_each_modality_s_projection_against_the_users(in_score):
    model = freedom(content_loss_weight=0.3, content_in_score=in_score, edge_dropout=0.0)
    users, _ = expected_tables(model, DATASET.train)
    expected = 0
    for x in model.content().values():
        gaps = (users[USERS] * (x[POSITIVES] - x[NEGATIVES])).sum(dim=1)
        expected = expected - gaps.sigmoid().log().mean()
    torch.testing.assert_close(model.losses(USERS, POSITIVES, NEGATIVES)["content"], 0.3 * expected)


def test_the_content_loss_trains_projections_and_features_but_leaves_the_score_s_items_alone():
    model = freedom(content_loss_weight=0.3)
    model.losses(USERS, POSITIVES, NEGATIVES)["content"].backward()
    assert model.content.weights["text"].grad.any() and model.content.tables["image"].grad.any()
    assert model.users.grad.any()
    frozen = freedom(content_loss_weight=0.3, train_features=False)
    assert not list(frozen.content.tables.parameters())


def test_content_in_the_score_is_added_to_the_items():
    model = freedom(content_in_score=True)
    expected = expected_tables(model, DATASET.train)[1] + model.content.fused(model.content())
    torch.testing.assert_close(model.embed()[1], expected)


@pytest.mark.parametrize("options", PLUG_INS, ids=str)
def test_separation_moves_parameters_that_enter_the_score(options):
    """The gradient of the separation terms alone, followed a little, changes the scores."""
    model = freedom(**options)
    model.begin_epoch(torch.Generator().manual_seed(0))
    before = model.score(torch.arange(12)).detach()
    terms = model.losses(USERS, POSITIVES, NEGATIVES)
    assert list(terms) == [
        "bpr",
        *(kind for kind in ("alignment", "distancing") if kind in options),
    ]
    (sum(terms.values()) - terms["bpr"]).backward()
    with torch.no_grad():
        for weight in model.content.weights.values():
            assert weight.grad.any()
            weight -= weight.grad
    assert not torch.allclose(model.score(torch.arange(12)), before, rtol=1e-3)


def test_parts_are_the_halves_of_the_projections():
    model = freedom(alignment="solosim")
    x = model.content()["text"]
    torch.testing.assert_close(model.parts()["text/unique"], x[:, 4:])
    torch.testing.assert_close(model.parts()["text/generic"], x[:, :4])


def test_an_odd_width_cannot_be_separated():
    with pytest.raises(RequestError, match="embed_dim"):
        small("freedom", embed_dim=5, distancing="club")


def test_pruning_that_keeps_no_edge_is_refused_at_construction():
    with pytest.raises(RequestError, match="edge_dropout must leave .* 48 training edges.*0.99"):
        freedom(edge_dropout=0.99)
    assert freedom(edge_dropout=0.97).n_kept == 1
