"""Graphs from training pairs: the user-item graph and co-occurrence."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from seapkg.graph.sparse import SparseGraph, neighbour_indices


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
    indices = torch.cat([_edges(pairs, n_users), loops], dim=1)
    rows = indices[0]
    degrees = torch.bincount(rows).float()
    return SparseGraph(indices, 1 / degrees[rows], (n_nodes, n_nodes))


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
    block_rows: int = 4096,
    *,
    ties: Literal["lowest", "random"] = "lowest",
) -> SparseGraph:
    """Links each row to the `k` rows that share most columns with it (REARM B3).

    Weights are the softmax of the counts of shared columns. A row with fewer than k such neighbours
    repeats some of them, drawn with a fixed seed, before the softmax. A row with none gets the k
    rows with most pairs, weighted by the softmax of their shares of these pairs. Counts are sparse
    and computed in blocks of rows.

    Args:
        pairs: int64 [n, 2], row and column, each pair once.
        n_rows, n_columns: sizes.
        k: number of neighbours.
        block_rows: number of rows in a block.
        ties: which of equal counts to take, the "lowest" rows or a "random" choice.

    Returns:
        A graph [n_rows, n_rows].
    """
    k, generator = min(k, n_rows), torch.Generator().manual_seed(0)
    incidence = _incidence(pairs, n_rows, n_columns)
    degrees = np.bincount(pairs[:, 0], minlength=n_rows).astype(np.float32)
    most = np.argsort(-degrees, kind="stable")[:k]
    columns = np.tile(most, (n_rows, 1))
    scores = np.tile(degrees[most] / degrees[most].sum(), (n_rows, 1))
    for start in range(0, n_rows, block_rows):
        counts = incidence[start : start + block_rows] @ incidence.T
        rows, neighbours, shared = _most_shared(counts, start, k, ties, generator)
        columns[rows], scores[rows] = neighbours, shared
    indices = neighbour_indices(torch.from_numpy(columns))
    weights = torch.from_numpy(scores).softmax(dim=1)
    return SparseGraph(indices, weights.flatten(), (n_rows, n_rows))


def _most_shared(
    counts: csr_matrix, first_row: int, k: int, ties: str, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The columns of the `k` largest counts of each row that shares columns with another row.

    A row with fewer than k repeats some of them, drawn at random.

    Args:
        counts: [block, n_columns], rows from `first_row` on.
        first_row: number of the first row.
        k: number of columns.
        ties: as in `co_occurrence_graph`.
        generator: source of randomness.

    Returns:
        Numbers of these rows [n], their columns [n, k] and counts [n, k].
    """
    n, n_columns = counts.shape
    row, column, count = _other_rows(counts, first_row)
    n_neighbours = np.bincount(row, minlength=n)[:, None]
    drawn = torch.rand(n, k, generator=generator).numpy() * n_neighbours
    tie = column / n_columns  # in [0, 1), below a difference of counts
    if ties == "random":
        tie = torch.rand(len(row), generator=generator, dtype=torch.float64).numpy()
    order = _by_falling_count(row, count, tie)
    places = np.where(np.arange(k) < n_neighbours, np.arange(k), drawn.astype(np.int64))
    starts = n_neighbours.cumsum(axis=0) - n_neighbours
    rows = n_neighbours[:, 0].nonzero()[0]
    best = order[(starts + places)[rows]]  # [n, k]
    return rows + first_row, column[best], count[best]


def co_occurrence_lists(
    pairs: Tensor, n_rows: int, n_columns: int, k: int, block_entries: int = 1 << 22
) -> tuple[Tensor, Tensor]:
    """The `k` rows that share most columns with each row, ties to the lowest (DualGNN).

    Counts are sparse and computed in blocks of rows, so memory grows with `block_entries` and with
    n_rows k, not with the square of n_rows.

    Args:
        pairs: int64 [n, 2], row and column, each pair once.
        n_rows, n_columns: sizes.
        k: length of a list.
        block_entries: bound on the number of counts in a block, but for one row more.

    Returns:
        Neighbours int64 [n_rows, k] and the numbers of shared columns, float [n_rows, k]. Where
        fewer rows share a column, the rest of the list has the neighbour 0 and the count -∞.
    """
    incidence = _incidence(pairs, n_rows, n_columns)
    neighbours = np.zeros((n_rows, k), dtype=np.int64)
    shared = np.full((n_rows, k), -np.inf, dtype=np.float32)
    # A row shares a column with at most as many rows as its columns have pairs.
    bounds = np.minimum(incidence @ incidence.sum(axis=0).A1, n_rows)
    blocks = bounds.cumsum(dtype=np.float64) // block_entries
    ends = [*np.flatnonzero(np.diff(blocks)) + 1, n_rows]
    for start, stop in zip([0, *ends], ends, strict=False):
        row, column, count = _other_rows(incidence[start:stop] @ incidence.T, start)
        order = _by_falling_count(row, count, column / n_rows)
        row, column, count = row[order], column[order], count[order]
        n_neighbours = np.bincount(row, minlength=stop - start)
        place = np.arange(len(row)) - (n_neighbours.cumsum() - n_neighbours)[row]
        best = place < k
        neighbours[start + row[best], place[best]] = column[best]
        shared[start + row[best], place[best]] = count[best]
    return torch.from_numpy(neighbours), torch.from_numpy(shared)


def _incidence(pairs: Tensor, n_rows: int, n_columns: int) -> csr_matrix:
    """A 1 at the row and column of each pair. `pairs`: int64 [n, 2]."""
    entries = np.ones(len(pairs), dtype=np.float32), pairs.T.numpy()
    return csr_matrix(entries, shape=(n_rows, n_columns))


def _other_rows(counts: csr_matrix, first_row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and value of the entries of `counts`, without a row's count with itself.

    Args:
        counts: [block, n_columns], rows from `first_row` on.
        first_row: number of the first row.
    """
    entries = counts.tocoo()
    others = entries.row + first_row != entries.col
    return entries.row[others], entries.col[others], entries.data[others]


def _by_falling_count(row: np.ndarray, count: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """The order by row, then falling count, then rising `tie` in [0, 1). All are [n_entries]."""
    return np.argsort(row * (count.max(initial=0) + 1.0) - count + tie)
