"""The angle between two random vectors (SEA Theorem 1 and Corollary 1).

Let x, y be independent, isotropic unit vectors of n dimensions and θ = arccos⟨x, y⟩ in [0, π].
Everything here is about such vectors. Trained vectors are neither independent nor isotropic, and
the theorem does not apply to them; `effective_dimension` measures how far they are from it.

In every function the dimension `n` is a number >= 2 or an array of them, and angles are in
radians. A smaller `n` raises `RequestError`: a line has only the angles 0 and π.
"""

import numpy as np
from scipy.special import betainc, gammaln, polygamma

from seapkg.errors import RequestError


def angle_density(theta: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The density of the angle (SEA Eq. 1 = Eq. 24), Γ(n/2) / (√π Γ((n-1)/2)) sin^(n-2) θ.

    Args:
        theta: any shape, in [0, π].
        n: broadcasts with `theta`.
    """
    n = _checked_dimension(n)
    normaliser = np.exp(gammaln(n / 2) - gammaln((n - 1) / 2)) / np.sqrt(np.pi)
    return normaliser * np.sin(theta) ** (n - 2)


def angle_cdf(theta: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The probability of an angle up to `theta` (SEA Eq. 23); `theta` and `n` [n_angles].

    In closed form: sin²(θ/2) = (1 - cos θ)/2 has the distribution Beta((n-1)/2, (n-1)/2).
    """
    theta, n = np.clip(theta, 0.0, np.pi), _checked_dimension(n)
    return betainc((n - 1) / 2, (n - 1) / 2, np.sin(theta / 2) ** 2)


def angle_variance(n: np.ndarray) -> np.ndarray:
    """The exact variance of the angle (SEA Eq. 2 = Eq. 26), in radians²; `n` is [n_dims].

    ½ ψ₁(n/2) = Σ_r 2/(n+2r)² = 1/n + 1/n² + 2/(3n³) + …, with ψ₁ the trigamma function. The paper
    does not have the closed form; the tests compare it with the paper's integral.
    """
    return 0.5 * polygamma(1, _checked_dimension(n) / 2)


def simple_variances(n: np.ndarray) -> dict[str, np.ndarray]:
    """Simple approximations of `angle_variance` by name; `n` and each value are [n_dims].

    The paper has 1/(n-2) (Eq. 3 = Eq. 28) and, for large n, 1/n. Their relative errors are about
    1/n, of opposite sign; that of 1/(n-1) is only 1/(3n²). At n = 2 the form 1/(n-2) is infinite.
    """
    n = _checked_dimension(n)
    with np.errstate(divide="ignore"):
        return {"1/n": 1 / n, "1/(n-1)": 1 / (n - 1), "1/(n-2)": 1 / (n - 2)}


def cosine_variance(n: np.ndarray) -> np.ndarray:
    """The exact variance of cos θ, 1/n for every n [n_dims]; the mean of cos θ is 0."""
    return 1 / _checked_dimension(n)


def sample_angles(n: int, n_pairs: int, generator: np.random.Generator) -> np.ndarray:
    """Draws angles of independent pairs of isotropic vectors.

    Args:
        n: the dimension.
        n_pairs: the number of pairs.
        generator: the only source of randomness.

    Returns:
        Angles, float64 [n_pairs].
    """
    _checked_dimension(n)
    x, y = generator.standard_normal((2, n_pairs, n))  # normal: no preferred direction
    return angles_between(x, y)


def angles_between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The angles between the rows of `x` and of `y`, both [n_pairs, n]; returns [n_pairs].

    2 atan2(‖x̂-ŷ‖, ‖x̂+ŷ‖) is the arccos of the cosine, but also accurate near 0 and π.
    """
    x, y = _unit_rows(x), _unit_rows(y)
    return 2 * np.arctan2(np.linalg.norm(x - y, axis=1), np.linalg.norm(x + y, axis=1))


def effective_dimension(vectors: np.ndarray) -> float:
    """One over the mean cos² between distinct rows of `vectors`, [n_vectors, n], n_vectors >= 2.

    Isotropic vectors give n on average; a preferred direction or a decaying spectrum gives less.
    With M the second moment E[v̂ v̂ᵀ] of the unit rows, mean cos² estimates tr M² without bias.
    """
    unit = _unit_rows(vectors)
    n_vectors = len(unit)
    all_pairs = np.sum((unit.T @ unit) ** 2)  # Σ cos² over all pairs, rows with themselves too
    mean_square = (all_pairs - n_vectors) / (n_vectors * (n_vectors - 1))
    return float(1 / mean_square)


def _checked_dimension(n: np.ndarray) -> np.ndarray:
    n = np.asarray(n, dtype=float)
    wrong = ~((n >= 2) & np.isfinite(n))
    if np.any(wrong):
        raise RequestError(f"n is {n[wrong][0]:g}; the angle of random vectors needs n >= 2")
    return n


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=float)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if np.any(norms == 0):
        raise RequestError(f"row {np.argmin(norms)} is all zeros and has no direction; remove it")
    return vectors / norms
