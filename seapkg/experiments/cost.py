"""What a training costs, measured: seconds an epoch and peak memory, each training in a process of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from seapkg.errors import SeapkgError

MEASURED = ("seconds_per_epoch", "peak_memory_mb", "device")


def measure(model: str, data: str | Path, options: dict[str, Any], *, epochs: int = 3) -> dict[str, Any]:
    """Trains `epochs` epochs by the command line and throws the run away.

    Returns seconds_per_epoch (the median, evaluation left out), peak_memory_mb (of the whole process, or on CUDA of the
    device's allocations) and device. Raises SeapkgError with the command's own words where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="seapkg-cost-") as store:
        command = [sys.executable, "-m", "seapkg", "train", model, "--data", str(data), "--store", store]
        settings = [f"{key}={value}" for key, value in options.items()]
        command += ["--epochs", str(epochs), *(["--set", *settings] if settings else [])]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise SeapkgError(f"the training of {model} to be measured failed with exit code {done.returncode}: {said[-1]}")
    record = json.loads(done.stdout.splitlines()[-1])
    return {key: record[key] for key in MEASURED}
