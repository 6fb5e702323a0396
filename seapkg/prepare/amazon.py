"""A dataset from raw Amazon-2014 files: the k-core, the split, and features in item order."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.data.read import read_folder
from seapkg.data.records import sha256
from seapkg.data.validate import fault
from seapkg.errors import RequestError
from seapkg.prepare.encode import describe_encoder, encode, require_encoder
from seapkg.prepare.raw import find_sources, read_interactions
from seapkg.prepare.raw_features import read_texts, write_images
from seapkg.prepare.split import SMALLEST_CORE, k_core, random_split

RECORD = "prepared.json"


def prepare(
    raw: str | Path, out: str | Path, *, core: int = 5, seed: int = 0, text_encoder: str = "tfidf"
) -> dict[str, object]:
    """Makes the folder `out`, in REARM's format, from raw files; it appears whole or not at all.

    Ids follow the sorted ids of the raw files. The same files and options give the same bytes on
    the same machine.

    Args:
        raw: a folder with one `reviews_*.json[.gz]` or `ratings_*.csv[.gz]`, and optional
            `meta_*.json[.gz]` and `image_features_*.b`.
        core: the fewest interactions of a user or item; others are left out until none has fewer.
        seed: of the split.
        text_encoder: tfidf or minilm.

    Returns:
        What `prepared.json` says.

    Raises:
        DataError: a raw file is wrong; names the file and the line.
        RequestError: an option is wrong, or `out` is not empty.
    """
    raw, out = Path(raw), Path(out).resolve()
    if core < SMALLEST_CORE or seed < 0:
        raise RequestError(f"core is {core}, seed is {seed}; they are at least {SMALLEST_CORE}, 0")
    require_encoder(text_encoder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} exists and is not empty: name a new folder")
    sources = find_sources(raw)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        folder = Path(beside) / out.name
        folder.mkdir()
        record = {
            "from": {kind: _origin(path) for kind, path in sources.items()},
            "options": {"core": core, "seed": seed, "text_encoder": text_encoder},
            "ids": "positions in the sorted user and product ids; product ids are in items.tsv",
            **_write(sources, folder, core, seed, text_encoder),
        }
        content = json.dumps(record, indent=1) + "\n"
        (folder / RECORD).write_text(content, encoding="utf-8")
        if out.exists():
            out.rmdir()  # empty, or an error
        folder.rename(out)
    return record


def _origin(path: Path) -> dict[str, object]:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _write(
    sources: dict[str, Path], folder: Path, core: int, seed: int, text_encoder: str
) -> dict[str, object]:
    """All files of the new folder but the record, which it returns."""
    users, items, products, counts = _core_of(sources["interactions"], core)
    for split, pairs in random_split(users, items, seed).items():
        np.save(folder / f"{split}.npy", pairs)
        counts[split] = pairs.shape[1]
    rows = {product: row for row, product in enumerate(products)}
    text = _write_texts(sources.get("metadata"), rows, folder, text_encoder)
    image = None
    if "images" in sources:
        missing = write_images(sources["images"], rows, folder / "image_feat.npy")
        image = {"missing, given the mean": missing}
    fingerprint = read_folder(folder).fingerprint  # and so all of it has been checked
    return {"counts": counts, "image": image, "text": text, "fingerprint": fingerprint}


def _core_of(path: Path, core: int) -> tuple[np.ndarray, np.ndarray, list[str], dict[str, int]]:
    """Ids [n] of users and of items in the core, product ids in the order of items, and counts."""
    pairs = read_interactions(path)
    counts = {"interactions read": len(pairs)}
    pairs = pairs.drop_duplicates()
    counts |= {
        "repeated and left out": counts["interactions read"] - len(pairs),
        "users read": pairs["user"].nunique(),
        "items read": pairs["item"].nunique(),
    }
    codes = [pd.factorize(pairs[column])[0] for column in ("user", "item")]
    pairs = pairs[k_core(*codes, core)]
    if pairs.empty:
        what = f"no users and items have {core} interactions each"
        raise fault(str(path), what, "Use a smaller --core")
    users, user_ids = pd.factorize(pairs["user"], sort=True)
    items, products = pd.factorize(pairs["item"], sort=True)
    counts |= {"users": len(user_ids), "items": len(products), "interactions": len(pairs)}
    return users, items, list(products), counts


def _write_texts(
    path: Path | None, rows: dict[str, int], folder: Path, encoder: str
) -> dict[str, object] | None:
    """`items.tsv`, and `text_feat.npy` where there is metadata."""
    titles, texts = read_texts(path, rows) if path else ([""] * len(rows), [])
    lines = [f"{row}\t{titles[row] or product}\t{product}\n" for product, row in rows.items()]
    (folder / "items.tsv").write_text("itemID\tname\tproduct\n" + "".join(lines), encoding="utf-8")
    if path is None:
        return None
    vectors, written = encode(texts, encoder, str(path))
    np.save(folder / "text_feat.npy", vectors)
    return {
        **describe_encoder(encoder),
        "width": vectors.shape[1],
        "missing, given the mean": [product for product, row in rows.items() if not written[row]],
    }
