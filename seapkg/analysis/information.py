"""Known mutual information, and SEA's bounds of it (SEA Eq. 14-16, Theorem 2).

x and y are standard normal vectors of `dim` coordinates. Coordinate k of y has correlation ρ with
coordinate k of x and none with the others. Then I(x; y) = -dim/2 ln(1 - ρ²). The unit is the nat.
"""

import math

import torch
from torch import Tensor

from seapkg.club import GaussianConditional
from seapkg.kernels.club_fit import ConditionalFit

#: In the key of cached results; raise it if a change of this module changes them.
BOUNDS_VERSION = 1


def correlation(information: float, dim: int) -> float:
    """The ρ >= 0 at which x and y share `information` >= 0 nats."""
    return math.sqrt(-math.expm1(-2 * information / dim))


def true_club(information: float, dim: int) -> float:
    """CLUB with the true conditional (SEA Eq. 14): dim ρ² / (1 - ρ²), which is at least 2 I."""
    return dim * math.expm1(2 * information / dim)


def correlated(x: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """Draws y with correlation `rho` to x, coordinate by coordinate.

    Args:
        x: [n, dim], standard normal.
        rho: in [-1, 1].
        generator: the only source of randomness.

    Returns:
        y, [n, dim].
    """
    noise = torch.randn(x.shape, generator=generator)
    return rho * x + math.sqrt(1 - rho * rho) * noise


def info_nce_bound(x: Tensor, y: Tensor, rho: float) -> float:
    """InfoNCE with the best critic, ln p(y|x) / p(y): a lower bound in expectation.

    Args:
        x, y: [n, dim], matched by row. The other rows are negatives, so the bound is at most ln n.
        rho: their correlation.
    """
    variance = 1 - rho * rho
    distances = torch.cdist(rho * x, y).square()  # |y_j - ρ x_i|², [n, n]
    critic = (y.square().sum(dim=1) - distances / variance) / 2  # less a constant that cancels
    return float((critic.diagonal() - critic.logsumexp(dim=1)).mean()) + math.log(len(x))


def fitted_conditional(
    pairs: list[tuple[Tensor, Tensor]], hidden: int, steps: int, learning_rate: float, seed: int = 0
) -> GaussianConditional:
    """Fits SEA's q(y|x) (SEA Eq. 15) with full-batch Adam steps.

    Args:
        pairs: tuples (x, y), each [n, dim].
        hidden: the number of hidden units.
        steps: the number of steps.
        learning_rate: of Adam.
        seed: of the initial weights; the global generator is not changed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        q = GaussianConditional(pairs[0][0].shape[1], hidden)
    ConditionalFit(q, learning_rate).fit(pairs, steps)
    return q


@torch.no_grad()
def divergences(q: GaussianConditional, x: Tensor, y: Tensor, rho: float) -> tuple[float, float]:
    """The two divergences of Theorem 2, with q(x, y) = q(y|x) p(x).

    Variational CLUB is I(x; y) plus the second minus the first, so it is an upper bound exactly if
    the second is larger.

    Args:
        q: the fitted conditional.
        x, y: [n, dim], matched by row; the averages are taken over them.
        rho: their correlation.

    Returns:
        KL(p(x, y) || q) and KL(p(x) p(y) || q).
    """
    mean, log_variance = q(x)
    centre = y.mean(dim=0)
    matched = (mean - y).square()
    unmatched = (mean - centre).square() + (y - centre).square().mean(dim=0)  # over all partners
    true_variance = torch.tensor(1 - rho * rho)
    true_conditional = _log_normal((y - rho * x).square(), true_variance.log())
    marginal = _log_normal(y.square(), torch.zeros(()))
    joint = true_conditional - _log_normal(matched, log_variance)
    product = marginal - _log_normal(unmatched, log_variance)
    return joint, product


def _log_normal(squares: Tensor, log_variance: Tensor) -> float:
    """The mean log-density over rows.

    Args:
        squares: squared distances to the mean, [n, dim].
        log_variance: [n, dim], or a scalar.
    """
    terms = squares / log_variance.exp() + log_variance + math.log(2 * math.pi)
    return -float(terms.sum(dim=1).mean()) / 2
