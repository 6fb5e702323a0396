"""The register of systems: one decorator on a model's class, from which everything else learns of it.

    @system("lightgcn", paper="LightGCN", title="...", year=2020, source="arXiv:2002.02126")
    class LightGCN(Recommender): ...

The command line, tables, the papers' numbers, the look in figures, the docs and the contract tests read it.
Every module of this package is imported once, so that a new system is found by being there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from seapkg.errors import RequestError, did_you_mean


@dataclass(frozen=True)
class System:
    """What is known of a system beside its equations.

    Attributes:
        name: as the command line has it, in lower case.
        paper: as the SEA paper's tables print it.
        title, year, source: of the publication; `source` is a DOI, an arXiv number or an address.
        model: its class.
        formulations: those that stand in the main table, each as a row "name (formulation)"; () for one row "name".
        version: the results version, raised where a change to this system moves a metric.
        colour, marker: its look in every figure; None takes the next free one.
    """

    name: str
    paper: str
    title: str
    year: int
    model: type
    source: str = ""
    formulations: tuple[str, ...] = ()
    version: int = 1
    colour: str | None = None
    marker: str | None = None

    @property
    def labels(self) -> dict[str, dict[str, str]]:
        """Its rows in the main table: label -> the options that set the row apart."""
        if not self.formulations:
            return {self.name: {}}
        return {f"{self.name} ({form})": {"formulation": form} for form in self.formulations}


_REGISTER: dict[str, System] = {}


def system(name: str, *, paper: str, title: str, year: int, **more) -> Callable[[type], type]:
    """Registers the decorated class under `name`; `more`: the other fields of `System`."""

    def register(model: type) -> type:
        known = _REGISTER.get(name)
        if known is not None and known.model.__qualname__ != model.__qualname__:
            raise ValueError(f"two systems are called {name!r}")
        _REGISTER[name] = System(name, paper, title, year, model, **more)
        return model

    return register


def systems() -> dict[str, System]:
    """Every system by name, oldest publication first."""
    _import_all()
    return dict(sorted(_REGISTER.items(), key=lambda item: (item[1].year, item[0])))


def find(name: str) -> System:
    """The system of that name; an unknown one is a `RequestError` that lists the known."""
    known = systems()
    if name not in known:
        raise RequestError(
            f"unknown model {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
        )
    return known[name]


@cache
def _import_all() -> None:
    package = importlib.import_module("seapkg.models")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
