"""The errors of this package and their exit codes."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class SeapkgError(Exception):
    """Base of all errors of the package."""

    exit_code = 1


class RequestError(SeapkgError):
    """The request is wrong: an unknown model, option or value."""

    exit_code = 2


class MissingRun(RequestError):
    """The run is not in the store, and nothing may be trained."""


class DataError(RequestError):
    """The data is wrong; names the file, the row and the remedy."""


class DataNotFound(DataError):
    """There is no such dataset or folder."""


class BrokenFile(RequestError):
    """A file that the package wrote is damaged; names it and the remedy."""


class TrainingFault(SeapkgError):
    """Training cannot continue, for example because a loss term is not finite."""


class FailedRun(TrainingFault):
    """The run failed before and is marked as failed in its store."""


class OutOfMemory(SeapkgError):
    """Out of memory; names the amount requested and the option to lower."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the closest known name, " (did you mean 'sea'?)"; "" if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def look_up(what: str, name: str, known: Mapping[str, Any]) -> Any:
    """Returns `known[name]`; raises RequestError with the known names for an unknown one."""
    if name not in known:
        hint = did_you_mean(name, known)
        raise RequestError(f"unknown {what} {name!r}{hint}; known are {', '.join(known)}")
    return known[name]
