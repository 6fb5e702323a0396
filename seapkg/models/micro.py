"""MICRO (Zhang et al., TKDE 2022, arXiv:2111.00678): an item graph learned for each modality, fused by contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.graph import (
    SparseGraph,
    edge_cosines,
    inverse_root,
    item_graph,
    mean_of_layers,
    nearest_neighbours,
    row_normalised_adjacency,
    weighted_sum,
)
from seapkg.kernels.blocked_softmax import grace
from seapkg.models.base import (
    Recommender,
    batch_rows,
    embedding_table,
    feature_table,
    ranking_loss,
    training_pairs,
)
from seapkg.models.registry import system
from seapkg.options import Range, configuration, option


@configuration
class MICROConfig:
    """Options of MICRO."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    n_item_layers: int = option(1, "Layers on the item graphs.", ge=0)
    n_neighbours: int = option(10, "Neighbours of an item in the item graphs.", ge=1)
    feature_graph_share: float = option(
        0.9,
        "Share of the raw features' graph; the rest is the graph of the projected features.",
        ge=0,
        le=1,
    )
    contrast_weight: float = option(
        0.03,
        "Weight of the contrast between each modality and the fused items.",
        ge=0,
        search=Range(1e-3, 0.3, log=True),
    )
    temperature: float = option(0.5, "Temperature of the contrast.", gt=0)
    regularisation: float = option(
        1e-5,
        "Weight of half the squared norms of the batch's final vectors.",
        ge=0,
        search=[1e-5, 1e-4, 1e-3, 1e-2],
    )
    train_features: bool = option(True, "Train the features themselves, as published.")


