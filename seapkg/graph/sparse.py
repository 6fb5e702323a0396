"""A constant sparse matrix that multiplies dense ones, and propagation along it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class SparseGraph(nn.Module):
    """A constant sparse matrix [n_rows, n_columns] that multiplies dense ones.

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
        self.shape = shape
        self.csr = CompressedRows(rows, columns, values, shape)
        self.transpose = self.csr
        if not symmetric:
            self.transpose = CompressedRows(columns, rows, values, shape[::-1])

    def matrix(self) -> Tensor:
        """The matrix as a sparse CSR tensor [n_rows, n_columns]."""
        csr = self.csr
        return torch.sparse_csr_tensor(
            csr.starts, csr.columns, csr.values, self.shape, check_invariants=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """The product [n_rows, dim] with `x` [n_columns, dim]."""
        return _SparseProduct.apply(x, self)

    def rows_of_product(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the product with a constant `x` [n_columns, dim]."""
        csr = self.csr
        starts = csr.starts[start : stop + 1]
        entries = slice(starts[0], starts[-1])
        return _product(starts - starts[0], csr.columns[entries], csr.values[entries], x)


class CompressedRows(nn.Module):
    """The buffers of a sparse matrix in CSR form; the arguments are those of `SparseGraph`."""

    def __init__(
        self, rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]
    ) -> None:
        super().__init__()
        indices = torch.stack([rows, columns])
        entries = torch.sparse_coo_tensor(indices, values, shape, check_invariants=False)
        matrix = entries.coalesce().to_sparse_csr()
        self.register_buffer("starts", matrix.crow_indices(), persistent=False)
        self.register_buffer("columns", matrix.col_indices(), persistent=False)
        self.register_buffer("values", matrix.values(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The product [n_rows, dim] with a constant `x` [n_columns, dim]."""
        return _product(self.starts, self.columns, self.values, x)

    def extra_repr(self) -> str:
        return f"{len(self.starts) - 1} rows, {len(self.values)} entries"


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, graph: SparseGraph) -> Tensor:
        ctx.graph = graph
        return graph.csr(x)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return ctx.graph.transpose(gradient), None


def _product(starts: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """The product of a CSR matrix with `x` [n_columns, dim].

    On a CPU a weighted sum of embeddings is three times as fast as torch's sparse product.
    """
    values, x = values.to(x.dtype), x.contiguous()
    shape = len(starts) - 1, len(x)
    if x.device.type != "cpu":
        matrix = torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
        return matrix @ x
    if not len(values):
        return x.new_zeros(shape[0], x.shape[1])
    return F.embedding_bag(
        columns, x, starts, mode="sum", per_sample_weights=values, include_last_offset=True
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
