"""DualGNN (Wang et al., IEEE TMM 2021): propagation per modality, then on a user-user graph."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.graph import co_occurrence_lists, sum_of_layers
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    batch_rows,
    embedding_table,
    ranking_loss,
    training_graph,
    training_pairs,
    unit_rows,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option


@configuration
class DualGNNConfig:
    """Options of DualGNN."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    hidden_width: int = option(256, "Hidden width of the features' networks.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    user_neighbours: int = option(40, "Neighbours of a user in the user-user graph.", ge=1)
    regularisation: float = option(
        0.1,
        "Weight of the mean squares of the batch's preferences and of the modality weights.",
        ge=0,
        search=[0.1, 1e-2, 1e-3, 1e-4, 1e-5],
    )
    formulation: Literal["intended", "released"] = option(
        "intended", "A user's first modality alone, or the sum of all in its place as released."
    )


@system(
    "dualgnn",
    paper="DualGNN",
    title="DualGNN: Dual Graph Neural Network for Multimedia Recommendation",
    year=2021,
    source="doi:10.1109/TMM.2021.3138298",
    colour="green",
    marker="D",
)
class DualGNN(Recommender):
    r"""LightGCN per modality, weighted by each user, then one step on a user-user graph.

    Equations:
        f_m = T_m LeakyReLU(H_m x_m + η_m) + τ_m, items' features of width d.
        z_m = Σ_{l=0..L} A^l [Q_m; F_m], rows of Q_m and F_m scaled to unit norm.
        g_u = Σ_m w_um z_um, with trained weights w_um of each user.
        e_u = g_u + Σ_s ω_us g_b(u,s), e_i = Σ_m z_im; s_ui = e_u · e_i.
        b(u, 1..k) are the k users who share most training items with u, ω_u the softmax of the
        numbers of shared items. A user with n < k such users fills its list anew in each epoch:
        their multiplicities are uniform over all that sum to k, each at least 1.
        L = BPR in log base 2 + λ (Σ_m mean of Q_um² over the batch's users + mean of all w_um²
        + mean of all w_im²).
        The items' weights w_im occur in the regulariser alone.

    Formulation "released": a sum in place puts Σ_m z_um where z_u1 belongs, so
    g_u = w_u1 Σ_m z_um + Σ_{m>1} w_um z_um.

    Differences from the published code:
        - Evaluation uses the current parameters; published are the vectors of the last batch,
          before its step.
        - Evaluation fills no list: a user with n < k neighbours has the softmax over these n, as
          each has the same expected multiplicity. Published is the last epoch's list.
        - Ties at the k-th neighbour go to the lowest user; the published order is that of top-k.
        - Multiplicities are drawn at once, with the same distribution as slot by slot.
        - Layers without a gradient are left out.
    """

    config_class = DualGNNConfig
    needs_features = True

    def __init__(self, dataset: Dataset, config: DualGNNConfig) -> None:
        super().__init__(dataset, config)
        dim, n_modalities = config.embed_dim, len(dataset.modalities)
        self.features = FeatureTables(dataset)
        self.preferences, self.networks = nn.ParameterDict(), nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            self.preferences[name] = embedding_table(self.n_users, dim, nn.init.xavier_normal_)
            self.networks[name] = nn.Sequential(
                nn.Linear(width, config.hidden_width),
                nn.LeakyReLU(),
                nn.Linear(config.hidden_width, dim),
            )
        self.user_weights = _modality_weights(self.n_users, n_modalities)
        self.item_weights = _modality_weights(self.n_items, n_modalities)
        self.graph = training_graph(dataset)
        k = min(config.user_neighbours, self.n_users)
        pairs = training_pairs(dataset)
        neighbours, counts = co_occurrence_lists(pairs, self.n_users, self.n_items, k)
        self.register_buffer("neighbours", neighbours, persistent=False)  # [n_users, k]
        self.register_buffer("counts", counts, persistent=False)  # [n_users, k]
        self.epoch_neighbours, self.epoch_counts = neighbours, counts

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Fills the lists of the users with few neighbours."""
        super().begin_epoch(generator, epoch)
        n_neighbours = self.counts.isfinite().sum(dim=1)
        slots = filled_slots(n_neighbours, self.counts.shape[1], generator)
        self.epoch_neighbours = self.neighbours.gather(1, slots)
        self.epoch_counts = self.counts.gather(1, slots)

    def embed(self) -> UsersAndItems:
        """[n_users, d] and [n_items, d], with lists that are not filled."""
        users, items = self._fuse(*self._propagate())
        return users + _weighted_rows(users, self.neighbours, self.counts), items

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr" and "regularisation" for index tensors [batch]."""
        fused_users, fused_items = self._fuse(*self._propagate())
        user_rows, *item_rows = batch_rows(fused_users, fused_items, users, positives, negatives)
        neighbours, counts = self.epoch_neighbours[users], self.epoch_counts[users]
        user_rows = user_rows + _weighted_rows(fused_users, neighbours, counts)
        regularised = [rows(table, users) for table in self.preferences.values()]
        regularised += [self.user_weights, self.item_weights]
        squares = sum(part.square().mean() for part in regularised)
        return {
            "bpr": ranking_loss(user_rows, *item_rows, log_base="2"),
            "regularisation": self.config.regularisation * squares,
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", the items z_m: [n_items, d]."""
        _, items = self._propagate()
        return {f"{name}/whole": items[:, m] for m, name in enumerate(self.features)}

    def _propagate(self):
        """z of users and items: [n_users, n_modalities, d] and [n_items, n_modalities, d]."""
        layer_0 = []
        for name, network in self.networks.items():
            projected = network(self.features[name])
            layer_0.append(unit_rows(torch.cat([self.preferences[name], projected])))
        nodes = sum_of_layers(self.graph, torch.cat(layer_0, dim=1), self.config.n_layers)
        nodes = nodes.unflatten(1, (len(layer_0), -1))
        return nodes.split([self.n_users, self.n_items])

    def _fuse(self, users, items):
        """g [n_users, d] and the final items [n_items, d] from z of both."""
        weights = self.user_weights
        if self.config.formulation == "released":
            first, others = weights[:, :1], weights[:, 1:]
            weights = torch.cat([first, others + first], dim=1)
        return (weights[:, :, None] * users).sum(dim=1), items.sum(dim=1)


def filled_slots(n_neighbours: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Fills k slots with the entries of each list, all compositions equally likely.

    A list of n entries is cut between n - 1 pairs of adjacent slots, drawn at random. The numbers
    of slots of its entries have the distribution of a list that grows to k entries by repeating
    entries drawn from itself.

    Args:
        n_neighbours: int64 [n_lists], from 0 to k.
        k: number of slots.
        generator: source of randomness.

    Returns:
        The entry in each slot, int64 [n_lists, k]; 0 for an empty list.
    """
    device = n_neighbours.device
    keys = torch.rand(len(n_neighbours), k - 1, generator=generator, device=device)
    cuts = keys.argsort(dim=1) < n_neighbours[:, None] - 1
    return F.pad(cuts.cumsum(dim=1), (1, 0))


def _modality_weights(n_rows, n_modalities):
    """Trained weights [n_rows, n_modalities], softmaxed once."""
    drawn = nn.init.xavier_normal_(torch.empty(n_rows, n_modalities))
    return nn.Parameter(drawn.softmax(dim=1))


def _weighted_rows(table, index, logits):
    """Σ_s ω_ns table[index[n, s]] [n, d], ω the softmax of each row; 0 if all its logits are -∞."""
    shares = logits.softmax(dim=1).nan_to_num(0.0)
    return F.embedding_bag(index, table, per_sample_weights=shares, mode="sum")
