"""What a learned part knows of a factor: linear probes, for data whose factors are known."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

#: In the key of cached results; raised where a change of this code changes them.
PROBES_VERSION = 1
PENALTIES = np.logspace(-2, 4, 13)


def probe_r2(part: np.ndarray, factor: np.ndarray, folds: int = 5, seed: int = 0) -> float:
    """How much of `factor` [n, k] a linear map of `part` [n, d] tells: R² on items left out, the mean over k.

    Ridge regression on standardised columns, its penalty chosen inside each training fold. 1 is all of it, 0 no more
    than the mean; below 0 is a probe that overfits. Raises ValueError where the two have different numbers of items.
    """
    if len(part) != len(factor):
        raise ValueError(
            f"a probe needs the same items on both sides; there are {len(part)} and {len(factor)}"
        )
    probe = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    split = KFold(folds, shuffle=True, random_state=seed)
    return float(r2_score(factor, cross_val_predict(probe, part, factor, cv=split)))


def what_parts_know(
    parts: dict[str, np.ndarray], factors: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    """Rows part ("generic" or "unique"), modality, factor and r2, for each part of each modality and each factor.

    `parts`: "modality/generic" and "modality/unique" -> [n_items, d], as `Recommender.parts` gives them. `factors`:
    "generic" and each modality -> [n_items, k]. A row's factor is "generic", "own unique" or "other's unique".
    """
    rows = []
    for name, part in parts.items():
        modality, kind = name.split("/")
        if kind in ("generic", "unique"):
            for owner, factor in factors.items():
                told = (
                    "generic"
                    if owner == "generic"
                    else "own unique"
                    if owner == modality
                    else "other's unique"
                )
                rows.append(
                    {
                        "part": kind,
                        "modality": modality,
                        "factor": told,
                        "r2": probe_r2(part, factor),
                    }
                )
    return rows
