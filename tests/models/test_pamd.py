"""PAMD against reference vectors of the published code, and against its equations."""

from itertools import permutations

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
)
from tiny import small, tiny
from torch.nn import functional as F

from seapkg.models import build
from seapkg.models.pamd import PAMDConfig
from seapkg.training import TrainingConfig, fit
from seapkg.training.checkpoint import Checkpoint

every_file = every_file("pamd")
every_formulation = pytest.mark.parametrize("formulation", ["intended", "released"])
PREFIXES = {"intended": "as_intended/pretrain", "released": "pretrain"}


def published(file, formulation="intended"):
    """The published model's parameters in ours, in float64, and the reference arrays."""
    golden, hyper = arrays_of(file), described(file)["hyper"]
    config = PAMDConfig(
        embed_dim=hyper["width"],
        pretrain_epochs=1,
        temperature=hyper["temperature"],
        pretrain_learning_rate=hyper["pretrain_learning_rate"],
        pretrain_weight_decay=hyper["weight_decay"],
        encoder_learning_rate=hyper["finetune_learning_rate"],
        formulation=formulation,
    )
    model = build("pamd", dataset_of(golden), config, seed=0).double()
    set_features(model.tables, golden)
    for name, parameter in parameters_of(model).items():
        parameter.data = golden[f"param/{name}"].clone()
    return model, golden, hyper


def parameters_of(model, *, pretrained_only=False):
    """Every parameter by the name of the reference."""
    tables = {"user_embedding": model.users, "item_embedding": model.items}
    named = {} if pretrained_only else tables
    for modality, decoder in zip(model.tables, model.decoders, strict=True):
        named[f"common_{modality}"] = model.common[modality]
        parts = {f"{modality}_encoder": model.encoders[modality], f"decoder_to_{modality}": decoder}
        for part, linear in parts.items():
            named |= {f"{part}/weight": linear.weight, f"{part}/bias": linear.bias}
    return named


@every_file
@every_formulation
def test_pretraining_losses_and_gradients_are_the_golden_ones(file, formulation):
    model, golden, _ = published(file, formulation)
    prefix = PREFIXES[formulation]
    model.decoders.requires_grad_(True)
    terms = model.pretraining_losses(golden["pretrain/batch/items"])
    total = sum(terms.values())
    total.backward()
    for name in ("similarity", "orthogonality"):
        assert_equal(terms.pop(name), golden[f"{prefix}/loss/{name}"])
    assert len(terms) == len(model.encoders) == 2
    for name, term in terms.items():
        order = f"{prefix}/loss/order_{name.split(' from ')[0]}"
        assert_equal(term, golden[f"{order}_common"] + golden[f"{order}_full"])
    assert_equal(total, golden[f"{prefix}/loss/total"])
    for name, parameter in parameters_of(model, pretrained_only=True).items():
        assert_equal(parameter.grad, golden[f"{prefix}/grad/{name}"])


@every_file
@every_formulation
def test_a_step_of_pretraining_is_the_golden_one(file, formulation, monkeypatch):
    model, golden, _ = published(file, formulation)
    items = golden["pretrain/batch/items"]
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: items)
    model.before_training(torch.Generator())
    for name, parameter in parameters_of(model, pretrained_only=True).items():
        assert_equal(parameter, golden[f"{PREFIXES[formulation]}/after_step/{name}"])


@every_file
def test_codes_are_the_golden_ones(file):
    model, golden, _ = published(file)
    parts, items = model.parts(), golden["pretrain/batch/items"]
    assert len(parts) == 2 * len(model.encoders)
    for modality in model.tables:
        for ours, theirs in {"generic": "common", "unique": "specific"}.items():
            expected = golden[f"pretrain/mid/{modality}_{theirs}"]
            assert_equal(parts[f"{modality}/{ours}"][items], expected)


@every_file
def test_losses_and_gradients_of_training_are_the_golden_ones(file):
    model, golden, _ = published(file)
    terms, total = backward(model, batch_of(golden, "finetune/batch"))
    for name in ("positive", "negative"):
        assert_equal(terms[name], golden[f"finetune/loss/{name}"])
    assert_equal(total, golden["finetune/loss/total"])
    for name, parameter in parameters_of(model).items():
        if name.startswith("decoder"):
            assert parameter.grad is None
        else:
            assert_equal(parameter.grad, golden[f"finetune/grad/{name}"])


@every_file
def test_a_step_of_training_is_the_golden_one(file):
    model, golden, hyper = published(file)
    rates = hyper["learning_rate"], hyper["weight_decay"]
    optimiser = model.optimiser(model.main_parameters(), *rates)
    backward(model, batch_of(golden, "finetune/batch"))
    optimiser.step()
    for name, parameter in parameters_of(model).items():
        assert_equal(parameter, golden[f"finetune/after_step/{name}"])


@every_file
@pytest.mark.parametrize("part", ["positive", "negative"])
def test_scores_are_the_golden_ones(file, part):
    model, golden, _ = published(file)
    users, items = golden["finetune/batch/users"], golden[f"finetune/batch/{part}s"]
    scores = model.score(torch.arange(model.n_users))[users, items]
    assert_equal(scores, golden[f"finetune/mid/{part}_score"])


def pamd(*modalities, **options):
    return build("pamd", tiny(*modalities), small("pamd", **options), seed=0)


