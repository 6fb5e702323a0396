"""Reads JSON files, and `downloads.json`: the sha256 of surrogates made in a folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

from seapkg.data.validate import fault
from seapkg.files import write_text

RECORD = "downloads.json"
MADE = "surrogate"


def read_record(folder: Path) -> dict[str, dict]:
    """The sha256 and the origin of recorded files by their names."""
    path = folder / RECORD
    if not path.exists():
        return {}
    return read_json(path, dict[str, dict], "Move the whole folder away and get it again")


def read_json(path: Path, form: Any, remedy: str) -> Any:
    """The content of a JSON file, validated as a type or dataclass.

    Raises:
        DataError: the file is damaged, or does not fit the type.
    """
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(form).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        what = f"it cannot be read ({str(error).splitlines()[0]})"
        raise fault(str(path), what, remedy) from error


def record_surrogate(target: Path, path: Path) -> None:
    """Records that the file `path`, which will be renamed to `target`, is a surrogate."""
    records = read_record(target.parent)
    records[target.name] = {"sha256": sha256(path), "origin": MADE}
    write_text(target.parent / RECORD, json.dumps(records, indent=2) + "\n")


def is_surrogate(path: Path) -> bool:
    """Whether the file is recorded as a surrogate and unchanged since."""
    record = read_record(path.parent).get(path.name, {})
    return record.get("origin") == MADE and record.get("sha256") == sha256(path)


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
