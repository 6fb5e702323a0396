"""MF-BPR (Rendle et al., UAI 2009): matrix factorisation trained on pairs of items."""

from torch import Tensor, nn

from seapkg.data.dataset import Dataset
from seapkg.losses import embedding_norm
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    batch_rows,
    embedding_table,
    ranking_loss,
)
from seapkg.models.registry import system
from seapkg.options import configuration, option


@configuration
class BPRConfig:
    """Options of matrix factorisation."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    regularisation: float = option(
        1.0,
        "Weight of the norms of the batch's embeddings.",
        ge=0,
        search=[2.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5],
    )


@system(
    "bpr",
    paper="MF-BPR",
    title="BPR: Bayesian Personalized Ranking from Implicit Feedback",
    year=2009,
    source="arXiv:1205.2618",
    colour="orange",
    marker="D",
)
class BPR(Recommender):
    r"""Matrix factorisation with the BPR loss.

    Equations:
        y_ui = e_u · e_i, with trained tables E_U [n_users, d] and E_I [n_items, d].
        L = mean of -ln σ(y_ui - y_uj) + λ (‖e_u‖ + ‖e_i‖ + ‖e_j‖) / batch, norms over the batch.

    Differences from the published code:
        - Regularisation is MMRec's un-squared norm of the batch's rows; the paper has λ ‖Θ‖².
        - MMRec adds 1e-10 to σ before the logarithm, which floors the loss and stops the gradient
          of very wrong pairs (y_ui - y_uj < -23); here the log-sigmoid is exact.
    """

    config_class = BPRConfig

    def __init__(self, dataset: Dataset, config: BPRConfig) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim, nn.init.xavier_normal_)
        self.items = embedding_table(dataset.n_items, config.embed_dim, nn.init.xavier_normal_)

    def embed(self) -> UsersAndItems:
        """The tables themselves: [n_users, d] and [n_items, d]."""
        return self.users, self.items

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr" and "regularisation" for index tensors [batch]."""
        batch = batch_rows(self.users, self.items, users, positives, negatives)  # [batch, d]
        return {
            "bpr": ranking_loss(*batch),
            "regularisation": self.config.regularisation * embedding_norm(*batch),
        }
