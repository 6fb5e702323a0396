"""SEA once more, slow and obvious: the equations of both formulations one after another, edge by edge, float64.

Each twin reads the parameters of a library model, so that values and gradients can be compared.
"""

import numpy as np
import torch
from torch.nn import functional as F

from seapkg.models.separate import ALL


def to_float64(model):
    """The model in float64, the weights of its constant graphs at that precision (tests of graphs check them)."""
    model.double()
    model.graph.forward_values = torch.from_numpy(adjacency_values(model))
    neighbours = model.config.n_neighbours
    assert model.config.image_weight == 0.1 and len(model.modalities) == 2
    for graph in model.item_graphs.graphs.values():  # multiples of 1 / k, or of 0.1 / k where the shares are mixed in
        for name in ("forward_values", "backward_values"):
            setattr(graph, name, (getattr(graph, name) * 10 * neighbours).round() / (10 * neighbours))
    return model


def adjacency_values(model) -> np.ndarray:
    """1 / sqrt(d_u d_i) of the stored edges, from the graph's own degrees."""
    starts, columns = (getattr(model.graph, f"forward_{part}").numpy() for part in ("starts", "columns"))
    degrees = np.diff(starts)
    rows = np.arange(len(degrees)).repeat(degrees)
    return 1 / np.sqrt(degrees[rows].astype(np.float64) * degrees[columns])


def adjacency_product(dataset, x):
    """Â x, edge by edge (A7): each training pair sends both ways, scaled by 1 / sqrt(d_u d_i)."""
    users, items = dataset.train.T
    user_degrees, item_degrees = np.bincount(users), np.bincount(items, minlength=dataset.n_items)
    out = torch.zeros_like(x)
    for user, item in dataset.train.tolist():
        weight = 1 / np.sqrt(float(user_degrees[user] * item_degrees[item]))
        node = dataset.n_users + item
        out[user] = out[user] + weight * x[node]
        out[node] = out[node] + weight * x[user]
    return out


def neighbour_matrix(features, k):
    """The 0/1 matrix of the k best by cosine, self first, divided by k (A10)."""
    x = np.asarray(features, dtype=np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 2)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    matrix = np.zeros_like(cosines)
    np.put_along_axis(matrix, best, 1 / k, axis=1)
    return torch.from_numpy(matrix)


def linear(layer, x):
    out = x @ layer.weight.T
    return out if layer.bias is None else out + layer.bias


def batch_norm(layer, x):
    spread = ((x - x.mean(dim=0)) ** 2).mean(dim=0)
    return (x - x.mean(dim=0)) / (spread + 1e-5).sqrt() * layer.weight + layer.bias


def unit_rows(x):
    return x / (x**2).sum(dim=1, keepdim=True).sqrt()


def aligned_view(head, generic):
    """Linear, BN, ReLU, Linear, BN, ReLU, Linear, unit rows (A3)."""
    norm_1, _, second, norm_2, _, third = head.rest
    hidden = batch_norm(norm_1, linear(head.first, generic)).clamp(min=0)
    hidden = batch_norm(norm_2, linear(second, hidden)).clamp(min=0)
    return unit_rows(linear(third, hidden))


def encoder(module, x):
    hidden = linear(module.first, x)
    return linear(module.second, torch.where(hidden > 0, hidden, 0.01 * hidden))


def log_density(q, x, y):
    """ln q(y|x) without its constant, term by term: [n]."""
    hidden = [(x @ q.first_weight[k].T + q.first_bias[k]).clamp(min=0) for k in (0, 1)]
    mean, spread = (h @ q.second_weight[k].T + q.second_bias[k] for k, h in enumerate(hidden))
    log_variance = spread.tanh()
    return (-((mean - y) ** 2) / (2 * log_variance.exp()) - log_variance / 2).sum(dim=1)


def club_all_pairs(q, x, y):
    unmatched = [log_density(q, x, y.roll(shift, dims=0)).mean() for shift in range(len(y))]
    return log_density(q, x, y).mean() - sum(unmatched) / len(y)


def solosim(a, b, temperature):
    return F.cross_entropy(a @ b.T / temperature, torch.arange(len(a)))


