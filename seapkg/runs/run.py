"""A finished run, read back from its folder: metrics, curves, and the model it ended with."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seapkg.data.arrays import read_npz
from seapkg.errors import BrokenFile, DataError, RequestError
from seapkg.runs.spec import RunSpec, results_version

if TYPE_CHECKING:
    import pandas as pd

    from seapkg.data import Dataset

RECORD, CURVES, USERS, STATE = "run.json", "curves.csv", "users.npz", "state.npz"
# Made of the model when first asked for; the number rises when what is measured changes.
PARTS, PARTS_SAMPLE = "parts-1.csv", "parts-1.npz"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")

#: What is kept of a fit in `run.json`, by the names of its attributes.
COSTS = ("seconds_per_epoch", "seconds_total", "peak_memory_mb", "device")
FIT_FIELDS = ("epochs", "best_epoch", "valid", "test", *COSTS)


class Run:
    """A run in `folder`. `complete` asks for all four files; a reference copy has at least the first two."""

    def __init__(self, folder: Path, *, complete: bool = True) -> None:
        self.folder = Path(folder)
        for name in (RECORD, CURVES, USERS, STATE) if complete else (RECORD, CURVES):
            if not (self.folder / name).is_file():
                raise self._broken(f"has no {name}")
        self.record = self._read_record()
        self.spec = self._read_spec()

    def __repr__(self) -> str:
        return f"Run({self.name}, seed={self.seed}, test={dict(self.test)})"

    @property
    def name(self) -> str:
        """MODEL-DATASET-KEY, as it was when the run was made: a default that has changed since renames no run."""
        return self.record["run"]

    @property
    def key(self) -> str:
        return self.name.rsplit("-", 1)[-1]

    @property
    def model(self) -> str:
        return self.spec.model

    @property
    def dataset(self) -> str:
        return self.spec.dataset

    @property
    def seed(self) -> int:
        return self.spec.seed

    @property
    def config(self) -> Mapping[str, Any]:
        """Every option of the model, resolved."""
        return self.spec.config

    @property
    def training(self) -> Mapping[str, Any]:
        """Every option of the training, resolved."""
        return self.spec.training

    @property
    def valid(self) -> Mapping[str, float]:
        """Metrics on the validation split at the best epoch, by name."""
        return self.record["valid"]

    @property
    def test(self) -> Mapping[str, float]:
        """Metrics on the test split at the best validation epoch, by name."""
        return self.record["test"]

    @property
    def provenance(self) -> str:
        """What is real in the data, in words; shown beside every number. "" when unknown."""
        return self.record["data"]["provenance"]

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """One row an epoch: seconds, every loss term and the validation metrics."""
        import pandas as pd

        try:
            curves = pd.read_csv(self.folder / CURVES, dtype=str).astype(
                float
            )  # every digit, in every pandas
            return curves.astype({"epoch": int})
        except (OSError, ValueError, KeyError) as error:
            raise self._broken(f"has a {CURVES} that cannot be read ({error})") from error

    @cached_property
    def per_user(self) -> dict[str, np.ndarray]:
        """Test metrics of each user: "users" int64 [n] and each metric [n], in the same order."""
        return self.arrays(USERS)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one of the run's .npz files, read without pickle."""
        self.require(name)
        try:
            return read_npz(self.folder / name)
        except DataError as error:
            raise self._broken(f"has a {name} that cannot be read ({error})") from error

    def require(self, name: str) -> None:
        """Raises RequestError where the run is a reference copy without the file `name`."""
        if not (self.folder / name).is_file():
            raise RequestError(
                f"{self.name} is a committed summary without {name}; to have it, train the run again into a store "
                "of your own (--store DIR)"
            )

    def summary(self) -> dict[str, Any]:
        """The record that `python -m seapkg train` prints."""
        return {
            "run": self.name,
            "model": self.model,
            "dataset": self.dataset,
            "seed": self.seed,
            **{key: self.record[key] for key in FIT_FIELDS},
            "formulation": self.config.get("formulation"),
        }

    def recommend(self, user: int, k: int = 10, *, data: "Dataset | None" = None) -> "pd.DataFrame":
        """The `k` best new items of `user`: rank, item, name, score; best first, items of training left out.

        `data` is the run's dataset; without it, it is read again from where the run read it.
        """
        from seapkg.runs.recommend import recommend

        return recommend(self, user, k, data)

    def _read_record(self) -> dict[str, Any]:
        try:
            record = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._broken(f"has a {RECORD} that cannot be read ({error})") from error
        if not isinstance(record, dict):
            raise self._broken(f"has a {RECORD} that is no record")
        self._refuse_newer(record.get("spec"))
        wrong = [name for name, is_right in _FORM.items() if not is_right(record.get(name))]
        if wrong:
            raise self._broken(f"has a {RECORD} without a proper {', '.join(wrong)}")
        return record

    def _refuse_newer(self, spec: Any) -> None:
        version = spec.get("results_version") if isinstance(spec, dict) else None
        known = results_version(str(spec.get("model"))) if isinstance(spec, dict) else 1
        if isinstance(version, int) and version > known:
            raise BrokenFile(
                f"{self.folder} was made by a newer release of seapkg (results version {version}, this one knows "
                f"{known}): update seapkg, or choose another store; nothing need be deleted"
            )

    def _read_spec(self) -> RunSpec:
        try:
            spec = RunSpec(**self.record["spec"])
        except (TypeError, RequestError) as error:
            raise self._broken(f"has a {RECORD} whose spec cannot be read ({error})") from error
        if self.name != self.folder.name:
            raise self._broken(f"has the {RECORD} of another run, {self.name}")
        return spec

    def _broken(self, what: str) -> BrokenFile:
        return BrokenFile(f"{self.folder} {what}: delete {self.folder} and train again")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(
        value.get(name, 0) is None or _is_number(value.get(name)) for name in METRICS
    )


def _is_origin(value: Any) -> bool:
    return isinstance(value, dict) and {"source", "path", "provenance"} <= set(value)


_FORM: dict[str, Callable[[Any], bool]] = {
    "run": lambda value: isinstance(value, str),
    "spec": lambda value: isinstance(value, dict),
    "data": _is_origin,
    "valid": _are_metrics,
    "test": _are_metrics,
    "device": lambda value: isinstance(value, str),
    **dict.fromkeys(
        ("epochs", "best_epoch", "seconds_per_epoch", "seconds_total", "peak_memory_mb"), _is_number
    ),
}
