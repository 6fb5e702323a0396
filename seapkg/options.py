"""Options: one field carries an option's type, default, bounds, meaning and search range.

    @configuration
    class LightGCNConfig:
        n_layers: int = option(2, "Layers on the user-item graph.", ge=0, search=[1, 2, 3, 4])

Values are checked, and text from a command line is converted, when a configuration is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from seapkg.errors import RequestError

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Range:
    """A search range of numbers from `low` to `high`, both included; `log` searches orders of magnitude evenly."""

    low: float
    high: float
    log: bool = False


def option(
    default: Any, meaning: str, *, search: Range | Sequence[Any] | None = None, **bounds: float
) -> Any:
    """A field of a configuration.

    Args:
        default: its value where none is given; None where it follows from other options.
        meaning: one sentence for `python -m seapkg models` and the docs.
        search: the values that a search tries: a list or a `Range`.
        bounds: `ge`, `gt`, `le`, `lt`, as pydantic names them.
    """
    return Field(default, description=meaning, json_schema_extra={"search": search}, **bounds)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def configuration(cls: C) -> C:
    """Makes `cls` a frozen dataclass whose values are checked; a wrong one is a `RequestError`.

    The error names the option, the value and the bound.
    """
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    made = checked_dataclass(frozen=True, kw_only=True, config=config)(cls)
    check = made.__init__

    def __init__(self, **values: Any) -> None:
        try:
            check(self, **values)
        except ValidationError as error:
            raise RequestError(_explain(error.errors()[0])) from None

    made.__init__ = __init__
    return made


@dataclass(frozen=True)
class Described:
    """An option as the command line and the docs show it."""

    name: str
    kind: Any
    default: Any
    meaning: str
    search: Range | Sequence[Any] | None


def describe_options(config_class: type) -> Iterator[Described]:
    """Every option of a configuration in the order of its fields."""
    for field in dataclasses.fields(config_class):
        info = config_class.__pydantic_fields__[field.name]
        extra = info.json_schema_extra or {}
        yield Described(
            field.name, info.annotation, info.default, info.description or "", extra.get("search")
        )


def _explain(error: dict[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "the configuration"
    return f"option {name}: {error['msg'][:1].lower()}{error['msg'][1:]}; it is {error['input']!r}"
