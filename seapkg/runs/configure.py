"""Options by name, as a command line or a notebook gives them, become a model's and a training's configuration."""

from __future__ import annotations

import dataclasses
import types
import typing

from seapkg.errors import RequestError, did_you_mean
from seapkg.models import find
from seapkg.training.config import TrainingConfig


def configure(name: str, options: dict[str, object]) -> tuple[object, TrainingConfig]:
    """The model's configuration and the training's, from options by name.

    Text values, as a command line gives them, are converted to the option's type. Raises RequestError for an unknown
    option or a value that does not convert.
    """
    model = find(name).model
    known = option_fields(name)
    unknown = [key for key in options if key not in known]
    if unknown:
        guess = did_you_mean(unknown[0], known)
        raise RequestError(
            f"{name} has no option {unknown[0]!r}{guess}; it has {', '.join(sorted(known))}"
        )
    values = {key: _converted(key, value, known[key].type) for key, value in options.items()}
    own = {field.name for field in dataclasses.fields(model.config_class)}
    config = model.config_class(**{key: value for key, value in values.items() if key in own})
    training = model.training_options(config) | {
        key: value for key, value in values.items() if key not in own
    }
    return config, TrainingConfig(**training)


def option_fields(name: str) -> dict[str, dataclasses.Field]:
    """Every option of a model, its own and the training's, by name; types resolved."""
    resolved = {}
    for owner in (TrainingConfig, find(name).model.config_class):
        hints = typing.get_type_hints(owner)
        for field in dataclasses.fields(owner):
            field.type = hints[field.name]
            resolved[field.name] = field
    return resolved


def _converted(key: str, value: object, kind) -> object:
    """`value` as the type `kind`; "none" stands for None where the type admits it."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in kinds and (
        value is None or (str not in kinds and str(value).lower() == "none")
    ):
        return None
    kind = next(k for k in kinds if k is not type(None))
    try:
        return _READERS[kind](value)
    except (KeyError, OverflowError, TypeError, ValueError):
        raise RequestError(f"option {key} takes {_KINDS[kind]}; it is {value!r}") from None


def _read_bool(value: object) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
        str(value).lower()
    ]


def _read_int(value: object) -> int:
    if isinstance(value, bool) or float(value) != int(float(value)):
        raise ValueError
    return int(value)


def _read_float(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError
    return float(value)


_READERS = {bool: _read_bool, int: _read_int, float: _read_float, str: str}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
