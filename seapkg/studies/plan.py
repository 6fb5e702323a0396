"""What a profile would train: the missing runs of its notebooks, and how long these may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from seapkg.data.catalogue import Known
from seapkg.runs.store import Store
from seapkg.runs.train import Plan
from seapkg.studies import studies_of

Notebooks = Iterable[tuple[str, Mapping[str, Any]]]


def missing(notebooks: Notebooks, store: Store) -> dict[str, list[Plan]]:
    """Notebook -> the plans whose runs are neither finished nor marked as failed.

    Args:
        notebooks: names, each with all parameters that the notebook declares.
    """
    return {
        name: [
            plan
            for study in studies_of(name, parameters).values()
            for plan in study.missing(store)
            if store.failure(plan.spec) is None
        ]
        for name, parameters in notebooks
    }


def can_train(plan: Plan) -> bool:
    """Whether the files of the plan's dataset are here."""
    return not isinstance(plan.dataset, Known)


def report(notebooks: Notebooks, store: Store) -> str:
    """The missing runs, one line each at the first notebook that asks for it.

    The time of a run is the median of the finished runs of its model on its dataset.
    """
    seconds = typical_seconds(store)
    seen: set[str] = set()
    lines = []
    for name, plans in missing(notebooks, store).items():
        specs = {plan.spec.name: plan.spec for plan in plans if plan.spec.name not in seen}
        absent = [plan.spec.name for plan in plans if not can_train(plan)]
        seen |= specs.keys()
        trainable = [spec for run, spec in specs.items() if run not in absent]
        times = [seconds.get((spec.model, spec.dataset)) for spec in trainable]
        lines.append(f"{name}: {len(trainable)} run(s) to train, {_total(times)}")
        if len(specs) > len(trainable):
            left_out = {spec.dataset for run, spec in specs.items() if run in absent}
            lines.append(f"  left out, their data is not here: {', '.join(sorted(left_out))}")
        for spec, time in zip(trainable, times, strict=True):
            lines.append(f"  {spec.name}  seed {spec.seed}  {in_words(time)}")
    return "\n".join(lines)


def typical_seconds(store: Store) -> dict[tuple[str, str], float]:
    """(model, dataset) -> median seconds of the finished runs."""
    rows = [(run.model, run.dataset, run.record["seconds_total"]) for run in store.list()]
    table = pd.DataFrame(rows, columns=["model", "dataset", "seconds"])
    return table.groupby(["model", "dataset"])["seconds"].median().to_dict()


def in_words(seconds: float | None) -> str:
    """A duration in minutes, or in hours from two hours on."""
    if seconds is None:
        return "time unknown"
    if seconds < 7200:
        return f"about {seconds / 60:.1f} min"
    return f"about {seconds / 3600:.1f} h"


def _total(times: list[float | None]) -> str:
    known = [time for time in times if time is not None]
    unknown = len(times) - len(known)
    words = in_words(sum(known))
    return f"{words}, {unknown} of unknown length" if unknown else words
