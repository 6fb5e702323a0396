"""ItemKNN against loops over pairs of items."""

from itertools import product

import numpy as np
import pytest
import torch
from tiny import pairs_of, tiny

from seapkg.data.dataset import Dataset, ItemGraph
from seapkg.errors import DataError, RequestError
from seapkg.graph import interactions
from seapkg.models import build, itemknn
from seapkg.models.itemknn import ItemKNNConfig
from seapkg.training import TrainingConfig, fit


def sparse_dataset(n_users: int, n_items: int, share: float, seed: int = 0) -> Dataset:
    """Random pairs; every third user and every fifth item have no training pair."""
    random = np.random.default_rng(seed)
    is_pair = random.random((n_users, n_items)) < share
    is_pair[::3], is_pair[:, ::5] = False, False
    is_pair[1, 1] = True
    held_out = pairs_of(np.zeros((n_users, 1), dtype=int)), pairs_of(np.full((n_users, 1), 5))
    return Dataset.from_arrays(np.argwhere(is_pair), *held_out, n_users=n_users, n_items=n_items)


DATASETS = {
    "tiny": tiny(),
    "wide": sparse_dataset(9, 40, 0.2),
    "tall": sparse_dataset(60, 11, 0.3),
    "one pair": sparse_dataset(7, 8, 0.0),
}
#: More neighbours than any item has.
MANY = {"tiny": 16, "wide": 40, "tall": 11, "one pair": 8}
SWITCHES = list(product([False, True], repeat=2))


def model_of(dataset: Dataset, **options):
    return build("itemknn", dataset, ItemKNNConfig(**options), seed=0)


def matrix_of(dataset: Dataset) -> np.ndarray:
    matrix = np.zeros((dataset.n_users, dataset.n_items))
    matrix[tuple(dataset.train.T)] = 1
    return matrix


def similarity(matrix: np.ndarray, one: int, other: int, shrinkage: float, by_user: bool) -> float:
    """The cosine with shrinkage, by a loop over the users."""
    common, lengths = 0.0, [0.0, 0.0]
    for row in matrix:
        weight = 1 / row.sum() if by_user and row.any() else 1.0
        common += weight * row[one] * row[other]
        lengths = [lengths[0] + weight * row[one], lengths[1] + weight * row[other]]
    return common / (np.sqrt(lengths[0] * lengths[1]) + shrinkage) if common else 0.0


def nearest(similarities: np.ndarray, k: int, by_item: bool) -> np.ndarray:
    """The k largest positive entries of each row off the diagonal, ties to the lowest column."""
    kept = np.zeros_like(similarities)
    for row, values in enumerate(similarities):
        others = [item for item in range(len(values)) if item != row and values[item] > 0]
        best = sorted(others, key=lambda item: (-round(values[item], 9), item))[:k]
        kept[row, best] = values[best] / (values[best].sum() if by_item else 1)
    return kept


@pytest.mark.parametrize(("by_user", "by_item"), SWITCHES)
@pytest.mark.parametrize("shrinkage", [0.0, 2.5])
@pytest.mark.parametrize("name", DATASETS)
def test_weights_and_scores_are_those_of_the_loops(name, shrinkage, by_user, by_item):
    dataset = DATASETS[name]
    matrix, n = matrix_of(dataset), dataset.n_items
    options = {"shrinkage": shrinkage, "normalise_users": by_user, "normalise_items": by_item}
    similarities = np.array(
        [[similarity(matrix, i, j, shrinkage, by_user) for j in range(n)] for i in range(n)]
    )
    for k in (1, 3, MANY[name]):
        model = model_of(dataset, n_neighbours=k, **options)
        weights = nearest(similarities, k, by_item)
        np.testing.assert_allclose(model.item_weights().to_dense(), weights, rtol=1e-6, atol=0)
        users = torch.arange(dataset.n_users).flip(0)
        np.testing.assert_allclose(model.score(users), matrix[users] @ weights, rtol=1e-5, atol=0)


def test_equal_similarities_go_to_the_lowest_items():
    everyone = [(user, item) for user in range(4) for item in range(6)]
    dataset = Dataset.from_arrays(everyone, [(0, 6)], [(1, 6)], n_items=7)
    weights = model_of(dataset, n_neighbours=2, shrinkage=0).item_weights().to_dense()
    assert [row.nonzero().flatten().tolist() for row in weights] == [
        *([1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1], [])
    ]


