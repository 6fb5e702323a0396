"""The built-in data: the same bits everywhere, factors that explain it, baby's long tail."""

import time

import numpy as np
import pytest

from seapkg.data.synthetic import N_FACTORS, synthetic
from seapkg.errors import DataError

FINGERPRINT = "63893c58a4a0717bda9062a6220d21304f1482af3113e7d971816002ac5cc24c"
BABY_GINI, BABY_TOP_TENTH = 0.557, 0.457  # item degrees in training
SMALL = {"n_users": 300, "n_items": 200}


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of counts [n], from 0 (all equal) to 1."""
    ranks = np.arange(1, len(counts) + 1)
    return 2 * (ranks @ np.sort(counts)) / (len(counts) * counts.sum()) - 1 - 1 / len(counts)


@pytest.fixture(scope="module")
def world():
    return synthetic()


def degrees(data, column=1):
    return np.bincount(data.train[:, column], minlength=(data.n_users, data.n_items)[column])


def explained(x: np.ndarray, *factors: np.ndarray) -> float:
    """Share of the variance of x that polynomials of the factors up to degree 3 explain."""
    z = np.hstack(factors)
    z = np.hstack([np.ones((len(z), 1)), z, z**2, z**3])
    residual = x - z @ np.linalg.lstsq(z, x, rcond=None)[0]
    return 1 - residual.var(axis=0).sum() / x.var(axis=0).sum()


def test_the_default_world_is_the_same_on_every_machine(world):
    assert world.fingerprint == FINGERPRINT


def test_the_default_world_has_the_documented_sizes(world):
    assert (world.n_users, world.n_items) == (1000, 600)
    assert {name: x.shape[1] for name, x in world.features.items()} == {"image": 128, "text": 64}
    assert (world.name, world.source, world.provenance) == ("synthetic", "synthetic", "synthetic")


def test_it_is_drawn_in_under_two_seconds():
    start = time.process_time()
    synthetic()
    assert time.process_time() - start < 2


def test_another_seed_is_another_world_of_the_same_shape(world):
    other = synthetic(seed=1)
    assert other.fingerprint != world.fingerprint
    assert (other.n_users, other.n_items, other.modalities) == (1000, 600, ("image", "text"))


def test_the_global_generator_is_neither_used_nor_changed():
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    first = synthetic(**SMALL).fingerprint
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(8)
    assert synthetic(**SMALL).fingerprint == first


def test_the_factors_are_not_what_anyone_draws_from_the_same_seed(world):
    drawn = np.random.default_rng(0).standard_normal((600, N_FACTORS))
    assert abs(np.corrcoef(drawn.ravel(), world.factors["generic"].ravel())[0, 1]) < 0.1


def test_each_user_is_split_by_the_rule_of_mmrec(world):
    train, valid, test = (
        np.bincount(pairs[:, 0], minlength=1000) for pairs in (world.train, world.valid, world.test)
    )
    n = train + valid + test
    held_out = np.where(n < 10, 2, n // 5)
    assert (valid == held_out // 2).all() and (test == held_out - held_out // 2).all()
    assert (n < 10).any() and (n > 20).any()


def test_every_user_has_at_least_four_training_items_and_about_nine_on_average(world):
    by_user = degrees(world, 0)
    assert by_user.min() >= 4
    assert 8 < by_user.mean() < 10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_popularity_is_as_long_tailed_as_babys(seed):
    counts = np.sort(degrees(synthetic(seed=seed)))
    assert gini(counts) == pytest.approx(BABY_GINI, rel=0.1)
    assert counts[-60:].sum() / counts.sum() == pytest.approx(BABY_TOP_TENTH, rel=0.1)


def test_few_items_are_never_met_in_training_which_is_no_warning(world, caplog):
    assert (degrees(world) == 0).sum() <= 6
    assert "7 of 600 items" in synthetic(seed=1).warnings[0]
    assert caplog.messages == []


def test_the_factors_are_kept_for_each_part(world):
    assert {name: z.shape for name, z in world.factors.items()} == {
        name: (600, N_FACTORS) for name in ("generic", "image", "text")
    }


def test_factors_are_independent_and_standard(world):
    z = np.hstack(list(world.factors.values()))
    np.testing.assert_allclose(np.cov(z.T), np.eye(3 * N_FACTORS), atol=0.2)


@pytest.mark.parametrize("name, other", [("image", "text"), ("text", "image")])
def test_features_show_the_generic_and_their_own_factors_but_not_the_others(name, other, world):
    x, z = world.features[name], world.factors
    assert explained(x, z["generic"], z[name]) > 0.6
    by_chance = explained(x, np.random.default_rng(99).standard_normal(z[other].shape))
    assert explained(x, z[other]) == pytest.approx(by_chance, abs=0.03)
    assert min(explained(x, z["generic"]), explained(x, z[name])) > by_chance + 0.15


def test_features_are_no_linear_map_of_the_factors(world):
    z = np.hstack([world.factors["generic"], world.factors["image"], np.ones((600, 1))])
    x = world.features["image"]
    residual = x - z @ np.linalg.lstsq(z, x, rcond=None)[0]
    assert residual.var() > 2 * 0.1**2  # noise alone leaves 0.01


@pytest.mark.parametrize("part", ["generic", "image", "text"])
def test_users_like_items_that_are_alike_in_each_factor(part, world):
    """Items of one user's training resemble each other more than items of different users."""
    z = world.factors[part][world.train[:, 1]]
    means = (
        np.stack([np.bincount(world.train[:, 0], weights=column) for column in z.T], 1)
        / degrees(world, 0)[:, None]
    )
    shuffled = np.random.default_rng(0).permutation(z)
    by_chance = np.stack(
        [np.bincount(world.train[:, 0], weights=column) for column in shuffled.T], 1
    )
    by_chance /= degrees(world, 0)[:, None]
    assert means.var(axis=0).sum() > 1.5 * by_chance.var(axis=0).sum()


