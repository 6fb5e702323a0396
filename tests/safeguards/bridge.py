"""Everything the safeguards take from `seapkg`, in one place.

A refactoring that moves a module or renames a function adapts this file and nothing else in the folder; what the
functions return is what was recorded, and stays.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import torch

import seapkg
from seapkg import studies as study_room
from seapkg.data import catalogue as sources
from seapkg.data.catalogue import KNOWN, Known
from seapkg.errors import DataNotFound
from seapkg.models import build, systems
from seapkg.runs.configure import configure
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.runs.train import plan
from seapkg.studies import notebooks
from seapkg.studies.profiles import profiles as profile_files
from seapkg.training import fit

ROOT = Path(__file__).resolve().parents[2]
RENAMED = {"main_table": "training"}  # a notebook's topic today -> as it was recorded
REFERENCE = ROOT / "results" / "reference"


def committed_names() -> list[str]:
    """Names of the run folders in results/reference, sorted."""
    return sorted(folder.name for folder in REFERENCE.iterdir() if folder.is_dir())


def recomputed_name(name: str) -> str:
    """The name that `RunSpec` computes today from a committed run's run.json."""
    return Run(REFERENCE / name).spec.name


def found_name(name: str, empty_store: Path) -> str | None:
    """The committed run that a store backed by the reference finds for that run's spec."""
    spec = Run(REFERENCE / name).spec
    run = Store(empty_store, reference=REFERENCE).find(spec)
    return None if run is None else run.name


def replanned_name(name: str) -> str:
    """The name of the run planned from the options in a committed run's run.json, as a user would give them."""
    spec = Run(REFERENCE / name).spec
    data = Known(spec.dataset, spec.dataset_fingerprint, n_users=0, n_items=0, n_interactions=0)
    options = {**spec.config, **spec.training}
    return plan(spec.model, data, seed=spec.seed, precision=spec.precision, **options).spec.name


def profiles() -> list[str]:
    return sorted(profile_files(), key=("smoke", "laptop", "paper").index)


def planned_names(profile: str) -> dict[str, list[str]]:
    """Topic -> the sorted names of the runs that the profile's notebook plans, finished or not.

    A topic is a notebook's name without its number. Data known by name counts as not downloaded, here or elsewhere.
    """
    original = sources.find
    sources.find = _find_no_known_data
    try:
        jobs = notebooks.jobs(profile)
        return {_topic(job.name): _names(_plans(job)) for job in jobs}
    finally:
        sources.find = original


def _find_no_known_data(name: Any) -> Path:
    if str(name) in KNOWN:
        raise DataNotFound(f"{name}: the safeguards look at no data but the embedded")
    raise AssertionError(f"a profile asks for data that is neither embedded nor known: {name}")


def _plans(job: Any) -> list[Any]:
    studies = study_room.studies_of(job.name, job.parameters)
    return [plan for study in studies.values() for plan in study.plans()]


def _names(plans: list[Any]) -> list[str]:
    return sorted({plan.spec.name for plan in plans})


def _topic(notebook: str) -> str:
    topic = re.sub(r"^\d+[a-z]?_", "", notebook)
    return RENAMED.get(topic, topic)


@functools.cache
def _synthetic() -> Any:
    return seapkg.load("synthetic")


def trajectory(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """Trains on the embedded data with seed 0 and one thread on the CPU.

    Returns "losses": term -> its mean in each epoch; "valid": metric -> its value after each epoch; "test": metric ->
    its value at the best epoch.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = _synthetic()
        config, training = configure(model, options)
        result = fit(build(model, data, config, 0), data, training, seed=0, device="cpu", progress=False)
    finally:
        torch.set_num_threads(threads)
    names = list(result.curves[0]) if result.curves else []
    columns = {name: [float(row[name]) for row in result.curves] for name in names}
    return {
        "losses": {name: values for name, values in columns.items() if name.startswith("loss")},
        "valid": {name.removeprefix("valid/"): v for name, v in columns.items() if name.startswith("valid/")},
        "test": {name: float(value) for name, value in result.test.items()},
    }


def models() -> list[str]:
    return list(systems())


def studies() -> dict[str, dict[str, dict[str, Any]]]:
    """The changes of options that the studies make, by study: recorded as they are, so that they need not stay here."""
    from seapkg.studies import ablation, known_factors, paper_and_code, plug_in, rearm, variants

    return {
        "ablation": ablation.CHANGES,
        "variants": variants.CHANGES,
        "paper_and_code": paper_and_code.CHANGES,
        "rearm_parts": rearm.PARTS,
        "samplers": rearm.SAMPLERS,
        "separations": known_factors.CHANGES,
        **{f"plug_in {model}": changes for model, changes in plug_in.CHANGES.items()},
    }


def resolved(model: str, options: dict[str, Any]) -> str:
    """The same text for options that resolve to the same configuration."""
    return repr((model, *configure(model, options)))
