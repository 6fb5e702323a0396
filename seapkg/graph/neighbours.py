"""Nearest-neighbour graphs of items, or of anything that has features."""

import logging
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.graph.interactions import inverse_root
from seapkg.graph.sparse import SparseGraph, neighbour_indices, weighted_sum
from seapkg.kernels.top_k import top_columns

log = logging.getLogger(__name__)

#: Size of a block of rows' cosines.
BLOCK_BYTES = 16 << 20
#: Products of all features are stored up to this size.
GRAM_BYTES = 1 << 30
#: Length of a mean over the mean length of its features. Below it, features cancel, and their
#: stored products are too inexact in float32.
SHORT_MEAN = 0.1
#: Below it, the mean is rounding error and counts as zero.
SHORTEST_MEAN = 1e-4

#: Rows and columns of edges, int64 [2, n_edges], and their cosines [n_edges].
Edges = tuple[Tensor, Tensor]


class ItemGraphs(nn.Module):
    """The item graphs of the modalities, mixed: x -> Σ_m α_m S_m x (SEA Eq. 11, 12).

    Args:
        dataset: gives the features or the item graphs.
        n_neighbours: k of the kNN graphs.
        image_weight: initial share of the image graph, if there are image and text; other sets
            share equally.
        learned: make α the softmax of trainable logits; fixed shares make one graph.
    """

    def __init__(
        self, dataset, n_neighbours: int, image_weight: float, *, learned: bool = False
    ) -> None:
        super().__init__()
        graphs = [item_graph(dataset, name, n_neighbours) for name in dataset.modalities]
        shares = initial_shares(dataset.modalities, image_weight)
        self.logits = None
        if learned:
            self.logits = nn.Parameter(shares.clamp(min=1e-6).log())
        else:
            graphs = [weighted_sum(graphs, shares)]
        self.graphs = nn.ModuleList(graphs)

    def forward(self, x: Tensor) -> Tensor:
        """The neighbours' weighted sum [n_items, dim] of `x` [n_items, dim]."""
        if self.logits is None:
            return self.graphs[0](x)
        shares = self.logits.softmax(dim=0)  # α
        return sum(share * graph(x) for share, graph in zip(shares, self.graphs, strict=True))


def initial_shares(modalities: tuple[str, ...], image_weight: float) -> Tensor:
    """Shares [n_modalities]: `image_weight` for image beside text; other sets share equally."""
    shares = {"image": image_weight, "text": 1 - image_weight}
    if set(modalities) != set(shares):
        shares = dict.fromkeys(modalities, 1 / len(modalities))
    return torch.tensor([shares[name] for name in modalities])


def item_graph(dataset, modality: str, k: int, *, weighted: bool = False) -> SparseGraph:
    """The item graph of one modality: the given edges of the dataset, or the kNN of its features.

    Args:
        dataset: gives the features or the item graph.
        modality: its name.
        k: number of neighbours.
        weighted: weigh edges by their cosine instead of equally.

    Returns:
        A graph [n_items, n_items].
    """
    indices, cosines = item_edges(dataset, modality, k)
    weights = cosines if weighted else torch.ones_like(cosines)
    return neighbour_graph(indices, weights, dataset.n_items)


def item_edges(dataset, modality: str, k: int) -> Edges:
    """Each item's `k` nearest items, itself first.

    A given item graph may have fewer edges and may lack the item itself. A warning is logged if no
    item has k edges.

    Raises:
        RequestError: k exceeds the number of items.
    """
    if modality in dataset.item_graphs:
        return _best_given(dataset.item_graphs[modality], modality, k)
    return nearest_edges(torch.from_numpy(dataset.features[modality].copy()), k)


def _best_given(given, modality: str, k: int) -> Edges:
    """The `k` best given edges of each row by cosine: itself first, ties to the lowest item."""
    rows, columns = given.index
    edges = pd.DataFrame(
        {
            "row": rows,
            "is_of_others": rows != columns,
            "distance": -given.cosine,
            "column": columns,
        }
    )
    best = edges.sort_values(list(edges)).groupby("row").head(k).sort_index()
    most = best["row"].value_counts().max()
    if most < k:
        message = "the given item graph of %s has at most %d edges per item; k is %d"
        log.warning(message, modality, most, k)
    places = best.index.to_numpy()
    return torch.from_numpy(given.index[:, places]), torch.from_numpy(given.cosine[places])


def nearest_edges(features: Tensor, k: int) -> Edges:
    """Edges to the `k` nearest rows by cosine (SEA Eq. 8, 9).

    The row itself is first, and ties go to the lowest row. Cosines are compared to six decimals, as
    float32 cannot tell closer ones apart. A zero row has cosine 0 with all rows but itself.

    Args:
        features: [n, width].
        k: number of neighbours.

    Returns:
        Edges [2, n k] and cosines [n k], in ascending order of row and column.

    Raises:
        RequestError: k is not between 1 and n.
    """
    unit = F.normalize(features.float(), dim=1)
    return _search(lambda start, stop: unit[start:stop] @ unit.T, len(unit), k)


