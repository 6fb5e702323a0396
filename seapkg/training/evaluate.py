"""Full-ranking evaluation: every user against all items, Recall and NDCG as in MMRec.

docs/protocol.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.device import in_blocks
from seapkg.errors import DataError, RequestError
from seapkg.kernels.top_k import top_columns
from seapkg.models.base import Recommender

CUTOFFS = (10, 20)
METRICS = tuple(f"{metric}@{k}" for metric in ("recall", "ndcg") for k in CUTOFFS)
Scorer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Metrics:
    """The metrics of one split.

    Attributes:
        mean: metric -> mean over users.
        users: int64 [n].
        per_user: metric -> float32 [n].
    """

    mean: dict[str, float]
    users: np.ndarray
    per_user: dict[str, np.ndarray]


class Ranking:
    """One split prepared for evaluation: its users, their relevant and their masked items.

    Users without a training pair are left out: no model can say anything about them.

    Args:
        dataset: the data.
        split: "valid" or "test"; its items are the relevant ones.
        mask: items that are not ranked: "train" (the protocol), or "train+valid" at test.
        device: where scores are computed.

    Raises:
        RequestError: there is no such mask.
        DataError: no user of the split has a training pair.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        mask: str = "train",
        device: torch.device | str = "cpu",
    ) -> None:
        masks = ["train"] if split == "valid" else ["train", "train+valid"]
        if mask not in masks:
            raise RequestError(f"mask must be one of {', '.join(masks)}; it is {mask!r}")
        masked = [dataset.train] if mask == "train" else [dataset.train, dataset.valid]
        hidden = torch.from_numpy(np.concatenate(masked)).to(device)
        relevant = _of_trained_users(dataset, split).to(device)
        self.n_items = dataset.n_items
        self.users, self.n_relevant = relevant[:, 0].unique(return_counts=True)
        self.relevant_keys = (relevant[:, 0] * self.n_items + relevant[:, 1]).sort().values
        by_user = hidden[hidden[:, 0].argsort(stable=True)]
        self.masked_items = by_user[:, 1]
        counts = torch.bincount(by_user[:, 0], minlength=dataset.n_users)
        self.masked_starts = torch.cat([counts.new_zeros(1), counts.cumsum(dim=0)])

    def metrics(self, score: Scorer, block_bytes: int = 8 << 20) -> Metrics:
        """Ranks all items for every user of the split.

        Args:
            score: maps users, int64 [n], to scores [n, n_items].
            block_bytes: size of the scores of one block of users.
        """
        step = max(1, block_bytes // (4 * self.n_items))
        hits = in_blocks(lambda size: self._all_hits(score, size), step, "evaluation")
        values = ranking_metrics(hits, self.n_relevant)  # float64, so that equal means are equal
        mean = {name: float(of_users.mean()) for name, of_users in values.items()}
        per_user = {name: of_users.float().cpu().numpy() for name, of_users in values.items()}
        return Metrics(mean, self.users.cpu().numpy(), per_user)

    def _all_hits(self, score: Scorer, step: int) -> Tensor:
        return torch.cat([self._hits(users, score(users)) for users in self.users.split(step)])

    def _hits(self, users: Tensor, scores: Tensor) -> Tensor:
        """Whether the p-th ranked item is relevant: bool [n, 20]."""
        self._mask(users, scores)
        top = top_columns(scores, min(max(CUTOFFS), self.n_items))
        keys = users[:, None] * self.n_items + top
        places = torch.searchsorted(self.relevant_keys, keys)
        places.clamp_(max=len(self.relevant_keys) - 1)
        return self.relevant_keys[places] == keys

    def _mask(self, users: Tensor, scores: Tensor) -> None:
        """Sets the scores [n, n_items] of the users' masked items to -inf."""
        starts, stops = self.masked_starts[users], self.masked_starts[users + 1]
        counts = stops - starts
        row = torch.arange(len(users), device=users.device).repeat_interleave(counts)
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        within = torch.arange(len(row), device=users.device) - first
        scores[row, self.masked_items[starts.repeat_interleave(counts) + within]] = -torch.inf


def ranking_metrics(hits: Tensor, n_relevant: Tensor) -> dict[str, Tensor]:
    """Recall and NDCG at each cut-off.

    Args:
        hits: bool [n, n_ranked], whether the p-th ranked item of a user is relevant.
        n_relevant: int64 [n]. Recall divides by it, not by min(K, n_relevant); NDCG divides by the
            best attainable sum.

    Returns:
        Metric -> float64 [n].
    """
    hits = hits.double()
    places = torch.arange(2, max(CUTOFFS) + 2, device=hits.device, dtype=torch.float64)
    discounts = 1 / places.log2()  # [20]
    ideal = discounts.cumsum(dim=0)
    gains = (hits * discounts[: hits.shape[1]]).cumsum(dim=1)
    n_hits = hits.cumsum(dim=1)
    values = {}
    for k in CUTOFFS:
        last = min(k, hits.shape[1]) - 1
        values[f"recall@{k}"] = n_hits[:, last] / n_relevant
        values[f"ndcg@{k}"] = gains[:, last] / ideal[n_relevant.clamp(max=k) - 1]
    return {name: values[name] for name in METRICS}


def evaluate(model: Recommender, dataset: Dataset, split: str, *, mask: str = "train") -> Metrics:
    """Ranks all items for every user of the split, on the model's device."""
    return evaluate_ranking(model, Ranking(dataset, split, mask=mask, device=device_of(model)))


@torch.no_grad()
def evaluate_ranking(model: Recommender, ranking: Ranking) -> Metrics:
    """As `evaluate`, for a prepared split; the model embeds once and is in evaluation mode."""
    with _evaluation_mode(model):
        return ranking.metrics(model.scorer())


def device_of(model: torch.nn.Module) -> torch.device:
    """The device of a model's tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _of_trained_users(dataset: Dataset, split: str) -> Tensor:
    """The pairs of a split, int64 [n, 2], whose users have a training pair."""
    pairs = getattr(dataset, split)
    pairs = pairs[np.isin(pairs[:, 0], dataset.train[:, 0])]
    if not len(pairs):
        raise DataError(f"no user of the {split} split has a training pair: add training pairs")
    return torch.from_numpy(pairs)
