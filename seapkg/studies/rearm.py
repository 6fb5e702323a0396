"""REARM: its parts, its rivals, and what its published sampler of negatives gains by leaking."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from seapkg.studies import tables
from seapkg.studies.base import Arm, Datasets, Results, Study, arms_of, declares

PARTS = {
    "REARM": {},
    "w/o contrast": {"contrast_weight": 0.0},
    "w/o decorrelation": {"difference_weight": 0.0},
    "w/o meta-network": {"meta_network": False},
    # The residual connections and layer norms of attention stay here ...
    "w/o attention": {"self_dropout": 1.0, "cross_dropout": 1.0},
    # ... and go here.
    "w/o attention and its norms": {"attention": False},
    "w/o user graph": {"n_user_layers": 0},
    "w/o item graph": {"n_item_layers": 0},
    "w/o co-occurrence": {"user_co_weight": 0.0, "item_co_weight": 0.0},
}
LEAK = "all items, never held-out ones"
#: Where negatives come from. The second excludes held-out items and thereby leaks them.
SAMPLERS = {
    "items seen in training": {},
    LEAK: {"negatives": "never_held_out"},
}


@declares("rearm")
def rearm_parts(datasets: Datasets, **shared: Any) -> Study:
    """REARM, and REARM without each part in turn."""
    arms = arms_of("rearm (clean)", PARTS)
    return Study("rearm_parts", arms, datasets, tables.differences, **shared)


@declares("rearm")
def rearm_rivals(
    compared_on: Datasets,
    compared: Iterable[str] = ("rearm (clean)", "sea (released)"),
    **shared: Any,
) -> Study:
    """The first of the systems against the others."""
    arms = tuple(Arm(label, label) for label in compared)
    return Study("rearm_rivals", arms, compared_on, tables.differences, **shared)


@declares("rearm")
def rearm_leak(
    datasets: Datasets,
    leaking: Iterable[str] = ("rearm (clean)", "sea (released)"),
    **shared: Any,
) -> Study:
    """Each system with both samplers of negatives; each system is a family."""
    arms = tuple(arm for label in leaking for arm in arms_of(label, SAMPLERS, family=label))
    return Study("rearm_leak", arms, datasets, _gains, **shared)


def _gains(results: Results) -> pd.DataFrame:
    return tables.as_gains(tables.differences(results))
