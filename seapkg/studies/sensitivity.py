"""Sensitivity (SEA Fig. 4): one option of SEA moved at a time."""

from collections.abc import Iterable, Mapping
from typing import Any

from seapkg.studies import tables
from seapkg.studies.base import Datasets, Study, arms_of, declares

UNCHANGED = "as chosen"


@declares("sensitivity")
def sensitivity(
    datasets: Datasets,
    values: Mapping[str, Iterable[Any]],
    system: str = "sea (released)",
    **shared: Any,
) -> Study:
    """The base options, then each value of each option by itself, as "temperature=0.1"."""
    changes = {UNCHANGED: {}}
    for option, moved in values.items():
        changes |= {f"{option}={value}": {option: value} for value in moved}
    arms = arms_of(system, changes)
    return Study("sensitivity", arms, datasets, tables.differences, **shared)
