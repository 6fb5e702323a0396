"""Nearest-neighbour graphs of items, or of anything that has features."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.graph.interactions import inverse_root
from seapkg.graph.sparse import SparseGraph, weighted_sum
from seapkg.kernels.top_k import top_columns

log = logging.getLogger(__name__)

#: Size of a block of rows' cosines.
BLOCK_BYTES = 16 << 20
#: The products of all items' features are kept up to this size.
GRAM_BYTES = 1 << 30
#: Largest error of a mean's cosine with itself when it comes from these products.
SELF_COSINE_ERROR = 1e-5
#: A mean shorter than this share of its features is rounding error in float32.
SHORTEST_MEAN = 1e-4

#: Rows, columns and cosines of edges, [n_edges] each.
Edges = tuple[Tensor, Tensor, Tensor]


class ItemGraphs(nn.Module):
    """The item graphs of the modalities, mixed: x -> Σ_m α_m S_m x (SEA Eq. 11, 12).

    Args: dataset: gives the features or the item graphs. n_neighbours: k of the kNN graphs.
        image_weight: initial share of the image graph, if there are image and text; other sets
        share equally. learned: make α the softmax of trainable logits; fixed shares make one graph.
    """

    def __init__(
        self, dataset, n_neighbours: int, image_weight: float, *, learned: bool = False
    ) -> None:
        super().__init__()
        graphs = {name: item_graph(dataset, name, n_neighbours) for name in dataset.modalities}
        shares = initial_shares(dataset.modalities, image_weight)
        if not learned:
            graphs = {"mixed": weighted_sum(list(graphs.values()), shares)}
        self.graphs = nn.ModuleDict(graphs)
        self.logits = nn.Parameter(shares.clamp(min=1e-6).log()) if learned else None
        self.register_buffer("fixed", None if learned else shares, persistent=False)

    @property
    def shares(self) -> Tensor:
        """α, [n_modalities]; the sum is one."""
        return self.fixed if self.logits is None else self.logits.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """The neighbours' weighted sum [n_items, dim] of `x` [n_items, dim]."""
        if self.logits is None:
            return self.graphs["mixed"](x)
        graphs = zip(self.shares, self.graphs.values(), strict=True)
        return sum(share * graph(x) for share, graph in graphs)


def initial_shares(modalities: tuple[str, ...], image_weight: float) -> Tensor:
    """Shares [n_modalities]: `image_weight` for image beside text; other sets share equally."""
    if set(modalities) == {"image", "text"}:
        shares = {"image": image_weight, "text": 1 - image_weight}
        return torch.tensor([shares[name] for name in modalities])
    return torch.full((len(modalities),), 1 / len(modalities))


def item_graph(dataset, modality: str, k: int, *, weighted: bool = False) -> SparseGraph:
    """The item graph of one modality: the given edges of the dataset, or the kNN of its features.

    Args: dataset: gives the features or the item graph. modality: its name. k: number of
        neighbours. weighted: edges have their cosine (`cosine_graph`) instead of equal weights
        (`neighbour_graph`).

    Returns:
        A graph [n_items, n_items].
    """
    rows, columns, cosines = item_edges(dataset, modality, k)
    if weighted:
        return cosine_graph(rows, columns, cosines, dataset.n_items)
    return neighbour_graph(rows, columns, dataset.n_items)


def item_edges(dataset, modality: str, k: int) -> Edges:
    """Each item's `k` nearest items, itself first.

    Given edges may be fewer than k, which is logged if no item has k, and need not include the item
    itself.

    Raises:
        RequestError: k exceeds the number of items.
    """
    if modality in dataset.item_graphs:
        return _best_given(dataset.item_graphs[modality], modality, k)
    if k > dataset.n_items:
        raise RequestError(
            f"n_neighbours must be at most the number of items, {dataset.n_items}; it is {k}"
        )
    return nearest_edges(torch.from_numpy(dataset.features[modality].copy()), k)


