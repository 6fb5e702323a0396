"""The negative sampler against the rule it must follow, and its law."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from tiny import tiny

from seapkg.errors import DataError
from seapkg.training.negatives import NegativeSampler

NEGATIVES = ("train_items", "all_items", "never_held_out")


def sampler(dataset) -> NegativeSampler:
    return NegativeSampler(dataset, "train_items")


def trained_on(pairs, n_items) -> SimpleNamespace:
    return SimpleNamespace(train=np.array(pairs), n_items=n_items)


def draw(dataset, per_user=500, seed=0) -> dict[int, np.ndarray]:
    """Many negatives of each user."""
    users = torch.arange(dataset.n_users).repeat_interleave(per_user)
    users = users[torch.randperm(len(users), generator=torch.Generator().manual_seed(1))]
    negatives = sampler(dataset).draw(users, torch.Generator().manual_seed(seed))
    assert negatives.shape == users.shape and negatives.dtype == torch.int64
    return {user: negatives[users == user].numpy() for user in range(dataset.n_users)}


def positives_of(dataset, user: int, split="train") -> set[int]:
    return {item for owner, item in getattr(dataset, split).tolist() if owner == user}


def test_a_negative_is_never_a_training_positive_of_its_user():
    dataset = tiny()
    for user, negatives in draw(dataset).items():
        assert not set(negatives.tolist()) & positives_of(dataset, user)


def test_only_items_that_occur_in_training_are_drawn():
    dataset = tiny(n_items=40)
    drawn = set(np.concatenate(list(draw(dataset).values())).tolist())
    absent = set(range(40)) - set(dataset.train_items.tolist())
    assert absent and not drawn & absent


def test_held_out_items_of_the_user_can_be_drawn():
    dataset = tiny()
    drawn = draw(dataset)
    for split in ("valid", "test"):
        in_training = [
            (user, item)
            for user, item in getattr(dataset, split).tolist()
            if item in dataset.train_items
        ]
        assert in_training and all(item in drawn[user] for user, item in in_training)


def test_negatives_are_uniform_over_the_items_a_user_may_get():
    """Chi-square for each user, with a fixed seed. For another seed the smallest of 12 p-values
    falls below 1e-3 once in 80 times.
    """
    dataset = tiny()
    for user, negatives in draw(dataset, per_user=3000).items():
        allowed = set(dataset.train_items.tolist()) - positives_of(dataset, user)
        counts = np.bincount(negatives, minlength=dataset.n_items)[sorted(allowed)]
        assert counts.sum() == 3000 and stats.chisquare(counts).pvalue > 1e-3


def test_the_seed_decides_the_draw():
    dataset = tiny()
    first, again, other = (draw(dataset, seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_user_with_one_item_left_gets_it():
    data = trained_on([[0, item] for item in range(30)] + [[1, 30]], 31)
    negatives = sampler(data).draw(torch.zeros(50, dtype=torch.int64), torch.Generator())
    assert negatives.tolist() == [30] * 50


def test_a_user_with_every_training_item_is_an_error_that_names_the_user():
    with pytest.raises(DataError, match="user 1 "):
        sampler(trained_on([[0, 0], [1, 0], [1, 2], [2, 2]], 5))


def test_drawing_for_nobody_gives_nothing():
    nobody = torch.empty(0, dtype=torch.int64)
    assert len(sampler(tiny()).draw(nobody, torch.Generator())) == 0


def test_the_three_kinds_of_negatives_differ_in_what_they_draw_from_and_what_they_spare():
    dataset = tiny(n_items=40)
    users = torch.arange(12).repeat_interleave(2000)
    drawn = {}
    for kind in NEGATIVES:
        made = NegativeSampler(dataset, kind)
        items = made.draw(users, torch.Generator().manual_seed(0))
        drawn[kind] = {user: set(items[users == user].tolist()) for user in range(12)}
    for user in range(12):
        train, held_out = (
            positives_of(dataset, user),
            positives_of(dataset, user, "valid") | positives_of(dataset, user, "test"),
        )
        assert drawn["all_items"][user] == set(range(40)) - train
        assert drawn["train_items"][user] == set(dataset.train_items.tolist()) - train
        assert drawn["never_held_out"][user] == set(range(40)) - train - held_out


def test_data_with_a_single_training_item_is_an_error_that_blames_no_user():
    with pytest.raises(DataError, match="single item") as caught:
        sampler(trained_on([[0, 3], [1, 3], [2, 3]], 5))
    assert "remove the user" not in str(caught.value)


def test_a_user_without_training_pairs_is_no_obstacle():
    """User 2 has every item held out and none in training; nobody draws a negative for it."""
    data = SimpleNamespace(
        n_users=3,
        n_items=4,
        train=np.array([[0, 0], [1, 1]]),
        valid=np.array([[2, 0], [2, 1]]),
        test=np.array([[2, 2], [2, 3]]),
    )
    for kind in NEGATIVES:
        made = NegativeSampler(data, kind)
        drawn = made.draw(torch.tensor([0, 1] * 20), torch.Generator().manual_seed(0))
        assert (drawn != torch.tensor([0, 1] * 20)).all()
