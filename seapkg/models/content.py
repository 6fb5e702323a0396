"""Linear content: one projection a modality, for the models that add features to an item's own table."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.models.base import feature_table, rows
from seapkg.models.separate import Parts, Separation


class Content(nn.Module):
    """Per modality x_m ↦ W_m x_m, with one shared bias in the sum.

    The weights are drawn Xavier-normal as one matrix over all features side by side, for FREEDOM too, whose published
    code has a linear layer of its own, with torch's default spread, for each modality. `trained` makes the features
    themselves parameters.
    """

    def __init__(self, dataset, dim: int, *, trained: bool = False) -> None:
        super().__init__()
        features = {name: feature_table(dataset, name) for name in dataset.modalities}
        widths = [table.shape[1] for table in features.values()]
        weight = nn.init.xavier_normal_(torch.empty(dim, sum(widths)))
        blocks = zip(features, weight.split(widths, dim=1), strict=True)
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(block.clone()) for name, block in blocks}
        )
        self.bias = nn.Parameter(torch.zeros(dim))
        self.tables = nn.ParameterDict()
        for name, table in features.items():
            if trained:
                self.tables[name] = nn.Parameter(table.clone())
            else:
                self.register_buffer(f"features_{name}", table, persistent=False)

    def forward(self, items: Tensor | None = None) -> dict[str, Tensor]:
        """Each modality's projection [n, dim] of `items`, or of all."""
        return {
            name: F.linear(self._rows(name, items), weight) for name, weight in self.weights.items()
        }

    def fused(self, by_modality: dict[str, Tensor]) -> Tensor:
        """The item's content: the modalities' projections added, plus the bias."""
        return sum(by_modality.values()) + self.bias

    def halves(self, separation: Separation, by_modality: dict[str, Tensor]) -> dict[str, Parts]:
        """Each modality's projection split in a generic and a unique half."""
        return {name: separation.split(name, *x.chunk(2, dim=1)) for name, x in by_modality.items()}

    def separate(
        self, separation: Separation, by_modality, positives: Tensor, generator
    ) -> dict[str, Tensor]:
        """The separation terms of a batch; none when separation is off."""
        if not separation.config.separates:
            return {}
        items = positives.unique() if separation.config.alignment_items == "batch" else slice(None)
        return separation.losses(self.halves(separation, by_modality), items, generator)

    def _rows(self, name: str, items: Tensor | None) -> Tensor:
        table = self.tables[name] if name in self.tables else getattr(self, f"features_{name}")
        return table if items is None else rows(table, items)
