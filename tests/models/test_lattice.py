"""LATTICE against reference vectors of the published code; its learning of the graph by itself."""

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
from seapkg.models.lattice import LATTICEConfig
from seapkg.training import TrainingConfig, fit
from seapkg.training.checkpoint import Checkpoint

BATCH = torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]])
DATASET = tiny("image", "text")
every_file = every_file("lattice")
every_kind_of_idling = pytest.mark.parametrize(
    ("idle", "name"), [("stay", "idle_skipped"), ("drift", "idle_moved")]
)


def published(file, **options):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden = arrays_of(file)
    config = LATTICEConfig(
        embed_dim=int(golden["hyper/embedding_size"]),
        projection_width=int(golden["hyper/feature_width"]),
        n_layers=int(golden["hyper/n_interaction_layers"]),
        n_item_layers=int(golden["hyper/n_item_layers"]),
        n_neighbours=int(golden["hyper/neighbours"]),
        feature_graph_share=golden["hyper/skip_weight"].item(),
        regularisation=golden["hyper/regularisation"].item(),
        nominal_batch_size=int(golden["hyper/nominal_batch_size"]),
        **options,
    )
    model = build("lattice", dataset_of(golden), config, seed=0).double()
    set_parameters(model, golden, "param")
    model.graph = sparse(golden["out/interaction_graph"])
    for name in model.features:
        model.feature_graphs[name] = sparse(golden[f"out/original_{name}_graph"])
    model.begin_epoch(torch.Generator())
    return model, golden


def by_published_name(model):
    """Every parameter under its name in the reference file."""
    named = {
        "user_embedding": model.users,
        "item_embedding": model.items,
        "modality_logits": model.logits,
    }
    for name, projection in model.projections.items():
        named[f"{name}/features"] = model.features[name]
        named[f"{name}/projection/weight"] = projection.weight
        named[f"{name}/projection/bias"] = projection.bias
    return named


def set_parameters(model, golden, prefix):
    for name, parameter in by_published_name(model).items():
        parameter.data = golden[f"{prefix}/{name}"].clone()


def assert_golden_losses(model, golden, kind, terms, total):
    assert_equal(terms["bpr"], golden[f"loss/{kind}/bpr"])
    weighted = model.config.regularisation * golden[f"loss/{kind}/regulariser"]
    assert_equal(terms["regularisation"], weighted)
    assert_equal(total, golden[f"loss/{kind}/total"])


@every_file
def test_the_first_batch_has_the_golden_losses_and_gradients(file):
    model, golden = published(file)
    terms, total = backward(model, batch_of(golden))
    assert_golden_losses(model, golden, "first", terms, total)
    for name, parameter in by_published_name(model).items():
        assert_equal(parameter.grad, golden[f"grad/first/{name}"])


@every_file
def test_later_batches_have_the_golden_losses_and_gradients_on_the_graph_of_the_first(file):
    model, golden = published(file)
    backward(model, batch_of(golden))
    set_parameters(model, golden, "later/param")
    terms, total = backward(model, batch_of(golden, "batch1"))
    assert_golden_losses(model, golden, "later", terms, total)
    for name, parameter in by_published_name(model).items():
        expected = golden.get(f"grad/later/{name}")
        assert (parameter.grad is None) == (expected is None), name
        if expected is not None:
            assert_equal(parameter.grad, expected)


@every_file
def test_the_item_graph_and_the_vectors_are_the_golden_ones(file):
    model, golden = published(file)
    for kind, prefix in (("first", "param"), ("later", "later/param")):
        set_parameters(model, golden, prefix)
        graphs = model._batch_graphs()
        graph = graphs["items"].settled() if kind == "first" else graphs["items"]
        assert_equal(graph.matrix().to_dense(), golden[f"out/{kind}/item_graph"])
        layer = f"out/{kind}/items_from_item_graph_layer{model.config.n_item_layers}"
        content = model.items
        for _ in range(model.config.n_item_layers):
            content = graphs["items"](content)
        assert_equal(content, golden[layer])
        users, items = model._on_graphs(graphs)
        assert_equal(users, golden[f"out/{kind}/users"])
        assert_equal(items, golden[f"out/{kind}/items"])


@every_file
def test_evaluation_has_the_golden_scores(file):
    model, golden = published(file)
    users, items = model.embed()
    assert_equal(users, golden["out/eval/users"])
    assert_equal(items, golden["out/eval/items"])
    assert_equal(model.score(torch.arange(len(users))), golden["out/eval/scores"])


