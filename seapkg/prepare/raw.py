"""Raw Amazon-2014 files, read line by line: who met what, and what is written about items."""

import ast
import gzip
import json
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from seapkg.data.validate import fault
from seapkg.errors import DataNotFound

PATTERNS = {
    "interactions": ("reviews_*.json.gz", "reviews_*.json", "ratings_*.csv", "ratings_*.csv.gz"),
    "metadata": ("meta_*.json.gz", "meta_*.json"),
    "images": ("image_features_*.b",),
}
MAX_LINE = 2**24  # bytes; the longest line of the real files has less than a thousandth
CSV_HEADER = "user,item,rating,timestamp"
LEADING_ID = re.compile(r"""\{\s*['"]asin['"]\s*:\s*['"](\w+)['"]""")
DOWNLOAD = "Download the file again, or take the line out"


def find_sources(folder: Path) -> dict[str, Path]:
    """The raw files in a folder: `interactions`, and where there are any `metadata`, `images`."""
    if not folder.is_dir():
        raise DataNotFound(
            f"There is no folder {folder}. Give the folder that holds the raw files."
        )
    sources = {}
    for kind, patterns in PATTERNS.items():
        paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise fault(str(folder), f"it holds {len(paths)} files of {kind}: {names}", "Leave one")
        if paths:
            sources[kind] = paths[0]
    if "interactions" not in sources:
        remedy = f"Put one of these there: {', '.join(PATTERNS['interactions'])}"
        raise fault(str(folder), "it holds no interactions", remedy)
    return sources


def read_interactions(path: Path) -> pd.DataFrame:
    """All pairs, columns `user` and `item`, of a file of reviews or of ratings.

    Reviews are a JSON object a line, ratings are `user,item,rating,timestamp`.
    """
    parse = _parse_rating if path.name.startswith("ratings_") else parse_record
    users, items = [], []
    for place, line in read_lines(path):
        if line.lower() == CSV_HEADER and not users:
            continue
        record = parse(line, place)
        users.append(_id_in(record, "reviewerID", place))
        items.append(_id_in(record, "asin", place))
    if not users:
        raise fault(str(path), "it holds no interactions", "Download the file again")
    return pd.DataFrame({"user": users, "item": items}, dtype=object)


def read_metadata(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, dict]]:
    """(product id, record) of every line on a wanted product; other lines are not parsed."""
    for place, line in read_lines(path):
        leading = LEADING_ID.match(line)
        if leading and not wanted(leading[1]):
            continue
        record = parse_record(line, place)
        item = _id_in(record, "asin", place)
        if wanted(item):
            yield item, record


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(its place, its text without spaces around) of every line that is not blank."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                place = f"{path}, line {number}"
                if len(line) > MAX_LINE:
                    raise fault(place, f"it is longer than {MAX_LINE} bytes", DOWNLOAD)
                if text := line.decode("utf-8", "replace").strip().removeprefix("\ufeff"):
                    yield place, text
    except (OSError, EOFError, zlib.error) as error:
        what = f"it cannot be read ({error})"
        raise fault(f"{path}, line {number + 1}", what, "Download the file again") from error


def parse_record(line: str, place: str) -> dict:
    """A line as a dictionary: JSON, or a Python literal, which is parsed and never evaluated."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = _parse_literal(line, place)
    if not isinstance(record, dict):
        raise fault(place, "it is no record of named fields", DOWNLOAD)
    return record


def _parse_literal(line: str, place: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in descriptions
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        what = f"it is neither JSON nor a Python literal ({line[:40]!r})"
        raise fault(place, what, DOWNLOAD) from error


def _parse_rating(line: str, place: str) -> dict:
    fields = line.split(",")
    if len(fields) != 4:
        what = f"{len(fields)} fields ({line[:40]!r}), not {CSV_HEADER}"
        raise fault(place, what, DOWNLOAD)
    return {"reviewerID": fields[0], "asin": fields[1]}


def _id_in(record: dict, field: str, place: str) -> str:
    """An id is one word, so that it can stand in a table."""
    value = record.get(field)
    if isinstance(value, str) and value.isprintable() and value.split() == [value]:
        return sys.intern(value)
    raise fault(place, f"{field} {str(value)[:40]!r} is not one word", DOWNLOAD)
