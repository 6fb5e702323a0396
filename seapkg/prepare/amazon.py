"""Makes a dataset from raw Amazon-2014 files: the k-core, the split and the features."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.data.read import read_folder
from seapkg.data.records import sha256
from seapkg.data.validate import fault
from seapkg.errors import RequestError
from seapkg.files import publish, temporary_folder
from seapkg.prepare.encode import encode, require_encoder
from seapkg.prepare.raw import find_sources, read_interactions
from seapkg.prepare.raw_features import read_texts, write_images
from seapkg.prepare.split import SMALLEST_CORE, k_core, random_split

RECORD = "prepared.json"


def prepare(
    raw: str | Path, out: str | Path, *, core: int = 5, seed: int = 0, text_encoder: str = "tfidf"
) -> dict[str, object]:
    """Makes the folder `out`, in REARM's format, from raw files, in one step.

    Ids follow the sorted ids of the raw files. The same files and options give the same bytes on
    the same machine.

    Args:
        raw: a folder with one `reviews_*.json[.gz]` or `ratings_*.csv[.gz]`, and optional
            `meta_*.json[.gz]` and `image_features_*.b`.
        core: the least number of interactions of a user or item in the k-core.
        seed: of the split.
        text_encoder: tfidf or minilm.

    Returns:
        The content of `prepared.json`.

    Raises:
        DataError: a raw file is wrong; names the file and the line.
        RequestError: an option is wrong, or `out` is not empty.
    """
    raw, out = Path(raw), Path(out).resolve()
    if core < SMALLEST_CORE or seed < 0:
        what = f"core must be at least {SMALLEST_CORE} and seed at least 0"
        raise RequestError(f"{what}; they are {core} and {seed}")
    require_encoder(text_encoder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} exists and is not empty; name a new folder")
    sources = find_sources(raw)
    out.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out.parent) as folder:
        counts, products = _write_pairs(sources["interactions"], folder, core, seed)
        without_image = []
        if "images" in sources:
            without_image = write_images(sources["images"], products, folder / "image_feat.npy")
        without_text = _write_texts(sources.get("metadata"), products, folder, text_encoder)
        record = {
            "from": {path.name: sha256(path) for path in sources.values()},
            "options": {"core": core, "seed": seed, "text_encoder": text_encoder},
            "counts": counts,
            "items without an image": without_image,
            "items without a text": without_text,
            "fingerprint": read_folder(folder).fingerprint,  # checks all files
        }
        content = json.dumps(record, indent=1) + "\n"
        (folder / RECORD).write_text(content, encoding="utf-8")
        publish(folder, out)
    return record


def _write_pairs(path: Path, folder: Path, core: int, seed: int) -> tuple[dict, list[str]]:
    """Writes the three splits.

    Returns:
        Counts, and the ids of the products in the order of items.
    """
    raw = read_interactions(path)
    pairs = k_core(raw.drop_duplicates(), core)
    if pairs.empty:
        raise fault(str(path), f"the {core}-core is empty", "Use a smaller --core")
    users, user_ids = pd.factorize(pairs["user"], sort=True)
    items, products = pd.factorize(pairs["item"], sort=True)
    counts = {
        "interactions read": len(raw),
        "users": len(user_ids),
        "items": len(products),
        "interactions": len(pairs),
    }
    for split, array in random_split(users, items, seed).items():
        np.save(folder / f"{split}.npy", array)
        counts[split] = array.shape[1]
    return counts, list(products)


def _write_texts(path: Path | None, products: list[str], folder: Path, encoder: str) -> list[str]:
    """Writes `items.tsv` and, if there is metadata, `text_feat.npy`.

    Returns:
        The products without a text.
    """
    titles, texts = read_texts(path, products) if path else (products, [])
    names = [title or product for title, product in zip(titles, products, strict=True)]
    items = pd.DataFrame({"name": names, "product": products})
    table = folder / "items.tsv"
    items.to_csv(table, sep="\t", index_label="itemID", quoting=csv.QUOTE_NONE)
    if path is None:
        return []
    vectors, written = encode(texts, encoder, str(path))
    np.save(folder / "text_feat.npy", vectors)
    return items["product"][~written].tolist()
