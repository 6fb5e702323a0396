"""The whole state of a training in one file without pickle, so that a killed training resumes."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seapkg.data.arrays import read_npz
from seapkg.errors import BrokenFile, DataError
from seapkg.files import replacing

log = logging.getLogger(__name__)

#: Seconds between two writes: the most that a kill can cost.
EVERY = 60.0
FACTS = "facts"
#: Raised when the layout of the file changes.
FORM = 2


class Checkpoint:
    """The checkpoint file of one training.

    Args:
        path: of the file, an .npz. Each write replaces it as a whole.
        identity: of the training; the file of another training is ignored.
        every: seconds between two writes, by default `EVERY`.
    """

    def __init__(self, path: str | Path, identity: str, every: float | None = None) -> None:
        self.path, self.identity = Path(path), identity
        self.every = EVERY if every is None else every
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last write is `every` seconds ago."""
        return time.monotonic() - self._last >= self.every

    def save(
        self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], device: str = "cpu"
    ) -> None:
        """Writes the state; a full disk is a warning, and training goes on.

        Args:
            tensors: name -> tensor of any shape.
            facts: plain JSON values.
            device: its type; the state of a generator fits no other one.
        """
        header = json.dumps({"of": [self.identity, FORM, device], **facts}).encode()
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        arrays[FACTS] = np.frombuffer(header, dtype=np.uint8)
        try:
            with replacing(self.path) as aside, open(aside, "wb") as stream:
                np.savez(stream, **arrays)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            log.warning("the checkpoint %s could not be written: %s", self.path, error)
        self._last = time.monotonic()

    def load(self, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and facts of the last `save`, tensors of the same shapes.

        None where there is no file, or, with a warning, none of this training on this device.
        """
        if not self.path.is_file():
            return None
        try:
            arrays = read_npz(self.path)
            facts = json.loads(arrays.pop(FACTS).tobytes())
            if facts.pop("of") != [self.identity, FORM, device]:
                raise ValueError("it belongs to another training, release or device")
        except (DataError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("ignoring the checkpoint %s (%s): training starts anew", self.path, error)
            return None
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, facts

    def misfit(self, error: Exception) -> BrokenFile:
        """The error for a state that does not fit its training."""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return BrokenFile(
            f"the checkpoint {self.path} is not of this training ({reason}): "
            f"delete it and start anew"
        )

    def remove(self) -> None:
        """Deletes the file."""
        self.path.unlink(missing_ok=True)


def flatten(parts: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Dictionaries of tensors of any shape, in one dictionary with keys "part/name"."""
    flat = {}
    for name, value in parts.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def part(name: str, flat: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One part of `flatten`'s tensors, each of any shape; empty where there is none."""
    start = f"{name}/"
    return {key.removeprefix(start): flat[key] for key in flat if key.startswith(start)}


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts, of their parameters' shapes: "NUMBER.QUANTITY" -> tensor."""
    state = {}
    for number, quantities in optimiser.state_dict()["state"].items():
        for name, value in quantities.items():
            state[f"{number}.{name}"] = value
    return state


def load_optimiser_state(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restores `optimiser_state`, tensors of the parameters' shapes."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
