"""The whole state of a training in one file without pickle, so that a killed training resumes."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seapkg.data.arrays import read_npz
from seapkg.errors import DataError
from seapkg.files import replacing

log = logging.getLogger(__name__)

#: Least seconds between two writes.
EVERY = 60.0
#: Raised when the layout of the file changes.
FORM = 4
#: The array of the JSON text, in which {TENSOR: NAME} refers to another array.
FACTS, TENSOR = "facts", "tensor"


class Checkpoint:
    """The checkpoint file of one training.

    Args:
        path: of the file, an .npz. Each write replaces it as a whole.
        identity: of the training; the file of another training is ignored.
        every: least seconds between two writes, by default `EVERY`.
    """

    def __init__(self, path: str | Path, identity: str, every: float | None = None) -> None:
        self.path, self.identity = Path(path), identity
        self.every = EVERY if every is None else every
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last write was at least `every` seconds ago."""
        return time.monotonic() - self._last >= self.every

    def save(self, state: Mapping[str, Any], device: str = "cpu") -> None:
        """Writes the state; a full disk is a warning, and training goes on.

        Args:
            state: nested dictionaries and lists of JSON values and of tensors of any shape.
            device: its type; the state of a generator fits no other one.
        """
        arrays: dict[str, np.ndarray] = {}

        def store(tensor: Tensor) -> dict[str, str]:
            name = str(len(arrays))
            arrays[name] = tensor.detach().cpu().numpy()
            return {TENSOR: name}

        facts = {"of": [self.identity, FORM, device], **state}
        text = json.dumps(facts, default=store)
        arrays[FACTS] = np.frombuffer(text.encode(), dtype=np.uint8)
        try:
            with replacing(self.path) as temporary, open(temporary, "wb") as stream:
                np.savez(stream, **arrays)
        except OSError as error:
            log.warning("the checkpoint %s could not be written: %s", self.path, error)
        self._last = time.monotonic()

    def load(self, device: str = "cpu") -> dict[str, Any] | None:
        """The state of the last `save`, with tensors [...] on the CPU.

        None if there is no file, or, with a warning, if the file is damaged or belongs to another
        training or device.
        """
        if not self.path.is_file():
            return None
        try:
            arrays = read_npz(self.path)

            def restore(value: dict[str, Any]) -> Any:
                if TENSOR in value:
                    return torch.from_numpy(arrays[value[TENSOR]])
                return {_key(name): entry for name, entry in value.items()}

            facts = json.loads(arrays[FACTS].tobytes(), object_hook=restore)
            if facts.pop("of") != [self.identity, FORM, device]:
                raise ValueError("it belongs to another training, release or device")
        except (DataError, AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("ignoring the checkpoint %s (%s): training starts anew", self.path, error)
            return None
        return facts

    def remove(self) -> None:
        """Deletes the file."""
        self.path.unlink(missing_ok=True)


def _key(name: str) -> str | int:
    """JSON has no numbers as keys; an optimiser numbers its parameters."""
    return int(name) if name.isdecimal() else name
