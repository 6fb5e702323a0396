"""The errors this package raises on purpose, and the exit code each stands for."""

import difflib
from collections.abc import Iterable


class SeapkgError(Exception):
    """Root of the package's own errors."""

    exit_code = 1


class RequestError(SeapkgError):
    """What was asked for cannot be done as asked: an unknown model, option or value."""

    exit_code = 2


class MissingRun(RequestError):
    """Nothing may be trained, and the run that was asked for is not in the store."""


class DataError(RequestError):
    """The data is not what its format promises; names the file, the row and the remedy."""


class DataNotFound(DataError):
    """There is no data of that name or in that folder."""


class BrokenFile(RequestError):
    """A file that the package wrote is no longer what it was; names it and the remedy."""


class TrainingFault(SeapkgError):
    """Training cannot go on, for example because a loss term is no longer finite."""


class FailedRun(TrainingFault):
    """A run that failed before, and is marked so in its store."""


class OutOfMemory(SeapkgError):
    """Memory did not do; says what asked for how much, and which option to set."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the closest known name, to stand behind the unknown one in an error; "" where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
