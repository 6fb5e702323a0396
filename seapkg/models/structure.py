"""What LATTICE, MICRO and MGCN share: graphs of items with similar features, given or learned."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import SparseGraph, item_graph, row_normalised_adjacency
from seapkg.graph.learned import MixedGraph
from seapkg.models.base import (
    Recommender,
    UsersAndItems,
    embedding_table,
    propagate_mean,
    training_pairs,
)
from seapkg.models.features import FeatureTables
from seapkg.options import configuration, option


@configuration
class ItemGraphConfig:
    """Options of systems with a graph of items for each modality."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    n_item_layers: int = option(1, "Layers on the item graphs.", ge=0)
    n_neighbours: int = option(10, "Neighbours of an item in the item graphs.", ge=1)
    train_features: bool = option(True, "Train the features themselves, as published.")
    learning_rate_decay: float = option(
        0.96, "Factor on the learning rate in 50 epochs.", gt=0, le=1
    )


class ItemGraphRecommender(Recommender):
    """A recommender with a graph of items for each modality.

    Attributes:
        users, items: embeddings [n_users, d] and [n_items, d].
        features: the features, trained or fixed.
        feature_graphs: modality -> the graph of the raw features.
    """

    needs_features = True

    def __init__(self, dataset: Dataset, config: Any) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        self.features = FeatureTables(dataset, trained=config.train_features)
        self.feature_graphs = nn.ModuleDict()
        for name in dataset.modalities:
            graph = item_graph(dataset, name, config.n_neighbours, weighted=True)
            self.feature_graphs[name] = graph

    def learning_rate(self, base: float, epoch: int) -> float:
        return base * self.config.learning_rate_decay ** (epoch / 50)


@configuration
class StructureConfig(ItemGraphConfig):
    """Options of systems that learn item graphs."""

    feature_graph_share: float = option(
        0.9,
        "Share of the raw features' graph; the rest is the graph of the projected features.",
        ge=0,
        le=1,
    )


class StructureLearner(ItemGraphRecommender):
    """A recommender whose item graphs are learned in the first batch of each epoch.

    Later batches use the graphs of the first one as constants.

    Attributes:
        projections: modality -> linear layer.
        graph: D^-1 (A + I) of users and items.
    """

    def __init__(self, dataset: Dataset, config: Any, projection_width: int) -> None:
        super().__init__(dataset, config)
        self.projections = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            self.projections[name] = nn.Linear(width, projection_width)
        pairs = training_pairs(dataset)
        self.graph = row_normalised_adjacency(pairs, dataset.n_users, dataset.n_items)
        self._epoch_graphs: dict[str, SparseGraph] = {}

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Lets the first batch of the epoch learn the graphs again."""
        super().begin_epoch(generator, epoch)
        self._epoch_graphs = {}

    def _learn_graphs(self) -> dict[str, MixedGraph]:
        """The item graphs of the current parameters by name, with a gradient."""
        raise NotImplementedError

    def _batch_graphs(self):
        """The item graphs of a batch by name; an epoch's first batch gives them a gradient."""
        if self._epoch_graphs:
            return self._epoch_graphs
        graphs = self._learn_graphs()
        self._epoch_graphs = {name: graph.settled() for name, graph in graphs.items()}
        return graphs

    def _current_graphs(self):
        """The item graphs of the current parameters by name, without a gradient."""
        with torch.no_grad():
            return {name: graph.settled() for name, graph in self._learn_graphs().items()}

    def _projected(self):
        """Each modality's projected features [n_items, projection_width]."""
        return {name: project(self.features[name]) for name, project in self.projections.items()}

    def _nodes(self, content: Tensor) -> UsersAndItems:
        """Users and items on the user-item graph; items add their unit `content` [n_items, d]."""
        n_layers = self.config.n_layers
        users, items = propagate_mean(self.graph, self.users, self.items, n_layers)
        return users, items + F.normalize(content, dim=1)
