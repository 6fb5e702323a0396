"""ItemKNN (Deshpande & Karypis, TOIS 2004): the nearest items of a user's items."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import item_edges
from seapkg.graph.interactions import common_entries, largest
from seapkg.models.base import ItemToItemRecommender
from seapkg.models.registry import system
from seapkg.options import configuration, option

#: Rows, columns and values of a sparse matrix.
Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
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
            blocks = [content_similarities(dataset, k)]
        else:
            blocks = cosines(dataset, config)
        nearest = [nearest_items(*block, k) for block in blocks]
        rows, columns, values = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
        if config.normalise_items:
            values = values / np.bincount(rows, values, minlength=n)[rows]
        entries = torch.from_numpy(np.stack([rows, columns])), torch.from_numpy(values).float()
        weights = torch.sparse_coo_tensor(*entries, (n, n), check_invariants=False).coalesce()
        self.register_buffer("weights", weights, persistent=False)

    def item_weights(self) -> Tensor:
        """The similarities, sparse [n_items, n_items]: row j has the k neighbours of item j."""
        return self.weights


def cosines(dataset: Dataset, config: ItemKNNConfig) -> Iterator[Entries]:
    """The cosines of all items by their users, in blocks of items."""
    users, items = dataset.train.T
    weights = np.ones(len(users))
    if config.normalise_users:
        weights = 1 / np.sqrt(np.bincount(users)[users])
    of_items = csr_array((weights, (items, users)), shape=(dataset.n_items, dataset.n_users))
    norms = np.sqrt(of_items.power(2).sum(axis=1))
    for rows, columns, common in common_entries(of_items):
        yield rows, columns, common / (norms[rows] * norms[columns] + config.shrinkage)


def content_similarities(dataset: Dataset, k: int) -> Entries:
    """The positive cosines of each item with its `k` nearest others, added over modalities."""
    n = dataset.n_items
    total = csr_array((n, n))
    for name in dataset.modalities:
        edges, values = item_edges(dataset, name, min(k + 1, n))  # an item is nearest to itself
        total = total + csr_array((values.double().numpy(), tuple(edges.numpy())), shape=(n, n))
    entries = total.tocoo()
    is_neighbour = (entries.data > 0) & (entries.row != entries.col)
    return tuple(part[is_neighbour] for part in (entries.row, entries.col, entries.data))


def nearest_items(rows, columns, values, k: int) -> Entries:
    """The entries of the `k` largest values of each row, ties to the lowest column."""
    best, _ = largest(rows, values.round(DECIMALS), columns, k)
    return rows[best], columns[best], values[best]
