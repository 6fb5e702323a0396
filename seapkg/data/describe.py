"""What is in a dataset, in numbers, and what will hurt a model: the command `data check`."""

from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.read import FEATURES, GRAPHS, ITEMS
from seapkg.data.validate import ItemGraph

N_PAIRS = 20_000
BLOCK = 2_000  # pairs whose features are held at a time
SEED = 0
MOST_DUPLICATES = 0.01
LARGEST_NORM = 100  # times the median
LIKE_DATA = {".npy", ".npz", ".csv", ".tsv"}


def describe(dataset: Dataset) -> pd.DataFrame:
    """Sizes, degrees, features and given graphs, as columns `about`, `quantity`, `value`."""
    sections = {
        "dataset": _origin(dataset),
        "interactions": _interactions(dataset),
        "user degree in training": _degrees(dataset.train[:, 0], dataset.n_users),
        "item degree in training": _degrees(dataset.train[:, 1], dataset.n_items),
    }
    for name, x in dataset.features.items():
        sections[f"{name} features"] = _feature(x)
    for name, graph in dataset.item_graphs.items():
        sections[f"{name} graph"] = _graph(graph, dataset.n_items)
    rows = [(about, *row) for about, section in sections.items() for row in section.items()]
    return pd.DataFrame(rows, columns=["about", "quantity", "value"])


def table_1(dataset: Dataset) -> pd.DataFrame:
    """The dataset's row of the papers' Table 1: sizes, and the share of pairs never met."""
    row = {
        "dataset": dataset.name,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": dataset.n_interactions,
        "sparsity": f"{_sparsity(dataset):.2%}",
    }
    return pd.DataFrame([row])


def feature_similarity(dataset: Dataset, n_pairs: int = N_PAIRS) -> pd.DataFrame:
    """Do items that share a user in training have similar features? Mean cosines by modality.

    Column `co-interacted` is of a training pair's item and another item of its user, `random` of
    the items of two training pairs, which are as popular. The same pairs are drawn every time.

    Returns:
        One row a modality; empty where no user has two items.
    """
    together = _co_interacted(dataset.train, n_pairs)
    apart = _random(dataset.train, n_pairs)
    if not (len(together) and len(apart)):
        return pd.DataFrame()
    rows = [
        {
            "modality": name,
            "co-interacted": mean_cosine(x, together),
            "random": mean_cosine(x, apart),
        }
        for name, x in dataset.features.items()
    ]
    table = pd.DataFrame(rows, columns=["modality", "co-interacted", "random"])
    table["difference"] = table["co-interacted"] - table["random"]
    return table


def mean_cosine(x: np.ndarray, pairs: np.ndarray) -> float:
    """Mean over pairs [n, 2] of the cosine of two rows of x [n_items, width]; 0 for a zero row."""
    total = 0.0
    for start in range(0, len(pairs), BLOCK):
        a, b = (x[rows].astype(np.float64) for rows in pairs[start : start + BLOCK].T)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        total += ((a * b).sum(axis=1) / np.where(norms > 0, norms, 1)).sum()
    return float(total / len(pairs))


def warnings_about(dataset: Dataset) -> list[str]:
    """What will hurt a model, a sentence each, with the files in its folder that are not read."""
    complaints = list(dataset.warnings)
    for name, x in dataset.features.items():
        complaints += [f"{name} features: {complaint}" for complaint in _feature_faults(x)]
    return complaints + [
        f"{name} is not read: features are files named MODALITY{FEATURES}"
        for name in _not_read(dataset)
    ]


def gini(counts: np.ndarray) -> float:
    """Inequality of counts [n]: 0 where all are equal, towards 1 where one has all."""
    n = len(counts)
    ranks = np.arange(1, n + 1)
    return float(2 * (ranks * np.sort(counts)).sum() / (n * counts.sum()) - (n + 1) / n)


def _sparsity(dataset: Dataset) -> float:
    return 1 - dataset.n_interactions / (dataset.n_users * dataset.n_items)


def _origin(dataset: Dataset) -> dict[str, object]:
    return {
        "name": dataset.name,
        "source": dataset.source,
        "provenance": dataset.provenance or "unknown",
        "fingerprint": dataset.fingerprint,
        "modalities": ", ".join(dataset.modalities) or "none",
        "item names": "no" if dataset.item_names is None else "yes",
    }


def _interactions(dataset: Dataset) -> dict[str, object]:
    cold_users = ~np.isin(dataset.test[:, 0], dataset.train_users)
    cold_items = ~np.isin(dataset.test[:, 1], dataset.train_items)
    return {
        "users": dataset.n_users,
        "items": dataset.n_items,
        **{f"{split} pairs": len(getattr(dataset, split)) for split in SPLITS},
        "sparsity": _sparsity(dataset),
        "users never in training": dataset.n_users - len(dataset.train_users),
        "test pairs of those users": int(cold_users.sum()),
        "items never in training": dataset.n_items - len(dataset.train_items),
        "test pairs on those items": int(cold_items.sum()),
    }


