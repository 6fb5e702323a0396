"""SEA's formulations, variants and options: the terms, and what each option changes."""

import dataclasses

import pytest
import torch
from tiny import small, tiny

from seapkg.errors import RequestError
from seapkg.graph import item_graph
from seapkg.models import build
from seapkg.models.sea import FORMULATIONS, VARIANTS, SEAConfig
from seapkg.training import TrainingConfig, fit

BATCH = torch.tensor([[0, 3, 3, 7, 11, 5], [1, 4, 0, 9, 4, 2], [5, 6, 15, 1, 0, 3]])
DATASET = tiny("image", "text")


def sea(**options):
    """A small SEA that was told about its epoch."""
    model = build("sea", DATASET, small("sea", **options), seed=0)
    model.begin_epoch(torch.Generator().manual_seed(7))
    return model


def batch_losses(model) -> dict[str, torch.Tensor]:
    return model.losses(*BATCH)


TERMS = {
    "a": {"bpr", "alignment", "distancing"}, "b": {"bpr", "alignment", "distancing"},
    "c": {"bpr", "alignment", "distancing"}, "d": {"bpr", "alignment", "distancing"},
    "without_alignment": {"bpr", "distancing"}, "without_distancing": {"bpr", "alignment"},
    "without_all": {"bpr"},
}  # fmt: skip


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("variant", TERMS)
def test_every_variant_has_its_loss_terms_and_no_others(variant, formulation):
    model = sea(variant=variant, formulation=formulation)
    assert set(batch_losses(model)) == TERMS[variant]
    uses_club = variant in ("a", "c", "without_alignment")
    assert bool(model.separation.conditionals) == uses_club
    assert bool(model.separation.heads) == ("alignment" in TERMS[variant])


def test_the_variants_are_those_of_table_4():
    """a: Solosim, MIM; b: Solosim, negative distance; c: InfoNCE, MIM; d: the rest."""
    letters = {letter: VARIANTS[letter] for letter in "abcd"}
    assert letters == {
        "a": ("solosim", "club"),
        "b": ("solosim", "negative_l2"),
        "c": ("info_nce", "club"),
        "d": ("info_nce", "negative_l2"),
    }


def test_every_variant_gives_other_values():
    sums = {
        variant: sum(batch_losses(sea(variant=variant, distancing_weight=1.0)).values()).item()
        for variant in TERMS
    }
    assert len({round(value, 6) for value in sums.values()}) == len(TERMS)


def test_weights_of_zero_are_the_variant_without_all():
    off = sea(alignment_weight=0.0, distancing_weight=0.0)
    without = sea(variant="without_all")
    assert set(batch_losses(off)) == {"bpr"}
    assert batch_losses(off)["bpr"].item() == pytest.approx(batch_losses(without)["bpr"].item())


def test_a_given_alignment_or_distancing_goes_before_the_variant():
    config = small("sea", variant="d", alignment="positives")
    assert (config.alignment, config.distancing) == ("positives", "negative_l2")


def trace(**options) -> list[float]:
    """All loss terms over a few auxiliary and main steps, with a fast fit of the conditionals."""
    model = sea(club_learning_rate=0.05, club_steps=5, distancing_weight=1.0, **options)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    values = []
    for _ in range(4):
        optimiser.zero_grad()
        terms = batch_losses(model)
        sum(terms.values()).backward()
        model.fit_auxiliary()
        optimiser.step()
        values += [round(term.item(), 6) for term in terms.values()]
    return values


@pytest.mark.parametrize("option", FORMULATIONS["paper"])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_every_option_that_tells_the_formulations_apart_changes_something(formulation, option):
    other = next(FORMULATIONS[name][option] for name in FORMULATIONS if name != formulation)
    same = {"club_shared": True} if option == "club_pairs" else {}
    if option == "club_shared":
        same = {"club_pairs": "within"}
    if option == "club_clamp":
        same = {"club_estimate": "sampled"}  # the exact estimate of a fitted q is never below 0
    if option == "l2_mean":
        same = {"variant": "b"}
    before = trace(formulation=formulation, **same)
    after = trace(formulation=formulation, **same | {option: other})
    assert before != after


def test_the_formulations_disagree_on_every_option():
    paper, released = FORMULATIONS["paper"], FORMULATIONS["released"]
    assert paper.keys() == released.keys()
    assert not [option for option in paper if paper[option] == released[option]]


def test_an_option_left_out_takes_the_value_of_the_formulation():
    for formulation, expected in FORMULATIONS.items():
        config = dataclasses.asdict(SEAConfig(formulation=formulation))
        assert {option: config[option] for option in expected} == expected


@pytest.mark.parametrize("options", [
    {"formulation": "draft"}, {"variant": "e"}, {"split": "nowhere"}, {"graph_weights": "guessed"},
    {"log_base": "10"}, {"alignment": "cosine"}, {"distancing": "l2"}, {"embed_dim": 7},
    {"embed_dim": 0}, {"temperature": 0.0}, {"temperature": float("nan")}, {"n_layers": -1},
    {"n_neighbours": 0},
    {"image_weight": 1.5}, {"club_steps": -1}, {"club_pairs": "across", "club_shared": False},
], ids=str)  # fmt: skip
def test_an_impossible_option_is_refused_by_name(options):
    with pytest.raises(RequestError, match=next(iter(options))):
        SEAConfig(**options)


@pytest.mark.parametrize("image_weight", [0.0, 1.0])
def test_learned_shares_may_start_at_one_modality_alone(image_weight):
    config = small("sea", graph_weights="learned", image_weight=image_weight)
    model = build("sea", DATASET, config, seed=0)
    fit(model, DATASET, TrainingConfig(max_epochs=1, batch_size=20), device="cpu", progress=False)
    shares = model.item_graphs.logits.softmax(dim=0)
    assert shares.tolist() == pytest.approx([image_weight, 1 - image_weight], abs=1e-3)


@pytest.mark.parametrize(("image_weight", "modality"), [(0.0, "text"), (1.0, "image")])
def test_fixed_shares_of_one_modality_give_its_graph(image_weight, modality):
    config = small("sea", graph_weights="fixed", image_weight=image_weight)
    (graph,) = build("sea", DATASET, config, seed=0).item_graphs.graphs
    expected = item_graph(DATASET, modality, config.n_neighbours)
    torch.testing.assert_close(graph.matrix().to_dense(), expected.matrix().to_dense())
