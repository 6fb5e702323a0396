"""Graphs of what is alike: the nearest neighbours of items, or of anything that has features."""

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
from seapkg.device import in_blocks

log = logging.getLogger(__name__)

#: What a block of rows' cosines takes in the search for neighbours.
BLOCK_BYTES = 16 << 20
#: Up to this size the products of all items' features are held at once.
GRAM_BYTES = 1 << 30
#: How far from 1 the cosine of a mean with itself may be where it comes from those products.
OWN_COSINE_ERROR = 1e-5
#: A mean this much shorter than its features is, in float32, mostly rounding.
NOTHING_LEFT = 1e-4


class ItemGraphs(nn.Module):
    """The modalities' item graphs, mixed: x ↦ Σ_m α_m S_m x (SEA Eq. 11).

    Args:
        dataset: gives the features or the item graphs.
        n_neighbours: k of the kNN graphs.
        image_weight: share of the image graph where there are image and text; other sets share equally.
        learned: the shares are the softmax of trainable logits that start at these values; fixed ones make one graph.
    """

    def __init__(
        self, dataset, n_neighbours: int, image_weight: float, *, learned: bool = False
    ) -> None:
        super().__init__()
        graphs = {name: item_graph(dataset, name, n_neighbours) for name in dataset.modalities}
        shares = initial_shares(dataset.modalities, image_weight)
        self.graphs = nn.ModuleDict(
            graphs if learned else {"mixed": weighted_sum(list(graphs.values()), shares)}
        )
        self.logits = nn.Parameter(shares.clamp(min=1e-6).log()) if learned else None
        self.register_buffer(
            "fixed", None if learned else shares, persistent=False
        )  # to be read: "mixed" has them

    @property
    def shares(self) -> Tensor:
        """α, one a modality; they sum to one."""
        return self.fixed if self.logits is None else self.logits.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: [n_items, dim]. Returns [n_items, dim]."""
        if self.logits is None:
            return self.graphs["mixed"](x)
        return sum(
            share * graph(x) for share, graph in zip(self.shares, self.graphs.values(), strict=True)
        )


def initial_shares(modalities: tuple[str, ...], image_weight: float) -> Tensor:
    """The modalities' shares in a mixed graph: `image_weight` of image beside text; other sets share equally."""
    if set(modalities) == {"image", "text"}:
        return torch.tensor(
            [image_weight if name == "image" else 1 - image_weight for name in modalities]
        )
    return torch.full((len(modalities),), 1 / len(modalities))


def item_graph(dataset, modality: str, k: int, *, weighted: bool = False) -> SparseGraph:
    """The item graph of one modality: the dataset's given edges where it has them, else the kNN of its features.

    `weighted`: edges keep their cosine (`cosine_graph`) instead of counting alike (`neighbour_graph`)."""
    rows, columns, cosines = item_edges(dataset, modality, k)
    if weighted:
        return cosine_graph(rows, columns, cosines, dataset.n_items)
    return neighbour_graph(rows, columns, dataset.n_items)


