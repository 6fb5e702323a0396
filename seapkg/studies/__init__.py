"""Studies: which runs each notebook asks for, and the tables made of them."""

from __future__ import annotations

import importlib
import inspect
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
        RequestError: for an unknown study; the message lists the known ones.
    """
    known = studies()
    if name not in known:
        hint = did_you_mean(name, known)
        raise RequestError(f"no study {name!r}{hint}; known: {', '.join(known)}")
    make, _ = known[name]
    return make(**parameters)


def studies() -> dict[str, tuple[Callable[..., Study], str]]:
    """Name -> the function that makes the study, and the topic of its notebook."""
    for module in MODULES:
        importlib.import_module(f"seapkg.studies.{module}")
    from seapkg.studies.base import DECLARED

    return dict(DECLARED)


def studies_of(notebook: str, parameters: Mapping[str, Any]) -> dict[str, Study]:
    """The studies of a notebook by name.

    Args:
        notebook: its name, with its number.
        parameters: all that the notebook declares; each study takes the ones that it has.
    """
    topic = notebook.partition("_")[2]
    found = {}
    for name, (make, asked_by) in studies().items():
        if asked_by == topic:
            shared = parameters.keys() & inspect.signature(make).parameters.keys()
            found[name] = make(**{key: parameters[key] for key in shared})
    return found
