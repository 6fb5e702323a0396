"""Item features from raw Amazon-2014 files: image vectors and texts, in the order of items."""

import html
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from seapkg.data.validate import fault
from seapkg.prepare.raw import read_metadata

ID_BYTES, WIDTH = 10, 4096
RECORD = np.dtype([("item", f"S{ID_BYTES}"), ("vector", "<f4", (WIDTH,))])
TEXT_FIELDS = ("title", "brand", "categories", "description")


def write_images(path: Path, rows: Mapping[str, int], target: Path) -> list[str]:
    """Writes the image vectors of products into a new .npy file, float32 [n_items, 4096].

    A product without a vector gets the mean of the others; of several vectors the first counts.
    Both files are mapped, so memory holds one vector at a time.

    Args:
        path: records of a product id (10 bytes) and 4096 little-endian float32.
        rows: product id -> row.

    Returns:
        The products without a vector.
    """
    n_records, rest = divmod(path.stat().st_size, RECORD.itemsize)
    if rest or not n_records:
        what = f"it has {rest} of {RECORD.itemsize} bytes"
        remedy = "The file is cut short or of another width: download it again"
        raise fault(f"{path}, record {n_records}", what, remedy)
    records = np.memmap(path, RECORD, mode="r")
    record_of: dict[str, int] = {}
    for number, item in enumerate(records["item"].tolist()):
        record_of.setdefault(item.decode("latin-1").strip(), number)
    present = sorted((record_of[item], row) for item, row in rows.items() if item in record_of)
    if not present:
        what = "it has no vector for any of the items"
        raise fault(str(path), what, "Take the file of the same category")
    images = open_memmap(target, mode="w+", dtype=np.float32, shape=(len(rows), WIDTH))
    total = np.zeros(WIDTH)
    for number, row in present:
        vector = records["vector"][number]
        if not np.isfinite(vector).all():
            what = "the vector is not finite"
            raise fault(f"{path}, record {number}", what, "Download the file again")
        images[row] = vector
        total += vector
    missing = [item for item in rows if item not in record_of]
    images[[rows[item] for item in missing]] = total / len(present)
    images.flush()
    return missing


def read_texts(path: Path, rows: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Titles and texts (title, brand, categories, description) of products; "" where unknown.

    Of several lines on a product the first counts.

    Args:
        rows: product id -> row, which is the order of what is returned.
    """
    records: dict[str, dict] = {}
    for item, record in read_metadata(path, rows.__contains__):
        texts = {field: record.get(field) for field in TEXT_FIELDS}
        records.setdefault(item, texts)
    ordered = [records.get(item, {}) for item in rows]
    titles = [plain(record.get("title")) for record in ordered]
    return titles, [plain(list(record.values())) for record in ordered]


def plain(value: object) -> str:
    """One line of text from text, a number, or lists of them; resolves entities such as &amp;."""
    text = html.unescape(" ".join(_pieces(value)))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _pieces(value: object) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _pieces(part)
    elif value is not None:
        yield str(value)
