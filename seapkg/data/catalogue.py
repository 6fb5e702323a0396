"""Finds a dataset by name or folder, and lists the public datasets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from seapkg.data.altered import altered, original_and_change
from seapkg.data.altered import provenance as altered_provenance
from seapkg.data.dataset import Dataset, content_hash
from seapkg.data.read import read_folder
from seapkg.data.records import is_surrogate, read_json
from seapkg.data.synthetic import synthetic
from seapkg.errors import DataNotFound, RequestError, did_you_mean

BESIDE_PACKAGE = Path(__file__).resolve().parents[2] / "data"
REGISTRY = BESIDE_PACKAGE / "registry.json"
BUILT_IN = "synthetic"

SURROGATES = "real interactions and graphs, surrogate features"
SURROGATE_FEATURES = "surrogate features"


@dataclass(frozen=True)
class Known:
    """A public dataset whose fingerprint is known.

    Its runs can be found without the files.
    """

    name: str
    fingerprint: str
    n_users: int
    n_items: int
    n_interactions: int
    provenance: str = ""


KNOWN = {
    "baby": Known(
        "baby",
        "d3c128c3cffa5f113724e80ec4d96aa5e5df465bba5d9c0c1a4c7ecce0d1ee1e",
        19_445,
        7_050,
        160_792,
        SURROGATES,
    ),
    "sports": Known(
        "sports",
        "830727a1aa243d41ba41b947e65280d0bcb6dae4f87f36f138559241c23d5c2d",
        35_598,
        18_357,
        296_337,
        SURROGATES,
    ),
    "lfm2k": Known(
        "lfm2k",
        "5a195393940301baa82254270eb5470390f72ac0277f26aa2e1504360c651530",
        1_858,
        1_425,
        56_345,
        "real interactions, text and audio features",
    ),
    "tiktok": Known(
        "tiktok",
        "c9d9cab336b45f92595c88de967aa3d5a418aa865cac479923dc7d63803b3209",
        9_308,
        6_710,
        68_722,
        "real interactions, image and audio features",
    ),
}

# Altered copies of them: original -> change -> fingerprint.
_ALTERED = {
    "baby": {
        "shuffled": "742442bc8b4e191660b2051a52f5efa0fd2953c7e0e7b1ca24c292ca06ef4f1d",
        "image alone": "c29938d0c1bdfc522d0712ed26d173abe2312fab832047ce34445b4b4fa49748",
        "text alone": "551f5f191d38f72fa68ce75a2fbe5b8d801015da31524cdf53ad69085d8096fb",
    },
    "sports": {
        "shuffled": "d9a456237c7ed96d8bb93d9c5948ca20cda8735b78d2fa56906f3dfabef544f2",
        "image alone": "8672e392901e9185b4d69103a1f4889738e5e1f01b2569432d8472bb622ec367",
        "text alone": "91a01751cf3bf088dfc3c9fc93632dd76bb172b715fe593d0c7afcaa993dd817",
    },
    "lfm2k": {
        "shuffled": "922e2d3270a89acaaf1d551990d2a689f278d0facc9da766dbbf73fcc05f2639",
        "text alone": "d2703f523fea958b7ed6a76fecbc16ad126c6511749b29c16a119f829bba6983",
        "audio alone": "99719507ae12da3fa688cfa455f5446e7396e9a7fa2c649ec91798ad8d337677",
    },
    "tiktok": {
        "shuffled": "d1e84da840ccf9c97c8e2f089ab6d2fd0ede282e354cff652a3e92e5f64037dd",
        "image alone": "bec40972170b8f5e582e705e226553f3c4418c9c8d412f1b171c00f1b5322cf4",
        "audio alone": "d984cd24ddae0bde9d5c5b0634ad62ca4aeee4ded9ff0c814d266df1b38fc918",
    },
}
KNOWN |= {
    f"{original}, {change}": replace(
        KNOWN[original],
        name=f"{original}, {change}",
        fingerprint=fingerprint,
        provenance=altered_provenance(KNOWN[original].provenance, change),
    )
    for original, changes in _ALTERED.items()
    for change, fingerprint in changes.items()
}

# Provenance by content, so that other features under the same name get no false label. A key is
# a `Dataset.fingerprint` or, for surrogate features beside other pairs or without their graphs,
# `content_hash(dataset.features[modality])`.
PROVENANCE: dict[str, str] = {
    **{known.fingerprint: known.provenance for known in KNOWN.values()},
    # image and text features of baby
    "31a96433b9518569ae9dfa5711d0fcd99b9a2d491d1949ad0d584e92e0674244": SURROGATE_FEATURES,
    "06d4b53dff1ae72a77d011477aae8afbcd8d370a9d8225ffae1e48572a42d41c": SURROGATE_FEATURES,
    # image features of sports (its text features are no surrogates)
    "c411325f466de2e0c440e6d0cecc0b2d93426a84eb5998e405422a1ac3cfd6c1": SURROGATE_FEATURES,
}


@dataclass(frozen=True)
class RemoteFile:
    """One file of a registered dataset.

    Args:
        part: interactions, original (features) or graph (a published item graph).
        bytes, sha256: None where unknown.
        n_rows: of the array in a .npy file whose sha256 is unknown.
        modality: of a graph; "" for other files.
    """

    name: str
    part: Literal["interactions", "original", "graph"]
    url: str
    bytes: int | None = None
    sha256: str | None = None
    n_rows: int | None = None
    modality: str = ""


@dataclass(frozen=True)
class Entry:
    """A dataset of the registry.

    Args:
        by_hand: how to get its features with a browser; `{folder}` stands for the folder.
        not_original: file name -> sha256 of published features that are surrogates.
    """

    about: str
    terms: str
    n_items: int
    files: tuple[RemoteFile, ...]
    by_hand: str = ""
    not_original: Mapping[str, str] = field(default_factory=dict)

    def part(self, part: str) -> list[RemoteFile]:
        """The files of one part."""
        return [file for file in self.files if file.part == part]


def entry(name: str) -> Entry:
    """The registered dataset of that name.

    Raises:
        RequestError: the name is unknown; lists the known names.
    """
    entries = read_registry(REGISTRY)
    if name not in entries:
        raise RequestError(
            f"unknown dataset {name!r}{did_you_mean(name, entries)}; `data get` knows "
            f"{', '.join(entries)}; see data/README.md for others; synthetic is built in"
        )
    return entries[name]


def read_registry(path: Path) -> dict[str, Entry]:
    """The registered datasets by name.

    Raises:
        DataError: the registry is missing or damaged.
    """
    return read_json(path, dict[str, Entry], "Restore it from the repository")


def load_or_known(name_or_folder: str | Path) -> Dataset | Known:
    """As `load`, or the entry in `KNOWN` if the files of a public dataset are missing.

    Raises:
        DataError: there is no such dataset, or its files are wrong.
    """
    try:
        return load(name_or_folder)
    except DataNotFound:
        if str(name_or_folder) not in KNOWN:
            raise
        return KNOWN[str(name_or_folder)]


def load(name_or_folder: str | Path) -> Dataset:
    """Loads a dataset by its name, or from a folder in MMRec's or REARM's format.

    A name is the built-in `synthetic`, or a folder in `$SEAPKG_DATA`, in `data/` here, or in
    `data/` beside the package. "NAME, shuffled" and "NAME, text alone" are altered copies
    (`seapkg.data.altered`).

    Raises:
        DataError: there is no such dataset, or its files are wrong.
    """
    original, change = original_and_change(str(name_or_folder))
    if change and not Path(name_or_folder).is_dir():
        return altered(load(original), change)
    if str(name_or_folder) == BUILT_IN:
        return synthetic()
    folder = find(name_or_folder)
    dataset = read_folder(folder)
    keys = [dataset.fingerprint, *map(content_hash, dataset.features.values())]
    labels = [PROVENANCE[key] for key in keys if key in PROVENANCE]
    if any(map(is_surrogate, folder.glob("*_feat.npy"))):  # their last bits vary
        labels.append(SURROGATE_FEATURES)
    return dataset.labelled(labels[0] if labels else "")


def find(name_or_folder: str | Path) -> Path:
    """Resolves a path or a dataset name to a folder."""
    places = [Path(name_or_folder), *(root / name_or_folder for root in _roots())]
    for place in places:
        if place.is_dir():
            return place
    name, known = str(name_or_folder), [BUILT_IN, *_names()]
    raise DataNotFound(
        f"There is no dataset {name!r}{did_you_mean(name, known)}: looked for the folders "
        f"{', '.join(map(str, places))}. Known names: {', '.join(known)}."
    )


def _names() -> list[str]:
    """The names of all datasets in the data folders."""
    kinds = ("*/train.npy", "*/*.inter")
    files = [path for root in _roots() for kind in kinds for path in root.glob(kind)]
    return sorted({path.parent.name for path in files})


def _roots() -> list[Path]:
    given = os.environ.get("SEAPKG_DATA")
    return [*([Path(given)] if given else []), Path("data"), BESIDE_PACKAGE]
