"""Tab-separated text: chosen columns by name, as text or as ids, with the line each row stood on."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.data.places import Place, fault

BOM = b"\xef\xbb\xbf"
MAX_DIGITS = 18
NUMBERING = "Number users and items from 0 without gaps"


def header_of(path: Path) -> list[str]:
    """Column names of a table, without a byte order mark or spaces around them."""
    return _names(_content(path))


def read_columns(path: Path, names: list[str]) -> tuple[dict[str, np.ndarray], Place]:
    """The named columns as text [n_rows], and the place of the rows; blank lines are left out.

    Windows line ends and a byte order mark are tolerated, quotes are ordinary characters.
    """
    content = _content(path)
    lines = content.splitlines()
    found = _names(content)
    positions = [_position(name, found, path) for name in names]
    _check_width(lines, content.count(b"\t"), len(found), path)
    written = np.array([bool(line.strip()) for line in lines[1:]], dtype=bool)
    if not written.any():
        raise fault(str(path), "it has a header and no rows", "Add one row for each entry")
    rows = _parse(content, len(found), positions)
    columns = {
        name: rows[at].to_numpy(object)[written] for name, at in zip(names, positions, strict=True)
    }
    return columns, Place(str(path), "line", np.flatnonzero(written) + 2)


def as_ids(texts: np.ndarray, what: str, place: Place, remedy: str = NUMBERING) -> np.ndarray:
    """Whole numbers, int64 [n], from text [n]; raises for the first that is not one."""
    codes, distinct = pd.factorize(texts)
    bad = np.array([not _is_whole(text) for text in distinct], dtype=bool)
    if bad[codes].any():
        row = int(bad[codes].argmax())
        raise fault(place.at(row), f"{what} {_shown(texts[row])}", remedy)
    return np.array([int(text) for text in distinct], dtype=np.int64)[codes]


def _is_whole(text: str) -> bool:
    digits = text.strip().removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS


def _shown(text: str) -> str:
    if not text.strip():
        return "is missing"
    start = repr(text if len(text) <= 40 else text[:40] + "...")
    return f"{start} is absurdly large" if text.strip().isdigit() else f"{start} is not an integer"


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes().removeprefix(BOM)
    except OSError as error:
        raise fault(str(path), f"it cannot be read ({error.strerror})", "Check the file") from error
    if not content.strip():
        raise fault(str(path), "the file is empty", "Give it a header and one row for each entry")
    return content


def _names(content: bytes) -> list[str]:
    first = content.replace(b"\r", b"\n").partition(b"\n")[0]
    return [name.strip() for name in first.decode("utf-8", "replace").split("\t")]


def _position(name: str, found: list[str], path: Path) -> int:
    if found.count(name) != 1:
        how = "is missing" if name not in found else "occurs twice"
        raise fault(
            f"{path}, line 1",
            f"column {name} {how} in the header: {', '.join(found)}",
            f"Name exactly one tab-separated column {name}",
        )
    return found.index(name)


def _check_width(lines: list[bytes], n_tabs: int, n_columns: int, path: Path) -> None:
    """Every line has as many fields as the header, or a column would be read in place of another."""
    if n_tabs == (n_columns - 1) * len(lines):
        return
    for number, line in enumerate(lines, start=1):
        n_fields = line.count(b"\t") + 1
        if line.strip() and n_fields != n_columns:
            raise fault(
                f"{path}, line {number}",
                f"{n_fields} fields under a header of {n_columns}",
                "Separate as many fields by tabs as the header has",
            )


def _parse(content: bytes, n_columns: int, positions: list[int]) -> pd.DataFrame:
    """Columns at `positions` as text, one row for each line after the header, blank ones included."""
    return pd.read_csv(
        io.BytesIO(content),
        sep="\t",
        header=None,
        names=range(n_columns),
        skiprows=1,
        usecols=sorted(positions),
        dtype=str,
        na_filter=False,
        skip_blank_lines=False,
        quoting=csv.QUOTE_NONE,
        index_col=False,
        encoding="utf-8",
        encoding_errors="replace",
        low_memory=False,
    )
