"""SLMRec (Tao et al., IEEE TMM 2022): three graph views, fused and trained by contrast."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import mean_of_layers
from seapkg.kernels.repeated_softmax import solosim_of_repeats
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
    marker="d",
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
            between = [_linear(dim, dim)] if self.joints else []
            self.projections[name] = _linear(width, dim)
            self.joints[name] = nn.Sequential(*between, _linear(dim, head_width))
            self.heads[name] = _linear(dim, head_width, bias=False)
        self.user_fusion = _linear(n_views * dim, dim)
        self.item_fusion = _linear(n_views * dim, dim)
        self.graph = training_graph(dataset)
        self.register_buffer("reach", torch.ones(dataset.n_items, 1), persistent=False)
        self.propagate_constants()

    def propagate_constants(self) -> None:
        """Replaces features and ones x [n_items, width] by LGN [0; x] [n_nodes, width]."""
        self.reach = self._from_items(self.reach)
        for name in self.features:
            unit = F.normalize(self.features[name], dim=1)
            setattr(self.features, name, self._from_items(unit))

    def optimiser(
        self, parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """Adam; weight decay is added to the gradient."""
        return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)

    def embed(self) -> UsersAndItems:
        """The fused vectors: [n_users, d] and [n_items, d]."""
        layers = self._layers()
        user_views, item_views = self._views(layers, 0), self._views(layers, 1)
        return self.user_fusion(user_views), self.item_fusion(item_views)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "contrast" and "alignment" for int64 [batch]; the negatives are ignored."""
        config, layers = self.config, self._layers()
        users, user_places = users.unique(return_inverse=True)
        items, item_places = positives.unique(return_inverse=True)
        views = self._views(layers, 1, items)  # [n distinct items, n_views d]
        fused_users = unit_rows(self.user_fusion(self._views(layers, 0, users)))
        fused_items = unit_rows(self.item_fusion(views))
        places = user_places, item_places
        return {
            "contrast": solosim_of_repeats(fused_users, fused_items, *places, config.temperature),
            "alignment": config.alignment_weight * self._alignment(views, item_places),
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", the items of its view Z_m: [n_items, d]."""
        _, *views = self._views(self._layers(), 1).split(self.config.embed_dim, dim=1)
        return {f"{name}/whole": view for name, view in zip(self.features, views, strict=True)}

    def _from_items(self, x):
        """LGN [0; x] [n_nodes, width] of constants `x` [n_items, width]."""
        propagated = x.new_empty(self.n_users + self.n_items, x.shape[1])
        blocks = zip(propagated.split(BLOCK_WIDTH, 1), x.split(BLOCK_WIDTH, 1), strict=True)
        for target, block in blocks:
            nodes = F.pad(block, (0, 0, self.n_users, 0))  # zeros for users
            target.copy_(mean_of_layers(self.graph, nodes, self.config.n_layers))
        return propagated

    def _layers(self):
        """The layers 0 to L of [E_U; E_I]: users [n_users, d] and items [n_items, d] each."""
        layers = [torch.cat([self.users, self.items])]
        for _ in range(self.config.n_layers):
            layers.append(self.graph(layers[-1]))
        return [self._sides(layer) for layer in layers]

    def _sides(self, nodes):
        return nodes.split([self.n_users, self.n_items])

    def _views(self, layers, side, index=None):
        """[Z_0 ‖ Z_1 ‖ ...] of users (side 0) or items (1), rows `index` or all: [n, n_views d]."""

        def select(table):
            return table if index is None else rows(table, index)

        parts = [select(layer[side]) for layer in layers]
        # Users hold what started at users in even layers, items in odd ones.
        from_users = sum(parts[side::2]) / len(parts)  # LGN [E_U; 0]
        reach = select(self._sides(self.reach)[side])
        views = [sum(parts) / len(parts)]
        for name, layer in self.projections.items():
            features = select(self._sides(self.features[name])[side])
            views.append(from_users + features @ layer.weight.T + reach * layer.bias)
        return torch.cat(views, dim=1)

    def _alignment(self, views, places):
        """Σ_m CE(p_m, q_m; τ_s) of the rows `places` [batch] of the views [n, n_views d]."""
        joint, *views = views.split(self.config.embed_dim, dim=1)
        total, temperature = 0.0, self.config.alignment_temperature
        for name, view in zip(self.features, views, strict=True):
            joint, head = self.joints[name](joint), self.heads[name](view)
            total = total + solosim_of_repeats(joint, head, places, places, temperature)
        return total


def _linear(width, dim, *, bias=True):
    """A linear layer with Xavier-uniform weights."""
    layer = nn.Linear(width, dim, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    return layer
