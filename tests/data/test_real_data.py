"""The real datasets agree with what is known about them; skipped if they are not at hand."""

import time
from pathlib import Path

import numpy as np
import pytest

from seapkg.data import load
from seapkg.data.altered import altered, original_and_change
from seapkg.data.catalogue import KNOWN

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "baby").is_dir(), reason="the real data is not in ../shared/data"
)

SIZES = {  # users, items, pairs of each split, widths, provenance
    "baby": (
        (19445, 7050),
        (118551, 20559, 21682),
        {"image": 384, "text": 384},
        "real interactions and graphs, surrogate features",
    ),
    "sports": (
        (35598, 18357),
        (218409, 37899, 40029),
        {"image": 384, "text": 384},
        "real interactions and graphs, surrogate features",
    ),
    "lfm2k": (
        (1858, 1425),
        (44327, 4799, 7219),
        {"text": 384, "audio": 512},
        "real interactions, text and audio features",
    ),
    "tiktok": (
        (9308, 6710),
        (59541, 3051, 6130),
        {"image": 128, "audio": 128},
        "real interactions, image and audio features",
    ),
}
POPULARITY = {"baby": (0.0295, 0.0495, 0.0161, 0.0212), "sports": (0.0180, 0.0287, 0.0103, 0.0131)}


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of counts [n], from 0 (all equal) to 1."""
    ranks = np.arange(1, len(counts) + 1)
    return 2 * (ranks @ np.sort(counts)) / (len(counts) * counts.sum()) - 1 - 1 / len(counts)


@pytest.fixture(scope="module")
def real():
    return {name: load(FOLDER / name) for name in SIZES}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_labels_are_as_published(name, real):
    data = real[name]
    sizes, pairs, widths, provenance = SIZES[name]
    assert (data.n_users, data.n_items) == sizes
    assert (len(data.train), len(data.valid), len(data.test)) == pairs
    assert {modality: x.shape[1] for modality, x in data.features.items()} == widths
    assert data.provenance == provenance


@pytest.mark.parametrize("name", POPULARITY)
def test_ranking_by_popularity_gives_the_known_recall_and_ndcg(name, real):
    found = popularity_metrics(real[name])
    np.testing.assert_allclose(found, POPULARITY[name], atol=5.1e-5)


@pytest.mark.parametrize("name", POPULARITY)
def test_given_graphs_have_ten_edges_an_item_with_sound_cosines(name, real):
    for graph in real[name].item_graphs.values():
        assert (np.bincount(graph.index[0], minlength=real[name].n_items) == 10).all()
        assert graph.cosine.max() <= 1 + 1e-5 and graph.cosine.min() > 0.2
    assert tuple(real[name].item_graphs) == ("image", "text")


def test_artists_have_their_names(real):
    assert real["lfm2k"].item_names[:3] == ("Groove Armada", "Faithless", "New Order")
    assert real["sports"].item_names is None and real["baby"].item_names is None


def test_tiktok_is_read_as_published_with_its_poor_users_and_items_named(caplog):
    data = load(FOLDER / "tiktok")
    assert (9308 - len(data.train_users), 6710 - len(data.train_items)) == (10, 465)
    assert len(caplog.messages) == 2
    assert "10 of 9308 users have no training pair" in caplog.text
    assert "465 of 6710 items have no training pair" in caplog.text


def test_three_items_of_baby_are_cold_with_seven_test_pairs(real):
    cold = np.setdiff1d(np.arange(7050), real["baby"].train_items)
    assert (len(cold), np.isin(real["baby"].test[:, 1], cold).sum()) == (3, 7)


def test_the_long_tail_of_baby_is_what_the_built_in_data_imitates(real):
    counts = np.sort(np.bincount(real["baby"].train[:, 1], minlength=7050))
    assert gini(counts) == pytest.approx(0.557, abs=5e-4)
    assert counts[-705:].sum() / counts.sum() == pytest.approx(0.457, abs=5e-4)


def test_sports_loads_in_about_a_second(real):
    start = time.process_time()
    load(FOLDER / "sports")
    assert time.process_time() - start < 2  # 0.5 s on a quiet machine


def test_other_features_under_the_name_of_baby_are_not_called_surrogates(tmp_path):
    folder = tmp_path / "baby"
    folder.mkdir()
    for name in ("train.npy", "valid.npy", "test.npy"):
        (folder / name).write_bytes((FOLDER / "baby" / name).read_bytes())
    np.save(folder / "image_feat.npy", np.ones((7050, 2)))
    assert load(folder).provenance == ""
    (folder / "text_feat.npy").write_bytes((FOLDER / "baby" / "text_feat.npy").read_bytes())
    assert load(folder).provenance == "surrogate features"


def popularity_metrics(data) -> list[float]:
    """Recall and NDCG at 10 and 20 of the most popular items, without training items."""
    order = np.argsort(-np.bincount(data.train[:, 1], minlength=data.n_items), kind="stable")
    seen, wanted = items_of(data.train, data.n_users), items_of(data.test, data.n_users)
    rows = []
    for user, relevant in enumerate(wanted):
        if relevant:
            shown = (item for item in order if item not in seen[user])
            hits = np.array([next(shown) in relevant for _ in range(20)])
            rows.append(
                [
                    recall(hits, relevant, 10),
                    recall(hits, relevant, 20),
                    ndcg(hits, relevant, 10),
                    ndcg(hits, relevant, 20),
                ]
            )
    return np.mean(rows, axis=0).tolist()


def items_of(pairs, n_users: int) -> list[set[int]]:
    sets = [set() for _ in range(n_users)]
    for user, item in pairs.tolist():
        sets[user].add(item)
    return sets


def recall(hits, relevant, k: int) -> float:
    return hits[:k].sum() / len(relevant)


def ndcg(hits, relevant, k: int) -> float:
    gains = 1 / np.log2(np.arange(2, k + 2))
    return (hits[:k] * gains).sum() / gains[: min(k, len(relevant))].sum()


@pytest.mark.parametrize("name", SIZES)
def test_what_is_known_of_absent_data_is_what_they_are(real, name):
    known, data = KNOWN[name], real[name]
    assert (known.fingerprint, known.provenance) == (data.fingerprint, data.provenance)
    sizes = data.n_users, data.n_items, data.n_interactions
    assert (known.n_users, known.n_items, known.n_interactions) == sizes


@pytest.mark.parametrize("name", sorted(set(KNOWN) - set(SIZES)))
def test_what_is_known_of_altered_copies_is_what_they_are(real, name):
    original, change = original_and_change(name)
    known, data = KNOWN[name], altered(real[original], change)
    assert (known.fingerprint, known.provenance) == (data.fingerprint, data.provenance)
    assert known.name == data.name
