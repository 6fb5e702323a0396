"""The files of a finished run: JSON, CSV and arrays, written and read without pickle.

run.json     what the run is (its spec), metrics, costs, data, environment
curves.csv   one row an epoch: seconds, loss terms, valid metrics
users.npz    test metrics of each user
state.npz    the trained model; a committed summary comes without it
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from seapkg.data.arrays import read_npz
from seapkg.errors import BrokenFile, DataError, RequestError
from seapkg.runs.environment import environment
from seapkg.runs.spec import RunSpec, results_version

RECORD, CURVES, USERS, STATE = "run.json", "curves.csv", "users.npz", "state.npz"
# How the item parts of the model lie to each other; the number rises when what is measured changes.
PARTS, PARTS_SAMPLE = "parts-1.csv", "parts-1.npz"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
COSTS = ("seconds_per_epoch", "seconds_total", "peak_memory_mb", "device")
FIT_FIELDS = ("epochs", "best_epoch", "valid", "test", *COSTS)

_NUMBERS = ("epochs", "best_epoch", "seconds_per_epoch", "seconds_total", "peak_memory_mb")
_Metrics = TypedDict("_Metrics", dict.fromkeys(METRICS, float | None))


class _Data(TypedDict):
    source: str
    path: str | None
    provenance: str


_Record = TypedDict(
    "_Record",
    {
        "run": str,
        "spec": dict,
        "data": _Data,
        "valid": _Metrics,
        "test": _Metrics,
        "device": str,
        **dict.fromkeys(_NUMBERS, float),
    },
)
_FORM = TypeAdapter(_Record)


class RunFiles:
    """The files of one run in `folder`, checked when they are read.

    Args:
        folder: named as the run.
        complete: whether all four files must exist; a committed summary has at least the record and
            the curves.

    Raises:
        BrokenFile: names the file, what is wrong, and the remedy.
    """

    def __init__(self, folder: Path, *, complete: bool = True) -> None:
        self.folder = Path(folder)
        for name in (RECORD, CURVES, USERS, STATE) if complete else (RECORD, CURVES):
            if not (self.folder / name).is_file():
                raise self._broken(f"has no {name}")
        self.record = self._read_record()
        self.spec = self._read_spec()

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row an epoch: epoch, seconds, loss, loss/TERM, valid/METRIC."""
        try:
            text = pd.read_csv(self.folder / CURVES, dtype=str)  # floats of every digit
            return text.astype(float).astype({"epoch": int})
        except (OSError, ValueError, KeyError) as error:
            raise self._broken(f"has a {CURVES} that cannot be read ({error})") from error

    @cached_property
    def per_user(self) -> dict[str, np.ndarray]:
        """Test metrics of each user: "users" int64 [n] and every metric float32 [n], in the same
        order.
        """
        return self.arrays(USERS)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one of the run's .npz files by name, of any shape."""
        self.require(name)
        try:
            return read_npz(self.folder / name)
        except DataError as error:
            raise self._broken(f"has a {name} that cannot be read ({error})") from error

    def require(self, name: str) -> None:
        """Raises RequestError where the run is a committed summary without the file `name`."""
        if not (self.folder / name).is_file():
            raise RequestError(
                f"{self.folder.name} is a committed summary without {name}; to have it, train the "
                "run again into a store of your own (--store DIR)"
            )

    def _read_record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._broken(f"has a {RECORD} that cannot be read ({error})") from error
        if not isinstance(record, dict):
            raise self._broken(f"has a {RECORD} that is no JSON object")
        self._refuse_newer(record.get("spec"))
        try:
            _FORM.validate_python(record, strict=True)
        except ValidationError as error:
            name = error.errors()[0]["loc"][0]
            raise self._broken(f"has a {RECORD} without a proper {name}") from error
        return record

    def _refuse_newer(self, spec: Any) -> None:
        if not isinstance(spec, dict) or not isinstance(spec.get("results_version"), int):
            return
        version, known = spec["results_version"], results_version(str(spec.get("model")))
        if version > known:
            raise BrokenFile(
                f"{self.folder} was made by a newer release of seapkg (results version {version}, "
                f"this one knows {known}): update seapkg, or choose another store; nothing need be "
                "deleted"
            )

    def _read_spec(self) -> RunSpec:
        try:
            spec = RunSpec(**self.record["spec"])
        except (TypeError, RequestError) as error:
            raise self._broken(f"has a {RECORD} whose spec cannot be read ({error})") from error
        if self.record["run"] != self.folder.name:
            raise self._broken(f"has the {RECORD} of another run, {self.record['run']}")
        return spec

    def _broken(self, what: str) -> BrokenFile:
        return BrokenFile(f"{self.folder} {what}: delete {self.folder} and train again")


def pack(spec: RunSpec, fit: Any, *, model: Any, dataset: Any) -> dict[str, bytes]:
    """The files of a run by name, from its `Fit`: the run as a value, for any process or machine to
    store.
    """
    return {
        RECORD: _json(_record(spec, fit, dataset)),
        CURVES: _curves(fit.curves),
        USERS: _npz(fit.per_user),
        STATE: _npz(_state(model)),
    }


def public_record(record: Mapping[str, Any]) -> bytes:
    """The content of a `run.json` for committing: without paths of this machine."""
    data = record["data"]
    return _json({**record, "data": {**data, "source": Path(data["source"]).name, "path": None}})


def _record(spec: RunSpec, fit: Any, dataset: Any) -> dict[str, Any]:
    source = Path(dataset.source)
    return {
        "run": spec.name,
        "spec": spec.as_dict(),
        **{name: _json_value(getattr(fit, name)) for name in FIT_FIELDS},
        "data": {
            "source": str(dataset.source),
            "path": str(source.resolve()) if source.is_dir() else None,
            "provenance": dataset.provenance,
        },
        "environment": environment(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _json_value(value: Any) -> Any:
    """Numbers as plain Python numbers; null for a number that is not finite, which JSON cannot
    express.
    """
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _curves(curves: list[dict[str, float]]) -> bytes:
    empty = ["epoch", "seconds", "loss", *(f"valid/{name}" for name in METRICS)]
    table = pd.DataFrame(curves, columns=None if curves else empty)
    return table.to_csv(index=False, lineterminator="\n").encode()


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _state(model: Any) -> dict[str, np.ndarray]:
    """The model's tensors as arrays; bfloat16, which NumPy lacks, becomes float32 without loss."""
    arrays = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        is_half = tensor.is_floating_point() and tensor.element_size() < 4
        arrays[name] = (tensor.float() if is_half else tensor).numpy()
    return arrays
