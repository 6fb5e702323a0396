"""`downloads.json`: the sum and the origin of the files fetched into, or made in, a folder."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seapkg.data.validate import fault
from seapkg.files import write_text

RECORD = "downloads.json"
MADE = "surrogate"


@dataclass(frozen=True)
class FileRecord:
    """A file's sha256 and its origin: an address, `placed by hand`, or `surrogate`."""

    sha256: str
    origin: str = ""


def read_record(folder: Path) -> dict[str, FileRecord]:
    """The records of a folder's files by their names."""
    path = folder / RECORD
    if not path.exists():
        return {}
    return read_json(path, dict[str, FileRecord], "Move the whole folder away and get it again")


def read_json(path: Path, form: Any, remedy: str) -> Any:
    """The content of a JSON file, which must have the form of a type or dataclass.

    Raises:
        DataError: it cannot be read as such.
    """
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(form).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        what = f"it cannot be read ({str(error).splitlines()[0]})"
        raise fault(str(path), what, remedy) from error


def write_record(folder: Path, name: str, origin: str, path: Path) -> None:
    """Records the file that is, or will be, `name` in the folder; `path`: where it is now."""
    records = read_record(folder) | {name: FileRecord(sha256(path), origin)}
    content = {name: asdict(record) for name, record in records.items()}
    write_text(folder / RECORD, json.dumps(content, indent=2) + "\n")


def is_surrogate(path: Path) -> bool:
    """Whether the file is a surrogate that was made in its folder, unchanged since."""
    record = read_record(path.parent).get(path.name)
    return record is not None and record == FileRecord(sha256(path), MADE)


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
