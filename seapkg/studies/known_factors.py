"""Known factors: ways to separate, on data whose factors are known."""

from collections.abc import Iterable
from typing import Any

from seapkg.data.synthetic import synthetic
from seapkg.studies import tables
from seapkg.studies.base import Study, arms_of, declares

WAYS = {
    "SEAa": {"variant": "a"},
    "SEAb": {"variant": "b"},
    "SEAc": {"variant": "c"},
    "SEAd": {"variant": "d"},
    "orthogonal": {"distancing": "orthogonal", "distancing_weight": 0.1},
    "alignment alone": {"variant": "without_distancing"},
    "nothing": {"variant": "without_all"},
}
CHANGES = {
    f"{formulation}, {way}": {"formulation": formulation, **change}
    for formulation in ("released", "paper")
    for way, change in WAYS.items()
}


@declares("known_factors")
def known_factors(
    methods: Iterable[str] = tuple(CHANGES),
    **shared: Any,
) -> Study:
    """Each method on `synthetic`, where half of a modality's variance is shared."""
    arms = arms_of("sea (released)", {method: CHANGES[method] for method in methods})
    return Study("known_factors", arms, ["synthetic"], tables.main_table, **shared)


@declares("known_factors")
def known_factors_by_share(
    swept: Iterable[str],
    shares: Iterable[float],
    **shared: Any,
) -> Study:
    """Each method on data with another share; a dataset's name is its share."""
    arms = arms_of("sea (released)", {method: CHANGES[method] for method in swept})
    worlds = {str(share): synthetic(shared=share) for share in shares}
    return Study("known_factors_by_share", arms, worlds, tables.main_table, **shared)
