"""Describes a dataset in numbers and lists its problems (the command `data check`)."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.read import FEATURES, GRAPHS

BLOCK = 256  # feature columns per step
MOST_DUPLICATES = 0.01  # share of rows
LARGEST_NORM = 100  # times the median


def describe(dataset: Dataset) -> pd.DataFrame:
    """Sizes, degrees, features and given graphs, as columns `about`, `quantity`, `value`."""
    train, n_users, n_items = dataset.train, dataset.n_users, dataset.n_items
    sections = {
        "dataset": _sizes(dataset),
        "user degree in training": _spread(np.bincount(train[:, 0], minlength=n_users)),
        "item degree in training": _spread(np.bincount(train[:, 1], minlength=n_items)),
    }
    for name, x in dataset.features.items():
        norms = _spread(np.linalg.norm(x, axis=1))
        sections[f"{name} features, norm of a row"] = {"width": x.shape[1]} | norms
    for name, graph in dataset.item_graphs.items():
        degrees = np.bincount(graph.index[0], minlength=n_items)
        sections[f"{name} graph, neighbours"] = _spread(degrees)
        sections[f"{name} graph, cosine"] = _spread(graph.cosine)
    rows = [(about, *row) for about, section in sections.items() for row in section.items()]
    return pd.DataFrame(rows, columns=["about", "quantity", "value"])


def feature_similarity(dataset: Dataset) -> pd.DataFrame:
    """Tells whether items of the same user have similar features: mean cosines by modality.

    `co-interacted` is the mean cosine of two items of the same user, `random` that of two
    different items drawn in proportion to their popularity.

    Returns:
        One row per modality; empty where no user has two items.
    """
    n_pairs = len(dataset.train)
    met = sp.csr_array((np.ones(n_pairs), dataset.train.T), (dataset.n_users, dataset.n_items))
    popularity = met.sum(axis=0)
    degrees = met.sum(axis=1)
    several = degrees > 1
    if not several.any():
        return pd.DataFrame()
    rows = []
    for name, x in dataset.features.items():
        unit = unit_rows(x)
        itself = (unit**2).sum(axis=1)  # [n_items], 0 for a row of zeros
        blocks = np.array_split(unit, 1 + x.shape[1] // BLOCK, axis=1)
        together = sum(((met @ block) ** 2).sum(axis=1) for block in blocks) - met @ itself
        co_interacted = (together[several] / (degrees[several] - 1)).sum() / degrees[several].sum()
        apart = ((popularity @ unit) ** 2).sum() - popularity**2 @ itself
        random = apart / (n_pairs**2 - (popularity**2).sum())
        rows.append((name, co_interacted, random, co_interacted - random))
    return pd.DataFrame(rows, columns=["modality", "co-interacted", "random", "difference"])


def warnings_about(dataset: Dataset) -> list[str]:
    """Problems of a dataset, one sentence each, with the files in its folder that are not read."""
    problems = list(dataset.warnings)
    for name, x in dataset.features.items():
        problems += [f"{name} features: {problem}" for problem in _feature_problems(x)]
    read = {f"{split}.npy" for split in SPLITS} | {GRAPHS}
    read |= {f"{name}{FEATURES}" for name in dataset.features}
    files = Path(dataset.source).glob("*.np[yz]") if dataset.source else ()
    return problems + [
        f"{name} is not read: features are files named MODALITY{FEATURES}"
        for name in sorted({path.name for path in files} - read)
    ]


def _sizes(dataset: Dataset) -> dict[str, object]:
    density = dataset.n_interactions / (dataset.n_users * dataset.n_items)
    return {
        "name": dataset.name,
        "provenance": dataset.provenance or "unknown",
        "fingerprint": dataset.fingerprint,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": dataset.n_interactions,
        **{f"{split} pairs": len(getattr(dataset, split)) for split in SPLITS},
        "sparsity": f"{1 - density:.2%}",
        "users never in training": dataset.n_users - len(dataset.train_users),
        "items never in training": dataset.n_items - len(dataset.train_items),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    """The distribution of values [n] in four numbers."""
    return {
        "smallest": values.min(),
        "median": np.median(values),
        "mean": values.mean(),
        "largest": values.max(),
    }


def unit_rows(x: np.ndarray) -> np.ndarray:
    """`x` [n, width] with rows of unit norm; a row of zeros stays zero."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms > 0, norms, 1)


def _feature_problems(x: np.ndarray) -> list[str]:
    """Problems of one modality's features [n_items, width]."""
    n_rows, width = x.shape
    problems = []
    if constant := (x == x[:, :1]).all(axis=1).sum() * (width > 1):
        problems.append(f"{constant} of {n_rows} rows are constant; they carry no information")
    if constant := (x == x[:1]).all(axis=0).sum():
        problems.append(f"{constant} of {width} columns are constant; leave them out")
    repeated = n_rows - len({row.tobytes() for row in x})
    if repeated > MOST_DUPLICATES * n_rows:
        what = "rows equal another row; models cannot tell these items apart"
        problems.append(f"{repeated} of {n_rows} {what}")
    norms = np.linalg.norm(x, axis=1)
    largest, median = norms.max(), np.median(norms)
    if largest > LARGEST_NORM * median:
        what = f"the norm of row {norms.argmax()} is {largest:.4g}, the median is {median:.4g}"
        problems.append(f"{what}; scale the rows")
    return problems
