"""From a name or a folder to a dataset, and what is known about the origin of some contents."""

import os
from pathlib import Path

from seapkg.data.dataset import Dataset, content_hash
from seapkg.data.formats import read_folder
from seapkg.data.synthetic import synthetic
from seapkg.errors import DataError

BESIDE_PACKAGE = Path(__file__).resolve().parents[2] / "data"
BUILT_IN = {"synthetic": synthetic}

# What is real in data that circulates with this project, by content and so independent of names:
# whoever has the original features under the same name gets no false label.
# A key is `Dataset.fingerprint`, or for the surrogates also `content_hash(features[modality])`;
# compute one with: python -m seapkg data check FOLDER
PROVENANCE: dict[str, str] = {}


def load(name_or_folder: str | Path) -> Dataset:
    """The dataset of that name, or in that folder (MMRec's or REARM's format).

    A name is a built-in (`synthetic`), or a folder in `$SEAPKG_DATA`, in `data/` here, or in
    `data/` beside the package. Raises `DataError`, with what is known, where there is none.
    """
    if str(name_or_folder) in BUILT_IN:
        return BUILT_IN[str(name_or_folder)]()
    dataset = read_folder(find(name_or_folder))
    return dataset.labelled(provenance_of(dataset))


def find(name_or_folder: str | Path) -> Path:
    """The folder meant by a path or a name."""
    places = [Path(name_or_folder), *(root / name_or_folder for root in _roots())]
    for place in places:
        if place.is_dir():
            return place
    if places[0].exists():
        raise DataError(f"{name_or_folder} is a file. Give the folder it is in: "
                        f"{places[0].parent}.")
    looked = ", ".join(str(place) for place in places)
    raise DataError(f"There is no dataset {str(name_or_folder)!r}: looked for the folders {looked}. "
                    f"Known names: {', '.join(known_names())}.")


def known_names() -> list[str]:
    """Names that `load` understands now: the built-ins, then the folders that look like data."""
    folders = [path for root in _roots() if root.is_dir() for path in sorted(root.iterdir())]
    found = [path.name for path in folders if (path / "train.npy").exists()
             or any(path.glob("*.inter"))]
    return list(dict.fromkeys([*BUILT_IN, *found]))


def provenance_of(dataset: Dataset) -> str:
    """What is known to be real in this content; "" where nothing is known."""
    keys = [dataset.fingerprint, *map(content_hash, dataset.features.values())]
    return next((PROVENANCE[key] for key in keys if key in PROVENANCE), "")


def _roots() -> list[Path]:
    given = os.environ.get("SEAPKG_DATA")
    roots = [Path(given)] if given else []
    return list(dict.fromkeys([*roots, Path("data"), BESIDE_PACKAGE]))
