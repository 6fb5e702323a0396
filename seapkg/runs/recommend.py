"""From a finished run back to a model that recommends."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from seapkg.data import Dataset, load
from seapkg.errors import RequestError, SeapkgError
from seapkg.models import Recommender, build
from seapkg.runs.configure import configure
from seapkg.runs.run import STATE, Run

if TYPE_CHECKING:
    import pandas as pd


def recommend(run: Run, user: int, k: int = 10, data: Dataset | None = None) -> "pd.DataFrame":
    """The `k` best items of `user` that are not in its training pairs: rank, item, name, score."""
    import pandas as pd

    if k < 1:
        raise RequestError(f"k must be at least 1; it is {k}")
    run.require(STATE)
    dataset = dataset_of(run, data)
    if isinstance(user, bool) or not 0 <= user < dataset.n_users:
        raise RequestError(
            f"no user {user} in {dataset.name}: ids go from 0 to {dataset.n_users - 1}"
        )
    items, scores = _best(restore(run, dataset), dataset, user, k)
    names = dataset.item_names
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(items) + 1),
            "item": items,
            "name": [names[item] if names else "" for item in items],
            "score": scores,
        }
    )


def restore(run: Run, data: Dataset | None = None) -> Recommender:
    """The model the run ended with, in evaluation mode on the CPU."""
    state = {name: torch.from_numpy(array) for name, array in run.arrays(STATE).items()}
    config, _ = configure(run.model, dict(run.config))
    model = build(run.model, dataset_of(run, data), config, run.seed)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise SeapkgError(
            f"{run.folder} holds a model this release cannot read: delete it and train again ({error})"
        ) from error
    return model.eval()


def dataset_of(run: Run, data: Dataset | None = None) -> Dataset:
    """The run's dataset, read again where it came from; `data` instead, if it is the same content."""
    dataset = data if data is not None else _reread(run)
    if dataset.fingerprint != run.spec.dataset_fingerprint:
        raise RequestError(
            f"{dataset.source or dataset.name} is no longer what {run.name} was trained on: "
            "its content differs; train again, or give the original data"
        )
    return dataset


def _reread(run: Run) -> Dataset:
    place = run.record["data"]
    try:
        return load(place["path"] or place["source"] or run.dataset)
    except RequestError as error:
        raise RequestError(
            f"{run.name} was trained on {place['source'] or 'arrays'}, which cannot be read again: {error}"
        ) from error


@torch.no_grad()
def _best(model: Recommender, dataset: Dataset, user: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    scores = model.score(torch.tensor([user]))[0].double().numpy()  # [n_items]
    known = dataset.train[dataset.train[:, 0] == user, 1]
    scores[known] = -np.inf
    order = np.argsort(-scores, kind="stable")[: min(k, dataset.n_items - len(known))]
    return order, scores[order]
