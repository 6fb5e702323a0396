"""Limits that end a training before its patience does: a search gives them to its trials."""

from collections.abc import Sequence
from dataclasses import dataclass

from seapkg.training.early_stopping import MONITOR, EarlyStopping

TIME, PRUNED = "time", "pruned"


@dataclass(frozen=True)
class Limits:
    """What ends a training early.

    Attributes:
        seconds: of processor time, over all threads of the process; None for no limit.
        bar: by epoch, the valid Recall@20 that the best epoch so far must reach, as Optuna's
            median pruner demands it; None where an epoch has no bar. Epochs beyond it have none.
    """

    seconds: float | None = None
    bar: Sequence[float | None] = ()

    def reached(self, best: EarlyStopping, seconds: float) -> str:
        """Which limit ends the training after an epoch: "time", "pruned", or "" for none."""
        epoch = len(best.curves) - 1
        least = self.bar[epoch] if epoch < len(self.bar) else None
        if least is not None and best.valid[MONITOR] < least:
            return PRUNED
        return TIME if self.seconds is not None and seconds >= self.seconds else ""
