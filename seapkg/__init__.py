"""Multimodal recommendation by separate learning: data, models, training, runs and studies.

    import seapkg
    data = seapkg.load("synthetic")
    run = seapkg.train("sea", data, seed=0)
    run.test, run.curves, run.recommend(user=7, k=10)

The names below are imported at their first use, so `import seapkg` is fast.
"""

import importlib
from typing import Any

_HOMES = {
    "seapkg.data": ("Dataset", "ItemGraph", "load"),
    "seapkg.errors": ("DataError", "RequestError", "SeapkgError", "TrainingFault"),
    "seapkg.runs.run": ("Run",),
    "seapkg.runs.store": ("Store",),
    "seapkg.runs.train": ("train",),
    "seapkg.models": ("systems",),
    "seapkg.studies": ("study",),
    "seapkg.training": ("TrainingConfig", "evaluate", "fit"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seapkg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
