"""How a model is trained: the protocol's numbers."""

from __future__ import annotations

from dataclasses import dataclass

from seapkg.options import check_numbers


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
        check_numbers(self)
