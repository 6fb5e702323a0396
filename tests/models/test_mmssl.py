"""MMSSL against reference vectors of the published code, and its graphs against their rules."""

import json

import pytest
import torch
from reference_vectors import (
    arrays_of,
    assert_equal,
    batch_of,
    dataset_of,
    described,
    every_file,
    set_features,
    sparse,
)
from tiny import small, tiny
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.models import build, mmssl, mmssl_parts
from seapkg.models.mmssl import MMSSLConfig
from seapkg.models.mmssl_parts import (
    Discriminator,
    projected_similarities,
    similarities,
)
from seapkg.training import TrainingConfig, fit
from seapkg.training.checkpoint import Checkpoint

every_file = every_file("mmssl")
NOISE = 1e-9  # gradients that are zero but for rounding


def published(file, formulation="released", **options):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper"]
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
    model = build("mmssl", dataset_of(golden), MMSSLConfig(**config | options), seed=0).double()
    set_features(model.features, golden)
    for name, (parameter, transposed) in trained(model).items():
        value = golden[f"param/{name}"].clone()
        parameter.data = value.T.contiguous() if transposed else value
    model.graph.to_users = sparse(golden["graph/user_item"])
    model.graph.to_items = sparse(golden["graph/item_user"])
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
        parameters[f"discriminator/norm{number + 1}/weight"] = critic.norms[number].weight, False
        parameters[f"discriminator/norm{number + 1}/bias"] = critic.norms[number].bias, False
    return parameters


def inject(model, golden, state: str) -> None:
    """Sets the modality graphs of a state: the training graph, none, or collected edges."""
    names = ("to_users", "user_item"), ("to_items", "item_user")
    for modality, graph in zip(model.projections, model.modality_graphs.graphs, strict=True):
        for ours, theirs in names:
            blank = golden[f"graph/{theirs}"] * (state != "default")
            matrix = golden.get(f"{state}/graph/{modality}_{theirs}", blank)
            setattr(graph, ours, sparse(matrix))


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
    _, _, users, items = model._forward(model.config.dropout)
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
def test_the_collected_graphs_are_the_golden_ones(file, formulation, prefix, monkeypatch):
    """But for the 1e-8 that the published code adds to degrees."""
    model, golden = published(file, formulation)
    similar = [golden[f"topk/collected/similarity_{name}"] for name in model.projections]
    monkeypatch.setattr(mmssl, "similarities", lambda *_: torch.stack(similar))
    model.modality_graphs.connect(model._best_edges(golden["batch/users"], model._content()))
    for modality, graphs in zip(model.projections, model.modality_graphs.graphs, strict=True):
        for side, graph in ("user_item", graphs.to_users), ("item_user", graphs.to_items):
            expected = golden[f"{prefix}topk/graph/{modality}_{side}"].float()
            torch.testing.assert_close(graph.matrix().to_dense(), expected, rtol=1e-6, atol=0)


# Behaviour that the files do not show


