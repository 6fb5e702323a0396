"""Item features from raw Amazon-2014 files: image vectors and texts, in the order of items."""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seapkg.data.validate import fault
from seapkg.prepare.raw import read_metadata

ID_BYTES, WIDTH = 10, 4096
RECORD = np.dtype([("item", f"S{ID_BYTES}"), ("vector", "<f4", (WIDTH,))])
TEXT_FIELDS = ("title", "brand", "categories", "description")


def write_images(path: Path, products: Sequence[str], target: Path) -> list[str]:
    """Writes the image vectors of products into a new .npy file, float32 [n_items, 4096].

    A product without a vector gets the mean of the others; of several vectors the first is used.

    Args:
        path: a file of records, each a product id (10 bytes) and 4096 little-endian float32.
        products: product ids in the order of items.
        target: the new file.

    Returns:
        The products without a vector.
    """
    try:
        records = np.memmap(path, RECORD, mode="r")
    except ValueError as error:  # of another size
        remedy = "The file is cut short or of another width: download it again"
        what = f"it does not consist of records of {RECORD.itemsize} bytes"
        raise fault(str(path), what, remedy) from error
    record_of = dict(zip(*np.unique(records["item"], return_index=True), strict=True))
    numbers = np.array([record_of.get(item.encode(), -1) for item in products])
    present = numbers >= 0
    if not present.any():
        what = "it has no vector for any of the items"
        raise fault(str(path), what, "Take the file of the same category")
    images = np.empty((len(products), WIDTH), dtype=np.float32)
    images[present] = records["vector"][numbers[present]]
    finite = np.isfinite(images).all(axis=1) | ~present
    if not finite.all():
        place = f"{path}, record {numbers[finite.argmin()]}"
        raise fault(place, "the vector is not finite", "Download the file again")
    images[~present] = images[present].mean(axis=0, dtype=np.float64)
    np.save(target, images)
    return [item for item, number in zip(products, numbers, strict=True) if number < 0]


def read_texts(path: Path, products: Sequence[str]) -> tuple[list[str], list[str]]:
    """Titles and texts (title, brand, categories, description) of products; "" where unknown.

    Of several lines on a product the first is used.

    Args:
        path: a file of metadata.
        products: product ids in the order of items.
    """
    records = dict.fromkeys(products, {})
    for item, record in read_metadata(path, records.keys()):
        if not records[item]:
            records[item] = {field: record.get(field) for field in TEXT_FIELDS}
    titles = [plain(record.get("title")) for record in records.values()]
    return titles, [plain(list(record.values())) for record in records.values()]


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
