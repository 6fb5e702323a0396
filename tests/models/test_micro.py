"""MICRO against its equations, dense and in float64; graphs are learned in first batches."""

import numpy as np
import pytest
import torch
from tiny import small, tiny
from torch.nn import functional as F

from seapkg.graph import edge_cosines
from seapkg.models import build

USERS, POSITIVES, NEGATIVES = torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]])
DATASET = tiny("image", "text")


def micro(dataset=DATASET, **options):
    model = build("micro", dataset, small("micro", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(0))
    return model


def in_float64(model):
    model.double()
    model.graph.csr.values = user_item_matrix()[user_item_matrix() > 0]
    for name, graph in model.feature_graphs.items():
        matrix = neighbour_matrix(torch.from_numpy(DATASET.features[name].astype(np.float64)), 3)
        starts, columns = graph.csr.starts, graph.csr.columns
        rows = torch.arange(16).repeat_interleave(starts.diff())
        graph.csr.values = matrix[rows, columns]
        transposed = graph.transpose.starts, graph.transpose.columns
        graph.transpose.values = matrix[
            transposed[1], torch.arange(16).repeat_interleave(transposed[0].diff())
        ]
    model.graph.transpose.values = torch.tensor(
        [], dtype=torch.float64
    )  # filled below, by the transpose
    rows = torch.arange(28).repeat_interleave(model.graph.transpose.starts.diff())
    model.graph.transpose.values = user_item_matrix()[model.graph.transpose.columns, rows]
    return model


def user_item_matrix():
    """D^-1 (A + I), dense."""
    matrix = torch.eye(28, dtype=torch.float64)
    for user, item in DATASET.train.tolist():
        matrix[user, 12 + item] = matrix[12 + item, user] = 1
    return matrix / matrix.sum(dim=1, keepdim=True)


def neighbour_matrix(x, k):
    """Cosines with the k nearest rows, itself among them, over the roots of the row sums."""
    unit = F.normalize(x, dim=1)
    cosines = unit @ unit.T
    best = (cosines + 2 * torch.eye(len(x))).topk(k, dim=1).indices
    kept = torch.zeros_like(cosines).scatter(1, best, cosines.gather(1, best))
    scale = kept.sum(dim=1) ** -0.5
    return scale[:, None] * kept * scale


def expected(model, *, learning=True):
    """The equations of MICRO's docstring: users, items, h_m and h."""
    views = []
    for name in ("image", "text"):
        raw = torch.from_numpy(DATASET.features[name].astype(np.float64))
        projected = model.projections[name](model.features[name])
        mixed = 0.9 * neighbour_matrix(raw, 3) + 0.1 * neighbour_matrix(projected, 3)
        views.append((mixed if learning else mixed.detach()) @ model.items)
    answers = torch.stack([model.query(view) for view in views], dim=1).softmax(dim=1)
    fused = sum(answers[:, m] * view for m, view in enumerate(views))
    nodes, matrix = torch.cat([model.users, model.items]), user_item_matrix()
    final = (nodes + matrix @ nodes + matrix @ matrix @ nodes) / 3
    return final[:12], final[12:] + F.normalize(fused, dim=1), views, fused


def expected_losses(model, **options):
    users, items, views, fused = expected(model, **options)
    u, i, j = users[USERS], items[POSITIVES], items[NEGATIVES]
    contrast = 0
    for view in views:
        own, other = F.normalize(view, dim=1), F.normalize(fused, dim=1)
        among, across = (own @ own.T / 0.5).exp(), (own @ other.T / 0.5).exp()
        denominator = among.sum(dim=1) + across.sum(dim=1) - among.diagonal()
        contrast = contrast - (across.diagonal() / denominator).log().mean()
    return {
        "bpr": -((u * (i - j)).sum(dim=1)).sigmoid().log().mean(),
        "regularisation": 1e-5 * sum((x**2).sum() for x in (u, i, j)) / 8,
        "contrast": 0.03 * contrast,
    }


def test_embeddings_equal_the_equations():
    model = in_float64(micro())
    for ours, theirs in zip(model.embed(), expected(model), strict=False):
        torch.testing.assert_close(ours, theirs)


def gradients(model, terms):
    found = torch.autograd.grad(sum(terms.values()), list(model.parameters()), allow_unused=True)
    return {name: grad for (name, _), grad in zip(model.named_parameters(), found, strict=True)}


def assert_equal_gradients(ours, theirs):
    for name, gradient in ours.items():
        other = theirs[name]
        assert (gradient is None) == (other is None), name
        if gradient is not None:
            torch.testing.assert_close(gradient, other, rtol=1e-7, atol=1e-12, msg=name)


def test_the_first_batch_has_the_losses_of_the_equations_and_teaches_the_graphs():
    model = in_float64(micro())
    ours, theirs = model.losses(USERS, POSITIVES, NEGATIVES), expected_losses(model)
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])
    ours = gradients(model, ours)
    assert ours["features.image"].any() and ours["projections.text.weight"].any()
    assert_equal_gradients(ours, gradients(model, theirs))


