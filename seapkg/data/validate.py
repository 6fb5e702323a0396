"""Checks the content of a `Dataset`; errors name the file, the row and the remedy."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seapkg.errors import DataError

IDS_PER_PAIR = 100
ID_COLUMNS = ("user id", "item id")
NUMBERING = "Number users and items from 0 without gaps; ids are row numbers, not product codes"


@dataclass(frozen=True)
class Place:
    """The origin of an array's rows, so that an error can name one of them.

    Args:
        file: the file, or the name of the argument.
        unit: the word for a row in the file, such as line or edge.
        numbers: the number of each row in the file, [n]; None counts from 0.
    """

    file: str
    unit: str = "row"
    numbers: np.ndarray | None = None

    def at(self, row: int) -> str:
        """The file and the number of one row."""
        number = row if self.numbers is None else self.numbers[row]
        return f"{self.file}, {self.unit} {number}"


class Places(dict):
    """Name of an array -> its place; by default a place called like the array."""

    def __missing__(self, name: str) -> Place:
        return Place(name)


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
    """The error for wrong data.

    Args:
        where: the file, and the row if there is one.
        what: what is wrong.
        remedy: what to do about it, without a full stop.
    """
    return DataError(f"{where}: {what}. {remedy}.")


def refuse(
    wrong: np.ndarray,
    values: np.ndarray,
    place: Place,
    columns: Sequence[str],
    what: str,
    remedy: str,
) -> None:
    """Raises `DataError` for the first wrong entry.

    Args:
        wrong: bool [n, width].
        values: the entries [n, width].
        place: where the rows were read.
        columns: the names of the columns, `width` in number.
        what: what is wrong with the entry.
        remedy: what to do about it.
    """
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        value = values[row].tolist()[column]
        raise fault(place.at(row), f"{columns[column]} {value!r:.40} {what}", remedy)


def read_only(values: np.ndarray, dtype: type) -> np.ndarray:
    """A read-only copy of an array [...], in row-major order."""
    with np.errstate(over="ignore"):
        copy = np.array(values, dtype=dtype, order="C", subok=False)
    copy.flags.writeable = False
    return copy


def as_splits(splits: Mapping[str, object], places: Places) -> dict[str, np.ndarray]:
    """Each split as int64 [n, 2], columns user and item, with ids from 0 and no pair twice.

    Tables are as long as the largest id, so ids above 100 times the number of pairs are refused.

    Args:
        splits: split -> array or list of pairs [n, 2].
        places: where each split was read.

    Raises:
        DataError: a pair is wrong or occurs twice.
    """
    arrays = {name: _as_array(values, places[name]) for name, values in splits.items()}
    largest = IDS_PER_PAIR * sum(array.size // 2 for array in arrays.values())
    pairs = {name: _as_pairs(array, places[name], largest) for name, array in arrays.items()}
    _check_unique(pairs, places)
    return pairs


def count_ids(splits: Mapping[str, np.ndarray], column: int, given: int | None) -> int:
    """The number of users (column 0) or items (column 1).

    Args:
        splits: split -> pairs, int64 [n, 2].
        column: of the pairs.
        given: the number given by the caller, or None.

    Returns:
        `given`, or the largest id plus one.
    """
    least = 1 + max(int(pairs[:, column].max()) for pairs in splits.values())
    if given is not None and given < least:
        what = f"{given} is less than the largest id + 1, {least}"
        raise fault(("n_users", "n_items")[column], what, "Omit it, or give a larger number")
    return given or least


def as_features(
    features: Mapping[str, object], n_items: int, places: Places
) -> dict[str, np.ndarray]:
    """Checked features by modality: image first, text second, then by name.

    Args:
        features: modality -> numbers [n_items, width].
        n_items: the number of rows that each must have.
        places: where each array was read.

    Returns:
        Modality -> float32 [n_items, width].
    """
    return {
        name: _as_feature(name, features[name], n_items, places[f"features[{name!r}]"])
        for name in _modality_order(features)
    }


def as_graphs(
    graphs: Mapping[str, ItemGraph],
    features: Mapping[str, np.ndarray],
    n_items: int,
    places: Places,
) -> dict[str, ItemGraph]:
    """Checked item graphs by modality.

    Args:
        graphs: modality -> graph.
        features: modality -> [n_items, width]; unless empty, each graph needs features.
        n_items: ids are below it.
        places: where each graph was read.
    """
    checked = {}
    for name in _modality_order(graphs):
        place = places[f"item_graphs[{name!r}]"]
        if features and name not in features:
            what = f"it has a graph for {name!r}, which has no features"
            raise fault(place.file, what, f"Name it after one of: {', '.join(features)}")
        checked[name] = _as_graph(graphs[name], n_items, place)
    return checked


def as_names(names: Iterable[str] | None, n_items: int, place: Place) -> tuple[str, ...] | None:
    """Item names in the order of item ids.

    Args:
        names: one for each item, or None.
        n_items: the number of items.
        place: where the names were read.
    """
    if names is None:
        return None
    names = tuple(map(str, names))
    if len(names) != n_items:
        what = f"there are {len(names)} names for {n_items} items"
        raise fault(place.file, what, "Give one name per item, in the order of item ids")
    return names


def _as_array(values: object, place: Place) -> np.ndarray:
    """`values` as an array [...]; rows of different lengths are an error."""
    try:
        return np.asarray(values)
    except ValueError as error:
        what = "the rows have different lengths"
        raise fault(place.file, what, "Give one user and one item per row") from error


def _as_pairs(
    array: np.ndarray, place: Place, largest: int, columns: Sequence[str] = ID_COLUMNS
) -> np.ndarray:
    """`array` as integers [n, 2] from 0 to `largest`, with at least one row."""
    if array.size == 0:
        remedy = "Train, valid, test (x_label 0, 1, 2 in .inter) and graphs need at least one each"
        raise fault(place.file, "there are no pairs", remedy)
    if array.ndim != 2 or array.shape[1] != 2:
        what = f"the pairs have shape {array.shape}, not (n, 2)"
        raise fault(place.file, what, "Give one row for each pair")
    if array.dtype.kind not in "iu":
        what = f"ids are stored as {array.dtype}, not as integers"
        raise fault(place.file, what, f'{NUMBERING}. Save them with .astype("int64")')
    wrong = (array < 0) | (array > largest)
    refuse(wrong, array, place, columns, f"is not between 0 and {largest}", NUMBERING)
    return read_only(array, np.int64)


def _check_unique(splits: Mapping[str, np.ndarray], places: Mapping[str, Place]) -> None:
    """No pair occurs twice, within a split or across splits of [n, 2]."""
    pairs = pd.concat({split: pd.DataFrame(array) for split, array in splits.items()})
    repeated = pairs.duplicated()
    if repeated.any():
        split, row = repeated.idxmax()
        pair = pairs.loc[(split, row)]
        first_split, first_row = (pairs == pair).all(axis=1).idxmax()
        first = places[first_split].at(first_row)
        what = f"the pair {pair.tolist()} occurs twice, first at {first}"
        raise fault(places[split].at(row), what, "List each pair once, in one split only")


def _modality_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name != "image", name != "text", name))


def _as_feature(name: str, values: object, n_items: int, place: Place) -> np.ndarray:
    """One modality's features as float32 [n_items, width]."""
    if not re.fullmatch(r"[\w-]+", name):  # models use it in names of their parts
        what = f"{name!r} is not a name for a modality"
        raise fault(place.file, what, "Use letters, digits, - and _, as in image or audio_2")
    array = np.asarray(values)
    if array.ndim != 2 or len(array) != n_items or not array.size:
        what = f"the features have shape {array.shape}, not ({n_items}, width)"
        raise fault(place.file, what, "Give one row per item, in the order of item ids")
    return _as_finite(array, place)


