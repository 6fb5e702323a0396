"""A dataset: interactions in three splits, item features, and given item graphs."""

import copy
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property

import numpy as np

from seapkg.data.validate import (
    ItemGraph,
    Place,
    Places,
    as_features,
    as_graphs,
    as_names,
    as_splits,
    count_ids,
    read_only,
)
from seapkg.errors import DataError

__all__ = ["Dataset", "ItemGraph", "SPLITS", "content_hash"]

SPLITS = ("train", "valid", "test")
FEW_UNTRAINED_ITEMS = 0.01  # share of items without a training pair that needs no warning

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Interactions, features and graphs: checked when built, then read-only.

    Build one from arrays with `Dataset.from_arrays`, from files with `seapkg.load`.

    Args:
        train, valid, test: int64 [n, 2], columns user and item, ids from 0, no pair twice.
        features: modality -> float32 [n_items, width]; image first, text second, then by name.
        item_graphs: modality -> `ItemGraph`; models compute a missing one from the features.
        item_names: titles in the order of item ids, or None.
        factors: ground truth of synthetic data: part -> [n_items, k].
        provenance: which parts of the data are real; "" where unknown.
        source: the name or folder that `seapkg.load` reads it from; "" for arrays.
        places: the file of each array, for error messages.

    Attributes:
        fingerprint: sha256 of interactions, features and graphs.

    Raises:
        DataError: something is wrong; names the file, the row and the remedy.
    """

    name: str
    n_users: int
    n_items: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    item_graphs: Mapping[str, ItemGraph] = field(default_factory=dict)
    item_names: tuple[str, ...] | None = None
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: str = ""
    source: str = ""
    fingerprint: str = field(init=False)
    places: InitVar[Mapping[str, Place]] = None

    @classmethod
    def from_arrays(
        cls,
        train: object,
        valid: object,
        test: object,
        *,
        name: str = "arrays",
        n_users: int | None = None,
        n_items: int | None = None,
        **optional,
    ) -> "Dataset":
        """A dataset from arrays or lists of (user, item), each [n, 2].

        Args:
            n_users, n_items: by default the largest id + 1.
            optional: any other field, such as `features={"image": [n_items, width]}`.
        """
        dataset = cls(name, n_users, n_items, train, valid, test, **optional)
        for warning in dataset.warnings:
            log.warning("%s: %s", dataset.source or name, warning)
        return dataset

    def __post_init__(self, places: Mapping[str, Place] | None) -> None:
        places = Places(places or {})
        splits = as_splits({split: getattr(self, split) for split in SPLITS}, places)
        n_items = count_ids(splits, 1, self.n_items)
        features = as_features(self.features, n_items, places)
        self._set(
            **splits,
            n_users=count_ids(splits, 0, self.n_users),
            n_items=n_items,
            features=features,
            item_graphs=as_graphs(self.item_graphs, features, n_items, places),
            item_names=as_names(self.item_names, n_items, places["item_names"]),
            factors={name: read_only(x, np.float32) for name, x in self.factors.items()},
        )
        self._set(fingerprint=_fingerprint(self))

    def _set(self, **values) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        pairs = " / ".join(str(len(getattr(self, split))) for split in SPLITS)
        widths = ", ".join(f"{name} {x.shape[1]}-d" for name, x in self.features.items())
        return (
            f"Dataset({self.name}: {self.n_users} users, {self.n_items} items, "
            f"{pairs} pairs, {widths or 'no features'})"
        )

    @property
    def n_interactions(self) -> int:
        """The number of pairs in all splits."""
        return sum(len(getattr(self, split)) for split in SPLITS)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that have features, in their fixed order."""
        return tuple(self.features)

    @cached_property
    def train_users(self) -> np.ndarray:
        """Sorted ids of the users that occur in training: int64 [n]."""
        return read_only(np.unique(self.train[:, 0]), np.int64)

    @cached_property
    def train_items(self) -> np.ndarray:
        """Sorted ids of the items that occur in training: int64 [n]."""
        return read_only(np.unique(self.train[:, 1]), np.int64)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about users, and about more than 1 % of items, without a training pair."""
        users = self.n_users - len(self.train_users)
        items = self.n_items - len(self.train_items)
        warnings = []
        if users:
            what = "users have no training pair; they are left out of evaluation"
            warnings.append(f"{users} of {self.n_users} {what}")
        if items > FEW_UNTRAINED_ITEMS * self.n_items:
            what = "items have no training pair; collaborative models cannot rank them"
            warnings.append(f"{items} of {self.n_items} {what}")
        return tuple(warnings)

    def require_features(self, model: str) -> None:
        """Raises `DataError` if there are no features, which `model` needs."""
        if not self.features:
            raise DataError(
                f"{model} needs item features; {self.source or self.name} has none. Add a "
                "MODALITY_feat.npy such as image_feat.npy, with one row per item, or choose a "
                "model that needs none (bpr, lightgcn)."
            )

    def without_test(self) -> "Dataset":
        """A copy for choosing options: nothing can be evaluated on its test split, which is empty.

        Its fingerprint is that of the whole dataset.
        """
        twin = copy.copy(self)
        twin._set(test=self.test[:0])
        return twin

    def labelled(self, provenance: str) -> "Dataset":
        """A copy with another provenance."""
        twin = copy.copy(self)
        twin._set(provenance=provenance)
        return twin


def content_hash(*arrays: np.ndarray) -> str:
    """sha256, as hex, of shapes, dtypes and contents of arrays [...], little-endian, row-major."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{array.dtype.str}{array.shape};".encode())
        digest.update(array)
    return digest.hexdigest()


def _fingerprint(dataset: Dataset) -> str:
    parts = [f"{dataset.n_users},{dataset.n_items}"]
    parts += [content_hash(getattr(dataset, split)) for split in SPLITS]
    parts += [f"{name}={content_hash(x)}" for name, x in dataset.features.items()]
    for name, graph in dataset.item_graphs.items():
        parts.append(f"{name}~{content_hash(graph.index, graph.cosine)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
