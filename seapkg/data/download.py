"""`data get`: fetches a registered dataset into a folder, and checks every file."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from seapkg.data.arrays import read_npy
from seapkg.data.catalogue import Entry, RemoteFile
from seapkg.data.records import is_surrogate, read_record, sha256, write_record
from seapkg.data.validate import fault
from seapkg.errors import DataError, RequestError
from seapkg.files import replacing

PARTS = {  # of each choice of features
    "original": ("interactions", "original"),
    "surrogate": ("interactions", "graph"),
    "none": ("interactions",),
}
BY_HAND = "placed by hand"
AGAIN = "Remove the file and get it again"


def get(entry: Entry, folder: Path, *, features: str = "original", offline: bool = False) -> None:
    """Fetches what is missing in `folder`; files that are there already are only checked.

    Several processes may fill the same folder: each waits for the one before it.

    Args:
        features: original, none, or surrogate (the graphs that surrogates are made from).
        offline: download nothing.

    Raises:
        DataError: a file is wrong, missing, or cannot be downloaded.
        RequestError: there are no such features.
    """
    if features not in PARTS:
        raise RequestError(f"features are {', '.join(PARTS)}; not {features!r}")
    if features == "surrogate" and not entry.part("graph"):
        raise RequestError(
            f"{entry.name} has no surrogate features, for no item graph of it is published: "
            "choose original or none"
        )
    files = [file for part in PARTS[features] for file in entry.part(part)]
    if offline:
        missing = [file.name for file in files if not _is_there(file, entry, folder)]
        if missing:
            what = f"{', '.join(missing)} missing, and --offline downloads nothing"
            raise fault(str(folder), what, "Place them there, or go without --offline")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for file in files:
            if not _is_there(file, entry, folder):
                _download(file, entry, folder)


def known_surrogate(path: Path, entry: Entry) -> bool:
    """Whether a feature file was made in its folder, or is in circulation, as a surrogate."""
    return is_surrogate(path) or sha256(path) == entry.not_original.get(path.name)


def _is_there(file: RemoteFile, entry: Entry, folder: Path) -> bool:
    """Whether the file is in the folder. Raises where another file has its name."""
    path = folder / file.name
    if not path.exists():
        return False
    if file.part == "original" and known_surrogate(path, entry):
        what = "it is not the original but a surrogate"
        raise fault(str(path), what, "Move it and item_knn.npz away, or use --features surrogate")
    expected = _expected_sum(file, folder)
    if expected is None:
        _check_content(path, file)
        write_record(folder, file.name, BY_HAND, path)
    elif sha256(path) != expected:
        raise fault(str(path), f"its sha256 is not the expected {expected[:12]}...", AGAIN)
    return True


def _expected_sum(file: RemoteFile, folder: Path) -> str | None:
    """The registered sum, else that of the first file of this name in the folder."""
    record = read_record(folder).get(file.name)
    return file.sha256 or (record.sha256 if record else None)


def _download(file: RemoteFile, entry: Entry, folder: Path) -> None:
    """Fetches one file from the first address that gives it."""
    file = replace(file, sha256=_expected_sum(file, folder))
    reasons = []
    for url in (file.url, *file.mirrors):
        try:
            _fetch(url, file, folder)
            return
        except (OSError, ValueError, DataError) as error:  # of pooch, requests and the checks
            reasons.append(f"{url}: {' '.join(str(error).split())}")
    by_hand = f" By hand: {entry.by_hand.format(folder=folder)}." if entry.by_hand else ""
    raise DataError(
        f"{folder / file.name} could not be downloaded ({'; '.join(reasons)}). "
        f"Try again later, or place the file there (data/README.md).{by_hand}"
    )


def _fetch(url: str, file: RemoteFile, folder: Path) -> None:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    known = f"sha256:{file.sha256}" if file.sha256 else None
    bar = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())
    with replacing(folder / file.name) as aside:
        pooch.retrieve(url, known, fname=aside.name, path=folder, downloader=bar)
        _check_content(aside, file)
        write_record(folder, file.name, url, aside)


def _check_content(path: Path, file: RemoteFile) -> None:
    """Raises `DataError` where a file has not the registered size or number of rows."""
    size = path.stat().st_size
    if file.bytes not in (None, size):
        raise fault(str(path), f"it has {size} bytes, not {file.bytes}", AGAIN)
    if file.n_rows and (n_rows := len(read_npy(path))) != file.n_rows:
        raise fault(str(path), f"it has {n_rows} rows, not {file.n_rows}", AGAIN)
