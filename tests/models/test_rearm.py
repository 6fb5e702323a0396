"""REARM against its equations in float64, and its questionable points one by one."""

import numpy as np
import pytest
import torch
from tiny import small, tiny
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.models import build
from seapkg.models.base import unit_rows
from seapkg.models.rearm import PRESETS, WEIGHT_DECAY, REARMConfig
from seapkg.runs.configure import configure

USERS, POSITIVES, NEGATIVES = torch.tensor([[0, 3, 3, 8], [1, 4, 0, 9], [5, 6, 15, 2]])
DATASET = tiny("image", "text")
DRY = {"self_dropout": 0.0, "cross_dropout": 0.0}  # nothing random left


def rearm(dataset=DATASET, **options):
    model = build("rearm", dataset, small("rearm", **options), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "shift" in name:
                parameter += 0.2  # zero at first, which would hide a mistake
    model.begin_epoch(torch.Generator().manual_seed(0))
    return model


def attend(layer, x, y):
    query, key, value = (
        layer.scales[p] * tokens + layer.shifts[p] for p, tokens in enumerate((x, y, y))
    )
    weights = (query[:, :, None] * key[:, None, :]).softmax(dim=2)
    return layer.out_scale * (weights @ value[:, :, None])[:, :, 0]


def unit(x):
    return x / (x**2).sum(dim=1, keepdim=True).sqrt()


def hyper(network, key):
    first, activation, second = network
    hidden = key @ first.weight.T + first.bias
    hidden = torch.where(hidden > 0, hidden, activation.weight * hidden)
    return unit(hidden @ second.weight.T + second.bias)


class Twin:
    """B6 to B18, one after another, with the parameters of a model and its graphs made dense."""

    def __init__(self, model):
        self.model, self.config = model, model.config
        self.graphs = [
            g.matrix().to_dense().double()
            for g in (model.user_graph, model.item_graph, model.graph)
        ]

    def phi(self, x):
        return torch.where(x > 0, x, self.model.activation.weight * x)

    def refine(self, layer, x, y):
        total = y + attend(layer, x, y)
        centred = total - total.mean(dim=1, keepdim=True)
        spread = (centred**2).mean(dim=1, keepdim=True)
        return self.phi(
            centred / (spread + 1e-5).sqrt() * self.model.norm.weight + self.model.norm.bias
        )

    def interest(self, name):
        layer = self.model.user_projections[name]
        if name in self.model.user_features:
            return self.model.user_features[name] @ layer.weight.T + layer.bias
        raw = torch.from_numpy(DATASET.features[name].astype(np.float64))
        mean = torch.stack(
            [raw[DATASET.train[DATASET.train[:, 0] == user, 1]].mean(dim=0) for user in range(12)]
        )
        return mean @ layer.weight.T + layer.bias

    def nodes(self):
        """M by modality and O, users first."""
        model, (user_graph, item_graph, graph) = self.model, self.graphs
        names = ("image", "text")
        of_items = [
            model.features[n] @ model.item_projections[n].weight.T + model.item_projections[n].bias
            for n in names
        ]
        items = torch.cat([model.items, *of_items], dim=1)
        users = torch.cat([model.users, *(self.interest(n) for n in names)], dim=1)
        for _ in range(self.config.n_item_layers):
            items = item_graph @ items
        for _ in range(self.config.n_user_layers):
            users = user_graph @ users
        (own_i, v, t), (own_u, p, q) = unit(items).chunk(3, dim=1), unit(users).chunk(3, dim=1)
        if self.config.attention:
            h_v, h_t = (
                self.refine(model.within[n], x, x) for n, x in zip(names, (v, t), strict=True)
            )
            v, t = (
                self.refine(model.across["image"], h_t, h_v),
                self.refine(model.across["text"], h_v, h_t),
            )
        else:
            v, t = self.phi(v), self.phi(t)
        layers = [[torch.cat(x) for x in ((own_u, own_i), (self.phi(p), v), (self.phi(q), t))]]
        for _ in range(self.config.n_layers):
            layers.append([graph @ x for x in layers[-1]])
        own, image, text = (sum(parts) / len(layers) for parts in zip(*layers, strict=True))
        return image, text, own

    def final(self):
        image, text, own = self.nodes()
        sides = []
        for side, where in (("user", slice(0, 12)), ("item", slice(12, 28))):
            v, t, o = image[where], text[where], own[where]
            parts = [self.phi(v) + o, self.phi(t) + o]
            if self.config.meta_network:
                parts.append(self.phi(self.shared(self.model.meta[side], v, t, o)) + o)
            sides.append(torch.cat(parts, dim=1))
        return sides

    def shared(self, meta, v, t, o):
        key = torch.cat([v, t], dim=1) @ meta.key.weight.T + meta.key.bias
        key = key if self.config.train_meta else key.detach()
        left, right = hyper(meta.left, key), hyper(meta.right, key)
        out = []
        for n in range(len(o)):
            tall = (left[n] + left.mean(dim=0)).view(8, self.config.rank).softmax(dim=0)
            flat = (right[n] + right.mean(dim=0)).view(self.config.rank, 8).softmax(dim=0)
            out.append(flat.T @ (tall.T @ o[n]))
        return torch.stack(out)

    def losses(self):
        users, items = self.final()
        image, text, _ = self.nodes()
        gap = (users[USERS] * (items[POSITIVES] - items[NEGATIVES])).sum(dim=1)
        contrast = difference = 0
        for nodes in (USERS.unique(), 12 + torch.cat([POSITIVES, NEGATIVES]).unique()):
            likeness = (unit(image[nodes]) @ unit(text[nodes]).T / self.config.temperature).exp()
            contrast = contrast - (likeness.diagonal() / likeness.sum(dim=1)).log().mean()
        for nodes in (USERS, 12 + POSITIVES):
            y = [part[nodes] - part[nodes].mean(dim=0) for part in (image, text)]
            y = [part / (part.detach().norm(dim=1, keepdim=True) + 1e-6) for part in y]
            difference = difference + ((y[0].T @ y[1]) ** 2).sum() / 64
        return {
            "bpr": -gap.sigmoid().log().mean(),
            "contrast": self.config.contrast_weight * contrast,
            "difference": self.config.difference_weight * difference,
        }


CASES = {
    "clean": {},
    "released": {"formulation": "released"},
    "two layers each": {"n_user_layers": 2, "n_item_layers": 2, "rank": 3},
    "no attention": {"attention": False},
    "no meta-network": {"meta_network": False},
    "no user graph": {"n_user_layers": 0},
    "features alone": {"user_co_weight": 0.0, "item_co_weight": 0.0},
    "co-occurrence alone": {"user_co_weight": 1.0, "item_co_weight": 1.0},
}


@pytest.mark.parametrize("case", CASES)
def test_representations_losses_and_gradients_are_those_of_the_equations(case):
    model = rearm(**DRY | {"contrast_weight": 0.1, "difference_weight": 0.1} | CASES[case]).double()
    twin = Twin(model)
    for ours, theirs in zip(model.embed(), twin.final(), strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-5, atol=1e-7
        )  # the constant graphs are float32
    ours, theirs = model.losses(USERS, POSITIVES, NEGATIVES), twin.losses()
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-8)
    parameters = dict(model.named_parameters())
    trained = [p for p in parameters.values() if p.requires_grad]
    found = [
        torch.autograd.grad(sum(terms.values()), trained, allow_unused=True)
        for terms in (ours, theirs)
    ]
    for mine, other in zip(*found, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-7)


