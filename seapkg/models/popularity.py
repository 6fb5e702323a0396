"""Popularity: the same ranking for every user, by the number of training interactions."""

import numpy as np
import torch

from seapkg.data.dataset import Dataset
from seapkg.models.base import Recommender, UsersAndItems
from seapkg.models.registry import system
from seapkg.options import configuration


@configuration
class PopularityConfig:
    """Popularity has no options."""


@system(
    "popularity",
    paper="Popularity",
    title="The most interacted items for everyone",
    year=0,
    colour="black",
    marker="X",
)
class Popularity(Recommender):
    """Ranks items by their number of training interactions, without any training.

    Equations:
        y_ui = |{v : (v, i) in training}| for every user u; ties go to the item of the lowest id.

    Differences from the published code:
        - None: popularity has no published code.
    """

    config_class = PopularityConfig
    training_defaults = {"max_epochs": 0}

    def __init__(self, dataset: Dataset, config: PopularityConfig) -> None:
        super().__init__(dataset, config)
        counts = np.bincount(dataset.train[:, 1], minlength=dataset.n_items)
        best_first = np.argsort(-counts, kind="stable")
        scores = np.empty(dataset.n_items, dtype=np.float32)
        scores[best_first] = -np.arange(dataset.n_items)
        self.register_buffer("item_scores", torch.from_numpy(scores)[:, None])  # [n_items, 1]
        self.register_buffer("user_ones", torch.ones(dataset.n_users, 1))

    def embed(self) -> UsersAndItems:
        """Users, all 1, and items, minus their rank: [n_users, 1] and [n_items, 1]."""
        return self.user_ones, self.item_scores