class Twin:
    """What both formulations share: propagation, fusion, ranking."""

    def __init__(self, model, dataset):
        self.model, self.dataset, self.config = model, dataset, model.config
        self.features = {name: torch.from_numpy(x.astype(np.float64)) for name, x in dataset.features.items()}

    def propagated(self, name, content):
        """x + Âx + ÂÂx of the unit rows (A6, A7)."""
        x = unit_rows(torch.cat([self.model.users[name], content]))
        once = adjacency_product(self.dataset, x)
        return x + once + adjacency_product(self.dataset, once)

    def fused(self, nodes):
        """(A8), (A9)."""
        n_users = self.dataset.n_users
        users = [self.model.user_weights[:, [m]] * x[:n_users] for m, x in enumerate(nodes.values())]
        items = torch.cat([x[n_users:] for x in nodes.values()], dim=1)
        shares = zip(self.item_shares(), self.features.values(), strict=True)
        mix = sum(a * neighbour_matrix(x, self.config.n_neighbours) for a, x in shares)
        return torch.cat(users, dim=1), items + mix @ items

    def gaps(self, users, positives, negatives):
        user_table, item_table = self.embed()
        gained = item_table[positives] - item_table[negatives]
        return (user_table[users] * gained).sum(dim=1)

    def embed(self):
        return self.fused({name: self.propagated(name, self.content(name)) for name in self.features})


class Released(Twin):
    """The published code: a wide linear map V of the features, split in halves before the GNN (A1-A6)."""

    def wide(self, name):
        return linear(self.model.encoders[name].wide, self.features[name])

    def content(self, name):
        return encoder(self.model.encoders[name], self.wide(name))

    def item_shares(self):
        return 0.1, 0.9

    def views(self, name):
        """The aligned view and the two parts that distancing compares (A3, A4)."""
        module, head = self.model.encoders[name], self.model.separation.heads[name]
        half = self.features[name].shape[1] // 2
        generic, unique = self.wide(name)[:, :half], self.wide(name)[:, half:]
        return (aligned_view(head, generic), linear(module.to_generic, generic), linear(module.to_unique, unique))

    def losses(self, users, positives, negatives, generator):
        """L_bpr, α L_solo and λ/2 [c(v1, v2) + c(t1, t2)]; the generator gives image its order first."""
        image, v1, v2 = self.views("image")
        text, t1, t2 = self.views("text")
        orders = [torch.randperm(len(v1), generator=generator) for _ in range(2)]
        bounds = [self.bound(*parts, order) for parts, order in zip([(v1, v2), (t1, t2)], orders, strict=True)]
        gaps = self.gaps(users, positives, negatives)
        return {
            "bpr": -gaps.sigmoid().log2().mean(),
            "alignment": self.config.alignment_weight * solosim(text, image, self.config.temperature),
            "distancing": self.config.distancing_weight / 2 * sum(bounds),
        }

    def bound(self, x, y, order):
        """Half of the sampled estimate, cut off at 0 (A.5)."""
        q = self.model.separation.conditionals[ALL]
        estimate = (log_density(q, x, y) - log_density(q, x, y[order])).mean()
        return (estimate / 2).clamp(min=0)


class Paper(Twin):
    """The text: the GNN's item output split in halves, one q a modality, all terms added (A.2)."""

    def content(self, name):
        return encoder(self.model.encoders[name], self.features[name])

    def item_shares(self):
        return self.model.item_graphs.logits.softmax(dim=0)

    def parts(self, name):
        items = self.propagated(name, self.content(name))[self.dataset.n_users :]
        half = self.config.embed_dim // 2
        return items[:, :half], items[:, half:]

    def losses(self, users, positives, negatives, generator):
        separation, parts = self.model.separation, {name: self.parts(name) for name in self.features}
        image, text = (aligned_view(separation.heads[n], parts[n][0]) for n in ("image", "text"))
        bounds = [club_all_pairs(separation.conditionals[name], *parts[name]) for name in parts]
        gaps = self.gaps(users, positives, negatives)
        return {
            "bpr": -gaps.sigmoid().log().mean(),
            "alignment": self.config.alignment_weight * solosim(text, image, self.config.temperature),
            "distancing": self.config.distancing_weight * sum(bounds),
        }
