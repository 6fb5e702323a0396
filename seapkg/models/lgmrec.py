"""LGMRec (Guo et al., AAAI 2024, arXiv:2312.16400): local graphs and a global hypergraph."""

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import SparseGraph, mean_graph
from seapkg.kernels.blocked_softmax import solosim
from seapkg.kernels.cosine_factors import cosine_factors
from seapkg.kernels.keep_mask import HIGHEST_RATE, keep_mask
from seapkg.losses import embedding_norm
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    embedding_table,
    propagate,
    propagate_mean,
    ranking_loss,
    training_graph,
    training_pairs,
    unit_rows,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import Range, configuration, option


@configuration
class LGMRecConfig:
    """Options of LGMRec; the defaults are the authors' best on Baby."""

    formulation: Literal["intended", "released"] = option(
        "intended",
        "Evaluate without noise in the hyperedges, or with noise, as the published code does.",
    )
    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    n_modality_layers: int = option(2, "Layers of the features on the user-item graph.", ge=0)
    n_hyper_layers: int = option(1, "Layers on the hypergraph of a modality.", ge=1)
    n_hyperedges: int = option(
        4, "Hyperedges of a modality.", ge=1, search=[2, 4, 8, 16, 32, 64, 128, 256]
    )
    dropout: float = option(
        0.5,
        "Share of the hyperedge weights that each batch drops.",
        ge=0,
        le=HIGHEST_RATE,
        search=Range(0.0, 0.9),
    )
    hyper_weight: float = option(
        0.3,
        "Weight of the hypergraph's vectors in the final ones.",
        ge=0,
        search=Range(0.01, 1.0),
    )
    contrast_weight: float = option(
        1e-4, "Weight of the contrast between modalities, a sum over the batch.", ge=0
    )
    temperature: float = option(
        0.2, "Temperature of the hyperedge weights and of the contrast.", gt=0
    )
    regularisation: float = option(1e-6, "Weight of the norms of the batch's final vectors.", ge=0)


