"""MMSSL (Wei et al., WWW 2023, arXiv:2302.10632): adversarial modality graphs and contrast."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import SparseGraph
from seapkg.graph.interactions import inverse_root
from seapkg.kernels.keep_mask import HIGHEST_RATE, keep_mask
from seapkg.kernels.similarity_rows import Seen, product_norms, projected_similarities
from seapkg.kernels.top_k import top_columns
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    batch_rows,
    embedding_table,
    ranking_loss,
    training_pairs,
    unit_rows,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option

#: Weights, gradients and Adam's two moments of the discriminator, in bytes a parameter.
BYTES_A_WEIGHT = 16
#: Users whose similarities to all items are computed at once.
BLOCK_USERS = 1024


@configuration
class MMSSLConfig:
    """Options of MMSSL."""

    formulation: Literal["intended", "released"] = option(
        "intended", "The paper's attention and modality graphs, or those of the published code."
    )
    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    n_heads: int = option(4, "Heads of the attention over modalities; they divide embed_dim.", ge=1)
    dropout: float = option(0.2, "Dropout of the projected features.", ge=0, le=HIGHEST_RATE)
    feature_weight: float = option(0.55, "Weight of each modality's features.", ge=0)
    view_weight: float = option(0.36, "Weight of the views on the modality graphs.", ge=0)
    neighbour_share: float = option(
        1e-4,
        "Share of all items that a user has in a modality graph; at least one item (intended).",
        ge=0,
        le=1,
        search=[1e-4, 1e-3, 1e-2, 2e-2],
    )
    graph_period: int = option(
        1, "Period of the modality graphs: epochs (intended), or batches (released).", ge=1
    )
    contrast_weight: float = option(
        0.03, "Weight of the contrast.", ge=0, search=[0.003, 0.01, 0.03, 0.1]
    )
    temperature: float = option(0.5, "Temperature of the contrast.", gt=0)
    adversarial_weight: float = option(
        1e-4, "Weight of the generator's loss.", ge=0, search=[0.0, 1e-4, 1e-3, 1e-2]
    )
    regularisation: float = option(1e-5, "Weight of the batch's final vectors.", ge=0)
    feature_regularisation: float = option(1e-5, "Weight of the propagated features.", ge=0)
    penalty_weight: float = option(0.3, "Weight of the discriminator's gradient penalty.", ge=0)
    discriminator_learning_rate: float = option(3e-4, "Its learning rate.", gt=0)
    first_dropout: float = option(0.31, "Its dropout after the first layer.", ge=0, le=HIGHEST_RATE)
    second_dropout: float = option(
        0.5, "Its dropout after the second layer.", ge=0, le=HIGHEST_RATE
    )
    discriminator_memory: float = option(
        4.0, "Most memory of its weights, gradients and moments, in GB.", gt=0
    )
    similarity_weight: float = option(
        100.0, "Weight of the final vectors' similarities in the real rows.", ge=0
    )
    real_temperature: float = option(1.0, "Temperature of the training rows in them.", gt=0)
    real_noise: float = option(0.002, "Factor on the Gumbel noise in them.", ge=0)


class Discriminator(nn.Module):
    """Three linear layers from n_items inputs to a score between 0 and 100.

    Batch norms always use the statistics of their batch, and dropout is always on.

    Args:
        n_items: number of inputs.
        dropout: rates after both hidden layers.
        slope: of the leaky ReLU; 1 as published.
    """

    def __init__(self, n_items: int, dropout: tuple[float, float], slope: float) -> None:
        super().__init__()
        self.dropout, self.slope = dropout, slope
        widths = [n_items, max(n_items // 4, 1), max(n_items // 8, 1), 1]
        self.weights, self.shifts = nn.ParameterList(), nn.ParameterList()
        self.norm_scales, self.norm_shifts = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            self.weights.append(torch.randn(n_in, n_out) * math.sqrt(2 / n_in))
            self.shifts.append(torch.zeros(n_out))
        for width in widths[1:3]:
            self.norm_scales.append(torch.ones(width))
            self.norm_shifts.append(torch.zeros(width))
        self.requires_grad_(False)

    def forward(self, products: Tensor, generator: torch.Generator | None) -> Tensor:
        """The scores [n] of rows whose products with the first weight are given.

        Args:
            products: [n, n_items // 4].
            generator: draws the dropout.
        """
        for layer in range(2):
            hidden = F.leaky_relu(products + self.shifts[layer], self.slope)
            scale, shift = self.norm_scales[layer], self.norm_shifts[layer]
            hidden = torch.batch_norm(hidden, scale, shift, None, None, True, 0.0, 1e-5, False)
            hidden = dropped(hidden, self.dropout[layer], generator)
            products = hidden @ self.weights[layer + 1]
        return 100 * (products + self.shifts[2]).sigmoid()[:, 0]


class EdgeList(nn.Module):
    """Edges int64 [2, n] that belong to the model's state, whatever their number."""

    def __init__(self, indices: Tensor) -> None:
        super().__init__()
        self.register_buffer("indices", indices, persistent=False)

    def get_extra_state(self) -> Tensor:
        return self.indices

    def set_extra_state(self, state: Tensor) -> None:
        self.indices = state.to(self.indices.device)


@system(
    "mmssl",
    paper="MMSSL",
    title="Multi-Modal Self-Supervised Learning for Recommendation",
    year=2023,
    source="arXiv:2302.10632",
    colour="sky",
    marker=">",
)
class MMSSL(Recommender):
    r"""Modality graphs that an adversary shapes, and contrast between them and the final users.

    Equations:
        TODO
    """

    config_class = MMSSLConfig
    training_defaults = {"learning_rate": 5.5e-4, "batch_size": 1024, "weight_decay": 0.01}
    needs_features = True

    def __init__(self, dataset: Dataset, config: MMSSLConfig) -> None:
        super().__init__(dataset, config)
        dim, n_heads = config.embed_dim, config.n_heads
        if dim % n_heads:
            raise RequestError(f"option n_heads must divide embed_dim, which is {dim}; it is {n_heads}")
        _check_memory(dataset.n_items, config)
        self.released = config.formulation == "released"
        self.users = embedding_table(dataset.n_users, dim)
        self.items = embedding_table(dataset.n_items, dim)
        self.features = FeatureTables(dataset)
        self.projections = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            self.projections[name] = nn.Linear(width, dim)
            nn.init.xavier_uniform_(self.projections[name].weight)
        self.output = embedding_table(n_heads * dim, dim)
        if not self.released:
            self.query = embedding_table(dim, dim)
            self.key = embedding_table(dim, dim)
        rates = config.first_dropout, config.second_dropout
        slope = 1.0 if self.released else 0.01
        self.discriminator = Discriminator(dataset.n_items, rates, slope)
        pairs = training_pairs(dataset).T
        self.user_graph = one_sided_graph(pairs, (self.n_users, self.n_items))
        self.item_graph = one_sided_graph(pairs.flip(0), (self.n_items, self.n_users))
        edges = self._stacked([pairs] * len(self.projections)) if self.released else self._top()
        self.edges, self.collected = EdgeList(edges), EdgeList(edges[:, :0])
        self._graphs = self._batch = None

    # Hooks of training

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Generates the modality graphs anew, unless they follow the published schedule."""
        super().begin_epoch(generator, epoch)
        self._batch_number = 0
        if not self.released and epoch and epoch % self.config.graph_period == 0:
            self.edges.indices = self._top()

    def before_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> None:
        """Steps the discriminator."""
        self.discriminator.requires_grad_(True)
        self._optimiser.zero_grad()
        sum(self.discriminator_losses(users).values()).backward()
        self._optimiser.step()
        self.discriminator.requires_grad_(False)

    def auxiliary_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"discriminator": self._optimiser}

    def fit_auxiliary(self) -> None:
        """The published schedule of the modality graphs."""
        if not self.released:
            return
        if self._batch_number and self._batch_number % self.config.graph_period == 0:
            self.edges.indices = self.collected.indices
            self.collected.indices = self.edges.indices[:, :0]
        else:
            new = self._generated(*self._batch)
            self.collected.indices = torch.cat([self.collected.indices, new], dim=1)
        self._batch_number += 1
        self._batch = None

    # Verbs

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d], without dropout."""
        return self._nodes(self._views(), self._content())

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation", "feature_regularisation", "contrast", "adversarial"."""
        config = self.config
        views, content = self._views(), self._content(config.dropout)
        self._batch = users, *(part.detach() for part in content)
        batch = batch_rows(*self._nodes(views, content), users, positives, negatives)
        squares = sum(part.square().sum() for part in batch) / (2 * len(users))
        feature_squares = sum(part.square().sum() for part in content) / (2 * self.n_items)
        contrast = sum(contrast_of(rows(view, users), batch[0], config.temperature) for view in views[0])
        scores = self._score(self._fake_products(users, *content))
        return {
            "bpr": ranking_loss(*batch),
            "regularisation": config.regularisation * squares,
            "feature_regularisation": config.feature_regularisation * feature_squares,
            "contrast": config.contrast_weight * contrast,
            "adversarial": -config.adversarial_weight * scores.mean(),
        }

    def discriminator_losses(self, users: Tensor) -> NamedTensors:
        """The discriminator's terms "fake", "real" and "penalty" for `users`, int64 [batch]."""
        weight = self.discriminator.weights[0]
        with torch.no_grad():
            content = self._content(self.config.dropout)
            final_users, final_items = self._nodes(self._views(), content)
            real_rows = self._real_rows(users, final_users, final_items)
        fake = self._fake_products(users, *content)  # [n_modalities * batch, width]
        real = (real_rows @ weight).repeat(len(self.projections), 1)
        fake_scores, real_scores = self._score(fake), self._score(real)
        shares = self._uniform((len(fake), 1))
        mixed = (shares * real + (1 - shares) * fake).requires_grad_()
        scores = self._score(mixed)
        (slopes,) = torch.autograd.grad(scores.sum(), mixed, create_graph=True)
        penalty = (product_norms(slopes, weight) - 1).square().mean()
        return {
            "fake": fake_scores.mean(),
            "real": -real_scores.mean(),
            "penalty": self.config.penalty_weight * penalty,
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", its propagated features: [n_items, d]."""
        views = self._by_modality(self._content()[1])
        return {f"{name}/whole": view for name, view in zip(self.projections, views, strict=True)}

    # Forward

    def _content(self, rate=0.0):
        projected = [project(self.features[name]) for name, project in self.projections.items()]
        content = dropped(torch.cat(projected, dim=1), rate, self.generator)
        users = self.user_graph(content)
        return users, self.item_graph(users)

    def _views(self):
        """z, the views of users and items on the modality graphs: [n_modalities, n, d] each."""
        user_graph, item_graph = self._modality_graphs()
        shape = len(self.projections), -1, self.config.embed_dim
        return user_graph(self.items).view(shape), item_graph(self.users).view(shape)

    def _nodes(self, views, content):
        config = self.config
        users, items = (
            table + config.view_weight * unit_rows(self._fuse(view))
            for table, view in zip((self.users, self.items), views, strict=True)
        )
        layers = [(users, items)]
        for layer in range(1, config.n_layers + 1):
            users = self.user_graph(items)
            last = layer == config.n_layers
            users = users.softmax(dim=1) if last else users
            items = self.item_graph(users)
            items = items.softmax(dim=1) if last else items
            layers.append((users, items))
        return tuple(
            sum(side) / len(layers)
            + config.feature_weight * sum(unit_rows(part) for part in self._by_modality(whole))
            for side, whole in zip(zip(*layers, strict=True), content, strict=True)
        )

    def _fuse(self, views):
        """Attention among the modalities of each node. `views`: [n_modalities, n, d]."""
        n_heads = self.config.n_heads
        if self.released:  # its weights multiply the query's own view, so they add up to one
            return views.mean(dim=0) @ self.output.unflatten(0, (n_heads, -1)).sum(dim=0)
        queries, keys = (
            (views @ weight).unflatten(2, (n_heads, -1)) for weight in (self.query, self.key)
        )  # [n_modalities, n, n_heads, d / n_heads]
        logits = torch.einsum("mnhc,pnhc->nhmp", queries, keys) / math.sqrt(queries.shape[3])
        weights = logits.softmax(dim=3).mean(dim=2)  # [n, n_heads, n_modalities]
        return torch.einsum("nhp,pnd->nhd", weights, views).flatten(1) @ self.output

    # Modality graphs

    def _modality_graphs(self):
        edges = self.edges.indices
        if self._graphs is None or self._graphs[0] is not edges:
            n_modalities, (places, items) = len(self.projections), edges
            modality, users = places // self.n_users, places % self.n_users
            to_items = torch.stack([modality * self.n_items + items, users])
            self._graphs = (
                edges,
                one_sided_graph(edges, (n_modalities * self.n_users, self.n_items)),
                one_sided_graph(to_items, (n_modalities * self.n_items, self.n_users)),
            )
        return self._graphs[1:]

    @torch.no_grad()
    def _top(self):
        """The best items of all users by their current features."""
        everyone = torch.arange(self.n_users, device=self.users.device)
        return self._generated(everyone, *self._content())

    def _generated(self, users, user_content, item_content):
        n_neighbours = int(self.n_items * self.config.neighbour_share)
        n_neighbours = n_neighbours if self.released else max(n_neighbours, 1)
        by_modality = []
        views = zip(self._by_modality(user_content), self._by_modality(item_content), strict=True)
        for of_users, of_items in views:
            best = [
                top_columns(similarities(of_users[block], of_items, self._seen(block)), n_neighbours)
                for block in users.split(BLOCK_USERS)
            ]
            by_modality.append(paired(users, torch.cat(best), self.released))
        return self._stacked(by_modality)

    def _stacked(self, by_modality):
        return torch.cat(
            [
                torch.stack([users + number * self.n_users, items])
                for number, (users, items) in enumerate(by_modality)
            ],
            dim=1,
        )

    # Adversary

    @cached_property
    def _optimiser(self):
        rate, parameters = self.config.discriminator_learning_rate, self.discriminator.parameters()
        return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.9), fused=True)

    def _fake_products(self, users, user_content, item_content):
        """The rows of all modalities times the discriminator's first weight."""
        weight, of_users = self.discriminator.weights[0], rows(user_content, users)
        n_views = len(self.projections)
        return projected_similarities(of_users, item_content, self._seen(users), weight, n_views)

    def _real_rows(self, users, final_users, final_items):
        config, seen = self.config, self._seen(users)
        similar = similarities(rows(final_users, users), final_items, seen)
        gumbel = -((-(self._uniform(similar.shape) + 1e-8).log() + 1e-8).log())
        logits = config.real_noise * gumbel
        logits[seen.row, seen.item] += 1 / config.real_temperature
        return unit_rows(logits.softmax(dim=1) + config.similarity_weight * similar)

    def _score(self, products):
        return self.discriminator(products, self.generator)

    def _seen(self, users):
        csr = self.user_graph.csr
        first = csr.starts[users]
        counts = csr.starts[users + 1] - first
        starts = F.pad(counts.cumsum(0), (1, 0))
        row = torch.arange(len(users), device=users.device).repeat_interleave(counts)
        entries = torch.arange(len(row), device=users.device) + (first - starts[:-1])[row]
        return Seen(row, csr.columns[entries], starts)

    def _uniform(self, shape):
        return torch.rand(shape, generator=self.generator, device=self.users.device)

    def _by_modality(self, content):
        """[n, n_modalities d] as tensors [n, d]."""
        return content.split(self.config.embed_dim, dim=1)


