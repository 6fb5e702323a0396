"""Linear content: one projection per modality, for models that add features to an item's embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.models.base import feature_table, rows
from seapkg.models.separate import Parts, Separation


class Content(nn.Module):
    """Per modality x_m -> W_m x_m, and one shared bias for their sum.

    The weights are drawn Xavier-normal as one matrix over all features side by side. FREEDOM's
    published code has one linear layer per modality instead, with torch's default initialisation.

    Args:
        dataset: gives the features.
        dim: width of the projections.
        trained: make the features parameters.
    """

    def __init__(self, dataset, dim: int, *, trained: bool = False) -> None:
        super().__init__()
        features = {name: feature_table(dataset, name) for name in dataset.modalities}
        widths = [table.shape[1] for table in features.values()]
        weight = nn.init.xavier_normal_(torch.empty(dim, sum(widths)))
        self.weights = nn.ParameterDict()
        for name, block in zip(features, weight.split(widths, dim=1), strict=True):
            self.weights[name] = nn.Parameter(block.clone())
        self.bias = nn.Parameter(torch.zeros(dim))
        self.tables = nn.ParameterDict()
        for name, table in features.items():
            if trained:
                self.tables[name] = nn.Parameter(table.clone())
            else:
                self.register_buffer(f"features_{name}", table, persistent=False)

    def forward(self, items: Tensor | None = None) -> dict[str, Tensor]:
        """The projections [n, dim] of `items` (int64 [n], None for all), by modality."""
        projections = {}
        for name, weight in self.weights.items():
            table = self.tables[name] if name in self.tables else getattr(self, f"features_{name}")
            chosen = table if items is None else rows(table, items)
            projections[name] = F.linear(chosen, weight)
        return projections

    def fused(self, by_modality: dict[str, Tensor]) -> Tensor:
        """The item's content [n, dim]: the sum of the projections, plus the bias."""
        return sum(by_modality.values()) + self.bias

    def halves(self, separation: Separation, by_modality: dict[str, Tensor]) -> dict[str, Parts]:
        """The generic and unique halves of each projection [n_items, dim]."""
        return separation.split(by_modality)

    def separate(
        self, separation: Separation, by_modality, positives: Tensor, generator
    ) -> dict[str, Tensor]:
        """The separation terms of a batch with `positives` [batch]; none if separation is off."""
        if not separation.config.separates:
            return {}
        return separation.losses(separation.split(by_modality), positives, generator)
