"""What a profile would train: the runs that its notebooks miss, and how long these may take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from seapkg.data.catalogue import Known
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.runs.train import Plan
from seapkg.studies import studies_of

Notebooks = Iterable[tuple[str, Mapping[str, Any]]]


def missing(notebooks: Notebooks, store: Store) -> dict[str, list[Plan]]:
    """Notebook -> the plans whose runs are neither finished nor failed.

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
    """Whether the plan's data is here; a study leaves out what it can neither read nor train."""
    return not isinstance(plan.dataset, Known)


def report(notebooks: Notebooks, store: Store) -> str:
    """The missing runs, a line each at the first notebook that asks for it, and the sum for each
    notebook.
    """
    finished = store.list()
    seen: set[str] = set()
    lines = []
    for name, plans in missing(notebooks, store).items():
        plans = [plan for plan in plans if plan.spec.key not in seen]
        seen |= {plan.spec.key for plan in plans}
        trainable = [plan for plan in plans if can_train(plan)]
        absent = [plan.spec.dataset for plan in plans if not can_train(plan)]
        seconds = [estimate(plan, finished) for plan in trainable]
        line = f"{name}: {len(trainable)} run(s) to train{_total(seconds)}"
        if absent:
            names = ", ".join(dict.fromkeys(absent))
            line += f"; {len(absent)} left out, their data is not here: {names}"
        lines.append(line)
        for plan, time in zip(trainable, seconds, strict=True):
            lines.append(f"  {plan.spec.name}  seed {plan.spec.seed}  {in_words(time)}")
    return "\n".join(lines)


def estimate(plan: Plan, finished: list[Run]) -> float | None:
    """Seconds that a plan may take: the median of the finished runs most like it; None without any.

    These are the runs of its model on its dataset with most of its options, on whatever machine
    they ran. A run that reached a lower limit of epochs than the plan's does not count.
    """
    spec, limit = plan.spec, plan.training.max_epochs
    wanted = {**spec.config, **spec.training}
    alike: dict[int, list[float]] = {}
    for run in finished:
        if (run.model, run.dataset) == (spec.model, spec.dataset) and not _cut_off(run, limit):
            options = {**run.config, **run.training}
            shared = sum(options.get(key) == value for key, value in wanted.items())
            alike.setdefault(shared, []).append(_seconds(run, limit))
    return statistics.median(alike[max(alike)]) if alike else None


def in_words(seconds: float | None) -> str:
    """A duration to the minute, or to the tenth of an hour from two hours on."""
    if seconds is None:
        return "time unknown"
    if seconds < 7200:
        return f"about {math.ceil(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def _cut_off(run: Run, limit: int) -> bool:
    return run.record["epochs"] == run.training["max_epochs"] < limit


def _seconds(run: Run, limit: int) -> float:
    epochs = run.record["epochs"]
    share = min(1, limit / epochs) if epochs else 1
    return run.record["seconds_total"] * share


def _total(seconds: list[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    words = f", {in_words(sum(known))}" if known else ""
    if len(known) < len(seconds):
        words += f", {len(seconds) - len(known)} of unknown length"
    return words
