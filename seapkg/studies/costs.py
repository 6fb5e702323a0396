"""What a training costs: seconds an epoch and peak memory, each training in a process of its own, measured once."""

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
    """What each training costs: label -> what `measure` returns, read from the store where it was measured before.

    `trainings`: label -> model and options. `again` measures all anew. Raises DataNotFound where something has to be
    measured and the data is known but not here.
    """
    absent = isinstance(load_or_known(data), Known)

    def measured(training: dict[str, Any]) -> dict[str, Any]:
        if absent:
            raise DataNotFound(
                f"what {training['model']} costs on {data} was not measured, and the data is not here"
            )
        return {**training, **measure(**training)}

    found = {}
    for label, (model, options) in trainings.items():
        training = {"model": model, "data": data, "options": plain(options), "epochs": epochs}
        cost = cache.once(
            "costs",
            training,
            lambda training=training: measured(training),
            store=store,
            again=again,
        )
        found[label] = {key: cost[key] for key in MEASURED}
    return found


def measure(
    model: str, data: str | Path, options: dict[str, Any], *, epochs: int = 3
) -> dict[str, Any]:
    """Trains `epochs` epochs by the command line and throws the run away.

    Returns seconds_per_epoch (the median, evaluation left out), peak_memory_mb (of the whole process, or on CUDA of the
    device's allocations) and device. Raises SeapkgError with the command's own words where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="seapkg-cost-") as store:
        command = [
            sys.executable,
            "-m",
            "seapkg",
            "train",
            model,
            "--data",
            str(data),
            "--store",
            store,
        ]
        settings = [f"{key}={value}" for key, value in options.items()]
        command += ["--epochs", str(epochs), *(["--set", *settings] if settings else [])]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise SeapkgError(
            f"the training of {model} to be measured failed with exit code {done.returncode}: {said[-1]}"
        )
    record = json.loads(done.stdout.splitlines()[-1])
    return {key: record[key] for key in MEASURED}
