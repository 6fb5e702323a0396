"""SEA: "It is Never Too Late to Mend: Separate Learning for Multimedia Recommendation".

Two formulations: "paper" follows the text, "released" the authors' code. Each of their differences
is an option whose default depends on the formulation.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import ItemGraphs, sum_of_layers
from seapkg.kernels import folded_linear
from seapkg.models.base import (
    NamedTensors,
    UsersAndItems,
    batch_rows,
    embedding_table,
    propagate,
    ranking_loss,
    recomputed,
    training_graph,
)
from seapkg.models.features import FeatureTables
from seapkg.models.registry import system
from seapkg.models.separate import (
    Alignment,
    Distancing,
    Parts,
    Separating,
    Separation,
    SeparationConfig,
)
from seapkg.options import configuration, option, resolve

FORMULATIONS = {
    "paper": {
        "split": "after_gnn", "graph_weights": "learned", "log_base": "e", "club_pairs": "within",
        "club_shared": False, "club_estimate": "exact", "club_half": False, "club_clamp": False,
        "club_average": False, "l2_mean": False,
    },
    "released": {
        "split": "before_gnn", "graph_weights": "fixed", "log_base": "2", "club_pairs": "across",
        "club_shared": True, "club_estimate": "sampled", "club_half": True, "club_clamp": True,
        "club_average": True, "l2_mean": True,
    },
}  # fmt: skip
VARIANTS = {
    "a": ("solosim", "club"),
    "b": ("solosim", "negative_l2"),
    "c": ("info_nce", "club"),
    "d": ("info_nce", "negative_l2"),
    "without_alignment": ("none", "club"),
    "without_distancing": ("solosim", "none"),
    "without_all": ("none", "none"),
}


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
    alignment: Alignment | None = option(
        None, "Alignment of the generic parts; by default that of the variant."
    )
    distancing: Distancing | None = option(
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
        None, "One CLUB network per modality (paper), or one for all (released)."
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

    def __post_init__(self):
        alignment, distancing = VARIANTS[self.variant]
        resolve(self, FORMULATIONS[self.formulation])
        resolve(self, {"alignment": alignment, "distancing": distancing})
        if self.subtracts and self.split == "before_gnn":
            raise RequestError("distancing=subtraction needs split=after_gnn; set it too")
        super().__post_init__()


class Encoder(nn.Module):
    """Content of items: width -> encoder_width -> embed_dim, with a leaky ReLU between.

    Attributes:
        head_width: width of the generic part that the alignment head reads.
    """

    def __init__(self, width: int, config: SEAConfig) -> None:
        super().__init__()
        self.first = nn.Linear(width, config.encoder_width)
        self.second = nn.Linear(config.encoder_width, config.embed_dim)
        self.head_width = config.embed_dim // 2

    def forward(self, features: Tensor) -> Tensor:
        """Returns the content [n, embed_dim] of `features` [n, width]."""
        return self.second(F.leaky_relu(self.first(features)))


class WideEncoder(Encoder):
    """The published encoder: a wide linear map first, whose halves are generic and unique."""

    def __init__(self, width: int, config: SEAConfig) -> None:
        super().__init__(width, config)
        self.wide = nn.Linear(width, width)
        self.head_width = width // 2
        part_width = config.embed_dim // 2
        self.to_generic = nn.Linear(self.head_width, part_width)
        self.to_unique = nn.Linear(width - self.head_width, part_width)

    def forward(self, features: Tensor) -> Tensor:
        """Returns the content [n, embed_dim] of `features` [n, width]."""
        return self._encode(features, [], [])[0]

    def with_parts(self, features: Tensor, head: nn.Module | None) -> tuple[Tensor, Parts]:
        """The content [n, embed_dim] and the parts of `features` [n, width].

        Args:
            features: [n, width].
            head: the alignment head; None without alignment.
        """
        first_layers = [head.first] if head else []
        content, generic, *hidden, unique = self._encode(
            features, [self.to_generic, *first_layers], [self.to_unique]
        )
        return content, Parts(generic, unique, *hidden)

    def _encode(self, features, of_generic, of_unique):
        """The content, then the outputs of the layers that read the halves."""

        def encode(block):
            first, *parts = folded_linear.read_halves(
                block, self.wide, self.first, of_generic, of_unique
            )
            return self.second(F.leaky_relu(first)), *parts

        is_cheap = features.shape[1] <= self.first.out_features
        return recomputed(encode, features) if is_cheap else encode(features)


def read_halves(
    features: Tensor, wide: nn.Linear, whole: nn.Linear, of_generic: list, of_unique: list
) -> tuple[Tensor, ...]:
    """The outputs of layers that read V = wide(features) or one of its halves.

    Computed by `seapkg.kernels.folded_linear`.

    Args:
        features: [n, width].
        wide: width -> width.
        whole: the layer that reads all of V.
        of_generic: layers that read the first width // 2 columns of V.
        of_unique: layers that read the other columns.

    Returns:
        The output [n, out_features] of each layer, in the order of the arguments.
    """
    values = wide(features)
    half = wide.out_features // 2
    generic, unique = values[:, :half], values[:, half:]
    parts = [layer(generic) for layer in of_generic] + [layer(unique) for layer in of_unique]
    return whole(values), *parts


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
    """Separate learning of generic and unique item parts on a user-item and an item-item graph.

    Items have no id embeddings, only encoded features. [a ; b] is one above the other, [a ‖ b] side
    by side, m a modality; numbers are those of the paper.

    Equations:
        x_m = unit rows of [Q_m ; F_m(X_m)], a user table and the encoded features.
        x̄_m = x_m + Â x_m + ... + Â^L x_m                           (Eq. 6, 7)
        S = Σ_m α_m Ŝ_m, kNN graphs of the features                  (Eq. 8-11)
        e_u = [w_u1 x̄_u1 ‖ w_u2 x̄_u2 ‖ ...]
        e_i = r_i + S r_i, r_i = [x̄_i1 ‖ x̄_i2 ‖ ...]                (Eq. 12, 17)
        [g_m ‖ u_m] = x̄_m of the items, split in halves              (Eq. 13)
        L = L_BPR + α L_align(g) + β Σ_m L_dis(g_m, u_m)             (Eq. 15, 16, 18, 19, 30)

    Differences from the published code, in both formulations:
        * kNN graphs: ties go to the lowest id and each item is its own first neighbour. The
          published code keeps the order of top-k, so an item with equal features elsewhere may
          miss itself.
        * Given item graphs (`baby`, `sports`) replace those of the features. In them a few items
          are not their own neighbours.
        * Evaluation uses current vectors; published ones are one step old. Early stopping compares
          unrounded metrics; published ones have four digits.
        * CLUB's fit has a separate learning rate, `club_learning_rate`.
        * Negative distance has the weight β. In the published code it is commented out,
          has no weight, and would drop the text's term.
        * Left out without effect: biases in front of a batch norm, parameters without a gradient,
          the second normalisation of views, unused samples, the mirror gradient.

    Differences between the text and the published code, chosen by `formulation`:
        * `split`: the GNN's output, or a wide linear map of the features. The map is as wide as
          the features; the published one is fixed at 4096 and 384.
        * `graph_weights`, `log_base`, `l2_mean` and the options named `club_...`.
        * In both formulations BPR is a mean over the batch; the text has a sum.
        * In both formulations layers start as torch starts them; the text has Xavier.
        * In both formulations user weights are softmaxed once, at the start.

    Settings of the published results:
        * α, β and τ are not recorded. The code's defaults are .012, .006 and .2; the .046 of the
          command line is overwritten.
        * The authors' log of VBPR + SEA has α = .1, τ = .1, a distance coefficient of .01, a
          regularisation of 2.0, and stops on Recall@50.
    """

    config_class = SEAConfig
    training_defaults = {"learning_rate": 1e-4}
    needs_features = True

    def __init__(self, dataset: Dataset, config: SEAConfig) -> None:
        super().__init__(dataset, config)
        self.modalities = dataset.modalities
        self.splits_early = config.split == "before_gnn"
        self.features = FeatureTables(dataset)
        self.users = nn.ParameterDict()
        for name in self.modalities:
            table = embedding_table(self.n_users, config.embed_dim, nn.init.xavier_normal_)
            self.users[name] = table
        shares = nn.init.xavier_normal_(torch.empty(self.n_users, len(self.modalities)))
        self.user_weights = nn.Parameter(shares.softmax(dim=1))  # [U, M], unconstrained afterwards
        encoder = WideEncoder if self.splits_early else Encoder
        self.encoders = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            self.encoders[name] = encoder(width, config)
        head_widths = {name: encoder.head_width for name, encoder in self.encoders.items()}
        self.separation = Separation(head_widths, config)
        self.graph = training_graph(dataset)
        learned = config.graph_weights == "learned"
        self.item_graphs = ItemGraphs(
            dataset, config.n_neighbours, config.image_weight, learned=learned
        )

    def embed(self) -> UsersAndItems:
        nodes, _ = self._forward(with_parts=False)
        return self._fuse(nodes)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """Eq. 19. Arguments: int64 [batch]."""
        nodes, parts = self._forward(with_parts=self.config.separates)
        batch = batch_rows(*self._fuse(nodes), users, positives, negatives)
        terms = {"bpr": ranking_loss(*batch, log_base=self.config.log_base)}
        return terms | self.separation.losses(parts, positives, self.generator)

    def parts(self) -> NamedTensors:
        """Per modality "generic" and "unique" [I, d/2], and "aligned", the output of the head."""
        _, parts = self._forward(with_parts=True)
        return self.separation.named(parts)

    def _forward(self, with_parts):
        """Per modality the propagated nodes [N, d] and, if asked for, the parts (Eq. 13)."""
        content, parts = {}, {}
        for name, encoder in self.encoders.items():
            features = self.features[name]
            if with_parts and self.splits_early:
                head = self.separation.heads[name] if self.separation.heads else None
                content[name], parts[name] = encoder.with_parts(features, head)
            else:
                content[name] = encoder(features)
        nodes = self._propagate(content)
        if with_parts and not self.splits_early:
            items = {name: part[self.n_users :] for name, part in nodes.items()}  # [I, d] each
            parts = self.separation.split(items)
        return nodes, parts

    def _propagate(self, content):
        """Eq. 6, 7: the sum of layers, all modalities in one product. Returns [N, d] each."""
        nodes = [torch.cat([self.users[name], content[name]]) for name in self.modalities]
        unit = torch.cat([F.normalize(part, dim=1) for part in nodes], dim=1)  # [N, M d]
        summed = sum_of_layers(self.graph, unit, self.config.n_layers)
        return dict(zip(self.modalities, summed.chunk(len(nodes), dim=1), strict=True))

    def _fuse(self, nodes):
        """Eq. 12, 17: weighted users [U, M d], and items plus their neighbours [I, M d]."""
        weights = self.user_weights.split(1, dim=1)  # [U, 1] each
        weighted = zip(weights, nodes.values(), strict=True)
        users = [weight * part[: self.n_users] for weight, part in weighted]
        items = torch.cat([part[self.n_users :] for part in nodes.values()], dim=1)
        neighbours = propagate(self.item_graphs, items, self.config.n_item_layers)
        return torch.cat(users, dim=1), items + neighbours
