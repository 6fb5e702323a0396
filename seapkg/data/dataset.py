"""What a model may see: interactions in three splits, item features, and given item graphs."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property
from types import MappingProxyType

import numpy as np

from seapkg.data.content import ItemGraph, as_features, as_graphs, as_names
from seapkg.data.pairs import as_pairs, check_every_user_trains, check_unique, count_ids
from seapkg.data.places import Place, as_array, freeze, private
from seapkg.errors import DataError

__all__ = ["Dataset", "ItemGraph", "SPLITS", "content_hash"]

SPLITS = ("train", "valid", "test")
EMPTY: Mapping = MappingProxyType({})


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Interactions, features and graphs, checked once and read-only from then on.

    Build one from arrays with `Dataset.from_arrays`, from files with `seapkg.load`.

    train, valid, test: int64 [n, 2], columns user and item, ids from 0, no pair twice.
    features: modality -> float32 [n_items, width]; image first, text second, then by name.
    item_graphs: modality -> given `ItemGraph`; where there is none it is made from the features.
    item_names: what to show for an item, or None.
    factors: known ground truth, only in synthetic data: part -> [n_items, k].
    provenance: what is real in the data; "" where nobody knows.
    source: the built-in name or the folder it was read from.
    fingerprint: sha256 of everything a model may see or be measured on; not of the names.
    `places` says where arrays were read, for error messages. Raises `DataError`.
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
    places: InitVar[Mapping[str, Place]] = EMPTY

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
        """A dataset from arrays or lists of (user, item); sizes are counted where not given.

        `optional`: any other field, such as `features={"image": [n_items, width]}`.
        """
        return cls(name, n_users, n_items, train, valid, test, **optional)

    def __post_init__(self, places: Mapping[str, Place]) -> None:
        places = {split: Place(split) for split in SPLITS} | dict(places)
        splits = {split: as_pairs(getattr(self, split), split, places[split]) for split in SPLITS}
        n_users = count_ids(splits, 0, self.n_users, places)
        n_items = count_ids(splits, 1, self.n_items, places)
        check_unique(splits, n_items, places)
        check_every_user_trains(splits["train"], n_users, places["train"])
        features = as_features(self.features, n_items, places)
        self._set(
            **splits,
            n_users=n_users,
            n_items=n_items,
            features=features,
            item_graphs=as_graphs(self.item_graphs, features, n_items, places),
            item_names=as_names(self.item_names, n_items),
            factors=_as_factors(self.factors),
        )
        self._set(fingerprint=_fingerprint(self))

    def _set(self, **values) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def n_interactions(self) -> int:
        return len(self.train) + len(self.valid) + len(self.test)

    def __repr__(self) -> str:
        widths = ", ".join(f"{name} {x.shape[1]}-d" for name, x in self.features.items())
        return (
            f"Dataset({self.name}: {self.n_users} users, {self.n_items} items, "
            f"{len(self.train)} / {len(self.valid)} / {len(self.test)} pairs, "
            f"{widths or 'no features'})"
        )

    def __reduce__(self):
        """Copies and worker processes rebuild the dataset, and so check it again."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        plain |= {name: dict(plain[name]) for name in ("features", "item_graphs", "factors")}
        return _rebuild, (plain,)

    @property
    def n_train(self) -> int:
        """Number of training pairs."""
        return len(self.train)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that have features, in their fixed order."""
        return tuple(self.features)

    @cached_property
    def train_items(self) -> np.ndarray:
        """Sorted ids of the items that occur in training: int64 [n]."""
        return freeze(np.unique(self.train[:, 1]))

    def require_features(self, model: str) -> None:
        """Raise `DataError` unless there are features; `model` is who asks."""
        if not self.features:
            raise DataError(
                f"{model} needs item features, and {self.name!r} has none: looked for image_feat.npy, "
                f"text_feat.npy or any other MODALITY_feat.npy in {self.source or 'the arrays given'}. "
                "Add one with a row per item, or choose a model that needs none (bpr, lightgcn)."
            )

    def labelled(self, provenance: str) -> "Dataset":
        """The same dataset with another statement of what is real in it."""
        return self._twin(provenance=provenance)

    def named(self, item_names: Iterable[str] | None) -> "Dataset":
        """The same dataset with other names of its items, in the order of item ids."""
        return self._twin(item_names=as_names(item_names, self.n_items))

    def _twin(self, **changed) -> "Dataset":
        """A copy with fields changed that need no check and leave the fingerprint as it is."""
        twin = object.__new__(Dataset)
        twin.__dict__.update(self.__dict__, **changed)
        return twin


def content_hash(*arrays: np.ndarray) -> str:
    """sha256, as hex, of shapes, dtypes and contents of arrays, in little-endian row-major order."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{array.dtype.str}{array.shape};".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _fingerprint(dataset: Dataset) -> str:
    parts = [f"{dataset.n_users},{dataset.n_items}"]
    parts += [content_hash(getattr(dataset, split)) for split in SPLITS]
    parts += [f"{name}={content_hash(x)}" for name, x in dataset.features.items()]
    parts += [
        f"{name}~{content_hash(g.index, g.cosine)}" for name, g in dataset.item_graphs.items()
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _as_factors(factors: Mapping[str, Iterable]) -> Mapping[str, np.ndarray]:
    checked = {name: as_array(x, f"factors[{name!r}]") for name, x in factors.items()}
    return MappingProxyType({name: private(x, np.float32) for name, x in checked.items()})


def _rebuild(plain: dict) -> Dataset:
    return Dataset(**plain)
