"""SLMRec (Tao et al., IEEE TMM 2022): three graph views, fused and trained by contrast."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import mean_of_layers
from seapkg.kernels.blocked_softmax import solosim
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    embedding_table,
    training_graph,
    unit_rows,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option

#: Features are propagated this many columns at a time.
BLOCK_WIDTH = 256


@configuration
class SLMRecConfig:
    """Options of SLMRec."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=2)
    n_layers: int = option(3, "Layers on the user-item graph.", ge=1)
    temperature: float = option(0.2, "Temperature of the contrast between users and items.", gt=0)
    alignment_temperature: float = option(
        0.2, "Temperature of the alignment of views.", gt=0, search=[0.1, 0.2, 0.5, 1.0]
    )
    alignment_weight: float = option(
        0.01, "Weight of the alignment of views.", ge=0, search=[0.01, 0.05, 0.1, 0.5, 1.0]
    )


@system(
    "slmrec",
    paper="SLMRec",
    title="Self-supervised Learning for Multimedia Recommendation",
    year=2022,
    source="doi:10.1109/TMM.2022.3187556",
    colour="purple",
    marker="s",
)
class SLMRec(Recommender):
    r"""LightGCN on embeddings and on each modality, fused; views are aligned from fine to coarse.

    Equations:
        Z_0 = LGN [E_U; E_I] and Z_m = LGN [E_U; V_m x_m + b_m], with x_m of unit length and
        LGN = mean over layers of Â^l.
        e_u = W_U [Z_0 ‖ Z_1 ‖ ...]_u + b_U, e_i = W_I [Z_0 ‖ Z_1 ‖ ...]_i + b_I.
        CE(a, b; τ) = mean over k of -ln softmax_l(a_k · b_l / τ) at l = k, over the batch.
        L = CE(e_u/‖e_u‖, e_i/‖e_i‖; τ) + α Σ_m CE(p_m, q_m; τ_s), m = 1, 2, ...
        p_1 = g_1(Z_0), p_m = g_m'(g_m(p_{m-1})), q_m = h_m(Z_m), rows of the batch's items.
        All g, g' and h are linear. The last modality, if not the first, is aligned in d/2
        coordinates, all others in d.
        s_ui = e_u · e_i.

    Differences from the published code:
        - Evaluation ranks by the current parameters; the published code ranks by those before the
          last step.
        - Items are ranked by e_u · e_i without the published logistic function, which is 1 in
          float32 for all scores from 17 on, so that they tie.
        - The published code takes image and text. Other sets are aligned one after another, in
          the order of the dataset.
        - The biases of the h_m are left out, as they cancel in the softmax, and so is a layer for
          audio that is never used.
        - Degrees have no 1e-8 added; float32 does not see it.
        - `weight_decay` of the training options is added to the gradient, as published.
        - Features are propagated once, as LGN [0; V x + b] = (LGN [0; x]) V + (LGN [0; 1]) b. This
          needs memory for users' features.
    """

    config_class = SLMRecConfig
    training_defaults = {"weight_decay": 1e-4}
    needs_features = True

    def __init__(self, dataset: Dataset, config: SLMRecConfig) -> None:
        super().__init__(dataset, config)
        dim, n_views = config.embed_dim, 1 + len(dataset.modalities)
        self.users = embedding_table(dataset.n_users, dim)
        self.items = embedding_table(dataset.n_items, dim)
        self.features = FeatureTables(dataset)  # LGN [0; x], [n_users + n_items, width]
        self.projections, self.joints, self.heads = (nn.ModuleDict() for _ in range(3))
        for name, width in self.features.widths_by_name.items():
            is_coarse = self.joints and name == dataset.modalities[-1]
            head_width = dim // 2 if is_coarse else dim
            self.projections[name] = _linear(width, dim)
            joint = nn.Sequential(_linear(dim, dim))
            if self.joints:
                joint.append(_linear(dim, head_width))
            self.joints[name] = joint
            self.heads[name] = _linear(dim, head_width, bias=False)
        self.user_fusion = _linear(n_views * dim, dim)
        self.item_fusion = _linear(n_views * dim, dim)
        self.graph = training_graph(dataset)
        for name in self.features:
            self.propagate_features(name)
        ones = torch.ones(dataset.n_items, 1)
        self.register_buffer("reach", self._from_items(ones), persistent=False)  # LGN [0; 1]

    def optimiser(
        self, parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """Adam; weight decay is added to the gradient."""
        return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)

    def embed(self) -> UsersAndItems:
        """The fused vectors: [n_users, d] and [n_items, d]."""
        views = torch.cat(self._views(lambda table: table), dim=1)
        users, items = views.split([self.n_users, self.n_items])
        return self.user_fusion(users), self.item_fusion(items)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "contrast" and "alignment" for int64 [batch]; the negatives are ignored."""
        config = self.config
        nodes = torch.cat([users, positives + self.n_users])
        nodes, places = nodes.unique(return_inverse=True)  # distinct rows are projected once
        views = [rows(view, places) for view in self._views(lambda table: rows(table, nodes))]
        user_views, item_views = zip(*(view.chunk(2) for view in views), strict=True)
        fused_users = unit_rows(self.user_fusion(torch.cat(user_views, dim=1)))  # [batch, d]
        fused_items = unit_rows(self.item_fusion(torch.cat(item_views, dim=1)))
        return {
            "contrast": solosim(fused_users, fused_items, config.temperature),
            "alignment": config.alignment_weight * self._alignment(*item_views),
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", the items of its view Z_m: [n_items, d]."""
        _, *views = self._views(lambda table: table)
        return {
            f"{name}/whole": view[self.n_users :]
            for name, view in zip(self.features, views, strict=True)
        }

    def propagate_features(self, name: str) -> None:
        """Replaces a modality's features [n_items, width] by LGN [0; x] [n_nodes, width]."""
        unit = F.normalize(self.features[name], dim=1)
        setattr(self.features, name, self._from_items(unit))

    def _from_items(self, x):
        """LGN [0; x] [n_nodes, width] of constants `x` [n_items, width]."""
        propagated = x.new_empty(self.n_users + self.n_items, x.shape[1])
        blocks = zip(propagated.split(BLOCK_WIDTH, 1), x.split(BLOCK_WIDTH, 1), strict=True)
        for target, block in blocks:
            nodes = F.pad(block, (0, 0, self.n_users, 0))  # zeros for users
            target.copy_(mean_of_layers(self.graph, nodes, self.config.n_layers))
        return propagated

    def _views(self, select: Callable[[Tensor], Tensor]):
        """Z_0, Z_1, ...: [n, d] each, of the nodes that `select` takes from a table [n_nodes, d]."""
        embedded, from_users = (select(table) for table in self._propagate())
        views, reach = [embedded], select(self.reach)
        for name, layer in self.projections.items():
            from_items = select(self.features[name]) @ layer.weight.T + reach * layer.bias
            views.append(from_users + from_items)
        return views

    def _propagate(self):
        """LGN [E_U; E_I] and LGN [E_U; 0], [n_nodes, d] each.

        What starts at a user is at users in even layers and at items in odd ones.
        """
        layers = [torch.cat([self.users, self.items])]
        for _ in range(self.config.n_layers):
            layers.append(self.graph(layers[-1]))
        users = sum(layer[: self.n_users] for layer in layers[::2])
        items = sum(layer[self.n_users :] for layer in layers[1::2])
        return sum(layers) / len(layers), torch.cat([users, items]) / len(layers)

    def _alignment(self, embedded, *views):
        """Σ_m CE(p_m, q_m; τ_s) for the batch's items, [batch, d] each view."""
        total, joint_view = 0.0, embedded
        for view, joint, head in zip(views, self.joints.values(), self.heads.values(), strict=True):
            joint_view = joint(joint_view)
            temperature = self.config.alignment_temperature
            total = total + solosim(joint_view, head(view), temperature, unit=False)
        return total


def _linear(width, dim, *, bias=True):
    """A linear layer with Xavier-uniform weights."""
    layer = nn.Linear(width, dim, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    return layer
