"""SLMRec (Tao et al., IEEE TMM 2022): three graph views, fused and trained by contrast."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import mean_of_layers
from seapkg.kernels.propagated_linear import PropagatedLinear
from seapkg.kernels.repeated_softmax import solosim_of_repeats
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    embedding_table,
    training_graph,
    unit_rows,
    xavier,
)
from seapkg.models.features import feature_table, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option


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
    coupled_decay = True
    training_defaults = {"weight_decay": 1e-4}
    needs_features = True

    def __init__(self, dataset: Dataset, config: SLMRecConfig) -> None:
        super().__init__(dataset, config)
        dim = config.embed_dim
        self.users = embedding_table(dataset.n_users, dim)
        self.items = embedding_table(dataset.n_items, dim)
        self.graph = training_graph(dataset)
        propagate = partial(mean_of_layers, self.graph, n_layers=config.n_layers)
        self.contents, self.joints, self.heads = (nn.ModuleDict() for _ in range(3))
        first, last = dataset.modalities[0], dataset.modalities[-1]
        for name in dataset.modalities:
            unit = F.normalize(feature_table(dataset, name), dim=1)
            self.contents[name] = xavier(PropagatedLinear(dim, unit, propagate, self.n_users))
            width = dim // 2 if name == last != first else dim
            between = [] if name == first else [xavier(nn.Linear(dim, dim))]
            self.joints[name] = nn.Sequential(*between, xavier(nn.Linear(dim, width)))
            self.heads[name] = xavier(nn.Linear(dim, width, bias=False))
        fused_width = dim * (1 + len(dataset.modalities))
        self.user_fusion = xavier(nn.Linear(fused_width, dim))
        self.item_fusion = xavier(nn.Linear(fused_width, dim))

    def embed(self) -> UsersAndItems:
        """The fused vectors: [n_users, d] and [n_items, d]."""
        return self._fuse(self._views(self.n_users), self.n_users)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "contrast" and "alignment" for int64 [batch]; the negatives are ignored."""
        config = self.config
        users, user_places = users.unique(return_inverse=True)
        items, item_places = positives.unique(return_inverse=True)
        nodes = torch.cat([users, items + self.n_users])  # distinct
        views = self._views(len(users), nodes)
        unit = [unit_rows(fused) for fused in self._fuse(views, len(users))]
        contrast = solosim_of_repeats(*unit, user_places, item_places, config.temperature)
        alignment = self._alignment([view[len(users) :] for view in views], item_places)
        return {"contrast": contrast, "alignment": config.alignment_weight * alignment}

    def parts(self) -> NamedTensors:
        """Per modality "whole", the items of its view Z_m: [n_items, d]."""
        named = zip(self.contents, self._views(self.n_users)[1:], strict=True)
        return {f"{name}/whole": view[self.n_users :] for name, view in named}

    def _views(self, n_users, nodes=None):
        """Z_0, Z_1, ... [n, d] at `nodes`, int64 [n], or at all; the first `n_users` are users."""
        layer = torch.cat([self.users, self.items])
        layers = [rows(layer, nodes)]
        for _ in range(self.config.n_layers):
            layer = self.graph(layer)
            layers.append(rows(layer, nodes))
        even, odd = sum(layers[::2]), sum(layers[1::2])
        # What started at the users is at users in even layers and at items in odd ones.
        from_users = torch.cat([even[:n_users], odd[n_users:]]) / len(layers)
        views = [from_users + content(nodes) for content in self.contents.values()]
        return [(even + odd) / len(layers), *views]

    def _fuse(self, views, n_users):
        """e_u [n_users, d] and e_i [n - n_users, d] of views [n, d] with the users first."""
        views = torch.cat(views, dim=1)
        return self.user_fusion(views[:n_users]), self.item_fusion(views[n_users:])

    def _alignment(self, views, places):
        """Σ_m CE(p_m, q_m; τ_s) of the rows `places` [batch] of the items' views [n, d]."""
        joint, *views = views
        total, temperature = 0.0, self.config.alignment_temperature
        for name, view in zip(self.contents, views, strict=True):
            joint, head = self.joints[name](joint), self.heads[name](view)
            total = total + solosim_of_repeats(joint, head, places, places, temperature)
        return total
