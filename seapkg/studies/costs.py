"""Seconds per epoch and peak memory of a training, each measured once, in a separate process."""

import json
import subprocess
import sys
import tempfile
from functools import partial
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
    """The cost of each training, read from the store if it was measured before.

    Args:
        trainings: label -> model and options.
        data: a dataset's name or folder.
        epochs: the length of each training.
        store: holds the measured costs.
        again: measure all of them again.

    Returns:
        Label -> what `measure` returns.

    Raises:
        DataNotFound: if a cost must be measured and the data is not here.
    """
    measured = {}
    for label, (model, options) in trainings.items():
        training = {"model": model, "data": data, "options": plain(options), "epochs": epochs}
        make = partial(measure, **training)
        measured[label] = cache.once("costs", training, make, store=store, again=again)
    return measured


def measure(model: str, data: str, options: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Trains some epochs in a separate process and discards the run.

    Returns:
        The arguments, with seconds_per_epoch (the median, without evaluation), peak_memory_mb (of
        the process, or on CUDA of the device's allocations) and device.

    Raises:
        DataNotFound: if the data is not here.
        SeapkgError: if the command fails; the message has its last line.
    """
    if isinstance(load_or_known(data), Known):
        raise DataNotFound(f"the cost of {model} on {data} was not measured; download the data")
    command = [sys.executable, "-m", "seapkg", "train", model, "--data", data]
    command += ["--epochs", str(epochs)]
    if options:
        command += ["--set", *(f"{key}={value}" for key, value in options.items())]
    with tempfile.TemporaryDirectory(prefix="seapkg-cost-") as store:
        done = subprocess.run([*command, "--store", store], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise SeapkgError(f"measuring {model} failed with exit code {done.returncode}: {last}")
    record = json.loads(done.stdout.splitlines()[-1])
    cost = {"model": model, "data": data, "options": options, "epochs": epochs}
    return cost | {key: record[key] for key in MEASURED}
