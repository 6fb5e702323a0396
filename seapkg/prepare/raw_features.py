"""Item features from raw Amazon-2014 files: image vectors as they stream by, and texts."""

import html
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from seapkg.data.validate import fault
from seapkg.prepare.raw import read_metadata

ID_BYTES, WIDTH = 10, 4096
RECORD = np.dtype([("item", f"S{ID_BYTES}"), ("vector", "<f4", (WIDTH,))])
BLOCK = 256  # records read at a time: 4 MB
TEXT_FIELDS = ("title", "brand", "categories", "description")


def write_images(path: Path, rows: Mapping[str, int], target: Path) -> list[str]:
    """Writes the image vectors of products into a new .npy file, float32 [n_items, 4096]; returns who had none.

    `rows`: product id -> row. A product without a vector gets the mean of the others; of several the first counts.
    The file is mapped, so memory holds no more than a block of records.
    """
    images = open_memmap(target, mode="w+", dtype=np.float32, shape=(len(rows), WIDTH))
    found = np.zeros(len(rows), dtype=bool)
    total = np.zeros(WIDTH)
    for place, item, vector in image_records(path):
        row = rows.get(item)
        if row is None or found[row]:
            continue
        if not np.isfinite(vector).all():
            raise fault(place, f"the vector of {item} is not finite", "Download the file again")
        images[row] = vector
        found[row] = True
        total += vector
    if not found.any():
        raise fault(
            str(path), "it has no vector for any of the items", "Take the file of the same category"
        )
    images[~found] = total / found.sum()
    images.flush()
    return [item for item, row in rows.items() if not found[row]]


def image_records(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """(its place, product id, float32 [4096]) of every record: 10 bytes of id, then the numbers, little-endian."""
    n_records, rest = divmod(path.stat().st_size, RECORD.itemsize)
    if rest or not n_records:
        raise fault(
            f"{path}, record {n_records}",
            f"it has {rest} of {RECORD.itemsize} bytes",
            "The file is cut short or of another width: download it again",
        )
    with path.open("rb") as stream:
        for start in range(0, n_records, BLOCK):
            for number, record in enumerate(np.fromfile(stream, RECORD, BLOCK), start):
                yield (
                    f"{path}, record {number}",
                    record["item"].decode("latin-1").strip(),
                    record["vector"],
                )


def read_texts(path: Path, rows: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Titles and texts (title, brand, categories, description) of products, in the order of rows; "" where unknown.

    `rows`: product id -> row. Of several lines on a product the first counts.
    """
    titles, texts = [""] * len(rows), [""] * len(rows)
    seen: set[str] = set()
    for item, record in read_metadata(path, rows.__contains__):
        if item not in seen:
            seen.add(item)
            titles[rows[item]] = plain(record.get("title"))
            texts[rows[item]] = plain([record.get(field) for field in TEXT_FIELDS])
    return titles, texts


def plain(value: object) -> str:
    """One line of text from text, a number, or lists of them; entities such as &amp; are resolved."""
    text = html.unescape(" ".join(_pieces(value)))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _pieces(value: object) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _pieces(part)
    elif value is not None:
        yield str(value)
