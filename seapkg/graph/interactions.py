"""Graphs of who met what: users and items by their training pairs, and who shares how many with whom."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from seapkg.graph.sparse import SparseGraph


def interaction_degrees(pairs: Tensor, n_users: int, n_items: int) -> tuple[Tensor, Tensor]:
    """How many pairs each user and each item stands in. `pairs`: int64 [n, 2]. Returns float [n_users], [n_items]."""
    users = torch.bincount(pairs[:, 0], minlength=n_users).float()
    items = torch.bincount(pairs[:, 1], minlength=n_items).float()
    return users, items


def edge_weights(pairs: Tensor, n_users: int, n_items: int) -> Tensor:
    """1 / sqrt(d_u d_i) for each pair, degrees counted in `pairs` (SEA Eq. 6). Returns float [n]."""
    users, items = interaction_degrees(pairs, n_users, n_items)
    return inverse_root(users)[pairs[:, 0]] * inverse_root(items)[pairs[:, 1]]


def inverse_root(degrees: Tensor) -> Tensor:
    """Degrees to the power -1/2; 0 where the degree is 0, so that such rows stay empty."""
    return degrees.pow(-0.5).masked_fill(degrees == 0, 0.0)


def normalised_adjacency(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """The symmetric-normalised bipartite graph on users, then items; no self loops (SEA Eq. 6, spec C.6).

    `pairs`: int64 [n, 2], user and item of each training interaction. Nodes without an interaction have an empty
    row (MMRec adds 1e-7 to every degree to the same end; the weights agree to float32 precision).
    """
    weights = edge_weights(pairs, n_users, n_items)
    users, items = pairs[:, 0], pairs[:, 1] + n_users
    n_nodes = n_users + n_items
    rows, columns = torch.cat([users, items]), torch.cat([items, users])
    return SparseGraph(
        rows, columns, torch.cat([weights, weights]), (n_nodes, n_nodes), symmetric=True
    )


def row_normalised_adjacency(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """D^-1 (A + I) on users, then items: every node averages itself and its neighbours (LATTICE, MICRO; spec C.6).

    `pairs`: int64 [n, 2], user and item of each training interaction."""
    n_nodes = n_users + n_items
    users, items, nodes = (
        pairs[:, 0],
        pairs[:, 1] + n_users,
        torch.arange(n_nodes, device=pairs.device),
    )
    rows, columns = torch.cat([users, items, nodes]), torch.cat([items, users, nodes])
    return SparseGraph(rows, columns, 1 / torch.bincount(rows).float()[rows], (n_nodes, n_nodes))


def mean_graph(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """D^-1 A: each user the mean of its items; a user without an item has an empty row. [n_users, n_items]"""
    users, items = pairs[:, 0], pairs[:, 1]
    counts = torch.bincount(users, minlength=n_users).float()
    return SparseGraph(users, items, 1 / counts[users], (n_users, n_items))


def keep_edges(
    pairs: Tensor, n_users: int, n_items: int, keep: int, generator: torch.Generator
) -> Tensor:
    """Degree-sensitive edge dropout (FREEDOM): `keep` pairs drawn without replacement, weight 1/sqrt(d_u d_i).

    Drawn by exponential races (the `keep` smallest of Exp(1)/weight), which is the same law as drawing one after
    another. Returns the kept pairs [keep, 2], in their first order.
    """
    weights = edge_weights(pairs, n_users, n_items)
    races = torch.empty_like(weights).exponential_(generator=generator) / weights
    return pairs[races.topk(keep, largest=False, sorted=False).indices.sort().values]


def co_occurrence_graph(
    pairs: Tensor, n_rows: int, n_columns: int, k: int, block_rows: int = 4096
) -> SparseGraph:
    """Who shares how many columns with whom: the `k` largest counts of each row, softmaxed (REARM, spec B3).

    `pairs`: int64 [n, 2], row and column, each once. A row shares nothing with itself; ties go to the lowest row. Where
    fewer than `k` share anything, those that do are drawn again until there are k, before the softmax; where nobody
    does, the k rows of most pairs stand in (for one of themselves, itself too), weighted by the softmax of their shares
    of the pairs among them. The draws are the same each time: the graph is a function of its arguments. Counts are
    sparse and taken block by block: never rows x rows.
    """
    ones = np.ones(len(pairs), dtype=np.float32)
    incidence = csr_matrix((ones, tuple(pairs.numpy().T)), shape=(n_rows, n_columns))
    k, generator = min(k, n_rows), torch.Generator().manual_seed(0)
    chosen, weights = torch.empty(n_rows, k, dtype=torch.int64), torch.empty(n_rows, k)
    for start in range(0, n_rows, block_rows):
        rows = slice(start, min(start + block_rows, n_rows))
        chosen[rows], weights[rows] = _most_shared(
            incidence[rows] @ incidence.T, start, k, generator
        )
    lonely = (weights[:, 0] == 0).nonzero().flatten()
    active = torch.bincount(pairs[:, 0], minlength=n_rows).float()
    most = active.argsort(descending=True, stable=True)[:k]
    weights = weights.softmax(dim=1)
    chosen[lonely], weights[lonely] = most, (active[most] / active[most].sum()).softmax(dim=0)
    return SparseGraph(
        torch.arange(n_rows).repeat_interleave(k),
        chosen.flatten(),
        weights.flatten(),
        (n_rows, n_rows),
    )


def _most_shared(
    counts: csr_matrix, first: int, k: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Of each row of `counts`, whose first is row `first`: the k columns of the largest counts, and these counts.

    Rows with fewer are filled by drawing from their own; rows without any have counts of 0."""
    (n, n_columns), entries = counts.shape, counts.tocoo()
    row, column, count = (
        part.astype(np.int64) for part in (entries.row, entries.col, entries.data)
    )
    apart = row + first != column
    row, column, count = row[apart], column[apart], count[apart]
    most = int(count.max(initial=0))
    keys = np.sort(
        (row * (most + 1) + most - count) * n_columns + column
    )  # by row, then count, then column
    found = np.bincount(row, minlength=n)
    starts = found.cumsum() - found
    drawn = (torch.rand(n, k, generator=generator).numpy() * found[:, None]).astype(np.int64)
    place = np.where(np.arange(k) < found[:, None], np.arange(k), drawn)
    if not len(keys):
        return torch.zeros(n, k, dtype=torch.int64), torch.zeros(n, k)
    chosen = keys[np.minimum(starts[:, None] + place, len(keys) - 1)]
    shared = most - chosen // n_columns % (most + 1)
    shared[found == 0] = 0
    return torch.from_numpy(chosen % n_columns), torch.from_numpy(shared).float()
