"""Values that are not finite: where they appeared, and what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import TrainingFault

#: Terms that divide by a temperature (see `Recommender.losses`).
TEMPERATURE_TERMS = {"alignment", "contrast"}
#: Features beyond this size overflow float32 when they are multiplied and squared.
HUGE = 1e9


def check_losses(history: Tensor, names: list[str], epoch: int, remedy: Callable[[], str]) -> None:
    """Checks the loss terms of an epoch.

    Args:
        history: [n_batches, n_terms].
        names: of the terms.
        epoch: counted from 0.
        remedy: what to change, asked for where a term is not finite.

    Raises:
        TrainingFault: a term is not finite; the error names the first one and its batch.
    """
    broken = (~history.isfinite()).nonzero()
    if len(broken):
        batch, term = broken[0].tolist()
        raise TrainingFault(
            f"the loss term {names[term]!r} became {history[batch, term].item()} "
            f"in epoch {epoch}, batch {batch}: {remedy()}"
        )


def copy_of_state(
    model: torch.nn.Module, epoch: int, remedy: Callable[[], str]
) -> dict[str, Tensor]:
    """A copy of the model's state; the arguments are those of `check_losses`.

    Raises:
        TrainingFault: a parameter is not finite.
    """
    state = model.state_dict()
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise TrainingFault(
                f"the parameter {name!r} is not finite after epoch {epoch}: {remedy()}"
            )
    return {name: tensor.clone() for name, tensor in state.items()}


def remedy_for(model: torch.nn.Module, dataset: Dataset, terms: Iterable[str]) -> str:
    """What to change where a training diverges: the features if they are huge, else options."""
    if model.needs_features:
        sizes = {name: float(np.abs(x).max()) for name, x in dataset.features.items()}
        largest = max(sizes, key=sizes.__getitem__)
        if sizes[largest] > HUGE:
            return (
                f"the features of {largest} reach {sizes[largest]:.0e}, too large for float32: "
                f"scale them, for example to unit variance"
            )
    temperature = ", or raise temperature" if TEMPERATURE_TERMS & set(terms) else ""
    return f"lower learning_rate{temperature}"