def nearest_means(features: Tensor, mean: SparseGraph, k: int) -> Edges:
    """As `nearest_edges(mean(features), k)`, but without products of means at full width.

    The product of two means is the mean of products of features. If m < n and the products of all
    features fit, they are computed once. Otherwise each block of means is multiplied with the
    features. This is also done if features cancel in a mean, as it is more exact.

    Args:
        features: [m, width].
        mean: [n, m]; means that nearly cancel count as zero.
        k: number of neighbours.

    Returns:
        Edges [2, n k] and cosines [n k].
    """
    features = features.float() / features.abs().max().clamp_min(1e-30)
    n, m = mean.shape
    lengths = mean(features).norm(dim=1)
    shares = lengths / mean(features.norm(dim=1, keepdim=True)).flatten().clamp_min(1e-30)
    is_real = shares > SHORTEST_MEAN
    scale = is_real / lengths.clamp_min(1e-30)
    gram = None
    if m < n and 4 * m * m <= GRAM_BYTES and (shares[is_real] > SHORT_MEAN).all():
        gram = features @ features.T

    def cosines(start: int, stop: int) -> Tensor:
        if gram is None:
            products = mean.rows_of_product(features, start, stop) @ features.T
        else:
            products = mean.rows_of_product(gram, start, stop)  # [block, m]
        cosines = mean(products.T).T.contiguous()  # [block, n]
        return cosines.mul_(scale[start:stop, None]).mul_(scale).clamp_(-1, 1)

    return _search(cosines, n, k)


def _search(cosines_of: Callable[[int, int], Tensor], n: int, k: int) -> Edges:
    """Edges to the `k` nearest of each of `n` rows.

    `cosines_of(start, stop)` gives the cosines of a block of rows with all rows, [stop - start, n].
    """
    if not 0 < k <= n:
        raise RequestError(f"n_neighbours must be from 1 to the number of rows, {n}; it is {k}")
    step = max(1, BLOCK_BYTES // (4 * n))
    blocks = []
    for start in range(0, n, step):
        cosines = cosines_of(start, min(start + step, n))
        nearest = _nearest(cosines, start, k)  # [block, k]
        blocks.append((nearest, cosines.gather(1, nearest)))
    neighbours, cosines = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return neighbour_indices(neighbours), cosines.flatten()


def _nearest(cosines: Tensor, start: int, k: int) -> Tensor:
    """The `k` nearest columns [block, k] in a block of cosines [block, n] from row `start` on.

    Decimals and column make one float64 each, so that equal cosines are ordered by column.
    """
    block, n = cosines.shape
    columns = torch.arange(n, device=cosines.device)
    ranked = (cosines * 1e6).round_().double().mul_(n).sub_(columns)
    ranked.diagonal(start).fill_(torch.inf)
    return top_columns(ranked, k).sort(dim=1).values


def edge_cosines(x: Tensor, neighbours: Tensor) -> Tensor:
    """The cosines [n, k] of the rows of `x` [n, dim] with their `neighbours` [n, k].

    They are differentiable.
    """
    unit = F.normalize(x, dim=1)
    columns = [(unit * F.embedding(column, unit)).sum(dim=1) for column in neighbours.T]
    return torch.stack(columns, dim=1)


def neighbour_graph(indices: Tensor, weights: Tensor, n_items: int) -> SparseGraph:
    """D^-1/2 S D^-1/2, D the row sums of weights S, on both sides (SEA Eq. 9, 10).

    With k neighbours of weight 1 per row each entry is 1/k, so rows sum to one; the graph is
    directed. LATTICE and MICRO weigh edges by cosine.

    Args:
        indices: int64 [2, n_edges].
        weights: [n_edges].
        n_items: size.
    """
    rows, columns = indices
    sums = weights.new_zeros(n_items).index_add_(0, rows, weights)
    scale = inverse_root(sums.clamp(min=0))
    return SparseGraph(indices, scale[rows] * weights * scale[columns], (n_items, n_items))


def similarity_graph(indices: Tensor, cosines: Tensor, shape: tuple[int, int]) -> SparseGraph:
    """Cosines over the number of edges of their row, so that rows sum to a mean cosine (REARM B2).

    Args:
        indices: int64 [2, n_edges].
        cosines: [n_edges].
        shape: of the graph.
    """
    rows = indices[0]
    counts = torch.bincount(rows)
    return SparseGraph(indices, cosines / counts[rows], shape)
