"""LightGCN (He et al., 2020, arXiv:2002.02126): linear propagation on the user-item graph, layers averaged."""

from __future__ import annotations

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
from seapkg.options import configuration, option


@configuration
class LightGCNConfig:
    """Options of LightGCN."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0, search=[1, 2, 3, 4])
    regularisation: float = option(
        1e-4,
        "Weight of the norms of the batch's layer-0 embeddings.",
        ge=0,
        search=[1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
    )


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