def mmssl_of(**options):
    model = build("mmssl", tiny("image", "text"), small("mmssl", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(0))
    return model


def seen_of(users):
    """Training items of `users`: bool [batch, n_items]."""
    mask = torch.zeros(12, 16, dtype=bool)
    mask[tuple(tiny().train.T)] = True
    return mask[users]


USERS = torch.tensor([3, 0, 3, 11, 7])


def test_seen_items_are_those_of_the_batch_in_its_order():
    assert torch.equal(mmssl_of()._seen(USERS), seen_of(USERS))


@pytest.mark.parametrize("n_modalities", [1, 3])
def test_projected_similarities_equal_the_product_of_dense_rows(n_modalities):
    generator = torch.Generator().manual_seed(0)
    inputs = users, items, weight = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((n_modalities, 5, 2), (n_modalities, 16, 2), (16, 4))
    ]
    seen = seen_of(USERS)
    fast = projected_similarities(*inputs[:2], seen, weight)
    dense = F.normalize((users @ items.mT).masked_fill(seen, 0.0), dim=2)
    torch.testing.assert_close(similarities(users, items, seen), dense)
    plain = dense @ weight
    torch.testing.assert_close(fast, plain)
    gradient = torch.randn(plain.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(fast, inputs, gradient),
        torch.autograd.grad(plain, inputs, gradient),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_user_who_has_seen_all_items_has_an_empty_row():
    seen = torch.tensor([[True] * 6, [False] * 6])
    generator = torch.Generator().manual_seed(0)
    users, items, weight = (
        torch.randn(shape, generator=generator) for shape in ((1, 2, 3), (1, 6, 3), (6, 2))
    )
    users.requires_grad_()
    products = projected_similarities(users, items, seen, weight)
    products.sum().backward()
    assert products[0, 0].abs().max() == 0 and products[0, 1].abs().min() > 0
    assert users.grad.isfinite().all()


def test_every_user_has_its_best_unseen_items_in_each_modality():
    model = mmssl_of(neighbour_share=0.2)
    for content, graphs in zip(model._content(), model.modality_graphs.graphs, strict=True):
        scores = (content[:12] @ content[12:].T).masked_fill(seen_of(torch.arange(12)), 0.0)
        best = scores.topk(3).indices  # 0.2 of 16 items
        expected = torch.zeros(12, 16).scatter(1, best, 3**-0.5)
        torch.testing.assert_close(graphs.to_users.matrix().to_dense(), expected)


def n_edges(model):
    return model.modality_graphs.edges.shape[2]


def test_the_modality_graphs_are_never_empty_and_new_in_each_period():
    model = mmssl_of(neighbour_share=0.0, graph_period=2)
    assert n_edges(model) == 12
    model.projections["text"].weight.data.neg_()
    model.projections["text"].bias.data.normal_(generator=model.generator)
    before = model.modality_graphs.edges
    model.begin_epoch(model.generator, 1)
    assert model.modality_graphs.edges is before
    model.begin_epoch(model.generator, 2)
    assert not torch.equal(model.modality_graphs.edges, before) and n_edges(model) == 12


@pytest.mark.parametrize(
    "share, period, edges",
    [(0.0, 1, [48, 48, 0, 0]), (0.13, 1, [48, 48, 10, 0]), (0.13, 2, [48, 48, 48, 20])],
)
def test_released_graphs_follow_the_published_schedule(share, period, edges):
    model = mmssl_of(formulation="released", neighbour_share=share, graph_period=period)
    found = []
    for _ in range(4):
        found.append(n_edges(model))
        model.losses(USERS, USERS, USERS + 4)
        model.fit_auxiliary()
    assert found == edges


@pytest.mark.parametrize("formulation", ["intended", "released"])
def test_the_state_has_the_modality_graphs(formulation):
    model, other = (mmssl_of(formulation=formulation, neighbour_share=0.2) for _ in range(2))
    for _ in range(2 + (formulation == "released")):
        model.losses(USERS, USERS, USERS + 4)
        model.fit_auxiliary()
    model.projections["text"].weight.data.neg_()
    model.begin_epoch(model.generator, 1)
    assert not torch.equal(model.modality_graphs.edges, other.modality_graphs.edges)
    other.load_state_dict(model.state_dict())
    for ours, theirs in zip(model.embed(), other.embed(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("formulation", ["intended", "released"])
def test_a_resumed_training_ends_as_an_uninterrupted_one(formulation, tmp_path):
    options = {"formulation": formulation, "neighbour_share": 0.2, "graph_period": 3}
    checkpoint = Checkpoint(tmp_path / "state.npz", "mmssl", every=0)

    def trained(epochs, checkpoint=None):
        model = mmssl_of(**options)
        training = TrainingConfig(learning_rate=0.01, batch_size=10, max_epochs=epochs)
        fit(model, tiny(), training, device="cpu", progress=False, checkpoint=checkpoint)
        return model.state_dict()

    trained(1, checkpoint)
    whole, resumed = trained(4), trained(4, checkpoint)
    assert all(map(torch.equal, whole.values(), resumed.values()))
    assert formulation == "intended" or len(whole["next_graphs._extra_state"].flatten())


def test_the_discriminator_steps_before_the_losses_and_only_then():
    model = mmssl_of()
    before = [parameter.clone() for parameter in model.discriminator.parameters()]
    sum(model.losses(USERS, USERS, USERS + 4).values()).backward()
    after = list(model.discriminator.parameters())
    assert all(map(torch.equal, before, after)) and all(p.grad is None for p in after)
    model.before_batch(USERS, USERS, USERS + 4)
    assert not any(map(torch.equal, before, after))
    assert model.users.grad is not None and not any(p.requires_grad for p in after)
    assert model.auxiliary_optimisers()["discriminator"].defaults["betas"] == (0.5, 0.9)


def test_a_batch_of_one_row_is_served():
    model = build("mmssl", tiny("text"), small("mmssl"), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(0))
    model.before_batch(USERS[:1], USERS[:1], USERS[:1])
    terms = model.losses(USERS[:1], USERS[:1], USERS[:1] + 4)
    assert all(term.isfinite() for term in terms.values())


def test_heads_must_divide_the_width():
    with pytest.raises(RequestError, match="n_heads must divide embed_dim 8; it is 3"):
        mmssl_of(n_heads=3)


def test_25_000_items_fit_and_50_000_are_refused_with_the_amount(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *shape: torch.zeros(1))
    Discriminator(25_000, 0.01, MMSSLConfig().discriminator_memory)
    with pytest.raises(RequestError, match="of 50000 items takes 11.3 GB; raise option discrim"):
        Discriminator(50_000, 0.01, MMSSLConfig().discriminator_memory)