def _degrees(ids: np.ndarray, size: int) -> dict[str, object]:
    degrees = np.sort(np.bincount(ids, minlength=size))
    top = degrees[-max(1, size // 10) :]
    return {
        "smallest": int(degrees[0]),
        "median": float(np.median(degrees)),
        "mean": float(degrees.mean()),
        "largest": int(degrees[-1]),
        "share of top 10 %": top.sum() / degrees.sum(),
        "Gini coefficient": gini(degrees),
    }


def _feature(x: np.ndarray) -> dict[str, object]:
    norms = np.linalg.norm(x, axis=1)
    return {
        "width": x.shape[1],
        "smallest": float(x.min()),
        "largest": float(x.max()),
        "mean": float(x.mean(dtype=np.float64)),
        "mean row norm": float(norms.mean()),
        "smallest row norm": float(norms.min()),
        "largest row norm": float(norms.max()),
        "rows of zeros": int((norms == 0).sum()),
        "rows equal to another": _n_repeated(x),
    }


def _graph(graph: ItemGraph, n_items: int) -> dict[str, object]:
    sources, targets = graph.index
    degrees = np.bincount(sources, minlength=n_items)
    return {
        "edges": len(sources),
        "fewest neighbours": int(degrees.min()),
        "most neighbours": int(degrees.max()),
        "items without their own edge": n_items - int((sources == targets).sum()),
        "smallest cosine": float(graph.cosine.min()),
        "largest cosine": float(graph.cosine.max()),
    }


def _co_interacted(train: np.ndarray, n_pairs: int) -> np.ndarray:
    """Items of `n_pairs` training pairs, each with another item of its user: [n, 2]."""
    ordered = train[np.argsort(train[:, 0], kind="stable")]
    counts = np.bincount(ordered[:, 0])
    first = (np.cumsum(counts) - counts)[ordered[:, 0]]  # row of the user's first pair, [n_train]
    degrees = counts[ordered[:, 0]]
    candidates = np.flatnonzero(degrees > 1)
    if not len(candidates):
        return np.empty((0, 2), dtype=np.int64)
    rng = np.random.default_rng(SEED)
    rows = candidates[rng.integers(len(candidates), size=n_pairs)]
    steps = rng.integers(1, degrees[rows])
    others = first[rows] + (rows - first[rows] + steps) % degrees[rows]
    return np.stack([ordered[rows, 1], ordered[others, 1]], axis=1)


def _random(train: np.ndarray, n_pairs: int) -> np.ndarray:
    """The items of two random training pairs, [at most n_pairs, 2], where they differ."""
    rows = np.random.default_rng((SEED, 1)).integers(len(train), size=(n_pairs, 2))
    items = train[rows, 1]
    return items[items[:, 0] != items[:, 1]]


def _n_repeated(x: np.ndarray) -> int:
    return len(x) - len({row.tobytes() for row in x})


def _feature_faults(x: np.ndarray) -> list[str]:
    """Complaints about one modality's features [n_items, width]."""
    n_rows, width = x.shape
    constant_rows = int((x == x[:, :1]).all(axis=1).sum()) if width > 1 else 0
    constant_columns = int((x == x[:1]).all(axis=0).sum()) if n_rows > 1 else 0
    repeated = _n_repeated(x)
    norms = np.linalg.norm(x, axis=1)
    largest, median = norms.max(), np.median(norms)
    complaints = {
        f"{constant_rows} of {n_rows} rows are constant; they say nothing about their items": (
            constant_rows > 0
        ),
        f"{constant_columns} of {width} columns are constant; leave them out": constant_columns > 0,
        f"{repeated} of {n_rows} rows equal another; such items are neighbours by accident": (
            repeated > MOST_DUPLICATES * n_rows
        ),
        f"the norm of row {norms.argmax()} is {largest:.4g}, the median is {median:.4g}; "
        "scale the rows": largest > LARGEST_NORM * median,
    }
    return [complaint for complaint, holds in complaints.items() if holds]


def _not_read(dataset: Dataset) -> list[str]:
    """Files beside the dataset's own that look like data and that no reader takes."""
    folder = Path(dataset.source)
    if not folder.is_dir():
        return []
    read = {f"{split}.npy" for split in SPLITS} | {GRAPHS, ITEMS}
    read |= {f"{name}{FEATURES}" for name in dataset.features}
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in LIKE_DATA and path.name not in read
    )
