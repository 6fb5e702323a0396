"""Full-ranking evaluation: every user against all items, Recall and NDCG as in MMRec.

docs/protocol.md has the formulas.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError, RequestError
from seapkg.kernels.top_k import top_columns
from seapkg.models.base import Recommender
from seapkg.training.pairs import PairSet

CUTOFFS = (10, 20)
METRICS = tuple(f"{metric}@{k}" for metric in ("recall", "ndcg") for k in CUTOFFS)
BLOCK_BYTES = 8 << 20  # of the scores of a block of users
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
        RequestError: there is no such mask, or the test split is closed (`Dataset.without_test`).
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
        if mask not in ("train", "train+valid") or split in mask:
            raise RequestError(f"mask must be train, or train+valid at test; it is {mask!r}")
        pairs = getattr(dataset, split)
        if split == "test" and not len(pairs):
            raise RequestError("the test split is closed while options are chosen")
        pairs = pairs[np.isin(pairs[:, 0], dataset.train[:, 0])]
        if not len(pairs):
            raise DataError(f"no user of the {split} split has a training pair; add training pairs")
        relevant = torch.from_numpy(pairs).to(device)
        self.n_items = dataset.n_items
        self.relevant = PairSet(relevant, dataset.n_items)
        self.users, self.n_relevant = relevant[:, 0].unique(return_counts=True)
        masked = np.concatenate([getattr(dataset, name) for name in mask.split("+")])
        self._set_mask(torch.from_numpy(masked).to(device))

    def _set_mask(self, pairs: Tensor) -> None:
        """Sorts the masked pairs, int64 [n, 2], by the row of their user in `users`."""
        pairs = pairs[torch.isin(pairs[:, 0], self.users)]
        rows, order = torch.searchsorted(self.users, pairs[:, 0].contiguous()).sort(stable=True)
        self.masked_rows, self.masked_items = rows, pairs[order, 1]

    def metrics(self, score: Scorer, block_bytes: int = BLOCK_BYTES) -> Metrics:
        """Ranks all items for every user of the split.

        Args:
            score: maps users, int64 [n], to scores [n, n_items].
            block_bytes: size of the scores of one block of users.
        """
        step = max(1, block_bytes // (4 * self.n_items))
        starts = range(0, len(self.users), step)
        hits = torch.cat([self._hits(score, start, start + step) for start in starts])
        values = ranking_metrics(hits, self.n_relevant)  # float64, so that equal means are equal
        mean = {name: float(of_users.mean()) for name, of_users in values.items()}
        per_user = {name: of_users.float().cpu().numpy() for name, of_users in values.items()}
        return Metrics(mean, self.users.cpu().numpy(), per_user)

    def _hits(self, score: Scorer, start: int, stop: int) -> Tensor:
        """Whether the p-th ranked item is relevant, for a block of users: bool [n, 20]."""
        users = self.users[start:stop]
        scores = score(users)  # [n, n_items]
        first = torch.searchsorted(self.masked_rows, start)
        last = torch.searchsorted(self.masked_rows, stop)
        rows = self.masked_rows[first:last] - start
        scores[rows, self.masked_items[first:last]] = -torch.inf
        top = top_columns(scores, min(max(CUTOFFS), self.n_items))
        return self.relevant.contains(users[:, None], top)


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
    recalls, ndcgs = {}, {}
    for k in CUTOFFS:
        recalls[f"recall@{k}"] = hits[:, :k].sum(dim=1) / n_relevant
        ndcgs[f"ndcg@{k}"] = gains[:, :k][:, -1] / ideal[n_relevant.clamp(max=k) - 1]
    return recalls | ndcgs


def evaluate(model: Recommender, dataset: Dataset, split: str, *, mask: str = "train") -> Metrics:
    """Ranks all items for every user of the split, on the model's device."""
    device = [*model.parameters(), *model.buffers()][0].device
    return evaluate_ranking(model, Ranking(dataset, split, mask=mask, device=device))


@torch.no_grad()
def evaluate_ranking(model: Recommender, ranking: Ranking) -> Metrics:
    """As `evaluate`, for a prepared split. Leaves the model in evaluation mode."""
    return ranking.metrics(model.eval().scorer())