def test_the_released_key_network_never_learns_and_the_clean_one_does():
    clean, released = rearm(), rearm(formulation="released")
    assert not released.meta["user"].key.weight.requires_grad
    sum(clean.losses(USERS, POSITIVES, NEGATIVES).values()).backward()
    assert clean.meta["user"].key.weight.grad.any()


def test_the_released_user_interests_are_parameters_that_start_at_the_means():
    clean, released = rearm(), rearm(formulation="released")
    assert not list(clean.user_features)
    expected = DATASET.features["text"][DATASET.train[DATASET.train[:, 0] == 3, 1]].mean(axis=0)
    np.testing.assert_allclose(released.user_features["text"][3].detach(), expected, rtol=1e-5)
    for ours, theirs in zip(
        clean.embed(), rearm(formulation="released", train_meta=True).embed(), strict=True
    ):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-4, atol=1e-6
        )  # the same function before training


@pytest.mark.parametrize(("choice", "changes"), [("skip", False), ("untrained", True)])
def test_attention_that_training_never_saw_is_skipped_or_switched_on_at_evaluation(choice, changes):
    model = rearm(self_dropout=1.0, dropped_attention=choice)
    before = model.embed()[1]
    with torch.no_grad():
        for layer in model.within.values():
            layer.scales += 1
    assert torch.equal(before, model.embed()[1]) != changes
    sum(model.losses(USERS, POSITIVES, NEGATIVES).values()).backward()
    assert all(parameter.grad is None for parameter in model.within.parameters())


def test_training_drops_attention_and_evaluation_does_not():
    model, dry = rearm(), rearm(**DRY)
    for ours, theirs in zip(model.embed(), dry.embed(), strict=True):
        assert torch.equal(ours, theirs)
    wet = [model.losses(USERS, POSITIVES, NEGATIVES)["bpr"].item() for _ in range(2)]
    still = [dry.losses(USERS, POSITIVES, NEGATIVES)["bpr"].item() for _ in range(2)]
    assert wet[0] != wet[1] and still[0] == still[1]


