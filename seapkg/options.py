"""Options: one field carries an option's type, default, bounds, meaning and search range.

    @configuration
    class LightGCNConfig:
        n_layers: int = option(2, "Layers on the user-item graph.", ge=0, search=[1, 2, 3, 4])

Values are checked, and text from a command line is converted, when a configuration is made.
"""

from __future__ import annotations

import dataclasses
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
        """The types it takes: (int, NoneType) for `int | None`."""
        if typing.get_origin(self.kind) is typing.Literal:
            return (self.kind,)
        return typing.get_args(self.kind) or (self.kind,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a `Literal`; () for other types."""
        literals = [kind for kind in self.kinds if typing.get_origin(kind) is typing.Literal]
        return typing.get_args(literals[0]) if literals else ()


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
    """Makes `cls` a frozen dataclass whose values are checked.

    Its constructor raises RequestError for a wrong value, naming the option, the value and the
    bound, and for an unknown option, listing the known ones.
    """
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    made = checked_dataclass(frozen=True, kw_only=True, config=config)(cls)
    check = made.__init__

    def __init__(self, **values: Any) -> None:
        check_names(cls.__name__, values, [known.name for known in describe_options(made)])
        _refuse_bools(made, values)
        try:
            check(self, **values)
        except ValidationError as error:
            raise RequestError(_explain(error.errors()[0])) from None

    made.__init__ = __init__
    return made


def describe_options(config_class: type) -> Iterator[Described]:
    """Every option of a configuration in the order of its fields."""
    for field in dataclasses.fields(config_class):
        info = config_class.__pydantic_fields__[field.name]
        search = info.json_schema_extra["search"]
        yield Described(field.name, info.annotation, info.default, info.description, search)


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


def _refuse_bools(config_class: type, values: Mapping[str, Any]) -> None:
    """Pydantic would take True for the number 1."""
    for known in describe_options(config_class):
        value = values.get(known.name)
        if isinstance(value, bool) and bool not in known.kinds:
            raise RequestError(f"option {known.name} must not be true or false; it is {value!r}")


def _explain(error: Mapping[str, Any]) -> str:
    rule = error["msg"].replace("Input should", "must")
    return f"option {error['loc'][0]} {rule}; it is {error['input']!r}"
