"""Measures of similarity against dense formulas, by hand, and at their two ends."""

import numpy as np
import pytest

from seapkg.analysis import similarity


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(similarity, "BLOCK", 7)


def test_cosines_by_hand():
    a, b = np.array([[2.0, 0], [0, 1]]), np.array([[3.0, 0], [4, 0]])
    # matched: 1, 0; unmatched: a0 b1 = 1, a1 b0 = 0
    assert similarity.cosines(a, b) == pytest.approx((0.5, 0.5))


def test_cosines_of_random_rows_equal_the_dense_ones():
    a, b = normal(30, 4), normal(30, 4, seed=1)
    dense = (a / np.linalg.norm(a, axis=1)[:, None]) @ (b / np.linalg.norm(b, axis=1)[:, None]).T
    apart = dense[~np.eye(30, dtype=bool)]
    assert similarity.cosines(a, b) == pytest.approx((dense.diagonal().mean(), apart.mean()))


def test_retrieval_finds_a_copy_and_misses_noise():
    a = normal(200, 8)
    assert similarity.retrieval(a, 3 * a, k=1) == 1
    assert similarity.retrieval(a, normal(200, 8, seed=1), k=10) == pytest.approx(
        10 / 200, abs=0.05
    )


def test_retrieval_counts_ranks_within_k():
    a = np.array([[1.0, 0], [1, 0.1], [1, 0.3], [0, 1]])
    b = a[[1, 0, 2, 3]]  # the first two are each other's nearest
    assert similarity.retrieval(a, b, k=1) == 0.5
    assert similarity.retrieval(a, b, k=2) == 1


def test_a_part_that_is_one_vector_retrieves_nothing():
    assert similarity.retrieval(normal(30, 3), np.ones((30, 3)), k=10) == 0


def dense_hsic(a, b):
    def kernel(x):
        squares = ((x[:, None] - x) ** 2).sum(axis=2)
        return np.exp(-squares / (2 * np.median(np.sqrt(squares[np.triu_indices(len(x), 1)])) ** 2))

    n = len(a)
    centre = np.eye(n) - 1 / n
    k, m = kernel(a), kernel(b)
    return np.trace(k @ centre @ m @ centre) / np.sqrt(
        np.trace(k @ centre @ k @ centre) * np.trace(m @ centre @ m @ centre)
    )


def test_hsic_in_blocks_is_the_trace_formula():
    a = normal(40, 3)
    b = a[:, :2] ** 2 + 0.3 * normal(40, 2, seed=1)
    assert similarity.normalised_hsic(a, b) == pytest.approx(dense_hsic(a, b), rel=1e-9)


def test_cka_is_one_for_a_rotation_and_small_for_noise():
    a = normal(2000, 5)
    rotation = np.linalg.qr(normal(5, 5, seed=1))[0]
    assert similarity.linear_cka(a, 4 * a @ rotation + 2) == pytest.approx(1)
    assert similarity.linear_cka(a, normal(2000, 3, seed=2)) < 0.01


def test_cka_by_its_kernels():
    a, b = normal(20, 3), normal(20, 4, seed=1) + normal(20, 3)[:, :1]
    k, m = ((x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T for x in (a, b))
    assert similarity.linear_cka(a, b) == pytest.approx(
        (k * m).sum() / np.sqrt((k**2).sum() * (m**2).sum())
    )


def test_hsic_sees_a_dependence_that_has_no_correlation():
    x = normal(600, 1)
    square = x**2 - 1
    assert similarity.linear_cka(x, square) < 0.02
    assert similarity.normalised_hsic(x, square) > 0.2
    assert similarity.normalised_hsic(x, normal(600, 1, seed=1)) < 0.02
    assert similarity.normalised_hsic(x, x) == pytest.approx(1)


def test_a_constant_part_is_similar_to_nothing():
    constant, other = np.full((30, 2), 0.1), normal(30, 2)
    for a, b in ((other, constant), (constant, other), (constant, 3 * constant)):
        assert similarity.linear_cka(a, b) == similarity.normalised_hsic(a, b) == 0


@pytest.mark.parametrize("measure", ["cosines", "retrieval", "linear_cka", "normalised_hsic"])
def test_different_items_are_refused(measure):
    with pytest.raises(ValueError):
        getattr(similarity, measure)(normal(4, 2), normal(5, 2))
