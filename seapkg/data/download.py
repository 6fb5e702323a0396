"""`data get`: fetches a registered dataset into a folder, and checks every file."""

import sys
from pathlib import Path

from seapkg.data.arrays import read_npy
from seapkg.data.catalogue import Entry, RemoteFile
from seapkg.data.records import is_surrogate, sha256
from seapkg.data.validate import fault
from seapkg.errors import DataError, RequestError
from seapkg.files import locked, remove_leftovers, replacing

PARTS = {  # choice of features -> parts of the dataset
    "original": ("interactions", "original"),
    "surrogate": ("interactions", "graph"),
    "none": ("interactions",),
}
MEASURES = {  # field of `RemoteFile` -> what it is called, and how it is measured
    "bytes": ("size in bytes", lambda path: path.stat().st_size),
    "sha256": ("sha256", sha256),
    "n_rows": ("number of rows", lambda path: len(read_npy(path))),
}


def get(entry: Entry, folder: Path, *, features: str = "original", offline: bool = False) -> None:
    """Fetches what is missing in `folder`; files that are there already are only checked.

    Several processes may fill the same folder: each waits for the one before it.

    Args:
        features: original, none, or surrogate (the graphs that surrogates are made from).
        offline: download nothing.

    Raises:
        DataError: a file is wrong, missing, or cannot be downloaded.
        RequestError: `features` is unknown, or has no files in this dataset.
    """
    if features not in PARTS:
        raise RequestError(f"features must be {', '.join(PARTS)}; it is {features!r}")
    files = [file for file in entry.files if file.part in PARTS[features]]
    if features == "surrogate" and not entry.part("graph"):
        raise RequestError(
            "there are no surrogate features because no item graph of the dataset is published; "
            "choose original or none"
        )
    if offline:
        missing = [file.name for file in files if not _is_there(file, entry, folder)]
        if missing:
            what = f"{', '.join(missing)} missing, and --offline downloads nothing"
            raise fault(str(folder), what, "Place them there, or go without --offline")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        remove_leftovers(folder)
        for file in files:
            if not _is_there(file, entry, folder):
                _download(file, entry, folder)


def known_surrogate(path: Path, entry: Entry) -> bool:
    """Whether a file is a surrogate: made in this folder, or one of the known published ones."""
    return is_surrogate(path) or sha256(path) == entry.not_original.get(path.name)


def _is_there(file: RemoteFile, entry: Entry, folder: Path) -> bool:
    """Whether the file is in the folder. Raises where another file has its name."""
    path = folder / file.name
    if not path.exists():
        return False
    if file.part == "original" and known_surrogate(path, entry):
        what = "it is not the original but a surrogate"
        raise fault(str(path), what, "Move it and item_knn.npz away, or use --features surrogate")
    if what := _difference(path, file):
        raise fault(str(path), what, "Remove the file and get it again")
    return True


def _download(file: RemoteFile, entry: Entry, folder: Path) -> None:
    """Fetches one file from its address."""
    import pooch

    download = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())
    try:
        with replacing(folder / file.name) as temporary:
            download(file.url, str(temporary), None)
            if what := _difference(temporary, file):
                raise ValueError(what)
    except (OSError, ValueError, DataError) as error:  # of pooch, requests and the checks
        reason = " ".join(str(error).split())
        raise DataError(
            f"{folder / file.name} could not be downloaded ({file.url}: {reason}). Try again "
            f"later, or by hand (data/README.md): {entry.by_hand.format(folder=folder)}."
        ) from error


def _difference(path: Path, file: RemoteFile) -> str:
    """How a file differs from the registered size, sha256 or number of rows; "" if it does not."""
    for field, (quantity, measure) in MEASURES.items():
        expected = getattr(file, field)
        if expected is not None and (value := measure(path)) != expected:
            return f"its {quantity} is {value}, not {expected}"
    return ""
