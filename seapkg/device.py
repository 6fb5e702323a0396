"""The machine a run stands on: its device, its precision, its memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform
import resource
import sys
from pathlib import Path

import torch

from seapkg.errors import RequestError

STATUS = Path("/proc/self/status")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # names and values of malloc.h


def choose_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is one, else the CPU. Raises RequestError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RequestError(f"device must be auto, cpu, cuda or cuda:N; it is {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"device must be auto, cpu, cuda or cuda:N; it is {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(
            f"device {name} is not there: torch sees {torch.cuda.device_count()} CUDA devices"
        )
    return device


def describe_device(device: torch.device) -> str:
    """A name for a report: "cuda: NVIDIA A100" or "cpu: x86_64, 2 threads"."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.machine()}, {torch.get_num_threads()} threads"


@contextlib.contextmanager
def precision_context(precision: str):
    """ "exact" leaves float32 as it is; "fast" lets matrix products use bfloat16 (CPU) or TF32 (CUDA) inside."""
    if precision not in ("exact", "fast"):
        raise RequestError(f"precision must be exact or fast; it is {precision!r}")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "exact" else "medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def keep_freed_memory() -> None:
    """Asks the C library to keep freed blocks instead of handing them back to the system.

    A training step allocates and frees the same large arrays over and over; fetching their pages anew each time
    costs up to half of a step. Only glibc has the setting; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(
            M_MMAP_MAX, 0
        )  # no block of its own for a large array, which would be handed back when freed
        set_option(M_TRIM_THRESHOLD, 2**31 - 1)
        set_option(M_TOP_PAD, 64 << 20)


def forget_peak_memory(device: torch.device) -> None:
    """Starts the measure of peak memory anew, where the system can: on CUDA, and on Linux.

    Memory that was freed and kept (`keep_freed_memory`) is handed back first, lest it be counted once more.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB since `forget_peak_memory`: of the device's allocations on CUDA, else of this whole process.

    Where the system cannot forget (macOS), it is the peak since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if STATUS.exists():
        kibibytes = next(
            line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")
        )
        return int(kibibytes) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        peak if sys.platform == "darwin" else peak * 1024
    ) / 1e6  # bytes there, kibibytes elsewhere
