"""Studies: which runs each notebook asks for, and the tables made of them."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from seapkg.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from seapkg.studies.base import Study

#: The modules that declare studies, in the order of their notebooks.
MODULES = (
    "main_table",
    "ablation",
    "sensitivity",
    "plug_in",
    "variants",
    "representations",
    "known_factors",
    "paper_and_code",
    "rearm",
)


def study(name: str, **parameters: Any) -> Study:
    """The study of that name.

    Args:
        name: one of `studies()`, such as "ablation".
        parameters: those of the study's function, such as `datasets=["lfm2k"], seeds=range(3)`.

    Raises:
        RequestError: for an unknown study or parameter, with those that there are.
    """
    known = studies()
    if name not in known:
        hint = did_you_mean(name, known)
        raise RequestError(f"no study {name!r}{hint}; there are {', '.join(known)}")
    make, _ = known[name]
    there = inspect.signature(make).parameters
    for parameter in parameters:
        if parameter not in there:
            hint = did_you_mean(parameter, there)
            raise RequestError(
                f"{name} has no parameter {parameter!r}{hint}; it has {', '.join(there)}"
            )
    return make(**parameters)


def studies() -> dict[str, tuple[Callable[..., Study], str]]:
    """Name -> the function that makes the study, and the notebook that asks it, without its
    number.
    """
    for module in MODULES:
        importlib.import_module(f"seapkg.studies.{module}")
    from seapkg.studies.base import DECLARED

    return dict(DECLARED)


def studies_of(notebook: str, parameters: Mapping[str, Any]) -> dict[str, Study]:
    """The studies of a notebook by name.

    Args:
        notebook: its name, with its number.
        parameters: all that the notebook declares; each study takes those of its own parameters.
    """
    topic = re.sub(r"^\d+_", "", notebook)
    found = {}
    for name, (make, asked_by) in studies().items():
        if asked_by == topic:
            there = parameters.keys() & inspect.signature(make).parameters.keys()
            found[name] = make(**{key: parameters[key] for key in there})
    return found
