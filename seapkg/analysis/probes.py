"""Linear probes: how well a learned part predicts a known factor."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

#: In the key of cached results; raise it if a change of this module changes them.
PROBES_VERSION = 1
PENALTIES = np.logspace(-2, 4, 13)


def probe_r2(part: np.ndarray, factor: np.ndarray) -> float:
    """The R² with which a linear map of a part predicts a factor, on held-out items.

    Ridge regression on standardised columns; its penalty is chosen inside each training fold. 1 is
    a perfect prediction, 0 no better than the mean, and an overfitted probe falls below 0.

    Args:
        part: [n_items, dim].
        factor: [n_items, factor_dim]; R² is the mean over its columns.
    """
    probe = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    split = KFold(5, shuffle=True, random_state=0)
    return float(r2_score(factor, cross_val_predict(probe, part, factor, cv=split)))


def what_parts_know(
    parts: dict[str, np.ndarray], factors: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    """Probes every generic and unique part for every factor.

    Args:
        parts: "modality/part" -> [n_items, dim], as `Recommender.parts` returns them.
        factors: "generic" and each modality -> [n_items, factor_dim].

    Returns:
        Rows of `part, modality, factor, r2`; `factor` is "generic", "own unique" or
        "other's unique".
    """
    rows = []
    for name, part in parts.items():
        modality, kind = name.split("/")
        if kind not in ("generic", "unique"):
            continue
        relations = {"generic": "generic", modality: "own unique"}
        for source, factor in factors.items():
            relation = relations.get(source, "other's unique")
            r2 = probe_r2(part, factor)
            rows.append({"part": kind, "modality": modality, "factor": relation, "r2": r2})
    return rows
