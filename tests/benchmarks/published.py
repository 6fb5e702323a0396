"""SEA's released form at its published cost: the twin of the benchmarks, and an oracle.

It shares the parameters of a library model and computes the same loss in the published way:
the wide map of the features is formed; Solosim has its items x items matrix; each modality is
propagated by itself, edge by edge, with degrees counted anew; the bound draws its partners; CLUB's
fit takes 50 eager Adam steps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seapkg.models.sea import SEA
from seapkg.models.separate import ALL


class PublishedSEA:
    """`losses` and `fit_auxiliary` of a SEA (formulation "released", both modalities).

    Args:
        model: a library `SEA`, whose parameters are used and trained.
        dataset: what the model was built from; "image" and "text".

    Raises ValueError for an alignment or a distancing that was not published.
    """

    def __init__(self, model: SEA, dataset) -> None:
        if model.config.alignment not in ("solosim", "none") or model.config.distancing not in (
            "club",
            "none",
        ):
            raise ValueError(
                "the published code has Solosim and CLUB alone: variants b, c and d have no twin"
            )
        self.model, self.config, self.n_users = model, model.config, model.n_users
        users, items = torch.from_numpy(dataset.train.copy()).T
        device = model.graph.csr.values.device
        edges = torch.stack(
            [torch.cat([users, items + self.n_users]), torch.cat([items + self.n_users, users])]
        )
        self.edges = edges.to(device)
        self.n_nodes = dataset.n_users + dataset.n_items
        self.item_graph = model.item_graphs.graphs[0].matrix().to_sparse_coo()
        q = model.separation.conditionals[ALL] if ALL in model.separation.conditionals else None
        self.fit = None if q is None else EagerFit(q, self.config.club_learning_rate)
        self.views: dict[str, tuple[Tensor, Tensor]] = {}

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        wide = {
            name: self.model.encoders[name].wide(self._features(name)) for name in ("image", "text")
        }
        nodes = {name: self._propagated(name, x) for name, x in wide.items()}
        user_table = torch.cat(
            [
                self.model.user_weights[:, m : m + 1] * x[: self.n_users]
                for m, x in enumerate(nodes.values())
            ],
            dim=1,
        )
        items = torch.cat([x[self.n_users :] for x in nodes.values()], dim=1)
        item_table = items + torch.sparse.mm(self.item_graph, items)
        gaps = (user_table[users] * (item_table[positives] - item_table[negatives])).sum(dim=1)
        terms = {"bpr": -F.logsigmoid(gaps).mean() / math.log(2)}
        if self.config.aligns:
            image, text = (self._aligned(name, x) for name, x in wide.items())
            terms["alignment"] = self.config.alignment_weight * self._solosim(text, image)
        if self.fit is not None:
            bounds = [self._bound(name, x) for name, x in wide.items()]
            terms["distancing"] = self.config.distancing_weight / 2 * sum(bounds)
        return terms

    def fit_auxiliary(self) -> None:
        if self.fit is not None:
            (v1, v2), (t1, t2) = self.views["image"], self.views["text"]
            self.fit.fit([(t1, v1), (t2, v2)], self.config.club_steps)

    def _features(self, name: str) -> Tensor:
        return self.model.features[name]

    def _propagated(self, name: str, wide: Tensor) -> Tensor:
        encoder = self.model.encoders[name]
        content = encoder.second(F.leaky_relu(encoder.first(wide)))
        x = F.normalize(torch.cat([self.model.users[name], content]), dim=1)
        once = self._messages(x)
        return x + once + self._messages(once)

    def _messages(self, x: Tensor) -> Tensor:
        """Forms every edge's message [2 E, d] and adds it at its target."""
        sources, targets = self.edges
        degrees = torch.bincount(targets, minlength=self.n_nodes).to(x.dtype)
        scale = degrees.pow(-0.5)
        weights = scale[sources] * scale[targets]
        return torch.zeros_like(x).index_add(0, targets, x[sources] * weights[:, None])

    def _aligned(self, name: str, wide: Tensor) -> Tensor:
        head = self.model.separation.heads[name]
        return F.normalize(head(head.first(wide[:, : wide.shape[1] // 2])), dim=1)

    def _solosim(self, a: Tensor, b: Tensor) -> Tensor:
        likeness = torch.exp(a @ b.T / self.config.temperature)  # [I, I]
        return -torch.log(likeness.diagonal() / likeness.sum(dim=1)).mean()

    def _bound(self, name: str, wide: Tensor) -> Tensor:
        encoder, q = self.model.encoders[name], self.model.separation.conditionals[ALL]
        half = wide.shape[1] // 2
        generic, unique = encoder.to_generic(wide[:, :half]), encoder.to_unique(wide[:, half:])
        self.views[name] = generic.detach(), unique.detach()
        order = torch.randperm(len(unique), generator=self.model.generator, device=unique.device)
        mean, log_variance = q(generic)
        matched = -(mean - unique).square() / 2 / log_variance.exp()
        unmatched = -(mean - unique[order]).square() / 2 / log_variance.exp()
        return ((matched.sum(dim=1) - unmatched.sum(dim=1)).mean() / 2).clamp(min=0)


class EagerFit:
    """CLUB's fit with automatic differentiation and one Adam update per parameter."""

    def __init__(self, q, learning_rate: float) -> None:
        self.q = q
        self.parameters = {
            name: value.detach().clone().requires_grad_() for name, value in q.named_parameters()
        }
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=learning_rate)

    def fit(self, pairs: list[tuple[Tensor, Tensor]], steps: int) -> None:
        for _ in range(steps):
            self.optimiser.zero_grad()
            sum(self._loss(x, y) for x, y in pairs).backward()
            self.optimiser.step()
        with torch.no_grad():
            for name, value in self.q.named_parameters():
                value.copy_(self.parameters[name])

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        order = torch.randperm(
            len(x), device=x.device
        )  # of pairs: it changes nothing, and is published
        x, y = x[order], y[order]
        mean, log_variance = torch.func.functional_call(self.q, self.parameters, (x,))
        return ((mean - y).square() / log_variance.exp() + log_variance).sum(dim=1).mean() / 2
