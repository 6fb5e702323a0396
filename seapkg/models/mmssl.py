"""MMSSL (Wei et al., WWW 2023, arXiv:2302.10632): adversarial modality graphs and contrast."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.kernels.keep_mask import HIGHEST_RATE
from seapkg.kernels.product_norms import product_norms
from seapkg.kernels.top_k import top_columns
from seapkg.losses import half_squares
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
    ModalityGraphs,
    OneSidedGraphs,
    contrast,
    dropped,
    projected_similarities,
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
          built at the beginning of each epoch (`graph_period`); until then they are the training
          graph. Evaluation uses them as they are. Published: the graphs become the edges of the
          batches since their last change, which are none in nearly all batches; formulation
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
          (`projected_similarities`). Its dropout draws one byte an entry (`keep_mask`).
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
        slope = 1.0 if self.released else 0.01
        self.discriminator = Discriminator(dataset.n_items, slope, config.discriminator_memory)
        self.adam = torch.optim.Adam(
            self.discriminator.parameters(),
            lr=config.discriminator_learning_rate,
            betas=(0.5, 0.9),
            fused=True,
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
        pairs = training_pairs(dataset).T
        self.graph = OneSidedGraphs(pairs, self.n_users, self.n_items)
        edges = pairs.repeat(len(self.projections), 1, 1)
        self.modality_graphs = ModalityGraphs(edges, self.n_users, self.n_items)
        if self.released:
            self.next_graphs = ModalityGraphs(edges[..., :0], self.n_users, self.n_items)

    # Hooks of training

    @torch.no_grad()
    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Connects all users with their best items anew (intended)."""
        super().begin_epoch(generator, epoch)
        self.n_batches = 0
        if not self.released and epoch % self.config.graph_period == 0:
            content = self._content()
            everyone = torch.arange(self.n_users, device=self.users.device)
            found = [self._best_edges(users, content) for users in everyone.split(BLOCK_USERS)]
            self.modality_graphs.connect(torch.cat(found, dim=2))

    def before_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> None:
        """Steps the discriminator."""
        self.discriminator.requires_grad_(True)
        self.adam.zero_grad()
        sum(self.discriminator_losses(users).values()).backward()
        self.adam.step()
        self.discriminator.requires_grad_(False)

    def fit_auxiliary(self) -> None:
        """The published schedule: the graphs become the edges of the batches since their change."""
        if not self.released:
            return
        collected = self.next_graphs.edges
        if self.n_batches and self.n_batches % self.config.graph_period == 0:
            self.modality_graphs.connect(collected)
            self.next_graphs.connect(collected[..., :0])
        else:
            found = self._best_edges(*self.last_batch)
            self.next_graphs.connect(torch.cat([collected, found], dim=2))
        self.n_batches += 1

    def auxiliary_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"discriminator": self.adam}

    # Verbs

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d], without dropout and on the current modality graphs."""
        _, _, users, items = self._forward()
        return users, items

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation", "feature_regularisation", "contrast", "adversarial".

        Index tensors are [batch].
        """
        config = self.config
        content, views, *final = self._forward(config.dropout)
        self.last_batch = users, content.detach()
        batch = batch_rows(*final, users, positives, negatives)
        squares = half_squares(*batch, batch_size=len(users))
        feature_squares = half_squares(content, batch_size=self.n_items)
        contrasts = [contrast(rows(view, users), batch[0], config.temperature) for view in views]
        score = self._score(self._fake_products(users, content)).mean()
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
        with torch.no_grad():
            content, _, *final = self._forward(self.config.dropout)
            real_rows = self._real_rows(users, *final)
        fake = self._fake_products(users, content)
        real = (real_rows @ weight).repeat(len(self.projections), 1)
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

    # Forward; the nodes are the users, then the items

    def _forward(self, rate=0.0):
        """f and z of all nodes, [n_modalities, n_nodes, d] each, and e of users and of items."""
        config, content = self.config, self._content(rate)
        views = self.modality_graphs(self.users, self.items)
        nodes = torch.cat([self.users, self.items])
        nodes = nodes + config.view_weight * unit_rows(self._fuse(views))
        layers, items = [nodes], nodes[self.n_users :]
        for layer in range(1, config.n_layers + 1):
            activation = nn.Softmax(dim=1) if layer == config.n_layers else nn.Identity()
            users = activation(self.graph.to_users(items))
            items = activation(self.graph.to_items(users))
            layers.append(torch.cat([users, items]))
        units = F.normalize(content, dim=2).sum(dim=0)
        final = sum(layers) / len(layers) + config.feature_weight * units
        return content, views, *final.split([self.n_users, self.n_items])

    def _content(self, rate=0.0):
        """f of all nodes: [n_modalities, n_nodes, d]."""
        projected = [project(self.features[name]) for name, project in self.projections.items()]
        items = dropped(torch.cat(projected, dim=1), rate, self.generator)
        users = self.graph.to_users(items)  # [n_users, n_modalities d]
        content = torch.cat([users, self.graph.to_items(users)])
        return content.unflatten(1, (len(projected), -1)).transpose(0, 1)

    def _fuse(self, views):
        """Attention among the modalities of a node: `views` [n_modalities, n, d] to [n, d]."""
        n_heads = self.config.n_heads
        if self.released:  # the weights multiply the query's own view, so they add up to one
            return views.mean(dim=0).repeat(1, n_heads) @ self.output
        queries, keys = (
            (views @ weight).unflatten(2, (n_heads, -1)) for weight in (self.query, self.key)
        )  # [n_modalities, n, n_heads, d / n_heads]
        logits = torch.einsum("mnhc,pnhc->nhmp", queries, keys) / queries.shape[3] ** 0.5
        weights = logits.softmax(dim=3).mean(dim=2)  # [n, n_heads, n_modalities]
        return torch.einsum("nhp,pnd->nhd", weights, views).flatten(1) @ self.output

    # Modality graphs

    def _best_edges(self, users, content):
        """Edges from `users` [n] to their best k items: int64 [n_modalities, 2, n k]."""
        k = int(self.n_items * self.config.neighbour_share)
        k = k if self.released else max(k, 1)
        similar = similarities(*self._sides(users, content), self._seen(users))
        items = top_columns(similar.flatten(0, 1), k).view(len(similar), -1)
        users = users.repeat(k) if self.released else users.repeat_interleave(k)
        return torch.stack([users.expand_as(items), items], dim=1)

    # Similarities

    def _sides(self, users, content):
        """Features of `users` and of all items: [n_modalities, batch, d] and [.., n_items, d]."""
        of_users = torch.stack([rows(of_modality, users) for of_modality in content])
        return of_users, content[:, self.n_users :]

    def _seen(self, users):
        """Whether the training pairs of each of `users` have the item: bool [batch, n_items]."""
        pairs = self.graph.to_users.matrix().to_sparse_coo()
        return pairs.index_select(0, users).to_dense() > 0

    # Adversary

    def _score(self, products):
        return self.discriminator(products, self.generator)

    def _fake_products(self, users, content):
        """The fake rows of all modalities times the discriminator's first weight."""
        sides, weight = self._sides(users, content), self.discriminator.weights[0]
        return projected_similarities(*sides, self._seen(users), weight).flatten(0, 1)

    def _real_rows(self, users, final_users, final_items):
        """The rows that the discriminator should score high: [batch, n_items]."""
        seen = self._seen(users)
        similar = similarities(rows(final_users, users), final_items, seen)
        exponential = 1e-8 - (self._uniform(*seen.shape) + 1e-8).log()
        logits = seen / REAL_TEMPERATURE - REAL_NOISE * exponential.log()  # Gumbel noise
        return unit_rows(logits.softmax(dim=1) + SIMILARITY_WEIGHT * similar)

    def _uniform(self, *shape):
        return torch.rand(shape, generator=self.generator, device=self.users.device)