def test_similarities_that_differ_by_rounding_are_equal():
    rows, columns, values = np.zeros(3), np.arange(1, 4), np.array([0.3, 0.1 + 0.2, 0.3 - 1e-6])
    _, columns, values = itemknn.nearest_items(rows, columns, values, 1)
    assert columns.tolist() == [1] and values.tolist() == [0.3]


@pytest.mark.parametrize("entries", [1, 20, 60])
def test_blocks_of_any_size_give_the_same_similarities(monkeypatch, entries):
    dataset, options = DATASETS["wide"], {"n_neighbours": 5, "shrinkage": 1.0}
    whole = model_of(dataset, **options).item_weights()
    monkeypatch.setattr(interactions, "BLOCK_ENTRIES", entries)
    blocks = list(itemknn.cosines(dataset, ItemKNNConfig(**options)))
    assert len(blocks) > 1
    assert all(len(values) <= entries + 40 for _, _, values in blocks)
    assert torch.equal(whole.to_dense(), model_of(dataset, **options).item_weights().to_dense())


def test_a_user_and_an_item_without_training_pairs_score_zero():
    scores = model_of(DATASETS["tall"], n_neighbours=4).score(torch.arange(60))
    assert not scores[::3].any() and not scores[:, ::5].any() and scores.any()


def test_held_out_pairs_do_not_count():
    dataset = DATASETS["tiny"]
    other = Dataset.from_arrays(dataset.train, dataset.test, dataset.valid, n_items=16)
    weights = [model_of(data, n_neighbours=3).item_weights() for data in (dataset, other)]
    assert torch.equal(*(each.to_dense() for each in weights))


def test_nothing_is_trained_and_no_state_is_stored():
    model = model_of(DATASETS["tiny"], n_neighbours=3)
    fitted = fit(
        model, DATASETS["tiny"], TrainingConfig(max_epochs=3), device="cpu", progress=False
    )
    assert (fitted.epochs, fitted.best_epoch, dict(model.state_dict())) == (0, -1, {})


# Content


def cosines_of(dataset: Dataset, name: str) -> np.ndarray:
    x = dataset.features[name].astype(float)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


@pytest.mark.parametrize("by_item", [False, True])
@pytest.mark.parametrize("modalities", [("text",), ("image", "text"), ("image", "text", "audio")])
@pytest.mark.parametrize("k", [1, 4, 16])
def test_content_adds_the_cosines_of_each_modality_and_takes_the_best(modalities, k, by_item):
    dataset = tiny(*modalities)
    total = np.zeros((16, 16))
    for name in modalities:
        cosines = cosines_of(dataset, name)
        is_near = nearest(cosines + 2, k, False) > 0  # + 2: negative ones are near too
        total = total + np.where(is_near, cosines, 0)
    expected = nearest(total, k, by_item)
    model = model_of(dataset, content=True, n_neighbours=k, normalise_items=by_item)
    np.testing.assert_allclose(model.item_weights().to_dense(), expected, rtol=1e-4, atol=1e-6)
    users = torch.arange(12)
    scores = matrix_of(dataset) @ expected
    np.testing.assert_allclose(model.score(users), scores, rtol=1e-4, atol=1e-5)


def test_a_given_graph_takes_the_place_of_the_features():
    source = tiny("image", "text")
    index = np.array([[0, 0, 0, 1, 1, 5], [0, 3, 2, 1, 4, 6]])
    graph = ItemGraph(index, np.array([1, 0.5, 0.75, 1, 0.25, 0.5], dtype=np.float32))
    dataset = Dataset.from_arrays(
        *(source.train, source.valid, source.test),
        n_items=16,
        features={"image": source.features["image"]},
        item_graphs={"image": graph},
    )
    model = model_of(dataset, content=True, n_neighbours=2, normalise_items=False)
    expected = np.zeros((16, 16))
    expected[[0, 0, 1, 5], [2, 3, 4, 6]] = 0.75, 0.5, 0.25, 0.5
    assert np.array_equal(model.item_weights().to_dense(), expected)


# Requests that cannot be met


def test_content_needs_features_and_the_rest_does_not():
    with pytest.raises(DataError, match="content=true needs item features"):
        model_of(tiny(), content=True, n_neighbours=3)
    plain, rich = (model_of(tiny(*names), n_neighbours=3) for names in ((), ("image",)))
    assert torch.equal(plain.item_weights().to_dense(), rich.item_weights().to_dense())


def test_more_neighbours_than_items_are_refused():
    with pytest.raises(RequestError, match="at most the number of items, 16; it is 17"):
        model_of(tiny(), n_neighbours=17)
