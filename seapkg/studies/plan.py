"""What a profile would train: the runs each notebook asks for, which are missing, and how long those may take."""

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from seapkg.data.catalogue import Known, load, load_or_known
from seapkg.data.synthetic import synthetic
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.runs.train import Plan
from seapkg.studies import definitions


def main_table(datasets, systems, seeds, max_epochs, **_) -> list[Plan]:
    return [
        one
        for data in datasets
        for one in definitions.plans(load_or_known(data), systems, seeds, **at_most(max_epochs))
    ]


def ablation(datasets, system, seeds, max_epochs, **_) -> list[Plan]:
    return _changed(datasets, system, definitions.ABLATION, seeds, max_epochs)


def plug_in(datasets, seeds, max_epochs, **_) -> list[Plan]:
    return [
        plan
        for system, changes in definitions.PLUG_IN.items()
        for plan in _changed(datasets, system, changes, seeds, max_epochs)
    ]


def variants(datasets, system, seeds, max_epochs, **_) -> list[Plan]:
    return _changed(datasets, system, definitions.VARIANTS, seeds, max_epochs)


def parts(datasets, seeds, max_epochs, **_) -> list[Plan]:
    return [
        plan
        for label, (system, change) in definitions.PARTS_OF.items()
        for plan in _changed(datasets, system, {label: change}, seeds, max_epochs)
    ]


def paper_and_code(datasets, seeds, max_epochs, **_) -> list[Plan]:
    return _changed(datasets, "sea (released)", definitions.PAPER_AND_CODE, seeds, max_epochs)


def rearm(datasets, compared, compared_on, seeds, max_epochs, **_) -> list[Plan]:
    of_parts = _changed(datasets, "rearm (clean)", definitions.REARM_PARTS, seeds, max_epochs)
    rivals = main_table(compared_on, compared, seeds, max_epochs)
    samplers = [
        _changed(datasets, system, definitions.SAMPLERS, seeds, max_epochs) for system in compared
    ]
    return [*of_parts, *rivals, *(plan for group in samplers for plan in group)]


def sensitivity(datasets, system, values, seeds, max_epochs, **_) -> list[Plan]:
    return _changed(datasets, system, definitions.one_at_a_time(values), seeds, max_epochs)


def known_factors(methods, swept, shares, seeds, max_epochs, **_) -> list[Plan]:
    worlds = [(load("synthetic"), methods), *((synthetic(shared=share), swept) for share in shares)]
    found = []
    for data, names in worlds:
        changes = {method: definitions.SEPARATIONS[method] for method in names}
        groups = definitions.changed_plans(
            data, "sea (released)", changes, seeds, **at_most(max_epochs)
        )
        found += [plan for plans in groups.values() for plan in plans]
    return found


def _changed(datasets, system, changes, seeds, max_epochs) -> list[Plan]:
    more = at_most(max_epochs)
    groups = [
        definitions.changed_plans(load_or_known(data), system, changes, seeds, **more)
        for data in datasets
    ]
    return [one for group in groups for plans in group.values() for one in plans]


def at_most(max_epochs: int | None) -> dict[str, int]:
    return {} if max_epochs is None else {"max_epochs": max_epochs}


#: Notebook -> the runs it asks for, given its parameters. A notebook that trains outside the store is not named here.
ASKS: dict[str, Callable[..., list[Plan]]] = {
    "04_main_table": main_table,
    "05_ablation": ablation,
    "06_sensitivity": sensitivity,
    "07_plug_in": plug_in,
    "08_variants_and_cost": variants,
    "09_tsne": parts,
    "10_known_factors": known_factors,
    "11_paper_and_code": paper_and_code,
    "12_rearm": rearm,
}


def asked(notebook: str, parameters: dict[str, Any]) -> list[Plan]:
    """The runs that a notebook asks for, finished or not; `parameters`: all it declares, with their values."""
    return ASKS[notebook](**parameters) if notebook in ASKS else []


def missing(notebooks: Iterable[tuple[str, dict[str, Any]]], store: Store) -> dict[str, list[Plan]]:
    """Notebook -> the plans whose runs are neither finished nor failed, each named once, by the first that asks for it.

    `notebooks`: names with all their parameters.
    """
    todo, named = {}, set()
    for name, parameters in notebooks:
        todo[name] = []
        for plan in asked(name, parameters):
            if (
                plan.spec.key not in named
                and store.find(plan.spec) is None
                and store.failure(plan.spec) is None
            ):
                named.add(plan.spec.key)
                todo[name].append(plan)
    return todo


def can_train(plan: Plan) -> bool:
    """Whether the plan's data is here; a notebook leaves out what it can neither read nor train."""
    return not isinstance(plan.dataset, Known)


def estimate(plan: Plan, finished: list[Run]) -> float | None:
    """Seconds that `plan` may take: those of the finished runs most like it, cut at its max_epochs; None without any.

    Most like it: of its model on its dataset, with most of its options, on whatever machine they ran. A run that was
    cut off sooner than the plan would be tells nothing.
    """
    alike = [
        run for run in finished if (run.model, run.dataset) == (plan.spec.model, plan.spec.dataset)
    ]
    alike = [
        run
        for run in alike
        if not run.record["epochs"] == run.training["max_epochs"] < plan.training.max_epochs
    ]
    if not alike:
        return None
    wanted = {**plan.spec.config, **plan.spec.training}
    shared = [
        sum({**run.config, **run.training}.get(key) == wanted[key] for key in wanted)
        for run in alike
    ]
    closest = [run for run, count in zip(alike, shared, strict=True) if count == max(shared)]
    return statistics.median(_seconds(run, plan.training.max_epochs) for run in closest)


def report(notebooks: Iterable[tuple[str, dict[str, Any]]], store: Store) -> str:
    """What is missing, a line a run, and the sum for each notebook."""
    finished, lines = store.list(), []
    for name, every in missing(notebooks, store).items():
        plans = [plan for plan in every if can_train(plan)]
        seconds = [estimate(plan, finished) for plan in plans]
        lines.append(f"{name}: {len(plans)} run(s) to train{_in_all(seconds)}{_left_out(every)}")
        lines += [
            f"  {plan.spec.name}  seed {plan.spec.seed}  {_words(time)}"
            for plan, time in zip(plans, seconds, strict=True)
        ]
    return "\n".join(lines)


def _seconds(run: Run, max_epochs: int) -> float:
    epochs = run.record["epochs"]
    return (
        run.record["seconds_total"] * min(1, max_epochs / epochs)
        if epochs
        else run.record["seconds_total"]
    )


def _in_all(seconds: list[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    unknown = len(seconds) - len(known)
    said = [_words(sum(known))] * bool(known) + [f"{unknown} of unknown length"] * bool(unknown)
    return "".join(f", {words}" for words in said)


def _left_out(plans: list[Plan]) -> str:
    absent = [plan.spec.dataset for plan in plans if not can_train(plan)]
    where = ", ".join(dict.fromkeys(absent))
    return f"; {len(absent)} left out, their data is not here: {where}" if absent else ""


def _words(seconds: float | None) -> str:
    if seconds is None:
        return "time unknown"
    return (
        f"about {math.ceil(seconds / 60)} min"
        if seconds < 7200
        else f"about {seconds / 3600:.1f} h"
    )
