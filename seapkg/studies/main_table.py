"""The main table (SEA Table 2): every system with the options that were chosen on the validation
split.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from seapkg.runs.tuned import tuned
from seapkg.studies import tables
from seapkg.studies.base import Arm, Datasets, Study, declares, rows


@declares("main_table")
def main_table(
    datasets: Datasets,
    systems: Iterable[str] | None = None,
    without: Iterable[str] = (),
    **shared: Any,
) -> Study:
    """Each system on each dataset.

    Args:
        systems: rows such as "lightgcn" and "sea (released)"; None takes all, oldest first.
        without: rows to leave out.
    """
    arms = _arms(systems, without)
    return Study("main_table", arms, datasets, tables.main_table, base=tuned, **shared)


@declares("main_table")
def before_search(
    searched: Datasets = (),
    systems: Iterable[str] | None = None,
    without: Iterable[str] = (),
    **shared: Any,
) -> Study:
    """The main table with the options that were best known before the equal search.

    Args:
        searched: the datasets of the search.
        systems, without: as in `main_table`.
    """
    arms = _arms(systems, without)
    return Study("before_search", arms, searched, tables.main_table, **shared)


def _arms(systems: Iterable[str] | None, without: Iterable[str]) -> tuple[Arm, ...]:
    return tuple(Arm(label, label) for label in systems or rows() if label not in without)
