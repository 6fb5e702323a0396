"""Surrogate features: coordinates of a published item graph, for features that are unavailable.

The graphs are top-10 cosine graphs, symmetrically normalised. They are decoded to cosines, which
are written to `item_knn.npz`; spectral coordinates of the graph then serve as features.
"""

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from seapkg.data.catalogue import Entry
from seapkg.data.describe import unit_rows
from seapkg.data.download import known_surrogate
from seapkg.data.read import FEATURES, GRAPHS
from seapkg.data.records import record_surrogate
from seapkg.data.validate import fault
from seapkg.files import locked, replacing

WIDTH = 384


def make_surrogates(entry: Entry, folder: Path, width: int = WIDTH) -> None:
    """Writes `item_knn.npz` and, for each modality, the missing features.

    Args:
        entry: of the registry.
        folder: holds the published graphs of the dataset; `seapkg.data.download.get` fetches them.
        width: of the features.

    Raises:
        DataError: a graph is damaged, or the folder has other features already.
    """
    with locked(folder):
        arrays = {}
        for file in entry.part("graph"):
            index, cosine = read_graph(folder / file.name, entry.n_items)
            arrays |= {f"{file.modality}_index": index, f"{file.modality}_cosine": cosine}
            path = folder / f"{file.modality}{FEATURES}"
            if not path.exists():
                _save_features(path, surrogate_features(index, cosine, entry.n_items, width))
            elif not known_surrogate(path, entry):
                remedy = "Move it away, or use --features original"
                raise fault(str(path), "it is not a surrogate", remedy)
        if not (folder / GRAPHS).exists():
            with replacing(folder / GRAPHS) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, **arrays)


def _save_features(path: Path, features: np.ndarray) -> None:
    """Writes features [n_items, width], and records beforehand that they are surrogates."""
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            np.save(stream, features)
        record_surrogate(path, temporary)


def read_graph(path: Path, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """A published `.pt` graph; only tensors are read, on the CPU.

    Args:
        path: a sparse tensor [n_items, n_items] of normalised cosines.
        n_items: the number of items.

    Returns:
        Edges, int32 [2, n_edges] in row-major order, and cosines, float32 [n_edges].

    Raises:
        DataError: the file is not such a graph.
    """
    import torch

    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
        edges = tensor._indices().numpy()  # checked before coalesce, which trusts them
        if tuple(tensor.shape) != (n_items, n_items) or not np.isin(edges, range(n_items)).all():
            raise ValueError("wrong number of items")
        tensor = tensor.coalesce()
        index, values = tensor.indices().numpy(), tensor.values().numpy()
        if not np.isfinite(values).all() or (values[index[0] == index[1]] <= 0).any():
            raise ValueError("values are not cosines")
    except Exception as error:  # damaged bytes make torch raise nearly anything
        what = f"it is not a sparse tensor with the cosine graph of {n_items} items"
        raise fault(str(path), what, "Remove the file and get it again") from error
    return index.astype(np.int32), decode_graph(index, values, n_items)


def decode_graph(index: np.ndarray, values: np.ndarray, n_items: int) -> np.ndarray:
    """Cosines behind the normalised values v_ij = cos_ij / sqrt(d_i d_j), d their row sums.

    The diagonal entry is 1 / d_i, since cos_ii = 1, so cos_ij = v_ij sqrt(d_i d_j). A row without
    one belongs to an item whose vector equals that of many others: its cosines are all 1.

    Args:
        index: [2, n_edges].
        values: [n_edges], positive on the diagonal.
        n_items: the number of items.

    Returns:
        float32 [n_edges].
    """
    sources, targets = index
    own = sources == targets
    sums = np.bincount(sources, minlength=n_items).astype(np.float64)  # where every cosine is 1
    sums[sources[own]] = 1 / values[own].astype(np.float64)
    cosine = values * np.sqrt(sums[sources] * sums[targets])
    has_own = np.isin(sources, sources[own])
    return np.where(has_own, cosine, 1.0).astype(np.float32)


def surrogate_features(
    index: np.ndarray, cosine: np.ndarray, n_items: int, width: int = WIDTH
) -> np.ndarray:
    """Spectral coordinates of a cosine graph C, with rows of unit norm.

    With A = max(C, C') and D its row sums, they are the `width` eigenvectors of D^-1/2 A D^-1/2 of
    largest magnitude, times max(eigenvalue, 0). The largest entry of each eigenvector is positive.

    Args:
        index: [2, n_edges], as in `item_knn.npz`.
        cosine: [n_edges].
        n_items: the number of items.
        width: the number of coordinates.

    Returns:
        float16 [n_items, width].
    """
    graph = sp.csr_matrix((cosine.astype(np.float64), index), shape=(n_items, n_items))
    adjacency = graph.maximum(graph.T)
    scale = sp.diags(np.asarray(adjacency.sum(axis=1)).ravel() ** -0.5)
    normalised = scale @ adjacency @ scale
    eigenvalues, vectors = eigsh(normalised, k=width, which="LM", v0=np.ones(n_items))
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(width)]
    coordinates = vectors * np.sign(largest) * np.maximum(eigenvalues, 0)  # [n_items, width]
    return unit_rows(coordinates).astype(np.float16)
