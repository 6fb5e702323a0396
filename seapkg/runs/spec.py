"""What a run is: everything that can change its metrics, hashed into a short key.

Two runs with the same key are the same experiment, on any machine and under any release of the
package.
"""

from __future__ import annotations

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
    """One experiment.

    Attributes:
        model: the system's name.
        config, training: every option of the model and of its training, resolved, as plain values.
        dataset, dataset_fingerprint: the dataset's name, and the hash of its content.
        seed: an integer from 0 to 2^63 - 1.
        precision: "exact" or "fast".
        results_version: that of the system, raised where a change of its code moves a metric by
            more than rounding. The package's version is not part of a run, so a release that
            changes no result keeps every run.
    """

    model: str
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    dataset: str
    dataset_fingerprint: str
    seed: int
    precision: str = "exact"
    results_version: int | None = None  # None: the system's version today

    def __post_init__(self) -> None:
        version = self.results_version
        resolved = {
            "config": plain(self.config),
            "training": plain(self.training),
            "seed": _seed(self.seed),
            "results_version": results_version(self.model) if version is None else version,
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        if self.precision not in PRECISIONS:
            raise RequestError(f"precision is 'exact' or 'fast', not {self.precision!r}")

    @property
    def key(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of every field as canonical JSON.

        Options at their default are left out, so a new option whose default changes nothing keeps
        every finished run. `differs_from` guards the other case, a changed default.
        """
        fields = self.as_dict()
        for part, defaults in _defaults(self.model).items():
            options = fields[part]
            fields[part] = {
                name: value
                for name, value in options.items()
                if name not in defaults or value != defaults[name]
            }
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def name(self) -> str:
        """MODEL-DATASET-KEY: the name of the run and of its folder in the store."""
        return f"{self.model}-{_file_name(self.dataset)}-{self.key}"

    def differs_from(self, other: RunSpec) -> list[str]:
        """Options that both specs know and on which they disagree."""
        differing = []
        for mine, theirs in ((self.config, other.config), (self.training, other.training)):
            differing += [name for name in mine if name in theirs and mine[name] != theirs[name]]
        return sorted(differing)

    def as_dict(self) -> dict[str, Any]:
        """Every field as plain JSON values; `RunSpec(**spec.as_dict())` equals `spec`."""
        return plain(self)


def results_version(model: str) -> int:
    """The results version of a system today; 1 for a system that this release does not know."""
    known = systems()
    return known[model].version if model in known else 1


def plain(value: Any) -> Any:
    """`value` as JSON types, in one form for equal values.

    1.0 becomes 1, a tuple a list, a dataclass a dictionary.

    Raises:
        RequestError: for a number that is not finite, and for a value of any other type.
    """
    try:
        text = json.dumps(value, default=_as_json_type, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RequestError(f"a run cannot be named by {value!r}: {error}") from None
    return json.loads(text, parse_float=_as_number)


def _as_json_type(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"its type is {type(value).__name__}")


def _as_number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _defaults(model: str) -> dict[str, dict[str, Any]]:
    """Default options of a system and of its training; {} for a system that this release does not
    know.
    """
    if model not in systems():
        return {}
    known = systems()[model].model
    training = TrainingConfig(**known.training_defaults)
    return {"config": plain(known.config_class()), "training": plain(training)}


def _seed(seed: Any) -> int:
    is_integer = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not is_integer or not 0 <= seed < 2**63:
        raise RequestError(f"a seed is an integer from 0 to 2^63 - 1, not {seed!r}")
    return int(seed)


def _file_name(dataset: str) -> str:
    letters = (letter if letter.isalnum() or letter in "_." else "_" for letter in dataset)
    return "".join(letters).strip(".") or "data"
