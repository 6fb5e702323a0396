"""Known factors: ways to separate, where the factors are known, and how they rank on real data.

"Subtraction" is the paradigm that SEA's Sec. 2 describes and criticises: a generic part by an
encoder, the rest as the unique part, and orthogonality between the unique parts of two modalities.
"Orthogonal halves" penalises the angle of generic and unique part within a modality.
"""

from collections.abc import Iterable
from typing import Any

from seapkg.data.synthetic import synthetic
from seapkg.studies import tables
from seapkg.studies.base import Datasets, Study, arms_of, declares

WAYS = {
    "SEAa": {"variant": "a"},
    "SEAb": {"variant": "b"},
    "SEAc": {"variant": "c"},
    "SEAd": {"variant": "d"},
    "orthogonal halves": {"distancing": "orthogonal", "distancing_weight": 0.1},
    "subtraction": {"distancing": "subtraction", "distancing_weight": 0.1},
    "alignment alone": {"variant": "without_distancing"},
    "nothing": {"variant": "without_all"},
}
CHANGES = {
    f"{formulation}, {way}": {"formulation": formulation, **change}
    for formulation in ("released", "paper")
    for way, change in WAYS.items()
    if (formulation, way) != ("released", "subtraction")  # it divides the GNN's output
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


@declares("known_factors")
def paradigms(ranked_on: Datasets, ranked_epochs: int | None = None, **shared: Any) -> Study:
    """SEA as in the paper beside the older paradigm, by their rankings; SEAa is the reference.

    Args:
        ranked_on: the datasets.
        ranked_epochs: the maximal number of epochs, which is another one than on `synthetic`.
        shared: the seeds.
    """
    ways = ("SEAa", "subtraction", "orthogonal halves", "alignment alone")
    arms = arms_of("sea (paper)", {way: WAYS[way] for way in ways})
    shared["max_epochs"] = ranked_epochs
    return Study("paradigms", arms, ranked_on, tables.differences, **shared)
