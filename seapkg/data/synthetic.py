"""The built-in dataset: drawn from known generic and unique factors, so that the truth is known."""

import numpy as np

from seapkg.data.dataset import Dataset
from seapkg.data.validate import fault

WIDTHS = {"image": 128, "text": 64}
N_FACTORS = 4
HIDDEN = 64
NOISE = 0.1
TASTE = 3.0
POPULARITY_SHAPE = (1.1, 5.0)
HISTORY_SHAPE = (6, 1.3, 0.9)
DECIMALS = 4
WORLD = 0x5EA


def synthetic(
    *, seed: int = 0, n_users: int = 1000, n_items: int = 600, shared: float = 0.5
) -> Dataset:
    """A small world whose factors are known.

    Each item has a generic factor, seen by every modality, and a unique one for each modality,
    all standard normal [n_items, 4]. A modality's features are a random two-layer tanh network of
    both, plus noise. What a user likes depends on all factors, how often an item is met on a
    long-tailed popularity. `shared`, from 0 to 1: the part of the variance of a modality, and of
    taste, that is generic. The same arguments give the same bits; the `factors` stay available.
    """
    _check(seed, n_users, n_items, shared)
    rng = np.random.default_rng(
        (WORLD, seed)
    )  # never the stream that someone else draws from `seed`
    factors = {part: rng.standard_normal((n_items, N_FACTORS)) for part in ("generic", *WIDTHS)}
    features = {
        name: _features(factors["generic"], factors[name], width, shared, rng)
        for name, width in WIDTHS.items()
    }
    appeal = _centred(TASTE * _taste(factors, n_users, shared, rng)) + _log_popularity(n_items, rng)
    histories = _histories(appeal, _history_lengths(n_users, n_items, rng), rng)
    return Dataset.from_arrays(
        **_split(histories),
        name="synthetic",
        n_users=n_users,
        n_items=n_items,
        features=features,
        factors=factors,
        provenance="synthetic",
        source="synthetic",
    )


def _check(seed: int, n_users: int, n_items: int, shared: float) -> None:
    if seed < 0 or n_users < 1 or n_items < 50 or not 0 <= shared <= 1:
        what = f"{seed=}, {n_users=}, {n_items=}, {shared=} is out of range"
        remedy = "Give seed >= 0, n_users >= 1, n_items >= 50 and shared from 0 to 1"
        raise fault("synthetic", what, remedy)


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
    """How much each user likes each item, variance about 1: [n_users, n_items]."""
    part = {"generic": shared} | {name: (1 - shared) / len(WIDTHS) for name in WIDTHS}
    return sum(
        np.sqrt(part[name] / N_FACTORS) * rng.standard_normal((n_users, N_FACTORS)) @ x.T
        for name, x in factors.items()
    )


def _centred(taste: np.ndarray) -> np.ndarray:
    """Taste less what it adds to an item's popularity, which is drawn apart: [n_users, n_items]."""
    return taste - np.log(np.exp(taste).mean(axis=0))


def _log_popularity(n_items: int, rng: np.random.Generator) -> np.ndarray:
    """A power law of the rank, in random order: [n_items]."""
    exponent, offset = POPULARITY_SHAPE
    return -exponent * np.log(rng.permutation(n_items) + offset)


def _history_lengths(n_users: int, n_items: int, rng: np.random.Generator) -> np.ndarray:
    """How many items each user meets, at least 6 and mostly few: [n_users]."""
    fewest, mean, deviation = HISTORY_SHAPE
    lengths = fewest + np.floor(rng.lognormal(mean, deviation, n_users)).astype(np.int64)
    return np.minimum(lengths, n_items // 5)


def _histories(
    appeal: np.ndarray, lengths: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Items of each user, drawn without replacement in proportion to exp(appeal) (Gumbel top-k)."""
    order = np.argsort(-(appeal + rng.gumbel(size=appeal.shape)), axis=1)
    return [rng.permutation(row[:length]) for row, length in zip(order, lengths, strict=True)]


def _split(histories: list[np.ndarray]) -> dict[str, np.ndarray]:
    """8:1:1 by user as in MMRec: with n < 10 pairs 1 valid and 1 test, else floor(0.2 n) held out."""
    splits = {"train": [], "valid": [], "test": []}
    for user, items in enumerate(histories):
        pairs = np.stack([np.full(len(items), user), items], axis=1)
        held_out = max(2, len(items) // 5)
        n_train = len(items) - held_out
        parts = np.split(pairs, [n_train, n_train + held_out // 2])
        for name, part in zip(splits, parts, strict=True):
            splits[name].append(part)
    return {name: np.concatenate(parts) for name, parts in splits.items()}
