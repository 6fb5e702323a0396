"""Readers of the two formats in use: MMRec's (`*.inter`) and REARM's (`train.npy`, ...).

Both hold features as `MODALITY_feat.npy`, and may have `item_knn.npz` and `items.tsv`.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from seapkg.data.arrays import read_npy, read_npz
from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.validate import NUMBERING, ItemGraph, Place, fault

FEATURES, GRAPHS, ITEMS = "_feat.npy", "item_knn.npz", "items.tsv"
COLUMNS = ["userID", "itemID", "x_label"]
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
    graphs, graph_places = read_graphs(folder)
    dataset = Dataset.from_arrays(
        **splits,
        name=folder.resolve().name,
        features={name: read_npy(path) for name, path in features.items()},
        item_graphs=graphs,
        source=str(folder),
        places=places | graph_places | {name: Place(str(x)) for name, x in features.items()},
    )
    return dataset.named(read_names(folder, dataset.n_items))


def read_inter(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from MMRec's table.

    Columns userID, itemID and x_label (0 train, 1 valid, 2 test) are read, others are ignored;
    a column of differing ratings is named in a warning.
    """
    ratings = ["rating"] if "rating" in header_of(path) else []
    columns, place = read_columns(path, COLUMNS + ratings)
    if ratings and len(set(columns["rating"])) > 1:
        log.warning("%s: ratings are not used: every row counts as one interaction", path)
    users = as_integers(columns["userID"], "user id", place)
    items = as_integers(columns["itemID"], "item id", place)
    labels = as_integers(columns["x_label"], "x_label", place, LABELS)
    wrong = (labels < 0) | (labels >= len(SPLITS))
    if wrong.any():
        raise fault(place.at(int(wrong.argmax())), f"x_label is {labels[wrong][0]}", LABELS)
    pairs = np.stack([users, items], axis=1)  # [n, 2]
    of_split = {split: labels == label for label, split in enumerate(SPLITS)}
    return (
        {split: pairs[rows] for split, rows in of_split.items()},
        {split: Place(str(path), "line", place.numbers[rows]) for split, rows in of_split.items()},
    )


def read_splits(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from REARM's arrays [2, n]."""
    paths = {split: folder / f"{split}.npy" for split in SPLITS}
    splits = {split: _read_split(path) for split, path in paths.items()}
    return splits, {split: Place(str(path), "column") for split, path in paths.items()}


def read_graphs(folder: Path) -> tuple[dict[str, ItemGraph], dict[str, Place]]:
    """Item graphs given in `item_knn.npz`, if there is one, and their places."""
    path = folder / GRAPHS
    arrays = read_npz(path) if path.exists() else {}
    names = {key.removesuffix("_index").removesuffix("_cosine") for key in arrays}
    if {f"{name}{end}" for name in names for end in ("_index", "_cosine")} != set(arrays):
        what = f"its keys do not pair up: {', '.join(sorted(arrays))}"
        remedy = "Give MODALITY_index and MODALITY_cosine for each modality, and no other key"
        raise fault(str(path), what, remedy)
    return (
        {name: ItemGraph(arrays[f"{name}_index"], arrays[f"{name}_cosine"]) for name in names},
        {f"{name} graph": Place(f"{path}, {name}", "edge") for name in names},
    )


def read_names(folder: Path, n_items: int) -> list[str] | None:
    """Names of the items from `items.tsv`: its column name, else title, else None."""
    path = folder / ITEMS
    header = header_of(path) if path.exists() else []
    label = next((column for column in ("name", "title") if column in header), None)
    if label is None:
        return None
    columns, place = read_columns(path, ["itemID", label])
    ids = as_integers(columns["itemID"], "item id", place)
    row_of: dict[int, int] = {}
    for row, item in enumerate(ids.tolist()):
        if not 0 <= item < n_items:
            what = f"item id {item} is out of range"
            raise fault(place.at(row), what, f"Item ids run from 0 to {n_items - 1}")
        if item in row_of:
            raise fault(place.at(row), f"item id {item} is listed twice", "Keep one row per item")
        row_of[item] = row
    missing = set(range(n_items)) - set(row_of)
    if missing:
        remedy = "Give one row per item, or remove the file to go without names"
        raise fault(str(path), f"item {min(missing)} is not listed", remedy)
    return [columns[label][row_of[item]] for item in range(n_items)]


def header_of(path: Path) -> list[str]:
    """Column names of a tab-separated file."""
    with _opened(path) as stream:
        names = [name.strip() for name in stream.readline().split("\t")]
    if names == [""]:
        raise fault(str(path), "the file is empty", "Give it a header and one row for each entry")
    return names


def read_columns(path: Path, names: list[str]) -> tuple[dict[str, list[str]], Place]:
    """The named columns as text, and the place of the rows; blank lines are left out.

    Windows line ends and a byte order mark are tolerated, quotes are ordinary characters.
    """
    header = header_of(path)
    positions = [_position(name, header, path) for name in names]
    rows, numbers = [], []
    with _opened(path) as stream:
        for number, line in enumerate(stream, 1):
            if number == 1 or not line.strip():
                continue
            fields = line.removesuffix("\n").split("\t")
            if len(fields) != len(header):
                what = f"{len(fields)} fields under a header of {len(header)}"
                remedy = "Separate as many fields by tabs as the header has"
                raise fault(f"{path}, line {number}", what, remedy)
            rows.append([fields[position] for position in positions])
            numbers.append(number)
    if not rows:
        raise fault(str(path), "it has a header and no rows", "Add one row for each entry")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return columns, Place(str(path), "line", np.array(numbers))


def as_integers(texts: list[str], what: str, place: Place, remedy: str = NUMBERING) -> np.ndarray:
    """Whole numbers, int64 [n], from n texts; raises for the first that is not one."""
    for row, text in enumerate(texts):
        if not INTEGER.fullmatch(text):
            wrong = f"{text[:40]!r} is not an integer of at most 18 digits"
            missing = not text.strip()
            raise fault(place.at(row), f"{what} {'is missing' if missing else wrong}", remedy)
    return np.array([int(text) for text in texts], dtype=np.int64)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            yield stream
    except OSError as error:
        raise fault(str(path), f"it cannot be read ({error.strerror})", "Check the file") from error


def _read_split(path: Path) -> np.ndarray:
    if not path.exists():
        raise fault(str(path), "the file is missing", HOW)
    array = read_npy(path)
    if array.ndim != 2 or len(array) != 2:
        what = f"the array has shape {array.shape}, not (2, n)"
        remedy = "Row 0 holds the users, row 1 the items: transpose or stack them"
        raise fault(str(path), what, remedy)
    return array.T


def _position(name: str, header: list[str], path: Path) -> int:
    if header.count(name) != 1:
        how = "occurs twice" if name in header else "is missing"
        raise fault(
            f"{path}, line 1",
            f"column {name} {how} in the header: {', '.join(header)}",
            f"Name exactly one tab-separated column {name}",
        )
    return header.index(name)


def _visible(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
