"""When memory does not do: smaller blocks once, then an error that says how much was asked for and what to set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from seapkg.errors import OutOfMemory

T = TypeVar("T")
STATUS = Path("/proc/self/status")
SIGNS = ("can't allocate memory", "not enough memory", "out of memory")


def in_blocks(work: Callable[[int], T], size: int, what: str) -> T:
    """`work(size)`, `size` being that of a block; where memory does not do, once more with half of it.

    Raises OutOfMemory, which names `what` was done, when half is too much as well.
    """
    try:
        return work(size)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    with explained(
        what, "already in half blocks: close other programs, or take a machine with more memory"
    ):
        return work(max(1, size // 2))


@contextmanager
def explained(what: str, remedy: str) -> Iterator[None]:
    """Turns every way in which memory can run out inside into an OutOfMemory: what was done, how much it took."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"out of memory in {what}{_amounts(error)}: {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or torch (on any device) says with this error that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def _amounts(error: BaseException) -> str:
    """ ", which asked for 12 MB beside the 3400 MB in use", as far as it is known."""
    asked = _asked_for(str(error))
    held = _held_mb()
    words = [f"asked for {asked:.0f} MB"] if asked is not None else []
    words += (
        [f"beside the {held:.0f} MB in use" if words else f"held {held:.0f} MB"]
        if held is not None
        else []
    )
    return f", which {' '.join(words)}" if words else ""


def _asked_for(message: str) -> float | None:
    """The amount in MB that torch or NumPy names: "tried to allocate 400 bytes", "Unable to allocate 3.5 GiB"."""
    found = re.search(r"allocate ([\d.]+) (bytes|KiB|MiB|GiB|TiB)", message)
    if not found:
        return None
    return (
        float(found[1])
        * {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[found[2]]
        / 1e6
    )


def _held_mb() -> float | None:
    """What the process holds in memory now, in MB, where the system says so (Linux)."""
    if not STATUS.exists():
        return None
    kibibytes = next(
        line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:")
    )
    return int(kibibytes) * 1024 / 1e6
