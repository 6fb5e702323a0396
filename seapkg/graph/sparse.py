"""A constant sparse matrix that multiplies dense ones, and propagation along it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class SparseGraph(nn.Module):
    """A constant sparse matrix [n_rows, n_columns] in compressed rows.

    Args:
        rows, columns: int64 [n_entries], positions of the entries; a position given twice adds up.
        values: [n_entries], weights of the entries.
        shape: (n_rows, n_columns).
        symmetric: the matrix equals its transpose, so that one copy serves both passes.
    """

    def __init__(
        self,
        rows: Tensor,
        columns: Tensor,
        values: Tensor,
        shape: tuple[int, int],
        *,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.symmetric = shape, symmetric
        self._store("forward", rows, columns, values, shape)
        if not symmetric:
            self._store("backward", columns, rows, values, shape[::-1])

    def _store(self, name: str, rows: Tensor, columns: Tensor, values: Tensor, shape) -> None:
        indices = torch.stack([rows, columns])
        matrix = torch.sparse_coo_tensor(indices, values, shape, check_invariants=False)
        matrix = matrix.coalesce().to_sparse_csr()
        self.register_buffer(f"{name}_starts", matrix.crow_indices(), persistent=False)
        self.register_buffer(f"{name}_columns", matrix.col_indices(), persistent=False)
        self.register_buffer(f"{name}_values", matrix.values(), persistent=False)

    def matrix(self, name: str = "forward") -> Tensor:
        """The matrix ("forward") or its transpose ("backward") as a sparse CSR tensor."""
        if self.symmetric or name == "forward":
            parts = self.forward_starts, self.forward_columns, self.forward_values, self.shape
        else:
            shape = self.shape[::-1]
            parts = self.backward_starts, self.backward_columns, self.backward_values, shape
        return torch.sparse_csr_tensor(*parts, check_invariants=False)

    def forward(self, x: Tensor) -> Tensor:
        """The product [n_rows, dim] with `x` [n_columns, dim]."""
        return _SparseProduct.apply(x, self)

    def rows_of_product(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the product with a constant `x` [n_columns, dim]."""
        starts = self.forward_starts[start : stop + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        columns, values = self.forward_columns[entries], self.forward_values[entries]
        shape = stop - start, self.shape[1]
        starts = starts - starts[0]
        block = torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
        return _product(block, x)

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
    """`matrix @ x`; on a CPU as a weighted sum of embeddings, which is three times as fast."""
    matrix, x = matrix.to(x.dtype), x.contiguous()
    if x.device.type != "cpu":
        return matrix @ x
    values = matrix.values()
    if not len(values):
        return x.new_zeros(matrix.shape[0], x.shape[1])
    return F.embedding_bag(
        matrix.col_indices(),
        x,
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )


def weighted_sum(graphs: list[SparseGraph], weights: Tensor) -> SparseGraph:
    """Σ_m w_m S_m as one graph (SEA Eq. 11): one product instead of several.

    Args:
        graphs: graphs of equal shape.
        weights: [len(graphs)].
    """
    entries = [graph.matrix().to_sparse_coo() for graph in graphs]
    rows, columns = torch.cat([entry.indices() for entry in entries], dim=1)
    scaled = [weight * entry.values() for weight, entry in zip(weights, entries, strict=True)]
    return SparseGraph(rows, columns, torch.cat(scaled), graphs[0].shape)


def mean_of_layers(graph: SparseGraph, x: Tensor, n_layers: int) -> Tensor:
    """The mean of x, Ax, ..., A^L x (LightGCN). `x` and the result: [n_nodes, dim]."""
    return sum_of_layers(graph, x, n_layers) / (n_layers + 1)


def sum_of_layers(graph: SparseGraph, x: Tensor, n_layers: int) -> Tensor:
    """x + Ax + ... + A^L x (SEA Eq. 6, 7). `x` and the result: [n_nodes, dim]."""
    total = x
    for _ in range(n_layers):
        x = graph(x)
        total = total + x
    return total
