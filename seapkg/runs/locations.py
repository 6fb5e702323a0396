"""Where results live: in the repository one works in, or under the working directory."""

import os
from pathlib import Path


def workplace() -> Path:
    """The repository that holds the working directory, or else the working directory itself."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "seapkg").is_dir():
            return folder
    return here


def store_root() -> Path:
    """`$SEAPKG_STORE`, or `results/runs` in the workplace."""
    return _given("SEAPKG_STORE") or workplace() / "results" / "runs"


def reference_root() -> Path:
    """Summaries of real runs that are committed with the repository; read, never written by a run."""
    return workplace() / "results" / "reference"


def figures_root() -> Path:
    """`$SEAPKG_FIGURES`, or `figures` in the workplace."""
    return _given("SEAPKG_FIGURES") or workplace() / "figures"


def data_root() -> Path:
    """`$SEAPKG_DATA`, or `data` in the workplace: where fetched datasets go."""
    return _given("SEAPKG_DATA") or workplace() / "data"


def _given(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