def _best_given(given, modality: str, k: int) -> Edges:
    """The `k` best given edges of each row by cosine: itself first, ties to the lowest item."""
    rows, columns = given.index
    most = int(np.bincount(rows).max(initial=0))
    if most < k:
        message = "the given item graph of %s has at most %d edges an item; %d were asked for"
        log.warning(message, modality, most, k)
    order = np.lexsort((columns, -given.cosine, rows != columns, rows))
    starts = np.searchsorted(rows[order], rows[order])
    kept = np.sort(order[np.arange(len(order)) - starts < k])
    return tuple(torch.from_numpy(part[kept].copy()) for part in (rows, columns, given.cosine))


def nearest_edges(features: Tensor, k: int) -> Edges:
    """Edges to the `k` nearest rows of `features` [n, width] by cosine (SEA Eq. 8, 9)."""
    return _edges(*_nearest_by_features(features, k, BLOCK_BYTES))


def nearest_neighbours(features: Tensor, k: int, block_bytes: int = BLOCK_BYTES) -> Tensor:
    """The `k` nearest rows of each row by cosine (SEA Eq. 8, 9).

    The row itself is first, and ties go to the lowest row.
    Cosines are compared to six decimals, as float32 cannot tell closer ones apart. A zero row has
    cosine 0 with all rows but itself.

    Args:
        features: [n, width].
        k: number of neighbours.
        block_bytes: size of a block of rows' cosines.

    Returns:
        int64 [n, k], each row in ascending order.

    Raises:
        ValueError: k is not between 1 and n.
    """
    return _nearest_by_features(features, k, block_bytes)[0]


