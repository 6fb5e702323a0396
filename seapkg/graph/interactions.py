"""Graphs from training pairs: the user-item graph and co-occurrence."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from seapkg.graph.sparse import SparseGraph, neighbour_indices

#: Most entries of a sparse product that are computed at once, unless a single row may have more.
BLOCK_ENTRIES = 1 << 22


def edge_weights(pairs: Tensor, n_users: int, n_items: int) -> Tensor:
    """1 / sqrt(d_u d_i) of each pair (SEA Eq. 6). `pairs`: int64 [n, 2]. Returns float [n]."""
    users, items = pairs.T
    return _inverse_root_degrees(users, n_users) * _inverse_root_degrees(items, n_items)


def inverse_root(degrees: Tensor) -> Tensor:
    """`degrees` [n] to the power -1/2; 0 where the degree is 0, so that such rows stay empty."""
    return degrees.pow(-0.5).masked_fill(degrees == 0, 0.0)


def _inverse_root_degrees(nodes: Tensor, n_nodes: int) -> Tensor:
    """degree^(-1/2) of each of `nodes`, int64 [n], by their number in the list: float [n]."""
    return inverse_root(torch.bincount(nodes, minlength=n_nodes).float())[nodes]


def _edges(pairs: Tensor, n_users: int) -> Tensor:
    """`pairs` [n, 2] as edges among users, then items, in both directions: int64 [2, 2 n]."""
    users, items = pairs.T
    nodes = torch.stack([users, items + n_users])
    return torch.cat([nodes, nodes.flip(0)], dim=1)


def normalised_adjacency(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """The symmetric-normalised graph of users, then items, without self loops (SEA Eq. 6).

    Nodes without a pair have an empty row. MMRec adds 1e-7 to each degree for the same purpose.

    Args:
        pairs: int64 [n, 2], user and item of each training pair.
        n_users, n_items: sizes.

    Returns:
        A graph [n_users + n_items, n_users + n_items].
    """
    n_nodes = n_users + n_items
    weights = edge_weights(pairs, n_users, n_items).repeat(2)
    return SparseGraph(_edges(pairs, n_users), weights, (n_nodes, n_nodes), symmetric=True)


def row_normalised_adjacency(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """D^-1 (A + I) on users, then items: each node averages itself and its neighbours (MICRO).

    Args:
        pairs: int64 [n, 2], user and item of each training pair.
        n_users, n_items: sizes.

    Returns:
        A graph [n_users + n_items, n_users + n_items].
    """
    n_nodes = n_users + n_items
    loops = torch.arange(n_nodes, device=pairs.device).expand(2, -1)
    edges = torch.cat([_edges(pairs, n_users), loops], dim=1)
    return mean_graph(edges.T, n_nodes, n_nodes)


def mean_graph(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """D^-1 A: each user averages its items (REARM B1). A user without an item has an empty row.

    Args:
        pairs: int64 [n, 2], user and item of each training pair.
        n_users, n_items: sizes.

    Returns:
        A graph [n_users, n_items].
    """
    users = pairs[:, 0]
    counts = torch.bincount(users).float()
    return SparseGraph(pairs.T, 1 / counts[users], (n_users, n_items))


def keep_edges(
    pairs: Tensor, n_users: int, n_items: int, keep: int, generator: torch.Generator
) -> Tensor:
    """Degree-sensitive edge dropout (FREEDOM): draws pairs by weight 1 / sqrt(d_u d_i).

    The `keep` smallest of Exp(1) / weight have the same distribution as drawing one pair after
    another.

    Args:
        pairs: int64 [n, 2].
        n_users, n_items: sizes.
        keep: number of pairs to keep.
        generator: source of randomness.

    Returns:
        The kept pairs [keep, 2] in their original order.
    """
    weights = edge_weights(pairs, n_users, n_items)
    times = torch.empty_like(weights).exponential_(generator=generator) / weights
    return pairs[times.topk(keep, largest=False, sorted=False).indices.sort().values]


def co_occurrence_graph(
    pairs: Tensor,
    n_rows: int,
    n_columns: int,
    k: int,
    *,
    ties: Literal["lowest", "random"] = "lowest",
) -> SparseGraph:
    """Links each row to the `k` rows that share most columns with it (REARM B3).

    Weights are the softmax of the counts of shared columns. A row with fewer than k such neighbours
    repeats some of them, drawn with a fixed seed, before the softmax. A row with none gets the k
    rows with most pairs, weighted by the softmax of their shares of these pairs.

    Args:
        pairs: int64 [n, 2], row and column, each pair once.
        n_rows, n_columns: sizes.
        k: number of neighbours.
        ties: which of equal counts to take, the "lowest" rows or a "random" choice.

    Returns:
        A graph [n_rows, n_rows].
    """
    k, generator = min(k, n_rows), torch.Generator().manual_seed(0)
    drawn = torch.rand(n_rows, k, generator=generator).double()
    draws_ties = generator if ties == "random" else None
    neighbours, counts = co_occurrence_lists(pairs, n_rows, n_columns, k, ties=draws_ties)
    n_neighbours = counts.isfinite().sum(dim=1, keepdim=True)
    slots = torch.arange(k).expand(n_rows, k)
    slots = torch.where(slots < n_neighbours, slots, (drawn * n_neighbours).long())
    neighbours, counts = neighbours.gather(1, slots), counts.gather(1, slots)
    is_alone = n_neighbours[:, 0] == 0
    degrees = torch.bincount(pairs[:, 0], minlength=n_rows).float()
    most = degrees.argsort(descending=True, stable=True)[:k]
    neighbours[is_alone], counts[is_alone] = most, degrees[most] / degrees[most].sum()
    weights = counts.softmax(dim=1).flatten()
    return SparseGraph(neighbour_indices(neighbours), weights, (n_rows, n_rows))


def co_occurrence_lists(
    pairs: Tensor,
    n_rows: int,
    n_columns: int,
    k: int,
    *,
    ties: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """The `k` rows that share most columns with each row (DualGNN).

    Memory grows with n_rows k, not with the square of n_rows.

    Args:
        pairs: int64 [n, 2], row and column, each pair once.
        n_rows, n_columns: sizes.
        k: length of a list.
        ties: draws among equal counts; by default they go to the lowest rows.

    Returns:
        Neighbours int64 [n_rows, k] and the numbers of shared columns, float [n_rows, k]. Where
        fewer rows share a column, the rest of the list has the neighbour 0 and the count -∞.
    """
    ones = np.ones(len(pairs), dtype=np.float32)
    incidence = csr_array((ones, tuple(pairs.T.numpy())), shape=(n_rows, n_columns))
    neighbours = torch.zeros(n_rows, k, dtype=torch.int64)
    shared = torch.full((n_rows, k), -torch.inf)
    for rows, columns, counts in common_entries(incidence):
        order = columns
        if ties is not None:
            order = torch.rand(len(rows), generator=ties, dtype=torch.float64).numpy()
        best, places = largest(rows, counts, order, k)
        slots = rows[best], places
        neighbours[slots] = torch.from_numpy(columns[best]).long()
        shared[slots] = torch.from_numpy(counts[best])
    return neighbours, shared


def common_entries(matrix: csr_array) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The entries of M Mᵀ off the diagonal, in blocks of rows.

    Args:
        matrix: M [n_rows, n_columns], sparse.

    Yields:
        Rows, columns and values of the entries of a block, row by row.
    """
    n_rows, transpose = matrix.shape[0], matrix.T.tocsr()
    # A row has at most as many entries as its columns have in M.
    rows, columns = matrix.nonzero()
    bounds = np.bincount(rows, np.diff(transpose.indptr)[columns], minlength=n_rows)
    blocks = bounds.clip(max=n_rows).cumsum() // BLOCK_ENTRIES
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], n_rows], strict=True):
        block = (matrix[start:stop] @ transpose).tocoo()
        rows = block.row + start
        is_other = rows != block.col
        yield rows[is_other], block.col[is_other], block.data[is_other]


def largest(
    rows: np.ndarray, values: np.ndarray, ties: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` largest values of each row, those of lowest `ties` among equal ones.

    Args:
        rows, values, ties: [n_entries].
        k: number of values.

    Returns:
        Their indices, row by row, and the place of each in its row, from 0.
    """
    order = np.lexsort([ties, -values, rows])
    rows = rows[order]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    is_best = places < k
    return order[is_best], places[is_best]
