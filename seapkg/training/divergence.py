"""Divergence: which loss term or parameter is not finite, and what helps."""

import numpy as np
import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.errors import TrainingFault

#: Terms that divide by a temperature (see `Recommender.losses`).
TEMPERATURE_TERMS = {"alignment", "contrast"}
#: Features beyond this size overflow float32 when they are multiplied and squared.
HUGE = 1e9


def check_epoch(
    model: torch.nn.Module, dataset: Dataset, history: Tensor, terms: list[str], epoch: int
) -> None:
    """Checks that all loss terms and the model's state are finite.

    Args:
        model: after the epoch.
        dataset: the training data.
        history: loss terms [n_batches, n_terms].
        terms: their names.
        epoch: counted from 0.

    Raises:
        TrainingFault: the error names the first term that is not finite, or a parameter.
    """
    problem = _broken_term(history, terms, epoch) or _broken_parameter(model, epoch)
    if problem:
        raise TrainingFault(f"{problem}; {_remedy(model, dataset, terms)}")


def _broken_term(history: Tensor, terms: list[str], epoch: int) -> str | None:
    broken = (~history.isfinite()).nonzero()
    if not len(broken):
        return None
    batch, term = broken[0].tolist()
    value = history[batch, term].item()
    return f"the loss term {terms[term]!r} became {value} in epoch {epoch}, batch {batch}"


def _broken_parameter(model: torch.nn.Module, epoch: int) -> str | None:
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            return f"the parameter {name!r} is not finite after epoch {epoch}"
    return None


def _remedy(model: torch.nn.Module, dataset: Dataset, terms: list[str]) -> str:
    """What to change: the scale of huge features, else options."""
    if model.needs_features:
        for name, features in dataset.features.items():
            largest = np.abs(features).max()
            if largest > HUGE:
                return (
                    f"the features of {name} reach {largest:.0e}, too large for float32: "
                    f"scale them, for example to unit variance"
                )
    has_temperature = TEMPERATURE_TERMS & set(terms)
    return "lower learning_rate" + (", or raise temperature" if has_temperature else "")
