"""The files of a finished run: how a fit becomes JSON, CSV and arrays, without pickle."""

import json
import os
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from seapkg.runs.environment import environment
from seapkg.runs.run import CURVES, FIT_FIELDS, METRICS, RECORD, STATE, USERS
from seapkg.runs.spec import RunSpec


def write(folder: Path, spec: RunSpec, fit: Any, *, model: Any, dataset: Any) -> None:
    """Writes every file of the run of a `Fit` into `folder`."""
    write_json(folder / RECORD, _record(spec, fit, dataset))
    _write_curves(folder / CURVES, fit.curves)
    write_arrays(folder / USERS, fit.per_user)
    write_arrays(folder / STATE, _state(model))


def _record(spec: RunSpec, fit: Any, dataset: Any) -> dict[str, Any]:
    source = Path(dataset.source)
    return {
        "run": spec.name,
        "spec": spec.as_dict(),
        **{field: _json_value(getattr(fit, field)) for field in FIT_FIELDS},
        "data": {
            "source": str(dataset.source),
            "path": str(source.resolve()) if source.is_dir() else None,
            "provenance": dataset.provenance,
        },
        "environment": environment(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def without_places(record: Mapping[str, Any]) -> dict[str, Any]:
    data = record["data"]
    return {**record, "data": {**data, "source": Path(data["source"]).name, "path": None}}


def _json_value(value: Any) -> Any:
    """Numbers as plain Python ones; what is not finite becomes null, for JSON has no word for it."""
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_curves(path: Path, curves: list[dict[str, float]]) -> None:
    import pandas as pd

    columns = (
        None if curves else ["epoch", "seconds", "loss", *(f"valid/{name}" for name in METRICS)]
    )
    pd.DataFrame(curves, columns=columns).to_csv(path, index=False, lineterminator="\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz, flushed to the disk; array by array, so that no name is special."""
    with open(path, "wb") as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


def _state(model: Any) -> dict[str, np.ndarray]:
    """The model's tensors as arrays; what NumPy has no type for (bfloat16) is widened, which loses nothing."""
    arrays = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        half = tensor.is_floating_point() and tensor.element_size() < 4
        arrays[name] = (tensor.float() if half else tensor).numpy()
    return arrays
