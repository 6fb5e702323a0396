"""MMSSL against reference vectors of the published code, and its graphs against their rules."""

import json

import pytest
import torch
from reference_vectors import (
    arrays_of,
    assert_equal,
    batch_of,
    described,
    every_file,
    sparse,
)
from tiny import small, tiny

from seapkg.data.dataset import Dataset
from seapkg.models import build, mmssl, mmssl_parts
from seapkg.models.mmssl import MMSSLConfig

every_file = every_file("mmssl")
NOISE = 1e-9  # gradients that are zero but for rounding


def published(file, formulation="released", **options):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper"]
    names = [name.split("/")[1] for name in golden if name.startswith("data/")]
    known = {"train", "valid", "test", "n_users", "n_items"}
    features = {name: golden[f"data/{name}"] for name in names if name not in known}
    dataset = Dataset.from_arrays(
        *(golden[f"data/{split}"].numpy() for split in ("train", "valid", "test")),
        n_users=int(golden["data/n_users"]),
        n_items=int(golden["data/n_items"]),
        features={name: table.numpy() for name, table in features.items()},
    )
    config = {
        "formulation": formulation,
        "embed_dim": hyper["embed_size"],
        "n_layers": len(json.loads(hyper["weight_size"])),
        "n_heads": hyper["head_num"],
        "dropout": hyper["drop_rate"],
        "feature_weight": hyper["model_cat_rate"],
        "view_weight": hyper["id_cat_rate"],
        "neighbour_share": hyper["topk state m_topk_rate"],
        "contrast_weight": hyper["cl_rate"],
        "temperature": hyper["tau"],
        "adversarial_weight": hyper["G_rate"],
        "regularisation": json.loads(hyper["regs"])[0],
        "feature_regularisation": hyper["feat_reg_decay"],
        "penalty_weight": 0.3 * hyper["gp_rate"],
        "discriminator_learning_rate": hyper["D_learning_rate"],
    }
    model = build("mmssl", dataset, MMSSLConfig(**config | options), seed=0).double()
    for name in features:
        setattr(model.features, name, golden[f"data/{name}"])
    for name, (parameter, transposed) in trained(model).items():
        value = golden[f"param/{name}"].clone()
        parameter.data = value.T.contiguous() if transposed else value
    model.user_graph = sparse(golden["graph/user_item"])
    model.item_graph = sparse(golden["graph/item_user"])
    model.discriminator.rates = hyper["G_drop1"], hyper["G_drop2"]
    model.begin_epoch(None)
    return model, golden


def trained(model) -> dict:
    """Published name -> our parameter, and whether it is transposed."""
    parameters = {
        "user_embedding": (model.users, False),
        "item_embedding": (model.items, False),
        "attention_output": (model.output, False),
    }
    if not model.released:
        parameters |= {"attention_query": (model.query, False), "attention_key": (model.key, False)}
    for name, layer in model.projections.items():
        parameters[f"{name}_projection/weight"] = layer.weight, False
        parameters[f"{name}_projection/bias"] = layer.bias, False
    critic = model.discriminator
    for number in range(3):
        parameters[f"discriminator/linear{number + 1}/weight"] = critic.weights[number], True
        parameters[f"discriminator/linear{number + 1}/bias"] = critic.shifts[number], False
    for number in range(2):
        parameters[f"discriminator/norm{number + 1}/weight"] = critic.norm_scales[number], False
        parameters[f"discriminator/norm{number + 1}/bias"] = critic.norm_shifts[number], False
    return parameters


def inject(model, golden, state: str) -> None:
    """Sets the modality graphs of a state: the training graph, none, or collected edges."""
    graphs = []
    for side in ("user_item", "item_user"):
        whole = golden[f"graph/{side}"]
        names = [f"{state}/graph/{name}_{side}" for name in model.projections]
        blank = whole * (state != "default")
        graphs.append(sparse(torch.cat([golden.get(name, blank) for name in names])))
    model._modality_graphs = lambda: graphs


