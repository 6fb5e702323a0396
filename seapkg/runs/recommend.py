"""From a finished run back to a model that recommends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from seapkg.data import Dataset, load
from seapkg.errors import RequestError, SeapkgError
from seapkg.models import Recommender, build
from seapkg.runs.archive import STATE, RunFiles
from seapkg.runs.configure import configure

BLOCK_BYTES = 64 << 20  # of scores at a time


def recommend(run: RunFiles, user: int, k: int = 10, data: Dataset | None = None) -> pd.DataFrame:
    """The `k` items with the highest scores for `user` outside its training items.

    Returns:
        A table with the columns rank, item, name, score; `name` is "" where the dataset has no
            names.

    Raises:
        RequestError: for an unknown user, a run without its model, or data with another content.
    """
    run.require(STATE)
    dataset = dataset_of(run, data)
    if isinstance(user, bool) or not 0 <= user < dataset.n_users:
        last = dataset.n_users - 1
        raise RequestError(f"no user {user} in {dataset.name}: ids go from 0 to {last}")
    model = restore(run, dataset)
    table = next(top_items(model, dataset, k, range(user, user + 1)))
    names = dataset.item_names
    table["name"] = [names[item] if names else "" for item in table["item"]]
    return table[["rank", "item", "name", "score"]]


def restore(run: RunFiles, data: Dataset | None = None) -> Recommender:
    """The trained model of a run, in evaluation mode on the CPU."""
    arrays = run.arrays(STATE)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    config, _ = configure(run.spec.model, dict(run.spec.config))
    model = build(run.spec.model, dataset_of(run, data), config, run.spec.seed)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise SeapkgError(
            f"{run.folder} holds a model that this release cannot read ({error}): delete it and "
            "train again"
        ) from error
    return model.eval()


def dataset_of(run: RunFiles, data: Dataset | None = None) -> Dataset:
    """The dataset of a run, read again from its source; or `data`, where that has the same content.

    Raises:
        RequestError: where the source cannot be read again, or the content differs.
    """
    dataset = _read_again(run) if data is None else data
    if dataset.fingerprint != run.spec.dataset_fingerprint:
        raise RequestError(
            f"{dataset.source or dataset.name} is no longer what {run.folder.name} was trained on: "
            "its content differs; train again, or give the original data"
        )
    return dataset


@torch.no_grad()
def top_items(
    model: Recommender, dataset: Dataset, k: int, users: range | None = None
) -> Iterator[pd.DataFrame]:
    """The `k` best items of each user outside training.

    Equal scores go to the lower item id. A user with fewer than `k` other items gets fewer rows.

    Args:
        users: consecutive ids; all users where not given.

    Yields:
        Tables with the columns user, rank, item, score, for a block of users each.
    """
    if k < 1:
        raise RequestError(f"k must be at least 1; it is {k}")
    users = users or range(dataset.n_users)
    size = max(1, BLOCK_BYTES // (8 * dataset.n_items))
    score = model.scorer()
    for first in range(users.start, users.stop, size):
        block = range(first, min(first + size, users.stop))
        scores = score(torch.arange(block.start, block.stop)).double()  # [n_block, n_items]
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


def _read_again(run: RunFiles) -> Dataset:
    data = run.record["data"]
    try:
        return load(data["path"] or data["source"] or run.spec.dataset)
    except RequestError as error:
        source = data["source"] or "arrays"
        raise RequestError(
            f"{run.folder.name} was trained on {source}, which cannot be read again: {error}"
        ) from error
