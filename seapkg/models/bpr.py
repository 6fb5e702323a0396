"""MF-BPR (Rendle et al., 2009): matrix factorisation with pairwise ranking."""

from __future__ import annotations

from torch import Tensor, nn

from seapkg.losses import embedding_norm
from seapkg.models.base import Recommender, batch_rows, embedding_table, ranking_loss
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
)
class BPR(Recommender):
    """A user table and an item table, Xavier-normal; the score is their dot product (spec D.1)."""

    config_class = BPRConfig

    def __init__(self, dataset, config: BPRConfig = BPRConfig()) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim, nn.init.xavier_normal_)
        self.items = embedding_table(dataset.n_items, config.embed_dim, nn.init.xavier_normal_)

    def embed(self) -> tuple[Tensor, Tensor]:
        return self.users, self.items

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        batch = batch_rows(self.users, self.items, users, positives, negatives)
        return {
            "bpr": ranking_loss(*batch),
            "regularisation": self.config.regularisation * embedding_norm(*batch),
        }
