"""What is in a dataset, in numbers: the table behind the command `data check`."""

import numpy as np
import pandas as pd

from seapkg.data.dataset import SPLITS, Dataset


def describe(dataset: Dataset) -> pd.DataFrame:
    """Sizes, degrees, features and given graphs, as columns `about`, `quantity`, `value`."""
    sections = {"dataset": _origin(dataset), "interactions": _interactions(dataset)}
    sections |= {
        f"{kind} degree in training": _degrees(dataset, column)
        for column, kind in enumerate(("user", "item"))
    }
    sections |= {f"{name} features": _feature(x) for name, x in dataset.features.items()}
    sections |= {
        f"{name} graph": _graph(graph, dataset.n_items)
        for name, graph in dataset.item_graphs.items()
    }
    rows = [
        (about, quantity, value)
        for about, section in sections.items()
        for quantity, value in section.items()
    ]
    return pd.DataFrame(rows, columns=["about", "quantity", "value"])


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
    counts = {f"{split} pairs": len(getattr(dataset, split)) for split in SPLITS}
    density = sum(counts.values()) / (dataset.n_users * dataset.n_items)
    cold = np.setdiff1d(np.arange(dataset.n_items), dataset.train_items)
    return {
        "users": dataset.n_users,
        "items": dataset.n_items,
        **counts,
        "sparsity": 1 - density,
        "items never in training": len(cold),
        "test pairs on those items": int(np.isin(dataset.test[:, 1], cold).sum()),
    }


def _degrees(dataset: Dataset, column: int) -> dict[str, object]:
    size = (dataset.n_users, dataset.n_items)[column]
    degrees = np.sort(np.bincount(dataset.train[:, column], minlength=size))
    top = degrees[-max(1, size // 10) :].sum() / degrees.sum()
    return {
        "smallest": int(degrees[0]),
        "median": float(np.median(degrees)),
        "mean": float(degrees.mean()),
        "largest": int(degrees[-1]),
        "share of top 10 %": top,
        "Gini coefficient": gini(degrees),
    }


def gini(counts: np.ndarray) -> float:
    """Inequality of counts [n]: 0 where all are equal, towards 1 where one has all."""
    ordered = np.sort(counts)
    ranks = np.arange(1, len(ordered) + 1)
    return float(
        2 * (ranks * ordered).sum() / (len(ordered) * ordered.sum())
        - (len(ordered) + 1) / len(ordered)
    )


def _feature(x: np.ndarray) -> dict[str, object]:
    norms = np.linalg.norm(x, axis=1)
    return {
        "width": x.shape[1],
        "dtype": str(x.dtype),
        "smallest": float(x.min()),
        "largest": float(x.max()),
        "mean": float(x.mean(dtype=np.float64)),
        "mean row norm": float(norms.mean()),
        "smallest row norm": float(norms.min()),
        "largest row norm": float(norms.max()),
        "rows of zeros": int((norms == 0).sum()),
        "rows equal to another": len(x) - len({row.tobytes() for row in x}),
    }


def _graph(graph, n_items: int) -> dict[str, object]:
    degrees = np.bincount(graph.index[0], minlength=n_items)
    own = int((graph.index[0] == graph.index[1]).sum())
    return {
        "edges": graph.index.shape[1],
        "fewest neighbours": int(degrees.min()),
        "most neighbours": int(degrees.max()),
        "items without their own edge": n_items - own,
        "smallest cosine": float(graph.cosine.min()),
        "largest cosine": float(graph.cosine.max()),
    }
