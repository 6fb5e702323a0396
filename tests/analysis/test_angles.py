"""Theorem 1 and Corollary 1 against quadrature, series, simulation and tabulated numbers."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from seapkg.analysis import angles as theory
from seapkg.errors import RequestError

DIMENSIONS = [2, 3, 4, 5, 32, 64, 128, 1024]

# dimension: exact variance, 1/n, 1/(n-2), 1/(n-1), standard deviation in degrees
TABLE = {
    4: ("0.322467", "0.250000", "0.500000", "0.333333", "32.5"),
    32: ("0.0322469", "0.0312500", "0.0333333", "0.0322581", "10.3"),
    64: ("0.0158717", "0.0156250", "0.0161290", "0.0158730", "7.2"),
    128: ("0.00787385", "0.00781250", "0.00793651", "0.00787402", "5.1"),
}


def expectation(function, n):
    """Quadrature of function(θ) p_n(θ), split at the peak so that no large n can hide it."""

    def integrand(theta):
        return function(theta) * theory.angle_density(theta, n)

    width = 12 / np.sqrt(n)
    points = np.clip([0, np.pi / 2 - width, np.pi / 2, np.pi / 2 + width, np.pi], 0, np.pi)
    return sum(
        integrate.quad(integrand, low, high, epsabs=1e-14, epsrel=1e-12)[0]
        for low, high in pairwise(points)
    )


# Density


@pytest.mark.parametrize("n", DIMENSIONS)
def test_density_integrates_to_one(n):
    assert expectation(np.ones_like, n) == pytest.approx(1, rel=1e-10)


def test_density_by_hand():
    theta = np.array([0.3, 1.0, 2.5])
    np.testing.assert_allclose(theory.angle_density(theta, 2), np.full(3, 1 / np.pi))
    np.testing.assert_allclose(theory.angle_density(theta, 3), np.sin(theta) / 2)
    np.testing.assert_allclose(theory.angle_density(theta, 4), 2 / np.pi * np.sin(theta) ** 2)


def test_density_in_two_dimensions_is_uniform_up_to_the_ends():
    ends = theory.angle_density([0.0, np.pi], 2)
    np.testing.assert_allclose(ends, 1 / np.pi)


def test_density_stays_finite_in_very_many_dimensions():
    # Laplace: the peak is √((n-3/2)/2π) up to a relative error of order 1/n².
    n = 1_000_000
    assert theory.angle_density(np.pi / 2, n) == pytest.approx(
        np.sqrt((n - 1.5) / (2 * np.pi)), rel=1e-8
    )


# Distribution function


@pytest.mark.parametrize("n", [2, 3, 4, 33, 128])
@pytest.mark.parametrize("theta", [0.2, 1.4, np.pi / 2, 1.7, 3.0])
def test_cdf_is_the_integral_of_the_density(n, theta):
    integral, _ = integrate.quad(
        theory.angle_density, 0, theta, args=(n,), points=[theta / 2], epsabs=1e-13
    )
    assert theory.angle_cdf(theta, n) == pytest.approx(integral, rel=1e-9, abs=1e-12)


def test_cdf_runs_from_zero_to_one_and_stays_there():
    values = theory.angle_cdf([-1.0, 0.0, np.pi / 2, np.pi, 4.0], 64)
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1], atol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 4, 32, 128])
def test_simulated_angles_follow_the_cdf(n):
    """The largest gap exceeds ε with probability at most 2 exp(-2 N ε²) (Dvoretzky-Kiefer-
    Wolfowitz); ε is set where that is one in a million. Half and twice the dimension must be
    refused, by a gap twice as large."""
    n_pairs = 20_000
    allowed = np.sqrt(np.log(2 / 1e-6) / (2 * n_pairs))  # 0.019
    angles = theory.sample_angles(n, n_pairs, np.random.default_rng(11))
    assert stats.kstest(angles, theory.angle_cdf, args=(n,)).statistic < allowed
    for wrong in {2 * n, max(n // 2, 2)} - {n}:
        gap = stats.kstest(angles, theory.angle_cdf, args=(wrong,)).statistic
        assert gap > 2 * allowed


# Mode, mean and variance


@pytest.mark.parametrize("n", [3, 4, 64])
def test_mode_is_where_the_density_peaks(n):
    theta = np.linspace(0, np.pi, 2001)
    assert theta[np.argmax(theory.angle_density(theta, n))] == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("n", DIMENSIONS)
def test_mean_is_a_right_angle(n):
    assert expectation(lambda theta: theta, n) == pytest.approx(np.pi / 2, rel=1e-10)


@pytest.mark.parametrize("n", DIMENSIONS)
def test_variance_is_the_integral_of_the_corollary(n):
    integral = expectation(lambda theta: (theta - np.pi / 2) ** 2, n)
    assert theory.angle_variance(n) == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize("n", DIMENSIONS)
def test_variance_is_the_sum_of_inverse_squares(n):
    # The tail after R terms is 1/(n+2R-1) up to a relative error below 1/R².
    terms = 100_000
    tail = 1 / (n + 2 * terms - 1)
    total = np.sum(2 / (n + 2 * np.arange(terms)) ** 2) + tail
    assert theory.angle_variance(n) == pytest.approx(total, rel=1e-10)


def test_variance_by_hand():
    assert theory.angle_variance(2) == pytest.approx(np.pi**2 / 12)  # uniform on [0, π]
    assert theory.angle_variance(3) == pytest.approx(np.pi**2 / 4 - 2)


@pytest.mark.parametrize("n", TABLE)
def test_table_is_reproduced_to_its_digits(n):
    simple = theory.simple_variances(n)
    values = [
        theory.angle_variance(n),
        simple["1/n"],
        simple["1/(n-2)"],
        simple["1/(n-1)"],
        np.degrees(np.sqrt(theory.angle_variance(n))),
    ]
    written = [
        f"{value:.{len(digits.split('.')[1])}f}"
        for value, digits in zip(values, TABLE[n], strict=True)
    ]
    assert written == list(TABLE[n])


def test_one_over_n_minus_one_is_the_best_simple_form():
    for n in range(3, 2000):
        errors = {
            form: abs(value - theory.angle_variance(n))
            for form, value in theory.simple_variances(n).items()
        }
        assert min(errors, key=errors.get) == "1/(n-1)"


def test_errors_of_the_simple_forms_have_the_stated_size_and_sign():
    # The next term of each series is smaller by a factor of order 1/n: 3/n is room enough.
    n = 1000
    exact = theory.angle_variance(n)
    errors = {form: value / exact - 1 for form, value in theory.simple_variances(n).items()}
    expected = {"1/n": -1 / n, "1/(n-1)": 1 / (3 * n**2), "1/(n-2)": 1 / n}
    assert errors == {form: pytest.approx(value, rel=3 / n) for form, value in expected.items()}


def test_laplace_form_is_infinite_in_two_dimensions():
    assert theory.simple_variances(2)["1/(n-2)"] == np.inf


@pytest.mark.parametrize("n", DIMENSIONS)
def test_variance_of_the_cosine_is_one_over_n(n):
    assert theory.cosine_variance(n) == 1 / n
    assert expectation(lambda theta: np.cos(theta) ** 2, n) == pytest.approx(1 / n, rel=1e-9)


@pytest.mark.parametrize("n", [2, 4, 64])
def test_simulated_variances_agree_with_the_exact_ones(n):
    n_pairs = 50_000
    angles = theory.sample_angles(n, n_pairs, np.random.default_rng(3))
    for squares, exact in [
        ((angles - np.pi / 2) ** 2, theory.angle_variance(n)),
        (np.cos(angles) ** 2, theory.cosine_variance(n)),
    ]:
        five_standard_errors = 5 * squares.std() / np.sqrt(n_pairs)
        assert abs(squares.mean() - exact) < five_standard_errors


def test_dimensions_may_be_an_array():
    n = np.array([4, 32])
    np.testing.assert_array_equal(
        theory.angle_variance(n), [theory.angle_variance(4), theory.angle_variance(32)]
    )


# Sampling and measuring


def test_the_generator_alone_decides_the_draw():
    first, again = (theory.sample_angles(5, 10, np.random.default_rng(11)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (10,) and first.dtype == np.float64


def test_angles_between_by_hand():
    x = np.array([[1.0, 0], [2, 0], [3, 0], [1, 0]])
    y = np.array([[0, 5.0], [1, 1], [-1, 0], [4, 0]])
    expected = [np.pi / 2, np.pi / 4, np.pi, 0]
    np.testing.assert_allclose(theory.angles_between(x, y), expected, atol=1e-15)


def test_tiny_angles_keep_their_digits():
    angle = theory.angles_between(np.array([[1.0, 0]]), np.array([[1.0, 1e-9]]))
    np.testing.assert_allclose(angle, [1e-9], rtol=1e-6)  # arccos would answer 0


def test_effective_dimension_is_one_over_the_mean_square_cosine_of_distinct_rows():
    vectors = np.random.default_rng(2).normal(size=(7, 4)) * [3, 2, 1, 1]
    squares = [
        np.cos(theory.angles_between(vectors[[i]], vectors[[j]])[0]) ** 2
        for i in range(7)
        for j in range(7)
        if i != j
    ]
    assert theory.effective_dimension(vectors) == pytest.approx(1 / np.mean(squares))


def test_effective_dimension_of_isotropic_vectors_is_the_dimension():
    # 2000 vectors make 2 million pairs; the estimate moves by about 0.1 % between draws.
    vectors = np.random.default_rng(4).normal(size=(2000, 16))
    assert theory.effective_dimension(vectors) == pytest.approx(16, rel=0.01)


def test_effective_dimension_at_its_two_ends():
    assert theory.effective_dimension(np.outer([1, -2, 3], [1, 1, 0])) == pytest.approx(1)
    with np.errstate(divide="ignore"):
        assert theory.effective_dimension(np.eye(3)) == np.inf


# Requests that make no sense


@pytest.mark.parametrize("n", [1, 0, -3, 1.9, np.nan, np.inf])
@pytest.mark.parametrize(
    "function",
    [
        lambda n: theory.angle_density(1.0, n),
        lambda n: theory.angle_cdf(1.0, n),
        theory.angle_variance,
        theory.simple_variances,
        theory.cosine_variance,
    ],
)
def test_fewer_than_two_dimensions_are_refused(function, n):
    with pytest.raises(RequestError, match="n >= 2"):
        function(n)


def test_sampling_refuses_one_dimension():
    with pytest.raises(RequestError, match="n >= 2"):
        theory.sample_angles(1, 10, np.random.default_rng(0))


def test_a_zero_vector_has_no_angle():
    with pytest.raises(RequestError, match="row 1"):
        theory.angles_between(np.array([[1.0, 0], [0, 0]]), np.ones((2, 2)))
