"""ItemKNN (Deshpande & Karypis, TOIS 2004): the nearest items of a user's items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import item_edges
from seapkg.models.base import ItemToItemRecommender
from seapkg.models.registry import system
from seapkg.options import configuration, option

#: Most similarities that are computed at once, unless a single item has more.
BLOCK_ENTRIES = 1 << 22
#: Similarities that agree to so many decimals are equal.
DECIMALS = 9


@configuration
class ItemKNNConfig:
    """Options of ItemKNN."""

    n_neighbours: int = option(
        20, "Neighbours k of each item.", ge=1, search=[5, 10, 20, 50, 100, 200, 500]
    )
    shrinkage: float = option(
        0.0,
        "Added to the denominator: few common users count less; unused with content.",
        ge=0,
        search=[0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0],
    )
    normalise_users: bool = option(
        True,
        "Count a user of d items as 1/d instead of 1; unused with content.",
        search=[False, True],
    )
    normalise_items: bool = option(
        True, "Make the similarities of each item add up to 1.", search=[False, True]
    )
    content: bool = option(False, "Compare the features of items instead of their users.")


@system(
    "itemknn",
    paper="ItemKNN",
    title="Item-Based Top-N Recommendation Algorithms",
    year=2004,
    source="doi:10.1145/963770.963776",
    colour="black",
    marker="d",
)
class ItemKNN(ItemToItemRecommender):
    r"""Scores an item by its similarity with the user's items, each of which has k neighbours.

    Equations:
        n_ij = Σ_u 1/d_u over the users who have both items, or their number; n_i = n_ii.
        s_ij = n_ij / (sqrt(n_i n_j) + h), the cosine of the items' users with shrinkage h. With
        `content`, s_ij = Σ_m cos(x_im, x_jm), over the modalities m in which j is among the k
        nearest of i. The k largest s_ij of each i are divided by their sum.
        y_ui = Σ_{j ∈ N_u} s_ji, over the items j that have i among their k most similar ones.

    Differences from the published code:
        - The paper has neither shrinkage, which is common today, nor features.
        - Equal similarities go to the lowest item. An item is no neighbour of itself, and only
          positive similarities count.
        - With `content`, a given item graph of a dataset replaces the nearest items.
    """

    config_class = ItemKNNConfig

    def __init__(self, dataset: Dataset, config: ItemKNNConfig) -> None:
        super().__init__(dataset, config)
        k, n = config.n_neighbours, dataset.n_items
        if k > n:
            raise RequestError(f"n_neighbours must be at most the number of items, {n}; it is {k}")
        if config.content:
            dataset.require_features("ItemKNN with content=true")
            blocks = [(0, content_similarities(dataset, k))]
        else:
            blocks = cosines(dataset, config)
        nearest = [top_entries(block, first, k) for first, block in blocks]
        rows, columns, values = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
        if config.normalise_items:
            values = values / np.bincount(rows, values, minlength=n)[rows]
        entries = torch.from_numpy(np.stack([rows, columns])), torch.from_numpy(values).float()
        weights = torch.sparse_coo_tensor(*entries, (n, n), check_invariants=False).coalesce()
        self.register_buffer("weights", weights, persistent=False)

    def item_weights(self) -> Tensor:
        """The similarities, sparse [n_items, n_items]: row j has the k neighbours of item j."""
        return self.weights


def cosines(dataset: Dataset, config: ItemKNNConfig) -> Iterator[tuple[int, csr_array]]:
    """The cosines of all items by their users, in blocks of rows.

    The users of an item have so many items in all; a row has at most as many entries. This bounds
    the size of a block.

    Yields:
        The first item of the block, and its similarities [block, n_items].
    """
    n, (users, items) = dataset.n_items, dataset.train.T
    degrees = np.bincount(users, minlength=dataset.n_users)
    weights = 1 / np.sqrt(degrees[users]) if config.normalise_users else np.ones(len(users))
    of_users = csr_array((weights, (users, items)), shape=(dataset.n_users, n))
    of_items = of_users.T.tocsr()
    norms = np.sqrt(of_items.power(2).sum(axis=1))
    bounds = np.bincount(items, degrees[users], minlength=n).clip(max=n)
    blocks = bounds.cumsum() // BLOCK_ENTRIES
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    for first, stop in zip(starts, [*starts[1:], n], strict=True):
        common = (of_items[first:stop] @ of_users).tocoo()
        values = common.data / (norms[first + common.row] * norms[common.col] + config.shrinkage)
        yield first, csr_array((values, (common.row, common.col)), shape=common.shape)


def content_similarities(dataset: Dataset, k: int) -> csr_array:
    """The cosines of each item with its `k` nearest others by features, added over modalities.

    Returns:
        [n_items, n_items].
    """
    n = dataset.n_items
    total = csr_array((n, n))
    for name in dataset.modalities:
        edges, values = item_edges(dataset, name, min(k + 1, n))  # an item is nearest to itself
        total = total + csr_array((values.double().numpy(), tuple(edges.numpy())), shape=(n, n))
    return total


def top_entries(block: csr_array, first: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `k` largest positive entries of each row, ties to the lowest column.

    Args:
        block: [n, n_items], the rows of the items from `first` on. The items themselves are left
            out.
        first: number of the first row.
        k: number of entries.

    Returns:
        Rows, columns and values of the entries.
    """
    entries = coo_array(block)
    rows, columns, values = entries.row + first, entries.col, entries.data
    is_neighbour = (values > 0) & (rows != columns)
    rows, columns, values = (part[is_neighbour] for part in (rows, columns, values))
    order = np.lexsort([columns, -values.round(DECIMALS), rows])
    places = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    best = order[places < k]
    return rows[best], columns[best], values[best]
