"""The built-in dataset, drawn from known generic and unique factors."""

import numpy as np

from seapkg.data.dataset import SPLITS, Dataset
from seapkg.data.validate import fault

WIDTHS = {"image": 128, "text": 64}
N_FACTORS = 4
HIDDEN = 64
NOISE = 0.1
TASTE = 3.0
POPULARITY_EXPONENT, POPULARITY_OFFSET = 1.1, 5.0
FEWEST_ITEMS, LOG_MEAN, LOG_DEVIATION = 6, 1.3, 0.9  # of a user's history
DECIMALS = 4
WORLD = 0x5EA  # with the seed: draws independent of others from the same seed


def synthetic(
    *, seed: int = 0, n_users: int = 1000, n_items: int = 600, shared: float = 0.5
) -> Dataset:
    """A small dataset with known factors; the same arguments give the same bits.

    Each item has one generic factor, shared by all modalities, and one unique factor per modality,
    all standard normal [n_items, 4] and returned as `Dataset.factors`. A modality's features are
    a random two-layer tanh network of both, plus noise. A user's taste depends on all factors, an
    item's popularity has a long tail.

    Args:
        shared: the share of the generic factor in the variance of features and taste, from 0 to 1.
    """
    if seed < 0 or n_users < 1 or n_items < 50 or not 0 <= shared <= 1:
        what = f"{seed=}, {n_users=}, {n_items=}, {shared=} is out of range"
        remedy = "Give seed >= 0, n_users >= 1, n_items >= 50 and shared from 0 to 1"
        raise fault("synthetic", what, remedy)
    rng = np.random.default_rng((WORLD, seed))
    factors = {part: rng.standard_normal((n_items, N_FACTORS)) for part in ("generic", *WIDTHS)}
    features = {
        name: _features(factors["generic"], factors[name], width, shared, rng)
        for name, width in WIDTHS.items()
    }
    taste = TASTE * _taste(factors, n_users, shared, rng)
    taste -= np.log(np.exp(taste).mean(axis=0))  # all items are equally popular until the next line
    rank = rng.permutation(n_items)
    appeal = taste - POPULARITY_EXPONENT * np.log(rank + POPULARITY_OFFSET)
    return Dataset(  # not `from_arrays`, which warns of unpopular items
        "synthetic",
        n_users,
        n_items,
        **_histories(appeal, rng),
        features=features,
        factors=factors,
        provenance="synthetic",
        source="synthetic",
    )


def _features(
    generic: np.ndarray, unique: np.ndarray, width: int, shared: float, rng: np.random.Generator
) -> np.ndarray:
    """Nonlinear view of the factors, [n_items, width]; rounded, so that all machines agree."""
    seen = np.hstack([np.sqrt(shared) * generic, np.sqrt(1 - shared) * unique])
    inner = rng.standard_normal((seen.shape[1], HIDDEN)) / np.sqrt(N_FACTORS)
    outer = rng.standard_normal((HIDDEN, width)) / np.sqrt(HIDDEN)
    clean = np.tanh(np.tanh(seen @ inner) @ outer)
    noisy = clean + NOISE * rng.standard_normal(clean.shape)
    return np.round(noisy, DECIMALS).astype(np.float32)


def _taste(
    factors: dict[str, np.ndarray], n_users: int, shared: float, rng: np.random.Generator
) -> np.ndarray:
    """How much each user likes each item, with variance about 1: [n_users, n_items]."""
    part = {"generic": shared} | {name: (1 - shared) / len(WIDTHS) for name in WIDTHS}
    return sum(
        np.sqrt(part[name] / N_FACTORS) * rng.standard_normal((n_users, N_FACTORS)) @ x.T
        for name, x in factors.items()
    )


def _histories(appeal: np.ndarray, rng: np.random.Generator) -> dict[str, list]:
    """Each user's items, drawn without replacement in proportion to exp(appeal) (Gumbel top-k).

    They are split 8:1:1 as in MMRec: of fewer than 10, one is for valid and one for test, else a
    fifth is held out, rounded down.

    Args:
        appeal: [n_users, n_items].

    Returns:
        Split -> n pairs.
    """
    n_users, n_items = appeal.shape
    extra = np.floor(rng.lognormal(LOG_MEAN, LOG_DEVIATION, n_users)).astype(np.int64)
    lengths = np.minimum(FEWEST_ITEMS + extra, n_items // 5)
    order = np.argsort(-(appeal + rng.gumbel(size=appeal.shape)), axis=1)
    splits = {split: [] for split in SPLITS}
    for user, length in enumerate(lengths):
        items = rng.permutation(order[user, :length])
        held_out = max(2, length // 5)
        n_train = length - held_out
        parts = np.split(items, [n_train, n_train + held_out // 2])
        for split, part in zip(SPLITS, parts, strict=True):
            splits[split] += [(user, item) for item in part]
    return splits
