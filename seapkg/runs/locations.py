"""The folders of runs, figures and data, in the project folder unless the environment says else."""

import os
from pathlib import Path


def project_root() -> Path:
    """The project folder: the repository around the working directory, else that directory."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "seapkg").is_dir():
            return folder
    return here


def store_root() -> Path:
    """`$SEAPKG_STORE`, or `results/runs` in the project folder."""
    return _root("SEAPKG_STORE", "results/runs")


def reference_root() -> Path:
    """Committed summaries of runs; only `seapkg.studies.publish` writes there."""
    return project_root() / "results" / "reference"


def figures_root() -> Path:
    """`$SEAPKG_FIGURES`, or `figures` in the project folder."""
    return _root("SEAPKG_FIGURES", "figures")


def data_root() -> Path:
    """`$SEAPKG_DATA`, or `data` in the project folder: the folder of downloaded datasets."""
    return _root("SEAPKG_DATA", "data")


def _root(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value else project_root() / default
