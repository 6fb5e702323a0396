"""From a name or a folder to a dataset, and what is known about the origin of some contents."""

import os
from dataclasses import dataclass
from pathlib import Path

from seapkg.data.dataset import Dataset, content_hash
from seapkg.data.read import read_folder
from seapkg.data.synthetic import synthetic
from seapkg.errors import DataError, DataNotFound, did_you_mean

BESIDE_PACKAGE = Path(__file__).resolve().parents[2] / "data"
BUILT_IN = {"synthetic": synthetic}

SURROGATES = "real interactions and graphs, surrogate features"
SURROGATE_FEATURES = "surrogate features"

# What is real in data that circulates with this project, keyed by content, so that whoever has other
# features under the same name gets no false label. A key is the `Dataset.fingerprint` shown by
# `python -m seapkg data check FOLDER`, or `content_hash(dataset.features[modality])`: that one still
# marks surrogates where they stand beside other pairs or without their graphs.
PROVENANCE: dict[str, str] = {
    # baby, its image and its text features
    "d3c128c3cffa5f113724e80ec4d96aa5e5df465bba5d9c0c1a4c7ecce0d1ee1e": SURROGATES,
    "31a96433b9518569ae9dfa5711d0fcd99b9a2d491d1949ad0d584e92e0674244": SURROGATE_FEATURES,
    "06d4b53dff1ae72a77d011477aae8afbcd8d370a9d8225ffae1e48572a42d41c": SURROGATE_FEATURES,
    # sports and its image features (its text features are no surrogates)
    "830727a1aa243d41ba41b947e65280d0bcb6dae4f87f36f138559241c23d5c2d": SURROGATES,
    "c411325f466de2e0c440e6d0cecc0b2d93426a84eb5998e405422a1ac3cfd6c1": SURROGATE_FEATURES,
    # lfm2k
    "5a195393940301baa82254270eb5470390f72ac0277f26aa2e1504360c651530": "real interactions, text and audio features",
}


@dataclass(frozen=True)
class Known:
    """Data known by its content though it may not be here: enough to look up its finished runs."""

    name: str
    fingerprint: str
    n_users: int
    n_items: int
    n_interactions: int

    @property
    def provenance(self) -> str:
        return PROVENANCE.get(self.fingerprint, "")


# Data behind the committed results, under the names they are shown by.
KNOWN = {
    "baby": Known(
        "baby",
        "d3c128c3cffa5f113724e80ec4d96aa5e5df465bba5d9c0c1a4c7ecce0d1ee1e",
        19_445,
        7_050,
        160_792,
    ),
    "sports": Known(
        "sports",
        "830727a1aa243d41ba41b947e65280d0bcb6dae4f87f36f138559241c23d5c2d",
        35_598,
        18_357,
        296_337,
    ),
    "lfm2k": Known(
        "lfm2k",
        "5a195393940301baa82254270eb5470390f72ac0277f26aa2e1504360c651530",
        1_858,
        1_425,
        56_345,
    ),
}


def load_or_known(name_or_folder: str | Path) -> Dataset | Known:
    """As `load`; where there is no such data here, what is known of it. Raises `DataError` where nothing is."""
    try:
        return load(name_or_folder)
    except DataNotFound:
        if str(name_or_folder) not in KNOWN:
            raise
        return KNOWN[str(name_or_folder)]


def load(name_or_folder: str | Path) -> Dataset:
    """The dataset of that name, or in that folder (MMRec's or REARM's format).

    A name is a built-in (`synthetic`), or a folder in `$SEAPKG_DATA`, in `data/` here, or in
    `data/` beside the package. Raises `DataError`, with what is known, where there is none.
    """
    if str(name_or_folder) in BUILT_IN:
        return BUILT_IN[str(name_or_folder)]()
    folder = find(name_or_folder)
    dataset = read_folder(folder)
    return dataset.labelled(provenance_of(dataset) or made_in(folder))


def find(name_or_folder: str | Path) -> Path:
    """The folder meant by a path or a name."""
    places = [Path(name_or_folder), *(root / name_or_folder for root in _roots())]
    for place in places:
        if place.is_dir():
            return place
    if places[0].exists():
        raise DataError(
            f"{name_or_folder} is a file. Give the folder it is in: {places[0].parent}."
        )
    looked = ", ".join(str(place) for place in places)
    known = known_names()
    raise DataNotFound(
        f"There is no dataset {str(name_or_folder)!r}{did_you_mean(str(name_or_folder), known)}: looked for the "
        f"folders {looked}. Known names: {', '.join(known)}."
    )


def known_names() -> list[str]:
    """Names that `load` understands now: the built-ins, then the folders that look like data."""
    folders = [path for root in _roots() if root.is_dir() for path in sorted(root.iterdir())]
    found = [
        path.name for path in folders if (path / "train.npy").exists() or any(path.glob("*.inter"))
    ]
    return list(dict.fromkeys([*BUILT_IN, *found]))


def provenance_of(dataset: Dataset) -> str:
    """What is known to be real in this content; "" where nothing is known."""
    keys = [dataset.fingerprint, *map(content_hash, dataset.features.values())]
    return next((PROVENANCE[key] for key in keys if key in PROVENANCE), "")


def made_in(folder: Path) -> str:
    """Says so where `data get` made surrogate features in this folder, whose last bits may be this machine's own."""
    from seapkg.data.records import holds_surrogates

    return SURROGATE_FEATURES if holds_surrogates(folder) else ""


def _roots() -> list[Path]:
    given = os.environ.get("SEAPKG_DATA")
    roots = [Path(given)] if given else []
    return list(dict.fromkeys([*roots, Path("data"), BESIDE_PACKAGE]))
