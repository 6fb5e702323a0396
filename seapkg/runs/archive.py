"""The files of a finished run: JSON, CSV and arrays, written and read without pickle.

run.json     the spec, metrics, costs, data and environment of the run
curves.csv   one row per epoch: seconds, loss terms, valid metrics
users.npz    test metrics of each user
state.npz    the trained model; a committed summary comes without it
"""

import io
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seapkg.runs.environment import environment
from seapkg.runs.spec import RunSpec, plain

RECORD, CURVES, USERS, STATE = "run.json", "curves.csv", "users.npz", "state.npz"
# Measures of the model's item parts; their number is the version of the measurement.
PARTS, PARTS_SAMPLE = "parts-1.csv", "parts-1.npz"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
#: The fields of a `Fit` in the record.
MEASURED = (
    *("epochs", "best_epoch", "valid", "test"),
    *("seconds_per_epoch", "seconds_total", "peak_memory_mb", "device"),
)


def pack(spec: RunSpec, fit: Any, *, model: Any, dataset: Any) -> dict[str, bytes]:
    """The files of a run by name, from its `Fit`.

    Any process or machine can send and store them.
    """
    empty = ["epoch", "seconds", "loss", *(f"valid/{name}" for name in METRICS)]
    curves = pd.DataFrame(fit.curves, columns=None if fit.curves else empty)
    return {
        RECORD: _json(_record(spec, fit, dataset)),
        CURVES: curves.to_csv(index=False, lineterminator="\n").encode(),
        USERS: _npz(fit.per_user),
        STATE: _npz(_state(model)),
    }


def public_record(record: Mapping[str, Any]) -> bytes:
    """The content of a `run.json` for committing: without paths of this machine."""
    data = record["data"]
    return _json({**record, "data": {**data, "source": Path(data["source"]).name, "path": None}})


def _record(spec: RunSpec, fit: Any, dataset: Any) -> dict[str, Any]:
    source = str(dataset.source)  # "" for data from arrays
    folder = str(Path(source).resolve()) if source and Path(source).is_dir() else None
    measured = {name: getattr(fit, name) for name in MEASURED}
    return {
        "run": spec.name,
        "spec": plain(spec),
        **measured | {"valid": _finite(fit.valid), "test": _finite(fit.test)},
        "data": {"source": source, "path": folder, "provenance": dataset.provenance},
        "environment": environment(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """None for a number that is not finite, which JSON cannot express."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _state(model: Any) -> dict[str, np.ndarray]:
    """The model's tensors as arrays; bfloat16, which NumPy lacks, becomes float32 without loss."""
    arrays = {}
    for name, tensor in model.state_dict().items():
        is_half = tensor.is_floating_point() and tensor.element_size() < 4
        arrays[name] = (tensor.float() if is_half else tensor).cpu().numpy()
    return arrays
