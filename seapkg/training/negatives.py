"""Negatives: uniform over items, never a training positive of the user (docs/protocol.md)."""

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError
from seapkg.training.pairs import PairSet


class NegativeSampler:
    """Draws negatives by vectorised rejection.

    Args:
        dataset: its training pairs are never drawn; with "never_held_out" no valid or test pair is.
        kind: the option `TrainingConfig.negatives`.
        device: of all tensors.

    Raises:
        DataError: a user of a training pair has every item that could be drawn.
    """

    def __init__(self, dataset: Dataset, kind: str, device: torch.device | str = "cpu") -> None:
        splits = ("train", "valid", "test") if kind == "never_held_out" else ("train",)
        train, *held_out = (
            torch.from_numpy(getattr(dataset, split).copy()).to(device) for split in splits
        )
        if kind == "train_items":
            self.candidates = train[:, 1].unique()
        else:
            self.candidates = torch.arange(dataset.n_items, device=device)
        pairs = torch.cat([train, *held_out])
        self.forbidden = PairSet(pairs, dataset.n_items)
        is_drawn_for = torch.isin(pairs[:, 0], train[:, 0])
        self._check(pairs[is_drawn_for, 0])

    def _check(self, users: Tensor) -> None:
        """Checks that each user can get a negative; `users`: int64, those of forbidden pairs."""
        users, n_forbidden = users.unique(return_counts=True)
        n_candidates = len(self.candidates)
        if int(n_forbidden.max()) < n_candidates:
            return
        if n_candidates == 1:
            raise DataError(
                "training has a single item, so that no negative can be drawn; "
                "add training pairs of a second item"
            )
        user = int(users[n_forbidden.argmax()])
        raise DataError(
            f"user {user} has every item that could be drawn as a negative; remove the user"
        )

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Draws one negative for each user.

        Args:
            users: int64 [n].
            generator: on the device of `users`.

        Returns:
            Items, int64 [n].
        """
        negatives = torch.empty_like(users)
        pending = torch.arange(len(users), device=users.device)
        while len(pending):
            size = (len(pending),)
            drawn = torch.randint(
                len(self.candidates), size, generator=generator, device=users.device
            )
            items = self.candidates[drawn]
            negatives[pending] = items
            pending = pending[self.forbidden.contains(users[pending], items)]
        return negatives
