"""What a run is: everything that can move its metrics, hashed into one short key.

Two runs with the same key are the same experiment, on any machine and under any release of the package.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seapkg.errors import RequestError
from seapkg.models import systems
from seapkg.training.config import TrainingConfig

KEY_LENGTH = 12
PRECISIONS = ("exact", "fast")


@dataclass(frozen=True)
class RunSpec:
    """One experiment. `config` and `training` hold every field, resolved, as plain values."""

    model: str
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    dataset: str
    dataset_fingerprint: str
    seed: int
    precision: str = "exact"
    results_version: int | None = None  # by default that of the system, `System.version`

    def __post_init__(self):
        if self.results_version is None:
            object.__setattr__(self, "results_version", results_version(self.model))
        object.__setattr__(self, "config", plain(self.config))
        object.__setattr__(self, "training", plain(self.training))
        object.__setattr__(self, "seed", _seed(self.seed))
        if self.precision not in PRECISIONS:
            raise RequestError(f"precision is 'exact' or 'fast', not {self.precision!r}")

    @property
    def key(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the canonical JSON of every field.

        Options that stand at their default are left out: a new option, whose default changes nothing, keeps every
        finished run. `differs_from` guards the other case, a default that was changed.
        """
        chosen = self.as_dict()
        for part, defaults in zip(("config", "training"), _defaults(self.model), strict=True):
            chosen[part] = {
                k: v for k, v in chosen[part].items() if k not in defaults or v != defaults[k]
            }
        text = json.dumps(chosen, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def name(self) -> str:
        """MODEL-DATASET-KEY: the run's name, and that of its folder in the store."""
        return f"{self.model}-{_for_a_file_name(self.dataset)}-{self.key}"

    def differs_from(self, other: "RunSpec") -> list[str]:
        """Options on which two specs disagree; one that only one of them knows does not count."""
        pairs = ((self.config, other.config), (self.training, other.training))
        return sorted(
            k for mine, theirs in pairs for k in mine if k in theirs and mine[k] != theirs[k]
        )

    def as_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values; `RunSpec(**spec.as_dict())` equals `spec`."""
        return plain(self)


def plain(value: Any) -> Any:
    """`value` as JSON knows it, one form for equal values: 1.0 is 1, a tuple is a list, a dataclass a dictionary."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return int(value) if value.is_integer() else _finite(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise RequestError(
        f"a run cannot be named by a value of type {type(value).__name__}: {value!r}"
    )


def results_version(model: str) -> int:
    """The results version of a system; 1 for a model that is not (or no longer) here."""
    return systems()[model].version if model in systems() else 1


def _defaults(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The default options of a model and of its training; none for a model that is not (or no longer) here."""
    if model not in systems():
        return {}, {}
    known = systems()[model].model
    return plain(known.config_class()), plain(TrainingConfig(**known.training_defaults))


def _finite(value: float) -> float:
    if not np.isfinite(value):
        raise RequestError(f"an option must be a finite number, not {value}")
    return value


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise RequestError(f"a seed is an integer from 0 to 2^63 - 1, not {seed!r}")
    return int(seed)


def _for_a_file_name(name: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "_." else "_" for letter in name)
    return kept.strip(".") or "data"