def nearest_means(
    features: Tensor, mean: SparseGraph, k: int, block_bytes: int = BLOCK_BYTES
) -> Edges:
    """As `nearest_edges(mean(features), k)`, but without products of means at full width.

    Products of means are means of products: of all products of features if they fit and m < n, else
    of the products of a block's means with the features. Where features cancel in short means, the
    kept products are too inexact; a cosine of a mean with itself that is not 1 shows this, and the
    block is computed without them.

    Args:
        features: [m, width].
        mean: [n, m]; means that nearly cancel count as zero.
        k: number of neighbours.
        block_bytes: size of a block of rows' cosines.
    """
    features = features.float() / features.abs().max().clamp_min(1e-30)
    n, m = mean.shape
    lengths = mean(features).norm(dim=1)
    typical = mean(features.norm(dim=1, keepdim=True)).flatten()
    with_itself = (lengths > SHORTEST_MEAN * typical).float()
    scale = with_itself / lengths.clamp_min(1e-30)
    gram = features @ features.T if m < n and 4 * m * m <= GRAM_BYTES else None

    def normalised(products: Tensor, start: int, stop: int) -> Tensor:
        cosines = mean(products.T).T.contiguous()
        return cosines.mul_(scale[start:stop, None]).mul_(scale).clamp_(-1, 1)

    def cosines(start: int, stop: int) -> Tensor:
        if gram is not None:
            found = normalised(mean.rows_of_product(gram, start, stop), start, stop)
            errors = (found.diagonal(start) - with_itself[start:stop]).abs()
            if errors.max() < SELF_COSINE_ERROR:
                return found
        products = mean.rows_of_product(features, start, stop) @ features.T  # [block, m]
        return normalised(products, start, stop)

    return _edges(*_search(cosines, n, k, block_bytes * n // max(n, m)))


def _edges(neighbours: Tensor, cosines: Tensor) -> Edges:
    n, k = neighbours.shape
    rows = torch.arange(n, device=neighbours.device).repeat_interleave(k)
    return rows, neighbours.flatten(), cosines.flatten()


def _nearest_by_features(features: Tensor, k: int, block_bytes: int) -> tuple[Tensor, Tensor]:
    unit = F.normalize(features.float(), dim=1)
    return _search(lambda start, stop: unit[start:stop] @ unit.T, len(unit), k, block_bytes)


def _search(
    cosines_of: Callable[[int, int], Tensor], n: int, k: int, block_bytes: int
) -> tuple[Tensor, Tensor]:
    """The `k` nearest of each of `n` rows and their cosines, [n, k] both.

    `cosines_of(start, stop)` gives the cosines of a block of rows with all rows, [stop - start, n].
    """
    if not 0 < k <= n:
        raise ValueError(f"k must be between 1 and the number of rows, {n}; it is {k}")
    step = max(1, block_bytes // (4 * n))
    blocks = []
    for start in range(0, n, step):
        blocks.append(_nearest(cosines_of(start, min(start + step, n)), start, k))
    neighbours, cosines = zip(*blocks, strict=True)
    return torch.cat(neighbours), torch.cat(cosines)


def _nearest(cosines: Tensor, start: int, k: int) -> tuple[Tensor, Tensor]:
    """The `k` nearest and their cosines [block, k], in a block [block, n] from row `start` on."""
    block, n = cosines.shape
    compared = (cosines * 1e6).round_()
    rows = torch.arange(block, device=cosines.device)
    compared[rows, rows + start] = torch.inf
    if k == n:
        return torch.arange(k, device=cosines.device).expand(block, -1), cosines
    best = top_columns(compared, k + 1)
    last, next_one = compared.gather(1, best[:, k - 1 :]).unbind(dim=1)
    best = best[:, :k].sort(dim=1).values
    tied = (last == next_one).nonzero().flatten()
    best[tied] = _lowest_of_equal(compared[tied], last[tied, None], k)
    return best, cosines.gather(1, best)


def _lowest_of_equal(cosines: Tensor, bar: Tensor, k: int) -> Tensor:
    """The `k` columns above the bar [n, 1] or, lowest first, equal to it: [n, k]."""
    above, level = cosines > bar, cosines == bar
    room = k - above.sum(dim=1, keepdim=True)
    return (above | (level & (level.cumsum(dim=1) <= room))).nonzero()[:, 1].view(-1, k)


def edge_cosines(x: Tensor, neighbours: Tensor) -> Tensor:
    """The cosines [n, k] of the rows of `x` [n, dim] with their `neighbours` [n, k].

    They are differentiable.
    """
    unit = F.normalize(x, dim=1)
    columns = [(unit * F.embedding(column, unit)).sum(dim=1) for column in neighbours.T]
    return torch.stack(columns, dim=1)


def neighbour_graph(rows: Tensor, columns: Tensor, n_items: int) -> SparseGraph:
    """D^-1/2 S D^-1/2 for edges of weight 1, D the row degrees on both sides (SEA Eq. 9, 10).

    With k neighbours a row each entry is 1/k, so rows sum to one; the graph is directed.

    Args:
        rows, columns: int64 [n_edges].
        n_items: size.
    """
    scale = inverse_root(torch.bincount(rows, minlength=n_items).float())
    return SparseGraph(rows, columns, scale[rows] * scale[columns], (n_items, n_items))


def cosine_graph(rows: Tensor, columns: Tensor, cosines: Tensor, n_items: int) -> SparseGraph:
    """D^-1/2 S D^-1/2 for edges weighted by cosine, D the row sums on both sides (LATTICE, MICRO).

    Args:
        rows, columns: int64 [n_edges].
        cosines: [n_edges].
        n_items: size.
    """
    sums = cosines.new_zeros(n_items).index_add_(0, rows, cosines)
    scale = inverse_root(sums.clamp(min=0))
    return SparseGraph(rows, columns, scale[rows] * cosines * scale[columns], (n_items, n_items))


def similarity_graph(
    rows: Tensor, columns: Tensor, cosines: Tensor, shape: tuple[int, int]
) -> SparseGraph:
    """Cosines over the number of edges of their row, so that rows sum to a mean cosine (REARM B2).

    Args:
        rows, columns: int64 [n_edges].
        cosines: [n_edges].
        shape: of the graph.
    """
    counts = torch.bincount(rows, minlength=shape[0])
    return SparseGraph(rows, columns, cosines / counts[rows], shape)
