"""What a training costs: seconds an epoch and peak memory, each training in a process of its
own, measured once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from seapkg.data.catalogue import Known, load_or_known
from seapkg.errors import DataNotFound, SeapkgError
from seapkg.runs import cache
from seapkg.runs.spec import plain
from seapkg.runs.store import Store

MEASURED = ("seconds_per_epoch", "peak_memory_mb", "device")


def costs(
    trainings: dict[str, tuple[str, dict[str, Any]]],
    data: str,
    *,
    epochs: int,
    store: Store,
    again: bool = False,
) -> dict[str, dict[str, Any]]:
    """What each training costs, read from the store where it was measured before.

    Args:
        trainings: label -> model and options.
        again: measures all anew.

    Returns:
        Label -> what `measure` returns.

    Raises:
        DataNotFound: where something has to be measured and the data is not here.
    """
    measured = {}
    for label, (model, options) in trainings.items():
        training = {"model": model, "data": data, "options": plain(options), "epochs": epochs}
        cost = cache.once(
            "costs", training, lambda job=training: _measured(**job), store=store, again=again
        )
        measured[label] = {key: cost[key] for key in MEASURED}
    return measured


def measure(
    model: str, data: str | Path, options: dict[str, Any], *, epochs: int = 3
) -> dict[str, Any]:
    """Trains some epochs by the command line and throws the run away.

    Returns:
        seconds_per_epoch (the median, without evaluation), peak_memory_mb (of the whole process, or
        on CUDA of the device's allocations) and device.

    Raises:
        SeapkgError: where the command fails, with its last line.
    """
    command = [sys.executable, "-m", "seapkg", "train", model, "--data", str(data)]
    command += ["--epochs", str(epochs)]
    if options:
        command += ["--set", *(f"{key}={value}" for key, value in options.items())]
    with tempfile.TemporaryDirectory(prefix="seapkg-cost-") as store:
        done = subprocess.run([*command, "--store", store], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SeapkgError(
            f"the training of {model} to be measured failed with exit code {done.returncode}: {last}"
        )
    record = json.loads(done.stdout.splitlines()[-1])
    return {key: record[key] for key in MEASURED}


def _measured(model: str, data: str, options: dict[str, Any], epochs: int) -> dict[str, Any]:
    if isinstance(load_or_known(data), Known):
        raise DataNotFound(
            f"the cost of {model} on {data} was not measured, and the data is not here"
        )
    cost = measure(model, data, options, epochs=epochs)
    return {"model": model, "data": data, "options": options, "epochs": epochs, **cost}
