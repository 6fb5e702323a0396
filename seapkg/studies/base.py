"""A study: arms x datasets x seeds, their runs, and the table made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from seapkg.data import Dataset
from seapkg.data.catalogue import Known, load_or_known
from seapkg.errors import DataNotFound, MissingRun, RequestError, TrainingFault, look_up
from seapkg.models.registry import System, systems
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, get_or_train, plan
from seapkg.runs.tuned import pinned

log = logging.getLogger(__name__)

#: The same seeds for every dataset, or the seeds of each dataset by its name.
Seeds = Iterable[int] | Mapping[str, Iterable[int]]
#: Names, folders or datasets; or a mapping from the names in tables to datasets.
Datasets = Iterable | Mapping[str, Dataset | Known]


@dataclass(frozen=True)
class Arm:
    """One setting of a study.

    Attributes:
        label: its name in tables and figures.
        system: the row of the main table whose options it starts from, such as "sea (released)".
        changes: the options in which it differs from that row.
        family: arms of one family are compared with each other; the first is the reference.
    """

    label: str
    system: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""


def arms_of(system: str, changes: Mapping[str, Mapping], family: str = "") -> tuple[Arm, ...]:
    """An arm for each change of one system; `changes`: label -> options."""
    return tuple(Arm(label, system, change, family) for label, change in changes.items())


@dataclass(frozen=True)
class Result:
    """One planned run of a study; `run` is None where it is missing."""

    dataset: str
    arm: Arm
    plan: Plan
    run: Run | None


@dataclass(frozen=True)
class Study:
    """The runs that answer a question.

    Attributes:
        name: its name for `seapkg.study`.
        arms: the settings to compare.
        datasets: names, folders or datasets; or a mapping from the names in tables to datasets.
        tabulate: makes the study's table from its `Results`.
        seeds: the same for every dataset, or seeds by the dataset's name.
        max_epochs: set for all arms that do not set it themselves; None sets nothing.
        base: (dataset, row) -> the options that the arms start from.
    """

    name: str
    arms: tuple[Arm, ...]
    datasets: Datasets
    tabulate: Callable[[Results], pd.DataFrame]
    seeds: Seeds = (0, 1, 2)
    max_epochs: int | None = None
    base: Callable[[str, str], dict] = pinned

    @cached_property
    def data(self) -> dict[str, Dataset | Known]:
        """Name -> dataset, or its catalogue entry where the files are missing."""
        if isinstance(self.datasets, Mapping):
            return dict(self.datasets)
        here = (Dataset, Known)
        loaded = [data if isinstance(data, here) else load_or_known(data) for data in self.datasets]
        return {data.name: data for data in loaded}

    def plans(self) -> list[Plan]:
        """All runs of the study, finished or not."""
        return [plan for _, _, plan in self._planned()]

    def missing(self, store: Store | None = None) -> list[Plan]:
        """The plans without a finished run."""
        store = store or Store()
        return [plan for plan in self.plans() if store.find(plan.spec) is None]

    def runs(self, store: Store | None = None, *, offline: bool = False) -> Results:
        """Reads the finished runs and trains the others.

        A run stays missing if its data is not here or its training fails; `offline` trains none.
        """
        store = store or Store()
        results = [
            Result(dataset, arm, plan, _run_of(plan, store, offline))
            for dataset, arm, plan in self._planned()
        ]
        return Results(self, results)

    def table(self, store: Store | None = None, *, offline: bool = False) -> pd.DataFrame:
        """The study's table; trains what is missing unless `offline`."""
        return self.runs(store, offline=offline).table()

    def _planned(self) -> Iterator[tuple[str, Arm, Plan]]:
        for name, data in self.data.items():
            for arm in self.arms:
                system, options = self._options(data.name, arm)
                for seed in self._seeds(name, system):
                    yield name, arm, plan(system.name, data, seed=seed, **options)

    def _options(self, dataset: str, arm: Arm) -> tuple[System, dict[str, Any]]:
        system, options = find_row(arm.system)
        base = self.base(dataset, arm.system)
        limit = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        return system, {**options, **base, **limit, **arm.changes}

    def _seeds(self, dataset: str, system: System) -> list[int]:
        seeds = self.seeds
        if isinstance(seeds, Mapping):
            if dataset not in seeds:
                raise RequestError(f"no seeds for {dataset}, only for {', '.join(seeds)}; add them")
            seeds = seeds[dataset]
        untrained = system.model.training_defaults.get("max_epochs") == 0
        seeds = list(dict.fromkeys(seeds))
        return seeds[:1] if untrained else seeds


