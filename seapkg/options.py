"""Options: one field carries an option's type, default, bounds, meaning and search range.

    @configuration
    class LightGCNConfig:
        n_layers: int = option(2, "Layers on the user-item graph.", ge=0, search=[1, 2, 3, 4])

Values are checked, and text from a command line is converted, when a configuration is made.
"""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from seapkg.errors import RequestError, did_you_mean

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Range:
    """A search range from `low` to `high`, both included.

    Attributes:
        low, high: the bounds.
        log: search orders of magnitude evenly.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Described:
    """An option as the command line and the docs show it."""

    name: str
    kind: Any
    default: Any
    meaning: str
    search: Range | Sequence[Any] | None

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that it takes: (int, NoneType) for `int | None`; a `Literal` is one type."""
        is_literal = typing.get_origin(self.kind) is typing.Literal
        return (self.kind,) if is_literal else typing.get_args(self.kind) or (self.kind,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a `Literal`; () for other types."""
        return typing.get_args(self.kinds[0])


def option(
    default: Any, meaning: str, *, search: Range | Sequence[Any] | None = None, **bounds: float
) -> Any:
    """A field of a configuration.

    Args:
        default: the default value; None if it follows from other options.
        meaning: one sentence for `python -m seapkg models` and the docs.
        search: the values that a search tries: a list or a `Range`.
        bounds: `ge`, `gt`, `le`, `lt`, as pydantic names them.
    """
    return Field(default, description=meaning, json_schema_extra={"search": search}, **bounds)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def configuration(cls: C) -> C:
    """Makes `cls` a frozen dataclass whose values are checked.

    Its constructor raises RequestError for a wrong value, naming the option, the value and the
    bound, and for an unknown option, listing the known ones.
    """
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    made = checked_dataclass(frozen=True, kw_only=True, config=config)(cls)
    check = made.__init__

    def __init__(self, **values: Any) -> None:
        check_names(cls.__name__, values, list(made.__pydantic_fields__))
        try:
            check(self, **values)
        except ValidationError as error:
            first = error.errors()[0]
            rule = first["msg"].replace("Input should", "must")
            raise RequestError(
                f"option {first['loc'][0]} {rule}; it is {first['input']!r}"
            ) from None

    made.__init__ = __init__
    return made


def describe_options(config_class: type) -> Iterator[Described]:
    """Every option of a configuration in the order of its fields."""
    for name, field in config_class.__pydantic_fields__.items():
        search = field.json_schema_extra["search"]
        yield Described(name, field.annotation, field.default, field.description, search)


def check_names(owner: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Raises RequestError for a name that `known` lacks, with a hint and the known names."""
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            listed = ", ".join(sorted(known)) or "none"
            raise RequestError(f"{owner} has no option {name!r}{hint}; it has {listed}")


def resolve(config: Any, defaults: Mapping[str, Any]) -> None:
    """Gives options that are None the value that follows from other options."""
    for name, value in defaults.items():
        if getattr(config, name) is None:
            object.__setattr__(config, name, value)
