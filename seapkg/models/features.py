"""Item features as a part of a model: the tables, trained or fixed, and their linear projection."""

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError


def feature_table(dataset: Dataset, modality: str) -> Tensor:
    """A modality's features [n_items, width]. They share the dataset's memory: read only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(dataset.features[modality])


def rows(table: Tensor, index: Tensor | None) -> Tensor:
    """`table[index]` with the fast, deterministic backward pass of an embedding.

    Args:
        table: [n, dim].
        index: int64 [m]; None stands for all rows.

    Returns:
        [m, dim].
    """
    return table if index is None else F.embedding(index, table)


class FeatureTables(nn.Module):
    """The features of every modality: `tables["image"]` is [n_items, width].

    Args:
        dataset: its `features`, any number of modalities of any widths.
        trained: copies the features into parameters, which training changes. Fixed features share
            the dataset's memory and are left out of the model's state.
    """

    def __init__(self, dataset: Dataset, *, trained: bool = False) -> None:
        super().__init__()
        self._names = tuple(dataset.modalities)
        for name in self._names:
            table = feature_table(dataset, name)
            if trained:
                self.register_parameter(name, nn.Parameter(table.clone()))
            else:
                self.register_buffer(name, table, persistent=False)

    def __getitem__(self, modality: str) -> Tensor:
        return getattr(self, modality)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    @property
    def widths_by_name(self) -> dict[str, int]:
        """The width of every modality's features."""
        return {name: self[name].shape[1] for name in self}


class LinearContent(nn.Module):
    """Item content c = Σ_m W_m x_m + b (VBPR Eq. 3, for any number of modalities).

    The weights are drawn Xavier-normal as one matrix over all features side by side.

    Args:
        dataset: its features.
        dim: width of the content.
        trained: makes the features themselves parameters.
    """

    def __init__(self, dataset: Dataset, dim: int, *, trained: bool = False) -> None:
        super().__init__()
        tables = FeatureTables(dataset, trained=trained)
        widths = list(tables.widths_by_name.values())
        weight = nn.init.xavier_normal_(torch.empty(dim, sum(widths)))
        self.weights = nn.ParameterDict()
        for name, block in zip(tables, weight.split(widths, dim=1), strict=True):
            self.weights[name] = nn.Parameter(block.clone())
        self.bias = nn.Parameter(torch.zeros(dim))
        self.tables = tables

    def forward(self, items: Tensor | None = None) -> dict[str, Tensor]:
        """Each modality's projection W_m x_m.

        Args:
            items: int64 [n]; None stands for all items.

        Returns:
            Modality -> [n, dim].
        """
        projected = {}
        for name, weight in self.weights.items():
            projected[name] = F.linear(rows(self.tables[name], items), weight)
        return projected

    def fused(self, by_modality: dict[str, Tensor]) -> Tensor:
        """The content [n, dim]: the modalities' projections [n, dim] added, plus the bias."""
        return sum(by_modality.values()) + self.bias


def check_modality_names(dataset: Dataset) -> None:
    """Rejects modality names that torch reserves.

    Raises:
        DataError: a name is that of an attribute of torch's containers.
    """
    containers = nn.ModuleDict(), nn.ParameterDict(), FeatureTables
    for name in dataset.modalities:
        if any(hasattr(container, name) for container in containers):
            raise DataError(f"the modality name {name!r} is reserved by torch; rename the file")
