"""Readers of the two formats in use: MMRec's (`*.inter`) and REARM's (`train.npy`, ...).

Both keep features as `MODALITY_feat.npy`, and may have `item_knn.npz` and `items.tsv`.
"""

from pathlib import Path

import numpy as np

from seapkg.data.arrays import read_npy, read_npz
from seapkg.data.content import ItemGraph
from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.places import Place, fault
from seapkg.data.tables import as_ids, header_of, read_columns

FEATURES, GRAPHS, ITEMS = "_feat.npy", "item_knn.npz", "items.tsv"
LABELS = "Write 0 for train, 1 for valid, 2 for test"
HOW = "A folder holds either one NAME.inter (MMRec) or train.npy, valid.npy and test.npy (REARM)"


def read_folder(folder: str | Path) -> Dataset:
    """The dataset in a folder of either format. Raises `DataError` with file, row and remedy."""
    folder = Path(folder)
    tables = _visible(folder, "*.inter")
    arrays = [split for split in SPLITS if (folder / f"{split}.npy").exists()]
    if len(tables) > 1 or (tables and arrays):
        found = [table.name for table in tables] + [f"{split}.npy" for split in arrays]
        raise fault(str(folder), f"it holds {', '.join(found)}", f"{HOW}, not both")
    if not tables and not arrays:
        raise fault(str(folder), "it holds no interactions", HOW)
    splits, places = read_inter(tables[0]) if tables else read_splits(folder)
    return _assemble(folder, splits, places)


def read_inter(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from MMRec's table.

    Columns userID, itemID and x_label (0 train, 1 valid, 2 test); others are ignored.
    """
    columns, place = read_columns(path, ["userID", "itemID", "x_label"])
    users = as_ids(columns["userID"], "user id", place)
    items = as_ids(columns["itemID"], "item id", place)
    labels = as_ids(columns["x_label"], "x_label", place, LABELS)
    bad = (labels < 0) | (labels >= len(SPLITS))
    if bad.any():
        raise fault(place.at(int(bad.argmax())), f"x_label is {labels[bad][0]}", LABELS)
    rows = {split: np.flatnonzero(labels == label) for label, split in enumerate(SPLITS)}
    pairs = np.stack([users, items], axis=1)
    return (
        {split: pairs[chosen] for split, chosen in rows.items()},
        {split: Place(place.file, "line", place.numbers[rows[split]]) for split in SPLITS},
    )


def read_splits(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from REARM's arrays [2, n]."""
    paths = {split: folder / f"{split}.npy" for split in SPLITS}
    for path in paths.values():
        if not path.exists():
            raise fault(str(path), "the file is missing", HOW)
    splits = {split: _read_split(path) for split, path in paths.items()}
    return splits, {split: Place(str(path), "column") for split, path in paths.items()}


def _read_split(path: Path) -> np.ndarray:
    array = read_npy(path)
    if array.ndim != 2 or array.shape[0] != 2:
        raise fault(
            str(path),
            f"the array has shape {array.shape}, not (2, n)",
            "Row 0 holds the users, row 1 the items: transpose or stack them",
        )
    return array.T


def read_features(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Features of every modality that has a `MODALITY_feat.npy`, and their places."""
    paths = {path.name.removesuffix(FEATURES): path for path in _visible(folder, f"*{FEATURES}")}
    if "" in paths:
        raise fault(
            str(paths[""]),
            "the name of the modality is empty",
            "Name the file MODALITY_feat.npy, as in image_feat.npy",
        )
    return (
        {name: read_npy(path) for name, path in paths.items()},
        {name: Place(str(path)) for name, path in paths.items()},
    )


def read_graphs(folder: Path) -> tuple[dict[str, ItemGraph], dict[str, Place]]:
    """Item graphs given in `item_knn.npz`, if there is one, and their places."""
    path = folder / GRAPHS
    if not path.exists():
        return {}, {}
    arrays = read_npz(path)
    names = {
        key.removesuffix(end)
        for key in arrays
        for end in ("_index", "_cosine")
        if key.endswith(end)
    }
    expected = {f"{name}{end}" for name in names for end in ("_index", "_cosine")}
    if expected != set(arrays):
        odd = ", ".join(sorted(expected ^ set(arrays)))
        raise fault(
            str(path),
            f"its keys do not pair up: {odd}",
            "Give MODALITY_index and MODALITY_cosine for each modality, and no other key",
        )
    return (
        {name: ItemGraph(arrays[f"{name}_index"], arrays[f"{name}_cosine"]) for name in names},
        {f"{name} graph": Place(f"{path}, {name}", "edge") for name in names},
    )


def read_names(folder: Path, n_items: int) -> list[str] | None:
    """Names of items from `items.tsv`: column name, else title, else None."""
    path = folder / ITEMS
    label = next((c for c in ("name", "title") if path.exists() and c in header_of(path)), None)
    if label is None:
        return None
    columns, place = read_columns(path, ["itemID", label])
    ids = as_ids(columns["itemID"], "item id", place)
    _check_listing(ids, n_items, place)
    return columns[label][np.argsort(ids)].tolist()


def _check_listing(ids: np.ndarray, n_items: int, place: Place) -> None:
    """Each item stands in the table once."""
    bad = (ids < 0) | (ids >= n_items)
    if bad.any():
        raise fault(
            place.at(int(bad.argmax())),
            f"item id {ids[bad][0]} is out of range",
            f"Item ids run from 0 to {n_items - 1}",
        )
    counts = np.bincount(ids, minlength=n_items)
    if (counts > 1).any():
        row = int(np.flatnonzero(ids == counts.argmax())[1])
        raise fault(place.at(row), f"item id {ids[row]} is listed twice", "Keep one row per item")
    if (counts == 0).any():
        raise fault(
            place.file,
            f"item {int(counts.argmin())} is not listed",
            "Give one row per item, or remove the file to go without names",
        )


def _assemble(folder: Path, splits: dict, places: dict) -> Dataset:
    features, feature_places = read_features(folder)
    graphs, graph_places = read_graphs(folder)
    dataset = Dataset.from_arrays(
        **splits,
        name=folder.resolve().name,
        features=features,
        item_graphs=graphs,
        source=str(folder),
        places=places | feature_places | graph_places,
    )
    return dataset.named(read_names(folder, dataset.n_items))


def _visible(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
