"""The variants SEAa to SEAd (SEA Tables 4 and 5): their quality and their cost."""

from typing import Any

from seapkg.runs.tuned import pinned
from seapkg.studies import tables
from seapkg.studies.base import Datasets, Study, arms_of, declares, find_row

CHANGES = {
    "SEAa": {"variant": "a"},
    "SEAb": {"variant": "b"},
    "SEAc": {"variant": "c"},
    "SEAd": {"variant": "d"},
}


@declares("variants_and_cost")
def variants(datasets: Datasets, system: str = "sea (released)", **shared: Any) -> Study:
    """The four ways to align and to distance; SEAa is the reference."""
    arms = arms_of(system, CHANGES)
    return Study("variants", arms, datasets, tables.differences, **shared)


def timed(dataset: str, row: str, change: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Model and options of a timed training: a changed row of the main table, batch size 2048."""
    system, options = find_row(row)
    return system.name, {**options, **pinned(dataset, row), **change, "batch_size": 2048}
