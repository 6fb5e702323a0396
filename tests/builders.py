"""Writes one small dataset in either format, right unless a test asks for a fault."""

from pathlib import Path

import numpy as np

TRAIN = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]
VALID = [(0, 2), (1, 3), (2, 0)]
TEST = [(0, 3), (1, 0), (2, 1)]
N_USERS, N_ITEMS = 3, 4
HEADER = "userID\titemID\trating\tx_label"


def inter_rows(train=TRAIN, valid=VALID, test=TEST) -> list[str]:
    """The lines of an `.inter` file below its header: line 2 is the first of train."""
    splits = enumerate((train, valid, test))
    return [f"{user}\t{item}\t5.0\t{label}" for label, pairs in splits for user, item in pairs]


def write_inter(
    folder: Path, rows=None, header=HEADER, newline="\n", bom=False, name="shop.inter"
) -> Path:
    """MMRec's table of interactions."""
    lines = [header, *(inter_rows() if rows is None else rows)]
    text = newline.join(lines) + newline
    (folder / name).write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
    return folder


def write_splits(folder: Path, train=TRAIN, valid=VALID, test=TEST, dtype=np.int64) -> Path:
    """REARM's three arrays [2, n]."""
    for name, pairs in {"train": train, "valid": valid, "test": test}.items():
        np.save(folder / f"{name}.npy", np.array(pairs, dtype=dtype).T)
    return folder


def features(width: int, n_items=N_ITEMS, dtype=np.float32, seed=0) -> np.ndarray:
    """Features that float16 holds exactly, [n_items, width]."""
    return np.random.default_rng(seed).integers(-8, 8, (n_items, width)).astype(dtype) / dtype(4)


def write_features(folder: Path, **by_modality: np.ndarray) -> Path:
    """One `MODALITY_feat.npy` for each modality."""
    for name, x in by_modality.items():
        np.save(folder / f"{name}_feat.npy", x)
    return folder


def graph_arrays(n_items=N_ITEMS) -> tuple[np.ndarray, np.ndarray]:
    """A ring with self edges: index int32 [2, 2 n_items], cosine float32 [2 n_items]."""
    items = np.arange(n_items, dtype=np.int32)
    index = np.stack([items.repeat(2), np.stack([items, (items + 1) % n_items], 1).ravel()])
    return index, np.tile(np.float32([1.0, 0.5]), n_items)


def write_graph(folder: Path, modality="image", **changed) -> Path:
    """`item_knn.npz` of one modality; `changed`: other arrays under index or cosine."""
    index, cosine = graph_arrays()
    arrays = {"index": index, "cosine": cosine} | changed
    np.savez(
        folder / "item_knn.npz", **{f"{modality}_{key}": array for key, array in arrays.items()}
    )
    return folder
