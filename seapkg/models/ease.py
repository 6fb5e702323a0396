"""EASE (Steck, WWW 2019, arXiv:1905.03375): a linear item-to-item model in closed form."""

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.device import explained
from seapkg.errors import RequestError
from seapkg.models.base import ItemToItemRecommender
from seapkg.models.registry import system
from seapkg.options import Range, configuration, option

#: Items whose co-occurrences are counted at once.
BLOCK_ITEMS = 512


@configuration
class EASEConfig:
    """Options of EASE."""

    regularisation: float = option(
        500.0, "Weight λ of the squared norm of B.", gt=0, search=Range(10.0, 1e4, log=True)
    )
    max_gigabytes: float = option(8.0, "A larger matrix of items x items is refused.", gt=0)


@system(
    "ease",
    paper="EASE",
    title="Embarrassingly Shallow Autoencoders for Sparse Data",
    year=2019,
    source="arXiv:1905.03375",
    colour="black",
    marker="p",
)
class EASE(ItemToItemRecommender):
    r"""The linear map of a user's items to all items that reconstructs the training pairs best.

    Equations:
        min_B ‖R - R B‖² + λ ‖B‖² with diag(B) = 0, R [n_users, n_items] of ones and zeros (Eq. 3).
        P = (R^T R + λ I)^-1, B_ij = -P_ij / P_jj for i ≠ j (Eq. 8).
        y_ui = Σ_{j ∈ N_u} B_ji (Eq. 1).

    Differences from the published code:
        - P is computed in place from a Cholesky factor in float32. On Baby and Last.fm-2K it agrees
          with float64 to six digits.
        - B is computed when it is first needed, on the model's device. A run does not store it.
    """

    config_class = EASEConfig

    def __init__(self, dataset: Dataset, config: EASEConfig) -> None:
        super().__init__(dataset, config)
        self.register_buffer("weights", None, persistent=False)
        gigabytes = 4 * dataset.n_items**2 / 1e9
        if gigabytes > config.max_gigabytes:
            raise RequestError(
                f"EASE holds a matrix of {dataset.n_items:,} x {dataset.n_items:,} items, "
                f"{gigabytes:.3g} GB; option max_gigabytes is {config.max_gigabytes:g}: "
                "raise it if the memory is there"
            )

    @torch.no_grad()
    def item_weights(self) -> Tensor:
        """B [n_items, n_items], computed once."""
        if self.weights is None:
            with explained("EASE's matrix of all items", "choose a system that has vectors"):
                matrix = self._gram()  # R^T R; the further steps overwrite it
                matrix.diagonal().add_(self.config.regularisation)
                _invert(matrix)  # P
                matrix.div_(-matrix.diagonal().clone()).fill_diagonal_(0)
            self.weights = matrix
        return self.weights

    def _gram(self) -> Tensor:
        """R^T R [n_items, n_items]: how many users have both items."""
        users_of_items = self.interactions.t().coalesce()
        gram = self.interactions.values().new_empty(self.n_items, self.n_items)
        for block in torch.arange(self.n_items, device=gram.device).split(BLOCK_ITEMS):
            counts = torch.sparse.mm(users_of_items.index_select(0, block), self.interactions)
            gram[block[0] : block[-1] + 1] = counts.to_dense()
        return gram


def _invert(matrix: Tensor) -> None:
    """Inverts a symmetric positive definite matrix [n, n] in place, without a copy on a CPU.

    LAPACK works on columns, and the transposed view of a contiguous symmetric matrix has them.
    """
    columns = matrix.mT
    torch.linalg.cholesky(columns, out=columns)
    torch.cholesky_inverse(columns, out=columns)
