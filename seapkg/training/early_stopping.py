"""Early stopping on valid Recall@20."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from seapkg.training.evaluate import Metrics

MONITOR = "recall@20"
#: Equal means may differ by this much, as the order of their sums differs.
TIE = 1e-12


@dataclass
class EarlyStopping:
    """The curves so far and the best epoch: its number, valid metrics and model state.

    Attributes:
        patience: epochs without a rise before training stops.
        curves: one row an epoch.
        best_epoch: counted from 0; -1 before the first.
        valid: valid metrics of the best epoch.
        state: the model's `state_dict` at the best epoch.
    """

    patience: int
    curves: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    valid: dict[str, float] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)

    def record(self, row: dict[str, float], valid: Metrics) -> bool:
        """Adds an epoch to the curves; returns whether it is the best so far."""
        metrics = {f"valid/{name}": value for name, value in valid.mean.items()}
        self.curves.append(row | metrics)
        if self.valid and valid.mean[MONITOR] <= self.valid[MONITOR] + TIE:
            return False
        self.best_epoch, self.valid = len(self.curves) - 1, valid.mean
        return True

    @property
    def last_epoch(self) -> int:
        """The first epoch at which early stopping applies, if valid Recall@20 does not rise."""
        return self.best_epoch + self.patience + 1
