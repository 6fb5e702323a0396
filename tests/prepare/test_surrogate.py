"""Surrogates: graphs decode to their cosines, and features to the published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seapkg.data import catalogue, load
from seapkg.data.catalogue import Entry, RemoteFile
from seapkg.data.download import get
from seapkg.errors import DataError
from seapkg.prepare.surrogate import (
    decode_graph,
    make_surrogates,
    read_graph,
    surrogate_features,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_real_data = pytest.mark.skipif(
    not (SHARED / "baby").is_dir(), reason="the real data is not in ../shared/data"
)

INDEX = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 1, 2]])
COSINE = np.array([1, 0.5, 0.5, 1, 0.25, 1])


def encode(index, cosine, n_items):
    """Values as they are published: cosines over the root of both row sums."""
    sums = np.zeros(n_items)
    np.add.at(sums, index[0], cosine)
    return (cosine / np.sqrt(sums[index[0]] * sums[index[1]])).astype(np.float32)


def uneven(n_items):
    """Each item, and two drawn neighbours with drawn cosines: no two eigenvalues are equal."""
    rng = np.random.default_rng(0)
    targets = np.stack(
        [
            [i, *rng.choice(np.delete(np.arange(n_items), i), 2, replace=False)]
            for i in range(n_items)
        ]
    )
    cosine = np.stack([[1, *rng.uniform(0.3, 0.9, 2)] for _ in range(n_items)])
    return np.stack([np.repeat(np.arange(n_items), 3), targets.ravel()]), cosine.ravel()


def test_values_worked_out_by_hand_decode_to_their_cosines():
    values = np.array(
        [1 / 1.5, 0.5 / 1.5, 0.5 / 1.5, 1 / 1.5, 0.25 / np.sqrt(1.25 * 1.5), 1 / 1.25]
    )
    np.testing.assert_allclose(decode_graph(INDEX, values, 3), COSINE, rtol=1e-6)


def test_a_row_without_its_own_entry_gets_cosines_of_one():
    index, cosine = (
        np.array([[0, 0, 1, 1, 2, 2], [0, 1, 1, 0, 0, 1]]),
        np.array([1, 0.5, 1, 0.5, 1, 1]),
    )
    values = encode(index, cosine, 3)
    np.testing.assert_allclose(decode_graph(index, values, 3), cosine, rtol=1e-6)
    assert (decode_graph(index, values * [1, 1, 1, 1, 0.9, 0.9], 3)[4:] == 1).all()


def test_features_are_leading_eigenvectors_scaled_and_of_unit_norm():
    index, cosine = uneven(12)
    dense = np.zeros((12, 12))
    dense[index[0], index[1]] = cosine
    dense = np.maximum(dense, dense.T)
    scale = np.diag(dense.sum(1) ** -0.5)
    eigenvalues, vectors = np.linalg.eigh(scale @ dense @ scale)
    largest = np.sort(np.argsort(-np.abs(eigenvalues))[:5])
    expected = vectors[:, largest] * np.maximum(eigenvalues[largest], 0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = surrogate_features(index, cosine, 12, width=5)
    assert found.dtype == np.float16 and found.shape == (12, 5)
    x = found.astype(float)
    np.testing.assert_allclose(x @ x.T, expected @ expected.T, atol=3e-3)


def test_coordinates_of_negative_eigenvalues_are_zero():
    path = np.array(
        [[0, 1, 2, 3], [1, 2, 3, 4]]
    )  # without own edges its eigenvalues come in pairs, plus and minus
    found = surrogate_features(path, np.array([0.9, 0.5, 0.7, 0.3]), 5, width=4)
    assert (np.abs(found).max(axis=0) == 0).tolist() == [True, True, False, False]
    norms = np.linalg.norm(found.astype(float), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-3)


def test_a_published_graph_is_read_in_row_major_order(tmp_path):
    order = np.array([3, 0, 5, 1, 4, 2])
    values = encode(INDEX, COSINE, 3)
    tensor = torch.sparse_coo_tensor(
        torch.tensor(INDEX[:, order]), torch.tensor(values[order]), (3, 3), check_invariants=True
    )
    torch.save(tensor, tmp_path / "graph.pt")
    index, cosine = read_graph(tmp_path / "graph.pt", 3)
    assert index.dtype == np.int32 and cosine.dtype == np.float32
    np.testing.assert_array_equal(index, INDEX)
    np.testing.assert_allclose(cosine, COSINE, rtol=1e-6)


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


@pytest.mark.parametrize(
    "content, says",
    [
        (torch.zeros(3, 3), "it is not a sparse tensor"),
        (torch.eye(4).to_sparse(), "cosine graph of 3 items"),
        (-torch.eye(3).to_sparse(), "cosine graph of 3 items"),
        (Trap(), "it is not a sparse tensor"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path, content, says):
    torch.save(content, tmp_path / "graph.pt")
    with pytest.raises(DataError, match=f"graph.pt.*{says}"):
        read_graph(tmp_path / "graph.pt", 3)


@needs_real_data
@pytest.mark.parametrize(
    "name, modality", [("baby", "image"), ("baby", "text"), ("sports", "image")]
)
def test_real_cosines_survive_encoding_and_decoding(name, modality):
    with np.load(SHARED / name / "item_knn.npz") as arrays:
        index, cosine = arrays[f"{modality}_index"], arrays[f"{modality}_cosine"]
    n_items = int(index.max()) + 1
    values = encode(index, cosine.astype(float), n_items)
    np.testing.assert_allclose(decode_graph(index, values, n_items), cosine, atol=2e-6)


@needs_real_data
@pytest.mark.slow
def test_features_made_from_the_graph_of_baby_are_those_that_circulate():
    with np.load(SHARED / "baby" / "item_knn.npz") as arrays:
        found = surrogate_features(arrays["image_index"], arrays["image_cosine"], 7050).astype(
            np.float64
        )
    known = np.load(SHARED / "baby" / "image_feat.npy").astype(np.float64)
    signs = np.where((found * known).sum(axis=0) < 0, -1, 1)
    np.testing.assert_allclose(found * signs, known, rtol=2e-3, atol=1e-5)


# the files that are made


@pytest.fixture
def ring(tmp_path) -> tuple[Entry, Path]:
    """A dataset of forty items whose published image graph is a ring, and its folder."""
    items = np.arange(40)
    index = np.hstack([np.stack([items, (items + step) % 40]) for step in (0, 1, 2)])
    values = torch.tensor([1, 0.5, 0.3]).repeat_interleave(40) / 1.8
    graph = torch.sparse_coo_tensor(torch.tensor(index), values, (40, 40), check_invariants=True)
    torch.save(graph, tmp_path / "image.pt")
    pairs = np.stack([items % 5, items])
    for name, columns in {
        "train": slice(38),
        "valid": slice(38, 39),
        "test": slice(39, 40),
    }.items():
        np.save(tmp_path / f"{name}.npy", pairs[:, columns])
    files = [RemoteFile(f"{name}.npy", "interactions", "") for name in ("train", "valid", "test")]
    files.append(RemoteFile("image.pt", "graph", "", modality="image"))
    files.append(RemoteFile("image_feat.npy", "original", "", n_rows=40))
    return Entry("a ring", "free", 40, tuple(files)), tmp_path


def test_surrogates_are_made_labelled_and_kept(ring):
    entry, folder = ring
    get(entry, folder, features="surrogate", offline=True)
    make_surrogates(entry, folder, width=16)
    data = load(folder)
    assert data.features["image"].shape == (40, 16)
    cosines = np.sort(data.item_graphs["image"].cosine)
    assert len(cosines) == 120
    np.testing.assert_allclose(cosines[[0, 40, 80]], [0.3, 0.5, 1], rtol=1e-6)
    assert data.provenance == catalogue.SURROGATE_FEATURES
    before = (folder / "image_feat.npy").stat().st_mtime_ns
    make_surrogates(entry, folder, width=16)
    assert (folder / "image_feat.npy").stat().st_mtime_ns == before


def test_surrogates_are_not_taken_for_originals_nor_mixed_with_them(ring):
    entry, folder = ring
    make_surrogates(entry, folder, width=16)
    with pytest.raises(DataError, match="image_feat.npy: it is not the original but a surrogate"):
        get(entry, folder)
    np.save(folder / "image_feat.npy", np.ones((40, 16)))
    with pytest.raises(DataError, match="image_feat.npy: it is not a surrogate"):
        make_surrogates(entry, folder, width=16)
    assert load(folder).provenance == ""
