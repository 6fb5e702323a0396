"""Raw Amazon-2014 files, read line by line: who met what, and what is written about items. Nothing in them is run."""

import ast
import gzip
import json
import re
import warnings
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


@dataclass(frozen=True)
class Interactions:
    """Every pair in the order of the file: positions [n] in lists of user and of product ids."""

    users: np.ndarray
    items: np.ndarray
    user_ids: list[str]
    item_ids: list[str]


def find_sources(folder: Path) -> dict[str, Path]:
    """The raw files in a folder by what they hold: `interactions`, and where there are any `metadata`, `images`."""
    if not folder.is_dir():
        raise DataNotFound(
            f"There is no folder {folder}. Give the folder that holds the raw files."
        )
    found = {
        kind: sorted(p for name in names for p in folder.glob(name))
        for kind, names in PATTERNS.items()
    }
    for kind, paths in found.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise fault(
                str(folder),
                f"it holds {len(paths)} files of {kind}: {names}",
                "Leave one of them there",
            )
    if not found["interactions"]:
        raise fault(
            str(folder),
            "it holds no interactions",
            f"Put one of these there: {', '.join(PATTERNS['interactions'])}",
        )
    return {kind: paths[0] for kind, paths in found.items() if paths}


def read_interactions(path: Path) -> Interactions:
    """All pairs of a file of reviews (a JSON object a line) or of ratings (user,item,rating,timestamp)."""
    pair_of = _rated if path.name.startswith("ratings_") else _reviewed
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    codes = array("q"), array("q")
    for place, line in read_lines(path):
        if pair_of is _rated and not codes[0] and line.lower() == CSV_HEADER:
            continue
        user, item = pair_of(line, place)
        codes[0].append(users.setdefault(user, len(users)))
        codes[1].append(items.setdefault(item, len(items)))
    if not codes[0]:
        raise fault(str(path), "it holds no interactions", "Download the file again")
    columns = (np.frombuffer(each, dtype=np.int64) for each in codes)
    return Interactions(*columns, list(users), list(items))


def read_metadata(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, dict]]:
    """(product id, record) of every line on a wanted product; the lines of others are not parsed."""
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
        raise fault(
            f"{path}, line {number + 1}", f"it cannot be read ({error})", "Download the file again"
        ) from error


def parse_record(line: str, place: str) -> dict:
    """A line as a dictionary: JSON, or a Python literal, which is parsed and never evaluated."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = _literal(line, place)
    if not isinstance(record, dict):
        raise fault(place, "it is no record of named fields", DOWNLOAD)
    return record


def _literal(line: str, place: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in descriptions
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise fault(
            place, f"it is neither JSON nor a Python literal ({_start(line)})", DOWNLOAD
        ) from error


def _reviewed(line: str, place: str) -> tuple[str, str]:
    record = parse_record(line, place)
    return _id_in(record, "reviewerID", place), _id_in(record, "asin", place)


def _rated(line: str, place: str) -> tuple[str, str]:
    fields = line.split(",")
    if len(fields) != 4:
        raise fault(
            place,
            f"{len(fields)} fields ({_start(line)}), not user,item,rating,timestamp",
            DOWNLOAD,
        )
    named = dict(zip(CSV_HEADER.split(","), fields, strict=True))
    for name in ("rating", "timestamp"):
        _check_number(named[name], name, place)
    return _id_in(named, "user", place), _id_in(named, "item", place)


def _check_number(text: str, name: str, place: str) -> None:
    try:
        good = np.isfinite(float(text))
    except ValueError:
        good = False
    if not good:
        raise fault(place, f"{name} {_start(text)} is not a number", DOWNLOAD)


def _id_in(record: dict, field: str, place: str) -> str:
    """An id is one word, so that it can stand in a table."""
    value = record.get(field)
    if isinstance(value, str) and value.isprintable() and value.split() == [value]:
        return value
    what = (
        f"{field} {_start(str(value))} is not one word" if field in record else f"it has no {field}"
    )
    raise fault(place, what, DOWNLOAD)


def _start(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
