"""The ablation (SEA Fig. 3): what SEA loses without one of its losses, or without both."""

from typing import Any

from seapkg.runs.tuned import tuned
from seapkg.studies import tables
from seapkg.studies.base import Datasets, Study, arms_of, declares

CHANGES = {
    "SEA": {},
    "w/o Alignment": {"variant": "without_alignment"},
    "w/o Distancing": {"variant": "without_distancing"},
    "w/o All": {"variant": "without_all"},
}


@declares("ablation")
def ablation(datasets: Datasets, system: str = "sea (released)", **shared: Any) -> Study:
    """SEA, and SEA without each loss, at the options of the main table."""
    arms = arms_of(system, CHANGES)
    return Study("ablation", arms, datasets, tables.differences, base=tuned, **shared)
