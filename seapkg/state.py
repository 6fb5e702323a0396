"""The state of a whole as named tensors: parts side by side under "part/name", and what an Adam carries along."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def flat(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under "part/name"."""
    return {f"{part}/{name}": tensor for name, tensor in tensors.items()}


def under(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of "part/name" by name."""
    return {
        name.removeprefix(f"{part}/"): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{part}/")
    }


def adam_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments and step counts of an Adam, "parameter's number.quantity"."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": value for number, own in state.items() for name, value in own.items()
    }


def load_adam_state(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
