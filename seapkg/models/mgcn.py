"""MGCN (Yu et al., ACM MM 2023, arXiv:2308.03588): item features purified by behaviour."""

import torch
from torch import Tensor, nn

from seapkg.data.dataset import Dataset
from seapkg.graph import SparseGraph, edge_weights
from seapkg.kernels.blocked_softmax import solosim
from seapkg.losses import half_squares
from seapkg.models.base import (
    NamedTensors,
    UsersAndItems,
    propagate,
    propagate_mean,
    ranking_loss,
    training_graph,
    training_pairs,
    unit_rows,
)
from seapkg.models.features import rows
from seapkg.models.registry import system
from seapkg.models.structure import ItemGraphConfig, ItemGraphRecommender
from seapkg.options import configuration, option


@configuration
class MGCNConfig(ItemGraphConfig):
    """Options of MGCN."""

    contrast_weight: float = option(
        0.01,
        "Weight of the contrast between content and behaviour.",
        ge=0,
        search=[0.001, 0.01, 0.1],
    )
    temperature: float = option(0.2, "Temperature of the contrast.", gt=0)
    regularisation: float = option(
        1e-4, "Weight of half the squared norms of the batch's final vectors.", ge=0
    )
    nominal_batch_size: int = option(
        2048, "The regularisation divides by this number, also in a smaller batch.", ge=1
    )


@system(
    "mgcn",
    paper="MGCN",
    title="Multi-View Graph Convolutional Network for Multimedia Recommendation",
    year=2023,
    source="arXiv:2308.03588",
    colour="purple",
    marker="<",
)
class MGCN(ItemGraphRecommender):
    r"""Features gated by behaviour, propagated on item graphs and fused by preference.

    Equations:
        y_m = S_m^n (E_I ⊙ σ(G_m x̃_m)), S_m the cosine kNN graph of the raw features, G_m two
        linear layers.
        Y_m = [R y_m; y_m] of users and items, R_ui = 1 / sqrt(d_u d_i).
        C = mean over layers of A^l [E_U; E_I], A the normalised user-item graph.
        K = Σ_m β_m Y_m, β = softmax over m of q · tanh(V Y_m + b).
        H = (K + Σ_m σ(P_m C) ⊙ (Y_m - K)) / (M + 1), with M modalities.
        e = C + H; s_ui = e_u · e_i.
        L = BPR(e_u, e_i, e_j) + λ (‖e_u‖² + ‖e_i‖² + ‖e_j‖²) / (2 B) + γ (L_C(u) + L_C(i)),
        B the nominal batch size. L_C(n) is the mean over the batch of -ln p_n, p the softmax over
        the batch's users or positive items x of cos(H_n, C_x)/τ.

    Differences from the published code:
        - Ties in the kNN graphs go to the lowest item, and an item is its own first neighbour.
        - An item whose cosines do not sum to a positive number has an empty row in its item graph.
          The published graph has NaN there.
    """

    config_class = MGCNConfig

    def __init__(self, dataset: Dataset, config: MGCNConfig) -> None:
        super().__init__(dataset, config)
        dim = config.embed_dim
        self.purifiers, self.preferences = nn.ModuleDict(), nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            layers = nn.Linear(width, dim), nn.Linear(dim, dim)
            self.purifiers[name] = nn.Sequential(*layers, nn.Sigmoid())
            self.preferences[name] = nn.Sequential(nn.Linear(dim, dim), nn.Sigmoid())
        self.query = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))
        self.graph = training_graph(dataset)
        pairs, shape = training_pairs(dataset), (dataset.n_users, dataset.n_items)
        self.user_graph = SparseGraph(pairs.T, edge_weights(pairs, *shape), shape)

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d]."""
        content, side = self._content_and_side()
        return (content + side).split([self.n_users, self.n_items])

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation" and "contrast" for index tensors [batch]."""
        config, n = self.config, len(users)
        content, side = self._content_and_side(users, torch.cat([positives, negatives]))
        batch = (content + side).split(n)
        squares = half_squares(*batch, batch_size=config.nominal_batch_size)
        sides, contents = (unit_rows(part[: 2 * n]).split(n) for part in (side, content))
        pairs = zip(sides, contents, strict=True)  # of users, of positive items
        contrast = sum(solosim(*pair, config.temperature) for pair in pairs)
        return {
            "bpr": ranking_loss(*batch),
            "regularisation": config.regularisation * squares,
            "contrast": config.contrast_weight * contrast,
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", the items y_m of its graph: [n_items, d]."""
        views = self._item_views().chunk(len(self.feature_graphs), dim=1)
        return {f"{name}/whole": view for name, view in zip(self.features, views, strict=True)}

    def _content_and_side(self, users=None, items=None):
        """C and H [n, d] of `users`, then `items`, int64; None stands for all."""
        views = self._item_views()
        tables = propagate_mean(self.graph, self.users, self.items, self.config.n_layers)
        content = torch.cat([rows(tables[0], users), rows(tables[1], items)])
        of_users = self.user_graph(views) if users is None else self.user_graph.at(users, views)
        return content, self._side(content, torch.cat([of_users, rows(views, items)]))

    def _item_views(self):
        """y_m of all modalities side by side: [n_items, n_modalities d]."""
        views = []
        for name, graph in self.feature_graphs.items():
            purified = self.items * self.purifiers[name](self.features[name])
            views.append(propagate(graph, purified, self.config.n_item_layers))
        return torch.cat(views, dim=1)

    def _side(self, content, views):
        """H [n, d] of rows of C [n, d] and of the Y_m side by side [n, n_modalities d]."""
        views = views.unflatten(1, (-1, self.config.embed_dim))  # [n, n_modalities, d]
        shares = self.query(views).softmax(dim=1)
        common = (shares * views).sum(dim=1)  # [n, d]
        gates = torch.stack([gate(content) for gate in self.preferences.values()], dim=1)
        special = (gates * (views - common[:, None])).sum(dim=1)
        return (common + special) / (1 + views.shape[1])
