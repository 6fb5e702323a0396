"""Popularity: the most interacted items for everyone; the floor under every table."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seapkg.models.base import Recommender
from seapkg.models.registry import system
from seapkg.options import configuration


@configuration
class PopularityConfig:
    """Popularity has nothing to set."""


@system(
    "popularity",
    paper="Popularity",
    title="The most interacted items for everyone",
    year=0,
)
class Popularity(Recommender):
    """Ranks items by their number of training interactions; ties go to the lowest item. Nothing is trained."""

    config_class = PopularityConfig
    training_defaults = {"max_epochs": 0}

    def __init__(self, dataset, config: PopularityConfig = PopularityConfig()) -> None:
        super().__init__(dataset, config)
        counts = np.bincount(dataset.train[:, 1], minlength=dataset.n_items)
        order = np.argsort(-counts, kind="stable")
        ranks = np.empty(dataset.n_items, dtype=np.float32)
        ranks[order] = np.arange(dataset.n_items, dtype=np.float32)
        self.register_buffer("item_scores", torch.from_numpy(-ranks)[:, None])
        self.register_buffer("user_ones", torch.ones(dataset.n_users, 1))

    def embed(self) -> tuple[Tensor, Tensor]:
        return self.user_ones, self.item_scores
