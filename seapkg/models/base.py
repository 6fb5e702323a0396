"""The base class of all recommenders: the methods and hooks that the trainer calls."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seapkg import losses
from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import SparseGraph, keep_edges, mean_of_layers, normalised_adjacency
from seapkg.models.features import check_modality_names, rows

#: Tensors by name: loss terms, or vectors by modality.
NamedTensors = dict[str, Tensor]
#: Vectors of all users and of all items.
UsersAndItems = tuple[Tensor, Tensor]
#: `recomputed` processes longer tables in blocks of this many rows.
RECOMPUTED_ROWS = 65_536


class Recommender(nn.Module):
    """Base of all models. A subclass implements `embed`, usually `losses`, and the hooks it needs.

    A model reads no files and chooses no device. Its graphs and counts come from the training
    pairs alone.

    Args:
        dataset: the data to learn from.
        config: an instance of `config_class`.
    """

    config_class: ClassVar[type]
    training_defaults: ClassVar[dict[str, Any]] = {}
    needs_features: ClassVar[bool] = False
    coupled_decay: ClassVar[bool] = False  # weight decay is added to the gradient, as in Adam

    def __init__(self, dataset: Dataset, config: Any) -> None:
        super().__init__()
        if self.needs_features:
            dataset.require_features(type(self).__name__)
            check_modality_names(dataset)
        self.config = config
        self.n_users, self.n_items = dataset.n_users, dataset.n_items
        self.generator: torch.Generator | None = None

    # Verbs

    def embed(self) -> UsersAndItems:
        """The final vectors, computed without any random draw.

        Their dot products are the scores. A system with other scores has `scorer` instead.

        Returns:
            Users [n_users, dim] and items [n_items, dim].
        """
        raise NotImplementedError

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The weighted loss terms of a batch; the trainer minimises their sum.

        Args:
            users, positives, negatives: int64 [batch].

        Returns:
            Term -> scalar. A term that divides by a temperature is "alignment" or "contrast".
        """
        return {"bpr": ranking_loss(*batch_rows(*self.embed(), users, positives, negatives))}

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Embeds once for a whole evaluation; override it if the score is not a dot product.

        Returns:
            A function from users, int64 [n], to their scores of all items [n, n_items].
        """
        embedded_users, embedded_items = self.embed()
        return lambda users: embedded_users[users] @ embedded_items.T

    def score(self, users: Tensor) -> Tensor:
        """Scores of all items [n, n_items] for `users`, int64 [n]."""
        return self.scorer()(users)

    def parts(self) -> NamedTensors:
        """Item representations for probes and figures: "modality/part" -> [n_items, dim]."""
        return {}

    # Hooks of training

    @classmethod
    def training_options(cls, config: Any) -> dict[str, Any]:
        """The default training options of this configuration."""
        return cls.training_defaults

    def before_training(self, generator: torch.Generator) -> None:
        """A phase before the first epoch, such as pre-training (PAMD).

        A resumed training skips it, so it may change parameters and persistent buffers only.
        """

    def begin_epoch(self, generator: torch.Generator, epoch: int = 0) -> None:
        """Builds what is new in each epoch, such as a pruned graph (FREEDOM, LayerGCN).

        Args:
            generator: the only source of randomness that a model may use.
            epoch: counted from 0.
        """
        self.generator = generator

    def before_batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> None:
        """A step before the losses of a batch, such as a discriminator's (MMSSL)."""

    def fit_auxiliary(self) -> None:
        """Steps the auxiliary optimisers: after a batch's backward pass, before the main step."""

    def auxiliary_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers beside the main one, by name: CLUB's fit, a discriminator (MMSSL).

        The main optimiser leaves their parameters alone, and checkpoints include their state. The
        trainer asks for them when the model is on its device.
        """
        return {}

    def main_parameters(self) -> list[nn.Parameter]:
        """The trained parameters, without those of the auxiliary optimisers."""
        auxiliary = set()
        for optimiser in self.auxiliary_optimisers().values():
            for group in optimiser.param_groups:
                auxiliary.update(group["params"])
        trained = (parameter for parameter in self.parameters() if parameter.requires_grad)
        return [parameter for parameter in trained if parameter not in auxiliary]

    def optimiser(
        self, parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """The main optimiser: Adam, or AdamW where weights decay.

        Groups of parameters may have rates of their own (PAMD).
        """
        coupled = self.coupled_decay or not weight_decay
        kind = torch.optim.Adam if coupled else torch.optim.AdamW
        return kind(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)

    def learning_rate(self, base: float, epoch: int) -> float:
        """The main optimiser's learning rate in an epoch; by default it is constant.

        `base` is the training option, or a group's own rate.
        `base * 0.96 ** (epoch / 50)` is the schedule of MICRO, LATTICE and MGCN.
        """
        return base


class PrunedRecommender(Recommender):
    """A recommender whose user-item graph loses some edges in every epoch (FREEDOM, LayerGCN).

    Attributes:
        graph: the full graph, for evaluation.
        pruned: the graph of this epoch, for training.
        pairs: the training edges, int64 [n_train, 2].
        n_kept: number of kept edges, ⌊E (1 - ρ)⌋ in floating point as published.
    """

    def __init__(self, dataset: Dataset, config: Any) -> None:
        super().__init__(dataset, config)
        self.graph = self.pruned = training_graph(dataset)
        self.register_buffer("pairs", training_pairs(dataset), persistent=False)
        n_edges, dropout = len(self.pairs), config.edge_dropout
        self.n_kept = int(n_edges * (1 - dropout))
        if self.n_kept == 0:
            raise RequestError(
                f"option edge_dropout must leave at least one of {n_edges} training edges; "
                f"it is {dropout}: lower it"
            )

    def prune(self, kept: Tensor) -> None:
        """Makes `pruned` the graph of the edges `kept`, int64 [n_kept, 2]."""
        self.pruned = normalised_adjacency(kept, self.n_users, self.n_items)

    def prune_by_degree(self, generator: torch.Generator) -> None:
        """Prunes edges at random; an edge survives in proportion to 1 / sqrt(d_u d_i)."""
        self.prune(keep_edges(self.pairs, self.n_users, self.n_items, self.n_kept, generator))


class ItemToItemRecommender(Recommender):
    """A recommender without vectors: s_u = Σ_{j ∈ N_u} B_j, with item-to-item weights B.

    Nothing is trained: `item_weights` computes B from the data in closed form, so that a run stores
    no state.

    Attributes:
        interactions: sparse [n_users, n_items], 1 at each training pair.
    """

    training_defaults = {"max_epochs": 0}

    def __init__(self, dataset: Dataset, config: Any) -> None:
        super().__init__(dataset, config)
        pairs = training_pairs(dataset)
        shape = dataset.n_users, dataset.n_items
        ones = torch.ones(len(pairs))
        matrix = torch.sparse_coo_tensor(pairs.T, ones, shape, check_invariants=False).coalesce()
        self.register_buffer("interactions", matrix, persistent=False)

    def item_weights(self) -> Tensor:
        """B [n_items, n_items], dense or sparse; row j has the weights of item j for the others."""
        raise NotImplementedError

    def scorer(self) -> Callable[[Tensor], Tensor]:
        weights = self.item_weights()

        def score(users: Tensor) -> Tensor:
            return torch.sparse.mm(self.interactions.index_select(0, users), weights).to_dense()

        return score


def batch_rows(
    user_table: Tensor, item_table: Tensor, users: Tensor, positives: Tensor, negatives: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of a batch; each table is read once, and its gradient is filled once.

    Args:
        user_table: [n_users, dim].
        item_table: [n_items, dim].
        users, positives, negatives: int64 [batch].

    Returns:
        Users, positive items and negative items, [batch, dim] each.
    """
    items = rows(item_table, torch.cat([positives, negatives]))
    return rows(user_table, users), *items.split(len(positives))


