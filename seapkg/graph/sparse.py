"""A constant sparse matrix that multiplies dense ones, and propagation along it."""

import warnings
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class SparseGraph(nn.Module):
    """A constant sparse matrix [n_rows, n_columns] that multiplies dense ones.

    Args:
        indices: int64 [2, n_entries], row and column of each entry; a position given twice adds up.
        values: [n_entries], weights of the entries.
        shape: (n_rows, n_columns).
        symmetric: the matrix equals its transpose, so that one copy serves both passes.
    """

    def __init__(
        self, indices: Tensor, values: Tensor, shape: tuple[int, int], *, symmetric: bool = False
    ) -> None:
        super().__init__()
        self.shape = shape
        self.csr = CompressedRows(indices, values, shape)
        self.transpose = self.csr
        if not symmetric:
            self.transpose = CompressedRows(indices.flip(0), values, shape[::-1])

    def matrix(self) -> Tensor:
        """The matrix as a sparse CSR tensor [n_rows, n_columns]."""
        return _csr_tensor(self.csr.starts, self.csr.columns, self.csr.values, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """The product [n_rows, dim] with `x` [n_columns, dim]."""
        return _SparseProduct.apply(x, self)

    def rows_of_product(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the product with a constant `x` [n_columns, dim]."""
        csr = self.csr
        starts = csr.starts[start : stop + 1]
        entries = slice(starts[0], starts[-1])
        return _product(starts - starts[0], csr.columns[entries], csr.values[entries], x)

    def at(self, rows: Tensor, x: Tensor) -> Tensor:
        """As `self(x)[rows]`, from the entries of these rows only.

        Args:
            rows: int64 [n], repeats allowed.
            x: [n_columns, dim].

        Returns:
            [n, dim].
        """
        csr = self.csr
        starts = csr.starts[rows]
        counts = csr.starts[rows + 1] - starts
        offsets = counts.cumsum(0) - counts  # of each row's entries in the shortened list
        shifts = (starts - offsets).repeat_interleave(counts)
        entries = shifts + torch.arange(len(shifts), device=rows.device)
        columns, values = csr.columns[entries], csr.values[entries].to(x.dtype)
        return F.embedding_bag(columns, x, offsets, mode="sum", per_sample_weights=values)


class CompressedRows(nn.Module):
    """The buffers of a sparse matrix in CSR form; the arguments are those of `SparseGraph`."""

    def __init__(self, indices: Tensor, values: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        entries = torch.sparse_coo_tensor(indices, values, shape, check_invariants=False)
        matrix = entries.coalesce().to_sparse_csr()
        self.register_buffer("starts", matrix.crow_indices(), persistent=False)
        self.register_buffer("columns", matrix.col_indices(), persistent=False)
        self.register_buffer("values", matrix.values(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The product [n_rows, dim] with a constant `x` [n_columns, dim]."""
        return _product(self.starts, self.columns, self.values, x)


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
    n_rows = len(starts) - 1
    if x.device.type != "cpu":
        return _csr_tensor(starts, columns, values, (n_rows, len(x))) @ x
    if not len(values):
        return x.new_zeros(n_rows, x.shape[1])
    return F.embedding_bag(
        columns, x, starts, mode="sum", per_sample_weights=values, include_last_offset=True
    )


def _csr_tensor(starts: Tensor, columns: Tensor, values: Tensor, shape) -> Tensor:
    return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)


def neighbour_indices(neighbours: Tensor) -> Tensor:
    """Edges int64 [2, n k] from each row to its `neighbours`, int64 [n, k]."""
    n, k = neighbours.shape
    rows = torch.arange(n, device=neighbours.device).repeat_interleave(k)
    return torch.stack([rows, neighbours.flatten()])


def weighted_sum(graphs: list[SparseGraph], weights: Tensor) -> SparseGraph:
    """Σ_m w_m S_m as one graph (SEA Eq. 11): one product instead of several.

    Args:
        graphs: graphs of equal shape.
        weights: [len(graphs)].
    """
    matrices = [graph.matrix().to_sparse_coo() for graph in graphs]
    terms = [weight * matrix for weight, matrix in zip(weights, matrices, strict=True)]
    total = reduce(torch.add, terms).coalesce()
    return SparseGraph(total.indices(), total.values(), graphs[0].shape)


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
