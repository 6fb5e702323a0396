"""The core and the split: a slower twin, numbers by hand, and the real split."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from raw_shop import brute_core, met_pairs

from seapkg.prepare.split import k_core, random_split, split_counts

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("core", [3, 5, 6])
def test_the_core_is_what_is_left_by_taking_out_one_at_a_time(core, seed):
    pairs = list(set(met_pairs(25, 14, seed)))
    kept = k_core(pd.DataFrame(pairs, columns=["user", "item"]), core)
    assert set(kept.itertuples(index=False, name=None)) == brute_core(pairs, core)


def test_the_core_of_too_few_is_empty():
    assert k_core(pd.DataFrame({"user": range(4), "item": range(4)}), 2).empty


def test_split_counts_by_hand():
    numbers = [3, 5, 9, 10, 14, 15, 19, 20, 25, 100]
    assert split_counts(np.array(numbers)).tolist() == [
        [1, 1, 1],
        [3, 1, 1],
        [7, 1, 1],
        [8, 1, 1],
        [12, 1, 1],
        [12, 1, 2],
        [16, 1, 2],
        [16, 2, 2],
        [20, 2, 3],
        [80, 10, 10],
    ]


@pytest.mark.parametrize("name", ["baby", "sports"])
def test_the_rule_gives_every_user_of_the_real_split_as_many_pairs(name):
    if not (SHARED / name).is_dir():
        pytest.skip("the real data is not in ../shared/data")
    users = [np.load(SHARED / name / f"{split}.npy")[0] for split in ("train", "valid", "test")]
    n_users = max(each.max() for each in users) + 1
    real = np.stack([np.bincount(each, minlength=n_users) for each in users], axis=1)
    np.testing.assert_array_equal(split_counts(real.sum(axis=1)), real)


def test_each_user_is_split_by_the_rule_and_no_pair_is_lost():
    users, items = np.nonzero(np.random.default_rng(0).random((50, 60)) < 0.3)
    splits = random_split(users, items, seed=1)
    pairs = np.concatenate([splits[name].T for name in ("train", "valid", "test")])
    assert sorted(map(tuple, pairs.tolist())) == sorted(
        zip(users.tolist(), items.tolist(), strict=True)
    )
    counts = [np.bincount(splits[name][0], minlength=50) for name in ("train", "valid", "test")]
    np.testing.assert_array_equal(np.stack(counts, axis=1), split_counts(np.bincount(users)))


def test_who_is_held_out_is_left_to_chance():
    """Each of twelve items is in test for a twelfth of 2000 users, to five standard deviations."""
    users, items = np.repeat(np.arange(2000), 12), np.tile(np.arange(12), 2000)
    for split in ("valid", "test"):
        counts = np.bincount(random_split(users, items, 0)[split][1], minlength=12)
        assert np.abs(counts - 2000 / 12).max() < 5 * np.sqrt(2000 / 12 * 11 / 12)