def test_shared_moves_features_from_unique_to_generic_factors():
    little, much = synthetic(shared=0.1, **SMALL), synthetic(shared=0.9, **SMALL)
    for name in ("image", "text"):
        generic = [
            explained(data.features[name], data.factors["generic"]) for data in (little, much)
        ]
        unique = [explained(data.features[name], data.factors[name]) for data in (little, much)]
        assert generic[1] > generic[0] + 0.3 and unique[0] > unique[1] + 0.3


def test_sharing_nothing_and_sharing_all_are_worlds_too():
    assert synthetic(shared=0, **SMALL).fingerprint != synthetic(shared=1, **SMALL).fingerprint


def test_sizes_can_be_chosen():
    data = synthetic(n_users=50, n_items=80)
    assert (data.n_users, data.n_items, len(data.features["text"])) == (50, 80, 80)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_items": 20},
        {"n_users": 0},
        {"seed": -1},
        {"shared": 1.1},
        {"shared": -0.1},
        {"shared": float("nan")},
    ],
    ids=str,
)
def test_an_impossible_world_is_refused(wrong):
    with pytest.raises(DataError, match="synthetic: "):
        synthetic(**wrong)


def test_the_same_factors_predict_held_out_items_better_than_popularity_does(world):
    """Taste read off a user's training items, in the true factors, ranks the test items."""
    z = np.hstack([world.factors[part] for part in ("generic", "image", "text")])
    counts = degrees(world)
    profiles = np.zeros((1000, z.shape[1]))
    np.add.at(profiles, world.train[:, 0], z[world.train[:, 1]])
    by_taste = np.log(counts + 1) + profiles @ z.T / 12
    assert hits_at_20(world, by_taste) > 1.3 * hits_at_20(
        world, np.tile(np.log(counts + 1.0), (1000, 1))
    )


def hits_at_20(world, scores: np.ndarray) -> float:
    """Share of the test pairs among the 20 best items of their user, training items left out."""
    scores = scores.copy()
    scores[world.train[:, 0], world.train[:, 1]] = -np.inf
    ranks = (scores[world.test[:, 0]] > scores[world.test[:, 0], world.test[:, 1]][:, None]).sum(
        axis=1
    )
    return (ranks < 20).mean()
