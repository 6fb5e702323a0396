"""LightGCN (He et al., 2020, arXiv:2002.02126): linear propagation on the user-item graph, layers averaged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seapkg.graph import mean_of_layers
from seapkg.losses import embedding_norm
from seapkg.models.base import (
    Recommender,
    batch_rows,
    embedding_table,
    ranking_loss,
    training_graph,
)
from seapkg.models.registry import system
from seapkg.old_options import check_numbers


@dataclass(frozen=True)
class LightGCNConfig:
    """`regularisation` weighs `embedding_norm` of the layer-0 batch rows (MMRec's grid: 1e-2 ... 1e-6)."""

    embed_dim: int = 64
    n_layers: int = 2
    regularisation: float = 1e-4

    def __post_init__(self) -> None:
        check_numbers(self)


@system(
    "lightgcn",
    paper="LightGCN",
    title="LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation",
    year=2020,
    source="arXiv:2002.02126",
)
class LightGCN(Recommender):
    """Final representation: 1/(L+1) Σ_l Â^l [E_u; E_i] (spec D.2)."""

    config_class = LightGCNConfig

    def __init__(self, dataset, config: LightGCNConfig = LightGCNConfig()) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        self.graph = training_graph(dataset)

    def embed(self) -> tuple[Tensor, Tensor]:
        final = mean_of_layers(
            self.graph, torch.cat([self.users, self.items]), self.config.n_layers
        )  # [N, d]
        return final.split([self.n_users, self.n_items])

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        layer_0 = batch_rows(self.users, self.items, users, positives, negatives)
        return {
            "bpr": ranking_loss(*batch_rows(*self.embed(), users, positives, negatives)),
            "regularisation": self.config.regularisation * embedding_norm(*layer_0),
        }