def test_three_modalities_have_the_losses_of_each_pair():
    model, items = pamd("image", "text", "audio"), torch.tensor([3, 1, 9, 3])
    terms, parts = model.pretraining_losses(items), model.parts()
    assert len(terms) == 2 + 6
    common, specific = (
        [parts[f"{name}/{kind}"][items] for name in model.tables] for kind in ("generic", "unique")
    )
    pairs = (0, 1), (0, 2), (1, 2)
    expected = sum((common[a] - common[b]).square().mean() for a, b in pairs)
    torch.testing.assert_close(terms["similarity"], expected)
    expected = sum((specific[a] * specific[b]).sum(dim=1).square().mean() for a, b in pairs)
    torch.testing.assert_close(terms["orthogonality"], expected)
    pairs = permutations(model.tables, 2)
    for (target, source), decoder in zip(pairs, model.decoders, strict=True):
        full = model.encoders[source](model.tables[source][items])
        generic = full @ model.common[source]
        cosines = [
            F.cosine_similarity(model.tables[target][items], decoder(code))
            / model.config.temperature
            for code in (generic, full, full - generic)
        ]
        common_loss = -torch.stack(cosines).log_softmax(dim=0)[0].mean()
        full_loss = -torch.stack(cosines[1:]).log_softmax(dim=0)[0].mean()
        torch.testing.assert_close(terms[f"{target} from {source}"], common_loss + full_loss)


def test_scores_weigh_codes_by_the_softmax_of_their_scores():
    model = pamd("image", "text", "audio")
    user, item = model.users[5], 7
    codes = torch.stack(list(model.parts().values()))[:, item]  # [6, d]
    scores = codes @ user
    expected = user @ model.items[item] + scores.softmax(dim=0) @ scores
    torch.testing.assert_close(model.score(torch.tensor([5]))[0, item], expected)


def pretrained(seed=0, **options):
    model = pamd("image", "text", **options)
    model.before_training(torch.Generator().manual_seed(seed))
    return model


def same(model, other) -> dict[str, bool]:
    """Whether the parameters are equal, by name."""
    return {
        name: torch.equal(parameter, other.get_parameter(name))
        for name, parameter in model.named_parameters()
    }


def test_pretraining_lowers_its_losses_and_leaves_the_embeddings_alone():
    before, after, items = pamd("image", "text"), pretrained(pretrain_epochs=200), torch.arange(16)
    losses = (sum(m.pretraining_losses(items).values()).item() for m in (before, after))
    assert next(losses) > 1.2 * next(losses)
    unchanged = [name for name, equal in same(before, after).items() if equal]
    assert unchanged == ["users", "items"]
    assert not any(parameter.requires_grad for parameter in after.decoders.parameters())


def test_pretraining_is_adam_with_coupled_decay_on_shuffled_batches():
    options = {
        "pretrain_batch_size": 6,
        "pretrain_weight_decay": 10.0,
        "pretrain_learning_rate": 0.01,
    }
    model, expected = pretrained(seed=3, **options), pamd("image", "text", **options)
    expected.decoders.requires_grad_(True)
    trained = set(expected.parameters()) - {expected.users, expected.items}
    adam = torch.optim.Adam(trained, lr=0.01, weight_decay=10.0)
    generator = torch.Generator().manual_seed(3)
    for _ in range(model.config.pretrain_epochs):
        order = torch.randperm(16, generator=generator)
        for items in (order[:6], order[6:12], order[12:]):
            adam.zero_grad()
            sum(expected.pretraining_losses(items).values()).backward()
            adam.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, expected.get_parameter(name), rtol=1e-4, atol=1e-5)


def test_pretraining_draws_its_batches_from_the_generator():
    assert all(same(pretrained(pretrain_batch_size=5), pretrained(pretrain_batch_size=5)).values())
    assert not all(
        same(pretrained(pretrain_batch_size=5), pretrained(1, pretrain_batch_size=5)).values()
    )


def test_without_epochs_or_with_one_modality_nothing_is_pretrained():
    assert all(same(pretrained(pretrain_epochs=0), pamd("image", "text")).values())
    alone = pamd("text")
    alone.before_training(torch.Generator())
    assert all(same(alone, pamd("text")).values())


def test_the_published_sum_over_a_large_batch_stays_finite():
    model = pamd("image", "text", formulation="released")
    items = torch.arange(16).repeat(100)
    with torch.no_grad():
        for decoder in model.decoders:
            decoder.weight.zero_()  # every decoding is the bias
    for sign in (1, -1):
        for target, decoder in zip(model.tables, model.decoders, strict=True):
            decoder.bias.data = sign * model.tables[target].mean(dim=0)
        model.zero_grad()
        total = sum(model.pretraining_losses(items).values())
        total.backward()
        assert total.isfinite()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_training_keeps_both_learning_rates_and_resumes_with_them(tmp_path):
    rates, dataset = [], tiny("image", "text")

    def trained(epochs, checkpoint):
        model = pamd("image", "text", encoder_learning_rate=1e-5)
        make = model.optimiser

        def watched(*arguments):
            optimiser = make(*arguments)
            optimiser.register_step_pre_hook(
                lambda *_: rates.append([group["lr"] for group in optimiser.param_groups])
            )
            return optimiser

        model.optimiser = watched
        model.learning_rate = lambda base, epoch: base / 2**epoch
        training = TrainingConfig(learning_rate=1e-2, max_epochs=epochs, weight_decay=1e-5)
        fit(model, dataset, training, device="cpu", progress=False, checkpoint=checkpoint)
        return model

    whole = trained(3, None)
    assert rates == [[1e-2 / 2**epoch, 1e-5 / 2**epoch] for epoch in range(3)]
    rates.clear()
    trained(1, Checkpoint(tmp_path / "state.npz", "pamd", every=0))
    resumed = trained(3, Checkpoint(tmp_path / "state.npz", "pamd", every=0))
    assert rates == [[1e-2 / 2**epoch, 1e-5 / 2**epoch] for epoch in range(3)]
    assert all(same(whole, resumed).values())
