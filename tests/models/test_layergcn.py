"""LayerGCN against reference vectors of the published code, and its pruning against its law."""

import numpy as np
import pytest
import torch
from reference_vectors import (
    arrays_of,
    assert_equal,
    backward,
    batch_of,
    dataset_of,
    every_file,
    sparse,
)
from tiny import small, tiny

from seapkg.graph import normalised_adjacency
from seapkg.models import build
from seapkg.models.layergcn import LayerGCNConfig

DATASET = tiny()
every_file = every_file("layergcn")
every_graph = pytest.mark.parametrize("kind", ["degree", "uniform", "full"])


def published(file):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden = arrays_of(file)
    config = LayerGCNConfig(
        embed_dim=int(golden["hyper/embedding_size"]),
        n_layers=int(golden["hyper/n_layers"]),
        edge_dropout=golden["hyper/edge_dropout"].item(),
        regularisation=golden["hyper/l2_weight"].item(),
    )
    model = build("layergcn", dataset_of(golden), config, seed=0).double()
    model.users.data = golden["param/user_embedding"].clone()
    model.items.data = golden["param/item_embedding"].clone()
    model.graph = sparse(golden["out/full_graph"])
    return model, golden


def inject(model, golden, kind: str) -> None:
    """Trains on the graph that the published code drew."""
    name = "out/full_graph" if kind == "full" else f"out/{kind}/pruned_graph"
    model.pruned = sparse(golden[name])


@every_file
@every_graph
def test_losses_and_gradients_are_the_golden_ones(file, kind):
    model, golden = published(file)
    inject(model, golden, kind)
    terms, total = backward(model, batch_of(golden))
    assert_equal(terms["bpr"], golden[f"loss/{kind}/bpr"])
    weight = model.config.regularisation
    assert_equal(terms["regularisation"], weight * golden[f"loss/{kind}/l2"])
    assert_equal(total, golden[f"loss/{kind}/total"])
    assert_equal(model.users.grad, golden[f"grad/{kind}/user_embedding"])
    assert_equal(model.items.grad, golden[f"grad/{kind}/item_embedding"])


@every_file
@every_graph
def test_final_vectors_are_the_golden_ones(file, kind):
    model, golden = published(file)
    inject(model, golden, kind)
    users, items = model._propagate(model.pruned)
    assert_equal(users, golden[f"out/{kind}/users"])
    assert_equal(items, golden[f"out/{kind}/items"])


@every_file
def test_evaluation_is_on_the_full_golden_graph(file):
    model, golden = published(file)
    inject(model, golden, "degree")
    users, items = model.embed()
    assert_equal(users, golden["out/eval_users"])
    assert_equal(items, golden["out/eval_items"])
    assert_equal(model.score(torch.arange(len(users))), golden["out/eval_scores"])


@every_file
def test_three_steps_of_adam_are_the_golden_ones(file):
    model, golden = published(file)
    inject(model, golden, "degree")
    rate = golden["hyper/adam_learning_rate"].item()
    adam, losses = torch.optim.Adam(model.parameters(), lr=rate), []
    for name in ("batch", "batch1", "batch2"):
        losses.append(backward(model, batch_of(golden, name))[1])
        adam.step()
    assert_equal(torch.stack(losses), golden["adam/losses"])
    assert_equal(model.users, golden["adam/after_3/user_embedding"])
    assert_equal(model.items, golden["adam/after_3/item_embedding"])


@every_file
@pytest.mark.parametrize("kind", ["degree", "uniform"])
def test_the_graph_of_the_golden_edges_is_the_golden_graph(file, kind):
    """But for the 1e-7 that the published code adds to degrees."""
    model, golden = published(file)
    kept = golden["data/train"][golden[f"draw/kept_edges_{kind}"]]
    assert len(kept) == model.n_kept
    graph = normalised_adjacency(kept, model.n_users, model.n_items).matrix().to_dense()
    expected = golden[f"out/{kind}/pruned_graph"].float()
    torch.testing.assert_close(graph, expected, rtol=1e-6, atol=0)


def layergcn(**options):
    return build("layergcn", DATASET, small("layergcn", **options), seed=0)


def kept_shares(epoch: int) -> np.ndarray:
    """How often each training pair is kept in 400 draws of an epoch."""
    model, generator = layergcn(edge_dropout=0.5), torch.Generator().manual_seed(0)
    counts = torch.zeros(12, 16)
    for _ in range(400):
        model.begin_epoch(generator, epoch)
        counts += model.pruned.matrix().to_dense()[:12, 12:] > 0
    users, items = DATASET.train.T.copy()
    return (counts[users, items] / 400).numpy()


def test_even_epochs_prefer_edges_of_low_degree_and_odd_ones_none():
    degrees = np.bincount(DATASET.train[:, 1])[DATASET.train[:, 1]]
    by_degree, uniform = kept_shares(epoch=2), kept_shares(epoch=3)
    assert by_degree.mean() == pytest.approx(0.5) == uniform.mean()
    assert by_degree[degrees <= 2].mean() > by_degree[degrees >= 5].mean() + 0.1
    assert abs(uniform - 0.5).max() < 5 * 0.5 / np.sqrt(400)  # five standard deviations


def test_without_dropout_every_epoch_has_the_full_graph():
    model = layergcn(edge_dropout=0.0)
    model.begin_epoch(torch.Generator(), 1)
    assert model.pruned is model.graph


def test_a_node_without_edges_has_a_zero_vector_and_finite_gradients():
    model = layergcn()
    users, items = model.embed()
    assert not items[15].any() and users.any(dim=1).all()  # item 15 is in the test set alone
    items.sum().backward()
    assert model.items.grad.isfinite().all()
