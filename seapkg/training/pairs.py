"""A set of user-item pairs on a device."""

import torch
from torch import Tensor


class PairSet:
    """Tells whether pairs are in the set.

    Args:
        pairs: int64 [n_pairs, 2], users and items; at least one pair.
        n_items: number of items.
    """

    def __init__(self, pairs: Tensor, n_items: int) -> None:
        self.n_items = n_items
        self.keys = self._keys(*pairs.T).sort().values

    def contains(self, users: Tensor, items: Tensor) -> Tensor:
        """Looks pairs up.

        Args:
            users: int64 [...].
            items: int64, of a shape that broadcasts with `users`.

        Returns:
            bool [...], of the common shape.
        """
        keys = self._keys(users, items)
        places = torch.searchsorted(self.keys, keys)
        places.clamp_(max=len(self.keys) - 1)
        return self.keys[places] == keys

    def _keys(self, users: Tensor, items: Tensor) -> Tensor:
        return users * self.n_items + items
