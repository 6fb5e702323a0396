"""LightGCN (He et al., SIGIR 2020, arXiv:2002.02126): linear propagation on the user-item graph."""

from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.losses import embedding_norm
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    batch_rows,
    embedding_table,
    propagate_mean,
    ranking_loss,
    training_graph,
)
from seapkg.models.registry import system
from seapkg.options import configuration, option


@configuration
class LightGCNConfig:
    """Options of LightGCN."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0, search=[1, 2, 3, 4])
    regularisation: float = option(
        1e-4,
        "Weight of the norms of the batch's layer-0 embeddings.",
        ge=0,
        search=[1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
    )


@system(
    "lightgcn",
    paper="LightGCN",
    title="LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation",
    year=2020,
    source="arXiv:2002.02126",
    colour="blue",
    marker="s",
)
class LightGCN(Recommender):
    r"""Embeddings averaged over layers of linear propagation.

    Equations:
        e^(l) = Â e^(l-1), Â_ui = 1 / sqrt(d_u d_i), e^(0) = [E_U; E_I] (Eq. 3).
        e = 1/(L+1) Σ_{l=0..L} e^(l), y_ui = e_u · e_i (Eq. 4, 5).
        L = mean of -ln σ(y_ui - y_uj) + λ (‖e_u^(0)‖ + ‖e_i^(0)‖ + ‖e_j^(0)‖) / batch.

    Differences from the published code:
        - The regularisation is MMRec's: un-squared norms of the batch's layer-0 rows.
        - The BPR loss is exact, without the 1e-10 that MMRec adds to σ (see MF-BPR).
        - MMRec adds 1e-7 to every degree; the graphs agree to float32 precision.
    """

    config_class = LightGCNConfig

    def __init__(self, dataset: Dataset, config: LightGCNConfig) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        self.graph = training_graph(dataset)

    def embed(self) -> UsersAndItems:
        """Means over layers: [n_users, d] and [n_items, d]."""
        return propagate_mean(self.graph, self.users, self.items, self.config.n_layers)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr" and "regularisation" for index tensors [batch]."""
        layer_0 = batch_rows(self.users, self.items, users, positives, negatives)
        final = batch_rows(*self.embed(), users, positives, negatives)  # [batch, d] each
        return {
            "bpr": ranking_loss(*final),
            "regularisation": self.config.regularisation * embedding_norm(*layer_0),
        }
