"""Readers of the two formats in use: MMRec's (`*.inter`) and REARM's (`train.npy`, ...).

Both hold features as `MODALITY_feat.npy`, and may have `item_knn.npz` and `items.tsv`.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seapkg.data.arrays import read_npy, read_npz
from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.validate import NUMBERING, ItemGraph, Place, fault

COLUMNS = ["userID", "itemID", "x_label"]
FEATURES, GRAPHS, ITEMS = "_feat.npy", "item_knn.npz", "items.tsv"
INTEGER = re.compile(r"\s*-?[0-9]{1,18}\s*")
LABELS = "Write 0 for train, 1 for valid, 2 for test"
HOW = "A folder holds either one NAME.inter (MMRec) or train.npy, valid.npy and test.npy (REARM)"

log = logging.getLogger(__name__)


def read_folder(folder: str | Path) -> Dataset:
    """The dataset in a folder of either format.

    Raises:
        DataError: a file is wrong or missing; names the file, the row and the remedy.
    """
    folder = Path(folder)
    tables = _visible(folder, "*.inter")
    arrays = [path for split in SPLITS if (path := folder / f"{split}.npy").exists()]
    if len(tables) > 1 or (tables and arrays):
        names = ", ".join(path.name for path in tables + arrays)
        raise fault(str(folder), f"it holds {names}", f"{HOW}, not both")
    if not tables and not arrays:
        raise fault(str(folder), "it holds no interactions", HOW)
    splits, places = read_inter(tables[0]) if tables else read_splits(folder)
    features = {path.name.removesuffix(FEATURES): path for path in _visible(folder, f"*{FEATURES}")}
    places |= {f"features[{name!r}]": Place(str(path)) for name, path in features.items()}
    graphs, graph_places = read_graphs(folder)
    return Dataset.from_arrays(
        **splits,
        name=folder.resolve().name,
        features={name: read_npy(path) for name, path in features.items()},
        item_graphs=graphs,
        item_names=read_names(folder),
        source=str(folder),
        places=places | graph_places | {"item_names": Place(str(folder / ITEMS))},
    )


def read_inter(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from MMRec's table.

    Columns userID, itemID and x_label (0 train, 1 valid, 2 test) are read, others are ignored;
    a column of differing ratings is named in a warning.
    """
    table, place = read_table(path, COLUMNS)
    if len(set(table.get("rating", ()))) > 1:
        log.warning("%s: ratings are not used: every row counts as one interaction", path)
    users, items, labels = (as_integers(table[name], name, place) for name in COLUMNS)
    wrong = (labels < 0) | (labels >= len(SPLITS))
    if wrong.any():
        row = wrong.argmax()
        raise fault(place.at(row), f"x_label is {labels[row]}", LABELS)
    splits, places = {}, {}
    for label, split in enumerate(SPLITS):
        rows = labels == label
        splits[split] = np.stack([users[rows], items[rows]], axis=1)
        places[split] = Place(str(path), "line", place.numbers[rows])
    return splits, places


def read_splits(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from REARM's arrays [2, n]."""
    splits, places = {}, {}
    for split in SPLITS:
        path = folder / f"{split}.npy"
        if not path.exists():
            raise fault(str(path), "the file is missing", HOW)
        array = read_npy(path)
        if array.ndim != 2 or len(array) != 2:
            what = f"the array has shape {array.shape}, not (2, n)"
            remedy = "Row 0 holds the users, row 1 the items: transpose or stack them"
            raise fault(str(path), what, remedy)
        splits[split], places[split] = array.T, Place(str(path), "column")
    return splits, places


def read_graphs(folder: Path) -> tuple[dict[str, ItemGraph], dict[str, Place]]:
    """Item graphs given in `item_knn.npz`, if there is one, and their places."""
    path = folder / GRAPHS
    arrays = read_npz(path) if path.exists() else {}
    names = {key.rpartition("_")[0] for key in arrays}
    if {f"{name}_{end}" for name in names for end in ("index", "cosine")} != set(arrays):
        what = f"its keys do not pair up: {', '.join(sorted(arrays))}"
        remedy = "Give MODALITY_index and MODALITY_cosine for each modality, and no other key"
        raise fault(str(path), what, remedy)
    return (
        {name: ItemGraph(arrays[f"{name}_index"], arrays[f"{name}_cosine"]) for name in names},
        {f"item_graphs[{name!r}]": Place(f"{path}, {name}", "edge") for name in names},
    )


def read_names(folder: Path) -> list[str] | None:
    """Names of the items from `items.tsv`: its column name, else title, else None."""
    path = folder / ITEMS
    table, place = read_table(path, ["itemID"]) if path.exists() else ({}, None)
    names = table.get("name", table.get("title"))
    if names is None:
        return None
    ids = as_integers(table["itemID"], "itemID", place)
    order = np.argsort(ids, kind="stable")
    wrong = np.flatnonzero(ids[order] != np.arange(len(ids)))
    if len(wrong):
        what = f"item {wrong[0]} is missing, or an item before it is listed twice"
        raise fault(str(path), what, "List each item once, or remove the file to go without names")
    return [names[row] for row in order]


def read_table(path: Path, required: list[str]) -> tuple[dict[str, tuple[str, ...]], Place]:
    """The columns of a tab-separated file as text, and the place of the rows.

    Blank lines, Windows line ends and a byte order mark are tolerated; quotes are ordinary
    characters.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            lines = [(number, line) for number, line in enumerate(stream, 1) if line.strip()]
    except OSError as error:
        raise fault(str(path), f"it cannot be read ({error.strerror})", "Check the file") from error
    if len(lines) < 2:
        raise fault(str(path), "it has no rows under a header", "Add one row for each entry")
    rows = [line.rstrip("\n").split("\t") for _, line in lines]
    header = [name.strip() for name in rows[0]]
    for (number, _), row in zip(lines, rows, strict=True):
        if len(row) != len(header):
            what = f"{len(row)} fields under a header of {len(header)}"
            remedy = "Separate as many fields by tabs as the header has"
            raise fault(f"{path}, line {number}", what, remedy)
    for name in required:
        if header.count(name) != 1:
            what = f"column {name} is missing or occurs twice in the header: {', '.join(header)}"
            raise fault(f"{path}, line 1", what, f"Name one tab-separated column {name}")
    columns = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
    return columns, Place(str(path), "line", np.array([number for number, _ in lines[1:]]))


def as_integers(texts: Sequence[str], column: str, place: Place) -> np.ndarray:
    """Whole numbers, int64 [n], from the n texts of a column; raises for the first that is none."""
    for row, text in enumerate(texts):
        if not INTEGER.fullmatch(text):
            what = f"{column} {text[:40]!r} is not an integer"
            raise fault(place.at(row), what, LABELS if column == "x_label" else NUMBERING)
    return np.array([int(text) for text in texts], dtype=np.int64)


def _visible(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
