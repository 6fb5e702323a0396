"""Separation: the aligned views, the distanced parts, and the pairs that q is fitted on."""

import pytest
import torch
from torch import nn

from seapkg import losses
from seapkg.club import club_exact, club_sampled
from seapkg.errors import RequestError
from seapkg.kernels.club_fit import ConditionalFit
from seapkg.models.separate import ALL, AlignmentHead, Separation, SeparationConfig

N, HALF = 10, 4
SIZES = {"head_hidden": 6, "head_out": 3, "club_hidden": 3, "club_steps": 4}
CLUB = {"distancing": "club", "distancing_weight": 0.5}
SUBTRACTION = {"distancing": "subtraction", "distancing_weight": 0.5}


def separation(*modalities, **options) -> Separation:
    torch.manual_seed(0)
    config = SeparationConfig(embed_dim=2 * HALF, **SIZES | options)
    part = Separation(dict.fromkeys(modalities or ("image", "text"), HALF), config)
    part.modalities = modalities or ("image", "text")
    return part


def parts_of(part: Separation) -> dict:
    """Random parts, the unique ones dependent on the generic ones."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(len(part.modalities), 2, N, HALF, generator=generator)
    items = {
        name: torch.cat([x, x.roll(1, dims=1) + y], dim=1)
        for name, (x, y) in zip(part.modalities, drawn, strict=True)
    }
    return part.split(items)


def terms_of(part: Separation, parts=None, positives=None) -> dict[str, float]:
    generator = torch.Generator().manual_seed(2)
    parts = parts_of(part) if parts is None else parts
    return {name: x.item() for name, x in part.losses(parts, positives, generator).items()}


# The head


@pytest.mark.parametrize("training", [True, False])
def test_the_head_is_the_published_one_with_batch_statistics_at_all_times(training):
    """Linear, BN, ReLU twice, Linear, unit rows; a bias in front of a batch norm is nothing."""
    torch.manual_seed(0)
    head = AlignmentHead(4, 6, 3).train(training)
    twin = nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Linear(6, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Linear(6, 3),
    )
    with torch.no_grad():
        for ours, theirs in (
            (head.first, twin[0]),
            (head.rest[2], twin[3]),
            (head.rest[5], twin[6]),
        ):
            theirs.weight.copy_(ours.weight)
        twin[6].bias.copy_(head.rest[5].bias)
        for ours, theirs in ((head.rest[0], twin[1]), (head.rest[3], twin[4])):
            theirs.weight.copy_(nn.init.normal_(ours.weight))
            theirs.bias.copy_(nn.init.normal_(ours.bias))
    x = torch.randn(N, 4)
    raw = twin(x)
    expected = raw / torch.linalg.vector_norm(raw, dim=1, keepdim=True)
    torch.testing.assert_close(head(head.first(x)), expected, rtol=1e-4, atol=1e-5)


# Alignment


@pytest.mark.parametrize("name", ["solosim", "info_nce", "positives"])
def test_the_later_modality_gives_the_rows_and_the_earlier_the_columns(name):
    part = separation(alignment=name, alignment_weight=0.3, temperature=0.5)
    parts = parts_of(part)
    text, image = (part.heads[m](parts[m].hidden) for m in ("text", "image"))
    expected = 0.3 * getattr(losses, name)(text, image, 0.5).item()
    assert terms_of(part)["alignment"] == pytest.approx(expected, rel=1e-5)
    if name == "solosim":
        assert expected != pytest.approx(0.3 * losses.solosim(image, text, 0.5).item(), rel=1e-4)


def test_with_three_modalities_alignment_is_the_mean_over_the_three_pairs():
    part = separation("image", "text", "audio", alignment="solosim", alignment_weight=1.0)
    views = {name: part.heads[name](x.hidden) for name, x in parts_of(part).items()}
    pairs = [("text", "image"), ("audio", "image"), ("audio", "text")]
    expected = sum(losses.solosim(views[a], views[b], 0.2).item() for a, b in pairs) / 3
    assert terms_of(part) == {"alignment": pytest.approx(expected, rel=1e-5)}


def test_the_items_of_the_batch_are_aligned_once_each_and_all_are_distanced():
    options = {"alignment": "solosim", "alignment_weight": 1.0, **CLUB}
    batch, all_items = separation(alignment_items="batch", **options), separation(**options)
    parts, items = parts_of(batch), torch.tensor([1, 4, 7])
    views = {name: batch.heads[name](x.hidden[items]) for name, x in parts.items()}
    chosen = terms_of(batch, parts, torch.tensor([4, 7, 1, 4]))
    everything = terms_of(all_items, parts, torch.tensor([4, 7, 1, 4]))
    expected = losses.solosim(views["text"], views["image"], 0.2).item()
    assert chosen["alignment"] == pytest.approx(expected, rel=1e-5)
    assert chosen["alignment"] != pytest.approx(everything["alignment"], rel=1e-3)
    assert chosen["distancing"] == everything["distancing"]


def test_one_modality_has_nothing_to_align_with_and_is_told(caplog):
    separation("audio", alignment="none", **CLUB)
    assert not caplog.messages
    part = separation("audio", alignment="solosim", **CLUB)
    assert caplog.messages == ["alignment needs two modalities; the data has only audio"]
    assert not part.heads and list(terms_of(part)) == ["distancing"]


# Distancing


def bounds(part: Separation) -> list[float]:
    """The exact estimate of each modality, with its own or the shared network."""
    networks = part.conditionals
    return [
        club_exact(networks[ALL if ALL in networks else name], x.generic, x.unique).item()
        for name, x in parts_of(part).items()
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_the_modalities_bounds_are_added_and_weighed(shared):
    part = separation(club_shared=shared, **CLUB)
    assert sorted(part.conditionals) == ([ALL] if shared else ["image", "text"])
    assert terms_of(part) == {"distancing": pytest.approx(0.5 * sum(bounds(part)), rel=1e-5)}


@pytest.mark.parametrize("option", ["club_half", "club_average"])
def test_halving_and_averaging_each_halve_the_term_of_two_modalities(option):
    plain, halved = (terms_of(separation(**{option: on}, **CLUB)) for on in (False, True))
    assert halved["distancing"] == pytest.approx(plain["distancing"] / 2, rel=1e-5)
    assert plain["distancing"] != 0


def test_the_sampled_estimate_draws_a_permutation_for_each_modality():
    part, generator = separation(club_estimate="sampled", **CLUB), torch.Generator().manual_seed(2)
    expected = 0
    for name, x in parts_of(part).items():
        order = torch.randperm(N, generator=generator)
        expected += 0.5 * club_sampled(part.conditionals[name], x.generic, x.unique, order).item()
    assert terms_of(part)["distancing"] == pytest.approx(expected, rel=1e-5)


def test_the_clamp_cuts_each_modality_off_at_zero():
    part = separation(club_estimate="sampled", **CLUB)
    clamped = separation(club_estimate="sampled", club_clamp=True, **CLUB)
    seen = set()
    for seed in range(12):
        generator, signs = torch.Generator().manual_seed(seed), 0
        for name, x in parts_of(part).items():
            order = torch.randperm(N, generator=generator)
            bound = club_sampled(part.conditionals[name], x.generic, x.unique, order).item()
            signs += 0.5 * max(bound, 0)
            seen.add(bound > 0)
        term = clamped.losses(parts_of(clamped), None, torch.Generator().manual_seed(seed))
        assert term["distancing"].item() == pytest.approx(signs, rel=1e-4, abs=1e-7)
    assert seen == {True, False}


def test_negative_l2_is_averaged_over_the_modalities():
    part = separation(distancing="negative_l2", distancing_weight=0.5)
    expected = [losses.negative_l2(x.generic, x.unique).item() for x in parts_of(part).values()]
    assert terms_of(part) == {"distancing": pytest.approx(0.5 * sum(expected) / 2, rel=1e-5)}
    assert not part.conditionals


def test_orthogonality_is_averaged_over_the_modalities():
    part = separation(distancing="orthogonal", distancing_weight=0.5)
    expected = [losses.orthogonality(x.generic, x.unique).item() for x in parts_of(part).values()]
    assert terms_of(part) == {"distancing": pytest.approx(0.5 * sum(expected) / 2, rel=1e-5)}


def test_subtraction_is_the_whole_minus_the_generic_part_and_an_angle_between_modalities():
    part = separation("image", "text", "audio", **SUBTRACTION)
    items = {name: torch.randn(N, 2 * HALF) for name in part.modalities}
    parts = part.split(items)
    for name, whole in items.items():
        assert torch.equal(parts[name].generic, part.generic_encoders[name](whole))
        assert torch.allclose(parts[name].generic + parts[name].unique, whole, atol=1e-6)
    unit = [x.unique / x.unique.norm(dim=1, keepdim=True) for x in parts.values()]
    squares = [(unit[i] * unit[j]).sum(dim=1).square().mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = 0.5 * sum(squares).item() / 3
    assert terms_of(part, parts)["distancing"] == pytest.approx(expected, rel=1e-5)


def test_subtraction_aligns_whole_generic_parts():
    part = separation(**SUBTRACTION, alignment="solosim")
    assert {head.first.in_features for head in part.heads.values()} == {2 * HALF}
    assert set(terms_of(part)) == {"alignment", "distancing"}


def test_subtraction_with_one_modality_has_no_term_and_says_so(caplog):
    part = separation("image", **SUBTRACTION)
    assert terms_of(part) == {}
    assert "subtraction needs two modalities" in caplog.text


# The fit of q


def fitted_pairs(monkeypatch, part: Separation) -> list:
    """What the networks are fitted on, as (network, pairs, steps), after one `losses` call."""
    calls = []
    monkeypatch.setattr(
        ConditionalFit, "fit", lambda fit, pairs, steps: calls.append((fit.q, pairs, steps))
    )
    terms_of(part)
    part.fit_conditionals()
    return calls


def assert_pairs(pairs, expected):
    assert len(pairs) == len(expected)
    for (x, y), (left, right) in zip(pairs, expected, strict=True):
        assert torch.equal(x, left) and torch.equal(y, right)
        assert not x.requires_grad and not y.requires_grad


def test_within_fits_each_network_on_the_generic_and_unique_parts_of_its_modality(monkeypatch):
    part = separation(**CLUB)
    calls, parts = fitted_pairs(monkeypatch, part), parts_of(part)
    assert [q for q, _, _ in calls] == [part.conditionals["image"], part.conditionals["text"]]
    for name, (_, pairs, steps) in zip(("image", "text"), calls, strict=True):
        assert_pairs(pairs, [(parts[name].generic, parts[name].unique)])
        assert steps == 4


def test_within_a_shared_network_is_fitted_on_the_pairs_of_all_modalities(monkeypatch):
    part = separation(club_shared=True, **CLUB)
    ((_, pairs, _),), parts = fitted_pairs(monkeypatch, part), parts_of(part)
    assert_pairs(pairs, [(x.generic, x.unique) for x in parts.values()])


def test_across_fits_text_to_image_generic_and_text_to_image_unique(monkeypatch):
    part = separation(club_shared=True, club_pairs="across", **CLUB)
    ((_, pairs, _),), parts = fitted_pairs(monkeypatch, part), parts_of(part)
    text, image = parts["text"], parts["image"]
    assert_pairs(pairs, [(text.generic, image.generic), (text.unique, image.unique)])


def test_a_modality_may_be_called_shared(monkeypatch):
    part = separation("image", "shared", **CLUB)
    calls, parts = fitted_pairs(monkeypatch, part), parts_of(part)
    assert_pairs(calls[1][1], [(parts["shared"].generic, parts["shared"].unique)])


def test_the_fit_moves_the_networks_and_lasts_from_call_to_call():
    part, twin = separation(**CLUB), separation(**CLUB)
    for _ in range(2):
        terms_of(part)
        part.fit_conditionals()
    for name, x in parts_of(twin).items():  # one fit of twice the steps, on the same parts
        ConditionalFit(twin.conditionals[name], 1e-4).fit([(x.generic, x.unique)], 8)
    before = separation(**CLUB).state_dict()
    for name, parameter in part.conditionals.named_parameters():
        torch.testing.assert_close(
            parameter, twin.conditionals.get_parameter(name), rtol=0, atol=1e-7
        )
        assert not torch.equal(parameter, before[f"conditionals.{name}"])


@pytest.mark.parametrize("options", [{}, {"distancing": "negative_l2"}, {"alignment": "solosim"}])
def test_without_club_there_is_nothing_to_fit(options):
    part = separation(**options)
    terms_of(part)
    part.fit_conditionals()
    assert not part.conditionals


def test_nothing_is_fitted_before_there_are_parts():
    part = separation(**CLUB)
    before = {name: tensor.clone() for name, tensor in part.state_dict().items()}
    part.fit_conditionals()
    assert all(torch.equal(tensor, before[name]) for name, tensor in part.state_dict().items())


# Switches


@pytest.mark.parametrize(("options", "aligns", "distances"), [
    ({}, False, False), ({"alignment": "solosim"}, True, False), (CLUB, False, True),
    ({"alignment": "solosim", "alignment_weight": 0.0}, False, False),
    ({**CLUB, "distancing_weight": 0.0}, False, False),
])  # fmt: skip
def test_a_part_is_on_when_it_has_a_kind_and_a_weight(options, aligns, distances):
    part = separation(**options)
    assert part.config.separates == (aligns or distances)
    assert ("alignment" in terms_of(part), "distancing" in terms_of(part)) == (aligns, distances)


def test_named_parts_carry_the_aligned_view_where_there_is_a_head():
    aligned, plain = separation(alignment="solosim"), separation(**CLUB)
    named = aligned.named(parts_of(aligned))
    assert list(named)[:3] == ["image/generic", "image/unique", "image/aligned"]
    torch.testing.assert_close(named["image/aligned"].norm(dim=1), torch.ones(N))
    assert list(plain.named(parts_of(plain)))[:3] == [
        "image/generic",
        "image/unique",
        "text/generic",
    ]


@pytest.mark.parametrize("options", [
    {"alignment": "cosine"}, {"alignment_items": "some"}, {"distancing": "far"},
    {"club_pairs": "both"}, {"club_estimate": "guess"}, {"temperature": 0.0}, {"temperature": -1.0},
    {"club_pairs": "across", "club_shared": False},
], ids=str)  # fmt: skip
def test_an_impossible_choice_is_refused_by_name(options):
    with pytest.raises(RequestError, match=next(iter(options))):
        SeparationConfig(**options)
