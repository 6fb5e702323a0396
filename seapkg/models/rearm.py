"""REARM (ACM MM 2025).

"Refining Contrastive Learning and Homography Relations for Multi-Modal Recommendation".

Two formulations: "clean", and "released" as in the authors' code. Where that code is questionable,
each point is an option whose default depends on the formulation. PRESETS has the model card's
settings for each dataset.
"""

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import mean_graph, mean_of_layers
from seapkg.kernels.blocked_softmax import solosim
from seapkg.kernels.keep_mask import HIGHEST_RATE
from seapkg.losses import difference
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    propagate,
    ranking_loss,
    training_graph,
    training_pairs,
    unit_rows,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.rearm_parts import DimensionAttention, MetaNetwork, enhanced_graph, taken
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
#: The model card's settings. `weight_decay` is an option of the training.
PRESETS = {
    "baby": {
        "n_layers": 4, "rank": 3, "self_dropout": 0.4, "cross_dropout": 0.6,
        "user_image_weight": 0.2, "item_image_weight": 0.0, "user_co_weight": 0.4,
        "item_co_weight": 0.2, "user_neighbours": 40, "item_neighbours": 10, "n_user_layers": 1,
        "n_item_layers": 1, "temperature": 0.6, "contrast_weight": 5e-6, "difference_weight": 5e-5,
    },
    "sports": {
        "n_layers": 5, "rank": 7, "self_dropout": 1.0, "cross_dropout": 0.2,
        "user_image_weight": 0.0, "item_image_weight": 0.2, "user_co_weight": 0.9,
        "item_co_weight": 0.2, "user_neighbours": 25, "item_neighbours": 5, "n_user_layers": 2,
        "n_item_layers": 2, "temperature": 1.5, "contrast_weight": 1e-3, "difference_weight": 5e-4,
    },
    "clothing": {
        "n_layers": 4, "rank": 3, "self_dropout": 0.4, "cross_dropout": 0.1,
        "user_image_weight": 0.1, "item_image_weight": 0.1, "user_co_weight": 0.7,
        "item_co_weight": 0.1, "user_neighbours": 45, "item_neighbours": 10, "n_user_layers": 1,
        "n_item_layers": 1, "temperature": 0.03, "contrast_weight": 1e-6, "difference_weight": 1e-5,
    },
}  # fmt: skip
WEIGHT_DECAY = {"baby": 5e-4, "sports": 0.05, "clothing": 1e-5}


