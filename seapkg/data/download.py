"""`data get`: fetches a registered dataset into a folder, checks every file, and makes surrogate features."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from seapkg.data.places import fault
from seapkg.data.records import MADE, RECORD, check_content, check_sum, read_record, record, sha256
from seapkg.data.registry import Entry, RemoteFile
from seapkg.data.transfer import Patience, check_space, fetch
from seapkg.errors import DataError, RequestError
from seapkg.files import locked
from seapkg.prepare.surrogate import read_graph, surrogate_features

ORIGINAL, SURROGATE, NONE = FEATURES = ("original", "surrogate", "none")
BY_HAND = "placed by hand"
GRAPHS = "item_knn.npz"


def get(
    entry: Entry,
    folder: Path,
    *,
    features: str = ORIGINAL,
    offline: bool = False,
    patience: Patience | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Completes `folder`: interactions, then the chosen features. What is there already is checked and kept.

    offline: downloads nothing. `say` gets remarks, a line each. Raises `DataError` for what is missing or wrong.
    Of several processes that fill the same folder one works, and the others wait for it.
    """
    parts = _parts(entry, features)
    say(f"{entry.name}: {entry.about}. Terms: {entry.terms}.")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder, lambda: say(f"another process is filling {folder}; waiting for it")):
            _complete(entry, folder, parts, features, offline, patience or Patience(), say)
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _complete(
    entry: Entry, folder: Path, parts, features: str, offline: bool, patience: Patience, say
) -> None:
    missing = [
        file for part in parts for file in entry.part(part) if not _have(file, entry, folder)
    ]
    _refuse_mixture(entry, folder, features)
    if offline and missing:
        names = ", ".join(file.name for file in missing)
        raise DataError(
            f"{folder}: missing {names}; --offline downloads nothing. Place them there, or go without it."
        )
    if not missing:
        say("all its files are there and are what they should be; nothing to download")
    check_space(folder, sum(file.bytes or file.about for file in missing))
    for file in missing:
        _download(file, entry, folder, patience, say)
    if features == SURROGATE:
        make_surrogates(entry, folder, say)


def make_surrogates(entry: Entry, folder: Path, say: Callable[[str], None]) -> None:
    """Writes `item_knn.npz` and, for each modality without features, the surrogate ones, from the published graphs."""
    graphs = {
        file.modality: read_graph(folder / file.name, entry.n_items) for file in entry.part("graph")
    }
    if not (folder / GRAPHS).exists():
        arrays = {f"{name}_index": index for name, (index, _) in graphs.items()}
        arrays |= {f"{name}_cosine": cosine for name, (_, cosine) in graphs.items()}
        _write(folder, GRAPHS, lambda stream: np.savez_compressed(stream, **arrays))
    for modality, (index, cosine) in graphs.items():
        name = f"{modality}_feat.npy"
        if not (folder / name).exists():
            say(f"making {name} from the {modality} graph; this takes a minute or more")
            found = surrogate_features(index, cosine, entry.n_items)
            _write(folder, name, lambda stream, found=found: np.save(stream, found))


def _parts(entry: Entry, features: str) -> tuple[str, ...]:
    if features not in FEATURES:
        raise RequestError(f"features are {', '.join(FEATURES)}; not {features!r}")
    if features == SURROGATE and not entry.part("graph"):
        raise RequestError(
            f"{entry.name} has no surrogate features, for no item graph of it is published: choose original or none"
        )
    return {
        ORIGINAL: ("interactions", "original"),
        SURROGATE: ("interactions", "graph"),
        NONE: ("interactions",),
    }[features]


def _have(file: RemoteFile, entry: Entry, folder: Path) -> bool:
    """Whether the file is in the folder. Raises where another file is there under its name."""
    path = folder / file.name
    if not path.exists():
        return False
    noted = read_record(folder).get(file.name)
    if file.part == ORIGINAL and _is_surrogate(path, entry, noted):
        raise fault(
            str(path),
            "it is not the original but a surrogate or other features that circulate with this project",
            f"Move it and {GRAPHS} away, or choose --features surrogate",
        )
    check_sum(path, file, noted)
    if noted is None:
        check_content(path, file)
        record(folder, file.name, BY_HAND)
    return True


def _refuse_mixture(entry: Entry, folder: Path, features: str) -> None:
    """Surrogates are not made beside originals, nor kept where they were changed."""
    if features != SURROGATE:
        return
    for name in (f"{file.modality}_feat.npy" for file in entry.part("graph")):
        path, noted = folder / name, read_record(folder).get(name)
        if path.exists() and not _is_surrogate(path, entry, noted):
            raise fault(
                str(path), "it is there already and is no surrogate made here", "Move the file away"
            )


def _is_surrogate(path: Path, entry: Entry, noted: dict | None) -> bool:
    found = sha256(path)
    made = noted is not None and noted.get("origin") == MADE and noted["sha256"] == found
    return made or found == (entry.not_original or {}).get(path.name)


def _download(file: RemoteFile, entry: Entry, folder: Path, patience: Patience, say) -> None:
    """Fetches one file, held to the sum recorded at an earlier download, and records its sum."""
    noted = read_record(folder).get(file.name, {})
    downloaded = noted.get("origin") not in (None, MADE, BY_HAND)
    held = replace(file, sha256=file.sha256 or (noted["sha256"] if downloaded else None))
    try:
        origin = fetch(held, folder, lambda path: check_content(path, file), patience)
    except DataError as error:
        if file.part == ORIGINAL:
            for number, step in enumerate(entry.by_hand, 1):
                say(f"by hand, {number}: {step.format(folder=folder)}")
        if downloaded and not file.sha256 and "sha256" in str(error):
            raise DataError(
                f"{error} Its sum was recorded at the first download, in {folder / RECORD}."
            ) from error
        raise
    record(folder, file.name, origin)


def _write(folder: Path, name: str, write: Callable) -> None:
    """Writes aside, records, then renames: a file that has its name is known to be made here."""
    aside = folder / f"{name}.part"
    with aside.open("wb") as stream:
        write(stream)
    record(folder, name, MADE, aside)
    aside.replace(folder / name)
