"""SEA against its slow twins and the specification's parameter list."""

from copy import deepcopy

import pytest
import torch
from tiny import small, tiny
from twins import Twin, log_density, to_float64

from seapkg.models import build
from seapkg.models.sea import FORMULATIONS, SEAConfig, WideEncoder
from seapkg.models.separate import AlignmentHead
from seapkg.training import TrainingConfig, fit

USERS = torch.tensor([0, 3, 3, 7, 11, 5])
POSITIVES = torch.tensor([1, 4, 0, 9, 4, 2])
NEGATIVES = torch.tensor([5, 6, 15, 1, 0, 3])
DATASET = tiny("image", "text")


def sea(seed=0, dataset=DATASET, **options):
    """A small SEA that was told about its epoch."""
    model = build("sea", dataset, small("sea", **options), seed)
    model.begin_epoch(torch.Generator().manual_seed(7))
    return model


def batch_losses(model) -> dict[str, torch.Tensor]:
    return model.losses(USERS, POSITIVES, NEGATIVES)


def scattered(model):
    """Moves the parameters away from their special starting values (zeros, ones, equal shares)."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return model


# Twins


def one_apart(formulation) -> list[dict]:
    """The formulation with one option of the other in turn, and with what that option needs."""
    other = next(options for name, options in FORMULATIONS.items() if name != formulation)
    needs = {
        "club_pairs": {"club_shared": True},
        "club_shared": {"club_pairs": "within"},
        "l2_mean": {"variant": "b"},
    }
    return [
        {"formulation": formulation, option: value} | needs.get(option, {})
        for option, value in other.items()
    ]


CASES = [{"formulation": name} for name in FORMULATIONS]
CASES += [case | {"variant": variant} for case in CASES for variant in "bcd"]
CASES += [case for name in FORMULATIONS for case in one_apart(name)]
CASES += [{"n_layers": 0}, {"n_layers": 3}, {"n_item_layers": 0}, {"n_item_layers": 2}]
CASES += [{"alignment": "positives"}, {"alignment_items": "batch"}]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_embeddings_loss_terms_and_gradients_equal_the_obvious_twin(options):
    compare_with_twin(DATASET, **options)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(
    "modalities", [("text",), ("image", "audio"), ("image", "text", "audio")], ids="+".join
)
def test_other_sets_of_modalities_equal_the_obvious_twin(modalities, formulation):
    alone = {"variant": "without_alignment"} if len(modalities) == 1 else {}
    compare_with_twin(tiny(*modalities), formulation=formulation, **alone)


def compare_with_twin(dataset, **options):
    """Values and gradients, with two permutations of the items."""
    model = scattered(to_float64(sea(dataset=dataset, **options)))
    twin = Twin(model, dataset)
    for ours, theirs in zip(model.embed(), twin.embed(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for seed in range(2):
        model.begin_epoch(torch.Generator().manual_seed(seed))
        ours = batch_losses(model)
        theirs = twin.losses(USERS, POSITIVES, NEGATIVES, torch.Generator().manual_seed(seed))
        assert list(ours) == list(theirs)
        for term in ours:
            torch.testing.assert_close(ours[term], theirs[term], rtol=1e-10, atol=1e-12)
            for mine, oracle in zip(*gradients(ours[term], theirs[term], trained), strict=True):
                torch.testing.assert_close(mine, oracle, rtol=0, atol=1e-10)


def gradients(ours, theirs, inputs) -> list[tuple]:
    """Those of both scalars, zeros where an input does not reach."""
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    return [torch.autograd.grad(output, inputs, **options) for output in (ours, theirs)]


# Parameters


def live_parameters(model) -> set[str]:
    """Names of the parameters that the sum of the losses gives a gradient that is not zero."""
    sum(batch_losses(model).values()).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_the_live_parameters_of_the_released_form_are_those_of_the_specification():
    """All but the biases in front of a batch norm, whose gradient is zero."""
    layers = ["wide", "first", "second", "to_generic", "to_unique"]
    expected = {"user_weights"}
    for name in ("image", "text"):
        head = f"separation.heads.{name}"
        expected |= {f"users.{name}", f"{head}.first.weight", f"{head}.rest.2.weight"}
        expected |= {f"{head}.rest.{k}.{kind}" for k in (0, 3, 5) for kind in ("weight", "bias")}
        expected |= {f"encoders.{name}.{k}.{kind}" for k in layers for kind in ("weight", "bias")}
    model = sea(formulation="released", club_clamp=False)
    assert live_parameters(model) == expected
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == expected


def test_at_full_size_the_released_form_has_as_many_live_scalars_as_the_log_of_baby():
    """The log's 20 937 258, less the four biases of 64 in front of a batch norm."""
    config, n_users = SEAConfig(formulation="released"), 19_445
    with torch.device("meta"):
        modules = [
            WideEncoder(4096, config),
            AlignmentHead(2048, 64, 32),
            WideEncoder(384, config),
            AlignmentHead(192, 64, 32),
        ]
    scalars = sum(p.numel() for module in modules for p in module.parameters())
    assert scalars + n_users * (64 + 64 + 2) == 20_937_258 - 4 * 64