def draw(model, golden, file, state: str, monkeypatch, *, discriminator: bool) -> None:
    """The masks and uniform numbers come from the file, in the published order."""
    draws = f"{state}/draw"
    forward = f"{draws}/{'detached_forward' if discriminator else 'forward'}"
    masks = [torch.cat([golden[f"{forward}/keep_{name}"] for name in model.projections], dim=1)]
    for each in ("fake", "real", "between") if discriminator else ("generator",):
        masks += [golden[f"{draws}/discriminator/{each}/keep{layer}"] for layer in (1, 2)]
    uniform = []
    if discriminator:
        uniform = [golden[f"{draws}/real_uniform"], golden[f"{draws}/discriminator/mix"]]

    def keep_mask(shape, rate, generator, device):
        mask = masks.pop(0)
        assert mask.shape == shape
        return mask, 1 - rate

    monkeypatch.setattr(mmssl_parts, "keep_mask", keep_mask)
    model._uniform = lambda *shape: uniform.pop(0)
    hyper = described(file)["hyper"]
    monkeypatch.setattr(mmssl, "SIMILARITY_WEIGHT", hyper["ui_pre_scale"])
    noise = hyper["log_log_scale"] / hyper["real_data_tau"]
    monkeypatch.setattr(mmssl, "REAL_NOISE", noise)


def assert_gradients(model, golden, prefix: str, discriminator: bool) -> None:
    for name, (parameter, transposed) in trained(model).items():
        if name.startswith("discriminator") != discriminator:
            continue
        ours = parameter.grad.T if transposed else parameter.grad
        theirs = golden[f"{prefix}/{name}"]
        if theirs.abs().max() < NOISE:
            assert ours.abs().max() < NOISE
        else:
            assert_equal(ours, theirs)


def assert_losses(model, golden, prefix: str) -> None:
    """Every term, the total and every gradient of the recommender's step."""
    config, terms = model.config, model.losses(*batch_of(golden))
    total = sum(terms.values())
    total.backward()
    loss = {name: golden[f"{prefix}/loss/{name}"] for name in ("bpr", "regularisation")}
    contrast = sum(golden[f"{prefix}/loss/contrast_{name}"] for name in model.projections)
    assert_equal(terms["bpr"], loss["bpr"])
    assert_equal(terms["regularisation"], config.regularisation * loss["regularisation"])
    assert_equal(
        terms["feature_regularisation"],
        config.feature_regularisation * golden[f"{prefix}/loss/feature_regularisation"],
    )
    assert_equal(terms["contrast"], config.contrast_weight * contrast)
    assert_equal(
        terms["adversarial"], config.adversarial_weight * golden[f"{prefix}/loss/adversarial"]
    )
    assert_equal(total, golden[f"{prefix}/loss/total"])
    assert_gradients(model, golden, f"{prefix}/grad", discriminator=False)


def assert_steps(model, golden, prefix: str, *, discriminator: bool) -> None:
    """The parameters after the step, but for those that move on rounding noise."""
    for name, (parameter, transposed) in trained(model).items():
        is_noise = discriminator and golden[f"{prefix}/grad/{name}"].abs().max() < NOISE
        if name.startswith("discriminator") == discriminator and not is_noise:
            ours = parameter.T if transposed else parameter
            assert_equal(ours, golden[f"{prefix}/after_step/{name}"])


def assert_discriminator_losses(model, golden, prefix: str, state: str) -> None:
    users = golden["batch/users"]
    terms = model.discriminator_losses(users)
    for name, factor in ("fake", 1), ("real", 1), ("penalty", model.config.penalty_weight):
        assert_equal(terms[name], factor * golden[f"{prefix}/loss_discriminator/{name}"])
    total = golden[f"{prefix}/loss_discriminator/total"]
    assert_equal(sum(terms.values()), total)


@every_file
@pytest.mark.parametrize("state", ["first", "default", "topk"])
def test_losses_and_gradients_are_the_golden_ones(file, state, monkeypatch):
    model, golden = published(file)
    inject(model, golden, state)
    draw(model, golden, file, state, monkeypatch, discriminator=False)
    assert_losses(model, golden, state)


@every_file
def test_losses_and_gradients_of_working_attention_are_the_golden_ones(file, monkeypatch):
    model, golden = published(file, formulation="intended")
    model.discriminator.slope = 1.0  # the file changes one point at a time
    inject(model, golden, "topk")
    draw(model, golden, file, "topk", monkeypatch, discriminator=False)
    assert_losses(model, golden, "as_intended/attention")


