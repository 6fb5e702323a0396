"""VBPR (He & McAuley, 2016, arXiv:1510.01784): matrix factorisation plus a linear projection of content."""

from __future__ import annotations

import torch
from torch import Tensor

from seapkg.losses import embedding_norm
from seapkg.models.base import embedding_table, ranking_loss, rows
from seapkg.models.content import Content
from seapkg.models.registry import system
from seapkg.models.separate import Separating, Separation, SeparationConfig, check_halves
from seapkg.options import configuration, option


@configuration
class VBPRConfig(SeparationConfig):
    """Options of VBPR; separate learning is off unless `alignment` or `distancing` is set."""

    embed_dim: int = option(64, "Width of the item embeddings and of the projected features.", ge=1)
    regularisation: float = option(
        0.1,
        "Weight of the norms of the batch's final vectors.",
        ge=0,
        search=[2.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5],
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_halves(self)


@system(
    "vbpr",
    paper="VBPR",
    title="VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback",
    year=2016,
    source="arXiv:1510.01784",
)
class VBPR(Separating):
    """Item = [E_i ; Σ_m W_m x_m + b], user = one table of twice the width (spec D.4).

    The sum of one projection a modality is the published single projection of the concatenated features.
    """

    config_class = VBPRConfig
    needs_features = True

    def __init__(self, dataset, config: VBPRConfig = VBPRConfig()) -> None:
        super().__init__(dataset, config)
        self.content = Content(dataset, config.embed_dim)
        self.users = embedding_table(dataset.n_users, 2 * config.embed_dim)
        self.items = embedding_table(dataset.n_items, config.embed_dim)
        halves = dict.fromkeys(dataset.modalities, config.embed_dim // 2)
        self.separation = Separation(halves, config.embed_dim // 2, config)

    def embed(self) -> tuple[Tensor, Tensor]:
        return self.users, torch.cat([self.items, self.content.fused(self.content())], dim=1)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        by_modality = self.content() if self.config.separates else None
        items = self._item_rows(torch.cat([positives, negatives]), by_modality)
        batch = rows(self.users, users), *items.split(len(positives))
        norm = embedding_norm(*batch)
        terms = {"bpr": ranking_loss(*batch), "regularisation": self.config.regularisation * norm}
        return terms | self.content.separate(
            self.separation, by_modality, positives, self.generator
        )

    def parts(self) -> dict[str, Tensor]:
        return self.separation.named(self.content.halves(self.separation, self.content()))

    def _item_rows(self, items: Tensor, by_modality: dict[str, Tensor] | None) -> Tensor:
        """[E_i ; content] of the given items only; all items' content is used where separation needed it anyway."""
        if by_modality is None:
            content = self.content.fused(self.content(items))
        else:
            content = rows(self.content.fused(by_modality), items)
        return torch.cat([rows(self.items, items), content], dim=1)
