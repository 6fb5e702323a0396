"""MGCN against reference vectors of the published code."""

import numpy as np
import pytest
import torch
from reference_vectors import (
    arrays_of,
    assert_equal,
    backward,
    batch_of,
    dataset_of,
    described,
    every_file,
    sparse,
)
from tiny import small, tiny

from seapkg.data.dataset import Dataset
from seapkg.models import build
from seapkg.models.mgcn import MGCNConfig

DATASET = tiny("image", "text")
BATCH = torch.tensor([[0, 3, 3, 7], [1, 4, 0, 9], [5, 6, 15, 1]])
every_file = every_file("mgcn")


def published(file):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper"]
    config = MGCNConfig(
        embed_dim=hyper["embedding_size"],
        n_layers=hyper["n_ui_layers"],
        n_item_layers=hyper["n_layers"],
        n_neighbours=hyper["knn_k"],
        regularisation=hyper["reg_weight"],
        contrast_weight=hyper["cl_loss"],
        temperature=hyper["temperature"],
        nominal_batch_size=hyper["train_batch_size"],
    )
    model = build("mgcn", dataset_of(golden), config, seed=0)
    built = model.graph, model.user_graph, dict(model.feature_graphs)
    model.double()
    for theirs, ours in parameters_by_name(model).items():
        ours.data = golden[f"param/{theirs}"].clone()
    model.graph = sparse(golden["graph/adjacency"])
    model.user_graph = sparse(golden["graph/interaction_block"])
    for name in model.feature_graphs:
        model.feature_graphs[name] = sparse(golden[f"graph/{name}_knn"])
    return model, golden, built


def parameters_by_name(model):
    """Each of our parameters by its name in the reference file."""
    found = {"user_embedding": model.users, "item_embedding": model.items}
    layers = {"query/hidden": model.query[0]}
    found["query/out/weight"] = model.query[2].weight
    for name in model.features:
        found[f"{name}_features"] = model.features[name]
        layers[f"{name}_projection"], layers[f"purify_gate/{name}"] = model.purifiers[name][:2]
        layers[f"preference_gate/{name}"] = model.preferences[name][0]
    for name, layer in layers.items():
        found |= {f"{name}/weight": layer.weight, f"{name}/bias": layer.bias}
    return found


@every_file
def test_losses_and_gradients_are_the_golden_ones(file):
    model, golden, _ = published(file)
    terms, total = backward(model, batch_of(golden))
    config = model.config
    contrast = golden["loss/contrast_items"] + golden["loss/contrast_users"]
    assert_equal(terms["bpr"], golden["loss/bpr"])
    weighted = config.regularisation * golden["loss/regularisation"]
    assert_equal(terms["regularisation"], weighted)
    assert_equal(terms["contrast"], config.contrast_weight * contrast)
    assert_equal(total, golden["loss/total"])
    found = parameters_by_name(model)
    assert found.keys() == {key[5:] for key in golden if key.startswith("grad/")}
    assert len(found) == len(list(model.parameters()))
    for name, parameter in found.items():
        assert_equal(parameter.grad, golden[f"grad/{name}"])


@every_file
def test_final_vectors_and_scores_are_the_golden_ones(file):
    model, golden, _ = published(file)
    for ours, name in zip(model.embed(), ("users", "items"), strict=True):
        assert_equal(ours, golden[f"train/{name}"])
        assert_equal(ours, golden[f"eval/{name}"])
    assert_equal(model.score(torch.arange(model.n_users)), golden["eval/scores"])


@every_file
def test_parts_are_the_golden_item_views(file):
    model, golden, _ = published(file)
    for name, part in model.parts().items():
        nodes = golden[f"mid/{name.removesuffix('/whole')}_nodes"]
        assert_equal(part, nodes[model.n_users :])


@every_file
def test_graphs_are_the_golden_ones(file):
    """In float32; the item graphs come from the raw features, not from the trained tables."""
    _, golden, (graph, user_graph, item_graphs) = published(file)
    assert_equal(dense(graph), golden["graph/adjacency"], 1e-6)
    assert_equal(dense(user_graph), golden["graph/interaction_block"], 1e-6)
    for name, item_graph in item_graphs.items():
        assert_equal(dense(item_graph), golden[f"graph/{name}_knn"], 1e-4)


def dense(graph):
    return graph.matrix().to_dense().double()


def mgcn(dataset=DATASET, **options):
    return build("mgcn", dataset, small("mgcn", **options), seed=0)


def test_the_regularisation_is_over_the_nominal_batch_size():
    small_batch, large_batch = (mgcn(nominal_batch_size=n).losses(*BATCH) for n in (4, 8))
    torch.testing.assert_close(small_batch["regularisation"], 2 * large_batch["regularisation"])


def test_the_learning_rate_falls_by_four_percent_in_fifty_epochs():
    assert mgcn().learning_rate(0.1, 0) == 0.1
    assert mgcn().learning_rate(0.1, 50) == pytest.approx(0.096)


def test_an_item_without_features_or_with_opposite_ones_has_finite_vectors_and_gradients():
    features = {"image": DATASET.features["image"].copy()}
    features["image"][0] = 0
    features["image"][1] = -1e3 * features["image"][2]
    splits = DATASET.train, DATASET.valid, DATASET.test
    model = mgcn(Dataset.from_arrays(*splits, features=features), n_neighbours=16)
    sum(model.losses(*BATCH).values()).backward()
    gradients = (parameter.grad for parameter in model.parameters() if parameter.grad is not None)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not np.isnan(model.score(torch.arange(12)).detach().numpy()).any()
