"""Datasets and configurations small enough to check by brute force."""

import numpy as np

from seapkg.data.dataset import Dataset
from seapkg.models import find

WIDTHS = {"image": 7, "text": 5, "audio": 3}  # odd on purpose: halves are then unequal
SMALL = {
    "embed_dim": 8, "encoder_width": 6, "head_hidden": 5, "head_out": 4, "club_hidden": 3,
    "club_steps": 2, "n_neighbours": 3, "user_neighbours": 3, "item_neighbours": 3, "rank": 2,
    "projection_width": 5, "image_width": 6, "pretrain_epochs": 2, "hidden_width": 32,
}  # fmt: skip


def tiny(*modalities, n_users=12, n_items=16, seed=0, **optional) -> Dataset:
    """Random pairs, 4 train, 1 valid, 1 test a user; the last item is in the test set alone.

    `modalities`: those that get random features, of the widths above.
    """
    random = np.random.default_rng(seed)
    choices = np.array([random.permutation(n_items - 1)[:6] for _ in range(n_users)])
    choices[0, 5] = n_items - 1
    features = {name: random.normal(size=(n_items, WIDTHS[name])) for name in modalities}
    splits = (pairs_of(choices[:, columns]) for columns in (slice(4), slice(4, 5), slice(5, 6)))
    return Dataset.from_arrays(*splits, n_items=n_items, features=features, **optional)


def planted(n_groups=4, users_a_group=12, items_a_group=12, seed=0) -> Dataset:
    """Users who like one group of items each, and features that show the group through noise.

    Of their group's items each user has 6 in train, 3 in valid and 3 in test.
    """
    random = np.random.default_rng(seed)
    n_users, n_items = n_groups * users_a_group, n_groups * items_a_group
    groups = np.arange(n_items) // items_a_group
    choices = [
        random.permutation(items_a_group) + user // users_a_group * items_a_group
        for user in range(n_users)
    ]
    thirds = (
        pairs_of(np.array(choices)[:, columns]) for columns in (slice(6), slice(6, 9), slice(9, 12))
    )
    centres = {
        "image": random.normal(size=(n_groups, 12)),
        "text": random.normal(size=(n_groups, 8)),
    }
    features = {
        name: centre[groups] + random.normal(size=(n_items, centre.shape[1]))
        for name, centre in centres.items()
    }
    return Dataset.from_arrays(*thirds, features=features)


def pairs_of(choices: np.ndarray) -> np.ndarray:
    """The pairs [n, 2] of a table of items, one row a user."""
    users = np.arange(len(choices)).repeat(choices.shape[1])
    return np.column_stack([users, choices.ravel()])


def with_other_test(dataset: Dataset) -> Dataset:
    """The same dataset, but each user's test items are others."""
    known = {
        split: {tuple(pair) for pair in getattr(dataset, split).tolist()}
        for split in ("train", "valid", "test")
    }
    taken = set.union(*known.values())
    test = [
        next((user, item) for item in range(dataset.n_items) if (user, item) not in taken)
        for user in np.unique(dataset.test[:, 0]).tolist()
    ]
    return Dataset.from_arrays(
        dataset.train,
        dataset.valid,
        np.array(test),
        n_items=dataset.n_items,
        features=dict(dataset.features),
    )


def small(name: str, **options):
    """A model's configuration at the small sizes above, with `options`."""
    config_class = find(name).model.config_class
    known = {key: value for key, value in SMALL.items() if key in config_class.__dataclass_fields__}
    return config_class(**known | options)
