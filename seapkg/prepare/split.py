"""The k-core, and MMRec's split into training, validation and test."""

import numpy as np
import pandas as pd

from seapkg.data.dataset import SPLITS

SMALLEST_CORE = 3  # each user needs a pair in training, validation and test


def k_core(pairs: pd.DataFrame, core: int) -> pd.DataFrame:
    """The k-core: users and items with fewer than `core` pairs are removed, repeatedly.

    Args:
        pairs: columns `user` and `item`, no pair twice.
        core: the least number of pairs of a user or item.
    """
    while True:
        user_degrees = pairs.groupby("user")["item"].transform("size")
        item_degrees = pairs.groupby("item")["user"].transform("size")
        enough = (user_degrees >= core) & (item_degrees >= core)
        if enough.all():
            return pairs
        pairs = pairs[enough]


def split_counts(n_pairs: np.ndarray) -> np.ndarray:
    """The number of pairs of each user in train, valid and test.

    Of fewer than 10 pairs, valid and test get one each. Of more, a fifth is held out, and valid
    gets half of it, both rounded down.

    Args:
        n_pairs: [n_users].

    Returns:
        [n_users, 3].
    """
    held_out = np.maximum(2, n_pairs // 5)
    valid = held_out // 2
    return np.stack([n_pairs - held_out, valid, held_out - valid], axis=1)


def random_split(users: np.ndarray, items: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Each user's pairs in random order, cut by `split_counts`; timestamps are not used.

    Pairs are sorted before they are shuffled: the same pairs and seed give the same split.

    Args:
        users, items: ids [n] from 0 without gaps.
        seed: of the random order.

    Returns:
        Split -> int64 [2, n], by user, then item.
    """
    pairs = np.stack([users, items])[:, np.lexsort((items, users))]  # [2, n]
    draws = pd.Series(np.random.default_rng(seed).random(pairs.shape[1]))
    position = draws.groupby(pairs[0]).rank(method="first").to_numpy()  # from 1, within each user
    ends = np.cumsum(split_counts(np.bincount(users)), axis=1)  # [n_users, 3]
    part = (position[:, None] > ends[pairs[0]]).sum(axis=1)
    return {split: pairs[:, part == number] for number, split in enumerate(SPLITS)}
