"""What the numbers in a configuration may be; every configuration checks itself with this when it is made."""

from __future__ import annotations

import dataclasses
import math

from seapkg.errors import RequestError

MAY_BE_ZERO = {"n_layers", "n_item_layers", "n_user_layers", "club_steps", "max_epochs", "patience"}
ABOVE_ZERO = {"learning_rate", "club_learning_rate", "temperature"}
SHARES = {
    "image_weight", "edge_dropout", "feature_graph_share", "user_image_weight", "item_image_weight",
    "user_co_weight", "item_co_weight", "self_dropout", "cross_dropout",
}  # fmt: skip


def check_numbers(config) -> None:
    """Raises RequestError for a count below its least value or a number that is negative, infinite or nan."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        fault = _fault(field.name, value, "int" in str(field.type))
        if fault:
            raise RequestError(f"{field.name} must be {fault}; it is {value}")


def check_choice(option: str, value: object, choices) -> None:
    """Raises RequestError for a value that is none of the choices."""
    if value not in choices:
        raise RequestError(f"{option} must be one of {', '.join(choices)}; it is {value!r}")


def check_halves(config) -> None:
    """Raises RequestError for an odd width that would have to be split in a generic and a unique half."""
    if config.embed_dim % 2 and config.separates:
        raise RequestError(
            f"embed_dim must be even where it is split in two halves; it is {config.embed_dim}"
        )


def _fault(name: str, value: float, counts: bool) -> str:
    """What the option must be instead; "" where the value will do."""
    if not math.isfinite(value):
        return "a finite number"
    if counts:
        least = 0 if name in MAY_BE_ZERO else 1
        return (
            "" if value >= least and value == int(value) else f"a whole number of at least {least}"
        )
    if name in ABOVE_ZERO:
        return "" if value > 0 else "above 0"
    if name in SHARES:
        return "" if 0 <= value <= 1 else "between 0 and 1"
    return "" if value >= 0 else "at least 0"
