"""Early stopping on valid Recall@20."""

from dataclasses import dataclass, field

from torch import Tensor

MONITOR = "recall@20"
#: Equal means may differ by this much, as the order of their sums differs.
TIE = 1e-12


@dataclass
class EarlyStopping:
    """The curves so far and the best epoch: its number, valid metrics and model state.

    Attributes:
        patience: training stops after more than this many epochs without a rise.
        curves: one row per epoch.
        best_epoch: counted from 0; -1 before the first.
        valid: valid metrics of the best epoch.
        state: the model's `state_dict` at the best epoch.
    """

    patience: int
    curves: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    valid: dict[str, float] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)

    def record(self, losses: dict[str, float], valid: dict[str, float]) -> bool:
        """Adds an epoch to the curves; returns whether it is the best so far."""
        metrics = {f"valid/{name}": value for name, value in valid.items()}
        self.curves.append(losses | metrics)
        if self.valid and valid[MONITOR] <= self.valid[MONITOR] + TIE:
            return False
        self.best_epoch, self.valid = len(self.curves) - 1, valid
        return True

    def is_over(self) -> bool:
        """Whether valid Recall@20 has not risen for more than `patience` epochs."""
        return len(self.curves) - 1 - self.best_epoch > self.patience
