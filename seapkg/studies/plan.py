"""The runs that a profile would train: those its notebooks miss, with estimated times."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from seapkg.data.catalogue import Known
from seapkg.runs.store import Store
from seapkg.runs.train import Plan
from seapkg.studies import studies_of

COLUMNS = ["notebook", "run", "seed", "minutes", "data"]


def missing(notebooks: Mapping[str, Mapping[str, Any]], store: Store) -> dict[str, list[Plan]]:
    """Notebook -> the plans whose runs are neither finished nor marked as failed.

    Args:
        notebooks: name -> the notebook's parameters.
        store: holds the finished runs.
    """
    return {
        name: [
            plan
            for study in studies_of(name, parameters).values()
            for plan in study.missing(store)
            if store.failure(plan.spec) is None
        ]
        for name, parameters in notebooks.items()
    }


def can_train(plan: Plan) -> bool:
    """Whether the files of the plan's dataset are here."""
    return not isinstance(plan.dataset, Known)


def report(notebooks: Mapping[str, Mapping[str, Any]], store: Store) -> str:
    """The missing runs, one line each, under the first notebook that asks for them; then the sum.

    The time of a run is the median of the finished runs of its model on its dataset.
    """
    seconds = typical_seconds(store)
    rows = []
    for name, plans in missing(notebooks, store).items():
        for plan in plans:
            spec, data = plan.spec, "here" if can_train(plan) else "not here"
            minutes = seconds.get((spec.model, spec.dataset), float("nan")) / 60
            rows.append((name, spec.name, spec.seed, minutes, data))
    table = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates("run")
    times = table.loc[table["data"] == "here", "minutes"]
    total = f"{len(times)} run(s) to train, about {times.sum():.0f} min"
    unknown = f"{times.isna().sum()} of unknown length, {len(table) - len(times)} without data here"
    return f"{table.round(1).to_string(index=False)}\n{total}; {unknown}"


def typical_seconds(store: Store) -> dict[tuple[str, str], float]:
    """(model, dataset) -> median seconds of the finished runs."""
    rows = [(run.model, run.dataset, run.record["seconds_total"]) for run in store.list()]
    table = pd.DataFrame(rows, columns=["model", "dataset", "seconds"])
    return table.groupby(["model", "dataset"])["seconds"].median().to_dict()
