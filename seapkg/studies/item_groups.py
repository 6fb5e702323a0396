"""Recall@20 of a trained model on some items: the rarest third, and those never seen in training.

The measures need the trained model. They are written into the run's folder, so that a published
run has them without it.
"""

import dataclasses
import json
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.files import write_text
from seapkg.models import Recommender
from seapkg.runs.archive import ITEM_GROUPS, STATE
from seapkg.runs.recommend import restore
from seapkg.runs.run import Run
from seapkg.training.evaluate import Ranking

CUTOFF = 20
METRIC = f"recall@{CUTOFF}"
RAREST = "rarest third"
UNTRAINED = "untrained"


class Measure(TypedDict):
    """The Recall@20 of a group of items, over the users with a test item in it.

    Attributes:
        recall: the mean over these users.
        users: their number.
        ranked: the number of items that are ranked.
    """

    recall: float
    users: int
    ranked: int


def item_groups(run: Run, data: Dataset | Known) -> dict[str, Measure]:
    """Reads the measures of a run, or measures it and writes the result into its folder.

    "rarest third": test items of the rarest third, ranked among all items. "untrained": test items
    without a training pair, ranked among such items alone. A group without a test item is left out,
    and so is one of 20 items or fewer, all of which would be recalled. Returns {} if there are no
    measures and the model or the data is not here.
    """
    path = run.folder / ITEM_GROUPS
    if not path.is_file():
        if isinstance(data, Known) or not (run.folder / STATE).is_file():
            return {}
        write_text(path, json.dumps(measures(restore(run, data), data), indent=1) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def measures(model: Recommender, data: Dataset) -> dict[str, Measure]:
    """The measures of a trained model by group."""
    untrained = np.setdiff1d(np.arange(data.n_items), data.train_items)
    found = {
        RAREST: recall_on(model, data, rarest_third(data), ranked=np.arange(data.n_items)),
        UNTRAINED: recall_on(model, data, untrained, ranked=untrained),
    }
    return {group: measure for group, measure in found.items() if measure}


def rarest_third(data: Dataset) -> np.ndarray:
    """The third of all items with the fewest training pairs; equal counts go to the lower id."""
    counts = np.bincount(data.train[:, 1], minlength=data.n_items)
    return np.argsort(counts, kind="stable")[: data.n_items // 3]


@torch.no_grad()
def recall_on(
    model: Recommender, data: Dataset, items: np.ndarray, *, ranked: np.ndarray
) -> Measure | None:
    """Recall@20 where only some items are relevant, and only some are ranked.

    Args:
        model: trained, in evaluation mode.
        data: the model's dataset.
        items: ids of the relevant items.
        ranked: ids of the ranked items; training items of a user are never ranked.

    Returns:
        None if no user with a training pair has a test pair on one of the items, or if so few items
            are ranked that all are recalled.
    """
    relevant = np.isin(data.test[:, 1], items) & np.isin(data.test[:, 0], data.train_users)
    if not relevant.any() or len(ranked) <= CUTOFF:
        return None
    not_ranked = torch.ones(data.n_items, dtype=torch.bool)
    not_ranked[ranked] = False
    score = model.scorer()

    def score_ranked(users: Tensor) -> Tensor:
        return score(users).masked_fill(not_ranked, -torch.inf)

    ranking = Ranking(dataclasses.replace(data, test=data.test[relevant]), "test")
    found = ranking.metrics(score_ranked)
    return Measure(recall=found.mean[METRIC], users=len(found.users), ranked=len(ranked))
