"""MMGCN against reference vectors of the published code, its tables trained and not."""

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

from seapkg.data.dataset import Dataset
from seapkg.models import build
from seapkg.models.mmgcn import MMGCNConfig

DATASET = tiny("image", "text")
BATCH = torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]])
every_file = every_file("mmgcn")
every_formulation = pytest.mark.parametrize(
    ("formulation", "name"), [("intended", "as_intended"), ("released", "as_published")]
)


def published(file, formulation="intended"):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden = arrays_of(file)
    config = MMGCNConfig(
        embed_dim=int(golden["hyper/embedding_size"]),
        image_width=int(golden["hyper/image_width"]),
        n_layers=int(golden["hyper/n_layers"]),
        regularisation=golden["hyper/regularisation"].item(),
        formulation=formulation,
    )
    model = build("mmgcn", dataset_of(golden, "out/users"), config, seed=0).double()
    for name, parameter in by_published_name(model).items():
        parameter.data = golden[f"param/{name}"].clone()
    mean = golden["out/mean_graph"]
    model.to_users = sparse(mean[: model.n_users, model.n_users :])
    model.to_items = sparse(mean[model.n_users :, : model.n_users])
    return model, golden


def by_published_name(model):
    """Every table and parameter under its name in the reference file."""
    named = {"id_embedding": model.ids}
    for name, network in model.networks.items():
        named[f"{name}/user_preference"] = network.preference
        for part, parameter in network.projection.named_parameters():
            named[f"{name}/projection/{part}"] = parameter
        for number, layer in enumerate(network.layers, 1):
            for part, parameter in layer.named_parameters():
                named[f"{name}/layer{number}/{part.replace('.', '/')}"] = parameter
    return named


@every_file
@every_formulation
def test_losses_and_gradients_are_the_golden_ones(file, formulation, name):
    model, golden = published(file, formulation)
    terms, total = backward(model, batch_of(golden))
    weight = model.config.regularisation
    assert_equal(terms["bpr"], golden["loss/bpr"])
    assert_equal(terms["regularisation"], weight * golden["loss/id_regulariser"])
    assert_equal(terms["preference"], weight * golden["loss/preference_regulariser"])
    assert_equal(total, golden["loss/total"])
    for parameter, ours in by_published_name(model).items():
        expected = golden.get(f"grad/{parameter}", golden.get(f"grad/{name}/{parameter}"))
        assert (ours.grad is None) == (expected is None), parameter
        if expected is not None:
            assert_equal(ours.grad, expected)


@every_file
def test_final_vectors_are_the_golden_ones(file):
    model, golden = published(file)
    users, items = model.embed()
    assert_equal(users, golden["out/users"])
    assert_equal(items, golden["out/items"])


@every_file
def test_every_layer_is_the_golden_one(file):
    model, golden = published(file)
    graphs = model.to_users, model.to_items
    for name, network in model.networks.items():
        x = network.first(model.features[name])
        assert_equal(torch.cat(x), golden[f"out/{name}/layer0"])
        for number, layer in enumerate(network.layers, 1):
            sides = zip(x, layer.means(*x, *graphs), model._ids(), strict=True)
            x = [layer(*tables) for tables in sides]
            assert_equal(torch.cat(x), golden[f"out/{name}/layer{number}/output"])


@every_file
def test_the_mean_graphs_are_the_golden_one_in_float32(file):
    model, golden = published(file)
    fresh = build("mmgcn", dataset_of(golden, "out/users"), model.config, seed=0)
    mean = torch.zeros_like(golden["out/mean_graph"])
    mean[: model.n_users, model.n_users :] = fresh.to_users.matrix().to_dense()
    mean[model.n_users :, : model.n_users] = fresh.to_items.matrix().to_dense()
    assert_equal(mean, golden["out/mean_graph"], 1e-6)


@every_file
@every_formulation
def test_three_steps_of_adam_are_the_golden_ones(file, formulation, name):
    model, golden = published(file, formulation)
    rate = golden["hyper/adam_learning_rate"].item()
    adam = model.optimiser(model.main_parameters(), rate, 0.0)
    losses = []
    for batch in ("batch", "batch1", "batch2"):
        losses.append(backward(model, batch_of(golden, batch))[1])
        adam.step()
    assert_equal(torch.stack(losses), golden[f"adam/{name}/losses"])
    for parameter, ours in by_published_name(model).items():
        fixed = golden[f"param/{parameter}"]
        assert_equal(ours, golden.get(f"adam/{name}/after_3/{parameter}", fixed))
    scores = model.score(torch.arange(model.n_users))
    assert_equal(scores, golden[f"out/eval/{name}/fresh_scores"])


def mmgcn(dataset=DATASET, **options):
    return build("mmgcn", dataset, small("mmgcn", **options), seed=0)


def test_released_tables_are_saved_and_stay_as_they_were():
    model = mmgcn(formulation="released")
    trained = {id(parameter) for parameter in model.main_parameters()}
    tables = {"ids", "networks.image.preference", "networks.text.preference"}
    assert tables <= set(model.state_dict())
    assert not [name for name in tables if id(model.get_parameter(name)) in trained]


def test_the_weight_of_the_released_regularisation_changes_no_gradient():
    gradients = []
    for weight in (0.1, 7.0):
        model = mmgcn(formulation="released", regularisation=weight)
        backward(model, BATCH)
        gradients.append([parameter.grad for parameter in model.main_parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_only_the_image_is_projected_and_has_regularised_preferences():
    model = mmgcn(tiny("text", "audio"))
    assert set(model.losses(*BATCH)) == {"bpr", "regularisation"}
    assert model.networks["audio"].preference.shape == (12, 3)
    image = mmgcn().networks["image"]
    assert image.preference.shape == (12, 6) and image.projection.weight.shape == (6, 7)


def test_there_are_as_many_parameters_as_published():
    """1 418 240 at the published widths; the constant tables are not counted."""
    random = np.random.default_rng(0)
    features = {"image": random.normal(size=(16, 4096)), "text": random.normal(size=(16, 384))}
    dataset = Dataset.from_arrays(
        DATASET.train, DATASET.valid, DATASET.test, n_items=16, features=features
    )
    model = build("mmgcn", dataset, MMGCNConfig(formulation="released"), seed=0)
    assert sum(parameter.numel() for parameter in model.main_parameters()) == 1_418_240


def test_a_node_without_neighbours_has_a_finite_vector_and_gradient():
    model = mmgcn()
    _, items = model.embed()  # item 15 is in the test set alone
    items[15].sum().backward()
    assert items.isfinite().all() and model.ids.grad[-1].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_tables_and_weights_start_as_published():
    """Xavier-normal, but for the combining weights of layers 2 and 3: torch's default."""
    model = mmgcn(embed_dim=64, image_width=256)
    network = model.networks["image"]
    assert model.ids.std().item() == pytest.approx((2 / (28 + 64)) ** 0.5, rel=0.1)
    assert network.preference.std().item() == pytest.approx((2 / (12 + 256)) ** 0.5, rel=0.1)
    first, second, _ = network.layers
    assert first.aggregate.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.1)
    assert second.side.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.1)
    assert first.combine.weight.std().item() == pytest.approx((2 / (320 + 64)) ** 0.5, rel=0.1)
    assert first.combine.weight.abs().max() > 3 * (2 / (320 + 64)) ** 0.5
    assert second.combine.weight.abs().max() <= 128**-0.5
