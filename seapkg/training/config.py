"""How a model is trained: the protocol's numbers."""

from __future__ import annotations

from dataclasses import dataclass

from seapkg.old_options import check_choice, check_numbers

NEGATIVES = ("train_items", "all_items", "never_held_out")


@dataclass(frozen=True)
class TrainingConfig:
    """The protocol (MMRec's where comparable numbers need it).

    max_epochs: the most epochs; 0 evaluates the model as it is.
    patience: training stops when valid Recall@20 has not risen for more than this many epochs.
    weight_decay: decoupled (AdamW); at 0 the optimiser is Adam.
    negatives: drawn from the items that occur in training ("train_items", MMRec's protocol) or from "all_items", never
        a training positive of the user; "never_held_out" draws from all items and leaves out the user's valid and test
        items as well, as REARM's released code does. That is a leak: it tells the model what is held out.
    """

    learning_rate: float = 1e-3
    batch_size: int = 2048
    max_epochs: int = 1000
    patience: int = 20
    weight_decay: float = 0.0
    negatives: str = "train_items"

    def __post_init__(self) -> None:
        check_choice("negatives", self.negatives, NEGATIVES)
        check_numbers(self)
