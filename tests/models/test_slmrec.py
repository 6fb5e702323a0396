"""SLMRec against reference vectors of the published code, and its shortcuts."""

from functools import partial

import pytest
import torch
from reference_vectors import (
    arrays_of,
    assert_equal,
    backward,
    batch_of,
    dataset_of,
    every_file,
    features_of,
    sparse,
)
from tiny import small, tiny
from torch.nn import functional as F

from seapkg import losses
from seapkg.graph import mean_of_layers
from seapkg.kernels.propagated_linear import PropagatedLinear
from seapkg.models import build, slmrec

DATASET = tiny("image", "text")
every_file = every_file("slmrec")


def published(file):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden = arrays_of(file)
    config = slmrec.SLMRecConfig(
        embed_dim=int(golden["hyper/embedding_size"]),
        n_layers=int(golden["hyper/n_layers"]),
        temperature=golden["hyper/temperature"].item(),
        alignment_temperature=golden["hyper/ssl_temperature"].item(),
        alignment_weight=golden["hyper/ssl_weight"].item(),
    )
    model = build("slmrec", dataset_of(golden), config, seed=0).double()
    features = features_of(golden)
    known = parameter_names(features)
    model.load_state_dict({ours: golden[f"param/{theirs}"] for ours, theirs in known.items()})
    model.graph = sparse(golden["out/graph"])
    for name, content in model.contents.items():
        unit = F.normalize(features[name], dim=1)
        propagate = partial(mean_of_layers, model.graph, n_layers=config.n_layers)
        content.features = PropagatedLinear(1, unit, propagate, model.n_users).features
    return model, golden


def parameter_names(modalities) -> dict[str, str]:
    """Our name -> theirs, without the biases of the heads of modalities."""
    first, second = modalities
    names = {"users": "user_embedding", "items": "item_embedding"}
    for part in ("weight", "bias"):
        for name in modalities:
            names[f"contents.{name}.{part}"] = f"{name}/projection/{part}"
        names[f"joints.{first}.0.{part}"] = f"head_id/{part}"
        names[f"joints.{second}.0.{part}"] = f"head_joint/{part}"
        names[f"joints.{second}.1.{part}"] = f"head_joint_{second}/{part}"
        names[f"user_fusion.{part}"] = f"user_fusion/{part}"
        names[f"item_fusion.{part}"] = f"item_fusion/{part}"
    return names | {f"heads.{name}.weight": f"head_{name}/weight" for name in modalities}


def assert_parameters_equal(parameters, golden, prefix: str, heads) -> None:
    """Each parameter against its golden array, and none of either is left over."""
    known = parameter_names(heads)
    left_out = {f"head_{name}/bias" for name in heads}  # see the test below
    all_names = {name.removeprefix(prefix) for name in golden if name.startswith(prefix)}
    assert parameters.keys() == known.keys() and all_names == {*known.values(), *left_out}
    for ours, theirs in known.items():
        assert_equal(parameters[ours], golden[prefix + theirs])


@every_file
def test_losses_and_gradients_are_the_golden_ones(file):
    model, golden = published(file)
    terms, total = backward(model, batch_of(golden))
    assert_equal(terms["contrast"], golden["loss/main"])
    alignment = sum(golden[f"loss/fac_{name}"] for name in model.contents)
    assert_equal(terms["alignment"], model.config.alignment_weight * alignment)
    assert_equal(total, golden["loss/total"])
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert_parameters_equal(gradients, golden, "grad/", list(model.contents))


@every_file
def test_the_golden_gradients_of_the_biases_that_are_left_out_are_zero(file):
    golden = arrays_of(file)
    for name in features_of(golden):
        assert golden[f"grad/head_{name}/bias"].abs().max() < 1e-12


@every_file
def test_views_and_final_vectors_are_the_golden_ones(file):
    model, golden = published(file)
    for name, view in zip(("id", *model.contents), model._views(model.n_users), strict=True):
        assert_equal(view, golden[f"out/{name}/propagated"])
    for name, part in model.parts().items():
        view = golden[f"out/{name.removesuffix('/whole')}/propagated"]
        assert_equal(part, view[model.n_users :])
    users, items = model.embed()
    assert_equal(users, golden["out/users"])
    assert_equal(items, golden["out/items"])
    scores = model.score(torch.arange(model.n_users))
    assert_equal(scores.sigmoid(), golden["out/eval/scores_before_step"])