def ranking_loss(
    users: Tensor, positives: Tensor, negatives: Tensor, log_base: str = "e"
) -> Tensor:
    """BPR on dot products of the batch's rows [batch, dim]. Returns a scalar."""
    positive_scores = (users * positives).sum(dim=1)  # [batch]
    negative_scores = (users * negatives).sum(dim=1)
    return losses.bpr(positive_scores, negative_scores, log_base)


def propagate(graph: Callable[[Tensor], Tensor], x: Tensor, n_layers: int) -> Tensor:
    """The last layer: `graph` applied `n_layers` times to `x` [n, dim]. Returns [n, dim]."""
    for _ in range(n_layers):
        x = graph(x)
    return x


def propagate_mean(
    graph: SparseGraph, users: Tensor, items: Tensor, n_layers: int
) -> UsersAndItems:
    """The mean over layers 0 to `n_layers` on a user-item graph (LightGCN Eq. 3, 4).

    Args:
        graph: of all users and items, [n_users + n_items, n_users + n_items].
        users: [n_users, dim].
        items: [n_items, dim].
        n_layers: number of layers.

    Returns:
        Users [n_users, dim] and items [n_items, dim].
    """
    nodes = torch.cat([users, items])  # [n_users + n_items, dim]
    return mean_of_layers(graph, nodes, n_layers).split([len(users), len(items)])


def recomputed(
    function: Callable[[Tensor], tuple[Tensor, ...]], table: Tensor
) -> tuple[Tensor, ...]:
    """Applies `function` to `table`, to a long one in blocks to save memory.

    The backward pass computes each block once more.

    Args:
        function: maps rows [n, width] to tensors [n, ...], each row by itself.
        table: [n_rows, width].
    """
    if len(table) <= RECOMPUTED_ROWS:
        return function(table)
    blocks = (
        checkpoint(function, block, use_reentrant=False, preserve_rng_state=False)
        for block in table.split(RECOMPUTED_ROWS)
    )
    return tuple(torch.cat(parts) for parts in zip(*blocks, strict=True))


def embedding_table(
    n_rows: int, dim: int, init: Callable[[Tensor], Tensor] = nn.init.xavier_uniform_
) -> nn.Parameter:
    """A trainable table [n_rows, dim], Xavier-initialised."""
    return nn.Parameter(init(torch.empty(n_rows, dim)))


def xavier(
    layer: nn.Linear, init: Callable[[Tensor], Tensor] = nn.init.xavier_uniform_
) -> nn.Linear:
    """The layer with Xavier-initialised weights."""
    init(layer.weight)
    return layer


def training_pairs(dataset: Dataset) -> Tensor:
    """The training pairs, user and item: int64 [n_train, 2]."""
    return torch.from_numpy(dataset.train.copy())


def training_graph(dataset: Dataset) -> SparseGraph:
    """The normalised adjacency of the training pairs, users first (LightGCN Eq. 8)."""
    return normalised_adjacency(training_pairs(dataset), dataset.n_users, dataset.n_items)


def unit_rows(x: Tensor) -> Tensor:
    """The rows of `x` [n, dim] scaled to unit norm; zero rows stay zero. Returns [n, dim].

    Equals `F.normalize`, but its backward pass takes half the time.
    """
    return x * x.norm(dim=1, keepdim=True).clamp_min(1e-12).reciprocal()
