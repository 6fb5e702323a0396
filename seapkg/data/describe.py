"""What is in a dataset, in numbers, and what will hurt a model: the command `data check`."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.read import FEATURES, GRAPHS, ITEMS
from seapkg.data.validate import ItemGraph

BLOCK = 256  # columns of features that are handled at a time
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


def feature_similarity(dataset: Dataset) -> pd.DataFrame:
    """Do items that share a user in training have similar features? Mean cosines by modality.

    `co-interacted` is the mean over training pairs, each with the other items of its user;
    `random` is the mean over two training pairs of different items, which are as popular.

    Returns:
        One row a modality; empty where no user has two items.
    """
    n_pairs = len(dataset.train)
    met = sp.csr_array((np.ones(n_pairs), dataset.train.T), (dataset.n_users, dataset.n_items))
    popularity = met.sum(axis=0)
    degrees = met.sum(axis=1)
    several = degrees > 1
    n_apart = n_pairs**2 - (popularity**2).sum()
    if not several.any() or n_apart == 0:
        return pd.DataFrame()
    rows = []
    for name, x in dataset.features.items():
        norms, together, apart = _cosine_sums(x, met)
        together = (together - met @ norms)[several] / (degrees - 1)[several]
        apart -= popularity**2 @ norms
        co_interacted, random = together.sum() / degrees[several].sum(), apart / n_apart
        rows.append((name, co_interacted, random, co_interacted - random))
    return pd.DataFrame(rows, columns=["modality", "co-interacted", "random", "difference"])


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
        **_spread(degrees),
        "median": np.median(degrees).item(),
        "share of top 10 %": top.sum() / degrees.sum(),
        "Gini coefficient": gini(degrees),
    }


def _feature(x: np.ndarray) -> dict[str, object]:
    norms = np.linalg.norm(x, axis=1)
    return {
        "width": x.shape[1],
        **_spread(x),
        **_spread(norms, " row norm"),
        "rows of zeros": int((norms == 0).sum()),
        "rows equal to another": _n_repeated(x),
    }


def _graph(graph: ItemGraph, n_items: int) -> dict[str, object]:
    sources, targets = graph.index
    return {
        "edges": len(sources),
        **_spread(np.bincount(sources, minlength=n_items), " number of neighbours"),
        **_spread(graph.cosine, " cosine"),
        "items without their own edge": n_items - int((sources == targets).sum()),
    }


def _spread(values: np.ndarray, name: str = "") -> dict[str, object]:
    return {
        f"smallest{name}": values.min().item(),
        f"mean{name}": values.mean(dtype=np.float64).item(),
        f"largest{name}": values.max().item(),
    }


def _cosine_sums(x: np.ndarray, met: sp.csr_array) -> tuple[np.ndarray, np.ndarray, float]:
    """Sums of cosines, from squared norms of sums of unit rows; a row of zeros stays zero.

    Args:
        x: features [n_items, width].
        met: training pairs [n_users, n_items].

    Returns:
        Cosines of each item with itself (0 or 1) [n_items], sums over all pairs of items of each
        user [n_users], and the sum over all pairs of training pairs.
    """
    norms = np.linalg.norm(x, axis=1)
    scale = np.divide(1, norms, where=norms > 0, out=np.zeros(len(x)))
    of_users, of_all = np.zeros(met.shape[0]), 0.0
    for start in range(0, x.shape[1], BLOCK):
        unit = x[:, start : start + BLOCK] * scale[:, None]
        sums = met @ unit  # [n_users, at most BLOCK]
        of_users += (sums**2).sum(axis=1)
        of_all += (sums.sum(axis=0) ** 2).sum()
    return norms > 0, of_users, of_all


def _n_repeated(x: np.ndarray) -> int:
    return len(x) - len({row.tobytes() for row in x})


def _feature_faults(x: np.ndarray) -> list[str]:
    """Complaints about one modality's features [n_items, width]."""
    n_rows, width = x.shape
    constant_rows = (x == x[:, :1]).all(axis=1).sum() * (width > 1)
    constant_columns = (x == x[:1]).all(axis=0).sum() * (n_rows > 1)
    counts = [  # the number, of how many, the most that is usual, and what they are
        (constant_rows, n_rows, 0, "rows are constant; they say nothing about their items"),
        (constant_columns, width, 0, "columns are constant; leave them out"),
        (
            _n_repeated(x),
            n_rows,
            MOST_DUPLICATES * n_rows,
            "rows equal another; scores cannot tell them apart",
        ),
    ]
    complaints = [f"{n} of {size} {what}" for n, size, most, what in counts if n > most]
    norms = np.linalg.norm(x, axis=1)
    largest, median = norms.max(), np.median(norms)
    if largest > LARGEST_NORM * median:
        row = norms.argmax()
        complaints.append(
            f"the norm of row {row} is {largest:.4g}, the median is {median:.4g}; scale the rows"
        )
    return complaints


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
