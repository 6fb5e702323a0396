"""VBPR (He & McAuley, AAAI 2016, arXiv:1510.01784): matrix factorisation with item content."""

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.losses import embedding_norm
from seapkg.models.base import NamedTensors, UsersAndItems, embedding_table, ranking_loss
from seapkg.models.features import LinearContent, rows
from seapkg.models.registry import system
from seapkg.models.separate import Separating, Separation, SeparationConfig
from seapkg.options import configuration, option


@configuration
class VBPRConfig(SeparationConfig):
    """Options of VBPR; separate learning is off unless `alignment` or `distancing` is set."""

    regularisation: float = option(
        0.1,
        "Weight of the norms of the batch's final vectors.",
        ge=0,
        search=[2.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5],
    )


@system(
    "vbpr",
    paper="VBPR",
    title="VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback",
    year=2016,
    source="arXiv:1510.01784",
    colour="purple",
    marker="v",
)
class VBPR(Separating):
    r"""Matrix factorisation whose items carry a linear projection of their features.

    Equations:
        e_i = [E_i ; c_i], c_i = Σ_m W_m x_im + b, E_i and c_i of width d; e_u of width 2 d.
        y_ui = e_u · e_i (Eq. 4 with all biases left out).
        L = mean of -ln σ(y_ui - y_uj) + λ (‖e_u‖ + ‖e_i‖ + ‖e_j‖) / batch, norms over the batch.
        With `alignment` or `distancing`, plus the separation terms of the halves of each W_m x_m
        (SEA Table 3).

    Differences from the published code:
        - The paper has one image modality and bias terms; this is MMRec's version with any number
          of modalities. The sum of projections is its single projection of all features.
        - The BPR loss is exact, without the 1e-10 that MMRec adds to σ (see MF-BPR).
        - Only the batch's items are projected, each once, not all; the result is the same.
        - The SEA authors' log of VBPR + SEA has α = .1, τ = .1, a distance coefficient of .01 and a
          regularisation of 2.0, and stops on Recall@50; here the defaults differ.
    """

    config_class = VBPRConfig
    needs_features = True

    def __init__(self, dataset: Dataset, config: VBPRConfig) -> None:
        super().__init__(dataset, config)
        self.content = LinearContent(dataset, config.embed_dim)
        self.users = embedding_table(dataset.n_users, 2 * config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        halves = dict.fromkeys(dataset.modalities, config.embed_dim // 2)
        self.separation = Separation(halves, config)

    def embed(self) -> UsersAndItems:
        """Users [n_users, 2 d], and items beside their content [n_items, 2 d]."""
        content = self.content.fused(self.content())  # [n_items, d]
        return self.users, torch.cat([self.items, content], dim=1)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "bpr", "regularisation" and the terms of separate learning.

        Arguments are int64 [batch].
        """
        items, places = torch.cat([positives, negatives]).unique(return_inverse=True)
        if self.config.separates:
            by_modality = self.content()  # separation reads all items: modality -> [n_items, d]
            content = rows(self.content.fused(by_modality), items)  # [n_distinct, d]
            parts = self.separation.split(by_modality)
            terms = self.separation.losses(parts, positives, self.generator)
        else:
            content, terms = self.content.fused(self.content(items)), {}
        distinct = torch.cat([rows(self.items, items), content], dim=1)  # [n_distinct, 2 d]
        batch = rows(self.users, users), *rows(distinct, places).chunk(2)  # [batch, 2 d]
        regularisation = self.config.regularisation * embedding_norm(*batch)
        return {"bpr": ranking_loss(*batch), "regularisation": regularisation, **terms}

    def parts(self) -> NamedTensors:
        """The halves of each modality's content, and the outputs of the alignment heads."""
        return self.separation.named(self.separation.split(self.content()))
