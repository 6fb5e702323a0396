"""MMSSL (Wei et al., WWW 2023, arXiv:2302.10632): adversarial modality graphs and contrast."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.kernels.keep_mask import HIGHEST_RATE
from seapkg.kernels.similarity_rows import product_norms, projected_similarities, seen_items
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
from seapkg.models.mmssl_parts import (
    Discriminator,
    EdgeList,
    contrast,
    dropped,
    one_sided_graph,
    similarities,
)
from seapkg.models.registry import system
from seapkg.options import configuration, option

#: Users whose best items are searched at once.
BLOCK_USERS = 1024
#: Real rows: weight of the final vectors' similarities, temperature of R, factor on Gumbel noise.
SIMILARITY_WEIGHT, REAL_TEMPERATURE, REAL_NOISE = 100.0, 1.0, 0.002


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
    discriminator_memory: float = option(
        4.0, "Most memory of its weights, gradients and moments, in GB.", gt=0
    )


class _Undropped(NamedTuple):
    """What does not depend on the dropout of a pass.

    Attributes:
        projected: of the features, all modalities side by side [n_items, n_modalities d].
        user_views: z^u [n_modalities, n_users, d].
        means: over the layers, of users and items [n, d].
    """

    projected: Tensor
    user_views: Tensor
    means: UsersAndItems


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
        G_ui = D_u^-1/2 R [n_users, n_items], G_iu = D_i^-1/2 Rᵀ. The modality graphs G^m have the
        same form on each user's top items by f^u_m · f_m.
        f = dropout(W_m x_m + b_m); f^u_m = G_ui f; f_m = G_iu f^u_m [n_items, d].
        z^u_m = G^m_ui E_I, z^i_m = G^m_iu E_U; z attends among the modalities, head by head:
        z = mean over m of [Σ_m' a^h_mm' z_m']_h W_O, a^h the softmax over m' of
        (z_m W_Q)^h · (z_m' W_K)^h / sqrt(d / H).
        u^(0) = E_U + ω z^u / ‖z^u‖, i^(0) alike. u^(l) = G_ui i^(l-1), i^(l) = G_iu u^(l); the last
        layer is a softmax over its d columns.
        e_u = mean over layers of u^(l) + ν Σ_m f^u_m / ‖f^u_m‖, e_i alike; s_ui = e_u · e_i.
        Σ(a, b) = rows of a bᵀ of unit norm, seen items 0 [batch, n_items].
        L_D = mean D(fake) - mean D(real) + μ mean (‖∇D‖ - 1)², fake = Σ(f^u_m, f_m) of all m, real
        = softmax(R / τ_R + noise) + 100 Σ(e_u, e_i) at unit norm. The penalty is at random points
        between them. D takes a step of Adam on L_D before each batch.
        C_m: the mean over the batch of -ln(p_u + 1e-8), p_u the softmax of cos(z^u_m, x) / τ at x =
        e_u, where x is any e of the batch or another z^u_m.
        L = BPR(e_u, e_i, e_j) + λ (‖e_u‖² + ‖e_i‖² + ‖e_j‖²) / (2 batch)
        + λ_f Σ_m (‖f^u_m‖² + ‖f_m‖²) / (2 n_items) + γ Σ_m C_m - η mean D(fake).

    Differences from the published code:
        - The modality graphs hold the top items of all users, at least one for each user. They are
          built from the initial projections, and again at the beginning of each epoch
          (`graph_period`). Evaluation uses them as they are. Published: the graphs become the edges
          of the batches since their last change, which are none in nearly all batches; formulation
          "released".
        - A collected item belongs to its user. Published: to another user of the batch, if there
          are several items a user; "released".
        - The attention has an effect. Published: its weights multiply the query's own view and add
          up to one; "released", where W_Q and W_K are left out.
        - The discriminator's leaky ReLU has slope 0.01. Published: 1, the identity; "released".
        - Batches, negatives and early stopping are those of all systems, so users may repeat in a
          batch. Published: 1024 distinct users with one item each, and an epoch is a number of
          batches.
        - Degrees have no 1e-8 added. Parameters without any use are left out.
        - Products with the discriminator's first layer use that its inputs have low rank
          (`seapkg.kernels.similarity_rows`). Its dropout draws one byte an entry (`keep_mask`).
    """

    config_class = MMSSLConfig
    training_defaults = {"learning_rate": 5.5e-4, "batch_size": 1024, "weight_decay": 0.01}
    needs_features = True

    def __init__(self, dataset: Dataset, config: MMSSLConfig) -> None:
        super().__init__(dataset, config)
        dim, n_heads = config.embed_dim, config.n_heads
        if dim % n_heads:
            raise RequestError(f"option n_heads must divide embed_dim {dim}; it is {n_heads}")
        self.released = config.formulation == "released"
        self.discriminator = Discriminator(
            dataset.n_items, 1.0 if self.released else 0.01, config.discriminator_memory
        )
        self.users = embedding_table(dataset.n_users, dim)
        self.items = embedding_table(dataset.n_items, dim)
        self.output = embedding_table(n_heads * dim, dim)
        if not self.released:
            self.query, self.key = embedding_table(dim, dim), embedding_table(dim, dim)
        self.features = FeatureTables(dataset)
        self.projections = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            self.projections[name] = nn.Linear(width, dim)
            nn.init.xavier_uniform_(self.projections[name].weight)
        self.n_modalities = len(self.projections)
        users, items = training_pairs(dataset).T
        self.user_graph = one_sided_graph(users, items, self.n_users, self.n_items)
        self.item_graph = one_sided_graph(items, users, self.n_items, self.n_users)
        edges = self._linked(users, items.repeat(self.n_modalities))
        self.edges, self.collected = EdgeList(edges), EdgeList(edges[:, :0])
        self._graphs = self._undropped = None
        if not self.released:
            self._generate_graphs()

    # Hooks of training

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Generates the modality graphs anew; those of the first epoch are there already."""
        super().begin_epoch(generator, epoch)
        self._batch_number, self._undropped = 0, None
        if not self.released and epoch and epoch % self.config.graph_period == 0:
            self._generate_graphs()

    def before_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> None:
        """Steps the discriminator. The losses of the batch use the same `_Undropped`."""
        self._undropped = self._without_dropout()
        self.discriminator.requires_grad_(True)
        self._adam.zero_grad()
        sum(self.discriminator_losses(users).values()).backward()
        self._adam.step()
        self.discriminator.requires_grad_(False)

    def fit_auxiliary(self) -> None:
        """The published schedule: the modality graphs become the edges of the last batches."""
        if not self.released:
            return
        edges, collected = self.edges, self.collected
        if self._batch_number and self._batch_number % self.config.graph_period == 0:
            edges.indices, collected.indices = collected.indices, collected.indices[:, :0]
        else:
            found = self._best_edges(*self._last_batch)
            collected.indices = torch.cat([collected.indices, found], dim=1)
        self._batch_number += 1

    def auxiliary_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"discriminator": self._adam}

    @cached_property
    def _adam(self) -> torch.optim.Optimizer:
        """The discriminator's, made at the first use: by then it is on its device."""
        rate = self.config.discriminator_learning_rate
        parameters = self.discriminator.parameters()
        return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.9), fused=True)

    # Verbs

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d], without dropout and on the current modality graphs."""
        undropped = self._without_dropout()
        return self._nodes(undropped, self._content(undropped.projected))

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation", "feature_regularisation", "contrast", "adversarial".

        Index tensors are [batch].
        """
        config, undropped = self.config, self._undropped or self._without_dropout()
        self._undropped = None
        content = of_users, of_items = self._content(undropped.projected, config.dropout)
        self._last_batch = users, of_users.detach(), of_items.detach()
        batch = batch_rows(*self._nodes(undropped, content), users, positives, negatives)
        squares = sum(part.square().sum() for part in batch) / (2 * len(users))
        feature_squares = (of_users.square().sum() + of_items.square().sum()) / (2 * self.n_items)
        contrasts = [
            contrast(view[users], batch[0], config.temperature) for view in undropped.user_views
        ]
        score = self._score(self._fake_products(users, *content)).mean()
        return {
            "bpr": ranking_loss(*batch),
            "regularisation": config.regularisation * squares,
            "feature_regularisation": config.feature_regularisation * feature_squares,
            "contrast": config.contrast_weight * sum(contrasts),
            "adversarial": -config.adversarial_weight * score,
        }

    def discriminator_losses(self, users: Tensor) -> NamedTensors:
        """The discriminator's terms "fake", "real" and "penalty" for `users`, int64 [batch]."""
        weight = self.discriminator.weights[0]
        undropped = self._undropped or self._without_dropout()
        with torch.no_grad():
            content = self._content(undropped.projected, self.config.dropout)
            real_rows = self._real_rows(users, *self._nodes(undropped, content))
        fake = self._fake_products(users, *content)
        real = (real_rows @ weight).repeat(self.n_modalities, 1)
        fake_scores, real_scores = self._score(fake), self._score(real)
        shares = self._uniform(len(fake), 1)
        between = (shares * real + (1 - shares) * fake).requires_grad_()
        scores = self._score(between)
        (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        penalty = (product_norms(slopes, weight) - 1).square().mean()
        return {
            "fake": fake_scores.mean(),
            "real": -real_scores.mean(),
            "penalty": self.config.penalty_weight * penalty,
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", its propagated features: [n_items, d]."""
        views = self._content(self._projected())[1].chunk(self.n_modalities, dim=1)
        return {f"{name}/whole": view for name, view in zip(self.projections, views, strict=True)}

    # Forward

    def _projected(self):
        """W_m x_m + b_m, all modalities side by side: [n_items, n_modalities d]."""
        layers = self.projections.items()
        return torch.cat([project(self.features[name]) for name, project in layers], dim=1)

    def _content(self, projected, rate=0.0):
        """f of users and items, all modalities side by side: [n, n_modalities d] each."""
        users = self.user_graph(dropped(projected, rate, self.generator))
        return users, self.item_graph(users)

    def _without_dropout(self):
        """All that one batch computes once, although the discriminator has its own dropout."""
        user_graph, item_graph = self._modality_graphs()
        views = user_graph(self.items), item_graph(self.users)
        views = [view.unflatten(0, (self.n_modalities, -1)) for view in views]
        weight, n_layers = self.config.view_weight, self.config.n_layers
        users = self.users + weight * unit_rows(self._fuse(views[0]))
        items = self.items + weight * unit_rows(self._fuse(views[1]))
        sums = users, items
        for layer in range(1, n_layers + 1):
            activation = F.softmax if layer == n_layers else _identity
            users = activation(self.user_graph(items), dim=1)
            items = activation(self.item_graph(users), dim=1)
            sums = sums[0] + users, sums[1] + items
        means = tuple(total / (n_layers + 1) for total in sums)
        return _Undropped(self._projected(), views[0], means)

    def _nodes(self, undropped, content):
        """e of users and items: [n_users, d] and [n_items, d]."""
        weight = self.config.feature_weight
        return tuple(
            mean + weight * self._sum_of_units(whole)
            for mean, whole in zip(undropped.means, content, strict=True)
        )

    def _sum_of_units(self, content):
        """Σ_m f_m / ‖f_m‖: [n, d]."""
        return sum(unit_rows(part) for part in content.chunk(self.n_modalities, dim=1))

    def _fuse(self, views):
        """Attention among the modalities of a node: `views` [n_modalities, n, d] to [n, d]."""
        n_heads = self.config.n_heads
        if self.released:  # the weights multiply the query's own view, so they add up to one
            return views.mean(dim=0).repeat(1, n_heads) @ self.output
        queries, keys = (
            (views @ weight).unflatten(2, (n_heads, -1)) for weight in (self.query, self.key)
        )  # [n_modalities, n, n_heads, d / n_heads]
        logits = torch.einsum("mnhc,pnhc->nhmp", queries, keys) / math.sqrt(queries.shape[3])
        weights = logits.softmax(dim=3).mean(dim=2)  # [n, n_heads, n_modalities]
        return torch.einsum("nhp,pnd->nhd", weights, views).flatten(1) @ self.output

    # Modality graphs

    def _modality_graphs(self):
        """G^m of all modalities, one below the other, built when the edges have changed."""
        places, items = edges = self.edges.indices
        if self._graphs is None or self._graphs[0] is not edges:
            n_users, n_items, n = self.n_users, self.n_items, self.n_modalities
            users, item_places = places % n_users, places // n_users * n_items + items
            to_users = one_sided_graph(places, items, n * n_users, n_items)
            self._graphs = (
                edges,
                to_users,
                one_sided_graph(item_places, users, n * n_items, n_users),
            )
        return self._graphs[1:]

    @torch.no_grad()
    def _generate_graphs(self):
        """From the best items of all users by their features."""
        everyone = torch.arange(self.n_users, device=self.users.device)
        content = self._content(self._projected())
        found = [self._best_edges(users, *content) for users in everyone.split(BLOCK_USERS)]
        self.edges.indices = torch.cat(found, dim=1)

    def _best_edges(self, users, user_content, item_content):
        """Edges from `users` [n] to their best items in each modality: int64 [2, n_edges]."""
        n_neighbours = int(self.n_items * self.config.neighbour_share)
        n_neighbours = n_neighbours if self.released else max(n_neighbours, 1)
        of_users, seen = rows(user_content, users), seen_items(self.user_graph.csr, users)
        similar = similarities(of_users, item_content, seen, self.n_modalities)
        return self._linked(users, top_columns(similar, n_neighbours))

    def _linked(self, users, items):
        """Edges of users [n] and k items each in all modalities, `items` [n_modalities n k].

        Returns:
            int64 [2, n_modalities n k], user + modality n_users and item.
        """
        first = self.n_users * torch.arange(self.n_modalities, device=users.device)
        places = users + first[:, None]  # [n_modalities, n]
        k = items.numel() // places.numel()
        places = places.repeat(1, k) if self.released else places.repeat_interleave(k, dim=1)
        return torch.stack([places.flatten(), items.flatten()])

    # Adversary

    def _score(self, products):
        return self.discriminator(products, self.generator)

    def _fake_products(self, users, user_content, item_content):
        """The fake rows of all modalities times the discriminator's first weight."""
        weight, of_users = self.discriminator.weights[0], rows(user_content, users)
        seen = seen_items(self.user_graph.csr, users)
        return projected_similarities(of_users, item_content, seen, weight, self.n_modalities)

    def _real_rows(self, users, final_users, final_items):
        """The rows that the discriminator should score high: [batch, n_items]."""
        seen = seen_items(self.user_graph.csr, users)
        similar = similarities(rows(final_users, users), final_items, seen)
        exponential = 1e-8 - (self._uniform(*similar.shape) + 1e-8).log()
        logits = -REAL_NOISE * exponential.log()  # Gumbel
        logits[seen.row, seen.item] += 1 / REAL_TEMPERATURE
        return unit_rows(logits.softmax(dim=1) + SIMILARITY_WEIGHT * similar)

    def _uniform(self, *shape):
        return torch.rand(shape, generator=self.generator, device=self.users.device)


def _identity(x, dim):
    return x
