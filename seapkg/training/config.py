"""How a model is trained: the protocol's numbers."""

from __future__ import annotations

from dataclasses import dataclass

from seapkg.errors import RequestError


@dataclass(frozen=True)
class TrainingConfig:
    """The protocol (MMRec's where comparable numbers need it).

    max_epochs: the most epochs; 0 evaluates the model as it is.
    patience: training stops when valid Recall@20 has not risen for more than this many epochs.
    """

    learning_rate: float = 1e-3
    batch_size: int = 2048
    max_epochs: int = 1000
    patience: int = 20

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise RequestError(f"learning_rate must be above 0; it is {self.learning_rate}")
        for option, lowest in (("batch_size", 1), ("max_epochs", 0), ("patience", 0)):
            if getattr(self, option) < lowest:
                raise RequestError(f"{option} must be at least {lowest}; it is {getattr(self, option)}")
