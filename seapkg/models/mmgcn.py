"""MMGCN (Wei et al., ACM MM 2019, doi:10.1145/3343031.3351034): a graph network per modality."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import SparseGraph, mean_graph
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    ranking_loss,
    training_pairs,
    unit_rows,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option


@configuration
class MMGCNConfig:
    """Options of MMGCN."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    image_width: int = option(256, "Width to which the image's features are projected.", ge=1)
    n_layers: int = option(3, "Layers of each modality's network.", ge=1)
    regularisation: float = option(
        1e-3,
        "Weight of the mean squares of the batch's ID vectors and of the users' image vectors.",
        ge=0,
        search=[0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
    )
    formulation: Literal["intended", "released"] = option(
        "intended", "Train the tables of IDs and of users' preferences, or leave them random."
    )


@system(
    "mmgcn",
    paper="MMGCN",
    title=(
        "MMGCN: Multi-modal Graph Convolution Network "
        "for Personalized Recommendation of Micro-video"
    ),
    year=2019,
    source="doi:10.1145/3343031.3351034",
    colour="purple",
    marker="*",
)
class MMGCN(Recommender):
    r"""A graph network per modality; users and items are the means over modalities.

    Equations, for each modality m, σ the leaky ReLU of slope 0.01:
        x^(0) = unit rows of [Q_m; F_m], Q_m [n_users, w_m] a table of users, F_m = W x_m + b for
        the image and the raw features for other modalities.
        a = σ(M x^(l-1) C_l), M the mean over a node's neighbours in the training pairs.
        b = σ(x^(l-1) L_l + β_l) + D, D [n_users + n_items, d] a table of all modalities.
        x^(l) = σ([a ‖ b] G_l + γ_l), of width d.
        e = mean over m of x_m^(L); s_ui = e_u · e_i.
        L = BPR(e_u, e_i, e_j) + λ (mean of D_u² + mean of (D_i² + D_j²)/2 over the batch and its
        d coordinates) + λ mean of Q_image².

    Differences from the published code:
        - D and Q_m are trained. In the published code they are no parameters and keep their random
          start, so λ has no effect (`formulation` is "released").
        - Evaluation uses the current parameters. The published evaluation uses the vectors of the
          last training batch, from before its step.
        - The loss is a softplus, which does not overflow.
    """

    config_class = MMGCNConfig
    needs_features = True

    def __init__(self, dataset: Dataset, config: MMGCNConfig) -> None:
        super().__init__(dataset, config)
        n_users, n_items = dataset.n_users, dataset.n_items
        self.ids = _random_table(n_users + n_items, config.embed_dim, config)
        self.features = FeatureTables(dataset)
        self.networks = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            projected_width = config.image_width if name == "image" else None
            self.networks[name] = _Network(n_users, width, projected_width, config)
        pairs = training_pairs(dataset)
        self.to_users = mean_graph(pairs, n_users, n_items)
        self.to_items = mean_graph(pairs.flip(1), n_items, n_users)

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d]."""
        return self._mean_of_networks(self._ids())

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation" and "preference" for index tensors [batch].

        Last layers are computed for the batch alone.
        """
        weight, batch = self.config.regularisation, (users, torch.cat([positives, negatives]))
        batch_ids = _rows(self._ids(), batch)
        user_rows, item_rows = self._mean_of_networks(batch_ids, batch)
        squares = sum(part.square().mean() for part in batch_ids)
        terms = {
            "bpr": ranking_loss(user_rows, *item_rows.chunk(2)),
            "regularisation": weight * squares,
        }
        if "image" in self.networks:
            terms["preference"] = weight * self.networks["image"].preference.square().mean()
        return terms

    def _ids(self):
        """D of users [n_users, d] and of items [n_items, d]."""
        return self.ids.split([self.n_users, self.n_items])

    def _mean_of_networks(self, last_ids, batch=None):
        """e of all users and items, or of a `batch` of them; `last_ids` are their rows of D."""
        graphs, ids = (self.to_users, self.to_items), self._ids()
        outputs = [
            network(self.features[name], ids, graphs, last_ids, batch)
            for name, network in self.networks.items()
        ]
        return tuple(sum(parts) / len(outputs) for parts in zip(*outputs, strict=True))


class _Network(nn.Module):
    """The graph network of one modality.

    Args:
        n_users: number of users.
        width: of the modality's features.
        projected_width: of their projection; None leaves them as they are.
        config: the options.
    """

    def __init__(
        self, n_users: int, width: int, projected_width: int | None, config: MMGCNConfig
    ) -> None:
        super().__init__()
        self.projection = nn.Identity()
        if projected_width:
            self.projection = nn.Linear(width, projected_width)
            width = projected_width
        self.preference = _random_table(n_users, width, config)
        widths = [width] + [config.embed_dim] * (config.n_layers - 1)
        self.layers = nn.ModuleList(_Layer(width, config.embed_dim) for width in widths)
        nn.init.xavier_normal_(self.layers[0].combine.weight)

    def first(self, features: Tensor) -> UsersAndItems:
        """x^(0) of users and items."""
        return unit_rows(self.preference), unit_rows(self.projection(features))

    def forward(self, features, ids, graphs, last_ids, batch):
        """x^(L) of users and items; the last layer on the rows `batch`, or on all for None."""
        x = self.first(features)
        *layers, last = self.layers
        for layer in layers:
            x = layer(x, layer.means(x, graphs), ids)
        return last(_rows(x, batch), _rows(last.means(x, graphs), batch), last_ids)


class _Layer(nn.Module):
    """One layer: x^(l) from x^(l-1), for users and for items.

    Args:
        width: of x^(l-1).
        dim: of x^(l).
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.aggregate = nn.Parameter(nn.init.xavier_normal_(torch.empty(width, width)))
        self.side = nn.Linear(width, dim)
        self.combine = nn.Linear(width + dim, dim)
        nn.init.xavier_normal_(self.side.weight)

    def means(self, x, graphs):
        """M x C for users and for items."""
        users, items = x
        to_users, to_items = graphs
        return self._mean(to_users, items), self._mean(to_items, users)

    def _mean(self, graph: SparseGraph, x: Tensor) -> Tensor:
        """M x C in the cheaper order: C multiplies the smaller of x and M x."""
        if len(x) < graph.shape[0]:
            return graph(x @ self.aggregate)
        return graph(x) @ self.aggregate

    def forward(self, x, means, ids):
        """x^(l) of users and of items; all arguments are pairs of tables [n, ...]."""
        return tuple(self._combine(*parts) for parts in zip(x, means, ids, strict=True))

    def _combine(self, x, mean, ids):
        neighbours = F.leaky_relu_(mean)
        side = F.leaky_relu_(self.side(x)) + ids
        of_neighbours, of_side = self.combine.weight.split([x.shape[1], ids.shape[1]], dim=1)
        combined = F.linear(neighbours, of_neighbours, self.combine.bias)
        return F.leaky_relu_(combined + F.linear(side, of_side))


def _random_table(n_rows: int, dim: int, config: MMGCNConfig) -> nn.Parameter:
    """A table [n_rows, dim] that is trained, or stays random as released."""
    trained = config.formulation == "intended"
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(n_rows, dim)), requires_grad=trained)


def _rows(tables, index):
    """Rows of both tables; all of them if `index` is None."""
    if index is None:
        return tables
    return tuple(rows(table, part) for table, part in zip(tables, index, strict=True))
