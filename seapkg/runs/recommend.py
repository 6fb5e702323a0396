"""Restores the model of a finished run and recommends items with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from seapkg.data import Dataset, load
from seapkg.errors import BrokenFile, RequestError
from seapkg.models import Recommender, build
from seapkg.runs.archive import STATE
from seapkg.runs.configure import configure

if TYPE_CHECKING:
    from seapkg.runs.run import Run

BLOCK_BYTES = 64 << 20  # scores per block of users


def recommend(run: Run, user: int, k: int = 10, data: Dataset | None = None) -> pd.DataFrame:
    """The `k` items with the highest scores for `user` outside its training items.

    Args:
        run: with its model.
        user: its id.
        k: how many items.
        data: the run's dataset; by default read again from its source.

    Returns:
        A table with the columns rank, item, name, score; `name` is "" where the dataset has no
            names.

    Raises:
        RequestError: the user is unknown, the run has no model, or the data has changed.
    """
    run.require(STATE)
    dataset = dataset_of(run, data)
    if not 0 <= user < dataset.n_users:
        last = dataset.n_users - 1
        raise RequestError(f"no user {user} in {dataset.name}; ids go from 0 to {last}")
    table = next(top_items(restore(run, dataset), dataset, k, range(user, user + 1)))
    names = dataset.item_names
    table["name"] = [names[item] if names else "" for item in table["item"]]
    return table[["rank", "item", "name", "score"]]


def restore(run: Run, data: Dataset | None = None) -> Recommender:
    """The trained model of a run, in evaluation mode on the CPU."""
    arrays = run.arrays(STATE)
    config, _ = configure(run.model, dict(run.config))
    model = build(run.model, dataset_of(run, data), config, run.seed)
    try:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (RuntimeError, TypeError) as error:  # other shapes, or a type that torch lacks
        raise BrokenFile(
            f"{run.folder / STATE} does not fit {run.model}; delete {run.folder} and train again"
        ) from error
    return model.eval()


def dataset_of(run: Run, data: Dataset | None = None) -> Dataset:
    """The dataset of a run: `data`, or read again from the run's source.

    Raises:
        DataNotFound: the source is no longer there.
        RequestError: the content differs.
    """
    source = run.record["data"]
    if data is None:
        data = load(source["path"] or source["source"] or run.dataset)
    if data.fingerprint != run.spec.dataset_fingerprint:
        raise RequestError(
            f"{data.source or data.name} has changed since {run.name} was trained on it; train "
            "again, or give the original data"
        )
    return data


@torch.no_grad()
def top_items(
    model: Recommender, dataset: Dataset, k: int, users: range | None = None
) -> Iterator[pd.DataFrame]:
    """The `k` items with the highest scores for each user, without its training items.

    Equal scores go to the lower item id. A user with fewer than `k` other items gets fewer rows.

    Args:
        model: trained.
        dataset: of the model.
        k: how many items.
        users: consecutive ids; by default all users.

    Yields:
        One table per block of users, with the columns user, rank, item, score.
    """
    if k < 1:
        raise RequestError(f"k must be at least 1; it is {k}")
    users = users or range(dataset.n_users)
    size = max(1, BLOCK_BYTES // (8 * dataset.n_items))
    score = model.scorer()
    for first in range(users.start, users.stop, size):
        block = np.arange(first, min(first + size, users.stop))
        scores = score(torch.from_numpy(block)).double()  # [n_block, n_items]
        pairs = dataset.train[np.isin(dataset.train[:, 0], block)]
        scores[pairs[:, 0] - first, pairs[:, 1]] = -torch.inf
        scores, items = scores.sort(dim=1, descending=True, stable=True)
        rows, columns = scores[:, :k].isfinite().nonzero().T.numpy()
        yield pd.DataFrame(
            {
                "user": rows + first,
                "rank": columns + 1,
                "item": items.numpy()[rows, columns],
                "score": scores.numpy()[rows, columns],
            }
        )
