"""FREEDOM (Zhou & Shen, ACM MM 2023, arXiv:2211.06924): frozen item graph, pruned user graph."""

from __future__ import annotations

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.graph import (
    ItemGraphs,
    SparseGraph,
    keep_edges,
    mean_of_layers,
    normalised_adjacency,
)
from seapkg.models.base import (
    batch_rows,
    embedding_table,
    n_kept_edges,
    ranking_loss,
    rows,
    training_graph,
    training_pairs,
)
from seapkg.models.features import LinearContent
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
    title=(
        "A Tale of Two Graphs: Freezing and Denoising Graph Structures "
        "for Multimodal Recommendation"
    ),
    year=2023,
    source="arXiv:2211.06924",
    colour="green",
    marker="^",
)
class FREEDOM(Separating):
    r"""LightGCN on a pruned user-item graph plus propagation on a frozen item graph.

    Equations:
        S = Σ_m w_m S_m, S_m the normalised kNN graph of the raw features, frozen.
        Ã keeps ⌊E (1 - ρ)⌋ of the E training edges, drawn each epoch with a probability in
        proportion to 1 / sqrt(d_u d_i), and weighs them by the degrees they leave.
        e = 1/(L+1) Σ_l Ã^l [E_U; E_I], items add S E_I; Ã is the full graph at evaluation.
        L = BPR(e_u, e_i, e_j) + λ Σ_m BPR(e_u, W_m x_im, W_m x_jm), means over the batch.

    Differences from the published code:
        - All W_m are drawn Xavier-normal as one matrix; published are linear layers of torch's
          default spread, one a modality. The shared bias has no effect on the content loss.
        - With λ = 0 the projection of features, whose gradient is then zero, is left out.
        - Ties in the kNN graphs go to the lowest item, and an item is its own first neighbour.
        - `content_in_score` adds Σ_m W_m x_m + b to the item vector; separate learning needs it.
    """

    config_class = FREEDOMConfig
    needs_features = True

    def __init__(self, dataset: Dataset, config: FREEDOMConfig) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        self.graph = training_graph(dataset)
        self.pruned = self.graph
        self.register_buffer("pairs", training_pairs(dataset), persistent=False)
        self.n_kept = n_kept_edges(len(self.pairs), config.edge_dropout)
        self.item_graphs = ItemGraphs(dataset, config.n_neighbours, config.image_weight)
        self.content = None
        if config.uses_content:
            self.content = LinearContent(dataset, config.embed_dim, trained=config.train_features)
        halves = dict.fromkeys(dataset.modalities, config.embed_dim // 2)
        self.separation = Separation(halves, config.embed_dim // 2, config)

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Draws the epoch's user-item graph."""
        super().begin_epoch(generator, epoch)
        kept = keep_edges(self.pairs, self.n_users, self.n_items, self.n_kept, generator)
        self.pruned = normalised_adjacency(kept, self.n_users, self.n_items)

    def embed(self) -> tuple[Tensor, Tensor]:
        """On the full graph: [n_users, d] and [n_items, d]."""
        content = self.content() if self.config.content_in_score else None
        return self._propagate(self.graph, content)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        config = self.config
        by_modality = None
        if config.content_in_score or config.separates:
            by_modality = self.content()
        nodes = self._propagate(self.pruned, by_modality)
        batch = batch_rows(*nodes, users, positives, negatives)  # [batch, d] each
        terms = {"bpr": ranking_loss(*batch)}
        if config.content_loss_weight:
            loss = self._content_loss(batch[0], by_modality, positives, negatives)
            terms["content"] = config.content_loss_weight * loss
        if config.separates:
            parts = self.separation.split(by_modality)
            terms |= self.separation.losses(parts, positives, self.generator)
        return terms

    def parts(self) -> dict[str, Tensor]:
        """The halves of the projected features; empty where these are left out."""
        if self.content is None:
            return {}
        return self.separation.named(self.separation.split(self.content()))

    def _propagate(
        self, graph: SparseGraph, by_modality: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        nodes = torch.cat([self.users, self.items])
        nodes = mean_of_layers(graph, nodes, self.config.n_layers)  # [n_users + n_items, d]
        users, items = nodes.split([self.n_users, self.n_items])
        neighbours = self.items
        for _ in range(self.config.n_item_layers):
            neighbours = self.item_graphs(neighbours)
        items = items + neighbours
        if self.config.content_in_score:
            items = items + self.content.fused(by_modality)
        return users, items

    def _content_loss(
        self,
        user_rows: Tensor,
        by_modality: dict[str, Tensor] | None,
        positives: Tensor,
        negatives: Tensor,
    ) -> Tensor:
        """Σ_m BPR of the users [batch, d] against the projected features of the batch's items."""
        items = torch.cat([positives, negatives])
        if by_modality is None:
            projected = self.content(items)
        else:
            projected = {name: rows(table, items) for name, table in by_modality.items()}
        return sum(ranking_loss(user_rows, *table.chunk(2)) for table in projected.values())
