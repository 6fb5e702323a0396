"""Checks of the interactions: integer ids in range, no pair twice, every user trains."""

import operator
from collections.abc import Mapping

import numpy as np

from seapkg.data.places import Place, as_array, fault, private

ID_LIMIT = 2**31
IDS_PER_PAIR = 100
KINDS = ("user", "item")


def as_pairs(values: object, split: str, place: Place) -> np.ndarray:
    """One split as int64 [n, 2], columns user and item, ids from 0."""
    array = as_array(values, place.file)
    if array.size == 0:
        raise fault(
            place.file,
            f"the {split} split has no pairs",
            "Train, valid and test need at least one pair each (x_label 0, 1, 2 in .inter)",
        )
    if array.ndim != 2 or array.shape[1] != 2:
        raise fault(
            place.file,
            f"the pairs have shape {array.shape}, not (n, 2)",
            "Give one row for each pair: user, item",
        )
    check_integer(array, place)
    check_ids(array < 0, array, place, "is negative", "Ids count from 0")
    check_ids(
        array >= ID_LIMIT,
        array,
        place,
        f"is absurdly large, not below {ID_LIMIT}",
        "Ids are positions, not codes: number users and items from 0 without gaps",
    )
    return private(array, np.int64)


def check_integer(array: np.ndarray, place: Place) -> None:
    """Ids must be stored as integers; a fractional or missing one is named first."""
    if array.dtype.kind in "iu":
        return
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array))
        check_ids(~whole, array, place, "is not an integer", "Number users and items from 0")
    raise fault(
        place.at(0),
        f"ids are stored as {array.dtype}, not as integers",
        'Number users and items from 0 and save with .astype("int64")',
    )


def check_ids(bad: np.ndarray, array: np.ndarray, place: Place, what: str, remedy: str) -> None:
    """Raise for the first pair with a bad id. `bad`, `array`: [n, 2]."""
    if bad.any():
        row, column = divmod(int(bad.ravel().argmax()), 2)
        raise fault(place.at(row), f"{KINDS[column]} id {array[row, column]} {what}", remedy)


def count_ids(
    splits: Mapping[str, np.ndarray], column: int, given: int | None, places: Mapping[str, Place]
) -> int:
    """How many users (column 0) or items (column 1) there are: `given`, or the largest id + 1."""
    n_pairs = sum(map(len, splits.values()))
    limit = min(IDS_PER_PAIR * n_pairs, ID_LIMIT - 1)
    size = None if given is None else as_size(given, column, limit)
    for split, pairs in splits.items():
        check_largest(pairs, column, limit, places[split])
        if size is not None:
            bad = (pairs >= size) & (np.arange(2) == column)
            check_ids(
                bad,
                pairs,
                places[split],
                f"is out of range, n_{KINDS[column]}s is {size}",
                f"Ids run from 0 to {size - 1}",
            )
    return size or max(int(pairs[:, column].max()) for pairs in splits.values()) + 1


def as_size(given: int, column: int, limit: int) -> int:
    """A number of users or items that was asked for explicitly."""
    name = f"n_{KINDS[column]}s"
    try:
        size = operator.index(given)
    except TypeError as error:
        raise fault(name, f"{given!r} is not an integer", "Give a whole number") from error
    if not 0 < size <= limit + 1:
        raise fault(
            name,
            f"{size} is not between 1 and {limit + 1}, {IDS_PER_PAIR} times the number of pairs",
            "Leave it out to have it counted",
        )
    return size


def check_largest(pairs: np.ndarray, column: int, limit: int, place: Place) -> None:
    """An id above 100 times the number of pairs is taken for a code or a slip of the keyboard.

    Tables are as long as the largest id, so it would claim memory and mean nothing.
    """
    row = int(pairs[:, column].argmax())
    if pairs[row, column] > limit:
        kind = KINDS[column]
        raise fault(
            place.at(row),
            f"{kind} id {pairs[row, column]} is absurdly large, above {IDS_PER_PAIR} times the number of pairs",
            f"Ids are positions, not codes: number {kind}s from 0 without gaps",
        )


def check_unique(
    splits: Mapping[str, np.ndarray], n_items: int, places: Mapping[str, Place]
) -> None:
    """No pair occurs twice, within a split or across splits."""
    codes = np.concatenate([pairs[:, 0] * n_items + pairs[:, 1] for pairs in splits.values()])
    ordered = np.sort(codes)
    if (ordered[1:] != ordered[:-1]).all():
        return
    first, second = first_repeat(codes)
    user, item = divmod(int(codes[second]), n_items)
    raise fault(
        locate(second, splits, places),
        f"user {user}, item {item} occurs twice, first at {locate(first, splits, places)}",
        "Keep each pair once, in one split only",
    )


def first_repeat(codes: np.ndarray) -> tuple[int, int]:
    """Positions of the first code that was there before, and of where it was: (there, here)."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    here = int((first[inverse] != np.arange(len(codes))).argmax())
    return int(first[inverse[here]]), here


def locate(row: int, splits: Mapping[str, np.ndarray], places: Mapping[str, Place]) -> str:
    """Name the place of a row counted over all splits, one after another."""
    for split, pairs in splits.items():
        if row < len(pairs):
            return places[split].at(row)
        row -= len(pairs)
    raise IndexError(row)


def check_every_user_trains(train: np.ndarray, n_users: int, place: Place) -> None:
    """A user without a training pair has nothing to be recommended from."""
    idle = np.flatnonzero(np.bincount(train[:, 0], minlength=n_users) == 0)
    if len(idle):
        raise fault(
            place.file,
            f"{len(idle)} of {n_users} users have no training pair, the first is user {idle[0]}",
            "Give each a training pair, or remove them from valid and test and number the users from 0 without gaps",
        )
