"""A dataset from raw Amazon-2014 files: the k-core, the split, and features in the order of items."""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from seapkg.data.validate import fault
from seapkg.data.read import read_folder
from seapkg.errors import RequestError
from seapkg.prepare.encode import describe_encoder, encode, require_encoder
from seapkg.prepare.raw import Interactions, find_sources, read_interactions
from seapkg.prepare.raw_features import read_texts, write_images
from seapkg.prepare.split import SMALLEST_CORE, k_core, random_split

RECORD = "prepared.json"


def prepare(
    raw: str | Path, out: str | Path, *, core: int = 5, seed: int = 0, text_encoder: str = "tfidf"
) -> dict[str, object]:
    """Makes the folder `out`, in REARM's format, from the raw files in `raw`; returns what `prepared.json` says.

    `raw`: one `reviews_*.json[.gz]` or `ratings_*.csv[.gz]`; optional `meta_*.json[.gz]` and `image_features_*.b`.
    Users and items with fewer than `core` interactions are left out, until none has fewer; ids follow the sorted
    ids of the raw files. `text_encoder`: tfidf or minilm. The same files and options give the same bytes on the same
    machine. Raises `DataError` that names file and line, `RequestError` for an option or a folder `out` that is not
    empty; `out` appears whole or not at all.
    """
    raw, out = Path(raw), Path(out).resolve()
    _check_options(core, seed, text_encoder, out)
    sources = find_sources(raw)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        folder = Path(beside) / out.name
        folder.mkdir()
        record = _write(sources, folder, core, seed, text_encoder)
        if out.exists():
            out.rmdir()  # empty, or an error
        folder.rename(out)
    return record


def _check_options(core: int, seed: int, text_encoder: str, out: Path) -> None:
    if core < SMALLEST_CORE:
        raise RequestError(
            f"core is {core}; it is at least {SMALLEST_CORE}, so that every user trains and is tested"
        )
    if seed < 0:
        raise RequestError(f"seed is {seed}; it is a whole number from 0")
    require_encoder(text_encoder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} is there already and not empty: name a new folder")


def _write(
    sources: dict[str, Path], folder: Path, core: int, seed: int, text_encoder: str
) -> dict[str, object]:
    """All files of the new folder; each step adds to the record."""
    interactions = read_interactions(sources["interactions"])
    users, items, products, counts = _numbered(interactions, core, sources["interactions"])
    del interactions
    splits = random_split(users, items, seed)
    for split, pairs in splits.items():
        np.save(folder / f"{split}.npy", pairs)
    counts |= {split: pairs.shape[1] for split, pairs in splits.items()}
    rows = {product: row for row, product in enumerate(products)}
    text = _write_texts(sources.get("metadata"), rows, folder, text_encoder)
    image = _write_images(sources.get("images"), rows, folder)
    record = {
        "from": {kind: _origin(path) for kind, path in sources.items()},
        "options": {"core": core, "seed": seed, "text_encoder": text_encoder},
        "ids": "positions in the sorted user and product ids; the product ids are in items.tsv",
        "counts": counts,
        "image": image,
        "text": text,
        "fingerprint": read_folder(folder).fingerprint,  # and so all of it has been checked
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def _numbered(
    raw: Interactions, core: int, path: Path
) -> tuple[np.ndarray, np.ndarray, list[str], dict[str, int]]:
    """Ids [n] of users and of items in the core, the product ids in the order of items, and counts."""
    pairs = np.unique(raw.users * len(raw.item_ids) + raw.items)  # each pair once
    users, items = np.divmod(pairs, len(raw.item_ids))
    keep = k_core(users, items, core)
    if not keep.any():
        raise fault(
            str(path), f"no users and items have {core} interactions each", "Use a smaller --core"
        )
    (user_ids, users), (products, items) = (
        _ranked(users[keep], raw.user_ids),
        _ranked(items[keep], raw.item_ids),
    )
    counts = {
        "interactions read": len(raw.users),
        "repeated and left out": len(raw.users) - len(pairs),
    }
    counts |= {"users read": len(raw.user_ids), "items read": len(raw.item_ids)}
    return (
        users,
        items,
        products,
        counts | {"users": len(user_ids), "items": len(products), "interactions": len(users)},
    )


def _ranked(codes: np.ndarray, names: list[str]) -> tuple[list[str], np.ndarray]:
    """The names that occur, sorted, and each code [n] as a position among them."""
    used, inverse = np.unique(codes, return_inverse=True)
    order = sorted(range(len(used)), key=lambda position: names[used[position]])
    rank = np.empty(len(used), dtype=np.int64)
    rank[order] = np.arange(len(used))
    return [names[used[position]] for position in order], rank[inverse]


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
    missing = [product for product, row in rows.items() if not written[row]]
    return describe_encoder(encoder) | {
        "width": vectors.shape[1],
        "missing, given the mean": missing,
    }


def _write_images(
    path: Path | None, rows: dict[str, int], folder: Path
) -> dict[str, object] | None:
    if path is None:
        return None
    return {"missing, given the mean": write_images(path, rows, folder / "image_feat.npy")}


def _origin(path: Path) -> dict[str, object]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}
