"""`downloads.json`: the sum and the origin of each file that was fetched into, or made in, a folder."""

import hashlib
import json
from pathlib import Path

from seapkg.data.validate import fault
from seapkg.files import write_text

RECORD = "downloads.json"
MADE = "surrogate"


def read_record(folder: Path) -> dict[str, dict[str, str]]:
    """File name -> its sha256 and its origin (an address, `placed by hand`, or `surrogate`)."""
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: {key: str(entry[key]) for key in ("sha256", "origin")}
            for name, entry in entries.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"the record cannot be read ({error})"
        raise fault(str(path), what, "Move the whole folder away and get it again") from error


def write_record(folder: Path, name: str, origin: str, path: Path) -> None:
    """Records the file that is, or will be, `name` in the folder; `path`: where it is now."""
    entry = {"sha256": sha256(path), "origin": origin}
    entries = read_record(folder) | {name: entry}
    write_text(folder / RECORD, json.dumps(entries, indent=2) + "\n")


def is_surrogate(path: Path) -> bool:
    """Whether the file is a surrogate that was made in its folder, unchanged since."""
    entry = read_record(path.parent).get(path.name, {})
    return entry.get("origin") == MADE and sha256(path) == entry["sha256"]


def holds_surrogates(folder: Path) -> bool:
    """Whether a feature file in the folder is a surrogate."""
    return any(is_surrogate(path) for path in folder.glob("*_feat.npy"))


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
