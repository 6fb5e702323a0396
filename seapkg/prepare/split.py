"""From all pairs to those of the k-core, and from those to training, validation and test, as MMRec's data was made."""

import numpy as np

from seapkg.data.dataset import SPLITS

SMALLEST_CORE = 3  # with fewer pairs a user has none left to train on
FEW = 10


def k_core(users: np.ndarray, items: np.ndarray, core: int) -> np.ndarray:
    """Which pairs stay when users and items with fewer than `core` pairs are left out, until none has fewer.

    `users`, `items`: codes [n], no pair twice. Returns bool [n]. What is left does not depend on the order of removal.
    """
    keep = np.ones(len(users), dtype=bool)
    while True:
        degrees = [
            np.bincount(codes[keep], minlength=codes.max(initial=0) + 1)[codes]
            for codes in (users, items)
        ]
        enough = keep & (degrees[0] >= core) & (degrees[1] >= core)
        if enough.sum() == keep.sum():
            return keep
        keep = enough


def split_counts(n_pairs: np.ndarray) -> np.ndarray:
    """How many of a user's pairs go to train, valid and test: [n_users, 3] from their numbers of pairs [n_users].

    Of fewer than 10, one is for valid and one for test. Else a fifth is held out and half of that is for valid, both
    rounded down.
    """
    held_out = np.where(n_pairs < FEW, 2, n_pairs // 5)
    valid = held_out // 2
    return np.stack([n_pairs - held_out, valid, held_out - valid], axis=1)


def random_split(users: np.ndarray, items: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Each user's pairs in random order, cut by `split_counts`: split -> int64 [2, n], by user, then item.

    `users`, `items`: ids [n] from 0 without gaps. No timestamps are involved. Pairs are put in order before they
    are shuffled, so the same pairs and seed give the same split, however they were listed.
    """
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    counts = np.bincount(users)
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(users)), users))
    position = np.empty(
        len(users), dtype=np.int64
    )  # of a pair among those of its user, once shuffled
    position[shuffled] = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = np.cumsum(split_counts(counts), axis=1)[users]
    part = (position[:, None] >= ends).sum(axis=1)
    pairs = np.stack([users, items]).astype(np.int64)
    return {split: pairs[:, part == number] for number, split in enumerate(SPLITS)}