def similarities(users: Tensor, items: Tensor, seen: Seen) -> Tensor:
    """Dot products of users with all items, 0 where seen, in rows of unit norm.

    Args:
        users: [batch, dim].
        items: [n_items, dim].
        seen: training items of the batch.

    Returns:
        [batch, n_items].
    """
    scores = users @ items.T
    return unit_rows(scores.index_put((seen.row, seen.item), scores.new_zeros(())))


def one_sided_graph(indices: Tensor, shape: tuple[int, int]) -> SparseGraph:
    """A graph whose rows are divided by the square root of their degree. `indices`: [2, n]."""
    degrees = torch.bincount(indices[0], minlength=shape[0]).float()
    return SparseGraph(indices, inverse_root(degrees)[indices[0]], shape)


def paired(users: Tensor, neighbours: Tensor, released: bool) -> tuple[Tensor, Tensor]:
    """The edges between users [n] and their neighbours [n, k], as published or as intended."""
    k = neighbours.shape[1]
    return users.repeat(k) if released else users.repeat_interleave(k), neighbours.flatten()


def contrast_of(views: Tensor, users: Tensor, temperature: float) -> Tensor:
    """GRACE with 1e-8 inside its logarithm. `views`, `users`: [batch, d]."""
    views, users = unit_rows(views), unit_rows(users)
    within = (views @ views.T).fill_diagonal_(-torch.inf)
    logits = torch.cat([views @ users.T, within], dim=1) / temperature
    return -(logits.softmax(dim=1).diagonal() + 1e-8).log().mean()


def dropped(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Dropout of `x`, any shape."""
    if not rate:
        return x
    keep, share = keep_mask(x.shape, rate, generator, x.device)
    return x * (keep.to(x.dtype) / share)


def _check_memory(n_items: int, config: MMSSLConfig) -> None:
    width = n_items // 4
    needed = BYTES_A_WEIGHT * (n_items * width + width * n_items // 8) / 1e9
    if needed > config.discriminator_memory:
        raise RequestError(
            f"MMSSL's discriminator of {n_items} items takes {needed:.1f} GB; "
            f"option discriminator_memory allows {config.discriminator_memory:g} GB: raise it"
        )
