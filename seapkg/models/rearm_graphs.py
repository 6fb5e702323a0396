"""REARM's enhanced graphs: who is like whom by features, and who occurs with whom (spec B.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seapkg.errors import RequestError
from seapkg.graph import (
    SparseGraph,
    co_occurrence_graph,
    initial_shares,
    item_edges,
    nearest_means,
    similarity_graph,
    weighted_sum,
)
from seapkg.models.base import feature_table


def enhanced_user_graph(dataset, pairs: Tensor, mean_of_items: SparseGraph, config) -> SparseGraph:
    """(B2) to (B4) for users, whose features are the mean of their items'."""
    k, n = _neighbours("user_neighbours", config.user_neighbours, dataset.n_users), dataset.n_users

    def edges(name: str):
        return nearest_means(feature_table(dataset, name), mean_of_items, k)

    like = _feature_graph(dataset.modalities, config.user_image_weight, edges, n)
    return _mixed(
        config.user_co_weight, lambda: co_occurrence_graph(pairs, n, dataset.n_items, k), like
    )


def enhanced_item_graph(dataset, pairs: Tensor, config) -> SparseGraph:
    """(B2) to (B4) for items; the given item graphs are used where there are any."""
    k, n = _neighbours("item_neighbours", config.item_neighbours, dataset.n_items), dataset.n_items

    def edges(name: str):
        return item_edges(dataset, name, k)

    like = _feature_graph(dataset.modalities, config.item_image_weight, edges, n)
    return _mixed(
        config.item_co_weight,
        lambda: co_occurrence_graph(pairs.flip(1), n, dataset.n_users, k),
        like,
    )


def _feature_graph(modalities, image_weight: float, edges, n: int) -> Callable[[], SparseGraph]:
    """What builds the modalities' similarity graphs, mixed; those without a share are never built."""
    shares = dict(zip(modalities, initial_shares(modalities, image_weight), strict=True))
    shares = {name: share for name, share in shares.items() if share > 0}

    def build() -> SparseGraph:
        graphs = [similarity_graph(*edges(name), (n, n)) for name in shares]
        return weighted_sum(graphs, torch.stack(list(shares.values())))

    return build


def _mixed(
    co_weight: float, co_occurrence: Callable[[], SparseGraph], likeness: Callable[[], SparseGraph]
):
    """(B4): β times the one and 1 - β times the other; what has no share is not built."""
    if co_weight in (0, 1):
        return likeness() if co_weight == 0 else co_occurrence()
    return weighted_sum([co_occurrence(), likeness()], torch.tensor([co_weight, 1 - co_weight]))


def _neighbours(option: str, k: int, n: int) -> int:
    if k > n:
        raise RequestError(f"{option} must be at most the number of nodes, {n}; it is {k}")
    return k
