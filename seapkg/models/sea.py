"""SEA: "It is Never Too Late to Mend: Separate Learning for Multimedia Recommendation".

Two formulations, one switch: "paper" follows the text, "released" the authors' published code. What they compute
differently is an option each, whose default depends on the formulation (spec A.12); README.md beside this file lists
what is otherwise than published in both.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.graph import ItemGraphs, sum_of_layers
from seapkg.models.base import (
    RECOMPUTED_ROWS,
    batch_rows,
    embedding_table,
    feature_table,
    ranking_loss,
    recomputed,
    training_graph,
)
from seapkg.models.registry import system
from seapkg.models.separate import AlignmentHead, Parts, Separating, Separation, SeparationConfig
from seapkg.options import configuration, option, resolve

FORMULATIONS = {
    "paper": {
        "split": "after_gnn", "graph_weights": "learned", "log_base": "e", "club_pairs": "within", "club_shared": False,
        "club_estimate": "exact", "club_half": False, "club_clamp": False, "club_average": False, "l2_mean": False,
    },
    "released": {
        "split": "before_gnn", "graph_weights": "fixed", "log_base": "2", "club_pairs": "across", "club_shared": True,
        "club_estimate": "sampled", "club_half": True, "club_clamp": True, "club_average": True, "l2_mean": True,
    },
}  # fmt: skip
VARIANTS = {
    "a": ("solosim", "club"), "b": ("solosim", "negative_l2"),
    "c": ("info_nce", "club"), "d": ("info_nce", "negative_l2"),
    "without_alignment": ("none", "club"), "without_distancing": ("solosim", "none"), "without_all": ("none", "none"),
}  # fmt: skip


@configuration
class SEAConfig(SeparationConfig):
    """Options of SEA; those that default to None follow the formulation or the variant."""

    formulation: Literal["paper", "released"] = option(
        "paper", "Follow the paper's text, or the published code."
    )
    variant: Literal[
        "a", "b", "c", "d", "without_alignment", "without_distancing", "without_all"
    ] = option(
        "a", "SEAa to SEAd of Table 4, or an ablation of Fig. 3; sets alignment, distancing."
    )
    alignment: Literal["solosim", "info_nce", "positives", "none"] | None = option(
        None, "Alignment of the generic parts; by default that of the variant."
    )
    distancing: Literal["club", "negative_l2", "orthogonal", "none"] | None = option(
        None, "Distance of generic and unique parts; by default that of the variant."
    )
    alignment_weight: float = option(
        0.1, "Weight α of the alignment.", ge=0, search=[0.005, 0.012, 0.05, 0.1, 0.3, 0.6, 1.0]
    )
    temperature: float = option(
        0.2, "Temperature τ of the alignment.", gt=0, search=[0.046, 0.1, 0.2, 0.4]
    )
    distancing_weight: float = option(
        0.01, "Weight β of the distancing.", ge=0, search=[0.002, 0.006, 0.02, 0.1]
    )
    split: Literal["after_gnn", "before_gnn"] | None = option(
        None, "Split the GNN's output (paper), or a wide linear map of the features (released)."
    )
    graph_weights: Literal["learned", "fixed"] | None = option(
        None, "Shares of the modalities in the item graph: learned (paper) or fixed (released)."
    )
    log_base: Literal["e", "2"] | None = option(
        None, "Logarithm of the BPR loss: e (paper) or 2 (released)."
    )
    club_pairs: Literal["within", "across"] | None = option(
        None, "Pairs of CLUB's fit: within a modality (paper) or across modalities (released)."
    )
    club_shared: bool | None = option(
        None, "One CLUB network a modality (paper), or one for all (released)."
    )
    club_estimate: Literal["exact", "sampled"] | None = option(
        None, "CLUB from all pairs (paper), or from one permutation (released)."
    )
    club_half: bool | None = option(None, "Halve the CLUB estimate once more (released).")
    club_clamp: bool | None = option(None, "Cut the CLUB estimate off at 0 (released).")
    club_average: bool | None = option(
        None, "Add the modalities' CLUB terms (paper), or average them (released)."
    )
    l2_mean: bool | None = option(
        None, "Add the coordinates of negative L2 (paper), or average them (released)."
    )
    embed_dim: int = option(64, "Width of the embeddings of each modality.", ge=1)
    encoder_width: int = option(256, "Hidden units of the feature encoder.", ge=1)
    n_layers: int = option(2, "Layers on the user-item graph.", ge=0)
    n_item_layers: int = option(1, "Layers on the item graph.", ge=0)
    n_neighbours: int = option(10, "Neighbours of an item in the item graph.", ge=1)
    image_weight: float = option(
        0.1,
        "Initial share of the image in the item graph, where there are image and text.",
        ge=0,
        le=1,
    )

    def __post_init__(self) -> None:
        alignment, distancing = VARIANTS[self.variant]
        defaults = FORMULATIONS[self.formulation] | {
            "alignment": alignment,
            "distancing": distancing,
        }
        resolve(self, defaults)
        if self.embed_dim % 2:
            raise RequestError(
                f"option embed_dim must be even, it is split in two halves; it is {self.embed_dim}"
            )
        super().__post_init__()


class Encoder(nn.Module):
    """Features [I, width] → content [I, embed_dim] by width → 256 → embed_dim with a leaky ReLU (spec A5)."""

    def __init__(self, width: int, config: SEAConfig) -> None:
        super().__init__()
        self.first = nn.Linear(width, config.encoder_width)
        self.second = nn.Linear(config.encoder_width, config.embed_dim)

    def forward(self, features: Tensor) -> Tensor:
        return self.second(F.leaky_relu(self.first(features)))


class WideEncoder(Encoder):
    """The released form: a wide linear map of the features first, whose halves are the generic and unique parts.

    The wide map V = X W' + b has no activation and is only read by linear layers, so each reader is composed with it
    and V is never formed: the same function and gradients at a fraction of the cost (spec E.2.1).
    """

    def __init__(self, width: int, config: SEAConfig) -> None:
        super().__init__(width, config)
        self.wide = nn.Linear(width, width)
        self.half = width // 2
        self.to_generic = nn.Linear(self.half, config.embed_dim // 2)
        self.to_unique = nn.Linear(width - self.half, config.embed_dim // 2)

    def forward(self, features: Tensor) -> Tensor:
        return self._read(features, [], [])[0]

    def with_parts(self, features: Tensor, head: AlignmentHead | None) -> tuple[Tensor, Parts]:
        """Returns the content [I, embed_dim] and the parts, from one product with all composed readers."""
        heads = [] if head is None else [head.first]
        content, generic, *hidden, unique = self._read(
            features, [self.to_generic, *heads], [self.to_unique]
        )
        return content, Parts(generic, unique, hidden[0] if hidden else None)

    def _read(
        self, features: Tensor, of_generic: list[nn.Linear], of_unique: list[nn.Linear]
    ) -> tuple[Tensor, ...]:
        """The content, then what each further layer makes of the half of V [I, width] that it reads."""
        weight, bias, widths = self._composed(of_generic, of_unique)

        def read(some: Tensor) -> tuple[Tensor, ...]:
            first, *rest = F.linear(some, weight, bias).split(widths, dim=1)
            return self.second(F.leaky_relu(first)), *rest

        is_cheap = features.shape[1] <= sum(widths)
        return (
            recomputed(read, features)
            if is_cheap and len(features) > RECOMPUTED_ROWS
            else read(features)
        )

    def _composed(
        self, of_generic: list[nn.Linear], of_unique: list[nn.Linear]
    ) -> tuple[Tensor, Tensor, list[int]]:
        """`first` and the further layers composed with the wide map: a weight, a bias, and each layer's width."""
        layers = [self.first, *of_generic, *of_unique]
        halves = [self.half, self.wide.out_features - self.half]
        upper, lower = (
            torch.cat([first, *(layer.weight for layer in further)])
            for first, further in zip(
                self.first.weight.split(halves, dim=1), (of_generic, of_unique), strict=True
            )
        )
        upper_bias, lower_bias = self.wide.bias.split(halves)
        weights = _ReadHalves.apply(self.wide.weight, upper, lower)
        n = self.first.out_features
        weight, bias = (
            torch.cat([a[:n] + b[:n], a[n:], b[n:]])
            for a, b in (weights, (upper @ upper_bias, lower @ lower_bias))
        )
        own = [
            layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
            for layer in layers
        ]
        return weight, bias + torch.cat(own), [layer.out_features for layer in layers]


