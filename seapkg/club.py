"""CLUB: an upper bound on the mutual information of two parts, and the fit of its conditional (SEA Eq. 14, 15).

`q(y|x)` is a Gaussian whose mean and log-variance are small networks of x. The bound is the mean log-likelihood of
matched pairs minus that of unmatched ones; it holds only for a `q` that was fitted to the *same* pairs (Theorem 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_KINDS = ("weight", "bias")


class GaussianConditional(nn.Module):
    """q(y|x) = N(μ(x), diag e^ℓ(x)), each of μ, ℓ a network dim → hidden → dim with ReLU, ℓ ending in tanh (spec A.3).

    The two networks stand side by side: index 0 is the mean, 1 the log-variance. The main loss does not train them;
    `ConditionalFit` does.
    """

    def __init__(self, dim: int, hidden: int = 8) -> None:
        super().__init__()
        first = [nn.Linear(dim, hidden) for _ in range(2)]
        second = [nn.Linear(hidden, dim) for _ in range(2)]
        for name, layers in (("first", first), ("second", second)):
            weight, bias = (torch.stack([getattr(layer, kind).detach() for layer in layers]) for kind in _KINDS)
            setattr(self, f"{name}_weight", nn.Parameter(weight, requires_grad=False))  # [2, out, in]
            setattr(self, f"{name}_bias", nn.Parameter(bias, requires_grad=False))  # [2, out]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x`: [n, dim]. Returns the mean and the log-variance, [n, dim] each."""
        hidden = torch.einsum("nd,khd->knh", x, self.first_weight) + self.first_bias[:, None]  # [2, n, hidden]
        mean, log_variance = torch.baddbmm(self.second_bias[:, None], hidden.relu(), self.second_weight.mT)
        return mean, log_variance.tanh()


def negative_log_likelihood(q: GaussianConditional, x: Tensor, y: Tensor) -> Tensor:
    """The mean over pairs of -ln q(y|x), without the constant; what the fit minimises. `x, y`: [n, dim]."""
    mean, log_variance = q(x)
    return ((mean - y).square() * (-log_variance).exp() + log_variance).sum(dim=1).mean() / 2


def club_sampled(q: GaussianConditional, x: Tensor, y: Tensor, permutation: Tensor) -> Tensor:
    """The variational CLUB estimate (SEA Eq. 15) with one unmatched partner an item, y[permutation]. In nats."""
    mean, log_variance = q(x)
    gap = (mean - y[permutation]).square() - (mean - y).square()
    return (gap * (-log_variance).exp()).sum(dim=1).mean() / 2


def club_exact(q: GaussianConditional, x: Tensor, y: Tensor) -> Tensor:
    """The variational CLUB estimate with all partners: the expectation of `club_sampled`, at its price (spec E.2.5).

    The mean over j of (μ - y_j)² is μ² - 2 μ mean(y) + mean(y²), so no pair is formed; y is centred first, for
    precision. In nats.
    """
    mean, log_variance = q(x)
    centre = y.mean(dim=0)
    mean, y = mean - centre, y - centre
    gap = mean.square() + y.square().mean(dim=0) - (mean - y).square()
    return (gap * (-log_variance).exp()).sum(dim=1).mean() / 2


class ConditionalFit:
    """Fits a `GaussianConditional` by maximum likelihood with Adam, the gradient written out by hand.

    The gradient equals automatic differentiation of `negative_log_likelihood`, summed over the given pairs.
    """

    def __init__(self, q: GaussianConditional, learning_rate: float) -> None:
        self.q = q
        self.optimiser = torch.optim.Adam(q.parameters(), lr=learning_rate, fused=True)

    @torch.no_grad()
    def fit(self, pairs: list[tuple[Tensor, Tensor]], steps: int) -> None:
        """`steps` Adam steps on the sum of the losses of `pairs`, each a tuple x, y of shape [n, dim], n the same."""
        gradient = _LikelihoodGradient(self.q, pairs)
        for _ in range(steps):
            gradient.compute()
            self.optimiser.step()


class _LikelihoodGradient:
    """The gradient of the summed negative log-likelihoods, left in `.grad`; buffers are made once and written over.

    All pairs stand side by side in columns: x, y are [dim, columns], which suits these flat products. A row of ones
    under x and under the hidden layer makes each bias one more column of its weight.
    """

    def __init__(self, q: GaussianConditional, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.q, self.n = q, len(pairs[0][0])
        x, y = (torch.cat(side).detach() for side in zip(*pairs, strict=True))  # [columns, dim]
        hidden, (columns, dim) = q.first_weight.shape[1], y.shape
        self.x = torch.cat([x, x.new_ones(columns, 1)], dim=1)  # [columns, dim + 1]
        self.x_columns = self.x.T.contiguous()
        self.y = y.T.contiguous()  # [dim, columns]
        self.first = x.new_zeros(2, hidden + 1, dim + 1)
        self.first[:, -1, -1] = 1  # the row of ones passes through
        self.second = x.new_empty(2, dim, hidden + 1)
        self.hidden = x.new_empty(2, hidden + 1, columns)
        self.back = x.new_empty(2, hidden, columns)
        self.residual, self.sigmoid, self.to_mean = (x.new_empty(dim, columns) for _ in range(3))
        for parameter in q.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def compute(self) -> None:
        """Leaves the gradient in `.grad` of each parameter of q."""
        q = self.q
        self._output_gradients()
        for k, (gradient, scale) in enumerate(((self.to_mean, 1 / self.n), (self.residual, 2 / self.n))):
            both = torch.mm(self.hidden[k], gradient.T).mul_(scale)  # [hidden + 1, dim]
            q.second_weight.grad[k], q.second_bias.grad[k] = both[:-1].T, both[-1]
            torch.mm(q.second_weight[k].T * scale, gradient, out=self.back[k])
        torch.ops.aten.threshold_backward(self.back, self.hidden[:, :-1], 0, grad_input=self.back)  # ReLU's
        both = torch.mm(self.back.flatten(0, 1), self.x).view(2, -1, self.x.shape[1])  # [2, hidden, dim + 1]
        q.first_weight.grad.copy_(both[:, :, :-1])
        q.first_bias.grad.copy_(both[:, :, -1])

    def _output_gradients(self) -> None:
        """With r = μ - y, s = σ(2z), ℓ = tanh z = 2 s - 1, p = e^-ℓ: n times the gradient at μ, r p, is left in
        `to_mean`; n / 2 times that at z, s (1 - s) (1 - r² p), in `residual`. σ is several times as fast as tanh."""
        q, (residual, sigmoid, to_mean) = self.q, (self.residual, self.sigmoid, self.to_mean)
        self.first[:, :-1, :-1], self.first[:, :-1, -1] = q.first_weight, q.first_bias
        self.second[:, :, :-1], self.second[:, :, -1] = q.second_weight, q.second_bias
        self.second[1] *= 2
        torch.mm(self.first.flatten(0, 1), self.x_columns, out=self.hidden.flatten(0, 1)).relu_()
        torch.mm(self.second[0], self.hidden[0], out=residual).sub_(self.y)
        torch.mm(self.second[1], self.hidden[1], out=sigmoid).sigmoid_()
        torch.sub(1, sigmoid, alpha=2, out=to_mean).exp_().mul_(residual)
        residual.mul_(to_mean)
        torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1, out=sigmoid)
        torch.addcmul(sigmoid, sigmoid, residual, value=-1, out=residual)
