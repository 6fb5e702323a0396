"""MMGCN (Wei et al., ACM MM 2019, doi:10.1145/3343031.3351034): a graph network per modality."""

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
    embedding_table,
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
        self.ids = embedding_table(n_users + n_items, config.embed_dim, nn.init.xavier_normal_)
        self.features = FeatureTables(dataset)
        self.networks = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            project = nn.Identity()
            if name == "image":
                project, width = nn.Linear(width, config.image_width), config.image_width
            self.networks[name] = _Network(n_users, project, width, config)
        tables = [self.ids, *(network.preference for network in self.networks.values())]
        for table in tables:
            table.requires_grad_(config.formulation == "intended")
        pairs = training_pairs(dataset)
        self.to_users = mean_graph(pairs, n_users, n_items)
        self.to_items = mean_graph(pairs.flip(1), n_items, n_users)

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d]."""
        return self._mean_of_networks().split([self.n_users, self.n_items])

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation" and "preference" for index tensors [batch].

        Last layers are computed for the batch alone.
        """
        weight, n = self.config.regularisation, len(users)
        batch = users, torch.cat([positives, negatives])
        ids = zip(self._ids(), batch, strict=True)
        squares = sum(rows(table, index).square().mean() for table, index in ids)
        terms = {
            "bpr": ranking_loss(*self._mean_of_networks(*batch).split(n)),
            "regularisation": weight * squares,
        }
        if "image" in self.networks:
            terms["preference"] = weight * self.networks["image"].preference.square().mean()
        return terms

    def _ids(self):
        """D of users [n_users, d] and of items [n_items, d]."""
        return self.ids.split([self.n_users, self.n_items])

    def _mean_of_networks(self, users=None, items=None):
        """e [n, d] of `users`, then `items`, int64; None stands for all."""
        graphs, ids = (self.to_users, self.to_items), self._ids()
        outputs = [
            network(self.features[name], ids, graphs, (users, items))
            for name, network in self.networks.items()
        ]
        return sum(outputs) / len(outputs)


class _Network(nn.Module):
    """The graph network of one modality.

    Args:
        n_users: number of users.
        project: maps features to x^(0) of items.
        width: of x^(0).
        config: the options.
    """

    def __init__(self, n_users: int, project: nn.Module, width: int, config: MMGCNConfig) -> None:
        super().__init__()
        self.projection = project
        self.preference = embedding_table(n_users, width, nn.init.xavier_normal_)
        widths = [width] + [config.embed_dim] * (config.n_layers - 1)
        self.layers = nn.ModuleList(_Layer(width, config.embed_dim) for width in widths)
        nn.init.xavier_normal_(self.layers[0].combine.weight)

    def first(self, features: Tensor) -> UsersAndItems:
        """x^(0) of users and items."""
        return unit_rows(self.preference), unit_rows(self.projection(features))

    def forward(self, features, ids, graphs, batch):
        """x^(L) [n, d] of the users, then items in `batch`, a pair; None stands for all."""
        x = self.first(features)
        *layers, last = self.layers
        for layer in layers:
            sides = zip(x, layer.means(*x, *graphs), ids, strict=True)
            x = [layer(*tables) for tables in sides]
        sides = zip(x, last.means(*x, *graphs), ids, batch, strict=True)
        x = [last(*(rows(table, index) for table in tables)) for *tables, index in sides]
        return torch.cat(x)


class _Layer(nn.Module):
    """One layer: x^(l) [n, dim] from x^(l-1) [n, width].

    Args:
        width: of x^(l-1).
        dim: of x^(l).
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.aggregate = embedding_table(width, width, nn.init.xavier_normal_)
        self.side = nn.Linear(width, dim)
        self.combine = nn.Linear(width + dim, dim)
        nn.init.xavier_normal_(self.side.weight)

    def means(self, users, items, to_users: SparseGraph, to_items: SparseGraph) -> UsersAndItems:
        """M x C of users and of items; both multiply C by a row for each item."""
        return to_users(items @ self.aggregate), to_items(users) @ self.aggregate

    def forward(self, x, means, ids):
        """x^(l) of users or items from their rows of x^(l-1), M x^(l-1) C and D."""
        side = F.leaky_relu_(self.side(x)) + ids
        return F.leaky_relu_(self.combine(torch.cat([F.leaky_relu_(means), side], dim=1)))
