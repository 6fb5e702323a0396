"""Negatives: uniform over items, never a training positive of the user (docs/protocol.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError


class NegativeSampler:
    """Draws negatives by vectorised rejection, on the device of `pairs`.

    Args:
        pairs: int64 [n, 2], user and item of the pairs that are never drawn.
        n_items: number of items.
        candidates: int64 [n_candidates], the items to draw from; by default those in `pairs`.

    Raises:
        DataError: there is one candidate only, or a user has every candidate.
    """

    def __init__(self, pairs: Tensor, n_items: int, candidates: Tensor | None = None) -> None:
        self.n_items = n_items
        self.candidates = pairs[:, 1].unique() if candidates is None else candidates
        self.taken = (pairs[:, 0] * n_items + pairs[:, 1]).sort().values
        if len(self.candidates) == 1:
            raise DataError(
                "training has a single item, so that no negative can be drawn: "
                "training needs pairs of at least two items"
            )
        users, counts = pairs[:, 0].unique(return_counts=True)
        if int(counts.max()) == len(self.candidates):
            user = int(users[counts.argmax()])
            raise DataError(
                f"user {user} has every item that could be drawn as a negative: remove the user"
            )

    @classmethod
    def of(cls, dataset: Dataset, kind: str, device: torch.device) -> NegativeSampler:
        """The sampler of a `TrainingConfig.negatives`; "never_held_out" knows valid and test."""
        splits = ("train", "valid", "test") if kind == "never_held_out" else ("train",)
        pairs = torch.cat([torch.from_numpy(getattr(dataset, name).copy()) for name in splits])
        trained = torch.zeros(dataset.n_users, dtype=torch.bool)
        trained[torch.from_numpy(dataset.train[:, 0].copy())] = True
        pairs = pairs[trained[pairs[:, 0]]].to(device)  # others never need a negative
        if kind == "train_items":
            return cls(pairs, dataset.n_items)
        return cls(pairs, dataset.n_items, torch.arange(dataset.n_items, device=device))

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """One negative for each of `users`, int64 [n]. Returns int64 [n]."""
        negatives = self._uniform(len(users), users.device, generator)
        rejected = self._is_positive(users, negatives).nonzero().flatten()
        while len(rejected):
            negatives[rejected] = self._uniform(len(rejected), users.device, generator)
            still = self._is_positive(users[rejected], negatives[rejected])
            rejected = rejected[still]
        return negatives

    def _uniform(self, n: int, device: torch.device, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(len(self.candidates), (n,), generator=generator, device=device)
        return self.candidates[drawn]

    def _is_positive(self, users: Tensor, items: Tensor) -> Tensor:
        keys = users * self.n_items + items
        places = torch.searchsorted(self.taken, keys).clamp_(max=len(self.taken) - 1)
        return self.taken[places] == keys
