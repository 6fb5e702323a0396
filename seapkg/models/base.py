"""What every recommender is: four verbs for the trainer, and plain inputs taken from a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from seapkg import losses
from seapkg.data.dataset import Dataset
from seapkg.errors import DataError
from seapkg.graph import SparseGraph, normalised_adjacency

#: Tables with more rows are worked on in blocks of so many where that saves memory.
RECOMPUTED_ROWS = 65_536


class Recommender(nn.Module):
    """Base of all models. Subclasses implement `embed` and usually `losses`.

    A model is built from a dataset and its frozen configuration; it reads no files and chooses no device. What it
    learns from (graphs, popularity) comes from the training pairs alone.
    """

    config_class: ClassVar[type]
    training_defaults: ClassVar[dict] = {}
    needs_features: ClassVar[bool] = False

    def __init__(self, dataset: Dataset, config) -> None:
        super().__init__()
        if self.needs_features:
            dataset.require_features(type(self).__name__)
            _check_names(dataset)
        self.config = config
        self.n_users, self.n_items = dataset.n_users, dataset.n_items
        self.generator: torch.Generator | None = None

    @classmethod
    def training_options(cls, config) -> dict:
        """What a training of this configuration takes where nothing else is said."""
        return cls.training_defaults

    def embed(self) -> tuple[Tensor, Tensor]:
        """Returns the final representations: users [n_users, d], items [n_items, d]."""
        raise NotImplementedError

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """The weighted loss terms of a batch by name; the trainer minimises their sum. Arguments: int64 [batch]."""
        return {"bpr": ranking_loss(*batch_rows(*self.embed(), users, positives, negatives))}

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Called before each epoch; `generator` is the only source of randomness a model may use."""
        self.generator = generator

    def fit_auxiliary(self) -> None:
        """Called after each backward pass, before the main optimiser's step; for a second optimiser."""

    def auxiliary_state(self) -> dict[str, Tensor]:
        """What a second optimiser carries from one epoch to the next, for a checkpoint."""
        return {}

    def load_auxiliary_state(self, state: dict[str, Tensor]) -> None:
        """Takes up what `auxiliary_state` gave."""

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Embeds once, for a whole evaluation; a model with another score than the dot product overrides this.

        Returns a function from `users` [n] to their scores of all items [n, n_items]."""
        embedded_users, embedded_items = self.embed()
        return lambda users: embedded_users[users] @ embedded_items.T

    def score(self, users: Tensor) -> Tensor:
        """Scores of all items for `users` [n]. Returns [n, n_items]."""
        return self.scorer()(users)

    def parts(self) -> dict[str, Tensor]:
        """Named item representations, "modality/part" -> [n_items, d], for probes and pictures."""
        return {}


def _check_names(dataset: Dataset) -> None:
    """Torch keeps modules by name, and some names are taken or have a meaning there."""
    containers = nn.ModuleDict(), nn.ParameterDict()
    taken = [
        name
        for name in dataset.modalities
        if "." in name or any(hasattr(own, name) for own in containers)
    ]
    if taken:
        raise DataError(
            f"a modality cannot be called {taken[0]!r}, torch has its own use for it: rename the file"
        )


def rows(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]` with the fast, deterministic backward of an embedding. Returns [len(index), d]."""
    return F.embedding(index, table)


def batch_rows(
    user_table: Tensor, item_table: Tensor, users, positives, negatives
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of a batch's users, positive and negative items [batch, d], each table being read (and in the backward
    pass filled) once."""
    items = rows(item_table, torch.cat([positives, negatives]))
    return rows(user_table, users), *items.split(len(positives))


def ranking_loss(users: Tensor, positives: Tensor, negatives: Tensor, log_base="e") -> Tensor:
    """BPR on dot products of the batch's rows [batch, d]. Returns a scalar."""
    return losses.bpr((users * positives).sum(dim=1), (users * negatives).sum(dim=1), log_base)


def recomputed(
    function: Callable[[Tensor], tuple[Tensor, ...]], table: Tensor
) -> tuple[Tensor, ...]:
    """`function` of the rows of `table`, block by block; what lies between is computed again in the backward pass
    instead of being kept. For functions of single rows that are cheap beside what they would keep."""
    blocks = (
        checkpoint(function, block, use_reentrant=False, preserve_rng_state=False)
        for block in table.split(RECOMPUTED_ROWS)
    )
    return tuple(torch.cat(parts) for parts in zip(*blocks, strict=True))


def embedding_table(n_rows: int, dim: int, init=nn.init.xavier_uniform_) -> nn.Parameter:
    """A trainable table [n_rows, dim], Xavier-initialised."""
    return nn.Parameter(init(torch.empty(n_rows, dim)))


def feature_table(dataset: Dataset, modality: str) -> Tensor:
    """A modality's features [n_items, width], over the dataset's own memory: only to be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(dataset.features[modality])


def training_pairs(dataset: Dataset) -> Tensor:
    """The training pairs as int64 [n_train, 2]."""
    return torch.from_numpy(dataset.train.copy())


def training_graph(dataset: Dataset) -> SparseGraph:
    """The normalised adjacency of the training pairs, users first."""
    return normalised_adjacency(training_pairs(dataset), dataset.n_users, dataset.n_items)


def unit_rows(x: Tensor) -> Tensor:
    """The rows of `x` [n, d] at length 1; a row of zeros stays so. As `F.normalize`, but half the time backward."""
    return x * x.norm(dim=1, keepdim=True).clamp_min(1e-12).reciprocal()
