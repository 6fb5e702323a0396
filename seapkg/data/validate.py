"""Checks of everything a `Dataset` holds; a fault names its file, its row and the remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from seapkg.errors import DataError

ID_LIMIT = 2**31
IDS_PER_PAIR = 100
KINDS = ("user", "item")
FIRST_MODALITIES = ("image", "text")
NUMBERING = "Number users and items from 0 without gaps"


@dataclass(frozen=True)
class Place:
    """Where the rows of an array were read, so that an error can point at one of them.

    Args:
        file: the file, or the name of the argument.
        unit: what a row is called there.
        numbers: the number of each row in the file, [n]; None counts from 0.
    """

    file: str
    unit: str = "row"
    numbers: np.ndarray | None = None

    def at(self, row: int) -> str:
        """The file and the number of one row."""
        number = row if self.numbers is None else self.numbers[row]
        return f"{self.file}, {self.unit} {number}"


@dataclass(frozen=True, eq=False)
class ItemGraph:
    """A given item-item graph: edge n goes from `index[0, n]` to `index[1, n]`.

    Args:
        index: int64 [2, n_edges].
        cosine: float32 [n_edges], the similarity of the two items.
    """

    index: np.ndarray
    cosine: np.ndarray


def fault(where: str, what: str, remedy: str) -> DataError:
    """The error for wrong data: where it is, what is wrong, and what to do about it."""
    return DataError(f"{where}: {what}. {remedy}.")


def as_array(values: object, where: str) -> np.ndarray:
    """`values` as an array [...] of numbers or text, never of Python objects."""
    try:
        array = np.asanyarray(values)
    except ValueError as error:
        raise fault(where, "the rows differ in length", "Give a rectangular array") from error
    if array.dtype.hasobject:
        raise fault(where, "it holds Python objects, not numbers", "Convert it to a numeric dtype")
    return array


def read_only(values: np.ndarray, dtype: type) -> np.ndarray:
    """A read-only copy of an array [...], in row-major order."""
    with np.errstate(over="ignore"):
        copy = np.array(values, dtype=dtype, order="C", subok=False)
    copy.flags.writeable = False
    return copy


class Places(dict):
    """Where each array was read, by its name; an array from nowhere is called by its name."""

    def __missing__(self, name: str) -> Place:
        return Place(name)


def as_splits(splits: Mapping[str, object], places: Places) -> dict[str, np.ndarray]:
    """Each split as int64 [n, 2], columns user and item, with ids from 0 and no pair twice.

    An id above 100 times the number of pairs is refused as a code or a typing error: tables are
    as long as the largest id.
    """
    arrays = {name: _as_pairs(values, places[name]) for name, values in splits.items()}
    limit = largest_id(arrays)
    large = f"is absurdly large, above {IDS_PER_PAIR} times the number of pairs"
    for name, array in arrays.items():
        _refuse(array < 0, array, places[name], "is negative", "Ids count from 0")
        _refuse(array > limit, array, places[name], large, f"Ids are no codes. {NUMBERING}")
    pairs = {name: read_only(array, np.int64) for name, array in arrays.items()}
    _check_unique(pairs, places)
    return pairs


def count_ids(splits: Mapping[str, np.ndarray], column: int, given: int | None) -> int:
    """The number of users (column 0) or items (column 1) in splits of [n, 2].

    Returns:
        `given`, or the largest id plus one.
    """
    least = 1 + max(int(pairs[:, column].max()) for pairs in splits.values())
    most = 1 + largest_id(splits)
    if given is None:
        return least
    if not isinstance(given, int | np.integer) or not least <= given <= most:
        what = f"{given!r} is not an integer between {least} and {most}"
        raise fault(f"n_{KINDS[column]}s", what, "Leave it out to have it counted")
    return int(given)


def largest_id(splits: Mapping[str, np.ndarray]) -> int:
    """The largest id that splits of [n, 2] may have."""
    return min(IDS_PER_PAIR * sum(map(len, splits.values())), ID_LIMIT - 1)


def as_features(
    features: Mapping[str, object], n_items: int, places: Places
) -> Mapping[str, np.ndarray]:
    """Features by modality as float32 [n_items, width]: image first, text second, then by name."""
    return MappingProxyType(
        {
            name: _as_feature(name, features[name], n_items, places[f"features[{name!r}]"])
            for name in _modality_order(features)
        }
    )


def as_graphs(
    graphs: Mapping[str, ItemGraph],
    features: Mapping[str, np.ndarray],
    n_items: int,
    places: Places,
) -> Mapping[str, ItemGraph]:
    """Given item graphs by modality, checked against the features [n_items, width]."""
    for name in graphs:
        if features and name not in features:
            what = f"it has a graph for {name!r}, which has no features"
            remedy = f"Name it after one of: {', '.join(features)}"
            raise fault(places[f"item_graphs[{name!r}]"].file, what, remedy)
    return MappingProxyType(
        {
            name: _as_graph(graphs[name], n_items, places[f"item_graphs[{name!r}]"])
            for name in _modality_order(graphs)
        }
    )


def as_names(names: Iterable[str] | None, n_items: int, place: Place) -> tuple[str, ...] | None:
    """Item names in the order of item ids."""
    if names is None:
        return None
    names = tuple(map(str, names))
    if len(names) != n_items:
        what = f"there are {len(names)} names for {n_items} items"
        raise fault(place.file, what, "Give one name per item, in the order of item ids")
    return names


def _as_pairs(values: object, place: Place) -> np.ndarray:
    """Integers [n, 2] with at least one row."""
    array = as_array(values, place.file)
    if array.size == 0:
        remedy = "Train, valid, test (x_label 0, 1, 2 in .inter) and graphs need at least one each"
        raise fault(place.file, "there are no pairs", remedy)
    if array.ndim != 2 or array.shape[1] != 2:
        what = f"the pairs have shape {array.shape}, not (n, 2)"
        raise fault(place.file, what, "Give one row for each pair")
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array))
        _refuse(~whole, array, place, "is not an integer", NUMBERING)
    if array.dtype.kind not in "iu":
        what = f"ids are stored as {array.dtype}, not as integers"
        raise fault(place.at(0), what, f'{NUMBERING} and save with .astype("int64")')
    return array


def _refuse(bad: np.ndarray, pairs: np.ndarray, place: Place, what: str, remedy: str) -> None:
    """Raise for the first bad id. `bad`, `pairs`: [n, 2]."""
    if bad.any():
        row, column = np.argwhere(bad)[0]
        kind = "item" if place.unit == "edge" else KINDS[column]
        raise fault(place.at(row), f"{kind} id {pairs[row, column]} {what}", remedy)


def _check_unique(splits: Mapping[str, np.ndarray], places: Mapping[str, Place]) -> None:
    """No pair occurs twice, within a split or across splits of [n, 2]."""
    pairs = np.concatenate(list(splits.values()))
    codes = pairs[:, 0] * ID_LIMIT + pairs[:, 1]
    order = np.argsort(codes, kind="stable")
    same = np.flatnonzero(np.diff(codes[order]) == 0)
    if len(same):
        rows = [places[split].at(row) for split in splits for row in range(len(splits[split]))]
        first, second = order[same[0]], order[same[0] + 1]
        what = f"the pair {pairs[second].tolist()} occurs twice, first at {rows[first]}"
        raise fault(rows[second], what, "List each pair once, in one split only")


def _modality_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (*(name != first for first in FIRST_MODALITIES), name))


def _as_feature(name: str, values: object, n_items: int, place: Place) -> np.ndarray:
    """One modality's features as float32 [n_items, width]."""
    if not (name and f"_{name}".replace("-", "_").isidentifier()):  # it also names parts of models
        what = f"{name!r} is not a name for a modality"
        raise fault(place.file, what, "Use letters, digits, - and _, as in image or audio_2")
    array = as_array(values, place.file)
    if array.ndim != 2 or len(array) != n_items or not array.size:
        what = f"the features have shape {array.shape}, not ({n_items}, width)"
        raise fault(place.file, what, "Give one row per item, in the order of item ids")
    return _finite(array, place)


