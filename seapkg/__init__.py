"""Multimodal recommendation by separate learning: data, models, training, runs and studies.

    import seapkg
    data = seapkg.load("synthetic")
    run = seapkg.train("sea", data, seed=0)
    run.test, run.curves, run.recommend(user=7, k=10)

The names below are imported at their first use, so `import seapkg` is fast.
"""

import importlib
from typing import Any

_HOME = {
    "DataError": "seapkg.errors",
    "Dataset": "seapkg.data",
    "ItemGraph": "seapkg.data",
    "RequestError": "seapkg.errors",
    "Run": "seapkg.runs.run",
    "SeapkgError": "seapkg.errors",
    "Store": "seapkg.runs.store",
    "TrainingConfig": "seapkg.training",
    "TrainingFault": "seapkg.errors",
    "evaluate": "seapkg.training",
    "fit": "seapkg.training",
    "load": "seapkg.data",
    "study": "seapkg.studies",
    "systems": "seapkg.models",
    "train": "seapkg.runs.train",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seapkg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
