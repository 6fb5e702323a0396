"""The specification of a run: everything that can change its metrics, hashed into a short key.

Two runs with the same key are the same experiment, on any machine and under any release of the
package.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

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
        config, training: every option of the model and of its training, as JSON types.
        dataset, dataset_fingerprint: the dataset's name, and the hash of its content.
        seed: an integer from 0 to 2^63 - 1.
        precision: "exact" or "fast".
        results_version: by default the system's current one, which rises when a change of its
            code moves a metric by more than rounding. The package's version is not part of a run,
            so a release that changes no result keeps all runs.
    """

    model: str
    config: Mapping[str, Any]
    training: Mapping[str, Any]
    dataset: str
    dataset_fingerprint: str
    seed: int
    precision: str = "exact"
    results_version: int | None = None

    def __post_init__(self) -> None:
        is_integer = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        if not is_integer or not 0 <= self.seed < 2**63:
            raise RequestError(f"a seed must be an integer from 0 to 2^63 - 1; it is {self.seed!r}")
        if self.precision not in PRECISIONS:
            raise RequestError(f"precision must be exact or fast; it is {self.precision!r}")
        object.__setattr__(self, "config", plain(self.config))
        object.__setattr__(self, "training", plain(self.training))
        if self.results_version is None:
            object.__setattr__(self, "results_version", results_version(self.model))

    @property
    def key(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of every field as canonical JSON.

        Options at their default are left out, so a new option whose default changes no result
        keeps all finished runs. `differs_from` detects a changed default.
        """
        fields = plain(self)
        for part, defaults in _defaults(self.model).items():
            options = fields[part].items()
            fields[part] = dict(option for option in options if option not in defaults.items())
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def name(self) -> str:
        """MODEL-DATASET-KEY: the name of the run and of its folder in the store."""
        dataset = re.sub(r"[^\w.]", "_", self.dataset).strip(".") or "data"
        return f"{self.model}-{dataset}-{self.key}"

    def differs_from(self, other: RunSpec) -> list[str]:
        """Names of the options in both specs whose values differ."""
        mine, theirs = ({**spec.config, **spec.training} for spec in (self, other))
        return sorted(name for name in mine if theirs.get(name, mine[name]) != mine[name])


def results_version(model: str) -> int:
    """The current results version of a system; 1 for one unknown to this release."""
    known = systems()
    return known[model].version if model in known else 1


def plain(value: Any) -> Any:
    """`value` as JSON types: 1.0 becomes 1, a tuple a list, a dataclass a dictionary.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, default=asdict, allow_nan=False)
    return json.loads(text, parse_float=_as_number)


def _as_number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _defaults(model: str) -> dict[str, dict[str, Any]]:
    """Default options of a system and of its training; {} for one unknown to this release."""
    if model not in systems():
        return {}
    known = systems()[model].model
    training = TrainingConfig(**known.training_defaults)
    return {"config": plain(known.config_class()), "training": plain(training)}
