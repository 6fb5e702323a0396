"""Random data of a real dataset's shape: sizes, widths, a long tail of items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seapkg.data import Dataset, ItemGraph


@dataclass(frozen=True)
class Shape:
    """Sizes of a dataset; `n_held_out` pairs each in valid and test; a width per modality."""

    n_users: int
    n_items: int
    n_train: int
    n_held_out: int
    widths: dict[str, int]


ORIGINAL = {"image": 4096, "text": 384}
NARROW = {"image": 64, "text": 64}
SHAPES = {
    "smoke": Shape(300, 200, 1_500, 300, {"image": 48, "text": 32}),
    "baby": Shape(19_445, 7_050, 118_551, 21_682, ORIGINAL),
    "sports": Shape(35_598, 18_357, 218_409, 40_029, ORIGINAL),
    "clothing": Shape(39_387, 23_033, 197_338, 41_000, ORIGINAL),
    "million": Shape(400_000, 1_000_000, 4_000_000, 400_000, NARROW),
}


def grown(n_items: int) -> Shape:
    """A shape in the proportions of "million": 0.4 users and 4 pairs per item, narrow features."""
    return Shape(2 * n_items // 5, n_items, 4 * n_items, 2 * n_items // 5, NARROW)


def random_dataset(shape: Shape, n_neighbours: int = 10, seed: int = 0) -> Dataset:
    """Pairs with a long tail of items, normal features and random item graphs.

    An item's neighbours are itself and nine others; searching them in noise would only take time.
    """
    random = np.random.default_rng(seed)
    pairs = _pairs(shape, shape.n_train + 2 * shape.n_held_out, random)
    first = np.unique(pairs[:, 0], return_index=True)[1]  # a user's first pair is for training
    rest = random.permutation(np.setdiff1d(np.arange(len(pairs)), first))
    held_out, others = np.split(rest, [2 * shape.n_held_out])
    train = np.concatenate([first, others])
    features = {
        name: random.standard_normal((shape.n_items, width), dtype=np.float32)
        for name, width in shape.widths.items()
    }
    return Dataset.from_arrays(
        pairs[train],
        pairs[held_out[: shape.n_held_out]],
        pairs[held_out[shape.n_held_out :]],
        n_users=shape.n_users,
        n_items=shape.n_items,
        features=features,
        item_graphs={name: _neighbours(shape.n_items, n_neighbours, random) for name in features},
    )


def _pairs(shape: Shape, n: int, random) -> np.ndarray:
    """`n` distinct pairs [n, 2], one per user at least; item i has the weight (i + 10)^-0.6."""
    share = np.cumsum((np.arange(shape.n_items) + 10.0) ** -0.6)
    keys = np.empty(0, dtype=np.int64)
    first = np.arange(shape.n_users)
    while len(keys) < n:
        users = np.concatenate(
            [first, random.integers(shape.n_users, size=n - len(keys) + n // 20)]
        )
        items = np.searchsorted(share, random.random(len(users)) * share[-1])
        drawn = users * shape.n_items + np.minimum(items, shape.n_items - 1)
        keys, first = np.unique(np.concatenate([keys, drawn])), first[:0]
    users = keys // shape.n_items
    needed = np.unique(users, return_index=True)[1]
    spare = random.permutation(np.setdiff1d(np.arange(len(keys)), needed))
    chosen = keys[np.sort(np.concatenate([needed, spare[: n - len(needed)]]))]
    return np.stack([chosen // shape.n_items, chosen % shape.n_items], axis=1)


def _neighbours(n_items: int, k: int, random) -> ItemGraph:
    rows = np.arange(n_items)
    shuffled = random.permutation(n_items)  # neighbours lie anywhere, as real ones do
    offsets = np.sort(random.choice(np.arange(1, n_items), size=k - 1, replace=False))
    columns = (rows[:, None] + np.concatenate([[0], offsets])) % n_items
    cosines = np.broadcast_to(np.linspace(1, 0.1, k, dtype=np.float32), columns.shape)
    index = np.stack([shuffled[rows].repeat(k), shuffled[columns].ravel()])
    return ItemGraph(index, cosines.ravel().copy())