@configuration
class REARMConfig:
    """Options of REARM; those that default to None follow the preset or the formulation."""

    formulation: Literal["clean", "released"] = option(
        "clean", "Correct the published code (clean), or reproduce it (released)."
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
    co_occurrence_ties: Literal["lowest", "random"] = option(
        "lowest",
        "Equal co-occurrence counts: the lowest ids, or a random choice from a fixed seed.",
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

    def __post_init__(self):
        resolve(self, PRESETS[self.preset] | FORMULATIONS[self.formulation])
        for name in ("self_dropout", "cross_dropout"):
            rate = getattr(self, name)
            if HIGHEST_RATE < rate < 1:
                raise RequestError(
                    f"option {name} must be at most 255/256, or 1 to drop all; it is {rate}"
                )


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
    """Homography graphs, attention among coordinates and a meta-network on the user-item graph.

    Users and items first propagate on the user graph and the item graph. With more than two
    modalities, each is queried by the next one, the last by the first. [a ‖ b] is side by side,
    φ a PReLU, LN a layer norm; numbers are those of docs/equations.md.

    Equations:
        G = β C + (1 - β) K, co-occurrence and feature similarity    (B2-B4)
        [o ‖ z_v ‖ z_t] = unit rows of G^n [E ‖ F_v ‖ F_t]           (B6, B7)
        h_m = φ(LN(z_m + Att(z_m, z_m))), items only                 (B8, B9)
        c_m = φ(LN(h_m + Att(h_m', h_m))), items only                (B10)
        M, O = mean over layers l of Â^l [φ(z_u) ; c_i], Â^l o       (B11, B12)
        g = T̃ᵀ R̃ᵀ O, factors from the meta-network of M              (B13)
        e = [φ(M_v) + O ‖ φ(M_t) + O ‖ φ(g) + O]                     (B14)
        L = L_BPR + λ_cl L_contrast + λ_df L_difference              (B15-B18)

    Differences from the published code, in both formulations:
        * kNN graphs: ties go to the lowest id and each item is its own first neighbour; the
          published code keeps the order of top-k. Given item graphs (`baby`, `sports`) replace
          those of the features.
        * Co-occurrence: ties at the k-th place go to the lowest id, which makes low ids hubs (on
          Baby 99 % of users have such a tie). `co_occurrence_ties` = "random" draws among them.
        * Co-occurrence lists are not first truncated at 200 nodes.
        * A node without co-occurrence gets the nodes with most training pairs; the published
          counts of users include held-out pairs.
        * An attention with dropout 1 has no gradient and does not change; in the published
          code weight decay shrinks it.
        * The output bias of the attention is left out, as the layer norm removes it.
        * Early stopping compares unrounded metrics; published ones have four digits.

    Differences of the "clean" formulation:
        * `train_meta`: the meta-network's first layer is trained; published, it is detached.
        * `train_user_interest`: users' interests stay the mean of their items' features;
          published, they are n_users x width parameters.
        * `dropped_attention`: an attention with dropout 1 stays off at evaluation; published, its
          untrained weights attend.
        * Negatives may be held-out items; the published sampler never draws these, which is a leak.
    """

    config_class = REARMConfig
    training_defaults = {"learning_rate": 5e-5, "weight_decay": WEIGHT_DECAY["baby"]}
    needs_features = True

    @classmethod
    def training_options(cls, config: REARMConfig) -> dict:
        options = {**cls.training_defaults, "weight_decay": WEIGHT_DECAY[config.preset]}
        if config.formulation == "released":
            options["negatives"] = "never_held_out"
        return options

    def __init__(self, dataset: Dataset, config: REARMConfig) -> None:
        super().__init__(dataset, config)
        self.modalities, dim = dataset.modalities, config.embed_dim
        self.users = nn.Parameter(0.1 * torch.randn(self.n_users, dim))
        self.items = nn.Parameter(0.1 * torch.randn(self.n_items, dim))
        self.graph = training_graph(dataset)
        self.mean_of_items = mean_graph(training_pairs(dataset), self.n_users, self.n_items)
        self.user_graph = enhanced_graph("user", dataset, config, self.mean_of_items)
        self.item_graph = enhanced_graph("item", dataset, config, self.mean_of_items)
        fixed = FeatureTables(dataset)
        self.features = FeatureTables(dataset, trained=True) if config.train_features else fixed
        self.raw_features = None if config.train_user_interest else fixed
        self.user_features = nn.ParameterDict()
        if config.train_user_interest:
            for name in self.modalities:
                self.user_features[name] = nn.Parameter(self.mean_of_items(fixed[name]))
        self.item_projections = _projections(fixed, dim)
        self.user_projections = _projections(fixed, dim)
        if config.attention:
            self.within = nn.ModuleDict({name: DimensionAttention() for name in self.modalities})
            self.across = nn.ModuleDict({name: DimensionAttention() for name in self.modalities})
            self.norm = nn.LayerNorm(dim)
        self.activation = nn.PReLU()
        if config.meta_network:
            self.meta = nn.ModuleDict()
            for side in ("user", "item"):
                width = len(self.modalities) * dim
                self.meta[side] = MetaNetwork(width, dim, config.rank, config.train_meta)

    def embed(self) -> UsersAndItems:
        users, items = self._propagate(dropout=False)
        return self._final("user", *users), self._final("item", *items)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """B18. Arguments: int64 [batch]."""
        config = self.config
        of_users, of_items = self._propagate(dropout=True)
        items = torch.cat([positives, negatives])
        final_users = self._final("user", *of_users, users)
        final_items = self._final("item", *of_items, items)
        terms = {"bpr": ranking_loss(final_users, *final_items.chunk(2))}
        (_, user_content), (_, item_content) = of_users, of_items
        several = len(self.modalities) > 1
        if config.contrast_weight and several:
            contrast = self._contrast(user_content, users) + self._contrast(item_content, items)
            terms["contrast"] = config.contrast_weight * contrast
        if config.difference_weight and several:
            correlation = self._difference(user_content, users)
            correlation = correlation + self._difference(item_content, positives)
            terms["difference"] = config.difference_weight * correlation
        return terms

    def parts(self) -> NamedTensors:
        """Per modality "whole", the propagated representation of the items: [n_items, d]."""
        _, (_, content) = self._propagate(dropout=False)
        parts = zip(self.modalities, self._by_modality(content), strict=True)
        return {f"{name}/whole": part for name, part in parts}

    def _propagate(self, dropout):
        """B6-B12. For users and for items: ids O [n, d], and content M [n, M d], side by side."""
        config, dim = self.config, self.config.embed_dim
        projected = (layer(self.features[name]) for name, layer in self.item_projections.items())
        users = [self.users, *self._user_content()]  # B6, [n, d] each
        items = [self.items, *projected]
        user_ids, *users = _on_graph(self.user_graph, config.n_user_layers, users)
        item_ids, *items = _on_graph(self.item_graph, config.n_item_layers, items)
        users = [self.activation(part) for part in users]
        if config.attention:
            items = self._attend(self.within, items, items, config.self_dropout, dropout)
            readers = items[1:] + items[:1]
            items = self._attend(self.across, readers, items, config.cross_dropout, dropout)
        else:
            items = [self.activation(part) for part in items]
        pairs = zip([user_ids, *users], [item_ids, *items], strict=True)
        nodes = torch.cat([torch.cat(pair) for pair in pairs], dim=1)  # [N, (1 + M) d]
        nodes = mean_of_layers(self.graph, nodes, config.n_layers)
        widths = [dim, nodes.shape[1] - dim]
        return [side.split(widths, dim=1) for side in nodes.split([self.n_users, self.n_items])]

    def _user_content(self):
        """B1, B6 for users: projected interests, [n_users, d] each.

        Unless they are trained, the projected mean is computed as the mean of projected features,
        which holds no n_users x width numbers.
        """
        layers = self.user_projections
        if self.config.train_user_interest:
            return [layer(self.user_features[name]) for name, layer in layers.items()]
        raw = self.raw_features
        projected = [F.linear(raw[name], layer.weight) for name, layer in layers.items()]
        means = self._by_modality(self.mean_of_items(torch.cat(projected, dim=1)))
        return [mean + layer.bias for mean, layer in zip(means, layers.values(), strict=True)]

    def _attend(self, attentions, readers, items, rate, dropout):
        """B9, B10 by modality: φ(LN(y + Att(x, y))), with a residual from y. `x`, `y`: [n, d]."""
        if not dropout:
            rate = 1.0 if rate == 1 and self.config.dropped_attention == "skip" else 0.0
        attended = []
        for attention, x, y in zip(attentions.values(), readers, items, strict=True):
            residual = y + attention(x, y, rate, self.generator)
            attended.append(self.activation(self.norm(residual)))
        return attended

    def _final(self, side, ids, content, index=None):
        """B13, B14 for the nodes `index` of one side, or all: [n, (M + 1) d]."""
        ids = taken(ids, index)
        modalities = self._by_modality(taken(content, index))
        parts = [self.activation(part) + ids for part in modalities]
        if self.config.meta_network:
            parts.append(self.activation(self.meta[side](content, ids, index)) + ids)
        return torch.cat(parts, dim=1)

    def _contrast(self, content, nodes):
        """B16 over distinct `nodes` [n]: the earlier modality of each pair gives the rows."""
        parts = self._by_modality(rows(content, nodes.unique()))
        views = [unit_rows(part) for part in parts]
        return sum(solosim(a, b, self.config.temperature) for a, b in combinations(views, 2))

    def _difference(self, content, nodes):
        """B17 over the batch's `nodes` [batch], repeats included."""
        parts = self._by_modality(rows(content, nodes))
        return sum(difference(a, b) for a, b in combinations(parts, 2))

    def _by_modality(self, content):
        """[n, M d] as M tensors [n, d]."""
        return list(content.chunk(len(self.modalities), dim=1))


def _on_graph(graph, n_layers, parts):
    """B7: the last layer alone, rows of unit norm over all parts [n, d] together."""
    x = propagate(graph, torch.cat(parts, dim=1), n_layers)
    return unit_rows(x).chunk(len(parts), dim=1)


def _projections(features, dim):
    layers = nn.ModuleDict()
    for name, width in features.widths_by_name.items():
        layers[name] = nn.Linear(width, dim)
        nn.init.xavier_normal_(layers[name].weight)
    return layers