def test_later_batches_take_the_graphs_as_they_were():
    model = in_float64(micro())
    model.losses(USERS, POSITIVES, NEGATIVES)
    before = expected_losses(model)
    ours = gradients(model, model.losses(USERS, POSITIVES, NEGATIVES))
    assert ours["features.image"] is None and ours["projections.text.weight"] is None
    assert_equal_gradients(ours, gradients(model, expected_losses(model, learning=False)))
    with torch.no_grad():
        for projection in model.projections.values():
            projection.weight.mul_(torch.rand(projection.weight.shape))
            projection.bias.add_(3)
    torch.testing.assert_close(
        model.losses(USERS, POSITIVES, NEGATIVES)["contrast"], before["contrast"]
    )
    model.begin_epoch(torch.Generator())
    assert abs(model.losses(USERS, POSITIVES, NEGATIVES)["contrast"] - before["contrast"]) > 1e-6


def test_an_evaluation_builds_the_graphs_anew():
    model = in_float64(micro())
    model.losses(USERS, POSITIVES, NEGATIVES)
    with torch.no_grad():
        model.projections["image"].bias.add_(3)
    torch.testing.assert_close(model.embed()[1], expected(model)[1])


def test_features_can_stay_as_they_are():
    model = micro(train_features=False)
    assert not [name for name, _ in model.named_parameters() if name.startswith("features")]
    torch.testing.assert_close(model.embed(), micro().embed())


def test_without_contrast_there_is_no_such_term():
    assert "contrast" not in micro(contrast_weight=0.0).losses(USERS, POSITIVES, NEGATIVES)


@pytest.mark.parametrize("layers", [0, 2])
def test_item_layers_apply_the_item_graph_again(layers):
    model, once = micro(n_item_layers=layers), micro()
    expected = once.items
    graphs = once._learn_graphs()
    for _ in range(layers):
        expected = graphs["text"](expected)
    torch.testing.assert_close(model.parts()["text/whole"], expected)


def test_a_row_of_the_learned_graph_whose_cosines_add_up_to_nothing_is_empty():
    """With every item a neighbour of every other, some rows sum to less than zero."""
    model = micro(n_neighbours=DATASET.n_items)
    for name, graph in model._learn_graphs().items():
        weights, neighbours = graph.learned.weights, graph.learned.neighbours
        projected = model.projections[name](model.features[name])
        empty = edge_cosines(projected, neighbours).sum(dim=1) <= 0
        assert empty.any() and not empty.all()
        assert not weights[empty].any() and weights[~empty].any(dim=1).all()
        weights.sum().backward()
        assert model.projections[name].weight.grad.isfinite().all()


def test_the_learning_rate_is_constant_unless_it_decays_as_published():
    assert [micro().learning_rate(5e-4, epoch) for epoch in (0, 7, 50)] == [5e-4] * 3
    decayed = micro(learning_rate_decay=0.96)
    assert decayed.learning_rate(1.0, 50) == 0.96 and decayed.learning_rate(1.0, 0) == 1.0
    assert decayed.learning_rate(1.0, 25) == pytest.approx(0.96**0.5)
