"""A study is a value: arms x datasets x seeds, the runs these ask for, and the table made of
them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any

import pandas as pd
import yaml

from seapkg.data import Dataset
from seapkg.data.catalogue import Known, load_or_known
from seapkg.errors import DataNotFound, MissingRun, RequestError, TrainingFault, did_you_mean
from seapkg.models.registry import System, systems
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, get_or_train, plan

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
        changes: the options that set it apart.
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
class Cell:
    """One arm on one dataset: its plans, a seed each, and the runs that there are."""

    dataset: str
    arm: Arm
    plans: list[Plan]
    runs: list[Run]

    @property
    def missing(self) -> list[Plan]:
        seeds = {run.seed for run in self.runs}
        return [plan for plan in self.plans if plan.spec.seed not in seeds]


@dataclass(frozen=True)
class Study:
    """Which runs a question asks for.

    Attributes:
        name: as `seapkg.study` has it.
        arms: the settings.
        datasets: names, folders or datasets; or a mapping from the names in tables to datasets.
        seeds: for every dataset, or by the dataset's name.
        tabulate: makes the study's table of its `Results`.
        max_epochs: replaces the option of all arms that do not set it; None leaves it.
        base: (dataset, label) -> the options that the arms start from; `pinned` where it is None.
    """

    name: str
    arms: tuple[Arm, ...]
    datasets: Datasets
    seeds: Seeds
    tabulate: Callable[[Results], pd.DataFrame]
    max_epochs: int | None = None
    base: Callable[[str, str], dict] | None = None

    @cached_property
    def data(self) -> dict[str, Dataset | Known]:
        """Name -> dataset, or what is known of one that is not here."""
        if isinstance(self.datasets, Mapping):
            return dict(self.datasets)
        here = (Dataset, Known)
        loaded = [data if isinstance(data, here) else load_or_known(data) for data in self.datasets]
        return {data.name: data for data in loaded}

    def plans(self) -> list[Plan]:
        """Every run of the study, finished or not."""
        return [plan for cell in self._cells() for plan in cell.plans]

    def missing(self, store: Store | None = None) -> list[Plan]:
        """The plans without a finished run."""
        store = store or Store()
        return [plan for plan in self.plans() if store.find(plan.spec) is None]

    def runs(
        self, store: Store | None = None, *, offline: bool = False, progress: bool = False
    ) -> Results:
        """Reads the finished runs and trains the others.

        A run stays missing where its data is not here or its training fails; `offline` trains none.
        """
        store = store or Store()
        cells = self._cells()
        for cell in cells:
            found = [_run_of(plan, store, offline, progress) for plan in cell.plans]
            cell.runs.extend(run for run in found if run is not None)
        return Results(self, cells)

    def table(self, store: Store | None = None, *, offline: bool = False) -> pd.DataFrame:
        """The study's table; trains what is missing unless `offline`."""
        return self.runs(store, offline=offline).table()

    def _cells(self) -> list[Cell]:
        return [
            Cell(name, arm, self._plans(name, arm), []) for name in self.data for arm in self.arms
        ]

    def _plans(self, name: str, arm: Arm) -> list[Plan]:
        data = self.data[name]
        system, options = find_row(arm.system)
        base = (self.base or pinned)(data.name, arm.system)
        limit = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        options = {**options, **base, **limit, **arm.changes}
        seeds = _seeds_of(name, self.seeds)
        if system.model.training_defaults.get("max_epochs") == 0:
            seeds = seeds[:1]  # nothing is trained, so one seed stands for all
        return [plan(system.name, data, seed=seed, **options) for seed in seeds]