def test_the_gradient_of_distancing_vanishes_where_the_clamp_is_active():
    options = {"formulation": "released", "variant": "without_alignment"}
    model, dead = sea(dataset=tiny("image"), **options), []
    for seed in range(12):
        model.begin_epoch(torch.Generator().manual_seed(seed))
        model.zero_grad()
        term = batch_losses(model)["distancing"]
        term.backward()
        dead.append(not model.encoders["image"].to_unique.weight.grad.any())
        assert dead[-1] == (term.item() == 0)
    assert any(dead) and not all(dead)


def test_alignment_as_released_trains_the_wide_layer_and_not_the_generic_part():
    model = sea(formulation="released")
    batch_losses(model)["alignment"].backward()
    encoder = model.encoders["image"]
    assert encoder.wide.weight.grad.any()
    assert model.separation.heads["image"].first.weight.grad.any()
    assert (
        not encoder.to_generic.weight.grad.any()
    )  # it is read beside the head, from the same layer


def test_user_weights_start_as_one_softmax_near_equal_and_are_free_afterwards():
    weights = sea(dataset=tiny("image", "text", "audio", n_users=500)).user_weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(500))
    # Xavier-normal of 500 x 3 has standard deviation 0.06.
    # So the shares have a standard deviation of about 0.06 / 3 · sqrt(2/3).
    assert 0.012 < weights.std().item() < 0.021
    assert weights.requires_grad


def test_a_training_goes_as_with_the_twin_and_plain_optimisers():
    """Batch by batch: the losses, the fit of q on the parts they saw, the model's step."""
    model = scattered(
        sea(club_steps=3, club_learning_rate=0.02, alignment_weight=0.5, distancing_weight=0.5)
    )
    copy, batches, said = to_float64(deepcopy(model)), [], []
    library_losses = model.losses

    def noted(*batch):
        terms = library_losses(*batch)
        batches.append(batch)
        said.append([term.item() for term in terms.values()])
        return terms

    model.losses = noted
    training = TrainingConfig(max_epochs=2, batch_size=20, learning_rate=0.02)
    fit(model, DATASET, training, device="cpu", progress=False)
    assert len(batches) == 6
    for ours, theirs in zip(said, steps_of_the_twin(Twin(copy, DATASET), batches), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def steps_of_the_twin(twin, batches):
    """The terms of each batch, Adam at 0.02 for the model and, three steps a batch, for each q."""
    main = torch.optim.Adam([p for p in twin.model.parameters() if p.requires_grad], lr=0.02)
    networks = {name: twin.conditional(name).requires_grad_(True) for name in twin.features}
    fits = {name: torch.optim.Adam(q.parameters(), lr=0.02) for name, q in networks.items()}
    for batch in batches:
        main.zero_grad()
        terms = twin.losses(*batch, generator=None)
        sum(terms.values()).backward()
        for name, q in networks.items():
            generic, unique = (part.detach() for part in twin.parts(name))
            for _ in range(3):
                fits[name].zero_grad()
                (-log_density(q, generic, unique).mean()).backward()
                fits[name].step()
        main.step()
        yield [term.item() for term in terms.values()]


# Parts


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_parts_are_what_the_losses_compare(formulation):
    model = scattered(to_float64(sea(formulation=formulation)))
    parts, twin = model.parts(), Twin(model, DATASET)
    for part, expected in zip(
        ("generic", "unique", "aligned"), (*twin.parts("text"), twin.view("text")), strict=True
    ):
        torch.testing.assert_close(parts[f"text/{part}"], expected)
    assert list(parts) == [
        f"{m}/{part}" for m in ("image", "text") for part in ("generic", "unique", "aligned")
    ]


def test_without_alignment_there_is_no_aligned_part():
    assert not [name for name in sea(variant="without_alignment").parts() if "aligned" in name]


def test_aligning_the_items_of_the_batch_alone_is_another_loss():
    everything, batch = sea(), sea(alignment_items="batch")
    terms = batch_losses(everything), batch_losses(batch)
    assert terms[0]["bpr"].item() == terms[1]["bpr"].item()
    assert terms[0]["alignment"].item() != terms[1]["alignment"].item()


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_one_modality_alone_is_distanced_and_not_aligned(formulation):
    model = sea(dataset=tiny("audio"), formulation=formulation)
    terms = batch_losses(model)
    sum(terms.values()).backward()
    model.fit_auxiliary()
    assert set(terms) == {"bpr", "distancing"}


def test_a_batch_with_one_item_can_be_aligned():
    model = sea(alignment_items="batch")
    terms = model.losses(USERS[:1], POSITIVES[:1], NEGATIVES[:1])
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("rows", [5, 100])
def test_working_in_blocks_of_rows_changes_neither_values_nor_gradients(monkeypatch, rows):
    """Only features narrower than their readers are processed in blocks."""
    results = []
    for most in (10**6, rows):
        monkeypatch.setattr("seapkg.models.base.RECOMPUTED_ROWS", most)
        model = build("sea", tiny("image", "text"), small("sea", formulation="released"), seed=0)
        model.begin_epoch(torch.Generator().manual_seed(0))
        terms = model.losses(*torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]]))
        sum(terms.values()).backward()
        results.append(
            [*terms.values(), *(p.grad for p in model.parameters() if p.grad is not None)]
        )
    for whole, blocks in zip(*results, strict=True):
        torch.testing.assert_close(whole, blocks, rtol=1e-5, atol=1e-7)
