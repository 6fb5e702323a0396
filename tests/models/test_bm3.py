"""BM3 against reference vectors of the published code, and its dropout against its law."""

import pytest
import torch
from reference_vectors import (
    arrays_of,
    assert_equal,
    backward,
    dataset_of,
    described,
    every_file,
    features_of,
    sparse,
)
from tiny import small, tiny

from seapkg.models import bm3, build

DATASET = tiny("image", "text")
every_file = every_file("bm3")


def published(file):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper"]
    config = bm3.BM3Config(
        embed_dim=hyper["embedding_size"],
        n_layers=hyper["n_layers"],
        dropout=hyper["dropout"],
        regularisation=hyper["reg_weight"],
        contrast_weight=hyper["cl_weight"],
    )
    model = build("bm3", dataset_of(golden), config, seed=0)
    names = parameter_names(features_of(golden))
    state = {ours: golden[f"param/{theirs}"] for ours, theirs in names.items()}
    model.double().load_state_dict(state)
    model.graph = sparse(golden["graph/adjacency"])
    return model, golden, described(file)["total"]["loss/total"]


def parameter_names(modalities) -> dict[str, str]:
    """Our name -> theirs."""
    names = {"users": "user_embedding", "items": "item_embedding"}
    names |= {f"features.{name}": f"{name}_features" for name in modalities}
    for part in ("weight", "bias"):
        names[f"predictor.{part}"] = f"predictor/{part}"
        for name in modalities:
            names[f"projections.{name}.{part}"] = f"{name}_projection/{part}"
    return names


@pytest.fixture
def inject(monkeypatch):
    """Replaces the drawn masks by the golden ones, in the order of the draws."""

    def replace(model, golden):
        users, items = golden["batch/users"].unique(), golden["batch/positives"].unique()
        kept = [golden["draw/keep/user_target"][users]]
        for name in ("item", *model.projections):
            kept.append(golden[f"draw/keep/{name}_target"][items])
        masks = iter(kept)
        rate = model.config.dropout
        monkeypatch.setattr(bm3, "keep_mask", lambda *_: (next(masks), 1 - rate))

    return replace


def batch_of(golden):
    nothing = torch.empty(0, dtype=torch.int64)
    return golden["batch/users"], golden["batch/positives"], nothing


@every_file
def test_losses_and_gradients_are_the_golden_ones(file, inject):
    model, golden, factors = published(file)
    inject(model, golden)
    terms, total = backward(model, batch_of(golden))
    weighted = {name.removeprefix("loss/"): factor * golden[name] for factor, name in factors}
    names = list(model.projections)
    expected = {
        "reconstruction": weighted.pop("user_item") + weighted.pop("item_user"),
        "inter_modality": sum(weighted.pop(f"{name}_item") for name in names),
        "intra_modality": sum(weighted.pop(f"{name}_{name}") for name in names),
        "regularisation": weighted.pop("regularisation"),
    }
    assert not weighted and terms.keys() == expected.keys()
    for name, term in terms.items():
        assert_equal(term, expected[name])
    assert_equal(total, golden["loss/total"])
    parameters, known = dict(model.named_parameters()), parameter_names(names)
    assert parameters.keys() == known.keys()
    for ours, theirs in known.items():
        assert_equal(parameters[ours].grad, golden[f"grad/{theirs}"])


@every_file
def test_vectors_before_and_behind_the_predictor_are_the_golden_ones(file):
    model, golden, _ = published(file)
    for kind, tables in ("train", model._online()), ("eval", model.embed()):
        assert_equal(tables[0], golden[f"{kind}/users"])
        assert_equal(tables[1], golden[f"{kind}/items"])
    assert_equal(model.score(torch.arange(model.n_users)), golden["eval/scores"])
    for name, whole in model.parts().items():
        assert_equal(whole, golden[f"mid/{name.removesuffix('/whole')}_projected"])


@every_file
def test_the_graph_is_the_golden_one(file):
    """But for the 1e-7 that the published code adds to degrees."""
    golden = arrays_of(file)
    graph = bm3.training_graph(dataset_of(golden))
    expected = golden["graph/adjacency"].float()
    torch.testing.assert_close(graph.matrix().to_dense(), expected, rtol=1e-6, atol=0)


def bm3_model(**options):
    model = build("bm3", DATASET, small("bm3", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(1))
    return model


def test_rows_that_repeat_in_a_batch_share_one_mask():
    x = torch.arange(1.0, 25).view(3, 8)
    places = torch.tensor([2, 0, 2, 1, 2])
    predictions, targets = bm3_model()._pair(x, places)
    assert torch.equal(targets[0], targets[2]) and torch.equal(targets[0], targets[4])
    assert torch.equal(predictions[0], predictions[2])
    kept = targets[[1, 3, 0]] != 0
    torch.testing.assert_close(targets[[1, 3, 0]], 2 * x * kept)
    assert not torch.equal(kept[0], kept[1]) and not torch.equal(kept[1], kept[2])


def test_the_targets_expectation_is_the_vector_itself():
    x = torch.ones(500, 40)
    for rate in (0.3, 0.5):
        _, targets = bm3_model(embed_dim=40, dropout=rate)._pair(x, torch.arange(500))
        assert targets.mean() == pytest.approx(1, abs=0.03)  # four standard deviations
        assert (targets == 0).float().mean() == pytest.approx(rate, abs=0.02)


def test_without_dropout_a_modality_that_equals_the_item_has_no_intra_modality_loss():
    model = bm3_model(dropout=0.0)
    with torch.no_grad():
        model.predictor.weight.copy_(torch.eye(8))
        model.predictor.bias.zero_()
    batch = torch.tensor([0, 3]), torch.tensor([1, 4]), torch.tensor([])
    assert model.losses(*batch)["intra_modality"].abs() < 1e-6


def test_targets_have_no_gradient():
    model = bm3_model(regularisation=0.0)
    model.predictor.requires_grad_(False)
    model.predictor.weight.zero_()  # so that no prediction depends on its input
    sum(model.losses(torch.tensor([0]), torch.tensor([1]), None).values()).backward()
    assert not model.users.grad.any() and not model.features["text"].grad.any()


def test_the_negatives_are_ignored():
    users, positives = torch.tensor([[0, 3, 3], [1, 4, 1]])
    one = bm3_model().losses(users, positives, torch.tensor([5, 6, 7]))
    two = bm3_model().losses(users, positives, torch.tensor([8, 9, 10]))
    assert one == two
