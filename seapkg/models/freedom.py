"""FREEDOM (Zhou & Shen, ACM MM 2023, arXiv:2211.06924): a frozen item graph and a denoised user-item graph."""

from __future__ import annotations

import torch
from torch import Tensor

from seapkg.graph import ItemGraphs, keep_edges, mean_of_layers, normalised_adjacency
from seapkg.losses import bpr
from seapkg.models.base import (
    batch_rows,
    embedding_table,
    ranking_loss,
    rows,
    training_graph,
    training_pairs,
)
from seapkg.models.content import Content
from seapkg.models.registry import system
from seapkg.models.separate import Separating, Separation, SeparationConfig, check_halves
from seapkg.options import configuration, option


@configuration
class FREEDOMConfig(SeparationConfig):
    """Options of FREEDOM; separate learning is off unless `alignment` or `distancing` is set."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    n_item_layers: int = option(1, "Layers on the item graph.", ge=0)
    n_neighbours: int = option(10, "Neighbours of an item in the item graph.", ge=1)
    image_weight: float = option(
        0.1, "Share of the image in the item graph, where there are image and text.", ge=0, le=1
    )
    edge_dropout: float = option(
        0.8, "Share of the training edges that each epoch prunes.", ge=0, lt=1, search=[0.8, 0.9]
    )
    content_loss_weight: float = option(
        0.0,
        "Weight of the ranking losses on projected features; 0 leaves the features to the graph.",
        ge=0,
        search=[0.0, 1e-5, 1e-4, 1e-3],
    )
    content_in_score: bool | None = option(
        None, "Add the projected features to the item vector; by default only with separation."
    )
    train_features: bool = option(True, "Train the features themselves, as published.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_halves(self)
        if self.content_in_score is None:
            object.__setattr__(self, "content_in_score", self.separates)

    @property
    def uses_content(self) -> bool:
        """Whether the projected features enter the score or a loss term."""
        return self.content_in_score or self.separates or self.content_loss_weight != 0


@system(
    "freedom",
    paper="FREEDOM",
    title="A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation",
    year=2023,
    source="arXiv:2211.06924",
)
class FREEDOM(Separating):
    """e = LightGCN on this epoch's pruned graph (the full one at evaluation); items add S E_i, S frozen (spec D.13)."""

    config_class = FREEDOMConfig
    needs_features = True

    def __init__(self, dataset, config: FREEDOMConfig = FREEDOMConfig()) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        self.graph = training_graph(dataset)
        self.pruned = self.graph
        self.register_buffer("pairs", training_pairs(dataset), persistent=False)
        self.item_graphs = ItemGraphs(dataset, config.n_neighbours, config.image_weight)
        self.content = (
            Content(dataset, config.embed_dim, trained=config.train_features)
            if config.uses_content
            else None
        )
        halves = dict.fromkeys(dataset.modalities, config.embed_dim // 2)
        self.separation = Separation(halves, config.embed_dim // 2, config)

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draws this epoch's user-item graph: floor(E (1 - ρ)) edges, weights from the kept degrees."""
        super().begin_epoch(generator)
        keep = int(len(self.pairs) * (1 - self.config.edge_dropout))
        kept = keep_edges(self.pairs, self.n_users, self.n_items, keep, generator)
        self.pruned = normalised_adjacency(kept, self.n_users, self.n_items)

    def embed(self) -> tuple[Tensor, Tensor]:
        content = self.content() if self.config.content_in_score else None
        return self._embed(self.graph, content)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        all_items = self.config.content_in_score or self.config.separates
        by_modality = self.content() if all_items else None
        batch = batch_rows(*self._embed(self.pruned, by_modality), users, positives, negatives)
        terms = {"bpr": ranking_loss(*batch)}
        if self.config.content_loss_weight:
            loss = self._content_loss(batch[0], by_modality, positives, negatives)
            terms["content"] = self.config.content_loss_weight * loss
        if self.config.separates:
            terms |= self.content.separate(self.separation, by_modality, positives, self.generator)
        return terms

    def parts(self) -> dict[str, Tensor]:
        """The halves of the projected features; empty where the content branch is left out."""
        if self.content is None:
            return {}
        return self.separation.named(self.content.halves(self.separation, self.content()))

    def _embed(self, graph, by_modality: dict[str, Tensor] | None) -> tuple[Tensor, Tensor]:
        nodes = mean_of_layers(
            graph, torch.cat([self.users, self.items]), self.config.n_layers
        )  # [N, d]
        users, items = nodes.split([self.n_users, self.n_items])
        neighbours = self.items
        for _ in range(self.config.n_item_layers):
            neighbours = self.item_graphs(neighbours)
        items = items + neighbours
        if self.config.content_in_score:
            items = items + self.content.fused(by_modality)
        return users, items

    def _content_loss(
        self, user_rows: Tensor, by_modality, positives: Tensor, negatives: Tensor
    ) -> Tensor:
        """Σ_m BPR of the users against the items' projected features; only the batch's items where that will do."""
        items = torch.cat([positives, negatives])
        projected = (
            self.content(items)
            if by_modality is None
            else {m: rows(x, items) for m, x in by_modality.items()}
        )
        halves = [x.chunk(2) for x in projected.values()]
        return sum(
            bpr((user_rows * positive).sum(1), (user_rows * negative).sum(1))
            for positive, negative in halves
        )