@system(
    "micro",
    paper="MICRO",
    title="Latent Structure Mining with Contrastive Modality Fusion for Multimedia Recommendation",
    year=2022,
    source="arXiv:2111.00678",
)
class MICRO(Recommender):
    """Items get, per modality, what their item graph S_m makes of the item table; an attention fuses these, and the
    result is added to what the user-item graph D^-1 (A + I) gives (spec D.9, D.7).

    The learned graphs get a gradient in an epoch's first batch only and stand still for the rest of it, as published;
    an evaluation builds them anew. What is otherwise: the learning rate is constant, as everywhere here (the original
    lowers it to .85 of itself in 200 epochs); what has no gradient in a batch stands still in it, while torch 1 let
    Adam's momentum move it on (spec C.7.1); and batches, negatives and early stopping are those of all models here (the
    original draws users, 1024 a batch, and looks at the validation split every fifth epoch, ten times).
    """

    config_class = MICROConfig
    training_defaults = {"learning_rate": 5e-4}
    needs_features = True

    def __init__(self, dataset, config: MICROConfig = MICROConfig()) -> None:
        super().__init__(dataset, config)
        self.modalities, dim = dataset.modalities, config.embed_dim
        self.users = embedding_table(dataset.n_users, dim)
        self.items = embedding_table(dataset.n_items, dim)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(dataset.features[name].shape[1], dim) for name in self.modalities}
        )
        self.query = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))
        self.features = nn.ParameterDict()
        for name in self.modalities:
            table = feature_table(dataset, name)
            if config.train_features:
                self.features[name] = nn.Parameter(table.clone())
            else:
                self.register_buffer(f"features_{name}", table, persistent=False)
        self.graph = row_normalised_adjacency(
            training_pairs(dataset), dataset.n_users, dataset.n_items
        )
        graphs = {
            name: item_graph(dataset, name, config.n_neighbours, weighted=True)
            for name in self.modalities
        }
        self.feature_graphs = nn.ModuleDict(graphs)
        self._settled: dict[str, SparseGraph] = {}

    def begin_epoch(self, generator: torch.Generator) -> None:
        super().begin_epoch(generator)
        self._settled = {}

    def embed(self) -> tuple[Tensor, Tensor]:
        return self._embed(self._fuse(self._by_modality()))

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        by_modality = self._propagate(self._settled) if self._settled else self._learn_graphs()
        fused = self._fuse(by_modality)
        batch = batch_rows(*self._embed(fused), users, positives, negatives)
        squares = sum(part.square().sum() for part in batch) / (2 * len(users))
        terms = {
            "bpr": ranking_loss(*batch),
            "regularisation": self.config.regularisation * squares,
        }
        if self.config.contrast_weight:
            unit = F.normalize(fused, dim=1)
            views = [F.normalize(view, dim=1) for view in by_modality.values()]
            contrast = sum(grace(view, unit, self.config.temperature) for view in views)
            terms["contrast"] = self.config.contrast_weight * contrast
        return terms

    def parts(self) -> dict[str, Tensor]:
        """Per modality "whole", the item representation that its graph gives, in one piece: [n_items, d]."""
        return {f"{name}/whole": part for name, part in self._by_modality().items()}

    def _by_modality(self) -> dict[str, Tensor]:
        """h_m, with the graphs as the parameters stand. [n_items, d] each"""
        with torch.no_grad():
            graphs = self._mixed_graphs(self._learned_edges())
        return self._propagate(graphs)

    def _learn_graphs(self) -> dict[str, Tensor]:
        """h_m with a gradient for the learned graphs, which are kept as they are for the next batches."""
        edges = self._learned_edges()
        self._settled = self._mixed_graphs(
            {name: (best, weights.detach()) for name, (best, weights) in edges.items()}
        )
        return self._propagate(
            {name: partial(self._mixed_product, name, *edges[name]) for name in self.modalities}
        )

    def _propagate(self, graphs: Mapping[str, Callable[[Tensor], Tensor]]) -> dict[str, Tensor]:
        by_modality = dict.fromkeys(self.modalities, self.items)
        for _ in range(self.config.n_item_layers):
            by_modality = {name: graphs[name](part) for name, part in by_modality.items()}
        return by_modality

    def _fuse(self, by_modality: dict[str, Tensor]) -> Tensor:
        """Σ_m β_m h_m, β the softmax over modalities of the query's answers. Returns [n_items, d]."""
        views = torch.stack(list(by_modality.values()), dim=1)  # [I, M, d]
        return (self.query(views).softmax(dim=1) * views).sum(dim=1)

    def _embed(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        nodes = mean_of_layers(
            self.graph, torch.cat([self.users, self.items]), self.config.n_layers
        )
        users, items = nodes.split([self.n_users, self.n_items])
        return users, items + F.normalize(fused, dim=1)

    def _learned_edges(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Per modality the nearest neighbours of the projected features [I, k], and their weights [I, k]: cosines,
        normalised as in `cosine_graph`, with a gradient. A row whose cosines add up to nothing is empty."""
        edges = {}
        for name in self.modalities:
            projected = self.projections[name](self._features(name))
            best = nearest_neighbours(projected.detach(), self.config.n_neighbours)
            cosines = edge_cosines(projected, best)
            sums = cosines.sum(dim=1)
            scale = inverse_root(sums.clamp(min=1e-8)) * (sums > 1e-8)
            edges[name] = best, scale[:, None] * cosines * scale[best]
        return edges

    def _mixed_product(self, name: str, best: Tensor, weights: Tensor, x: Tensor) -> Tensor:
        share = self.config.feature_graph_share
        learned = F.embedding_bag(best, x, per_sample_weights=weights, mode="sum")
        return share * self.feature_graphs[name](x) + (1 - share) * learned

    def _mixed_graphs(self, edges: dict[str, tuple[Tensor, Tensor]]) -> dict[str, SparseGraph]:
        """`_mixed_product` as one constant graph a modality."""
        share, mixed = self.config.feature_graph_share, {}
        for name, (best, weights) in edges.items():
            rows = torch.arange(self.n_items, device=best.device).repeat_interleave(best.shape[1])
            learned = SparseGraph(
                rows, best.flatten(), weights.flatten(), (self.n_items, self.n_items)
            )
            mixed[name] = weighted_sum(
                [self.feature_graphs[name], learned], weights.new_tensor([share, 1 - share])
            )
        return mixed

    def _features(self, name: str) -> Tensor:
        return self.features[name] if name in self.features else getattr(self, f"features_{name}")
