"""From a finished run back to a model that recommends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

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
    table = pd.concat(top_items(model, dataset, k, users=torch.tensor([user])))
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
    model: Recommender, dataset: Dataset, k: int, users: Tensor | None = None
) -> Iterator[pd.DataFrame]:
    """The `k` best items of each user outside training, as tables with the columns user, rank,
    item, score.

    Equal scores go to the lower item id. A user with fewer than `k` other items gets fewer rows.

    Args:
        users: int64 [n]; all users where not given. They are scored in blocks, one table each.
    """
    if k < 1:
        raise RequestError(f"k must be at least 1; it is {k}")
    users = torch.arange(dataset.n_users) if users is None else users
    score = model.scorer()
    train = torch.from_numpy(dataset.train.copy())  # [n_train, 2]
    for block in users.split(max(1, BLOCK_BYTES // (8 * dataset.n_items))):
        scores = score(block).double()  # [block, n_items]
        row_of_user = torch.full((dataset.n_users,), -1)
        row_of_user[block] = torch.arange(len(block))
        rows = row_of_user[train[:, 0]]
        scores[rows[rows >= 0], train[rows >= 0, 1]] = -torch.inf
        yield _table(block, *scores.sort(dim=1, descending=True, stable=True), k)


def _table(users: Tensor, scores: Tensor, items: Tensor, k: int) -> pd.DataFrame:
    """Rows of the first `k` columns of the sorted `scores` and `items`, [n_users, n_items] each."""
    scores, items = scores[:, :k].numpy(), items[:, :k].numpy()
    rows, columns = np.nonzero(np.isfinite(scores))
    return pd.DataFrame(
        {
            "user": users.numpy()[rows],
            "rank": columns + 1,
            "item": items[rows, columns],
            "score": scores[rows, columns],
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
