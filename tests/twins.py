"""SEA in float64, slow and plain: the equations of both formulations, edge by edge.

The twin reads the parameters of a library model, so that values and gradients can be compared.
"""

from itertools import combinations

import numpy as np
import torch
from torch.nn import functional as F

from seapkg.models.separate import ALL


def to_float64(model):
    """The model and its constant graphs in float64 (tests of graphs check their weights)."""
    model.double()
    model.graph.csr.values = torch.from_numpy(adjacency_values(model))
    steps = 30 * model.config.n_neighbours  # weights are multiples of 1 / k, .1 / k or 1 / 3k
    for graph in model.item_graphs.graphs:
        for part in (graph.csr, graph.transpose):
            part.values = (part.values * steps).round() / steps
    return model


def adjacency_values(model) -> np.ndarray:
    """1 / sqrt(d_u d_i) of the stored edges, from the graph's own degrees."""
    starts, columns = model.graph.csr.starts.numpy(), model.graph.csr.columns.numpy()
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
    """SEA as its configuration says."""

    def __init__(self, model, dataset):
        self.model, self.dataset, self.config = model, dataset, model.config
        self.features = {
            name: torch.from_numpy(x.astype(np.float64)) for name, x in dataset.features.items()
        }

    # (A6) to (A9)

    def embed(self):
        nodes = {name: self.propagated(name) for name in self.features}
        n_users = self.dataset.n_users
        users = [
            self.model.user_weights[:, [m]] * x[:n_users] for m, x in enumerate(nodes.values())
        ]
        items = torch.cat([x[n_users:] for x in nodes.values()], dim=1)
        neighbours, mix = items, self.item_mix()
        for _ in range(self.config.n_item_layers):
            neighbours = mix @ neighbours
        return torch.cat(users, dim=1), items + neighbours

    def propagated(self, name):
        """x + Âx + ÂÂx + ... of the unit rows."""
        wide = self.config.split == "before_gnn"
        content = encoder(
            self.model.encoders[name], self.wide(name) if wide else self.features[name]
        )
        layer = total = unit_rows(torch.cat([self.model.users[name], content]))
        for _ in range(self.config.n_layers):
            layer = adjacency_product(self.dataset, layer)
            total = total + layer
        return total

    def item_mix(self):
        graphs = [neighbour_matrix(x, self.config.n_neighbours) for x in self.features.values()]
        if self.config.graph_weights == "learned":
            shares = self.model.item_graphs.logits.softmax(dim=0)
        else:
            shares = (
                (0.1, 0.9)
                if list(self.features) == ["image", "text"]
                else [1 / len(graphs)] * len(graphs)
            )
        return sum(share * graph for share, graph in zip(shares, graphs, strict=True))

    # Parts

    def wide(self, name):
        return linear(self.model.encoders[name].wide, self.features[name])

    def halves(self, name):
        """Of the wide map of the features, before the GNN, or of the items' rows after it."""
        if self.config.split == "before_gnn":
            x, half = self.wide(name), self.features[name].shape[1] // 2
        else:
            x, half = self.propagated(name)[self.dataset.n_users :], self.config.embed_dim // 2
        return x[:, :half], x[:, half:]

    def parts(self, name):
        generic, unique = self.halves(name)
        if self.config.split == "before_gnn":
            module = self.model.encoders[name]
            return linear(module.to_generic, generic), linear(module.to_unique, unique)
        return generic, unique

    # Losses; the generator gives an order of the items for each modality in turn

    def losses(self, users, positives, negatives, generator):
        terms = {"bpr": self.bpr(users, positives, negatives)}
        if self.config.alignment != "none":
            terms["alignment"] = self.config.alignment_weight * self.alignment(positives)
        if self.config.distancing == "club":
            bounds = [self.bound(name, generator) for name in self.features]
            total = sum(bounds) / (len(bounds) if self.config.club_average else 1)
            terms["distancing"] = self.config.distancing_weight * total
        elif self.config.distancing == "negative_l2":
            distances = [self.squared_distance(*self.parts(name)) for name in self.features]
            terms["distancing"] = -self.config.distancing_weight * sum(distances) / len(distances)
        return terms

    def bpr(self, users, positives, negatives):
        user_table, item_table = self.embed()
        gaps = (user_table[users] * (item_table[positives] - item_table[negatives])).sum(dim=1)
        logarithm = {"e": torch.log, "2": torch.log2}[self.config.log_base]
        return -logarithm(gaps.sigmoid()).mean()

    def view(self, name, items=slice(None)):
        return aligned_view(self.model.separation.heads[name], self.halves(name)[0][items])

    def alignment(self, positives):
        items = positives.unique() if self.config.alignment_items == "batch" else slice(None)
        views, tau = (
            {name: self.view(name, items) for name in self.features},
            self.config.temperature,
        )
        pairs = [
            self.aligned(views[late], views[early], tau) for early, late in combinations(views, 2)
        ]
        return sum(pairs) / len(pairs)

    def aligned(self, text, image, tau):
        if self.config.alignment == "positives":
            return -(text * image).sum(dim=1).mean() / tau
        if self.config.alignment == "info_nce":
            return (solosim(text, image, tau) + solosim(image, text, tau)) / 2
        return solosim(text, image, tau)

    def bound(self, name, generator):
        q, (generic, unique) = self.conditional(name), self.parts(name)
        if self.config.club_estimate == "exact":
            bound = club_all_pairs(q, generic, unique)
        else:
            order = torch.randperm(len(unique), generator=generator)
            bound = (
                log_density(q, generic, unique) - log_density(q, generic, unique[order])
            ).mean()
        bound = bound / 2 if self.config.club_half else bound
        return bound.clamp(min=0) if self.config.club_clamp else bound

    def conditional(self, name):
        return self.model.separation.conditionals[ALL if self.config.club_shared else name]

    def squared_distance(self, generic, unique):
        """Summed over coordinates, or their mean; the mean over items."""
        squares = (unique - generic) ** 2
        return squares.mean() if self.config.l2_mean else squares.sum(dim=1).mean()
