"""Plug-in (SEA Table 3): separate learning inside other systems.

FREEDOM as published keeps the features out of its score, where separation could not change a
ranking. So features in the score without separation form a separate arm.
"""

from typing import Any

from seapkg.studies import tables
from seapkg.studies.base import Datasets, Study, arms_of, declares

SEPARATED = {"alignment": "solosim", "distancing": "club"}
NEGATIVE_DISTANCE = {"alignment": "solosim", "distancing": "negative_l2"}
FEATURES_IN_SCORE = "+ features in the score"
CHANGES = {
    "vbpr": {
        "alone": {},
        "+ SEA": SEPARATED,
        "+ SEA, negative distance": NEGATIVE_DISTANCE,
    },
    "freedom": {
        "alone": {},
        FEATURES_IN_SCORE: {"content_in_score": True},
        "+ SEA": SEPARATED,
        "+ SEA, negative distance": NEGATIVE_DISTANCE,
    },
}


@declares("plug_in")
def plug_in(datasets: Datasets, **shared: Any) -> Study:
    """VBPR and FREEDOM alone and with separate learning; each system is a family."""
    families = [arms_of(system, changes, family=system) for system, changes in CHANGES.items()]
    arms = tuple(arm for family in families for arm in family)
    return Study("plug_in", arms, datasets, tables.differences, **shared)