class _ReadHalves(torch.autograd.Function):
    """Two maps composed with the halves of a third: upper W[:h] and lower W[h:], h the width of `upper`.

    Left to autograd, each slice of W would have a gradient of W's full size, to be filled with zeros and added up.
    """

    @staticmethod
    def forward(ctx, weight: Tensor, upper: Tensor, lower: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(weight, upper, lower)
        half = upper.shape[1]
        return upper @ weight[:half], lower @ weight[half:]

    @staticmethod
    @once_differentiable
    def backward(ctx, to_upper: Tensor, to_lower: Tensor):
        weight, upper, lower = ctx.saved_tensors
        half, gradient = upper.shape[1], torch.empty_like(weight)
        torch.mm(upper.T, to_upper, out=gradient[:half])
        torch.mm(lower.T, to_lower, out=gradient[half:])
        return gradient, to_upper @ weight[:half].T, to_lower @ weight[half:].T


@system(
    "sea",
    paper="SEA",
    title="It is Never Too Late to Mend: Separate Learning for Multimedia Recommendation",
    year=2024,
    source="arXiv:2406.08270",
    formulations=("released", "paper"),
    colour="vermillion",
    marker="o",
)
class SEA(Separating):
    """Per modality m: a user table Q_m and an item encoder F_m; both propagated on the user-item graph, layers added;
    items once more on the item graph; generic and unique parts regularised by `Separation` (spec A.2-A.6).

    Items have no table of their own: an item is its features.
    """

    config_class = SEAConfig
    training_defaults = {"learning_rate": 1e-4}
    needs_features = True

    def __init__(self, dataset, config: SEAConfig = SEAConfig()) -> None:
        super().__init__(dataset, config)
        self.modalities = dataset.modalities
        self.released_split = config.split == "before_gnn"
        widths = {name: dataset.features[name].shape[1] for name in self.modalities}
        for name in self.modalities:
            self.register_buffer(f"features_{name}", feature_table(dataset, name), persistent=False)
        tables = {
            name: embedding_table(self.n_users, config.embed_dim, nn.init.xavier_normal_)
            for name in widths
        }
        self.users = nn.ParameterDict(tables)
        shares = nn.init.xavier_normal_(torch.empty(self.n_users, len(widths)))
        self.user_weights = nn.Parameter(shares.softmax(dim=1))  # free from here on (spec A.12.9)
        encoder = WideEncoder if self.released_split else Encoder
        self.encoders = nn.ModuleDict(
            {name: encoder(width, config) for name, width in widths.items()}
        )
        half = config.embed_dim // 2
        head_widths = {
            name: width // 2 if self.released_split else half for name, width in widths.items()
        }
        self.separation = Separation(head_widths, half, config)
        self.graph = training_graph(dataset)
        learned = config.graph_weights == "learned"
        self.item_graphs = ItemGraphs(
            dataset, config.n_neighbours, config.image_weight, learned=learned
        )

    def embed(self) -> tuple[Tensor, Tensor]:
        content = {name: self.encoders[name](self._features(name)) for name in self.modalities}
        return self._fuse(self._propagate(content))

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        propagated, parts = self._forward(with_parts=self.config.separates)
        batch = batch_rows(*self._fuse(propagated), users, positives, negatives)
        terms = {"bpr": ranking_loss(*batch, log_base=self.config.log_base)}
        items = positives.unique() if self.config.alignment_items == "batch" else slice(None)
        return terms | self.separation.losses(parts, items, self.generator) if parts else terms

    def parts(self) -> dict[str, Tensor]:
        """Per modality: "generic" and "unique" [I, d/2], and "aligned", what the head makes of the generic."""
        return self.separation.named(self._forward(with_parts=True)[1])

    def _forward(self, with_parts: bool) -> tuple[dict[str, Tensor], dict[str, Parts]]:
        """Per modality, the propagated nodes [N, d] and the parts, which are not computed where nobody needs them."""
        if not (self.released_split and with_parts):
            content = {name: self.encoders[name](self._features(name)) for name in self.modalities}
            propagated = self._propagate(content)
            halved = self.modalities if with_parts else ()
            return propagated, {name: self._halves(name, propagated[name]) for name in halved}
        encoded = {
            name: self.encoders[name].with_parts(self._features(name), self.separation.head(name))
            for name in self.modalities
        }
        propagated = self._propagate({name: content for name, (content, _) in encoded.items()})
        return propagated, {name: parts for name, (_, parts) in encoded.items()}

    def _halves(self, name: str, nodes: Tensor) -> Parts:
        generic, unique = nodes[self.n_users :].chunk(2, dim=1)  # [I, d/2] each
        return self.separation.split(name, generic, unique)

    def _propagate(self, content: dict[str, Tensor]) -> dict[str, Tensor]:
        """(A6), (A7): rows to unit norm, two layers on the user-item graph, all modalities in one sparse product."""
        nodes = [
            F.normalize(torch.cat([self.users[name], content[name]]), dim=1)
            for name in self.modalities
        ]
        summed = sum_of_layers(
            self.graph, torch.cat(nodes, dim=1), self.config.n_layers
        )  # [N, M d]
        return dict(zip(self.modalities, summed.chunk(len(nodes), dim=1), strict=True))

    def _fuse(self, propagated: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(A8), (A9): users weigh their modalities; items add their neighbours on the item graph. [U, M d], [I, M d]"""
        nodes = [propagated[name] for name in self.modalities]
        users = [
            self.user_weights[:, m : m + 1] * part[: self.n_users] for m, part in enumerate(nodes)
        ]
        items = torch.cat([part[self.n_users :] for part in nodes], dim=1)
        neighbours = items
        for _ in range(self.config.n_item_layers):
            neighbours = self.item_graphs(neighbours)
        return torch.cat(users, dim=1), items + neighbours

    def _features(self, name: str) -> Tensor:
        return getattr(self, f"features_{name}")
