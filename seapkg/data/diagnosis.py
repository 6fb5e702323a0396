"""Whether features tell of taste, and what in a dataset will hurt: the second half of the command `data check`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.read import FEATURES, GRAPHS, ITEMS

N_PAIRS = 20_000
BLOCK = 2_000  # pairs whose features are held at a time
SEED = 0
MOST_DUPLICATES = 0.01
MOST_IDLE = 0.01
LARGEST_NORM = 100  # times the median
LIKE_DATA = {".npy", ".npz", ".csv", ".tsv"}


def table_1(dataset: Dataset) -> pd.DataFrame:
    """The dataset's line of Table 1: users, items, interactions of all splits, and the share of pairs never met."""
    sparsity = 1 - dataset.n_interactions / (dataset.n_users * dataset.n_items)
    sizes = {
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": dataset.n_interactions,
    }
    return pd.DataFrame([{"dataset": dataset.name, **sizes, "sparsity": f"{sparsity:.2%}"}])


def likeness(dataset: Dataset, n_pairs: int = N_PAIRS) -> pd.DataFrame:
    """How much more alike items are that share a user in training: one row a modality with mean cosines.

    `co-interacted`: a training pair, and another item of its user. `random`: the items of two training pairs, so
    they are as popular, left out where they are the same. The same pairs are drawn every time. Empty where no user
    has two items.
    """
    together = _co_interacted(dataset.train, n_pairs)
    apart = _random(dataset.train, n_pairs)
    if not (len(together) and len(apart)):
        return pd.DataFrame()
    rows = []
    for modality, x in dataset.features.items():
        shared, chance = mean_cosine(x, together), mean_cosine(x, apart)
        rows.append(
            {
                "modality": modality,
                "co-interacted": shared,
                "random": chance,
                "difference": shared - chance,
            }
        )
    return pd.DataFrame(rows)


def _co_interacted(train: np.ndarray, n_pairs: int) -> np.ndarray:
    """Two different items of one user, [n, 2]; the user as often as there are training pairs of users with two."""
    ordered = train[np.argsort(train[:, 0], kind="stable")]
    counts = np.bincount(ordered[:, 0])
    first = np.repeat(np.cumsum(counts) - counts, counts)  # of each pair's user
    degree = counts[ordered[:, 0]]
    candidates = np.flatnonzero(degree > 1)
    if not len(candidates):
        return np.empty((0, 2), dtype=np.int64)
    rng = np.random.default_rng(SEED)
    here = candidates[rng.integers(len(candidates), size=n_pairs)]
    step = rng.integers(1, degree[here])
    there = first[here] + (here - first[here] + step) % degree[here]
    return np.stack([ordered[here, 1], ordered[there, 1]], axis=1)


def _random(train: np.ndarray, n_pairs: int) -> np.ndarray:
    """The items of two random training pairs, [at most n_pairs, 2], where they differ."""
    pairs = train[np.random.default_rng((SEED, 1)).integers(len(train), size=(n_pairs, 2)), 1]
    return pairs[pairs[:, 0] != pairs[:, 1]]


def mean_cosine(x: np.ndarray, pairs: np.ndarray) -> float:
    """Mean over pairs [n, 2] of the cosine of two rows of x [n_items, width]; 0 where a row is zero."""
    total = 0.0
    for start in range(0, len(pairs), BLOCK):
        a, b = (x[rows].astype(np.float64) for rows in pairs[start : start + BLOCK].T)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        total += ((a * b).sum(axis=1) / np.where(norms > 0, norms, 1)).sum()
    return float(total / len(pairs))


def warnings_about(dataset: Dataset) -> list[str]:
    """What will hurt a model, one sentence each; [] where nothing was found."""
    found = [
        f"{name} features: {what}" for name, x in dataset.features.items() for what in _faults(x)
    ]
    idle = dataset.n_items - len(dataset.train_items)
    if idle > MOST_IDLE * dataset.n_items:
        found.append(
            f"{idle} of {dataset.n_items} items have no training pair; collaborative models cannot rank them"
        )
    return found


def not_read(dataset: Dataset) -> list[str]:
    """Files beside the dataset's own that look like data and that no reader takes, one sentence each."""
    folder = Path(dataset.source)
    if not folder.is_dir():
        return []
    own = (
        {f"{split}.npy" for split in SPLITS}
        | {f"{name}{FEATURES}" for name in dataset.features}
        | {GRAPHS, ITEMS}
    )
    found = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in LIKE_DATA)
    return [
        f"{name} is not read: features are files named MODALITY{FEATURES}"
        for name in found
        if name not in own
    ]


def _faults(x: np.ndarray) -> Iterator[str]:
    """Complaints about one modality's features [n_items, width]."""
    if rows := int((x == x[:, :1]).all(axis=1).sum()) if x.shape[1] > 1 else 0:
        yield f"{rows} of {len(x)} rows are constant; they tell nothing about their items"
    if columns := int((x == x[:1]).all(axis=0).sum()) if len(x) > 1 else 0:
        yield f"{columns} of {x.shape[1]} columns are constant; leave them out"
    repeated = len(x) - len({row.tobytes() for row in x})
    if repeated > MOST_DUPLICATES * len(x):
        yield f"{repeated} of {len(x)} rows equal another; their items are neighbours of each other for no reason"
    norms = np.linalg.norm(x, axis=1)
    if norms.max() > LARGEST_NORM * np.median(norms):
        yield (
            f"the norm of row {int(norms.argmax())} is {norms.max():.4g}, the median is {np.median(norms):.4g}; "
            "scale the rows"
        )
