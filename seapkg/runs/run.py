"""A finished run: metrics, curves, and the trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from seapkg.data import Dataset
from seapkg.runs.archive import FIT_FIELDS, METRICS, RunFiles
from seapkg.runs.recommend import recommend

__all__ = ["METRICS", "Run"]


class Run(RunFiles):
    """A finished run, read from its folder; `RunFiles` has its curves, metrics of each user, and
    arrays.
    """

    def __repr__(self) -> str:
        return f"Run({self.name}, seed={self.seed}, test={dict(self.test)})"

    @property
    def name(self) -> str:
        """MODEL-DATASET-KEY, as when the run was made; a default that changed since does not rename
        it.
        """
        return self.record["run"]

    @property
    def key(self) -> str:
        """The last part of the name."""
        return self.name.rsplit("-", 1)[-1]

    @property
    def model(self) -> str:
        """The system's name."""
        return self.spec.model

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.spec.dataset

    @property
    def seed(self) -> int:
        """The seed of parameters, batches and negatives."""
        return self.spec.seed

    @property
    def config(self) -> Mapping[str, Any]:
        """Every option of the model, resolved."""
        return self.spec.config

    @property
    def training(self) -> Mapping[str, Any]:
        """Every option of the training, resolved."""
        return self.spec.training

    @property
    def valid(self) -> Mapping[str, float]:
        """Metrics on the validation split at the best epoch, by name."""
        return self.record["valid"]

    @property
    def test(self) -> Mapping[str, float]:
        """Metrics on the test split at the best validation epoch, by name."""
        return self.record["test"]

    @property
    def provenance(self) -> str:
        """Which parts of the data are real, in words; "" where unknown."""
        return self.record["data"]["provenance"]

    def summary(self) -> dict[str, Any]:
        """The record that `python -m seapkg train` prints."""
        return {
            "run": self.name,
            "model": self.model,
            "dataset": self.dataset,
            "seed": self.seed,
            **{name: self.record[name] for name in FIT_FIELDS},
            "formulation": self.config.get("formulation"),
        }

    def recommend(self, user: int, k: int = 10, *, data: Dataset | None = None) -> pd.DataFrame:
        """The `k` best new items of `user`: rank, item, name, score.

        `data`: the run's dataset; read again from its source where not given.
        """
        return recommend(self, user, k, data)