def item_edges(dataset, modality: str, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each item's `k` nearest, itself first: rows, columns and cosines of the edges. Given edges may be fewer, which is
    warned of where no item has `k`, and need not have the item itself among them."""
    if modality in dataset.item_graphs:
        given = dataset.item_graphs[modality]
        most = int(np.bincount(given.index[0]).max(initial=0))
        if most < k:
            log.warning(
                "the given item graph of %s has at most %d edges an item; %d were asked for",
                modality,
                most,
                k,
            )
        return _best_given(given, k)
    if k > dataset.n_items:
        raise RequestError(
            f"n_neighbours must be at most the number of items, {dataset.n_items}; it is {k}"
        )
    return nearest_edges(torch.from_numpy(dataset.features[modality].copy()), k)


def _best_given(given, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `k` given edges of each row with the highest cosines: that to itself first, ties to the lowest item."""
    rows, columns = given.index
    order = np.lexsort((columns, -given.cosine, rows != columns, rows))
    starts = np.searchsorted(rows[order], rows[order])
    kept = np.sort(order[np.arange(len(order)) - starts < k])
    return tuple(torch.from_numpy(part[kept].copy()) for part in (rows, columns, given.cosine))


def nearest_edges(features: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `k` nearest rows of each row by cosine (`nearest_neighbours`): rows, columns and cosines of the edges."""
    unit = F.normalize(features.float(), dim=1)
    return _edges(
        *_search(lambda start, stop: unit[start:stop] @ unit.T, len(unit), k, BLOCK_BYTES)
    )


def nearest_means(
    features: Tensor, mean: SparseGraph, k: int, block_bytes: int = BLOCK_BYTES
) -> tuple[Tensor, Tensor, Tensor]:
    """`nearest_edges` of `mean(features)`, such as users' interests, without comparing them at full width.

    `features`: [m, width]; `mean`: [n, m]. The products of means are means of the features' products: of a table
    [m, m] where that is small and m below n, else of a block's means with all features. The table is exact to what the
    features measure, not the means: where these are short because features cancel, and a mean's cosine with itself is
    not 1, the block is taken without the table. A mean shorter than NOTHING_LEFT of its features counts as zero.
    """
    features = features.float() / features.abs().max().clamp_min(1e-30)
    n, m = mean.shape
    lengths = mean(features).norm(dim=1)
    own = (lengths > NOTHING_LEFT * mean(features.norm(dim=1, keepdim=True)).flatten()).float()
    scale = own / lengths.clamp_min(1e-30)
    gram = features @ features.T if m < n and 4 * m * m <= GRAM_BYTES else None

    def scaled(products: Tensor, start: int, stop: int) -> Tensor:
        """From a block's products with the features [block, m] to its cosines with all means [block, n]."""
        cosines = mean(products.T).T.contiguous()
        return cosines.mul_(scale[start:stop, None]).mul_(scale).clamp_(-1, 1)

    def cosines(start: int, stop: int) -> Tensor:
        if gram is not None:
            found = scaled(mean.rows_of_product(gram, start, stop), start, stop)
            if (found.diagonal(start) - own[start:stop]).abs().max() < OWN_COSINE_ERROR:
                return found
        return scaled(mean.rows_of_product(features, start, stop) @ features.T, start, stop)

    return _edges(*_search(cosines, n, k, block_bytes * n // max(n, m)))


def _edges(best: Tensor, cosines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, k = best.shape
    return (
        torch.arange(n, device=best.device).repeat_interleave(k),
        best.flatten(),
        cosines.flatten(),
    )


def nearest_neighbours(features: Tensor, k: int, block_bytes: int = BLOCK_BYTES) -> Tensor:
    """The `k` nearest rows of each row by cosine (SEA Eq. 8, 9): itself first, ties to the lowest row.

    `features`: [n, width]. Works in blocks of rows, never holding an n x n matrix. Cosines are compared to six
    decimals: what float32 cannot tell apart counts as a tie. A zero row has cosine 0 with all but itself.
    Returns int64 [n, k], each row in rising order of index. Raises ValueError if k exceeds n.
    """
    unit = F.normalize(features.float(), dim=1)
    return _search(lambda start, stop: unit[start:stop] @ unit.T, len(unit), k, block_bytes)[0]


def _search(
    cosines_of: Callable[[int, int], Tensor], n: int, k: int, block_bytes: int
) -> tuple[Tensor, Tensor]:
    """The `k` nearest of each of `n` rows and their cosines, [n, k] both; `cosines_of(start, stop)` are those of a
    block of rows with all rows, [stop - start, n]."""
    if not 0 < k <= n:
        raise ValueError(f"k must be between 1 and the number of rows, {n}; it is {k}")

    def every(step: int) -> tuple[Tensor, Tensor]:
        found = [
            _nearest(cosines_of(start, min(start + step, n)), start, k)
            for start in range(0, n, step)
        ]
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    return in_blocks(every, max(1, block_bytes // (4 * n)), "the search for nearest neighbours")


def _nearest(cosines: Tensor, start: int, k: int) -> tuple[Tensor, Tensor]:
    """The columns of the `k` nearest and their cosines, from those of a block [block, n] that begins at row `start`."""
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
    """What is above the bar and, of those level with it, the lowest columns, so that there are `k`: int64 [n, k]."""
    above, level = cosines > bar, cosines == bar
    room = k - above.sum(dim=1, keepdim=True)
    return (above | (level & (level.cumsum(dim=1) <= room))).nonzero()[:, 1].view(-1, k)


def edge_cosines(x: Tensor, neighbours: Tensor) -> Tensor:
    """The cosines of each row of `x` [n, dim] with its neighbours [n, k], differentiable. Returns [n, k]."""
    unit = F.normalize(x, dim=1)
    return torch.stack(
        [(unit * F.embedding(column, unit)).sum(dim=1) for column in neighbours.T], dim=1
    )


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


def similarity_graph(
    rows: Tensor, columns: Tensor, cosines: Tensor, shape: tuple[int, int]
) -> SparseGraph:
    """REARM's feature graph (spec B2): the cosines of each row's nearest over their number, so that rows sum to a mean
    cosine."""
    counts = torch.bincount(rows, minlength=shape[0])
    return SparseGraph(rows, columns, cosines / counts[rows], shape)
