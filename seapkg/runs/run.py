"""A finished run, read from its folder: metrics, curves, and the trained model."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from seapkg.data import Dataset
from seapkg.data.arrays import read_npz
from seapkg.errors import BrokenFile, DataError, RequestError
from seapkg.runs.archive import CURVES, MEASURED, METRICS, RECORD, USERS
from seapkg.runs.recommend import recommend
from seapkg.runs.spec import RunSpec, results_version

Metrics = TypedDict("Metrics", dict.fromkeys(METRICS, float))


class Spec(TypedDict):
    """The fields of a `RunSpec`."""

    model: str
    config: dict
    training: dict
    dataset: str
    dataset_fingerprint: str
    seed: int
    precision: str
    results_version: int


class Source(TypedDict):
    """The data of a run: where it was read, and its provenance."""

    source: str
    path: str | None
    provenance: str


class Record(TypedDict):
    """The content of `run.json`."""

    run: str
    spec: Spec
    epochs: int
    best_epoch: int
    valid: Metrics
    test: Metrics
    seconds_per_epoch: float
    seconds_total: float
    peak_memory_mb: float
    device: str
    data: Source
    environment: dict
    created: str


_RECORD = TypeAdapter(Record)


class Run:
    """A finished run.

    Args:
        folder: has the name of the run. A committed summary lacks the model.

    Attributes:
        record: the content of `run.json`.
        spec: its specification.
        name: MODEL-DATASET-KEY.
        model, dataset, seed, config, training: those of the spec.
        valid, test: metrics by name at the best validation epoch.
        provenance: which parts of the data are real, in words; "" where unknown.

    Raises:
        BrokenFile: the record is damaged, or a newer release wrote it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.record = self._read_record()
        self.spec = self._read_spec()
        self.name: str = self.record["run"]
        self.model, self.dataset, self.seed = self.spec.model, self.spec.dataset, self.spec.seed
        self.config, self.training = self.spec.config, self.spec.training
        self.valid, self.test = self.record["valid"], self.record["test"]
        self.provenance: str = self.record["data"]["provenance"]

    def __repr__(self) -> str:
        return f"Run({self.name}, seed={self.seed}, test={self.test})"

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per epoch: epoch, seconds, loss, loss/TERM, valid/METRIC."""
        path = self.require(CURVES)
        try:
            text = pd.read_csv(path, dtype=str)  # pandas would round some floats
            return text.astype(float).astype({"epoch": int})
        except (ValueError, KeyError) as error:
            raise self._broken(CURVES, error) from error

    @cached_property
    def per_user(self) -> dict[str, np.ndarray]:
        """Test metrics of each user: "users" int64 [n], and each metric float32 [n]."""
        return self.arrays(USERS)

    def require(self, name: str) -> Path:
        """The path of one of the run's files.

        Raises:
            RequestError: the run lacks the file, as a committed summary lacks its model.
        """
        if not (self.folder / name).is_file():
            raise RequestError(
                f"{self.folder} has no {name}, as a committed summary has no model; train the run "
                "again into a store of your own (--store DIR)"
            )
        return self.folder / name

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one of the run's .npz files by name, of any shape."""
        path = self.require(name)
        try:
            return read_npz(path)
        except DataError as error:
            raise self._broken(name, error) from error

    def summary(self) -> dict[str, Any]:
        """The record that `python -m seapkg train` prints."""
        return {
            "run": self.name,
            "model": self.model,
            "dataset": self.dataset,
            "seed": self.seed,
            **{name: self.record[name] for name in MEASURED},
            "formulation": self.config.get("formulation"),
        }

    def recommend(self, user: int, k: int = 10, *, data: Dataset | None = None) -> pd.DataFrame:
        """The `k` best new items of `user`, as `seapkg.runs.recommend.recommend`.

        Args:
            user: its id.
            k: how many items.
            data: the run's dataset; by default read again from its source.
        """
        return recommend(self, user, k, data)

    def _read_record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            return _RECORD.validate_python(record, strict=True)
        except ValidationError as error:
            field = ".".join(map(str, error.errors()[0]["loc"]))
            raise self._broken(RECORD, f"no proper {field}") from error
        except (OSError, ValueError) as error:
            raise self._broken(RECORD, error) from error

    def _read_spec(self) -> RunSpec:
        spec, name = self.record["spec"], self.record["run"]
        version, known = spec["results_version"], results_version(spec["model"])
        if version > known:
            raise BrokenFile(
                f"a newer release of seapkg made {self.folder} (results version {version}; this "
                f"one has {known}); update seapkg, or choose another store"
            )
        if name != self.folder.name:
            raise self._broken(RECORD, f"it belongs to another run, {name}")
        try:
            return RunSpec(**spec)
        except (ValueError, RequestError) as error:
            raise self._broken(RECORD, error) from error

    def _broken(self, name: str, reason: object) -> BrokenFile:
        return BrokenFile(
            f"{self.folder / name} cannot be read ({reason}); delete {self.folder} and train again"
        )
