"""The ablation (SEA Fig. 3): what SEA loses without one of its losses, or without both."""

from __future__ import annotations

from seapkg.runs.tuned import tuned
from seapkg.studies import tables
from seapkg.studies.base import Datasets, Seeds, Study, arms_of, declares

CHANGES = {
    "SEA": {},
    "w/o Alignment": {"variant": "without_alignment"},
    "w/o Distancing": {"variant": "without_distancing"},
    "w/o All": {"variant": "without_all"},
}


@declares("ablation")
def ablation(
    datasets: Datasets,
    system: str = "sea (released)",
    seeds: Seeds = (0, 1, 2),
    max_epochs: int | None = None,
) -> Study:
    """SEA, and SEA without each loss, at the options of the main table."""
    arms = arms_of(system, CHANGES)
    return Study("ablation", arms, datasets, seeds, tables.differences, max_epochs, base=tuned)