@system(
    "lgmrec",
    paper="LGMRec",
    title="LGMRec: Local and Global Graph Learning for Multimodal Recommendation",
    year=2024,
    source="arXiv:2312.16400",
    colour="green",
    marker="p",
)
class LGMRec(Recommender):
    r"""Propagation on the user-item graph, plus hypergraphs whose edges are learned from features.

    Equations:
        C = mean over layers of A^l [E_U; E_I], A the normalised user-item graph.
        F_m = A^n [mean of W_m x_i over the user's items; W_m x_i].
        Γ_m = dropout(softmax((Z_m + G) / τ)) [n_users + n_items, n_hyperedges], logits
        z_i = U_m x_i of items and their sum over the user's items; G is Gumbel noise.
        h_m = Γ_m ℓ_m, ℓ_m = (Γ_iᵀ Γ_i)^(L-1) Γ_iᵀ C_i, Γ_i and C_i the rows of items in Γ_m and C.
        e = C + Σ_m F_m / ‖F_m‖ + α Σ_m h_m / ‖Σ_m h_m‖; s_ui = e_u · e_i.
        L = BPR(e_u, e_i, e_j) + c Σ_{m<n} (L_C(u) + L_C(i)) + λ (‖e_u‖ + ‖e_i‖ + ‖e_j‖) / batch,
        norms of the batch's matrices. L_C(u) is the sum over the batch of -ln p_u, p the softmax
        over all users x of cos(h_m,u, h_n,x) / τ; L_C(i) is likewise over all items.
        Evaluation: without dropout, G = 0.

    Differences from the published code:
        - The published code draws G at evaluation too, so its ranking is random. With
          `formulation` "released" G is drawn once per epoch and stays fixed in its evaluations.
        - Degrees have no 1e-7 added; the graphs agree to float32 precision.
        - With more than two modalities every pair has a contrast.
    """

    config_class = LGMRecConfig
    needs_features = True

    def __init__(self, dataset: Dataset, config: LGMRecConfig) -> None:
        super().__init__(dataset, config)
        pairs, shape = training_pairs(dataset), (dataset.n_users, dataset.n_items)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        self.features = FeatureTables(dataset)
        self.projections, self.hyperedges = nn.ParameterDict(), nn.ParameterDict()
        for name, width in self.features.widths_by_name.items():
            self.projections[name] = embedding_table(config.embed_dim, width)  # W
            self.hyperedges[name] = embedding_table(config.n_hyperedges, width)  # U
        self.graph = training_graph(dataset)
        self.user_means = mean_graph(pairs, *shape)
        self.user_sums = SparseGraph(pairs.T, torch.ones(len(pairs)), shape)
        self.register_buffer("noise_seed", torch.zeros((), dtype=torch.int64))

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """With the released formulation, draws the seed of the evaluations' noise."""
        super().begin_epoch(generator, epoch)
        if self.config.formulation == "released":
            self.noise_seed.random_(generator=generator)

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d]."""
        content, features, logits = self._nodes()
        if self.config.formulation == "released":
            generator = torch.Generator(logits.device).manual_seed(int(self.noise_seed))
            logits = logits + self._noise(logits, generator)
        weights = self._softmax(logits)
        views = weights @ self._edge_vectors(weights, content)
        return self._final(content, features, views).split([self.n_users, self.n_items])

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation" and "contrast" for index tensors [batch]."""
        config, n = self.config, len(users)
        content, features, logits = self._nodes()
        weights = self._softmax(logits + self._noise(logits, self.generator))
        weights = weights * self._dropout(weights)
        edges = self._edge_vectors(weights, content)
        nodes = torch.cat([users, self.n_users + positives, self.n_users + negatives])
        views = torch.stack([rows(table, nodes) for table in weights]) @ edges
        batch = self._final(rows(content, nodes), rows(features, nodes), views).split(n)
        terms = {
            "bpr": ranking_loss(*batch),
            "regularisation": config.regularisation * embedding_norm(*batch),
        }
        if len(views) > 1:
            tables = weights.split([self.n_users, self.n_items], dim=1)
            sides = zip(views.split(n, dim=1), tables, (users, positives), strict=False)
            contrast = sum(self._contrast(*side, edges) for side in sides)
            terms["contrast"] = config.contrast_weight * contrast
        return terms

    def _nodes(self):
        """Of users, then items: C [n, d], the F_m side by side [n, n_modalities d], and the logits
        [n_modalities, n, n_hyperedges]."""
        widths, both = [self.config.embed_dim, self.config.n_hyperedges], []
        for name, weight in self.projections.items():
            weight = torch.cat([weight, self.hyperedges[name]])  # [d + n_hyperedges, width]
            both.append(F.linear(self.features[name], weight).split(widths, dim=1))
        projected, logits = (torch.cat(parts, dim=1) for parts in zip(*both, strict=True))
        content = propagate_mean(self.graph, self.users, self.items, self.config.n_layers)
        features = torch.cat([self.user_means(projected), projected])
        features = propagate(self.graph, features, self.config.n_modality_layers)
        logits = torch.cat([self.user_sums(logits), logits])
        return torch.cat(content), features, torch.stack(logits.split(widths[1], dim=1))

    def _noise(self, logits, generator):
        """Gumbel noise of the shape of `logits`."""
        return -torch.empty_like(logits).exponential_(generator=generator).log()

    def _softmax(self, logits):
        return (logits / self.config.temperature).softmax(dim=2)

    def _dropout(self, weights):
        """A random factor for each of the `weights`: 0 or the inverse of the share that is kept."""
        mask, share = keep_mask(weights.shape, self.config.dropout, self.generator, weights.device)
        return mask / share

    def _edge_vectors(self, weights, content):
        """ℓ_m: [n_modalities, n_hyperedges, d]."""
        weights = weights[:, self.n_users :]
        edges = weights.mT @ content[self.n_users :]
        n_more = self.config.n_hyper_layers - 1
        return propagate(lambda x: weights.mT @ (weights @ x), edges, n_more)

    def _final(self, content, features, views):
        """e [n, d] of C, the F_m side by side, and the h_m [n_modalities, n, d]."""
        features = features.unflatten(1, (len(views), -1))
        local = content + F.normalize(features, dim=2).sum(dim=1)
        return local + self.config.hyper_weight * unit_rows(views.sum(dim=0))

    def _contrast(self, views, weights, index, edges):
        """Σ_{m<n} L_C of the nodes `index` [batch] against all users, or all items.

        `views` are the h_m of `index`, [n_modalities, batch, d]; `weights` are those of all.
        """
        total = 0
        for first, second in combinations(range(len(views)), 2):
            factors = cosine_factors(views[first], weights[second], edges[second])
            total = total + solosim(*factors, self.config.temperature, index)
        return len(index) * total
