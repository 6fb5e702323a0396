"""Popularity by hand."""

import torch
from tiny import tiny

from seapkg.data.dataset import Dataset
from seapkg.kernels.top_k import top_columns
from seapkg.models import build
from seapkg.models.popularity import PopularityConfig
from seapkg.training import TrainingConfig, fit

# Items 0 to 5 stand in 1, 3, 2, 0, 2, 1 training pairs.
TRAIN = [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 4), (2, 4), (1, 0), (2, 5)]


def popularity():
    dataset = Dataset.from_arrays(TRAIN, [(0, 3), (1, 3), (2, 3)], [(0, 5), (1, 5)], n_items=6)
    return build("popularity", dataset, PopularityConfig(), seed=0)


def test_items_are_ranked_by_training_pairs_and_ties_go_to_the_lowest_item():
    assert (
        top_columns(popularity().score(torch.tensor([0, 2])), 6).tolist()
        == [[1, 2, 4, 0, 5, 3]] * 2
    )


def test_valid_and_test_pairs_do_not_count():
    assert popularity().score(torch.tensor([0])).argmin().item() == 3


def test_ties_are_told_apart_among_a_hundred_thousand_items():
    pairs = [(0, 99_999), (0, 5), (1, 7), (1, 5)] + [(2, item) for item in range(100, 1100)]
    dataset = Dataset.from_arrays(pairs, [(0, 1)], [(0, 2)], n_items=100_000)
    scores = build("popularity", dataset, PopularityConfig(), seed=0).score(torch.tensor([0]))[0]
    assert len(scores.unique()) == 100_000
    assert scores.argsort(descending=True)[:4].tolist() == [5, 7, 100, 101]


def test_nothing_is_trained_whatever_the_number_of_epochs():
    dataset = tiny()
    model = build("popularity", dataset, PopularityConfig(), seed=0)
    fitted = fit(model, dataset, TrainingConfig(max_epochs=3), device="cpu", progress=False)
    assert (fitted.epochs, fitted.best_epoch, fitted.curves) == (0, -1, [])
    assert set(fitted.test) == {"recall@10", "recall@20", "ndcg@10", "ndcg@20"}