@dataclass(frozen=True)
class Results:
    """The runs of a study. Iterating yields (label of the arm, run) for each finished run."""

    study: Study
    rows: list[Result]

    def __iter__(self) -> Iterator[tuple[str, Run]]:
        return ((row.arm.label, row.run) for row in self.rows if row.run)

    @property
    def all_runs(self) -> list[Run]:
        return [run for _, run in self]

    @property
    def data(self) -> list[Dataset | Known]:
        """The datasets, for `save_table` and `save_figure`."""
        return list(self.study.data.values())

    def groups(self) -> dict[tuple[str, str], dict[str, list[Run]]]:
        """(dataset, family) -> label -> runs."""
        groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
        for row in self.rows:
            by_label = groups.setdefault((row.dataset, row.arm.family), {})
            by_label.setdefault(row.arm.label, []).extend([row.run] if row.run else [])
        return groups

    def of(self, dataset: str, family: str = "") -> dict[str, list[Run]]:
        """Label -> runs, of one family of arms on one dataset."""
        return self.groups()[dataset, family]

    def counts(self) -> pd.DataFrame:
        """The numbers of finished and of missing runs, one row per dataset and arm."""
        rows = [
            (row.dataset, f"{row.arm.family} {row.arm.label}", row.run is not None, row.run is None)
            for row in self.rows
        ]
        table = pd.DataFrame(rows, columns=["dataset", "arm", "runs", "missing"])
        return table.groupby(["dataset", "arm"], sort=False, as_index=False).sum()

    def lacks(self) -> str:
        """A Markdown list item that names the missing runs; "" if there are none."""
        counts = self.counts().query("missing > 0")
        gaps = [f"{row.dataset}, {row.arm} ({row.missing} runs)" for row in counts.itertuples()]
        return f"- Not run: {'; '.join(gaps)}." if gaps else ""

    def table(self) -> pd.DataFrame:
        """The study's table."""
        return self.study.tabulate(self)


#: Name -> the function that makes the study, and the topic of its notebook.
DECLARED: dict[str, tuple[Callable[..., Study], str]] = {}


def declares(notebook: str) -> Callable:
    """Registers the decorated function as a study of `notebook`, given without its number.

    The function's parameters have the names of the notebook's parameters. All studies share
    `seeds` and `max_epochs`, which the function passes on to `Study`.
    """

    def register(make: Callable[..., Study]) -> Callable[..., Study]:
        DECLARED[make.__name__] = (make, notebook)
        return make

    return register


def rows() -> dict[str, tuple[System, dict[str, Any]]]:
    """The main table's rows, oldest publication first: label -> the system and its options."""
    return {
        label: (system, options)
        for system in systems().values()
        for label, options in system.labels.items()
    }


def find_row(label: str) -> tuple[System, dict[str, Any]]:
    """The system of a row of the main table, and the options that define the row."""
    return look_up("system", label, rows())


def _run_of(plan: Plan, store: Store, offline: bool) -> Run | None:
    try:
        return get_or_train(plan, store, offline=offline, progress=False)
    except (MissingRun, DataNotFound):
        return None
    except TrainingFault as fault:
        log.warning("left out: %s", fault)
        return None
