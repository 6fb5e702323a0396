"""Paper and code: the released SEA with one difference at a time changed towards the text.

Two arms stand apart. "CLUB fitted at rate 3e-3" goes towards the published code, where CLUB's
network has the model's own rate. "paper" is the text's formulation as a whole, but for Solosim,
where the text contradicts itself, and patience, which it leaves open. docs/systems.md lists the
differences.
"""

from typing import Any

from seapkg.studies import tables
from seapkg.studies.base import Datasets, Study, arms_of, declares

CHANGES = {
    "released": {},
    "split after the GNN": {"split": "after_gnn"},
    "learned item graph": {"graph_weights": "learned"},
    "natural logarithm": {"log_base": "e"},
    "CLUB fitted on its own pairs": {"club_pairs": "within", "club_shared": False},
    "CLUB fitted at rate 3e-3": {"club_learning_rate": 3e-3},
    "CLUB not clamped": {"club_clamp": False},
    "CLUB in full": {"club_half": False, "club_average": False, "club_estimate": "exact"},
    "Solosim as positives only": {"alignment": "positives"},
    "patience 30": {"patience": 30},
    "paper": {"formulation": "paper"},
}


@declares("paper_and_code")
def paper_and_code(datasets: Datasets, **shared: Any) -> Study:
    """The released form, then each change; positive differences are losses."""
    arms = arms_of("sea (released)", CHANGES)
    return Study("paper_and_code", arms, datasets, tables.differences, **shared)
