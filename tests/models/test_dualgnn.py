"""DualGNN against reference vectors of the published code, and its lists of neighbours."""

import tracemalloc
from itertools import product

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
    set_features,
    sparse,
)
from tiny import small, tiny

from seapkg.data.dataset import Dataset
from seapkg.graph import co_occurrence_lists, interactions
from seapkg.models import build
from seapkg.models.dualgnn import DualGNNConfig, filled_slots

every_file = every_file("dualgnn")
#: Our formulations -> names in the reference vectors.
FORMULATIONS = {"intended": "as_intended", "released": "as_published"}
every_formulation = pytest.mark.parametrize("formulation", FORMULATIONS)


def published(file, formulation="intended"):
    """The published model's parameters and neighbours in ours, in float64; the arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper_parameters"]
    config = DualGNNConfig(
        embed_dim=hyper["embedding_size"],
        hidden_width=hyper["mlp_hidden"],
        n_layers=hyper["n_graph_layers"],
        user_neighbours=hyper["user_neighbours"],
        regularisation=hyper["regularisation"],
        formulation=formulation,
    )
    dataset = dataset_of(golden, "param/user_modality_weight")
    model = build("dualgnn", dataset, config, seed=0).double()
    set_features(model.features, golden)
    for network in model.networks.values():
        network[1].negative_slope = hyper["leaky_slope"]
    for name, parameter in parameters_of(model).items():
        assert parameter.shape == golden[f"param/{name}"].shape
        parameter.data = golden[f"param/{name}"].clone()
    ours = model.graph.matrix().to_dense().double()
    assert_equal(ours, golden["out/graph"], tolerance=1e-6)  # ours is in float32
    model.graph = sparse(golden["out/graph"])
    neighbours, counts, slots = lists_of(golden)
    model.epoch_neighbours = neighbours.gather(1, slots)
    model.epoch_counts = counts.gather(1, slots)
    return model, golden


def parameters_of(model) -> dict[str, torch.nn.Parameter]:
    """Our parameters by their names in the reference vectors."""
    named = {
        "user_modality_weight": model.user_weights,
        "item_modality_weight": model.item_weights,
    }
    for name, network in model.networks.items():
        named[f"{name}/user_preference"] = model.preferences[name]
        for number, layer in enumerate((network[0], network[2])):
            named[f"{name}/mlp/{number}/weight"] = layer.weight
            named[f"{name}/mlp/{number}/bias"] = layer.bias
    assert len(named) == len(list(model.parameters()))
    return named


def lists_of(golden):
    """Neighbours, counts (-∞ where a list has ended) and the entry drawn for each slot."""
    neighbours, counts = golden["data/user_neighbours"], golden["data/user_neighbour_counts"]
    counts = counts.double().masked_fill(neighbours < 0, -torch.inf)
    slots = golden["draw/padding_positions"].clone()
    for row in slots:
        for slot, position in enumerate(row.tolist()):
            row[slot] = slot if position < 0 else row[position]
    slots[neighbours[:, 0] < 0] = 0  # a user without neighbours
    return neighbours.clamp(min=0), counts, slots


@every_file
@every_formulation
def test_losses_and_gradients_are_the_golden_ones(file, formulation):
    model, golden = published(file, formulation)
    reference, weight = FORMULATIONS[formulation], model.config.regularisation
    terms, total = backward(model, batch_of(golden))
    names = [f"preference_{name}" for name in model.features]
    names += ["user_modality_weight", "item_modality_weight"]
    assert_equal(terms["bpr"], golden[f"loss/{reference}/bpr_log2"])
    assert_equal(terms["regularisation"], weight * sum(golden[f"loss/{name}"] for name in names))
    assert_equal(total, golden[f"loss/{reference}/total"])
    for name, parameter in parameters_of(model).items():
        assert_equal(parameter.grad, golden[f"grad/{reference}/{name}"])


@every_file
def test_layers_are_the_golden_ones(file):
    model, golden = published(file)
    users, items = model._propagate()
    for m, name in enumerate(model.features):
        projected = model.networks[name](model.features[name])
        assert_equal(projected, golden[f"out/{name}/projected_items"])
        nodes = torch.cat([users[:, m], items[:, m]])
        assert_equal(nodes, golden[f"out/{name}/propagated"])
        assert_equal(model.parts()[f"{name}/whole"], nodes[model.n_users :])


@every_file
@every_formulation
def test_three_steps_of_adam_and_the_final_vectors_are_the_golden_ones(file, formulation):
    """With the neighbours that the published code drew, in training and in evaluation."""
    model, golden = published(file, formulation)
    model.neighbours, model.counts = model.epoch_neighbours, model.epoch_counts
    reference = FORMULATIONS[formulation]
    users, items = model.embed()
    assert_equal(users, golden[f"out/{reference}/users"])
    assert_equal(items, golden["out/items"])
    before_graph, _ = model._fuse(*model._propagate())
    assert_equal(before_graph, golden[f"out/{reference}/users_before_user_graph"])
    assert_equal(users - before_graph, golden[f"out/{reference}/users_from_user_graph"])

    rate = golden["hyper/adam_learning_rate"].item()
    adam, losses = torch.optim.Adam(model.parameters(), lr=rate), []
    for name in ("batch", "batch1", "batch2"):
        stale = model.embed()
        losses.append(backward(model, batch_of(golden, name))[1])
        adam.step()
    assert_equal(torch.stack(losses), golden[f"adam/{reference}/losses"])
    for name, parameter in parameters_of(model).items():
        assert_equal(parameter, golden[f"adam/{reference}/after_3/{name}"])
    everyone = torch.arange(model.n_users)
    assert_equal(model.score(everyone), golden[f"out/eval/{reference}/fresh_scores"])
    for ours, kind in zip(stale, ("users", "items"), strict=True):
        assert_equal(ours, golden[f"out/eval/{reference}/stale_{kind}"])


@every_file
def test_lists_of_neighbours_are_the_golden_ones_up_to_ties(file):
    model, golden = published(file)
    neighbours, counts, _ = lists_of(golden)
    counts_of_pairs = torch.zeros(model.n_users, model.n_items).index_put_(
        tuple(golden["data/train"].T), torch.tensor(1.0)
    )
    shared = counts_of_pairs @ counts_of_pairs.T
    k = min(model.counts.shape[1], counts.shape[1])
    assert torch.equal(model.counts[:, :k], counts[:, :k])
    assert model.counts[:, k:].isneginf().all()
    present = model.counts > 0
    own = shared.gather(1, model.neighbours)
    assert torch.equal(own[present].double(), model.counts[present])
    whole = present.sum(dim=1) < model.counts.shape[1]  # no tie is cut
    for ours, theirs, n in zip(
        model.neighbours[whole], neighbours[whole], present.sum(dim=1)[whole], strict=True
    ):
        assert set(ours[:n].tolist()) == set(theirs[:n].tolist())


@every_file
def test_the_golden_padding_gives_the_golden_shares(file):
    model, golden = published(file)
    present = golden["draw/padded_weights"].sum(dim=1) > 0
    assert torch.equal(model.epoch_neighbours[present], golden["draw/padded_neighbours"][present])
    shares = model.epoch_counts.softmax(dim=1).nan_to_num(0.0)
    assert_equal(shares, golden["draw/padded_weights"])


# The lists


def urn(n: int, k: int, random) -> tuple[int, ...]:
    """Multiplicities of a list of n that grows to k by copies of entries drawn from itself."""
    entries = list(range(n))
    while len(entries) < k:
        entries.append(entries[random.integers(len(entries))])
    return tuple(np.bincount(entries, minlength=n).tolist())


def test_filled_lists_have_the_law_of_the_growing_list():
    n_draws, random = 20_000, np.random.default_rng(0)
    slots = filled_slots(torch.full((n_draws,), 3), 6, torch.Generator().manual_seed(0))
    ours = [tuple(np.bincount(row, minlength=3).tolist()) for row in slots.numpy()]
    theirs = [urn(3, 6, random) for _ in range(n_draws)]
    expected = {times for times in product(range(1, 7), repeat=3) if sum(times) == 6}
    assert set(ours) == expected and len(expected) == 10
    bound = 5 * np.sqrt(n_draws * 0.1 * 0.9)  # five standard deviations
    for times in expected:
        assert abs(ours.count(times) - n_draws / 10) < bound
        assert abs(theirs.count(times) - n_draws / 10) < bound


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_full_list_is_not_changed_and_a_short_one_repeats_its_entries(k):
    sizes = torch.arange(k + 1).repeat(50)
    slots = filled_slots(sizes, k, torch.Generator().manual_seed(0))
    assert slots.shape == (len(sizes), k)
    for n, row in zip(sizes.tolist(), slots.tolist(), strict=True):
        assert set(row) == set(range(n)) or (n == 0 and set(row) == {0})


def dualgnn(dataset=None, **options):
    dataset = dataset or tiny("image", "text")
    return build("dualgnn", dataset, small("dualgnn", **options), seed=0)


def test_an_epoch_fills_its_lists_anew_and_evaluation_does_not():
    model, generator = dualgnn(user_neighbours=40), torch.Generator().manual_seed(0)
    before, lists = model.embed()[0], []
    for epoch in range(2):
        model.begin_epoch(generator, epoch)
        lists.append(model.epoch_neighbours)
    assert not torch.equal(*lists)
    assert torch.equal(model.embed()[0], before)
    for ours, drawn in zip(model.neighbours, lists[0], strict=True):
        assert set(drawn.tolist()) <= set(ours.tolist())


def test_enough_neighbours_make_training_and_evaluation_agree():
    model = dualgnn(user_neighbours=2)
    model.begin_epoch(torch.Generator().manual_seed(0))
    assert model.counts.isfinite().all()
    assert torch.equal(model.epoch_neighbours, model.neighbours)
    assert torch.equal(model.epoch_counts, model.counts)


def test_initial_values_have_the_published_law():
    model = dualgnn(tiny("image", "text", n_users=3000))
    torch.testing.assert_close(model.user_weights.sum(dim=1), torch.ones(3000))
    logits = model.user_weights.detach().log()
    gaps = logits[:, 0] - logits[:, 1]
    assert gaps.std().item() == pytest.approx(2 / np.sqrt(3000 + 2), rel=0.1)
    for preference in model.preferences.values():
        assert preference.std().item() == pytest.approx(np.sqrt(2 / (3000 + 8)), rel=0.05)


def test_a_user_who_shares_nothing_has_its_own_vector():
    splits = np.array([[0, 0], [1, 0], [1, 1], [2, 2]]), np.array([[0, 3]]), np.array([[1, 3]])
    features = {"image": np.random.default_rng(0).normal(size=(4, 5))}
    model = dualgnn(Dataset.from_arrays(*splits, features=features))  # user 2 is alone
    model.begin_epoch(torch.Generator().manual_seed(0))
    own, _ = model._fuse(*model._propagate())
    users, _ = model.embed()
    assert torch.equal(users[2], own[2])
    torch.testing.assert_close(users[0], own[0] + own[1])  # its only neighbour
    sum(model.losses(*torch.tensor([[2], [2], [0]])).values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("block_entries", [1, 50, 1 << 22])
def test_co_occurrence_lists_equal_the_counts_sorted_by_hand(block_entries, monkeypatch):
    monkeypatch.setattr(interactions, "BLOCK_ENTRIES", block_entries)
    pairs = torch.from_numpy(tiny(n_users=30, n_items=40).train.copy())
    neighbours, counts = co_occurrence_lists(pairs, 30, 40, 12)
    columns = [set(pairs[pairs[:, 0] == row, 1].tolist()) for row in range(30)]
    lengths = set()
    for row in range(30):
        shared = {other: len(columns[row] & columns[other]) for other in range(30) if other != row}
        best = sorted((o for o in shared if shared[o]), key=lambda o: (-shared[o], o))[:12]
        n = len(best)
        lengths.add(n)
        assert neighbours[row].tolist() == best + [0] * (12 - n)
        assert counts[row, :n].tolist() == [shared[other] for other in best]
        assert counts[row, n:].isneginf().all()
    assert 12 in lengths and min(lengths) < 12


def test_lists_of_25_000_users_take_little_memory(monkeypatch):
    """Every tenth user has the same item; dense counts of all users would take 2.5 GB."""
    random, n_users, k = np.random.default_rng(0), 25_000, 40
    items = random.integers(1, 8_000, size=(n_users, 4))
    items[::10, 0] = 0
    pairs = np.unique(np.column_stack([np.arange(n_users).repeat(4), items.ravel()]), axis=0)
    monkeypatch.setattr(interactions, "BLOCK_ENTRIES", 1 << 18)
    tracemalloc.start()
    neighbours, counts = co_occurrence_lists(torch.from_numpy(pairs), n_users, 8_000, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts[0].isfinite().all() and (neighbours[0] % 10 == 0).sum() > k / 2
    assert neighbours.numel() == n_users * k
    assert peak < 100e6
