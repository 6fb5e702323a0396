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

    All pairs stand side by side in columns: x, y are [dim, columns], which suits these flat products.
    """

    def __init__(self, q: GaussianConditional, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.q, self.n = q, len(pairs[0][0])
        self.x = torch.cat([x for x, _ in pairs])  # [columns, dim]
        self.y = torch.cat([y for _, y in pairs]).T.contiguous()  # [dim, columns]
        self.x_columns = self.x.T.contiguous()
        hidden, (dim, columns) = q.first_weight.shape[1], self.y.shape
        self.hidden = self.x.new_empty(2 * hidden, columns)
        self.outputs = self.x.new_empty(2, dim, columns)
        self.precision = self.x.new_empty(dim, columns)
        self.doubled = self.x.new_tensor([1, 2]).view(2, 1, 1)
        for parameter in q.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def compute(self) -> None:
        """Leaves the gradient in `.grad` of each parameter of q."""
        q, (to_mean, to_variance) = self.q, self._output_gradients()
        hidden = self.hidden.view(2, -1, self.hidden.shape[1])
        back = torch.empty_like(hidden)
        for k, (gradient, scale) in enumerate(((to_mean, 1 / self.n), (to_variance, 0.5 / self.n))):
            torch.mm(gradient, hidden[k].T, out=q.second_weight.grad[k]).mul_(scale)
            torch.sum(gradient, dim=1, out=q.second_bias.grad[k]).mul_(scale)
            torch.mm(q.second_weight[k].T * scale, gradient, out=back[k])
        back.mul_(hidden > 0)
        torch.mm(back.flatten(0, 1), self.x, out=q.first_weight.grad.view(-1, self.x.shape[1]))
        torch.sum(back, dim=2, out=q.first_bias.grad)

    def _output_gradients(self) -> tuple[Tensor, Tensor]:
        """With r = μ - y, p = e^-ℓ: n times the gradient at μ, r p, and 2n times that at tanh's input."""
        q = self.q
        torch.addmm(q.first_bias.view(-1, 1), q.first_weight.flatten(0, 1), self.x_columns, out=self.hidden).relu_()
        hidden = self.hidden.view(2, -1, self.hidden.shape[1])
        weight, bias = q.second_weight * self.doubled, q.second_bias * self.doubled[:, 0]
        torch.baddbmm(bias[:, :, None], weight, hidden, out=self.outputs)
        residual = self.outputs[0].sub_(self.y)
        log_variance = self.outputs[1].sigmoid_().mul_(2).sub_(1)  # tanh z = 2 σ(2z) - 1, several times as fast
        to_mean = torch.neg(log_variance, out=self.precision).exp_().mul_(residual)
        to_variance = log_variance.square_().sub_(1).mul_(residual.mul_(to_mean).sub_(1))
        return to_mean, to_variance
