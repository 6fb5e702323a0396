"""The environment of a run: recorded beside its metrics, never part of its key."""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import torch


def environment() -> dict[str, str | int | None]:
    """Versions, processor, threads and the commit of the source; no host name and no path."""
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
    """The processor's name on Linux, else its architecture."""
    facts = Path("/proc/cpuinfo")
    text = facts.read_text(encoding="utf-8", errors="replace") if facts.exists() else ""
    name = re.search(r"^model name\s*: (.+)$", text, flags=re.MULTILINE)
    return name[1] if name else platform.machine()


def package_version() -> str | None:
    """The installed version of seapkg; None where it is used without being installed."""
    try:
        return metadata.version("seapkg")
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the source, with "+" after changes; None outside its git repository."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(root), "describe", "--always"]
    command += ["--exclude=*", "--abbrev=12", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    except OSError:  # git is not installed
        return None
