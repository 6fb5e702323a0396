"""Options by name, as a command line or a notebook gives them, become configurations."""

from __future__ import annotations

from typing import Any

from seapkg.models import find
from seapkg.options import Described, check_names, describe_options
from seapkg.training.config import TrainingConfig


def configure(name: str, options: dict[str, object]) -> tuple[Any, TrainingConfig]:
    """Returns the configurations of a model and of its training.

    Args:
        name: the model.
        options: value by option name; text is converted to the option's type, and "none" means
            None where the option admits None and "none" is no choice of its own.

    Raises:
        RequestError: an option is unknown, or its value is of the wrong type or out of bounds.
    """
    model, known = find(name).model, option_fields(name)
    check_names(name, options, list(known))
    values = {key: _read(known[key], value) for key, value in options.items()}
    names = {described.name for described in describe_options(model.config_class)}
    config = model.config_class(**{key: values[key] for key in values if key in names})
    given = {key: values[key] for key in values if key not in names}
    return config, TrainingConfig(**model.training_options(config) | given)


def option_fields(name: str) -> dict[str, Described]:
    """Every option of a model and of its training by name."""
    owners = TrainingConfig, find(name).model.config_class
    return {option.name: option for owner in owners for option in describe_options(owner)}


def _read(option: Described, value: object) -> object:
    """Conversions beyond pydantic's: "none" is None, a number the choice with that spelling."""
    if option.choices and isinstance(value, int):
        return str(value)
    means_none = str(value).lower() == "none" and "none" not in option.choices
    return None if means_none and type(None) in option.kinds else value
