"""CLUB: an upper bound on the mutual information of two parts, and the fit of its conditional (SEA Eq. 14, 15).

`q(y|x)` is a Gaussian whose mean and log-variance are small networks of x. The bound is the mean log-likelihood of
matched pairs minus that of unmatched ones; it is an upper bound where `q` is nearer to the pairs' joint law than to the
product of their laws (Theorem 2), which nothing promises for a `q` fitted on other pairs.
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
            weight, bias = (
                torch.stack([getattr(layer, kind).detach() for layer in layers]) for kind in _KINDS
            )
            setattr(
                self, f"{name}_weight", nn.Parameter(weight, requires_grad=False)
            )  # [2, out, in]
            setattr(self, f"{name}_bias", nn.Parameter(bias, requires_grad=False))  # [2, out]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x`: [n, dim]. Returns the mean and the log-variance, [n, dim] each."""
        hidden = (
            torch.einsum("nd,khd->knh", x, self.first_weight) + self.first_bias[:, None]
        )  # [2, n, hidden]
        mean, log_variance = torch.baddbmm(
            self.second_bias[:, None], hidden.relu(), self.second_weight.mT
        )
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

    The gradient equals automatic differentiation of `negative_log_likelihood`, summed over the given pairs. While it
    is fitted, all of q stands in one vector, so that a step is eighteen operations, whatever the number of weights.
    """

    def __init__(self, q: GaussianConditional, learning_rate: float) -> None:
        self.q = q
        self.weights, self.gradient = _Layers(q), _Layers(q)
        self.weights.vector.grad = self.gradient.vector
        self.optimiser = torch.optim.Adam([self.weights.vector], lr=learning_rate, fused=True)

    @torch.no_grad()
    def fit(self, pairs: list[tuple[Tensor, Tensor]], steps: int) -> None:
        """`steps` Adam steps on the sum of the losses of `pairs`, each a tuple x, y of shape [n, dim], n the same."""
        self.weights.load_from(self.q)
        gradient = _LikelihoodGradient(self.weights, self.gradient, pairs)
        for _ in range(steps):
            gradient.compute()
            self.optimiser.step()
        self.weights.store_to(self.q)


class _Layers:
    """The weights of q in one vector, each bias as one more column of its weight, and three views of it.

    first: [2 hidden + 1, dim + 1], both networks' first layers; the row between them is (0, ..., 0, 1), and so hands
        the ones under x on to the second layers, as their bias's input. Its gradient is zero.
    mean: [dim, hidden + 1], bias last. log_variance: [dim, 1 + hidden], bias first.
    """

    def __init__(self, q: GaussianConditional) -> None:
        _, hidden, dim = q.first_weight.shape
        shapes = (2 * hidden + 1, dim + 1), (dim, hidden + 1), (dim, hidden + 1)
        sizes = [rows * columns for rows, columns in shapes]
        self.vector = q.first_weight.new_zeros(sum(sizes))
        self.first, self.mean, self.log_variance = (
            part.view(shape) for part, shape in zip(self.vector.split(sizes), shapes, strict=True)
        )
        upper, lower = self.first[:hidden], self.first[hidden + 1 :]
        self._homes = {
            "first_weight": (upper[:, :-1], lower[:, :-1]), "first_bias": (upper[:, -1], lower[:, -1]),
            "second_weight": (self.mean[:, :-1], self.log_variance[:, 1:]),
            "second_bias": (self.mean[:, -1], self.log_variance[:, 0]),
        }  # fmt: skip

    def load_from(self, q: GaussianConditional) -> None:
        """Copies the weights of q in."""
        for name, homes in self._homes.items():
            for home, own in zip(homes, getattr(q, name), strict=True):
                home.copy_(own)
        self.first[len(self.first) // 2, -1] = 1

    def store_to(self, q: GaussianConditional) -> None:
        """Copies the weights back into q."""
        for name, homes in self._homes.items():
            getattr(q, name).copy_(torch.stack(homes))


class _LikelihoodGradient:
    """The gradient of the summed negative log-likelihoods of pairs; buffers are made once and written over.

    All pairs stand side by side in columns, [dim, columns], which suits these flat products. Columns of `hidden` and
    `back` are the two hidden layers with the row of ones between them, as in `_Layers.first`.
    """

    def __init__(
        self, weights: _Layers, gradient: _Layers, pairs: list[tuple[Tensor, Tensor]]
    ) -> None:
        self.n = len(pairs[0][0])
        x, y = (torch.cat(side).detach() for side in zip(*pairs, strict=True))  # [columns, dim]
        columns, dim = y.shape
        half = len(weights.first) // 2
        self.weights, self.gradient = weights, gradient
        self.x = torch.cat([x, x.new_ones(columns, 1)], dim=1)  # [columns, dim + 1]
        self.x_columns = self.x.T.contiguous()
        self.y = y.T.contiguous()  # [dim, columns]
        self.hidden, self.back = (
            x.new_empty(2 * half + 1, columns),
            x.new_zeros(2 * half + 1, columns),
        )
        self.residual, self.sigmoid, self.to_mean = (x.new_empty(dim, columns) for _ in range(3))
        self.under_mean, self.under_log_variance = self.hidden[: half + 1], self.hidden[half:]
        self.back_mean, self.back_log_variance = self.back[:half], self.back[half + 1 :]

    def compute(self) -> None:
        """Writes the gradient into `gradient`.

        With r = μ - y, s = σ(2z), ℓ = tanh z = 2 s - 1 and p = e^-ℓ, n times the gradient at μ is r p, and n / 2 times
        that at z is s (1 - s) (1 - r² p); the factors come in with the products. σ is several times as fast as tanh.
        """
        w, g, (residual, sigmoid, to_mean) = (
            self.weights,
            self.gradient,
            (self.residual, self.sigmoid, self.to_mean),
        )
        torch.mm(w.first, self.x_columns, out=self.hidden).relu_()
        torch.addmm(self.y, w.mean, self.under_mean, beta=-1, out=residual)
        torch.addmm(
            sigmoid, w.log_variance, self.under_log_variance, beta=0, alpha=2, out=sigmoid
        ).sigmoid_()
        torch.sub(1, sigmoid, alpha=2, out=to_mean).exp_().mul_(residual)
        residual.mul_(to_mean)
        torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1, out=sigmoid)
        to_z = torch.addcmul(sigmoid, sigmoid, residual, value=-1, out=residual)

        one, two = {"beta": 0, "alpha": 1 / self.n}, {"beta": 0, "alpha": 2 / self.n}
        torch.addmm(g.mean, to_mean, self.under_mean.T, **one, out=g.mean)
        torch.addmm(g.log_variance, to_z, self.under_log_variance.T, **two, out=g.log_variance)
        torch.addmm(self.back_mean, w.mean[:, :-1].T, to_mean, **one, out=self.back_mean)
        torch.addmm(
            self.back_log_variance, w.log_variance[:, 1:].T, to_z, **two, out=self.back_log_variance
        )
        torch.ops.aten.threshold_backward(self.back, self.hidden, 0, grad_input=self.back)  # ReLU's
        torch.mm(self.back, self.x, out=g.first)
