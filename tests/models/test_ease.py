"""EASE against dense NumPy, against ridge regressions, and its use of memory."""

import numpy as np
import pytest
import torch
from tiny import pairs_of, tiny

import seapkg
from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.models import build, ease
from seapkg.models.ease import EASEConfig
from seapkg.runs.recommend import restore
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


def matrix_of(dataset: Dataset) -> np.ndarray:
    matrix = np.zeros((dataset.n_users, dataset.n_items))
    matrix[tuple(dataset.train.T)] = 1
    return matrix


def model_of(dataset: Dataset, **options):
    return build("ease", dataset, EASEConfig(**options), seed=0)


@pytest.mark.parametrize("regularisation", [0.5, 20.0, 500.0])
@pytest.mark.parametrize("name", DATASETS)
def test_the_weights_and_scores_are_those_of_dense_numpy(name, regularisation):
    dataset = DATASETS[name]
    matrix = matrix_of(dataset)
    inverse = np.linalg.inv(matrix.T @ matrix + regularisation * np.eye(dataset.n_items))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    model = model_of(dataset, regularisation=regularisation)
    close = {"rtol": 1e-5, "atol": 1e-6 * max(abs(weights).max(), 1e-9)}
    np.testing.assert_allclose(model.item_weights().numpy(), weights, **close)
    users = torch.arange(dataset.n_users).flip(0)
    np.testing.assert_allclose(model.score(users), matrix[users] @ weights, **close)


def test_each_column_is_a_ridge_regression_on_the_other_items():
    dataset = DATASETS["tall"]
    matrix, weights = matrix_of(dataset), model_of(dataset, regularisation=3.0).item_weights()
    for item in range(dataset.n_items):
        others = np.delete(np.arange(dataset.n_items), item)
        x, y = matrix[:, others], matrix[:, item]
        ridge = np.linalg.solve(x.T @ x + 3 * np.eye(len(others)), x.T @ y)
        np.testing.assert_allclose(weights[others, item], ridge, rtol=1e-4, atol=1e-6)
        assert weights[item, item] == 0


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_of_items_count_the_same_common_users(monkeypatch, block):
    monkeypatch.setattr(ease, "BLOCK_ITEMS", block)
    matrix = matrix_of(DATASETS["wide"])
    assert np.array_equal(model_of(DATASETS["wide"])._gram(), matrix.T @ matrix)


def test_a_user_and_an_item_without_training_pairs_score_zero():
    scores = model_of(DATASETS["tall"]).score(torch.arange(60))
    assert not scores[::3].any() and not scores[:, ::5].any() and scores.any()


def test_the_weights_are_computed_once_in_the_memory_of_the_matrix(monkeypatch):
    model, places = model_of(DATASETS["tiny"]), []
    gram = model._gram

    def recorded():
        matrix = gram()
        places.append(matrix.data_ptr())
        return matrix

    monkeypatch.setattr(model, "_gram", recorded)
    model.scorer(), model.scorer()
    assert places == [model.item_weights().data_ptr()]


def test_held_out_pairs_do_not_count():
    dataset = DATASETS["tiny"]
    other = Dataset.from_arrays(dataset.train, dataset.test, dataset.valid, n_items=16)
    scores = [model_of(data).score(torch.arange(12)) for data in (dataset, other)]
    assert torch.equal(*scores)


def test_a_matrix_that_is_too_large_is_refused_before_any_work():
    with pytest.raises(RequestError, match=r"40 x 40 items, 6.4e-06 GB; option max_gigabytes"):
        model_of(DATASETS["wide"], max_gigabytes=6e-6)
    assert model_of(DATASETS["wide"], max_gigabytes=7e-6).weights is None


def test_nothing_is_trained_and_no_state_is_stored():
    model = model_of(DATASETS["tiny"])
    fitted = fit(
        model, DATASETS["tiny"], TrainingConfig(max_epochs=3), device="cpu", progress=False
    )
    assert (fitted.epochs, fitted.best_epoch, dict(model.state_dict())) == (0, -1, {})


@pytest.mark.parametrize("name", ["ease", "itemknn"])
def test_a_run_without_state_is_restored_and_recommends(name, tmp_path):
    dataset = DATASETS["tiny"]
    options = {"n_neighbours": 3} if name == "itemknn" else {}
    run = seapkg.train(name, dataset, store=tmp_path, progress=False, device="cpu", **options)
    model = restore(run, dataset)
    assert seapkg.evaluate(model, dataset, "test").mean == dict(run.test)
    best = run.recommend(3, k=1, data=dataset)
    scores = model.score(torch.tensor([3]))[0]
    scores[dataset.train[dataset.train[:, 0] == 3, 1]] = -torch.inf
    assert best["item"].tolist() == [scores.argmax().item()]
