"""CLUB: an upper bound on mutual information, and the fit of its conditional (SEA Eq. 14, 15).

q(y|x) is a Gaussian whose mean and log-variance are small networks of x. The bound is the mean
log-likelihood of matched pairs minus that of unmatched pairs. It is an upper bound if q is closer
to the joint distribution of the pairs than to the product of their marginals (Theorem 2). A q that
was fitted on other pairs need not be.

Models fit q with the fast form in `seapkg.kernels.club_fit`.
"""

import torch
from torch import Tensor, nn


class GaussianConditional(nn.Module):
    """q(y|x) = N(μ(x), diag e^ℓ(x)), μ and ℓ networks dim -> hidden -> dim with ReLU (SEA Eq. 15).

    ℓ ends in a tanh.

    The networks are stacked: index 0 is the mean, 1 the log-variance. The main loss does not train
    them; `ConditionalFit` does.

    Args:
        dim: width of x and y.
        hidden: width of the hidden layers.
    """

    def __init__(self, dim: int, hidden: int = 8) -> None:
        super().__init__()
        self.first_weight, self.first_bias = _two_layers(dim, hidden)
        self.second_weight, self.second_bias = _two_layers(hidden, dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean and the log-variance, [n, dim] each, for `x` [n, dim]."""
        hidden = torch.einsum("nd,khd->knh", x, self.first_weight) + self.first_bias[:, None]
        second_bias = self.second_bias[:, None]
        mean, spread = torch.baddbmm(second_bias, hidden.relu(), self.second_weight.mT)
        return mean, spread.tanh()


def negative_log_likelihood(q: GaussianConditional, x: Tensor, y: Tensor) -> Tensor:
    """The fit's loss: the mean of -ln q(y|x) without its constant. `x, y`: [n, dim]."""
    mean, log_variance = q(x)
    squares = (mean - y).square()
    return (squares * (-log_variance).exp() + log_variance).sum(dim=1).mean() / 2


def club_sampled(q: GaussianConditional, x: Tensor, y: Tensor, permutation: Tensor) -> Tensor:
    """Variational CLUB (SEA Eq. 15) with one unmatched partner y' per item.

    This is the mean of ln q(y|x) - ln q(y'|x), in which the log-variance itself cancels.

    Args:
        q: the conditional.
        x, y: [n, dim], matched by row.
        permutation: int64 [n]; y' is `y[permutation]`.

    Returns:
        The estimate in nats, a scalar.
    """
    mean, log_variance = q(x)
    gap = (mean - y[permutation]).square() - (mean - y).square()
    return (gap * (-log_variance).exp()).sum(dim=1).mean() / 2


def club_exact(q: GaussianConditional, x: Tensor, y: Tensor) -> Tensor:
    """Variational CLUB (SEA Eq. 15) with all n partners: the expectation of `club_sampled`.

    No pair is formed, as the mean over j of (μ - y_j)² is μ² - 2 μ mean(y) + mean(y²). Centred
    values keep precision.

    Args:
        q: the conditional.
        x, y: [n, dim], matched by row.

    Returns:
        The estimate in nats, a scalar.
    """
    mean, log_variance = q(x)
    centre = y.mean(dim=0)
    mean, y = mean - centre, y - centre
    gap = mean.square() + y.square().mean(dim=0) - (mean - y).square()
    return (gap * (-log_variance).exp()).sum(dim=1).mean() / 2


class ConditionalFit:
    """Maximum likelihood for q with Adam; the optimiser's moments last from one `fit` to the next.

    Args:
        q: the conditional to fit.
        learning_rate: Adam's.
    """

    def __init__(self, q: GaussianConditional, learning_rate: float) -> None:
        self.q = q
        self.optimiser = torch.optim.Adam(q.parameters(), lr=learning_rate)

    def fit(self, pairs: list[tuple[Tensor, Tensor]], steps: int) -> None:
        """Takes `steps` steps on the summed losses of `pairs`, each x and y of shape [n, dim]."""
        self.q.requires_grad_(True)
        for _ in range(steps):
            self.optimiser.zero_grad()
            losses = [negative_log_likelihood(self.q, x.detach(), y.detach()) for x, y in pairs]
            sum(losses).backward()
            self.optimiser.step()
        self.optimiser.zero_grad()
        self.q.requires_grad_(False)


def _two_layers(n_in, n_out):
    """Weights [2, n_out, n_in] and biases [2, n_out] of two linear layers, without a gradient."""
    layers = [nn.Linear(n_in, n_out).requires_grad_(False) for _ in range(2)]
    weight = torch.stack([layer.weight for layer in layers])
    bias = torch.stack([layer.bias for layer in layers])
    return nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
