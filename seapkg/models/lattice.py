"""LATTICE (Zhang et al., ACM MM 2021, arXiv:2104.09036): one item graph learned from features."""

from typing import Literal

import torch
from torch import Tensor, nn

from seapkg.data.dataset import Dataset
from seapkg.graph.learned import MixedGraph, learned_graph
from seapkg.losses import half_squares
from seapkg.models.base import NamedTensors, UsersAndItems, batch_rows, propagate, ranking_loss
from seapkg.models.registry import system
from seapkg.models.structure import StructureConfig, StructureLearner
from seapkg.options import configuration, option


@configuration
class LATTICEConfig(StructureConfig):
    """Options of LATTICE."""

    projection_width: int = option(64, "Width of the projected features.", ge=1)
    regularisation: float = option(
        1e-5,
        "Weight of half the squared norms of the batch's final vectors.",
        ge=0,
        search=[0.0, 1e-5, 1e-4, 1e-3],
    )
    nominal_batch_size: int = option(
        2048, "Batch size that the regularisation divides by, whatever the batch.", ge=1
    )
    idle_parameters: Literal["stay", "drift"] = option(
        "stay",
        "What batches do that give a parameter no gradient: it stays, as in torch 2, or Adam's "
        "momentum moves it on, as in torch 1, which the published code used.",
    )


@system(
    "lattice",
    paper="LATTICE",
    title="Mining Latent Structures for Multimedia Recommendation",
    year=2021,
    source="arXiv:2104.09036",
    colour="sky",
    marker="^",
)
class LATTICE(StructureLearner):
    r"""LightGCN plus propagation on one item graph, which is learned from all modalities.

    Equations:
        S = λ Σ_m α_m S_m^0 + (1 - λ) norm(Σ_m α_m S(x̃_m)), with α the softmax of trained logits,
        S_m^0 = norm(S(x_m)) of the raw features x_m, fixed, and x̃_m = W_m x_m + b_m of the
        trained ones; S(x) has the cosines of each item with its k nearest, itself included;
        norm(S) = D^-1/2 S D^-1/2 with the row sums D of S on both sides.
        h = S^L E_I [n_items, d].
        [e_U; e_I] = mean over layers of (D^-1 (A + I))^l [E_U; E_I], items add h / ‖h‖.
        L = BPR(e_u, e_i, e_j) + μ (‖e_u‖² + ‖e_i‖² + ‖e_j‖²) / (2 B), B = `nominal_batch_size`
        for every batch, also the shorter last one.
        S gets a gradient in an epoch's first batch and stays fixed in the others.

    Differences from the published code:
        - A parameter without a gradient stays where it is; under torch 1, which the published code
          used, Adam's momentum moved it (`idle_parameters` is "drift").
        - Ties in the kNN graphs go to the lowest item, and an item is its own first neighbour.
        - An item whose weights do not sum to a positive number has an empty row in the learned
          graph; published it is not a number, and neither is the loss.
        - The item graph is sparse, and its nearest neighbours are searched in blocks.
    """

    config_class = LATTICEConfig
    training_defaults = {"learning_rate": 5e-4}

    def __init__(self, dataset: Dataset, config: LATTICEConfig) -> None:
        super().__init__(dataset, config, config.projection_width)
        self.logits = nn.Parameter(torch.full((len(dataset.modalities),), 0.5))

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d], with the graph of the current parameters."""
        return self._on_graphs(self._current_graphs())

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr" and "regularisation" for index tensors [batch]."""
        config, nodes = self.config, self._on_graphs(self._batch_graphs())
        batch = batch_rows(*nodes, users, positives, negatives)  # [batch, d] each
        squares = half_squares(*batch, batch_size=config.nominal_batch_size)
        return {"bpr": ranking_loss(*batch), "regularisation": config.regularisation * squares}

    def fit_auxiliary(self) -> None:
        """Gives idle parameters a zero gradient if they drift; Adam leaves others alone."""
        if self.config.idle_parameters == "drift":
            for parameter in self.main_parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    def _learn_graphs(self):
        """S with a gradient, under the name "items"."""
        alpha, share = self.logits.softmax(dim=0), self.config.feature_graph_share
        tables = self._projected().values()
        learned = learned_graph(tables, self.config.n_neighbours, alpha)
        shares = torch.cat([alpha.new_tensor([1 - share]), share * alpha])
        return {"items": MixedGraph(learned, list(self.feature_graphs.values()), shares)}

    def _on_graphs(self, graphs):
        """Users [n_users, d] and items [n_items, d]."""
        content = propagate(graphs["items"], self.items, self.config.n_item_layers)
        return self._nodes(content)
