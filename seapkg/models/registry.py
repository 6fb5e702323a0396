"""The registry of systems: a decorator on a model's class makes it known to the whole package.

    @system("lightgcn", paper="LightGCN", title="...", year=2020, source="arXiv:2002.02126")
    class LightGCN(Recommender): ...

The command line, tables, the papers' numbers, figures, docs and contract tests read the registry.
Every module of this package is imported once, so a new system is known as soon as its file exists.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

from seapkg.errors import look_up

#: Okabe and Ito's colours without yellow, which vanishes on white.
COLOURS = {
    "black": "#000000",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
}
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "p", "*", "d")


@dataclass(frozen=True)
class System:
    """The description of a system: all that the package needs beside its equations.

    Attributes:
        name: its lower-case name on the command line.
        paper: its name in the tables of the SEA paper.
        title, year: of the publication.
        model: its class.
        source: a DOI, an arXiv number or an address.
        formulations: those with a row "name (formulation)" in the main table; () for one row.
        version: results version; raise it when a change to this system moves a metric.
        colour: one of `COLOURS` by name; by default it follows from the name.
        marker: one of `MARKERS`; by default it follows from the name.
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
        """Its rows in the main table: label -> the options that distinguish the row."""
        rows = {f"{self.name} ({form})": {"formulation": form} for form in self.formulations}
        return rows or {self.name: {}}

    @property
    def look(self) -> tuple[str, str]:
        """Its colour, as a hexadecimal code, and its marker in every figure.

        By default both follow from a hash of the name, so a new system never changes the look of
        another one. A test asks for explicit ones if two systems look alike.
        """
        number = crc32(self.name.encode())
        colour = self.colour or list(COLOURS)[number % len(COLOURS)]
        return COLOURS[colour], self.marker or MARKERS[number % len(MARKERS)]


_REGISTER: dict[str, System] = {}


def system(name: str, **fields) -> Callable[[type], type]:
    """Registers the decorated class under `name`; `fields`: the other fields of `System`."""

    def register(model):
        known = _REGISTER.get(name)
        if known and known.model.__qualname__ != model.__qualname__:
            raise ValueError(f"two systems are called {name!r}")
        _REGISTER[name] = System(name=name, model=model, **fields)
        return model

    return register


@cache
def _import_all():
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"seapkg.models.{module.name}")


def systems() -> dict[str, System]:
    """Every system by name, oldest publication first."""
    _import_all()
    return dict(sorted(_REGISTER.items(), key=lambda item: (item[1].year, item[0])))


def find(name: str) -> System:
    """The system of that name.

    Raises:
        RequestError: there is none; the error lists the known systems.
    """
    return look_up("model", name, systems())
