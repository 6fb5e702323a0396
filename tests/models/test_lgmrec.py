"""LGMRec against reference vectors of the published code; its draws against their law."""

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
from torch.nn import functional as F

from seapkg.models import build
from seapkg.models.lgmrec import LGMRecConfig

DATASET = tiny("image", "text")
BATCH = torch.tensor([[0, 3, 3, 7], [1, 4, 0, 9], [5, 6, 15, 1]])
every_file = every_file("lgmrec")


def published(file, formulation="intended"):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper"]
    config = LGMRecConfig(
        formulation=formulation,
        embed_dim=hyper["embedding_size"],
        n_layers=hyper["n_ui_layers"],
        n_modality_layers=hyper["n_mm_layers"],
        n_hyper_layers=hyper["n_hyper_layer"],
        n_hyperedges=hyper["hyper_num"],
        dropout=1 - hyper["keep_rate"],
        hyper_weight=hyper["alpha"],
        contrast_weight=hyper["cl_weight"],
        regularisation=hyper["reg_weight"],
        temperature=hyper["temperature"],
    )
    model = build("lgmrec", dataset_of(golden), config, seed=0)
    built = model.graph, model.user_means, model.user_sums
    model.double()
    set_features(model.features, golden)
    for name, parameter in parameters_by_name(model).items():
        parameter.data = in_our_form(name, golden[f"param/{name}"]).clone()
    interactions = golden["graph/interactions"]
    model.graph = sparse(golden["graph/adjacency"])
    model.user_means = sparse(interactions / (interactions.sum(dim=1, keepdim=True) + 1e-7))
    model.user_sums = sparse(interactions)
    return model, golden, built


def parameters_by_name(model):
    """Each of our parameters by its name in the reference file."""
    found = {"user_embedding": model.users, "item_embedding": model.items}
    for name in model.projections:
        found[f"{name}_projection"] = model.projections[name]
        found[f"{name}_hyperedges"] = model.hyperedges[name]
    return found


def in_our_form(name, array):
    """Maps of features are [width, n] in the file, and [n, width] here."""
    return array if name.endswith("_embedding") else array.T


def drawn(model, golden, kind):
    """A draw for users, then items: [n_modalities, n, n_hyperedges]."""
    sides = [
        torch.stack([golden[f"draw/{kind}/{name}_{side}"] for name in model.projections])
        for side in ("user", "item")
    ]
    return torch.cat(sides, dim=1)


def inject(model, golden, forward):
    """Sets the draws of the published code in a "train" or "eval" forward."""
    model._noise = lambda logits, generator: drawn(model, golden, f"{forward}/gumbel")
    share = 1 - model.config.dropout
    model._dropout = lambda weights: drawn(model, golden, "train/keep") / share


@every_file
def test_losses_and_gradients_are_the_golden_ones(file):
    model, golden, _ = published(file)
    inject(model, golden, "train")
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
        assert_equal(parameter.grad, in_our_form(name, golden[f"grad/{name}"]))


@every_file
def test_evaluation_without_noise_is_the_golden_one(file):
    model, golden, _ = published(file)
    for ours, name in zip(model.embed(), ("users", "items"), strict=True):
        assert_equal(ours, golden[f"option/evaluation_without_noise/{name}"])


@every_file
def test_released_evaluation_with_noise_is_the_golden_one(file):
    model, golden, _ = published(file, "released")
    inject(model, golden, "eval")
    for ours, name in zip(model.embed(), ("users", "items"), strict=True):
        assert_equal(ours, golden[f"eval/{name}"])
    assert_equal(model.score(torch.arange(model.n_users)), golden["eval/scores"])


@every_file
def test_graphs_are_the_golden_ones(file):
    """But for the 1e-7 that the published code adds to degrees."""
    model, golden, built = published(file)
    for ours, theirs in zip(built, (model.graph, model.user_means, model.user_sums), strict=True):
        expected = theirs.matrix().to_dense()
        assert_equal(ours.matrix().to_dense().double(), expected, 1e-6)