def _as_finite(array: np.ndarray, place: Place) -> np.ndarray:
    """`array` [n, width] as finite numbers, float32."""
    if array.dtype.kind not in "fiu":
        what = f"the dtype is {array.dtype}"
        raise fault(place.file, what, "Use a real number type such as float32")
    numbers = read_only(array, np.float32)
    columns = [f"column {column}:" for column in range(array.shape[1])]
    remedy = "Replace it, for example by the mean of the other rows"
    refuse(~np.isfinite(numbers), array, place, columns, "is not a finite float32", remedy)
    return numbers


def _as_graph(graph: ItemGraph, n_items: int, place: Place) -> ItemGraph:
    """One item graph: ids in range, one finite cosine for each edge, no edge twice."""
    index, cosine = np.asarray(graph.index), np.asarray(graph.cosine)
    if index.shape != (2, cosine.size):
        what = f"the edges have shape {index.shape}, not (2, {cosine.size})"
        raise fault(place.file, what, "Give sources, neighbours, and one cosine for each edge")
    edges = _as_pairs(index.T, place, n_items - 1, ("item id", "item id"))
    _check_unique({"edges": edges}, {"edges": place})
    finite = _as_finite(cosine.reshape(-1, 1), place)
    return ItemGraph(read_only(edges.T, np.int64), finite.ravel())
