"""The files of a finished run: JSON, CSV and arrays, written and read without pickle.

run.json     the spec, metrics, costs, data and environment of the run
curves.csv   one row per epoch: seconds, loss terms, valid metrics
users.npz    test metrics of each user
state.npz    the trained model; a committed summary comes without it
"""

import io
import json
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
# Recall on groups of items; the number is the version of the measurement.
ITEM_GROUPS = "items-1.json"
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
        STATE: _npz({name: part.cpu().numpy() for name, part in model.state_dict().items()}),
    }


def public_record(record: Mapping[str, Any]) -> bytes:
    """The content of a `run.json` for committing: without paths of this machine."""
    data = record["data"]
    return _json({**record, "data": {**data, "source": Path(data["source"]).name, "path": None}})


def _record(spec: RunSpec, fit: Any, dataset: Any) -> dict[str, Any]:
    source = str(dataset.source)  # "" for data from arrays
    folder = str(Path(source).resolve()) if source and Path(source).is_dir() else None
    return {
        "run": spec.name,
        "spec": plain(spec),
        **{name: getattr(fit, name) for name in MEASURED},
        "data": {"source": source, "path": folder, "provenance": dataset.provenance},
        "environment": environment(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
