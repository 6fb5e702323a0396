"""What was fetched into a folder, kept beside it in `downloads.json`, and checks of files against what is known."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from seapkg.data.arrays import read_npy
from seapkg.data.places import fault
from seapkg.data.registry import RemoteFile
from seapkg.data.tables import header_of
from seapkg.files import write_text

RECORD = "downloads.json"
MADE = "surrogate"
AGAIN = "Remove the file and get it again"


def read_record(folder: Path) -> dict[str, dict]:
    """File name -> its sha256, bytes and origin (an address, `placed by hand`, or `surrogate`), as first seen."""
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: {"sha256": str(one["sha256"]), **one} for name, one in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise fault(
            str(path),
            f"the record cannot be read ({error})",
            "Move the whole folder away and get it again",
        ) from error


def record(folder: Path, name: str, origin: str, path: Path | None = None) -> None:
    """Notes the sum of a file that has just been fetched, found or made; `path`: where it is, until it has its name."""
    path = path or folder / name
    noted = {"sha256": sha256(path), "bytes": path.stat().st_size, "origin": origin}
    content = {**read_record(folder), name: noted}
    write_text(folder / RECORD, json.dumps(content, indent=2) + "\n")


def holds_surrogates(folder: Path) -> bool:
    """Whether a feature file in the folder is a surrogate that was made there, unchanged since."""
    made = {
        name: noted["sha256"]
        for name, noted in read_record(folder).items()
        if noted.get("origin") == MADE
    }
    paths = {folder / name: known for name, known in made.items() if name.endswith("_feat.npy")}
    return any(path.exists() and sha256(path) == known for path, known in paths.items())


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_content(path: Path, file: RemoteFile) -> None:
    """Raises `DataError` where a file is not an array of the registered shape, a table or a tensor file."""
    if file.bytes is not None and path.stat().st_size != file.bytes:
        raise fault(str(path), f"it has {path.stat().st_size} bytes, not {file.bytes}", AGAIN)
    if file.shape:
        shape = read_npy(path).shape
        wanted = tuple(
            have if want is None else want for want, have in zip(file.shape, shape, strict=False)
        )
        if shape != wanted or len(shape) != len(file.shape):
            raise fault(str(path), f"the array has shape {shape}, not {file.shape}", AGAIN)
    elif file.columns and (absent := set(file.columns) - set(header_of(path))):
        raise fault(str(path), f"it has no column {', '.join(sorted(absent))}", AGAIN)
    elif file.part == "graph" and path.open("rb").read(2) != b"PK":
        raise fault(str(path), "it is not a file that torch.save wrote", AGAIN)


def check_sum(path: Path, file: RemoteFile, noted: Mapping | None) -> None:
    """Raises `DataError` where a file in the folder is not the registered or, for want of that, the recorded one."""
    if file.sha256 is None and noted is None:
        return
    expected, whose = (
        (file.sha256, "registered") if file.sha256 else (noted["sha256"], "first recorded")
    )
    if sha256(path) == expected:
        return
    remedy = (
        AGAIN
        if file.sha256
        else f"{AGAIN}; if the new one is right, remove its entry in {RECORD} as well"
    )
    raise fault(str(path), f"its sha256 is not the {whose} {expected[:12]}...", remedy)
