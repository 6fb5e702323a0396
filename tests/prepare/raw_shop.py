"""A small shop in raw Amazon-2014 files, with what must come of it known beforehand."""

import gzip
import json
from collections import Counter

import numpy as np

WIDTH = 4096
NAMES = ["lamp", "soap", "cup", "rope", "sock"]


def product(number: int) -> str:
    """Ten characters, like the ids of the real files; their order is not that of the numbers."""
    return f"B{(number * 37) % 101:04d}ITEM{number % 10}"


def met_pairs(n_users: int = 40, n_items: int = 24, seed: int = 3) -> list[tuple[str, str]]:
    """Pairs dense enough for a 5-core, with others that fall out only after the first have."""
    rng = np.random.default_rng(seed)
    pairs = [
        (f"U{user:03d}", product(item))
        for user in range(n_users)
        for item in range(n_items)
        if rng.random() < 0.4
    ]
    few = [
        (f"Z{user}", product(n_items + item))
        for user in range(9)
        for item in range(7)
        if rng.random() < 0.55
    ]
    pairs += few
    rng.shuffle(pairs)
    return [tuple(pair) for pair in pairs] + [tuple(pairs[0])]  # one is repeated


def write_reviews(folder, pairs, name="reviews_Shop_5.json.gz"):
    lines = (
        json.dumps({"reviewerID": user, "asin": item, "overall": 5.0, "reviewText": "ok"})
        for user, item in pairs
    )
    return write_gz(folder / name, lines)


def write_gz(path, lines):
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    return path


def metadata_line(item: str, title: str) -> str:
    """A Python literal as in the real metadata: single quotes, which are no JSON."""
    record = {
        "asin": item,
        "title": title,
        "price": 2.5,
        "categories": [["Home", f"{title.split()[0]}s"]],
    }
    return repr(record | {"brand": "Acme", "description": f"It&#39;s a {title} for \t everyone"})


def write_metadata(folder, items, **changed):
    """Every item named after its id; `changed`: item -> line instead of it, or None for no line."""
    lines = {
        item: metadata_line(item, f"{NAMES[number % 5]} {item}")
        for number, item in enumerate(items)
    } | changed
    return write_gz(
        folder / "meta_Shop.json.gz", [line for line in lines.values() if line is not None]
    )


def vector(item: str) -> np.ndarray:
    return np.random.default_rng(list(item.encode())).standard_normal(WIDTH).astype("<f4")


def write_images(folder, items):
    path = folder / "image_features_Shop.b"
    path.write_bytes(b"".join(item.encode() + vector(item).tobytes() for item in items))
    return path


def brute_core(pairs, core):
    """The k-core by taking one user or item out at a time."""
    left = set(pairs)
    while True:
        degrees = Counter(("user", user) for user, _ in left) + Counter(
            ("item", item) for _, item in left
        )
        few = next((name for name, degree in degrees.items() if degree < core), None)
        if few is None:
            return left
        left = {(user, item) for user, item in left if few not in (("user", user), ("item", item))}


def nothing_is_left(out):
    return not out.exists() and (not out.parent.exists() or not list(out.parent.iterdir()))


ITEMS = [product(number) for number in range(24)]
NO_IMAGE, NO_TEXT = ITEMS[4], ITEMS[9]
