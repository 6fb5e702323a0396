"""The main table on one dataset: every system, several seeds, means with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from seapkg.analysis.statistics import mean_interval
from seapkg.data import Dataset
from seapkg.errors import RequestError, did_you_mean
from seapkg.models import systems
from seapkg.runs.run import METRICS
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, plan
from seapkg.runs.tuned import tuned


def comparison_plans(
    data: Dataset,
    chosen: Sequence[str] | None = None,
    n_seeds: int = 3,
    *,
    epochs: int | None = None,
    use_tuned: bool = False,
) -> dict[str, list[Plan]]:
    """Main-table label -> the plans of its runs, one per seed.

    Args:
        data: the dataset; without features, the systems that need them are left out.
        chosen: systems ("sea") or labels ("sea (paper)"); all where not given.
        epochs: the most epochs of each run.
        use_tuned: starts from the options of `tuned.yaml` for this dataset.
    """
    if n_seeds < 1:
        raise RequestError(f"seeds must be at least 1; it is {n_seeds}")
    limit = {} if epochs is None else {"max_epochs": epochs}
    plans = {}
    for label, (model, options) in _rows(data, chosen).items():
        base = tuned(data.name, label) if use_tuned else {}
        values = {**options, **base, **limit}
        seeds = range(n_seeds if model != "popularity" else 1)  # it draws nothing
        plans[label] = [plan(model, data, seed=seed, **values) for seed in seeds]
    return plans


def compare(plans: dict[str, list[Plan]], store: Store) -> pd.DataFrame:
    """The main table: mean of each test metric over seeds, with its 95 % interval, best first."""
    rows = []
    for label, group in plans.items():
        found = [store.find(one.spec) for one in group]
        runs = [run for run in found if run is not None]
        if not runs:
            continue
        row: dict[str, Any] = {"system": label, "seeds": len(runs)}
        for metric in METRICS:
            interval = mean_interval([run.test[metric] for run in runs])
            row[metric] = interval.mean
            row[f"± {metric}"] = interval.half_width
        rows.append(row)
    if not rows:
        raise RequestError("no run of the comparison was finished")
    return pd.DataFrame(rows).sort_values("recall@20", ascending=False, ignore_index=True)


def _rows(data: Dataset, chosen: Sequence[str] | None) -> dict[str, tuple[str, dict[str, Any]]]:
    """Label -> model and the options that set the row apart."""
    every = {
        label: (name, options)
        for name, system in systems().items()
        for label, options in system.labels.items()
    }
    if chosen is None:
        trainable = {
            label: row
            for label, row in every.items()
            if data.features or not systems()[row[0]].model.needs_features
        }
        return trainable
    unknown = [name for name in chosen if name not in every and name not in systems()]
    if unknown:
        known = [*systems(), *(label for label in every if label not in systems())]
        hint = did_you_mean(unknown[0], known)
        raise RequestError(f"unknown system {unknown[0]!r}{hint}; known are {', '.join(known)}")
    return {
        label: (model, options)
        for label, (model, options) in every.items()
        if label in chosen or model in chosen
    }
