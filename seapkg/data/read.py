"""Reads datasets in the format of MMRec (`*.inter`) or of REARM (`train.npy`, ...).

Both keep features in `MODALITY_feat.npy`, and may have `item_knn.npz` and `items.tsv`.
"""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.data.arrays import read_npy, read_npz
from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.validate import NUMBERING, ItemGraph, Place, fault, refuse

COLUMNS = ("userID", "itemID", "x_label")
FEATURES, GRAPHS, ITEMS = "_feat.npy", "item_knn.npz", "items.tsv"
INTEGER = r"\s*-?[0-9]{1,18}\s*"
HOW = "Give one NAME.inter (MMRec), or else train.npy, valid.npy and test.npy (REARM)"

log = logging.getLogger(__name__)


def read_folder(folder: str | Path) -> Dataset:
    """The dataset in a folder of either format.

    Raises:
        DataError: a file is wrong or missing; names the file, the row and the remedy.
    """
    folder = Path(folder)
    splits, places = read_interactions(folder)
    features = {path.name.removesuffix(FEATURES): path for path in _visible(folder, f"*{FEATURES}")}
    places |= {f"features[{name!r}]": Place(str(path)) for name, path in features.items()}
    graphs = read_graphs(folder / GRAPHS)
    for name in graphs:
        places[f"item_graphs[{name!r}]"] = Place(f"{folder / GRAPHS}, {name}", "edge")
    places["item_names"] = Place(str(folder / ITEMS))
    return Dataset.from_arrays(
        **splits,
        name=folder.resolve().name,
        features={name: read_npy(path) for name, path in features.items()},
        item_graphs=graphs,
        item_names=read_names(folder / ITEMS),
        source=str(folder),
        places=places,
    )


def read_interactions(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, in either format.

    Raises:
        DataError: the folder holds files of both formats, or of neither.
    """
    tables = _visible(folder, "*.inter")
    arrays = [path for split in SPLITS if (path := folder / f"{split}.npy").exists()]
    if (len(tables), len(arrays)) not in ((1, 0), (0, len(SPLITS))):
        names = ", ".join(path.name for path in tables + arrays)
        raise fault(str(folder), f"it holds {names or 'no interactions'}", HOW)
    return read_inter(tables[0]) if tables else read_splits(folder)


def read_inter(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from MMRec's table.

    Only the columns userID, itemID and x_label (0 train, 1 valid, 2 test) are used; differing
    ratings cause a warning.
    """
    table = read_table(path)
    if table.get("rating", pd.Series()).nunique() > 1:
        log.warning("%s: ratings are not used: every row counts as one interaction", path)
    place = Place(str(path), "line", table.index.to_numpy())
    values = as_integers(table, COLUMNS, place)
    labels = values[:, 2:]
    wrong = ~np.isin(labels, range(len(SPLITS)))
    refuse(wrong, labels, place, ["x_label"], "is wrong", "Write 0 for train, 1 valid, 2 test")
    splits, places = {}, {}
    for label, split in enumerate(SPLITS):
        rows = labels[:, 0] == label
        splits[split] = values[rows, :2]
        places[split] = Place(str(path), "line", place.numbers[rows])
    return splits, places


def read_splits(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Place]]:
    """Pairs [n, 2] of each split, and their places, from REARM's arrays [2, n]."""
    splits, places = {}, {}
    for split in SPLITS:
        path = folder / f"{split}.npy"
        array = read_npy(path)
        if array.ndim != 2 or len(array) != 2:
            what = f"the array has shape {array.shape}, not (2, n)"
            remedy = "Row 0 holds the users, row 1 the items: transpose or stack them"
            raise fault(str(path), what, remedy)
        splits[split], places[split] = array.T, Place(str(path), "column")
    return splits, places


def read_graphs(path: Path) -> dict[str, ItemGraph]:
    """Item graphs by modality from `item_knn.npz`; none if there is no such file.

    Raises:
        DataError: a modality lacks its edges [2, n_edges] or its cosines [n_edges].
    """
    arrays = read_npz(path) if path.exists() else {}
    names = {key.rpartition("_")[0] for key in arrays}
    try:
        return {
            name: ItemGraph(arrays[f"{name}_index"], arrays[f"{name}_cosine"]) for name in names
        }
    except KeyError as missing:
        remedy = "Give MODALITY_index and MODALITY_cosine for each modality, and no other key"
        raise fault(str(path), f"it has no {missing}", remedy) from missing


def read_names(path: Path) -> list[str] | None:
    """Names of the items from the column name or title of `items.tsv`; None without either.

    Raises:
        DataError: the item ids are not the numbers from 0, each once.
    """
    if not path.exists():
        return None
    table = read_table(path)
    names = table.get("name", table.get("title"))
    if names is None:
        return None
    ids = as_integers(table, ("itemID",), Place(str(path), "line", table.index.to_numpy()))[:, 0]
    if sorted(ids) != list(range(len(ids))):
        what = f"its itemID are not the numbers from 0 to {len(ids) - 1}"
        raise fault(str(path), what, "List each item once, or remove the file to go without names")
    return names.iloc[np.argsort(ids)].tolist()


def read_table(path: Path) -> pd.DataFrame:
    """The text in a tab-separated file with a header; the index holds the line numbers.

    Blank lines, Windows line ends and a byte order mark are tolerated; quotes are ordinary
    characters. Rows that are too short end in empty text.

    Raises:
        DataError: a row is too long, a column occurs twice, or there are no rows.
    """
    try:
        rows = pd.read_csv(
            path,
            sep="\t",
            header=None,
            dtype=str,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
            encoding_errors="replace",
        )
    except (OSError, ValueError) as error:  # names the line with too many fields
        what = f"it cannot be read as a table ({str(error).strip()})"
        raise fault(str(path), what, "Separate as many fields by tabs as the header has") from error
    rows.index += 1
    blank = rows.apply(lambda column: column.str.strip() == "").all(axis=1)
    rows = rows[~blank]
    if len(rows) < 2:
        raise fault(str(path), "it has no rows under a header", "Add one row for each entry")
    header = rows.iloc[0].str.strip()
    repeated = header[header.duplicated() & (header != "")]
    if len(repeated):
        what = f"column {repeated.iloc[0]} occurs twice in the header"
        raise fault(str(path), what, "Give each column another name")
    return rows.iloc[1:].set_axis(header, axis=1)


def as_integers(table: pd.DataFrame, columns: Sequence[str], place: Place) -> np.ndarray:
    """Columns of text as integers.

    Args:
        table: text, from `read_table`.
        columns: names of the columns.
        place: where the rows were read.

    Returns:
        int64 [n, n_columns].

    Raises:
        DataError: a column is missing, or a text is not an integer.
    """
    header = list(table.columns)
    for name in columns:
        if name not in header:
            what = f"column {name} is missing in the header: {', '.join(header)}"
            raise fault(place.file, what, f"Name one tab-separated column {name}")
    texts = table[list(columns)]
    wrong = ~texts.apply(lambda column: column.str.fullmatch(INTEGER))
    values = texts.to_numpy(object)
    refuse(wrong.to_numpy(bool), values, place, columns, "is not an integer", NUMBERING)
    return values.astype(np.int64)


def _visible(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
