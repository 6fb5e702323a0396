"""Graphs: users and items by training pairs, items and items by likeness. Sparse in, sparse out.

A graph is a `SparseGraph`: a fixed sparse matrix that multiplies dense ones, `graph(x)`, whose backward pass
multiplies by the transpose. It is a module without parameters, so that it travels with a model to its device.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.memory import in_blocks

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class SparseGraph(nn.Module):
    """A constant sparse matrix [n_rows, n_columns] in compressed rows.

    Args:
        rows, columns: int64 [nnz], the positions of the entries; a position given twice adds up.
        values: [nnz], their weights.
        shape: (n_rows, n_columns).
        symmetric: the matrix equals its transpose, so that one copy serves both passes.
    """

    def __init__(
        self, rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int], *, symmetric=False
    ) -> None:
        super().__init__()
        self.shape, self.symmetric = shape, symmetric
        self._store("forward", rows, columns, values, shape)
        if not symmetric:
            self._store("backward", columns, rows, values, shape[::-1])

    def _store(self, name: str, rows: Tensor, columns: Tensor, values: Tensor, shape) -> None:
        indices = torch.stack([rows, columns])
        matrix = torch.sparse_coo_tensor(indices, values, shape, check_invariants=False).coalesce().to_sparse_csr()
        self.register_buffer(f"{name}_starts", matrix.crow_indices(), persistent=False)
        self.register_buffer(f"{name}_columns", matrix.col_indices(), persistent=False)
        self.register_buffer(f"{name}_values", matrix.values(), persistent=False)

    def matrix(self, name: str = "forward") -> Tensor:
        """The matrix ("forward") or its transpose ("backward") as a sparse CSR tensor."""
        name = "forward" if self.symmetric else name
        starts, columns, values = (getattr(self, f"{name}_{part}") for part in ("starts", "columns", "values"))
        shape = self.shape if name == "forward" else self.shape[::-1]
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: [n_columns, dim]. Returns [n_rows, dim]."""
        return _SparseProduct.apply(x, self)

    def extra_repr(self) -> str:
        return f"{self.shape[0]} x {self.shape[1]}, {self.forward_values.numel()} entries"


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, graph: SparseGraph) -> Tensor:
        ctx.graph = graph
        return _product(graph.matrix("forward"), x)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return _product(ctx.graph.matrix("backward"), gradient), None


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """`matrix @ x`; on the CPU as a weighted sum of embeddings, which is three times as fast as the CSR product."""
    matrix, x = matrix.to(x.dtype), x.contiguous()
    if x.device.type != "cpu":
        return matrix @ x
    values = matrix.values()
    if not len(values):
        return x.new_zeros(matrix.shape[0], x.shape[1])
    return F.embedding_bag(
        matrix.col_indices(), x, matrix.crow_indices(), mode="sum", per_sample_weights=values, include_last_offset=True
    )


def inverse_root(degrees: Tensor) -> Tensor:
    """Degrees to the power -1/2; 0 where the degree is 0, so that such rows stay empty."""
    return degrees.pow(-0.5).masked_fill(degrees == 0, 0.0)


def interaction_degrees(pairs: Tensor, n_users: int, n_items: int) -> tuple[Tensor, Tensor]:
    """How many pairs each user and each item stands in. `pairs`: int64 [n, 2]. Returns float [n_users], [n_items]."""
    users = torch.bincount(pairs[:, 0], minlength=n_users).float()
    items = torch.bincount(pairs[:, 1], minlength=n_items).float()
    return users, items


def edge_weights(pairs: Tensor, n_users: int, n_items: int) -> Tensor:
    """1 / sqrt(d_u d_i) for each pair, degrees counted in `pairs` (SEA Eq. 6). Returns float [n]."""
    users, items = interaction_degrees(pairs, n_users, n_items)
    return inverse_root(users)[pairs[:, 0]] * inverse_root(items)[pairs[:, 1]]


