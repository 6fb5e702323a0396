"""The whole state of a training on disk, so that one that was killed is taken up where it was: no pickle, one file."""

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

EVERY = 60.0  # seconds between two writes; what a kill can cost
FACTS = "facts"
FORM = 1  # raised when what is written changes


class Checkpoint:
    """One training's checkpoint file.

    Args:
        path: of the file, an .npz. It is written aside and renamed, so it is whole at any time.
        identity: what training this is; a file of another is not taken up.
        every: seconds between two writes, `EVERY` where it is not given.
    """

    def __init__(self, path: str | Path, identity: str, every: float | None = None) -> None:
        self.path, self.identity = Path(path), identity
        self.every = EVERY if every is None else every
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether so many seconds have passed since the last write."""
        return time.monotonic() - self._last >= self.every

    def save(
        self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], device: str = "cpu"
    ) -> None:
        """Writes named tensors and facts, plain JSON values. A full disk costs the checkpoint, not the training."""
        words = json.dumps({"of": [self.identity, FORM, device], **facts}).encode()
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        try:
            with replacing(self.path) as aside, open(aside, "wb") as stream:
                np.savez(stream, **{FACTS: np.frombuffer(words, dtype=np.uint8)}, **arrays)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            log.warning("the checkpoint %s could not be written: %s", self.path, error)
        self._last = time.monotonic()

    def load(self, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What `save` was given last; None where there is nothing, or nothing that can be taken up on this device."""
        if not self.path.is_file():
            return None
        try:
            arrays = read_npz(self.path)
            facts = json.loads(arrays.pop(FACTS).tobytes())
            if facts.pop("of") != [self.identity, FORM, device]:
                raise ValueError("it is of another training, release or device")
            return {name: torch.from_numpy(array) for name, array in arrays.items()}, facts
        except (DataError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning(
                "the checkpoint %s cannot be taken up (%s): training starts anew", self.path, error
            )
            return None

    def misfit(self, error: Exception) -> BrokenFile:
        """What to raise where the checkpoint was read and is not the state of its training after all."""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return BrokenFile(
            f"the checkpoint {self.path} is not of this training ({reason}): delete it and start anew"
        )

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