@every_file
@every_kind_of_idling
def test_four_steps_of_adam_over_two_epochs_are_the_golden_ones(file, idle, name):
    model, golden = published(file, idle_parameters=idle)
    rate = golden["hyper/adam_learning_rate"].item()
    adam, losses = model.optimiser(model.main_parameters(), rate, 0.0), []
    for batch in ("batch", "batch1", "batch2", "batch"):
        if len(losses) == 3:
            model.begin_epoch(torch.Generator(), 1)
        losses.append(backward(model, batch_of(golden, batch))[1])
        model.fit_auxiliary()
        adam.step()
    assert_equal(torch.stack(losses), golden[f"adam/{name}/losses"])
    for parameter, ours in by_published_name(model).items():
        assert_equal(ours, golden[f"adam/{name}/after_4/{parameter}"])
    users, items = model.embed()
    assert_equal(users, golden[f"out/eval/{name}/users_after_4"])
    assert_equal(items, golden[f"out/eval/{name}/items_after_4"])
    scores = model.score(torch.arange(len(users)))
    assert_equal(scores, golden[f"out/eval/{name}/scores_after_4"])


@every_file
def test_the_constant_graphs_are_the_golden_ones_in_float32(file):
    model, golden = published(file)
    fresh = build("lattice", dataset_of(golden), model.config, seed=0)
    assert_equal(fresh.graph.matrix().to_dense(), golden["out/interaction_graph"], 1e-6)
    for name, graph in fresh.feature_graphs.items():
        assert_equal(graph.matrix().to_dense(), golden[f"out/original_{name}_graph"], 1e-6)


def lattice(dataset=DATASET, **options):
    model = build("lattice", dataset, small("lattice", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(0))
    return model


def test_it_starts_from_equal_logits_and_the_raw_features():
    model = lattice()
    assert model.logits.tolist() == [0.5, 0.5]
    assert all(torch.equal(model.features[name], torch.from_numpy(DATASET.features[name]))
               for name in model.features)  # fmt: skip


def test_a_neighbour_by_several_modalities_counts_the_sum():
    """Twice the same features give the graph of one."""
    image = DATASET.features["image"]
    twice = Dataset.from_arrays(
        DATASET.train, DATASET.valid, DATASET.test, n_items=16, features={"a": image, "b": image}
    )
    one, two = lattice(tiny("image")), lattice(twice)
    for name in "ab":
        two.projections[name].load_state_dict(one.projections["image"].state_dict())
    one, two = (model._current_graphs()["items"].matrix().to_dense() for model in (one, two))
    torch.testing.assert_close(one, two)


def test_an_item_whose_weights_add_up_to_nothing_has_an_empty_row_and_finite_gradients():
    model = lattice(tiny("image"), n_neighbours=DATASET.n_items)
    with torch.no_grad():  # items at 0 and 180 degrees: most cosines of a row are -1
        model.projections["image"].weight.zero_()
        model.features["image"].zero_()[:, 0] = torch.tensor([1.0] * 5 + [-1.0] * 11)
        model.projections["image"].weight[0, 0] = 1
        model.projections["image"].bias.zero_()
    graph = model._learn_graphs()["items"].learned
    assert (~graph.weights.any(dim=1)).tolist() == [True] * 5 + [False] * 11
    graph.weights.sum().backward()
    assert model.projections["image"].weight.grad.isfinite().all()


def test_the_learning_rate_falls_by_four_percent_in_fifty_epochs():
    model = lattice()
    assert model.learning_rate(1.0, 0) == 1 and model.learning_rate(1.0, 50) == 0.96
    assert model.learning_rate(1.0, 25) == pytest.approx(0.96**0.5)


@pytest.mark.parametrize("idle", ["stay", "drift"])
def test_a_training_killed_between_epochs_resumes(idle, tmp_path):
    def trained(epochs, checkpoint=None):
        model = lattice(idle_parameters=idle)
        training = TrainingConfig(learning_rate=0.01, batch_size=20, max_epochs=epochs)
        fit(model, DATASET, training, device="cpu", progress=False, checkpoint=checkpoint)
        return model.state_dict()

    checkpoint = Checkpoint(tmp_path / "state.npz", "lattice", every=0)
    trained(2, checkpoint)
    whole, resumed = trained(4), trained(4, checkpoint)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_drifting_parameters_move_in_later_batches_and_others_stay():
    for idle in ("stay", "drift"):
        model = lattice(idle_parameters=idle)
        adam = model.optimiser(model.main_parameters(), 0.01, 0.0)
        weights = []
        for _ in range(2):
            backward(model, BATCH)
            model.fit_auxiliary()
            adam.step()
            weights.append(model.features["image"].detach().numpy().copy())
        assert np.array_equal(*weights) == (idle == "stay")