def by_hand(x, counts, image_weight, co_weight, k=3) -> np.ndarray:
    """(B2) to (B4), dense; rows with fewer than k counted neighbours are left out (nan)."""
    likeness = np.zeros((len(counts), len(counts)))
    for name, share in (("image", image_weight), ("text", 1 - image_weight)):
        unit_rows = x[name] / np.linalg.norm(x[name], axis=1, keepdims=True)
        cosines = unit_rows @ unit_rows.T
        best = np.argsort(-cosines, axis=1)[:, :k]
        for row, columns in enumerate(best):
            likeness[row, columns] += share * cosines[row, columns] / (k + 1e-7)
    together = np.full(counts.shape, np.nan)
    for row, own in enumerate(counts):
        best = sorted((n for n in range(len(own)) if own[n]), key=lambda n: (-own[n], n))[:k]
        if len(best) == k:
            together[row] = 0
            together[row, best] = np.exp(own[best]) / np.exp(own[best]).sum()
    return co_weight * together + (1 - co_weight) * likeness


@pytest.mark.parametrize("image_weight", [0.0, 0.3, 1.0])
def test_enhanced_graphs_are_those_of_the_equations(image_weight):
    options = {
        "user_image_weight": image_weight,
        "item_image_weight": image_weight,
        "user_co_weight": 0.4,
    }
    model = rearm(**options, item_co_weight=0.7)
    taken = np.zeros((12, 16))
    taken[tuple(DATASET.train.T)] = 1
    of_items = {name: x.astype(np.float64) for name, x in DATASET.features.items()}
    of_users = {name: taken @ x / taken.sum(axis=1, keepdims=True) for name, x in of_items.items()}
    for built, x, counts, co_weight in (
        (model.user_graph, of_users, taken @ taken.T, 0.4),
        (model.item_graph, of_items, taken.T @ taken, 0.7),
    ):
        np.fill_diagonal(counts, 0)
        expected, ours = (
            by_hand(x, counts.astype(int), image_weight, co_weight),
            built.matrix().to_dense().numpy(),
        )
        full = ~np.isnan(expected).any(axis=1)
        assert full.sum() >= 10
        np.testing.assert_allclose(ours[full], expected[full], rtol=1e-4, atol=1e-6)


def test_the_graphs_are_the_same_whatever_the_seed():
    first, second = (
        build("rearm", DATASET, small("rearm", user_neighbours=11), seed=seed) for seed in (0, 1)
    )
    assert torch.equal(first.user_graph.matrix().to_dense(), second.user_graph.matrix().to_dense())


def test_a_preset_is_the_card_s_and_gives_way_to_options():
    config, training = configure("rearm", {"preset": "sports", "rank": "5"})
    assert (config.rank, config.n_layers, config.self_dropout) == (5, 5, 1.0)
    assert (training.weight_decay, training.learning_rate, training.negatives) == (
        0.05,
        5e-5,
        "train_items",
    )
    _, training = configure("rearm", {"formulation": "released", "weight_decay": 0.0})
    assert (training.weight_decay, training.negatives) == (0, "never_held_out")
    assert PRESETS.keys() == WEIGHT_DECAY.keys() == {"baby", "sports", "clothing"}


@pytest.mark.parametrize("options", [
    {"preset": "books"}, {"formulation": "paper"}, {"self_dropout": 1.1}, {"rank": 0},
    {"n_layers": -1}, {"rank": 1.5}, {"dropped_attention": "yes"},
])  # fmt: skip
def test_impossible_options_are_refused(options):
    with pytest.raises(RequestError, match=next(iter(options))):
        REARMConfig(**options)


def test_more_neighbours_than_nodes_is_a_request_that_cannot_be_met():
    with pytest.raises(RequestError, match="user_neighbours"):
        rearm(user_neighbours=13)


def test_an_item_nobody_took_in_training_has_the_most_active_as_neighbours():
    model = rearm(item_co_weight=1.0)
    degrees = np.bincount(DATASET.train[:, 1], minlength=16)
    row = model.item_graph.matrix().to_dense()[15]
    assert degrees[15] == 0
    assert set(row.nonzero().flatten().tolist()) == set(
        np.argsort(-degrees, kind="stable")[:3].tolist()
    )


def test_one_modality_and_three_will_do():
    for names in (("text",), ("image", "text", "audio")):
        model = rearm(tiny(*names))
        users, items = model.embed()
        assert users.shape == (12, 8 * (len(names) + 1)) and items.shape == (
            16,
            8 * (len(names) + 1),
        )
        assert all(term.isfinite() for term in model.losses(USERS, POSITIVES, NEGATIVES).values())


def test_the_contrast_is_over_distinct_nodes():
    model = rearm(**DRY | {"contrast_weight": 1.0}).double()
    once = model.losses(USERS, POSITIVES, NEGATIVES)["contrast"]
    twice = model.losses(*(x.repeat(2) for x in (USERS, POSITIVES, NEGATIVES)))["contrast"]
    torch.testing.assert_close(once, twice)


def test_unit_rows_are_those_of_torch_with_its_gradient():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    x[2] = 0
    x.requires_grad_()
    weight = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    ours, theirs = unit_rows(x), F.normalize(x, dim=1)
    torch.testing.assert_close(ours, theirs)
    assert not ours[2].any()
    torch.testing.assert_close(
        *(torch.autograd.grad((rows * weight).sum(), x)[0] for rows in (ours, theirs))
    )
