"""Full-ranking evaluation: every user against all items, Recall and NDCG as in MMRec (spec C.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seapkg.errors import RequestError
from seapkg.kernels.top_k import top_columns
from seapkg.memory import in_blocks

CUTOFFS = (10, 20)
METRICS = tuple(f"{metric}@{k}" for metric in ("recall", "ndcg") for k in CUTOFFS)


@dataclass(frozen=True)
class Metrics:
    """Means over users, and what they are means of: `users` int64 [n], `per_user` metric → float32 [n]."""

    mean: dict[str, float]
    users: np.ndarray
    per_user: dict[str, np.ndarray]


class Ranking:
    """One split to be ranked: who is asked, what is masked, what counts as a hit.

    Args:
        dataset: a `Dataset`.
        split: "valid" or "test"; its items are the relevant ones.
        mask: "train" (the protocol: valid items stay in the ranking at test) or "train+valid".
        device: where scores are computed.
    """

    def __init__(self, dataset, split: str, *, mask: str = "train", device="cpu") -> None:
        masks = ["train"] if split == "valid" else ["train", "train+valid"]
        if mask not in masks:
            raise RequestError(f"mask must be one of {', '.join(masks)}; it is {mask!r}")
        relevant = torch.from_numpy(getattr(dataset, split).copy()).to(device)
        masked = [dataset.train] if mask == "train" else [dataset.train, dataset.valid]
        hidden = torch.from_numpy(np.concatenate(masked)).to(device)
        self.n_items = dataset.n_items
        self.users, self.n_relevant = relevant[:, 0].unique(return_counts=True)
        self.relevant_keys = self._keys(relevant)
        by_user = hidden[hidden[:, 0].argsort(stable=True)]
        self.masked_items = by_user[:, 1]
        counts = torch.bincount(by_user[:, 0], minlength=dataset.n_users)
        self.masked_starts = torch.cat([counts.new_zeros(1), counts.cumsum(dim=0)])

    def metrics(self, score, block_bytes: int = 8 << 20) -> Metrics:
        """`score(users [n]) -> [n, n_items]`; blocks of users are sized to `block_bytes` of scores."""
        step = max(1, block_bytes // (4 * self.n_items))
        hits = in_blocks(lambda size: self._all_hits(score, size), step, "evaluation")  # [n, 20]
        values = ranking_metrics(hits, self.n_relevant)
        mean = {
            name: float(of_users.mean()) for name, of_users in values.items()
        }  # of float64: equal ones stay equal
        per_user = {name: of_users.float().cpu().numpy() for name, of_users in values.items()}
        return Metrics(mean, self.users.cpu().numpy(), per_user)

    def _all_hits(self, score, step: int) -> Tensor:
        return torch.cat([self._hits(users, score(users)) for users in self.users.split(step)])

    def _hits(self, users: Tensor, scores: Tensor) -> Tensor:
        self._mask(users, scores)
        top = top_columns(scores, min(max(CUTOFFS), self.n_items))
        keys = users[:, None] * self.n_items + top
        found = torch.searchsorted(self.relevant_keys, keys).clamp_(max=len(self.relevant_keys) - 1)
        return self.relevant_keys[found] == keys

    def _mask(self, users: Tensor, scores: Tensor) -> None:
        starts, stops = self.masked_starts[users], self.masked_starts[users + 1]
        counts = stops - starts
        row = torch.arange(len(users), device=users.device).repeat_interleave(counts)
        within = torch.arange(len(row), device=users.device) - (
            counts.cumsum(0) - counts
        ).repeat_interleave(counts)
        scores[row, self.masked_items[starts.repeat_interleave(counts) + within]] = -torch.inf

    def _keys(self, pairs: Tensor) -> Tensor:
        return (pairs[:, 0] * self.n_items + pairs[:, 1]).sort().values


def ranking_metrics(hits: Tensor, n_relevant: Tensor) -> dict[str, Tensor]:
    """Recall and NDCG at each cut-off for each user.

    `hits`: bool [n, 20], whether the p-th ranked item is relevant; `n_relevant`: [n]. Recall divides by the number of
    relevant items (not by min(K, number)), NDCG by the best attainable sum.
    """
    hits = hits.double()
    discounts = (
        1 / torch.arange(2, max(CUTOFFS) + 2, device=hits.device, dtype=torch.float64).log2()
    )
    ideal = discounts.cumsum(dim=0)
    gains = (hits * discounts[: hits.shape[1]]).cumsum(dim=1)
    found = hits.cumsum(dim=1)
    values = {}
    for k in CUTOFFS:
        last = min(k, hits.shape[1]) - 1
        values[f"recall@{k}"] = found[:, last] / n_relevant
        values[f"ndcg@{k}"] = gains[:, last] / ideal[n_relevant.clamp(max=k) - 1]
    return {name: values[name] for name in METRICS}


@torch.no_grad()
def evaluate(model, dataset, split: str, *, mask: str = "train") -> Metrics:
    """Ranks all items for every user of the split with the model as it is, on the model's device."""
    return evaluate_ranking(model, Ranking(dataset, split, mask=mask, device=device_of(model)))


@torch.no_grad()
def evaluate_ranking(model, ranking: Ranking) -> Metrics:
    """As `evaluate`, with the split prepared once; the model embeds once for all users."""
    return ranking.metrics(model.scorer())


def device_of(model) -> torch.device:
    """The device a model's tensors live on."""
    return next(
        (tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu")
    )
