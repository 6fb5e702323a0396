"""LayerGCN (Zhou et al., ICDE 2023, arXiv:2207.11088): layers scaled by similarity to layer 0."""

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.kernels.cosine_scaled import cosine_scaled
from seapkg.models.base import (
    NamedTensors,
    PrunedRecommender,
    UsersAndItems,
    batch_rows,
    embedding_table,
)
from seapkg.models.registry import system
from seapkg.options import configuration, option


@configuration
class LayerGCNConfig:
    """Options of LayerGCN."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(4, "Layers on the user-item graph.", ge=1)
    edge_dropout: float = option(
        0.1,
        "Share of the training edges that each epoch prunes.",
        ge=0,
        lt=1,
        search=[0.0, 0.1, 0.2],
    )
    regularisation: float = option(
        1e-3,
        "Weight of half the squared norms of the batch's layer-0 embeddings.",
        ge=0,
        search=[1e-2, 1e-3, 1e-4, 1e-5],
    )


@system(
    "layergcn",
    paper="LayerGCN",
    title="Layer-refined Graph Convolutional Networks for Recommendation",
    year=2023,
    source="arXiv:2207.11088",
    colour="orange",
    marker="s",
)
class LayerGCN(PrunedRecommender):
    r"""LightGCN whose layers are scaled by their cosine with layer 0, on a pruned graph.

    Equations:
        y^(l) = Ã x^(l-1), with x^(0) = [E_U; E_I] [n_users + n_items, d].
        x^(l) = c^(l) y^(l), c^(l) the cosine of y^(l) with x^(0), row by row.
        e = Σ_{l=1..L} x^(l), without layer 0; s_ui = e_u · e_i.
        Ã keeps ⌊E (1 - ρ)⌋ of the E training edges, normalised by the degrees of the kept
        edges. Even epochs draw edges in proportion to 1 / sqrt(d_u d_i), odd epochs uniformly.
        Evaluation uses the full graph.
        L = Σ -ln σ(s_ui - s_uj) + λ/2 Σ (‖E_u‖² + ‖E_i‖² + ‖E_j‖²), sums over the batch.

    Differences from the published code:
        - Degrees have no 1e-7 added; the graphs agree to float32 precision.
        - The edges of an epoch are drawn at once (`keep_edges`), with the same distribution as one
          draw after another.
    """

    config_class = LayerGCNConfig

    def __init__(self, dataset: Dataset, config: LayerGCNConfig) -> None:
        super().__init__(dataset, config)
        self.users = embedding_table(dataset.n_users, config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Draws the epoch's graph, by degree in even epochs and uniformly in odd ones."""
        super().begin_epoch(generator, epoch)
        if not self.config.edge_dropout:
            return
        if epoch % 2:
            order = torch.randperm(len(self.pairs), generator=generator, device=self.pairs.device)
            self.prune(self.pairs[order[: self.n_kept].sort().values])
        else:
            self.prune_by_degree(generator)

    def embed(self) -> UsersAndItems:
        """On the full graph: [n_users, d] and [n_items, d]."""
        return self._propagate(self.graph)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr" and "regularisation" for index tensors [batch]."""
        final = batch_rows(*self._propagate(self.pruned), users, positives, negatives)
        user_rows, positive_rows, negative_rows = final  # [batch, d] each
        gaps = (user_rows * (positive_rows - negative_rows)).sum(dim=1)  # [batch]
        layer_0 = batch_rows(self.users, self.items, users, positives, negatives)
        squares = sum(part.square().sum() for part in layer_0) / 2
        return {
            "bpr": -F.logsigmoid(gaps).sum(),
            "regularisation": self.config.regularisation * squares,
        }

    def _propagate(self, graph):
        layer = torch.cat([self.users, self.items])  # [n_users + n_items, d]
        unit_0 = F.normalize(layer, dim=1, eps=1e-8)
        layers = []
        for _ in range(self.config.n_layers):
            layer = cosine_scaled(graph(layer), unit_0)
            layers.append(layer)
        return reduce(torch.add, layers).split([self.n_users, self.n_items])
