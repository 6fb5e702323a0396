"""Checks of what is known about items: features of each modality, given graphs, names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from seapkg.data.places import Place, as_array, fault, private

FIRST_MODALITIES = ("image", "text")


@dataclass(frozen=True, eq=False)
class ItemGraph:
    """A given item-item graph: edge n goes from `index[0, n]` to `index[1, n]`.

    index: int64 [2, n_edges]; cosine: float32 [n_edges], the similarity of the two items.
    """

    index: np.ndarray
    cosine: np.ndarray


def modality_order(names: Iterable[str]) -> list[str]:
    """Image first, text second, then the others by name."""
    return sorted(names, key=lambda name: (*(name != first for first in FIRST_MODALITIES), name))


def check_modality(name: str, where: str) -> None:
    """A modality's name also names parts of models, so it is a plain word."""
    if not isinstance(name, str) or not name or not f"_{name}".replace("-", "_").isidentifier():
        raise fault(
            where,
            f"{name!r} is not a name for a modality",
            "Use letters, digits, - and _, as in image or audio_2",
        )


def as_features(
    features: Mapping[str, object], n_items: int, places: Mapping[str, Place]
) -> Mapping[str, np.ndarray]:
    """Every modality's features as float32 [n_items, width], in the order of modalities."""
    place_of = {name: places.get(name, Place(f"features[{name!r}]")) for name in features}
    for name in features:
        check_modality(name, place_of[name].file)
    ordered = modality_order(features)
    return MappingProxyType(
        {name: as_feature(features[name], n_items, place_of[name]) for name in ordered}
    )


def as_feature(values: object, n_items: int, place: Place) -> np.ndarray:
    """One modality's features as float32 [n_items, width]."""
    array = as_array(values, place.file)
    if array.ndim != 2 or array.shape[1] == 0:
        raise fault(
            place.file,
            f"the features have shape {array.shape}, not (n_items, width)",
            "Give a 2-D array with one row per item",
        )
    if array.shape[0] != n_items:
        raise fault(
            place.file,
            f"it has {array.shape[0]} rows for {n_items} items",
            "Give one row per item, in the order of item ids",
        )
    if array.dtype.kind not in "fiu":
        raise fault(
            place.file,
            f"the features are {array.dtype}, not real numbers",
            'Save them with .astype("float32")',
        )
    numbers = private(array, np.float32)
    check_finite(numbers, array, place)
    return numbers


def check_finite(numbers: np.ndarray, original: np.ndarray, place: Place) -> None:
    """Raise for the first row with a NaN, an infinity, or a number too large for float32."""
    finite = np.isfinite(numbers)
    if not finite.all():
        row, column = divmod(int((~finite).ravel().argmax()), numbers.shape[1])
        raise fault(
            place.at(row),
            f"column {column} is {original[row, column]}, not a finite float32",
            "Replace it, for example by the mean of the other rows",
        )


def as_graphs(
    graphs: Mapping[str, ItemGraph],
    features: Mapping[str, np.ndarray],
    n_items: int,
    places: Mapping[str, Place],
) -> Mapping[str, ItemGraph]:
    """Every given item graph, checked, in the order of modalities."""
    place_of = {
        name: places.get(f"{name} graph", Place(f"item_graphs[{name!r}]", "edge"))
        for name in graphs
    }
    for name, place in place_of.items():
        check_modality(name, place.file)
        if features and name not in features:
            raise fault(
                place.file,
                f"it has a graph for {name!r}, which has no features",
                f"Name it after one of: {', '.join(features)}",
            )
    return MappingProxyType(
        {name: as_graph(graphs[name], n_items, place_of[name]) for name in modality_order(graphs)}
    )


def as_graph(graph: ItemGraph, n_items: int, place: Place) -> ItemGraph:
    """One item graph: ids in range, one finite cosine for each edge, no edge twice."""
    index, cosine = as_array(graph.index, place.file), as_array(graph.cosine, place.file)
    if index.ndim != 2 or index.shape[0] != 2 or index.dtype.kind not in "iu":
        raise fault(
            place.file,
            f"the edges are {index.dtype} {index.shape}, not integers (2, n_edges)",
            "Give row 0 the sources and row 1 the neighbours",
        )
    if not index.size:
        raise fault(
            place.file, "the graph has no edges", "Leave it out to have one made from the features"
        )
    if cosine.shape != index.shape[1:] or cosine.dtype.kind not in "fiu":
        raise fault(
            place.file,
            f"the cosines are {cosine.dtype} {cosine.shape} for {index.shape[1]} edges",
            "Give one number for each edge",
        )
    check_edges(index, n_items, place)
    numbers = private(cosine, np.float32)
    check_finite(numbers[:, None], cosine[:, None], place)
    return ItemGraph(private(index, np.int64), numbers)


def check_edges(index: np.ndarray, n_items: int, place: Place) -> None:
    """Raise for the first edge that leaves the items or was there before. `index`: [2, n_edges]."""
    bad = ((index < 0) | (index >= n_items)).any(axis=0)
    if bad.any():
        edge = int(bad.argmax())
        raise fault(
            place.at(edge),
            f"edge {index[0, edge]} -> {index[1, edge]} is out of range",
            f"Item ids run from 0 to {n_items - 1}",
        )
    codes = index[0].astype(np.int64) * n_items + index[1]
    ordered = np.sort(codes)
    if (ordered[1:] == ordered[:-1]).any():
        source, target = divmod(int(ordered[:-1][ordered[1:] == ordered[:-1]][0]), n_items)
        raise fault(place.file, f"edge {source} -> {target} occurs twice", "Keep each edge once")


def as_names(names: Iterable[str] | None, n_items: int) -> tuple[str, ...] | None:
    """Item names in the order of item ids."""
    if names is None:
        return None
    names = tuple(map(str, names))
    if len(names) != n_items:
        raise fault(
            "item_names",
            f"there are {len(names)} names for {n_items} items",
            "Give one name per item, in the order of item ids",
        )
    return names