def _finite(array: np.ndarray, place: Place) -> np.ndarray:
    """`array` [n, width] as float32; raises for the first row with a number that is not finite."""
    if array.dtype.kind not in "fiu":
        what = f"the numbers are {array.dtype}, not real"
        raise fault(place.file, what, 'Save them with .astype("float32")')
    numbers = read_only(array, np.float32)
    finite = np.isfinite(numbers)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        what = f"column {column} is {array[row, column]}, not a finite float32"
        raise fault(place.at(row), what, "Replace it, for example by the mean of the other rows")
    return numbers


def _as_graph(graph: ItemGraph, n_items: int, place: Place) -> ItemGraph:
    """One item graph: ids in range, one finite cosine for each edge, no edge twice."""
    index, cosine = as_array(graph.index, place.file), as_array(graph.cosine, place.file)
    if index.shape != (2, cosine.size):
        what = f"the edges have shape {index.shape}, not (2, {cosine.size})"
        raise fault(place.file, what, "Give sources, neighbours, and one cosine for each edge")
    edges = _as_pairs(index.T, place)
    outside = (edges < 0) | (edges >= n_items)
    _refuse(outside, edges, place, "is out of range", f"Item ids run from 0 to {n_items - 1}")
    index = read_only(index, np.int64)
    _check_unique({"edges": index.T}, {"edges": place})
    return ItemGraph(index, _finite(cosine.reshape(-1, 1), place).ravel())