def normalised_adjacency(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """The symmetric-normalised bipartite graph on users, then items; no self loops (SEA Eq. 6, spec C.6).

    `pairs`: int64 [n, 2], user and item of each training interaction. Nodes without an interaction have an empty
    row (MMRec adds 1e-7 to every degree to the same end; the weights agree to float32 precision).
    """
    weights = edge_weights(pairs, n_users, n_items)
    users, items = pairs[:, 0], pairs[:, 1] + n_users
    n_nodes = n_users + n_items
    rows, columns = torch.cat([users, items]), torch.cat([items, users])
    return SparseGraph(rows, columns, torch.cat([weights, weights]), (n_nodes, n_nodes), symmetric=True)


def row_normalised_adjacency(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """D^-1 (A + I) on users, then items: every node averages itself and its neighbours (LATTICE, MICRO; spec C.6).

    `pairs`: int64 [n, 2], user and item of each training interaction."""
    n_nodes = n_users + n_items
    users, items, nodes = pairs[:, 0], pairs[:, 1] + n_users, torch.arange(n_nodes, device=pairs.device)
    rows, columns = torch.cat([users, items, nodes]), torch.cat([items, users, nodes])
    return SparseGraph(rows, columns, 1 / torch.bincount(rows).float()[rows], (n_nodes, n_nodes))


def keep_edges(pairs: Tensor, n_users: int, n_items: int, keep: int, generator: torch.Generator) -> Tensor:
    """Degree-sensitive edge dropout (FREEDOM): `keep` pairs drawn without replacement, weight 1/sqrt(d_u d_i).

    Drawn by exponential races (the `keep` smallest of Exp(1)/weight), which is the same law as drawing one after
    another. Returns the kept pairs [keep, 2], in their first order.
    """
    weights = edge_weights(pairs, n_users, n_items)
    races = torch.empty_like(weights).exponential_(generator=generator) / weights
    return pairs[races.topk(keep, largest=False, sorted=False).indices.sort().values]


def nearest_neighbours(features: Tensor, k: int, block_bytes: int = 64 << 20) -> Tensor:
    """The `k` nearest rows of each row by cosine (SEA Eq. 8, 9): itself first, ties to the lowest row.

    `features`: [n, width]. Works in blocks of rows, never holding an n x n matrix. Cosines are compared to six
    decimals: what float32 cannot tell apart counts as a tie. A zero row has cosine 0 with all but itself.
    Returns int64 [n, k], each row in rising order of index. Raises ValueError if k exceeds n.
    """
    n = features.shape[0]
    if not 0 < k <= n:
        raise ValueError(f"k must be between 1 and the number of rows, {n}; it is {k}")
    unit = F.normalize(features.float(), dim=1)

    def every(step: int) -> Tensor:
        return torch.cat([_nearest(unit, start, min(start + step, n), k) for start in range(0, n, step)])

    return in_blocks(every, max(1, block_bytes // (4 * n)), "the search for nearest neighbours")


def _nearest(unit: Tensor, start: int, stop: int, k: int) -> Tensor:
    cosines = (unit[start:stop] @ unit.T).mul_(1e6).round_()  # [block, n]
    rows = torch.arange(stop - start, device=unit.device)
    cosines[rows, rows + start] = torch.inf
    bar = cosines.topk(k, dim=1).values[:, -1:]
    above, level = cosines > bar, cosines == bar
    room = k - above.sum(dim=1, keepdim=True)
    chosen = above | (level & (level.cumsum(dim=1) <= room))
    return chosen.nonzero()[:, 1].view(-1, k)


def similarity_graph(rows: Tensor, columns: Tensor, cosines: Tensor, shape: tuple[int, int], k: int) -> SparseGraph:
    """REARM's feature graph (spec B2): the cosines of the `k` nearest, over k; rows sum to a mean cosine."""
    return SparseGraph(rows, columns, cosines / (k + 1e-7), shape)


def mean_graph(pairs: Tensor, n_users: int, n_items: int) -> SparseGraph:
    """D^-1 A: each user the mean of its items; a user without an item has an empty row. [n_users, n_items]"""
    users, items = pairs[:, 0], pairs[:, 1]
    counts = torch.bincount(users, minlength=n_users).float()
    return SparseGraph(users, items, 1 / counts[users], (n_users, n_items))


def co_occurrence_graph(pairs: Tensor, n_rows: int, n_columns: int, k: int, block_rows: int = 4096) -> SparseGraph:
    """Who shares how many columns with whom: the `k` largest counts of each row, softmaxed (REARM, spec B3).

    `pairs`: int64 [n, 2], row and column, each once. A row is no neighbour of itself; ties go to the lowest row. Where
    fewer than `k` share anything, those that do are drawn again until there are k, before the softmax; where nobody
    does, the k rows of most pairs stand in, weighted by the softmax of their shares of the pairs among them. The draws
    are the same each time: the graph is a function of its arguments. Counts are sparse and taken block by block: never
    rows x rows.
    """
    ones = np.ones(len(pairs), dtype=np.float32)
    incidence = csr_matrix((ones, tuple(pairs.numpy().T)), shape=(n_rows, n_columns))
    k, generator = min(k, n_rows), torch.Generator().manual_seed(0)
    chosen, weights = torch.empty(n_rows, k, dtype=torch.int64), torch.empty(n_rows, k)
    for start in range(0, n_rows, block_rows):
        rows = slice(start, min(start + block_rows, n_rows))
        chosen[rows], weights[rows] = _most_shared(incidence[rows] @ incidence.T, start, k, generator)
    lonely = (weights[:, 0] == 0).nonzero().flatten()
    active = torch.bincount(pairs[:, 0], minlength=n_rows).float()
    most = active.argsort(descending=True, stable=True)[:k]
    weights = weights.softmax(dim=1)
    chosen[lonely], weights[lonely] = most, (active[most] / active[most].sum()).softmax(dim=0)
    return SparseGraph(torch.arange(n_rows).repeat_interleave(k), chosen.flatten(), weights.flatten(), (n_rows, n_rows))


def _most_shared(counts: csr_matrix, first: int, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Of each row of `counts`, whose first is row `first`: the k columns of the largest counts, and these counts.

    Rows with fewer are filled by drawing from their own; rows without any have counts of 0."""
    (n, n_columns), entries = counts.shape, counts.tocoo()
    row, column, count = (part.astype(np.int64) for part in (entries.row, entries.col, entries.data))
    apart = row + first != column
    row, column, count = row[apart], column[apart], count[apart]
    most = int(count.max(initial=0))
    keys = np.sort((row * (most + 1) + most - count) * n_columns + column)  # by row, then count, then column
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


def neighbour_graph(rows: Tensor, columns: Tensor, n_items: int) -> SparseGraph:
    """D^-1/2 S D^-1/2 for 0/1 edges `rows` -> `columns`, D the row degrees on both sides (SEA Eq. 9, 10).

    With k neighbours a row every entry is 1/k, so the rows sum to one; the graph is directed.
    """
    scale = inverse_root(torch.bincount(rows, minlength=n_items).float())
    return SparseGraph(rows, columns, scale[rows] * scale[columns], (n_items, n_items))


def cosine_graph(rows: Tensor, columns: Tensor, cosines: Tensor, n_items: int) -> SparseGraph:
    """D^-1/2 S D^-1/2 for edges weighted by their cosine, D the row sums on both sides (LATTICE, MICRO; spec C.6)."""
    sums = cosines.new_zeros(n_items).index_add_(0, rows, cosines)
    scale = inverse_root(sums.clamp(min=0))
    return SparseGraph(rows, columns, scale[rows] * cosines * scale[columns], (n_items, n_items))


def item_graph(dataset, modality: str, k: int, *, weighted: bool = False) -> SparseGraph:
    """The item graph of one modality: the dataset's given edges where it has them, else the kNN of its features.

    `weighted`: edges keep their cosine (`cosine_graph`) instead of counting alike (`neighbour_graph`)."""
    rows, columns, cosines = item_edges(dataset, modality, k, with_cosines=weighted)
    if weighted:
        return cosine_graph(rows, columns, cosines, dataset.n_items)
    return neighbour_graph(rows, columns, dataset.n_items)


def item_edges(dataset, modality: str, k: int, *, with_cosines=True) -> tuple[Tensor, Tensor, Tensor | None]:
    """Each item's `k` nearest, itself first: rows, columns and cosines of the edges. Given edges may be fewer."""
    if modality in dataset.item_graphs:
        return _best_given(dataset.item_graphs[modality], k)
    if k > dataset.n_items:
        raise RequestError(f"n_neighbours must be at most the number of items, {dataset.n_items}; it is {k}")
    return nearest_edges(torch.from_numpy(dataset.features[modality].copy()), k, with_cosines=with_cosines)


def nearest_edges(features: Tensor, k: int, *, with_cosines=True) -> tuple[Tensor, Tensor, Tensor | None]:
    """The `k` nearest rows of each row by cosine (`nearest_neighbours`): rows, columns and cosines of the edges."""
    best = nearest_neighbours(features, k)
    rows = torch.arange(len(features)).repeat_interleave(k)
    return rows, best.flatten(), edge_cosines(features.float(), best).flatten() if with_cosines else None


def edge_cosines(x: Tensor, neighbours: Tensor) -> Tensor:
    """The cosines of each row of `x` [n, dim] with its neighbours [n, k], differentiable. Returns [n, k]."""
    unit = F.normalize(x, dim=1)
    return torch.stack([(unit * F.embedding(column, unit)).sum(dim=1) for column in neighbours.T], dim=1)


def _best_given(given, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `k` given edges of each row with the highest cosines: itself first, ties to the lowest item."""
    rows, columns = given.index
    order = np.lexsort((columns, -given.cosine, rows != columns, rows))
    starts = np.searchsorted(rows[order], rows[order])
    kept = np.sort(order[np.arange(len(order)) - starts < k])
    return tuple(torch.from_numpy(part[kept].copy()) for part in (rows, columns, given.cosine))


class ItemGraphs(nn.Module):
    """The modalities' item graphs, mixed: x ↦ Σ_m α_m S_m x (SEA Eq. 11).

    Args:
        dataset: gives the features or the item graphs.
        n_neighbours: k of the kNN graphs.
        image_weight: share of the image graph where there are image and text; other sets share equally.
        learned: the shares are the softmax of trainable logits that start at these values; fixed ones make one graph.
    """

    def __init__(self, dataset, n_neighbours: int, image_weight: float, *, learned: bool = False) -> None:
        super().__init__()
        graphs = {name: item_graph(dataset, name, n_neighbours) for name in dataset.modalities}
        shares = initial_shares(dataset.modalities, image_weight)
        self.graphs = nn.ModuleDict(graphs if learned else {"mixed": weighted_sum(list(graphs.values()), shares)})
        self.logits = nn.Parameter(shares.clamp(min=1e-6).log()) if learned else None
        self.register_buffer("fixed", None if learned else shares, persistent=False)  # to be read: "mixed" has them

    @property
    def shares(self) -> Tensor:
        """α, one a modality; they sum to one."""
        return self.fixed if self.logits is None else self.logits.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: [n_items, dim]. Returns [n_items, dim]."""
        if self.logits is None:
            return self.graphs["mixed"](x)
        return sum(share * graph(x) for share, graph in zip(self.shares, self.graphs.values(), strict=True))


def initial_shares(modalities: tuple[str, ...], image_weight: float) -> Tensor:
    """The modalities' shares in a mixed graph: `image_weight` of image beside text; other sets share equally."""
    if set(modalities) == {"image", "text"}:
        return torch.tensor([image_weight if name == "image" else 1 - image_weight for name in modalities])
    return torch.full((len(modalities),), 1 / len(modalities))


def weighted_sum(graphs: list[SparseGraph], weights: Tensor) -> SparseGraph:
    """Σ_m w_m S_m as one graph: one product instead of several. `weights`: [len(graphs)]."""
    entries = [graph.matrix().to_sparse_coo() for graph in graphs]
    rows, columns = torch.cat([entry.indices() for entry in entries], dim=1)
    values = torch.cat([weight * entry.values() for weight, entry in zip(weights, entries, strict=True)])
    return SparseGraph(rows, columns, values, graphs[0].shape)


def mean_of_layers(graph: SparseGraph, x: Tensor, n_layers: int) -> Tensor:
    """LightGCN's propagation: the mean of x, Ax, ..., A^L x."""
    return sum_of_layers(graph, x, n_layers) / (n_layers + 1)


def sum_of_layers(graph: SparseGraph, x: Tensor, n_layers: int) -> Tensor:
    """x + Ax + ... + A^L x (SEA Eq. 7, layer 0 included)."""
    total = x
    for _ in range(n_layers):
        x = graph(x)
        total = total + x
    return total
