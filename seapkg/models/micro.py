"""MICRO (Zhang et al., TKDE 2022, arXiv:2111.00678): item graphs learned from features."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph.learned import MixedGraph, learned_graph
from seapkg.kernels.blocked_softmax import grace
from seapkg.losses import half_squares
from seapkg.models.base import NamedTensors, UsersAndItems, batch_rows, propagate, ranking_loss
from seapkg.models.registry import system
from seapkg.models.structure import StructureConfig, StructureLearner
from seapkg.options import Range, configuration, option


@configuration
class MICROConfig(StructureConfig):
    """Options of MICRO."""

    learning_rate_decay: float = option(
        1.0, "Factor on the learning rate in 50 epochs; published is 0.96.", gt=0, le=1
    )
    contrast_weight: float = option(
        0.03,
        "Weight of the contrast between each modality and the fused items.",
        ge=0,
        search=Range(1e-3, 0.3, log=True),
    )
    temperature: float = option(0.5, "Temperature of the contrast.", gt=0)
    regularisation: float = option(
        1e-5,
        "Weight of half the squared norms of the batch's final vectors.",
        ge=0,
        search=[1e-5, 1e-4, 1e-3, 1e-2],
    )


@system(
    "micro",
    paper="MICRO",
    title="Latent Structure Mining with Contrastive Modality Fusion for Multimedia Recommendation",
    year=2022,
    source="arXiv:2111.00678",
    colour="sky",
    marker="P",
)
class MICRO(StructureLearner):
    r"""Item graphs learned from features, fused by attention and contrast.

    Equations:
        S_m = λ S_m^0 + (1 - λ) S(x̃_m), S^0 the cosine kNN graph of the raw features, S(x̃_m) that
        of their projections x̃_m = W_m x_m + b_m.
        h_m = S_m^L E_I [n_items, d].
        h = Σ_m β_m h_m, β = softmax over m of q · tanh(V h_m + b).
        L_C = Σ_m mean over i of -ln p_i, p_i the softmax of cos(h_m,i, x)/τ at x = h_i, where x is
        any row of h or another row of h_m.
        [e_U; e_I] = mean over layers of (D^-1 (A + I))^l [E_U; E_I], items add h / ‖h‖.
        L = BPR(e_u, e_i, e_j) + μ (‖e_u‖² + ‖e_i‖² + ‖e_j‖²) / (2 batch) + γ L_C.
        The learned graphs get a gradient in an epoch's first batch and stay fixed in the others.

    Differences from the published code:
        - The learning rate is constant unless `learning_rate_decay` is 0.96.
        - A parameter without a gradient stays where it is; under torch 1 Adam's momentum moved it.
        - Batches, negatives and early stopping are those of all systems; the published
          code has batches of 1024 users, validates every fifth epoch and stops after ten
          validations without a rise.
        - Ties in the kNN graphs go to the lowest item, and an item is its own first neighbour.
        - An item whose cosines do not sum to a positive number has an empty row in the learned
          graph.
    """

    config_class = MICROConfig
    training_defaults = {"learning_rate": 5e-4}

    def __init__(self, dataset: Dataset, config: MICROConfig) -> None:
        super().__init__(dataset, config, config.embed_dim)
        dim = config.embed_dim
        self.query = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d], with graphs built from the current parameters."""
        return self._nodes(self._fuse(self._propagate(self._current_graphs())))

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation" and "contrast" for index tensors [batch]."""
        config, views = self.config, self._propagate(self._batch_graphs())
        fused = self._fuse(views)
        batch = batch_rows(*self._nodes(fused), users, positives, negatives)  # [batch, d] each
        squares = half_squares(*batch, batch_size=len(users))
        terms = {"bpr": ranking_loss(*batch), "regularisation": config.regularisation * squares}
        if config.contrast_weight:
            terms["contrast"] = config.contrast_weight * self._contrast(views, fused)
        return terms

    def parts(self) -> NamedTensors:
        """Per modality "whole", the items h_m of its graph: [n_items, d]."""
        views = self._propagate(self._current_graphs())
        return {f"{name}/whole": view for name, view in views.items()}

    def _learn_graphs(self):
        """S_m with a gradient, by modality."""
        share, k = self.config.feature_graph_share, self.config.n_neighbours
        shares = self.items.new_tensor([1 - share, share])
        graphs = {}
        for name, table in self._projected().items():
            learned = learned_graph([table], k, [1.0])
            graphs[name] = MixedGraph(learned, [self.feature_graphs[name]], shares)
        return graphs

    def _propagate(self, graphs):
        """h_m = S_m^L E_I: modality -> [n_items, d]."""
        n_layers = self.config.n_item_layers
        return {name: propagate(graph, self.items, n_layers) for name, graph in graphs.items()}

    def _fuse(self, views):
        """h = Σ_m β_m h_m: [n_items, d]."""
        stacked = torch.stack(list(views.values()), dim=1)  # [n_items, n_modalities, d]
        shares = self.query(stacked).softmax(dim=1)
        return (shares * stacked).sum(dim=1)

    def _contrast(self, views, fused):
        fused = F.normalize(fused, dim=1)
        unit_views = [F.normalize(view, dim=1) for view in views.values()]
        return sum(grace(view, fused, self.config.temperature) for view in unit_views)
