"""Studies: which runs each notebook asks for, and the tables made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from seapkg.errors import look_up

if TYPE_CHECKING:
    from seapkg.studies.base import Study


def study(name: str, **parameters: Any) -> Study:
    """Makes a study.

    Args:
        name: one of `studies()`, such as "ablation".
        parameters: those of the study's function, such as `datasets=["lfm2k"], seeds=range(3)`.

    Raises:
        RequestError: for an unknown study; the message lists the known ones.
    """
    make, _ = look_up("study", name, studies())
    return make(**parameters)


def studies() -> dict[str, tuple[Callable[..., Study], str]]:
    """Name -> the function that makes the study, and the topic of its notebook."""
    from seapkg.studies import (  # noqa: F401  each declares its studies
        ablation,
        features,
        known_factors,
        main_table,
        paper_and_code,
        plug_in,
        rearm,
        representations,
        sensitivity,
        variants,
    )
    from seapkg.studies.base import DECLARED

    return dict(DECLARED)


def studies_of(notebook: str, parameters: Mapping[str, Any]) -> dict[str, Study]:
    """The studies of a notebook: name -> study.

    Args:
        notebook: its name, with its number, such as "05_ablation".
        parameters: the notebook's parameters; each study takes those that its function accepts.
    """
    topic = notebook.partition("_")[2]
    found = {}
    for name, (make, asked_by) in studies().items():
        if asked_by == topic:
            accepted = {"seeds", "max_epochs", *inspect.signature(make).parameters}
            found[name] = make(**{key: parameters[key] for key in accepted & parameters.keys()})
    return found
