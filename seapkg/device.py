"""Device, matrix precision and memory, with a clear error when memory runs out."""

import contextlib
import ctypes
import gc
import platform
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from seapkg.errors import OutOfMemory, RequestError

STATUS = Path("/proc/self/status")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # names and values of malloc.h
OUT_OF_MEMORY_MESSAGES = "can't allocate memory|not enough memory|out of memory"


def choose_device(name: str) -> torch.device:
    """The torch device called `name`: "auto" (CUDA where available, else the CPU), "cpu", "cuda" or
    "cuda:N".

    Raises:
        RequestError: for another name, or a device that is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise RequestError(f"device must be auto, cpu, cuda or cuda:N; it is {name!r}")
    device = torch.device(name)
    available = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= available:
        raise RequestError(f"device {name} is not available: torch sees {available} CUDA devices")
    return device


def describe_device(device: torch.device) -> str:
    """A name for a report, such as "cuda: NVIDIA A100" or "cpu: x86_64, 2 threads"."""
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
    glibc = _glibc()
    if glibc:
        glibc.mallopt(M_MMAP_MAX, 0)  # large arrays come from the heap, which keeps them
        glibc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        glibc.mallopt(M_TOP_PAD, 64 << 20)


def forget_peak_memory(device: torch.device) -> None:
    """Restarts the measurement of peak memory, on CUDA and on Linux.

    Freed memory that malloc holds is returned first, so that it is not counted again.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    gc.collect()
    glibc = _glibc()
    if glibc:
        glibc.malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB since `forget_peak_memory`: of CUDA allocations, else of the whole process.

    On macOS, and where /proc is incomplete, it is the peak since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = STATUS.read_text() if STATUS.exists() else ""
    kibibytes = re.search(r"VmHWM:\s+(\d+) kB", status)  # some sandboxes do not tell
    if kibibytes:
        return int(kibibytes[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@contextlib.contextmanager
def explained(what: str, remedy: str) -> Iterator[None]:
    """Turns every out-of-memory error inside the block into an `OutOfMemory` with a remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        amount = re.search(r"allocate [\d.]+ \w+", str(error))
        tried = f" (tried to {amount[0]})" if amount else ""
        raise OutOfMemory(f"out of memory in {what}{tried}; {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch (on any device) means that memory ran out."""
    is_torch = isinstance(error, RuntimeError)
    matches = re.search(OUT_OF_MEMORY_MESSAGES, str(error), flags=re.IGNORECASE)
    return isinstance(error, MemoryError) or (is_torch and bool(matches))


def _glibc() -> Any:
    """The C library of Linux; None on other systems, and where it has no such settings."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "mallopt") else None
