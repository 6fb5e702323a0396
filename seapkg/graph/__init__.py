"""Graphs: users and items by training pairs, items and items by similarity.

A graph is a `SparseGraph`: a fixed sparse matrix that multiplies dense ones, `graph(x)`, whose
backward pass multiplies by the transpose. It is a module without parameters, so it moves to a
device with its model.
"""

from seapkg.graph.interactions import (
    co_occurrence_graph,
    co_occurrence_lists,
    edge_weights,
    keep_edges,
    mean_graph,
    normalised_adjacency,
    row_normalised_adjacency,
)
from seapkg.graph.neighbours import (
    ItemGraphs,
    edge_cosines,
    initial_shares,
    item_edges,
    item_graph,
    nearest_edges,
    nearest_means,
    neighbour_graph,
    similarity_graph,
)
from seapkg.graph.sparse import SparseGraph, mean_of_layers, sum_of_layers, weighted_sum

__all__ = [
    "ItemGraphs",
    "SparseGraph",
    "co_occurrence_graph",
    "co_occurrence_lists",
    "edge_cosines",
    "edge_weights",
    "initial_shares",
    "item_edges",
    "item_graph",
    "keep_edges",
    "mean_graph",
    "mean_of_layers",
    "nearest_edges",
    "nearest_means",
    "neighbour_graph",
    "normalised_adjacency",
    "row_normalised_adjacency",
    "similarity_graph",
    "sum_of_layers",
    "weighted_sum",
]
