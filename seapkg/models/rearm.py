"""REARM: "Refining Contrastive Learning and Homography Relations for Multi-Modal Recommendation" (ACM MM 2025).

Two formulations, one switch: "clean", and "released" as the authors' code has it. Where the code is questionable each
point is an option of its own whose default depends on the formulation (spec B.6); PRESETS has the model card's
settings for each dataset.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.graph import SparseGraph, mean_graph, mean_of_layers
from seapkg.losses import difference, solosim
from seapkg.models.attention import DimensionAttention
from seapkg.models.base import (
    Recommender,
    feature_table,
    ranking_loss,
    rows,
    training_graph,
    training_pairs,
    unit_rows,
)
from seapkg.models.meta_network import MetaNetwork, taken
from seapkg.models.rearm_graphs import enhanced_item_graph, enhanced_user_graph
from seapkg.models.registry import system
from seapkg.options import Range, configuration, option, resolve

FORMULATIONS = {
    "clean": {"train_meta": True, "train_user_interest": False, "dropped_attention": "skip"},
    "released": {
        "train_meta": False,
        "train_user_interest": True,
        "dropped_attention": "untrained",
    },
}
#: The model card's settings (spec B.5). `weight_decay` is the training's.
PRESETS = {
    "baby": {
        "n_layers": 4, "rank": 3, "self_dropout": 0.4, "cross_dropout": 0.6, "user_image_weight": 0.2,
        "item_image_weight": 0.0, "user_co_weight": 0.4, "item_co_weight": 0.2, "user_neighbours": 40,
        "item_neighbours": 10, "n_user_layers": 1, "n_item_layers": 1, "temperature": 0.6,
        "contrast_weight": 5e-6, "difference_weight": 5e-5,
    },
    "sports": {
        "n_layers": 5, "rank": 7, "self_dropout": 1.0, "cross_dropout": 0.2, "user_image_weight": 0.0,
        "item_image_weight": 0.2, "user_co_weight": 0.9, "item_co_weight": 0.2, "user_neighbours": 25,
        "item_neighbours": 5, "n_user_layers": 2, "n_item_layers": 2, "temperature": 1.5,
        "contrast_weight": 1e-3, "difference_weight": 5e-4,
    },
    "clothing": {
        "n_layers": 4, "rank": 3, "self_dropout": 0.4, "cross_dropout": 0.1, "user_image_weight": 0.1,
        "item_image_weight": 0.1, "user_co_weight": 0.7, "item_co_weight": 0.1, "user_neighbours": 45,
        "item_neighbours": 10, "n_user_layers": 1, "n_item_layers": 1, "temperature": 0.03,
        "contrast_weight": 1e-6, "difference_weight": 1e-5,
    },
}  # fmt: skip
WEIGHT_DECAY = {"baby": 5e-4, "sports": 0.05, "clothing": 1e-5}


@configuration
class REARMConfig:
    """Options of REARM; those that default to None follow the preset or the formulation."""

    formulation: Literal["clean", "released"] = option(
        "clean", "Mend what is questionable in the published code, or follow it."
    )
    preset: Literal["baby", "sports", "clothing"] = option(
        "baby", "The model card's settings for that dataset."
    )
    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int | None = option(None, "Layers on the user-item graph.", ge=0)
    n_user_layers: int | None = option(None, "Layers on the user graph.", ge=0)
    n_item_layers: int | None = option(None, "Layers on the item graph.", ge=0)
    user_neighbours: int | None = option(
        None, "Neighbours of a user in both kinds of user graph.", ge=1
    )
    item_neighbours: int | None = option(
        None, "Neighbours of an item in both kinds of item graph.", ge=1
    )
    user_image_weight: float | None = option(
        None,
        "Share of the image in the users' feature graph, where there are image and text.",
        ge=0,
        le=1,
    )
    item_image_weight: float | None = option(
        None,
        "Share of the image in the items' feature graph, where there are image and text.",
        ge=0,
        le=1,
    )
    user_co_weight: float | None = option(
        None,
        "Share of co-occurrence in the user graph; the rest is feature similarity.",
        ge=0,
        le=1,
        search=[0.2, 0.4, 0.7, 0.9],
    )
    item_co_weight: float | None = option(
        None,
        "Share of co-occurrence in the item graph; the rest is feature similarity.",
        ge=0,
        le=1,
    )
    attention: bool = option(True, "Attend among coordinates; false is an ablation.")
    self_dropout: float | None = option(
        None, "Dropout of the attention weights within a modality.", ge=0, le=1
    )
    cross_dropout: float | None = option(
        None, "Dropout of the attention weights across modalities.", ge=0, le=1
    )
    dropped_attention: Literal["skip", "untrained"] | None = option(
        None, "At evaluation, an attention of dropout 1 stays off (clean) or attends untrained."
    )
    meta_network: bool = option(
        True, "Transform each node by a meta-network; false is an ablation."
    )
    rank: int | None = option(None, "Rank of the meta-network's transforms.", ge=1)
    train_meta: bool | None = option(
        None, "Train the meta-network's first layer; the published code detaches its output."
    )
    train_user_interest: bool | None = option(
        None, "Train users' interest features (released) instead of averaging their items'."
    )
    train_features: bool = option(True, "Train the items' features, as released.")
    temperature: float | None = option(None, "Temperature of the contrast across modalities.", gt=0)
    contrast_weight: float | None = option(
        None,
        "Weight of the contrast across modalities.",
        ge=0,
        search=Range(1e-6, 1e-2, log=True),
    )
    difference_weight: float | None = option(
        None, "Weight of the decorrelation of modalities.", ge=0, search=Range(1e-6, 1e-2, log=True)
    )

    def __post_init__(self) -> None:
        resolve(self, PRESETS[self.preset] | FORMULATIONS[self.formulation])


@system(
    "rearm",
    paper="REARM",
    title="Refining Contrastive Learning and Homography Relations for Multi-Modal Recommendation",
    year=2025,
    source="ACM MM 2025",
    formulations=("clean",),
    colour="blue",
    marker="<",
)
class REARM(Recommender):
    """Items and users look at their like before they look at each other: enhanced item and user graphs, attention among
    the coordinates of the items' modalities, the user-item graph, and a meta-network's transform of each node (spec B).

    Any number of modalities: each is read across by the next, the last by the first; of two, each by the other.
    """

    config_class = REARMConfig
    training_defaults = {"learning_rate": 5e-5, "weight_decay": WEIGHT_DECAY["baby"]}
    needs_features = True

    @classmethod
    def training_options(cls, config: REARMConfig) -> dict:
        own = cls.training_defaults | {"weight_decay": WEIGHT_DECAY[config.preset]}
        return own | ({"negatives": "never_held_out"} if config.formulation == "released" else {})

    def __init__(self, dataset, config: REARMConfig = REARMConfig()) -> None:
        super().__init__(dataset, config)
        self.modalities, dim = dataset.modalities, config.embed_dim
        self.users = nn.Parameter(0.1 * torch.randn(dataset.n_users, dim))
        self.items = nn.Parameter(0.1 * torch.randn(dataset.n_items, dim))
        pairs = training_pairs(dataset)
        self.graph = training_graph(dataset)
        self.mean_of_items = mean_graph(pairs, dataset.n_users, dataset.n_items)
        self.user_graph = enhanced_user_graph(dataset, pairs, self.mean_of_items, config)
        self.item_graph = enhanced_item_graph(dataset, pairs, config)
        self.features, self.user_features = nn.ParameterDict(), nn.ParameterDict()
        for name in self.modalities:
            table = feature_table(dataset, name)
            if config.train_features:
                self.features[name] = nn.Parameter(table.clone())
            if config.train_user_interest:
                self.user_features[name] = nn.Parameter(self.mean_of_items(table))
            if not (config.train_features and config.train_user_interest):
                self.register_buffer(f"features_{name}", table, persistent=False)
        widths = {name: dataset.features[name].shape[1] for name in self.modalities}
        self.item_projections = nn.ModuleDict(
            {name: _projection(width, dim) for name, width in widths.items()}
        )
        self.user_projections = nn.ModuleDict(
            {name: _projection(width, dim) for name, width in widths.items()}
        )
        if config.attention:
            self.within = nn.ModuleDict({name: DimensionAttention() for name in self.modalities})
            self.across = nn.ModuleDict({name: DimensionAttention() for name in self.modalities})
            self.norm = nn.LayerNorm(dim)
        self.activation = nn.PReLU()
        if config.meta_network:
            shape = len(widths) * dim, dim, config.rank
            self.meta = nn.ModuleDict(
                {side: MetaNetwork(*shape, config.train_meta) for side in ("user", "item")}
            )

    def embed(self) -> tuple[Tensor, Tensor]:
        content, own = self._by_side(self._propagate(dropout=False))
        return tuple(self._final(side, content[side], own[side]) for side in ("user", "item"))

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        content, own = self._by_side(self._propagate(dropout=True))
        items = torch.cat([positives, negatives])
        final_users = self._final("user", content["user"], own["user"], users)
        final_items = self._final("item", content["item"], own["item"], items)
        terms = {"bpr": ranking_loss(final_users, *final_items.chunk(2))}
        if self.config.contrast_weight and len(self.modalities) > 1:
            found = self._contrast(content["user"], users.unique()) + self._contrast(
                content["item"], items.unique()
            )
            terms["contrast"] = self.config.contrast_weight * found
        if self.config.difference_weight and len(self.modalities) > 1:
            found = self._difference(content["user"], users) + self._difference(
                content["item"], positives
            )
            terms["difference"] = self.config.difference_weight * found
        return terms

    def parts(self) -> dict[str, Tensor]:
        """Per modality "whole", the items' propagated representation: [n_items, d]."""
        content, _ = self._propagate(dropout=False)
        parts = content[self.n_users :].chunk(len(self.modalities), dim=1)
        return {f"{name}/whole": part for name, part in zip(self.modalities, parts, strict=True)}

    def _by_side(self, nodes: tuple[Tensor, ...]) -> list[dict[str, Tensor]]:
        sizes = [self.n_users, self.n_items]
        return [dict(zip(("user", "item"), part.split(sizes), strict=True)) for part in nodes]

    def _propagate(self, dropout: bool) -> tuple[Tensor, Tensor]:
        """(B6) to (B12): the nodes' modalities side by side [N, M d], and their own vectors [N, d]."""
        users = self._on_graph(
            self.user_graph, self.config.n_user_layers, self.users, self._user_content()
        )
        items = self._on_graph(
            self.item_graph, self.config.n_item_layers, self.items, self._item_content()
        )
        own_users, *of_users = users.chunk(1 + len(self.modalities), dim=1)
        own_items, *of_items = items.chunk(1 + len(self.modalities), dim=1)
        of_users = [self.activation(part) for part in of_users]
        of_items = (
            self._attend(of_items, dropout)
            if self.config.attention
            else [self.activation(x) for x in of_items]
        )
        nodes = [
            torch.cat(pair)
            for pair in zip([own_users, *of_users], [own_items, *of_items], strict=True)
        ]
        mean = mean_of_layers(self.graph, torch.cat(nodes, dim=1), self.config.n_layers)
        return mean[:, self.config.embed_dim :], mean[:, : self.config.embed_dim]

    def _on_graph(
        self, graph: SparseGraph, n_layers: int, own: Tensor, modalities: list[Tensor]
    ) -> Tensor:
        """(B7): the last layer alone, rows scaled to unit norm over all coordinates together. [n, (1 + M) d]"""
        x = torch.cat([own, *modalities], dim=1)
        for _ in range(n_layers):
            x = graph(x)
        return unit_rows(x)

    def _item_content(self) -> list[Tensor]:
        return [self.item_projections[name](self._features(name)) for name in self.modalities]

    def _user_content(self) -> list[Tensor]:
        """The users' interest, projected. The mean of projected features is the projected mean, so that users x width
        numbers are held only where they are trained."""
        if self.config.train_user_interest:
            return [
                self.user_projections[name](self.user_features[name]) for name in self.modalities
            ]
        layers = [self.user_projections[name] for name in self.modalities]
        projected = [
            F.linear(getattr(self, f"features_{n}"), x.weight)
            for n, x in zip(self.modalities, layers, strict=True)
        ]
        means = self.mean_of_items(torch.cat(projected, dim=1)).chunk(len(layers), dim=1)
        return [mean + layer.bias for mean, layer in zip(means, layers, strict=True)]

    def _attend(self, items: list[Tensor], dropout: bool) -> list[Tensor]:
        """(B9), (B10): each modality's coordinates attend to themselves, then are read by the next modality's."""
        rates = self.config.self_dropout, self.config.cross_dropout
        first = [
            self._refine(self.within[name], x, x, rates[0], dropout)
            for name, x in zip(self.modalities, items, strict=True)
        ]
        readers = first[1:] + first[:1]
        return [
            self._refine(self.across[name], reader, x, rates[1], dropout)
            for name, reader, x in zip(self.modalities, readers, first, strict=True)
        ]

    def _refine(
        self, attention: DimensionAttention, x: Tensor, y: Tensor, rate: float, dropout: bool
    ) -> Tensor:
        """φ(LN(y + Att(x, y))): the residual follows what is read."""
        if not dropout:
            rate = 1.0 if rate == 1 and self.config.dropped_attention == "skip" else 0.0
        return self.activation(self.norm(y + attention(x, y, rate, self.generator)))

    def _final(
        self, side: str, content: Tensor, own: Tensor, index: Tensor | None = None
    ) -> Tensor:
        """(B13), (B14) for the nodes `index` of one side, or all: [n, (M + 1) d]; without the meta-network [n, M d]."""
        own_rows = taken(own, index)
        parts = [
            self.activation(part) + own_rows
            for part in taken(content, index).chunk(len(self.modalities), dim=1)
        ]
        if self.config.meta_network:
            parts.append(self.activation(self.meta[side](content, own_rows, index)) + own_rows)
        return torch.cat(parts, dim=1)

    def _contrast(self, content: Tensor, nodes: Tensor) -> Tensor:
        """(B16) over distinct nodes: from the earlier modality of each pair to the later one."""
        if len(nodes) < 2:
            return content.sum() * 0
        views = [
            unit_rows(part) for part in rows(content, nodes).chunk(len(self.modalities), dim=1)
        ]
        return sum(solosim(a, b, self.config.temperature) for a, b in combinations(views, 2))

    def _difference(self, content: Tensor, nodes: Tensor) -> Tensor:
        """(B17) over the batch's rows, repeats kept."""
        parts = rows(content, nodes).chunk(len(self.modalities), dim=1)
        return sum(difference(a, b) for a, b in combinations(parts, 2))

    def _features(self, name: str) -> Tensor:
        return self.features[name] if name in self.features else getattr(self, f"features_{name}")


def _projection(width: int, dim: int) -> nn.Linear:
    layer = nn.Linear(width, dim)
    nn.init.xavier_normal_(layer.weight)
    return layer