@dataclass(frozen=True)
class Results:
    """What a study found. Iterating gives the label of the arm and the run, for each run."""

    study: Study
    cells: list[Cell]

    def __iter__(self) -> Iterator[tuple[str, Run]]:
        return ((cell.arm.label, run) for cell in self.cells for run in cell.runs)

    @property
    def all_runs(self) -> list[Run]:
        return [run for _, run in self]

    @property
    def missing(self) -> list[Plan]:
        return [plan for cell in self.cells for plan in cell.missing]

    @property
    def data(self) -> list[Dataset | Known]:
        """The datasets, as `save_table` and `save_figure` take them."""
        return list(self.study.data.values())

    def of(self, dataset: str, family: str = "") -> dict[str, list[Run]]:
        """Label -> runs, of one family of arms on one dataset."""
        key = (dataset, family)
        cells = [cell for cell in self.cells if (cell.dataset, cell.arm.family) == key]
        return {cell.arm.label: cell.runs for cell in cells}

    def families(self) -> list[tuple[str, str]]:
        """Each dataset with each family of arms."""
        return list(dict.fromkeys((cell.dataset, cell.arm.family) for cell in self.cells))

    def counts(self) -> pd.DataFrame:
        """The number of runs and of missing runs, a row a dataset and arm."""
        rows = [
            (cell.dataset, f"{cell.arm.family} {cell.arm.label}", len(cell.runs), len(cell.missing))
            for cell in self.cells
        ]
        return pd.DataFrame(rows, columns=["dataset", "arm", "runs", "missing"])

    def lacks(self) -> str:
        """Names the missing runs as a point of a list; "" where there is none."""
        gaps = []
        for cell in self.cells:
            if cell.missing:
                seeds = ", ".join(str(plan.spec.seed) for plan in cell.missing)
                gaps.append(f"{cell.dataset}, {cell.arm.family} {cell.arm.label} (seeds {seeds})")
        return f"- Not run: {'; '.join(gaps)}." if gaps else ""

    def table(self) -> pd.DataFrame:
        """The study's table."""
        return self.study.tabulate(self)


#: Name -> the function of parameters that makes the study, and the notebook that asks it.
DECLARED: dict[str, tuple[Callable[..., Study], str]] = {}


def declares(notebook: str) -> Callable:
    """Registers the decorated function as a study of `notebook`, given without its number.

    The function's parameters have the names of the notebook's parameters.
    """

    def register(make: Callable[..., Study]) -> Callable[..., Study]:
        DECLARED[make.__name__] = (make, notebook)
        return make

    return register


def rows() -> dict[str, tuple[System, dict[str, Any]]]:
    """The rows of the main table, oldest publication first: label -> the system, and the options
    of the row.
    """
    return {
        label: (system, options)
        for system in systems().values()
        for label, options in system.labels.items()
    }


def find_row(label: str) -> tuple[System, dict[str, Any]]:
    """The system of a row of the main table, and the options that set the row apart."""
    known = rows()
    if label not in known:
        hint = did_you_mean(label, known)
        raise RequestError(
            f"no system {label!r} in the main table{hint}; there are {', '.join(known)}"
        )
    return known[label]


def pinned(dataset: str, label: str) -> dict[str, Any]:
    """The base options that a later search does not move: `pinned.yaml`."""
    return _pinned().get(dataset, {}).get(label, {})


@cache
def _pinned() -> dict[str, dict[str, dict]]:
    return yaml.safe_load((resources.files("seapkg.studies") / "pinned.yaml").read_bytes())


def _seeds_of(dataset: str, seeds: Seeds) -> list[int]:
    if isinstance(seeds, Mapping) and dataset not in seeds:
        raise RequestError(f"seeds are given for {', '.join(seeds)}, and none for {dataset}")
    return list(seeds[dataset] if isinstance(seeds, Mapping) else seeds)


def _run_of(plan: Plan, store: Store, offline: bool, progress: bool) -> Run | None:
    try:
        return get_or_train(plan, store, offline=offline, progress=progress)
    except (MissingRun, DataNotFound):
        return None
    except TrainingFault as fault:
        log.warning("left out: %s", fault)
        return None
