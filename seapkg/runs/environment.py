"""The environment of a run: recorded beside its metrics, never part of its key."""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import torch


def environment() -> dict[str, str | int | None]:
    """Versions, processor, threads and the commit of the package's source; no host name and no
    path.
    """
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": platform.system(),
        "cpu": cpu_model(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "package": package_version(),
        "commit": commit(),
    }


def cpu_model() -> str:
    """The processor's name where the system provides it, else its architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*: (.+)$", text, flags=re.MULTILINE)
    return name[1] if name else platform.processor() or platform.machine()


def package_version() -> str | None:
    """The installed version of seapkg; None where it is used without being installed."""
    try:
        return metadata.version("seapkg")
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the source tree, with "+" after uncommitted changes; None outside a git
    repository.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return result.stdout.strip()
