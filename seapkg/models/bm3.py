"""BM3 (Zhou et al., WWW 2023, arXiv:2207.05969): bootstrapped training without negatives."""

from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.kernels.keep_mask import HIGHEST_RATE, keep_mask
from seapkg.losses import embedding_norm
from seapkg.models.base import (
    NamedTensors,
    Recommender,
    UsersAndItems,
    embedding_table,
    propagate_mean,
    training_graph,
    xavier,
)
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option


@configuration
class BM3Config:
    """Options of BM3."""

    embed_dim: int = option(64, "Width of the embeddings.", ge=1)
    n_layers: int = option(1, "Layers on the user-item graph.", ge=0, search=[1, 2])
    dropout: float = option(
        0.5, "Dropout of the targets.", ge=0, le=HIGHEST_RATE, search=[0.3, 0.5]
    )
    regularisation: float = option(
        0.1,
        "Weight of the norms of all users and all items, over the number of items.",
        ge=0,
        search=[0.1, 0.01],
    )
    contrast_weight: float = option(2.0, "Weight of the losses within and across modalities.", ge=0)
    train_features: bool = option(True, "Train the features themselves, as published.")


@system(
    "bm3",
    paper="BM3",
    title="Bootstrap Latent Representations for Multi-modal Recommendation",
    year=2023,
    source="arXiv:2207.05969",
    colour="green",
    marker="X",
)
class BM3(Recommender):
    r"""Predicts dropped-out vectors of users, items and modalities; needs no negative items.

    Equations:
        [u; ẽ] = mean over layers of Â^l [E_U; E_I], i = ẽ + E_I; f_m = W_m x_m + b_m.
        Predictions P u, P i and P f_m, of one linear layer P. Targets u', i' and f_m' are
        u, i and f_m after dropout, without a gradient.
        ℓ(a, b) = 1 - mean of cos(a, b) over the pairs (u, i) of the batch.
        L = L_rec + c (L_inter + L_intra) + λ (‖u‖ + ‖i‖) / n_items, Frobenius norms of all rows.
        L_rec = ℓ(P u, i') + ℓ(P i, u').
        L_inter = Σ_m ℓ(P f_m, i'), L_intra = Σ_m ℓ(P f_m, f_m').
        s_ui = P u · P i, no cosine.

    Differences from the published code:
        - Degrees have no 1e-7 added; the graphs agree to float32 precision.
        - Dropout is drawn for the users and items of the batch alone. A row that occurs twice in
          the batch has one mask, as published.
        - A dropout mask costs one random byte per entry (`keep_mask`).
    """

    config_class = BM3Config
    needs_features = True

    def __init__(self, dataset: Dataset, config: BM3Config) -> None:
        super().__init__(dataset, config)
        dim = config.embed_dim
        self.users = embedding_table(dataset.n_users, dim)
        self.items = embedding_table(dataset.n_items, dim)
        self.features = FeatureTables(dataset, trained=config.train_features)
        normal = nn.init.xavier_normal_
        self.projections = nn.ModuleDict()
        for name, width in self.features.widths_by_name.items():
            self.projections[name] = xavier(nn.Linear(width, dim), normal)
        self.predictor = xavier(nn.Linear(dim, dim), normal)
        self.graph = training_graph(dataset)

    def embed(self) -> UsersAndItems:
        """The predictions of users [n_users, d] and items [n_items, d]."""
        return tuple(self.predictor(table) for table in self._online())

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "reconstruction", "inter_modality", "intra_modality" and "regularisation".

        Arguments are int64 [batch]; the negatives are ignored.
        """
        config, tables = self.config, self._online()
        users, user_places = users.unique(return_inverse=True)
        items, item_places = positives.unique(return_inverse=True)
        user, user_target = self._pair(rows(tables[0], users), user_places)
        item, item_target = self._pair(rows(tables[1], items), item_places)
        inter = intra = 0.0
        for name, project in self.projections.items():
            projected = project(rows(self.features[name], items))  # [n distinct items, d]
            view, view_target = self._pair(projected, item_places)
            inter = inter + _distance(view, item_target)
            intra = intra + _distance(view, view_target)
        return {
            "reconstruction": _distance(user, item_target) + _distance(item, user_target),
            "inter_modality": config.contrast_weight * inter,
            "intra_modality": config.contrast_weight * intra,
            "regularisation": config.regularisation * embedding_norm(*tables),
        }

    def parts(self) -> NamedTensors:
        """Per modality "whole", the projected features f_m: [n_items, d]."""
        return {
            f"{name}/whole": project(self.features[name])
            for name, project in self.projections.items()
        }

    def _online(self):
        """u [n_users, d] and i [n_items, d], before the predictor."""
        users, items = propagate_mean(self.graph, self.users, self.items, self.config.n_layers)
        return users, items + self.items

    def _pair(self, x, places):
        """Prediction and target of the batch, [batch, d] each.

        Batch row b is row `places[b]` of `x` [n, d], the distinct rows, each with one mask.
        """
        keep, share = keep_mask(x.shape, self.config.dropout, self.generator, x.device)
        target = x.detach() * keep / share
        return rows(self.predictor(x), places), rows(target, places)


def _distance(predictions, targets):
    """ℓ: 1 minus the mean cosine of the rows [batch, d]."""
    return 1 - F.cosine_similarity(predictions, targets).mean()
