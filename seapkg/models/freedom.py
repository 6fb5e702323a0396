"""FREEDOM (Zhou & Shen, ACM MM 2023, arXiv:2211.06924): frozen item graph, pruned user graph."""

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.graph import ItemGraphs
from seapkg.models.base import (
    NamedTensors,
    PrunedRecommender,
    UsersAndItems,
    batch_rows,
    embedding_table,
    propagate,
    propagate_mean,
    ranking_loss,
)
from seapkg.models.features import LinearContent, rows
from seapkg.models.registry import system
from seapkg.models.separate import Separating, Separation, SeparationConfig
from seapkg.options import configuration, option, resolve


@configuration
class FREEDOMConfig(SeparationConfig):
    """Options of FREEDOM; separate learning is off unless `alignment` or `distancing` is set."""

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

    def __post_init__(self):
        super().__post_init__()
        resolve(self, {"content_in_score": self.separates})

    @property
    def needs_all_content(self):
        """Whether the score or separate learning needs the projected features of all items."""
        return self.content_in_score or self.separates


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
class FREEDOM(PrunedRecommender, Separating):
    r"""LightGCN on a pruned user-item graph plus propagation on a frozen item graph.

    Equations:
        S = Σ_m w_m S_m, S_m the normalised kNN graph of the raw features, frozen.
        Ã keeps ⌊E (1 - ρ)⌋ of the E training edges, drawn each epoch with a probability in
        proportion to 1 / sqrt(d_u d_i), and is normalised by the degrees of the kept edges.
        e = 1/(L+1) Σ_l Ã^l [E_U; E_I], items add S E_I; Ã is the full graph at evaluation.
        L = BPR(e_u, e_i, e_j) + λ Σ_m BPR(e_u, W_m x_im, W_m x_jm), means over the batch.

    Differences from the published code:
        - All W_m are drawn Xavier-normal as one matrix; the published code has one linear layer
          per modality with torch's default initialisation. The content
          loss leaves the bias out, as it cancels.
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
        self.item_graphs = ItemGraphs(dataset, config.n_neighbours, config.image_weight)
        self.content = None
        if config.needs_all_content or config.content_loss_weight:
            self.content = LinearContent(dataset, config.embed_dim, trained=config.train_features)
        halves = dict.fromkeys(dataset.modalities, config.embed_dim // 2)
        self.separation = Separation(halves, config)

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Draws the epoch's user-item graph."""
        super().begin_epoch(generator, epoch)
        self.prune_by_degree(generator)

    def embed(self) -> UsersAndItems:
        """On the full graph: [n_users, d] and [n_items, d]."""
        content = self.content() if self.config.content_in_score else None
        return self._propagate(self.graph, content)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "content" and the terms of separate learning.

        Arguments are int64 [batch].
        """
        config = self.config
        content = self.content() if config.needs_all_content else None
        nodes = self._propagate(self.pruned, content)
        batch = batch_rows(*nodes, users, positives, negatives)  # [batch, d] each
        terms = {"bpr": ranking_loss(*batch)}
        if config.content_loss_weight:
            loss = self._content_loss(batch[0], content, torch.cat([positives, negatives]))
            terms["content"] = config.content_loss_weight * loss
        if config.separates:
            parts = self.separation.split(content)
            terms |= self.separation.losses(parts, positives, self.generator)
        return terms

    def parts(self) -> NamedTensors:
        """The halves of the projected features; empty if there is no projection."""
        if self.content is None:
            return {}
        return self.separation.named(self.separation.split(self.content()))

    def _propagate(self, graph, content):
        """Users [n_users, d] and items [n_items, d]; `content`: modality -> [n_items, d]."""
        config = self.config
        users, items = propagate_mean(graph, self.users, self.items, config.n_layers)
        items = items + propagate(self.item_graphs, self.items, config.n_item_layers)
        if config.content_in_score:
            items = items + self.content.fused(content)
        return users, items

    def _content_loss(self, user_rows, content, items):
        """Σ_m BPR of the users [batch, d] against the projected features of `items` [2 batch]."""
        if content is None:
            projected = self.content(items)
        else:
            projected = {name: rows(table, items) for name, table in content.items()}
        return sum(ranking_loss(user_rows, *table.chunk(2)) for table in projected.values())
