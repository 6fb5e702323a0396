"""The register of datasets that can be fetched: `data/registry.json`, read and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seapkg.data.catalogue import BESIDE_PACKAGE
from seapkg.data.places import fault
from seapkg.errors import DataError, RequestError, did_you_mean

REGISTRY = BESIDE_PACKAGE / "registry.json"
PARTS = ("interactions", "original", "graph")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset and what is known of it.

    part: `interactions`, `original` (features) or `graph` (a published item graph).
    url, mirrors: tried in this order. bytes, sha256: None where not known; `about` is then the size to expect.
    shape: of the array in a .npy file, None for what is not known. columns: of a table.
    """

    name: str
    part: str
    url: str
    mirrors: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None
    about: int = 0
    shape: tuple[int | None, ...] = ()
    columns: tuple[str, ...] = ()
    modality: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url, *self.mirrors)


@dataclass(frozen=True)
class Entry:
    """A dataset of the register. `not_original`: file name -> sha256 of features that are no originals.

    by_hand: the steps to get its features with a browser; `{folder}` stands for the folder.
    """

    name: str
    about: str
    terms: str
    n_items: int
    files: tuple[RemoteFile, ...]
    by_hand: tuple[str, ...] = ()
    not_original: Mapping[str, str] | None = None

    def part(self, part: str) -> tuple[RemoteFile, ...]:
        """The files of one part."""
        return tuple(file for file in self.files if file.part == part)


def entry(name: str, path: Path | None = None) -> Entry:
    """The dataset of that name. Raises `RequestError` with the known names where there is none."""
    entries = read_registry(path or REGISTRY)
    if name not in entries:
        raise RequestError(
            f"no dataset {name!r} is registered{did_you_mean(name, entries)}: `data get` knows {', '.join(entries)}; "
            "for others see data/README.md; synthetic is built in and needs no fetching"
        )
    return entries[name]


def read_registry(path: Path) -> dict[str, Entry]:
    """Every registered dataset by its name. Raises `DataError` where the register is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(name, fields) for name, fields in content.items()}
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: the register of datasets is missing. Work in a clone of the repository."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise fault(
            str(path), f"the register cannot be read ({error})", "Restore it from the repository"
        ) from error


def _entry(name: str, fields: Mapping) -> Entry:
    files = tuple(_file(one) for one in fields["files"])
    return Entry(
        **{**fields, "files": files, "by_hand": tuple(fields.get("by_hand", ())), "name": name}
    )


def _file(fields: Mapping) -> RemoteFile:
    lists = {key: tuple(fields.get(key, ())) for key in ("mirrors", "shape", "columns")}
    file = RemoteFile(**{**fields, **lists})
    if file.part not in PARTS or Path(file.name).name != file.name:
        raise ValueError(f"part {file.part!r} of {file.name!r}")
    return file
