"""Reads raw Amazon-2014 files: interactions and item metadata."""

import ast
import gzip
import json
import re
import sys
import warnings
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd

from seapkg.data.validate import fault
from seapkg.errors import DataNotFound

PATTERNS = {
    "interactions": ("reviews_*.json*", "ratings_*.csv*"),
    "metadata": ("meta_*.json*",),
    "images": ("image_features_*.b",),
}
CSV_HEADER = "user,item,rating,timestamp"
LEADING_ID = re.compile(r"""\{\s*['"]asin['"]\s*:\s*['"](\w+)['"]""")
DOWNLOAD = "Download the file again, or remove the line"


def find_sources(folder: Path) -> dict[str, Path]:
    """The raw files in a folder by kind: `interactions`, and optional `metadata` and `images`.

    Raises:
        DataError: there are no interactions, or several files of one kind.
    """
    if not folder.is_dir():
        raise DataNotFound(f"There is no folder {folder}. Name the folder with the raw files.")
    sources = {}
    for kind, patterns in PATTERNS.items():
        paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
        if len(paths) > 1 or (kind == "interactions" and not paths):
            what = f"it holds {len(paths)} files of {kind}, {', '.join(patterns)}"
            raise fault(str(folder), what, "Put exactly one there")
        if paths:
            sources[kind] = paths[0]
    return sources


def read_interactions(path: Path) -> pd.DataFrame:
    """All pairs, columns `user` and `item`, of a file of reviews or of ratings.

    Reviews are one JSON object per line, ratings are `user,item,rating,timestamp`.
    """
    ratings = path.name.startswith("ratings_")
    pairs = []
    for place, line in read_lines(path):
        if line.lower() == CSV_HEADER and not pairs:
            continue
        if ratings:
            record = dict(zip(("reviewerID", "asin"), line.split(","), strict=False))
        else:
            record = parse_record(line, place)
        pairs.append((_id_in(record, "reviewerID", place), _id_in(record, "asin", place)))
    if not pairs:
        raise fault(str(path), "it holds no interactions", "Download the file again")
    return pd.DataFrame(pairs, columns=["user", "item"], dtype=object)


def read_metadata(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, dict]]:
    """Records of products; lines on other products are not parsed.

    Args:
        path: a file with one record per line.
        wanted: product ids.

    Yields:
        A product id and its record.
    """
    for place, line in read_lines(path):
        leading = LEADING_ID.match(line)
        if leading and leading[1] not in wanted:
            continue
        record = parse_record(line, place)
        item = _id_in(record, "asin", place)
        if item in wanted:
            yield item, record


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The place and the text of every line that is not blank.

    Raises:
        DataError: the file is cut short or damaged; names the line.
    """
    number = 0
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield f"{path}, line {number}", line.strip()
    except (OSError, EOFError, zlib.error) as error:
        what = f"it cannot be read ({error})"
        raise fault(f"{path}, line {number + 1}", what, "Download the file again") from error


def parse_record(line: str, place: str) -> dict:
    """A line as a dictionary: JSON, or a Python literal, which is parsed and never evaluated.

    Args:
        line: the text.
        place: its file and number, for the error.
    """
    for parse in (json.loads, _parse_literal):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            record = parse(line)
            if isinstance(record, dict):
                return record
    what = f"it is neither a JSON object nor a Python dictionary ({line[:40]!r})"
    raise fault(place, what, DOWNLOAD)


def _parse_literal(line: str) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about backslashes in descriptions
        return ast.literal_eval(line)


def _id_in(record: dict, field: str, place: str) -> str:
    """An id of a record; rejects ids with white space, since tables are tab-separated."""
    value = record.get(field)
    if isinstance(value, str) and value.split() == [value]:
        return sys.intern(value)
    raise fault(place, f"{field} {value!r:.40} is not one word", DOWNLOAD)
