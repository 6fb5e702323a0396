"""Makes configurations from options by name, as the command line and notebooks give them."""

from typing import Any

from seapkg.models import find
from seapkg.options import Described, check_names, describe_options
from seapkg.training.config import TrainingConfig


def configure(name: str, options: dict[str, object]) -> tuple[Any, TrainingConfig]:
    """Returns the configurations of a model and of its training.

    Args:
        name: the model.
        options: value by option name; text is converted to the option's type, and "none" means
            None unless "none" is one of its choices.

    Raises:
        RequestError: an option is unknown, or its value is of the wrong type or out of bounds.
    """
    model = find(name).model
    of_training = {option.name: option for option in describe_options(TrainingConfig)}
    of_model = {option.name: option for option in describe_options(model.config_class)}
    check_names(name, options, [*of_training, *of_model])
    config = model.config_class(**_values(of_model, options))
    defaults = model.training_options(config)
    return config, TrainingConfig(**defaults | _values(of_training, options))


def _values(known: dict[str, Described], options: dict[str, object]) -> dict[str, object]:
    """The known ones of `options`, with "none" as None; pydantic converts other text."""
    values = {name: value for name, value in options.items() if name in known}
    for name, value in values.items():
        takes_none = type(None) in known[name].kinds and "none" not in known[name].choices
        if takes_none and str(value).lower() == "none":
            values[name] = None
    return values