def lgmrec(dataset=DATASET, **options):
    model = build("lgmrec", dataset, small("lgmrec", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(0))
    return model


def expected(model, noise, factors):
    """The equations of the published code, layer by layer: final vectors and h_m by modality."""
    n, config = model.n_users, model.config
    matrix, means, sums = (
        graph.matrix().to_dense() for graph in (model.graph, model.user_means, model.user_sums)
    )
    layers = [torch.cat([model.users, model.items])]
    for _ in range(config.n_layers):
        layers.append(matrix @ layers[-1])
    content = local = sum(layers) / len(layers)
    views = []
    for m, name in enumerate(model.projections):
        projected = model.features[name] @ model.projections[name].T
        nodes = torch.cat([means @ projected, projected])
        for _ in range(config.n_modality_layers):
            nodes = matrix @ nodes
        local = local + F.normalize(nodes, dim=1)
        logits = model.features[name] @ model.hyperedges[name].T
        logits = torch.cat([sums @ logits, logits])
        weights = ((logits + noise[m]) / config.temperature).softmax(dim=1) * factors[m]
        layer = content[n:]
        for _ in range(config.n_hyper_layers):
            edges = weights[n:].T @ layer
            layer = weights[n:] @ edges
        views.append(weights @ edges)
    return local + config.hyper_weight * F.normalize(sum(views), dim=1), views


def expected_contrast(views, index):
    """The sum over the batch and the pairs of modalities, against all rows."""
    total = 0
    for m, view in enumerate(views):
        for other in views[m + 1 :]:
            cosines = F.normalize(view, dim=1)[index] @ F.normalize(other, dim=1).T
            total = total + F.cross_entropy(cosines / 0.2, index, reduction="sum")
    return total


@pytest.mark.parametrize("modalities", [("image",), ("image", "text"), ("audio", "image", "text")])
@pytest.mark.parametrize("n_hyper_layers", [1, 3])
@pytest.mark.parametrize("n_hyperedges", [3, 8, 11])  # fewer than, as many as, more than columns
def test_losses_and_gradients_equal_the_equations(modalities, n_hyper_layers, n_hyperedges):
    options = {"n_hyper_layers": n_hyper_layers, "n_hyperedges": n_hyperedges}
    model = lgmrec(tiny(*modalities), **options, contrast_weight=0.1).double()
    noise = model._noise(torch.empty(len(modalities), 28, n_hyperedges).double(), model.generator)
    factors = model._dropout(noise)
    model._noise, model._dropout = lambda *_: noise, lambda *_: factors
    users, positives, negatives = BATCH
    nodes, views = expected(model, noise, factors)
    u, i, j = nodes[users], nodes[12 + positives], nodes[12 + negatives]
    theirs = -F.logsigmoid((u * (i - j)).sum(dim=1)).mean()
    theirs = theirs + 1e-6 * sum(part.norm() for part in (u, i, j)) / 4
    contrast = expected_contrast([view[:12] for view in views], users)
    theirs = theirs + 0.1 * (contrast + expected_contrast([v[12:] for v in views], positives))
    ours = sum(model.losses(users, positives, negatives).values())
    torch.testing.assert_close(ours, theirs)
    parameters = list(model.parameters())
    gradients = (
        torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (ours, theirs)
    )
    for mine, oracle in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, oracle)


def test_the_noise_is_gumbel_noise():
    noise = lgmrec()._noise(torch.empty(100_000), torch.Generator().manual_seed(0)).double()
    for quantile in (0.1, 0.5, 0.9):
        share = (noise < -torch.tensor(quantile).log().neg().log()).double().mean()
        assert share.item() == pytest.approx(quantile, abs=0.005)


def test_dropout_keeps_the_mean_and_its_share():
    factors = lgmrec(dropout=0.3)._dropout(torch.empty(500, 400))
    assert (factors > 0).float().mean().item() == pytest.approx(0.7, abs=0.01)
    assert factors.mean().item() == pytest.approx(1, abs=0.01)


def test_every_batch_draws_anew():
    model = lgmrec(dropout=0.0)
    first, second = (model.losses(*BATCH)["bpr"] for _ in range(2))
    assert first != second


def test_released_noise_at_evaluation_is_that_of_the_epoch():
    model = lgmrec(formulation="released")
    first = model.embed()[0]
    assert torch.equal(first, model.embed()[0])
    copy = lgmrec(formulation="released")
    copy.begin_epoch(torch.Generator().manual_seed(9), 1)
    assert not torch.equal(first, copy.embed()[0])
    copy.load_state_dict(model.state_dict())
    assert torch.equal(first, copy.embed()[0])


def test_intended_evaluation_has_no_noise():
    first, second = lgmrec(), lgmrec()
    second.begin_epoch(torch.Generator().manual_seed(9), 1)
    assert torch.equal(first.embed()[0], second.embed()[0])
