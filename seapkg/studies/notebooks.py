"""Runs the notebooks of a profile: `python -m seapkg.studies.notebooks [smoke|laptop|paper]`.

Each notebook runs in a fresh kernel; executed copies are written to results/notebooks/PROFILE/.
When a notebook fails, the others run on; the errors are shown at the end, with exit code 1.

With several workers, the missing runs of all notebooks are trained in as many processes first.
Notebooks without missing runs run meanwhile. The notebook that measures costs runs last and alone.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from seapkg.errors import RequestError, SeapkgError, did_you_mean, look_up
from seapkg.files import write_text
from seapkg.runs import locations
from seapkg.runs.store import Store
from seapkg.runs.sweep import sweep
from seapkg.studies import plan, profiles
from seapkg.studies.notebook_files import copy_clean, declared

MOST_WORKERS = 4
MEASURES_COSTS = "_cost"  # the end of the name of a notebook that measures seconds


@dataclass(frozen=True)
class Job:
    """A notebook, the parameters that the profile sets, and all its parameters."""

    path: Path
    given: dict[str, Any]
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True, order=True)
class Outcome:
    """The result of a notebook: its name, seconds, and error ("" for none)."""

    name: str
    seconds: float
    error: str


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns 0: all ran, 1: some failed, 2: the request is wrong."""
    options = _parser().parse_args(arguments)
    try:
        todo = jobs(options.profile, only=options.only, offline=options.offline)
        if options.list:
            print("\n".join(f"{job.name}  {job.given}" for job in todo))
            return 0
        if options.plan:
            print(plan.report(_parameters(todo), Store()))
            return 0
        outcomes = run(
            todo,
            options.profile,
            workers=options.workers,
            scheduler=options.scheduler,
            train=not options.offline,
            write_back=options.write_back,
        )
    except SeapkgError as error:
        _say(f"notebooks: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("notebooks: interrupted")
        return 130
    print(report(outcomes))
    return 1 if any(outcome.error for outcome in outcomes) else 0


def jobs(profile: str, *, only: list[str] | None = None, offline: bool = False) -> list[Job]:
    """The notebooks with their parameters; raises RequestError for an unknown name."""
    settings = profiles.parameters(profile)
    folder = locations.project_root() / "notebooks"
    paths = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        raise RequestError(f"{folder} has no notebook called NN_*.ipynb")
    chosen = sorted(look_up("notebook", name, paths) for name in set(only or paths))
    return [
        _job(path, {"profile": profile, **settings.get(path.stem, {})}, offline) for path in chosen
    ]


def run(
    todo: list[Job],
    profile: str,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    train: bool = True,
    write_back: bool = False,
) -> list[Outcome]:
    """Runs the notebooks, `workers` at once, and returns their outcomes by name.

    Args:
        todo: the notebooks.
        profile: the name of the folder for the executed copies.
        workers: the number of notebooks at once, and of processes that train.
        scheduler: the address of a Dask cluster, which then trains instead.
        train: with several workers, trains the missing runs of all notebooks first.
        write_back: copies the outputs into the notebooks that did not fail.
    """
    copies = locations.project_root() / "results" / "notebooks" / profile
    copies.mkdir(parents=True, exist_ok=True)
    run_one = partial(_run_one, copies=copies, write_back=write_back)
    missing = _trainable(todo) if train and (workers > 1 or scheduler) else {}
    alone = [job for job in todo if job.name.endswith(MEASURES_COSTS)]
    ready = [job for job in todo if job not in alone and not missing.get(job.name)]
    waiting = [job for job in todo if job not in [*alone, *ready]]
    threads = {"OMP_NUM_THREADS": "1"} if workers > 1 else {}
    with patch.dict(os.environ, threads), ThreadPoolExecutor(workers) as pool:
        first = pool.map(run_one, ready)  # they start now
        _train(sum(missing.values(), []), workers, scheduler)
        outcomes = [*first, *pool.map(run_one, waiting)]
    outcomes += map(run_one, alone)
    return sorted(outcomes)


def execute(job: Job, copy: Path) -> str:
    """Runs a notebook, then writes the executed `copy`. Returns the error, or ""."""
    import papermill

    copy.unlink(missing_ok=True)
    unfinished = copy.with_name(f".{copy.name}")
    message = ""
    try:
        papermill.execute_notebook(
            job.path,
            unfinished,
            job.given,
            kernel_name="python3",  # Jupyter starts it with this interpreter
            extra_arguments=["--log-level=ERROR"],
            cwd=locations.project_root(),
            progress_bar=False,
        )
    except Exception as error:  # a dead kernel or a bad file must not stop the other notebooks
        message = f"{type(error).__name__}: {error}"
    if unfinished.is_file():
        copy_clean(unfinished, job.path, copy)
        unfinished.unlink()
    return message


def report(outcomes: list[Outcome]) -> str:
    """One line per notebook, then the errors."""
    lines = [
        f"{one.name:24} {one.seconds:7.1f} s  {'failed' if one.error else 'ok'}" for one in outcomes
    ]
    lines += [f"\n{one.name} failed: {one.error}" for one in outcomes if one.error]
    return "\n".join(lines)


def _job(path: Path, given: dict[str, Any], offline: bool) -> Job:
    known = declared(path)
    for name in given:
        if name not in known:
            raise RequestError(
                f"{path.name} declares no parameter {name!r}{did_you_mean(name, known)}; the cell "
                f"tagged `parameters` has {', '.join(known) or 'none'}"
            )
    if offline and "offline" in known:
        given = given | {"offline": True}
    return Job(path, given, known | given)


def _run_one(job: Job, copies: Path, write_back: bool) -> Outcome:
    _say(f"{job.name} ...")
    started, copy = time.perf_counter(), copies / job.path.name
    error = execute(job, copy)
    seconds = time.perf_counter() - started
    if write_back and not error:
        write_text(job.path, copy.read_text(encoding="utf-8"))
    _say(f"{job.name} {'failed' if error else 'ok'} after {seconds:.1f} s")
    return Outcome(job.name, seconds, error)


def _parameters(todo: list[Job]) -> dict[str, dict[str, Any]]:
    return {job.name: job.parameters for job in todo}


def _trainable(todo: list[Job]) -> dict[str, list[plan.Plan]]:
    """Notebook -> its missing runs whose data is here."""
    missing = plan.missing(_parameters(todo), Store())
    return {name: list(filter(plan.can_train, plans)) for name, plans in missing.items()}


def _train(plans: list[plan.Plan], workers: int, scheduler: str | None) -> None:
    if plans:
        where = f"at {scheduler}" if scheduler else f"in {workers} processes"
        _say(f"training the missing runs {where} ...")
        show = bool(scheduler) or sys.stderr.isatty()
        teams = {"workers": workers, "scheduler": scheduler}
        for failure in sweep(plans, Store(), progress=show, **teams):
            _say(f"{failure.run} failed: {failure.reason}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seapkg.studies.notebooks",
        description="Runs the notebooks of a profile and draws its figures and tables.",
    )
    add = parser.add_argument
    add("profile", nargs="?", default="smoke", help="smoke (default), laptop or paper")
    add("--only", nargs="+", action="extend", metavar="NAME", help="these, without .ipynb")
    add("--offline", action="store_true", help="train nothing, name the missing runs")
    add("--list", action="store_true", help="show notebooks and parameters, run none")
    add("--plan", action="store_true", help="list what would be trained, and how long; run none")
    add("--write-back", action="store_true", help="put the outputs into notebooks/, to commit")
    default = min(os.cpu_count() or 1, MOST_WORKERS)
    about = f"processes that train, and notebooks at once (here {default})"
    add("--scheduler", metavar="ADDRESS", help="a Dask scheduler; its workers train instead")
    add("--workers", type=_workers, default=default, metavar="N", help=about)
    return parser


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 on")
    return int(text)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
