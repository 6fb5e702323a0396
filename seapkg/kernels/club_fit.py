"""Fast form of `seapkg.club.ConditionalFit`: q in one vector, the gradient written by hand."""

import torch
from torch import Tensor

from seapkg.club import GaussianConditional


class ConditionalFit:
    """Maximum likelihood for q with Adam, in about twenty operations per step.

    Args:
        q: the conditional to fit.
        learning_rate: Adam's.
    """

    def __init__(self, q: GaussianConditional, learning_rate: float) -> None:
        self.q = q
        self.weights, self.gradient = _Layers(q), _Layers(q)
        self.weights.vector.grad = self.gradient.vector
        self.optimiser = torch.optim.Adam([self.weights.vector], lr=learning_rate, fused=True)

    @torch.no_grad()
    def fit(self, pairs: list[tuple[Tensor, Tensor]], steps: int) -> None:
        """Takes `steps` steps on the summed losses of `pairs`, x and y [n, dim] each, equal n."""
        x, y = (torch.cat(side) for side in zip(*pairs, strict=True))  # [n n_pairs, dim]
        x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
        x_columns, y_columns = x.T.contiguous(), y.T.contiguous()
        self.weights.load_from(self.q)
        for _ in range(steps):
            _write_gradient(self.weights, self.gradient, x, x_columns, y_columns, len(pairs[0][0]))
            self.optimiser.step()
        self.weights.store_to(self.q)


class _Layers:
    """The weights of q in one vector, and its views as three matrices that include the biases.

    first: [2 hidden + 1, dim + 1], the first layers of both networks, bias last. The row between
    them is (0, ..., 0, 1), so it supplies the ones that the second layers' biases multiply. Its
    gradient is zero.
    mean: [dim, hidden + 1], bias last.
    log_variance: [dim, 1 + hidden], bias first.
    """

    def __init__(self, q: GaussianConditional) -> None:
        _, self.hidden, dim = q.first_weight.shape
        size = (2 * self.hidden + 1) * (dim + 1)
        self.vector = q.first_weight.new_zeros(size + 2 * dim * (self.hidden + 1))
        self.first = self.vector[:size].view(-1, dim + 1)
        self.mean, self.log_variance = self.vector[size:].view(2, dim, -1)

    def load_from(self, q: GaussianConditional) -> None:
        """Copies the weights of q into the vector."""
        for weight, view in self._pairs(q):
            view.copy_(weight)
        self.first[self.hidden, -1] = 1

    def store_to(self, q: GaussianConditional) -> None:
        """Copies the vector back into q."""
        for weight, view in self._pairs(q):
            weight.copy_(view)

    def _pairs(self, q: GaussianConditional) -> list[tuple[Tensor, Tensor]]:
        """Each weight of q beside its view of the vector."""
        both = self.first.unfold(0, self.hidden, self.hidden + 1).mT  # [2, hidden, dim + 1]
        return [
            (q.first_weight, both[:, :, :-1]),
            (q.first_bias, both[:, :, -1]),
            (q.second_weight[0], self.mean[:, :-1]),
            (q.second_bias[0], self.mean[:, -1]),
            (q.second_weight[1], self.log_variance[:, 1:]),
            (q.second_bias[1], self.log_variance[:, 0]),
        ]


def _write_gradient(
    w: _Layers, gradient: _Layers, x: Tensor, x_columns: Tensor, y: Tensor, n: int
) -> None:
    """Writes the gradient of the summed negative log-likelihoods of pairs at the weights `w`.

    With r = μ - y, s = σ(2z), ℓ = tanh z = 2 s - 1 and p = e^-ℓ: n times the gradient at μ is r p,
    and n / 2 times the gradient at z is s (1 - s) (1 - r² p). The products below divide by
    these factors. σ is several times as fast as tanh.

    Args:
        w: the weights.
        gradient: written.
        x: [columns, dim + 1], the x of all pairs and a column of ones.
        x_columns: [dim + 1, columns], its transpose.
        y: [dim, columns].
        n: number of rows of one pair.
    """
    to_mean_scale, to_z_scale = {"beta": 0, "alpha": 1 / n}, {"beta": 0, "alpha": 2 / n}
    hidden = (w.first @ x_columns).relu_()  # mean network, row of ones, log-variance network
    mean_input, log_variance_input = hidden[: w.hidden + 1], hidden[w.hidden :]
    residual = torch.addmm(y, w.mean, mean_input, beta=-1)
    sigmoid = torch.addmm(y, w.log_variance, log_variance_input, beta=0, alpha=2).sigmoid_()
    to_mean = torch.sub(1, sigmoid, alpha=2).exp_().mul_(residual)  # r p
    residual.mul_(to_mean)  # r² p
    sigmoid.addcmul_(sigmoid, sigmoid, value=-1)  # s (1 - s)
    to_z = sigmoid.addcmul_(sigmoid, residual, value=-1)

    gradient.mean.addmm_(to_mean, mean_input.T, **to_mean_scale)
    gradient.log_variance.addmm_(to_z, log_variance_input.T, **to_z_scale)
    back = torch.zeros_like(hidden)
    back[: w.hidden].addmm_(w.mean[:, :-1].T, to_mean, **to_mean_scale)
    back[w.hidden + 1 :].addmm_(w.log_variance[:, 1:].T, to_z, **to_z_scale)
    back = torch.ops.aten.threshold_backward(back, hidden, 0)  # of the ReLU
    torch.mm(back, x, out=gradient.first)