@every_file
@pytest.mark.parametrize("state", ["first", "default", "topk", "as_intended/attention"])
def test_final_vectors_are_the_golden_ones(file, state, monkeypatch):
    is_intended = state.startswith("as_intended")
    model, golden = published(file, "intended" if is_intended else "released")
    graphs = "topk" if is_intended else state
    inject(model, golden, graphs)
    draw(model, golden, file, graphs, monkeypatch, discriminator=False)
    content = model._content(model.config.dropout)
    users, items = model._nodes(model._views(), content)
    assert_equal(users, golden[f"{state}/train/users"])
    assert_equal(items, golden[f"{state}/train/items"])


@every_file
def test_evaluation_is_the_golden_one(file):
    model, golden = published(file)
    inject(model, golden, "default")
    users, items = model.embed()
    assert_equal(users, golden["default/eval/users"])
    assert_equal(items, golden["default/eval/items"])
    assert_equal(model.score(torch.arange(len(users))), golden["default/eval/scores"])


@every_file
@pytest.mark.parametrize("state", ["first", "default"])
def test_the_discriminators_losses_gradients_and_step_are_the_golden_ones(file, state, monkeypatch):
    model, golden = published(file)
    inject(model, golden, state)
    draw(model, golden, file, state, monkeypatch, discriminator=True)
    assert_discriminator_losses(model, golden, state, state)
    draw(model, golden, file, state, monkeypatch, discriminator=True)
    model.before_batch(*batch_of(golden))
    assert_gradients(model, golden, f"{state}/grad", discriminator=True)
    if f"{state}/after_step/discriminator/linear1/weight" in golden:
        assert_steps(model, golden, state, discriminator=True)


@every_file
def test_the_discriminator_with_a_slope_is_the_golden_one(file, monkeypatch):
    model, golden = published(file)
    model.discriminator.slope = 0.01
    assert published(file, "intended")[0].discriminator.slope == 0.01
    inject(model, golden, "first")
    draw(model, golden, file, "first", monkeypatch, discriminator=True)
    assert_discriminator_losses(model, golden, "as_intended/slope", "first")
    draw(model, golden, file, "first", monkeypatch, discriminator=True)
    model.before_batch(*batch_of(golden))
    assert_gradients(model, golden, "as_intended/slope/grad", discriminator=True)


@every_file
def test_real_rows_of_the_first_release_are_the_golden_ones(file, monkeypatch):
    monkeypatch.setattr(mmssl, "REAL_TEMPERATURE", described(file)["hyper"]["real_data_tau"])
    model, golden = published(file)
    inject(model, golden, "first")
    draw(model, golden, file, "first", monkeypatch, discriminator=True)
    assert_discriminator_losses(model, golden, "as_intended/real_rows", "first")


@every_file
@pytest.mark.parametrize("state", ["first", "default"])
def test_one_step_of_adamw_is_the_golden_one(file, state, monkeypatch):
    model, golden = published(file)
    inject(model, golden, state)
    draw(model, golden, file, state, monkeypatch, discriminator=False)
    rate, decay = described(file)["hyper"]["learning_rate"], model.training_defaults["weight_decay"]
    adam = model.optimiser(model.main_parameters(), rate, decay)
    sum(model.losses(*batch_of(golden)).values()).backward()
    adam.step()
    assert_steps(model, golden, state, discriminator=False)


@every_file
@pytest.mark.parametrize("formulation, prefix", [("released", ""), ("intended", "as_intended/")])
def test_the_collected_graphs_are_the_golden_ones(file, formulation, prefix):
    """But for the 1e-8 that the published code adds to degrees."""
    model, golden = published(file, formulation)
    users, k = golden["batch/users"], described(file)["hyper"]["topk state k"]
    similar = [golden[f"topk/collected/similarity_{name}"] for name in model.projections]
    model.edges.indices = model._linked(users, torch.cat(similar).topk(k).indices)
    graphs = model._modality_graphs()
    for side, graph in zip(("user_item", "item_user"), graphs, strict=True):
        names = [f"{prefix}topk/graph/{name}_{side}" for name in model.projections]
        expected = torch.cat([golden[name] for name in names]).float()
        torch.testing.assert_close(graph.matrix().to_dense(), expected, rtol=1e-6, atol=0)
