"""Runs the notebooks of a profile: `python -m seapkg.studies.notebooks [smoke|laptop|paper]`.

Each notebook runs in a fresh kernel of this Python; executed copies come to
results/notebooks/PROFILE/. A failed notebook stops no other; at the end each failure is shown with
its cell and traceback, and the exit code is 1.

With several workers, the missing runs of all notebooks are trained in as many processes first.
Notebooks that miss none run meanwhile, the others afterwards, as many at once as there are workers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from seapkg.errors import RequestError, SeapkgError, did_you_mean
from seapkg.runs import locations
from seapkg.runs.store import Store
from seapkg.runs.sweep import sweep
from seapkg.studies import plan, profiles
from seapkg.studies.notebook_files import clean, declared, read, write

COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
KERNEL = "seapkg-this-python"
MOST_WORKERS = 4


@dataclass(frozen=True)
class Failure:
    """Where a notebook stopped: the cell's number (from 0), its source and the traceback."""

    cell: int | None
    source: str
    traceback: str


@dataclass(frozen=True)
class Job:
    """A notebook and the parameters it gets."""

    path: Path
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def all_parameters(self) -> dict[str, Any]:
        """Every parameter that the notebook declares, with the value it gets."""
        return declared(self.path) | self.parameters


@dataclass(frozen=True)
class Outcome:
    """How a notebook ran: seconds, and the failure, if any."""

    job: Job
    seconds: float
    failure: Failure | None


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns 0: all ran, 1: some failed, 2: the request is wrong."""
    options = _parser().parse_args(arguments)
    try:
        todo = jobs(options.profile, only=options.only, offline=options.offline)
        if options.list:
            print("\n".join(f"{job.name}  {job.parameters}" for job in todo))
            return 0
        if options.plan:
            print(plan.report(_asking(todo), Store()))
            return 0
        outcomes = run(
            todo,
            options.profile,
            workers=options.workers,
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
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def jobs(
    profile: str,
    *,
    only: list[str] | None = None,
    offline: bool = False,
    folder: Path | None = None,
) -> list[Job]:
    """The notebooks of `folder` with their parameters; raises RequestError before any has run."""
    settings = profiles.parameters(profile)
    folder = folder or locations.workplace() / "notebooks"
    paths = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        raise RequestError(f"{folder} holds no notebook called NN_*.ipynb")
    for name in only or []:
        if name not in paths:
            hint = did_you_mean(name, paths)
            raise RequestError(f"no notebook {name!r}{hint}; there are {', '.join(paths)}")
    return [
        Job(path, _parameters(path, {"profile": profile, **settings.get(name, {})}, offline))
        for name, path in paths.items()
        if not only or name in only
    ]


def run(
    todo: list[Job],
    profile: str,
    *,
    workers: int = 1,
    train: bool = True,
    write_back: bool = False,
) -> list[Outcome]:
    """Runs the notebooks, `workers` at once, and returns their outcomes in order.

    Args:
        train: with several workers, trains the missing runs of all notebooks first.
        write_back: puts the outputs into the notebooks that did not fail.
    """
    root = locations.workplace()
    copies = root / "results" / "notebooks" / profile
    copies.mkdir(parents=True, exist_ok=True)

    def run_one(job: Job) -> Outcome:
        _say(f"{job.name} ...")
        started = time.perf_counter()
        failure = execute(job, copies / job.path.name)
        seconds = time.perf_counter() - started
        if write_back and failure is None:
            write(clean(read(copies / job.path.name), read(job.path)), job.path)
        _say(f"{job.name} {'failed' if failure else 'ok'} after {seconds:.1f} s")
        return Outcome(job, seconds, failure)

    missing = _trainable(todo) if train and workers > 1 else {}
    threads = {"OMP_NUM_THREADS": "1"} if workers > 1 else {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(root))
        stack.enter_context(patch.dict(os.environ, threads))
        stack.enter_context(kernel_of_this_python())
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        futures = {job.name: pool.submit(run_one, job) for job in todo if not missing.get(job.name)}
        _train(sum(missing.values(), []), workers)
        futures |= {job.name: pool.submit(run_one, job) for job in todo if job.name not in futures}
        return [futures[job.name].result() for job in todo]


def execute(job: Job, copy: Path) -> Failure | None:
    """Runs one notebook into `copy`, from the working directory. Returns what failed, or None.

    The copy has another name until the notebook has run, so it is whole or not there.
    """
    import papermill

    copy.unlink(missing_ok=True)
    unfinished = copy.with_name(f".running-{copy.name}")
    failure = None
    try:
        papermill.execute_notebook(
            job.path,
            unfinished,
            job.parameters,
            kernel_name=KERNEL,
            progress_bar=False,
            log_output=False,
        )
    except papermill.PapermillExecutionError as error:
        trace = COLOUR_CODES.sub("", "\n".join(error.traceback) or str(error))
        failure = Failure(_cell_number(error.source, job), error.source, trace)
    except Exception as error:  # a dead kernel or a bad file must not stop the other notebooks
        failure = Failure(None, "", f"{type(error).__name__}: {error}")
    if unfinished.is_file():
        write(clean(read(unfinished), read(job.path)), copy)
        unfinished.unlink()
    return failure


def report(outcomes: list[Outcome]) -> str:
    """A line for each notebook, then each failure with the head of its cell and the end of its
    traceback.
    """
    width = max((len(outcome.job.name) for outcome in outcomes), default=0)
    lines = []
    for outcome in outcomes:
        result = "failed" if outcome.failure else "ok"
        lines.append(f"{outcome.job.name.ljust(width)}  {outcome.seconds:7.1f} s  {result}")
    for outcome in outcomes:
        if outcome.failure:
            lines += _failure_lines(outcome.job.name, outcome.failure)
    return "\n".join(lines)


@contextlib.contextmanager
def kernel_of_this_python() -> Iterator[None]:
    """Installs the kernel `KERNEL`, which is this interpreter, for as long as the block lasts."""
    from ipykernel.kernelspec import write_kernel_spec

    with tempfile.TemporaryDirectory(prefix="seapkg-") as place:
        write_kernel_spec(f"{place}/kernels/{KERNEL}", extra_arguments=["--log-level=ERROR"])
        values = {
            "JUPYTER_PATH": os.pathsep.join([place, os.environ.get("JUPYTER_PATH", "")]),
            "JUPYTER_RUNTIME_DIR": f"{place}/runtime",
            "IPYTHONDIR": f"{place}/ipython",
        }
        with patch.dict(os.environ, values):
            yield


def _asking(todo: list[Job]) -> list[tuple[str, dict[str, Any]]]:
    return [(job.name, job.all_parameters) for job in todo]


def _trainable(todo: list[Job]) -> dict[str, list[plan.Plan]]:
    """Notebook -> its missing runs whose data is here."""
    missing = plan.missing(_asking(todo), Store())
    return {name: list(filter(plan.can_train, plans)) for name, plans in missing.items()}


def _train(plans: list[plan.Plan], workers: int) -> None:
    if plans:
        _say(f"training the missing runs in {workers} processes ...")
        started = time.perf_counter()
        for failure in sweep(plans, Store(), workers=workers, progress=sys.stderr.isatty()):
            _say(f"{failure.run} failed: {failure.reason}")
        _say(f"trained after {time.perf_counter() - started:.1f} s")


def _parameters(path: Path, wanted: dict[str, Any], offline: bool) -> dict[str, Any]:
    known = declared(path)
    for name in wanted:
        if name not in known:
            raise RequestError(
                f"{path.name} declares no parameter {name!r}{did_you_mean(name, known)}: the cell "
                f"tagged `parameters` has {', '.join(known) or 'none'}"
            )
    return {**wanted, "offline": True} if offline and "offline" in known else wanted


def _cell_number(source: str, job: Job) -> int | None:
    """The cell's number in the notebook of the repository, which has no cell of injected
    parameters.
    """
    sources = [cell.source for cell in read(job.path).cells]
    return sources.index(source) if source in sources else None


def _failure_lines(name: str, failure: Failure) -> list[str]:
    where = "outside any cell" if failure.cell is None else f"in cell {failure.cell}"
    source = [f"    | {line}" for line in failure.source.splitlines()[:6]]
    trace = [f"    {line}" for line in failure.traceback.splitlines()[-20:]]
    return ["", f"{name} failed {where}:", *source, *trace]


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seapkg.studies.notebooks",
        description="Runs the notebooks of a profile and draws its figures and tables.",
    )
    add = parser.add_argument
    add("profile", nargs="?", default="smoke", help="smoke (default), laptop or paper")
    add("--only", nargs="+", action="extend", metavar="NAME", help="these, without .ipynb")
    add("--offline", action="store_true", help="train nothing; missing runs are named")
    add("--list", action="store_true", help="show notebooks and parameters, run none")
    add("--plan", action="store_true", help="list what would be trained, and how long; run none")
    add("--write-back", action="store_true", help="put the outputs into notebooks/, to commit")
    default = min(os.cpu_count() or 1, MOST_WORKERS)
    add(
        "--workers",
        type=_workers,
        default=default,
        metavar="N",
        help=f"processes that train, and notebooks at once (here {default})",
    )
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
