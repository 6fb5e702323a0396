"""Exports a trained model for other programs: vectors as .npz, recommendations as CSV."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from seapkg.data import Dataset
from seapkg.models import Recommender
from seapkg.runs.archive import STATE
from seapkg.runs.recommend import dataset_of, restore, top_items
from seapkg.runs.run import Run


@torch.no_grad()
def export(run: Run, folder: Path, k: int = 20, data: Dataset | None = None) -> list[Path]:
    """Writes `RUN-vectors.npz` and `RUN-top-K.csv` into `folder`. Returns their paths.

    The vectors are "users" float32 [n_users, dim] and "items" float32 [n_items, dim], whose dot
    products are the scores; a model with other scores has none. The table has the columns user,
    rank, item, score and leaves training items out.

    Args:
        run: with its model.
        folder: created if missing.
        k: how many items each user gets.
        data: the run's dataset; by default read again from its source.

    Raises:
        RequestError: the run is a committed summary without its model, or `k` is below 1.
    """
    run.require(STATE)
    dataset = dataset_of(run, data)
    model = restore(run, dataset)
    table = pd.concat(top_items(model, dataset, k))
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{run.name}-top-{k}.csv"]
    table.to_csv(paths[0], index=False, lineterminator="\n")
    if type(model).scorer is Recommender.scorer:
        users, items = model.embed()  # [n_users, dim], [n_items, dim]
        paths.insert(0, folder / f"{run.name}-vectors.npz")
        np.savez(paths[0], users=users.numpy(), items=items.numpy())
    return paths
