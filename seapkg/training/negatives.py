"""Negatives: uniform over some items, never one of the user's own (spec C.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from seapkg.errors import DataError


class NegativeSampler:
    """Draws negatives by vectorised rejection.

    Args:
        pairs: int64 [n, 2], what is never drawn: the training pairs, so that valid and test items can be; the sampler
            lives on their device.
        n_items: number of items.
        candidates: int64, the items that are drawn from; by default those that occur in `pairs`.
    """

    def __init__(self, pairs: Tensor, n_items: int, candidates: Tensor | None = None) -> None:
        self.n_items = n_items
        self.candidates = pairs[:, 1].unique() if candidates is None else candidates
        self.taken = (pairs[:, 0] * n_items + pairs[:, 1]).sort().values
        users, counts = pairs[:, 0].unique(return_counts=True)
        if int(counts.max()) == len(self.candidates):
            user = int(users[counts.argmax()])
            raise DataError(
                f"user {user} has every item that could be drawn as a negative: remove the user"
            )

    @classmethod
    def of(cls, dataset, kind: str, device: torch.device) -> NegativeSampler:
        """The sampler of a `TrainingConfig.negatives`; that of "never_held_out" knows the valid and test pairs."""
        splits = ("train", "valid", "test") if kind == "never_held_out" else ("train",)
        pairs = torch.cat(
            [torch.from_numpy(getattr(dataset, split).copy()) for split in splits]
        ).to(device)
        every = None if kind == "train_items" else torch.arange(dataset.n_items, device=device)
        return cls(pairs, dataset.n_items, every)

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """One negative a user. `users`: int64 [n]. Returns int64 [n]."""
        negatives = self._uniform(len(users), users.device, generator)
        rejected = self._is_positive(users, negatives).nonzero().flatten()
        while len(rejected):
            negatives[rejected] = self._uniform(len(rejected), users.device, generator)
            rejected = rejected[self._is_positive(users[rejected], negatives[rejected])]
        return negatives

    def _uniform(self, n: int, device, generator: torch.Generator) -> Tensor:
        return self.candidates[
            torch.randint(len(self.candidates), (n,), generator=generator, device=device)
        ]

    def _is_positive(self, users: Tensor, items: Tensor) -> Tensor:
        keys = users * self.n_items + items
        found = torch.searchsorted(self.taken, keys).clamp_(max=len(self.taken) - 1)
        return self.taken[found] == keys
