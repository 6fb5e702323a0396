"""The machine a run uses: its device, its precision, its memory, and help when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform
import re
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from seapkg.errors import OutOfMemory, RequestError

T = TypeVar("T")
STATUS = Path("/proc/self/status")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # names and values of malloc.h
OUT_OF_MEMORY_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")
BYTES = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def choose_device(name: str) -> torch.device:
    """The torch device called `name`: "auto" (CUDA where available, else the CPU), "cpu", "cuda" or
    "cuda:N".

    Raises:
        RequestError: for another name, or a device that is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(name)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise RequestError(f"device must be auto, cpu, cuda or cuda:N; it is {name!r}")
    device = torch.device(name)
    available = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= available:
        raise RequestError(f"device {name} is not available: torch sees {available} CUDA devices")
    return device


def describe_device(device: torch.device) -> str:
    """A name for a report: "cuda: NVIDIA A100" or "cpu: x86_64, 2 threads"."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.machine()}, {torch.get_num_threads()} threads"


@contextlib.contextmanager
def precision_context(precision: str) -> Iterator[None]:
    """Sets the precision of matrix products inside the block.

    Args:
        precision: "exact" keeps float32; "fast" allows bfloat16 (CPU) or TF32 (CUDA).
    """
    if precision not in ("exact", "fast"):
        raise RequestError(f"precision must be exact or fast; it is {precision!r}")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "exact" else "medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def keep_freed_memory() -> None:
    """Tells glibc's malloc to keep freed blocks instead of returning them to the system.

    A training step allocates and frees the same large arrays again and again; fetching their pages
    anew costs up to half of a step. The setting holds for the whole process and cannot be undone,
    so only the command line and worker processes call this. MALLOC_MMAP_MAX_,
    MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_ in the environment do the same.
    """
    set_option = _of_glibc("mallopt")
    if set_option:
        set_option(M_MMAP_MAX, 0)  # large arrays come from the heap, which keeps them
        set_option(M_TRIM_THRESHOLD, 2**31 - 1)
        set_option(M_TOP_PAD, 64 << 20)


def forget_peak_memory(device: torch.device) -> None:
    """Restarts the measurement of peak memory, where the system can: on CUDA and on Linux.

    Freed memory that malloc holds is returned first, so that it is not counted again.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    gc.collect()
    trim = _of_glibc("malloc_trim")
    if trim:
        trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB since `forget_peak_memory`: of CUDA allocations, else of the whole process.

    On macOS it is the peak since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = _status_mb("VmHWM")
    if peak is not None:
        return peak
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return usage * unit / 1e6


def in_blocks(work: Callable[[int], T], size: int, what: str) -> T:
    """Returns `work(size)`, where `size` is a number of rows; out of memory, tries once more with
    half as many.

    Raises:
        OutOfMemory: where half is too much as well; the message says `what` was done.
    """
    try:
        return work(size)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    remedy = "already in half blocks: close other programs, or use a machine with more memory"
    with explained(what, remedy):
        return work(max(1, size // 2))


@contextlib.contextmanager
def explained(what: str, remedy: str) -> Iterator[None]:
    """Turns every out-of-memory error inside the block into an `OutOfMemory` with the amount and a
    remedy.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(f"out of memory in {what}{_amounts(error)}: {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch (on any device) means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(m in message for m in OUT_OF_MEMORY_MESSAGES)


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where it is not glibc."""
    is_linux = sys.platform.startswith("linux")
    return getattr(ctypes.CDLL(None), name, None) if is_linux else None


def _amounts(error: BaseException) -> str:
    """ ", which asked for 12 MB beside the 3400 MB in use", as far as the amounts are known."""
    in_use = _status_mb("VmRSS")
    requested = re.search(r"allocate ([\d.]+) (bytes|KiB|MiB|GiB|TiB)", str(error))
    if requested is None:
        return "" if in_use is None else f", which held {in_use:.0f} MB"
    megabytes = float(requested[1]) * BYTES[requested[2]] / 1e6
    beside = "" if in_use is None else f" beside the {in_use:.0f} MB in use"
    return f", which asked for {megabytes:.0f} MB{beside}"


def _status_mb(name: str) -> float | None:
    """An entry of /proc/self/status in MB; None where the system has no such file."""
    if not STATUS.exists():
        return None
    kibibytes = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())
    return None if kibibytes is None else int(kibibytes[1]) * 1024 / 1e6