@every_file
def test_three_steps_of_adam_are_the_golden_ones_and_evaluation_is_not_stale(file):
    model, golden = published(file)
    rate, decay = (
        golden[f"hyper/{name}"].item() for name in ("adam_learning_rate", "weight_decay")
    )
    adam, totals = model.optimiser(model.main_parameters(), rate, decay), []
    for name in ("batch", "batch1", "batch2"):
        totals.append(backward(model, batch_of(golden, name))[1])
        adam.step()
    assert_equal(torch.stack(totals), golden["adam/losses"])
    after = dict(model.named_parameters())
    assert_parameters_equal(after, golden, "adam/after_3/", list(model.contents))
    scores = model.score(torch.arange(model.n_users))
    assert_equal(scores.sigmoid(), golden["out/eval/fresh_scores"])


@every_file
def test_the_graph_is_the_golden_one(file):
    """But for the 1e-8 that the published code adds to degrees."""
    golden = arrays_of(file)
    graph = slmrec.training_graph(dataset_of(golden)).matrix().to_dense()
    torch.testing.assert_close(graph, golden["out/graph"].float(), rtol=1e-6, atol=0)


@every_file
def test_features_are_propagated_as_rows_of_unit_length_like_the_golden_ones(file):
    model, golden = published(file)
    ours = build("slmrec", dataset_of(golden), model.config, seed=0)  # in float32
    for name, content in model.contents.items():
        expected = content.features.float()  # and of ones, for the bias
        torch.testing.assert_close(ours.contents[name].features, expected, rtol=1e-5, atol=1e-7)


def slmrec_model(*modalities, **options):
    return build("slmrec", tiny(*modalities), small("slmrec", **options), seed=0)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_each_view_starts_with_the_users_and_its_own_items(n_layers):
    model = slmrec_model("image", "text", n_layers=n_layers)
    views = model._views(model.n_users)
    starts = [model.items]
    for name, content in model.contents.items():
        unit = F.normalize(torch.from_numpy(DATASET.features[name].copy()), dim=1)
        starts.append(F.linear(unit, content.weight, content.bias))
    for view, start in zip(views, starts, strict=True):
        nodes = torch.cat([model.users, start])
        torch.testing.assert_close(view, mean_of_layers(model.graph, nodes, n_layers))


def test_the_last_of_several_modalities_is_aligned_in_half_the_width():
    for modalities in (("image",), ("image", "text"), ("image", "text", "audio")):
        model = slmrec_model(*modalities, embed_dim=6)
        widths = [head.out_features for head in model.heads.values()]
        assert widths == [6, 6, 3][: len(modalities) - 1] + [3 if modalities[1:] else 6]
        n_linear = [len(joint) for joint in model.joints.values()]
        assert n_linear == [1, 2, 2][: len(modalities)]


def test_a_repeated_pair_counts_as_often_as_it_occurs():
    """Against the losses of the batch written out row by row."""
    model = slmrec_model("image", "text")
    users, positives = torch.tensor([[0, 3, 3, 7, 3], [1, 4, 0, 1, 4]])
    user_table, item_table = (F.normalize(table, dim=1) for table in model.embed())
    expected = losses.solosim(user_table[users], item_table[positives], model.config.temperature)
    terms = model.losses(users, positives, None)
    torch.testing.assert_close(terms["contrast"], expected)


def test_weights_decay_by_default_and_the_decay_is_part_of_the_gradient():
    model = slmrec_model("image", "text")
    decay = model.training_options(model.config)["weight_decay"]
    optimiser = model.optimiser(model.main_parameters(), 1e-3, decay)
    assert decay == 1e-4 and optimiser.defaults["weight_decay"] == decay
    assert not isinstance(optimiser, torch.optim.AdamW)
