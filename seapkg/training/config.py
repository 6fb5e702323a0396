"""How a model is trained: the protocol's numbers."""

from typing import Literal

from seapkg.options import Range, configuration, option


@configuration
class TrainingConfig:
    """Options of every training; the defaults are MMRec's protocol (docs/protocol.md)."""

    learning_rate: float = option(
        1e-3, "Learning rate of Adam.", gt=0, search=Range(1e-4, 1e-2, log=True)
    )
    batch_size: int = option(2048, "Training pairs in a batch.", ge=1)
    max_epochs: int = option(1000, "Most epochs; 0 evaluates the untrained model.", ge=0)
    patience: int = option(
        20,
        "Training stops after more than this many epochs without a better valid Recall@20.",
        ge=0,
    )
    weight_decay: float = option(
        0.0,
        "Decoupled weight decay (AdamW), or coupled where the system says so; 0 is plain Adam.",
        ge=0,
    )
    negatives: Literal["train_items", "all_items", "never_held_out"] = option(
        "train_items",
        "Negatives from items seen in training, from all items, or never a held-out item (a leak).",
    )
