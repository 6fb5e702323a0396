"""Where a value was read, the one form of every complaint about it, and arrays nobody can change."""

from dataclasses import dataclass

import numpy as np

from seapkg.errors import DataError


@dataclass(frozen=True)
class Place:
    """Where the rows of an array were read, so that an error can point at one of them.

    `numbers`: [n], the number of each row as its reader counts (line numbers); None counts from 0.
    """

    file: str
    unit: str = "row"
    numbers: np.ndarray | None = None

    def at(self, row: int) -> str:
        number = row if self.numbers is None else self.numbers[row]
        return f"{self.file}, {self.unit} {number}"


def fault(where: str, what: str, remedy: str) -> DataError:
    """Every complaint about data says where, what, and what to do about it."""
    return DataError(f"{where}: {what}. {remedy}.")


def as_array(values: object, where: str) -> np.ndarray:
    """`values` as an array of numbers or text, never of Python objects."""
    try:
        array = np.asanyarray(values)
    except ValueError as error:
        raise fault(where, "the rows differ in length", "Give a rectangular array") from error
    if array.dtype.hasobject:
        raise fault(where, "it holds Python objects, not numbers", "Convert it to a numeric dtype")
    return array


def private(values: np.ndarray, dtype: type) -> np.ndarray:
    """A read-only array that nobody else can write to; a copy, unless it already is one."""
    unshared = not values.flags.writeable and values.base is None and values.flags.c_contiguous
    if unshared and values.dtype == dtype and type(values) is np.ndarray:
        return values
    with np.errstate(over="ignore"):
        copy = np.array(values, dtype=dtype, order="C", copy=True, subok=False)
    return freeze(copy)


def freeze(array: np.ndarray) -> np.ndarray:
    """Make an array read-only, in place."""
    array.flags.writeable = False
    return array
