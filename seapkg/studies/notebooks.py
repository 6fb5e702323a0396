"""Runs the notebooks of a profile: `python -m seapkg.studies.notebooks [smoke|laptop|paper]`.

Each runs from a fresh kernel of this very Python; executed copies come to results/notebooks/PROFILE/. A failed one
stops no other; at the end every failure is shown with its cell and traceback, and the exit code is 1.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seapkg.errors import RequestError, SeapkgError, did_you_mean
from seapkg.runs import locations
from seapkg.runs.store import Store
from seapkg.studies import plan
from seapkg.studies.notebook_files import clean, declared, read, write
from seapkg.studies.profiles import PROFILES

COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Where a notebook stopped: the cell's number in the notebook (from 0), its source, the traceback."""

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
        """Every parameter that the notebook declares, with the value it would get."""
        return declared(self.path) | self.parameters


@dataclass(frozen=True)
class Outcome:
    """How a job went: seconds, and what failed, if anything."""

    job: Job
    seconds: float
    failure: Failure | None


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 all ran, 1 some failed, 2 the request is wrong."""
    options = _parser().parse_args(arguments)
    try:
        todo = jobs(options.profile, only=options.only, offline=options.offline)
        if options.list:
            print("\n".join(f"{job.name}  {job.parameters}" for job in todo))
            return 0
        if options.plan:
            print(plan.report([(job.name, job.all_parameters) for job in todo], Store()))
            return 0
        outcomes = list(run(todo, options.profile, write_back=options.write_back, say=_say))
    except SeapkgError as error:
        _say(f"notebooks: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("notebooks: interrupted")
        return 130
    print(report(outcomes))
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def jobs(
    profile: str, *, only: list[str] | None = None, offline: bool = False, folder: Path | None = None,
    profiles: dict[str, dict[str, dict[str, Any]]] = PROFILES,
) -> list[Job]:  # fmt: skip
    """The notebooks of `folder` with their parameters; raises RequestError before any has run."""
    if profile not in profiles:
        raise RequestError(
            f"no profile {profile!r}{did_you_mean(profile, profiles)}; there are {', '.join(profiles)}"
        )
    folder = folder or locations.workplace() / "notebooks"
    paths = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        raise RequestError(f"{folder} holds no notebook called NN_*.ipynb")
    unknown = [name for name in only or [] if name not in paths]
    if unknown:
        hint = did_you_mean(unknown[0], paths)
        raise RequestError(f"no notebook {unknown[0]!r}{hint}; there are {', '.join(paths)}")
    settings = profiles[profile]
    chosen = {name: path for name, path in paths.items() if not only or name in only}
    return [
        Job(path, _parameters(path, profile, settings.get(name, {}), offline))
        for name, path in chosen.items()
    ]


def run(
    todo: list[Job],
    profile: str,
    *,
    write_back: bool = False,
    say: Callable[[str], Any] = lambda line: None,
) -> Iterator[Outcome]:
    """Runs each job in turn and yields its outcome."""
    root = locations.workplace()
    copies = root / "results" / "notebooks" / profile
    copies.mkdir(parents=True, exist_ok=True)
    with kernel_of_this_python() as kernel:
        for number, job in enumerate(todo, 1):
            say(f"[{number}/{len(todo)}] {job.name} ...")
            started = time.perf_counter()
            failure = execute(job, copies / job.path.name, kernel=kernel, root=root)
            outcome = Outcome(job, time.perf_counter() - started, failure)
            if write_back and failure is None:
                write(clean(read(copies / job.path.name), read(job.path)), job.path)
            say(
                f"[{number}/{len(todo)}] {job.name} {'failed' if failure else 'ok'} after {outcome.seconds:.1f} s"
            )
            yield outcome


def execute(job: Job, copy: Path, *, kernel: str, root: Path) -> Failure | None:
    """Runs one notebook into `copy`, with `root` as its working directory. Returns what failed, or None.

    Until it has run, what there is of it has another name: `copy` is whole or not there.
    """
    import papermill

    copy.unlink(missing_ok=True)
    aside = copy.with_name(f".running-{copy.name}")
    failure = None
    try:
        papermill.execute_notebook(
            job.path,
            aside,
            job.parameters,
            kernel_name=kernel,
            cwd=str(root),
            progress_bar=False,
            log_output=False,
        )
    except papermill.PapermillExecutionError as error:
        trace = COLOUR_CODES.sub("", "\n".join(error.traceback) or str(error))
        failure = Failure(_cell_number(error, job), error.source, trace)
    except (
        Exception
    ) as error:  # whatever breaks a notebook (a dead kernel, a bad file) must not stop the others
        failure = Failure(None, "", f"{type(error).__name__}: {error}")
    if aside.is_file():
        write(clean(read(aside), read(job.path)), copy)
        aside.unlink()
    return failure


def report(outcomes: list[Outcome]) -> str:
    """A line for each notebook, then every failure with its cell, the first lines of it, and the traceback's end."""
    width = max((len(outcome.job.name) for outcome in outcomes), default=0)
    lines = [
        f"{outcome.job.name.ljust(width)}  {outcome.seconds:7.1f} s  {'failed' if outcome.failure else 'ok'}"
        for outcome in outcomes
    ]
    return "\n".join([*lines, *(_failure_text(outcome) for outcome in outcomes if outcome.failure)])


def _failure_text(outcome: Outcome) -> str:
    failure = outcome.failure
    where = "outside any cell" if failure.cell is None else f"in cell {failure.cell}"
    source = [f"    | {line}" for line in failure.source.splitlines()[:6]]
    trace = [f"    {line}" for line in failure.traceback.splitlines()[-20:]]
    return "\n".join(["", f"{outcome.job.name} failed {where}:", *source, *trace])


def _parameters(
    path: Path, profile: str, settings: dict[str, Any], offline: bool
) -> dict[str, Any]:
    known = declared(path)
    wanted = {"profile": profile, **settings}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise RequestError(
            f"{path.name} declares no parameter {unknown[0]!r}{did_you_mean(unknown[0], known)}: its cell tagged "
            f"`parameters` has {', '.join(known) or 'none'}"
        )
    return {**wanted, "offline": True} if offline and "offline" in known else wanted


def _cell_number(error: Any, job: Job) -> int | None:
    """The cell's number in the notebook as it is in the repository, without the cell of injected parameters."""
    sources = [cell.source for cell in read(job.path).cells]
    return sources.index(error.source) if error.source in sources else None


@contextmanager
def kernel_of_this_python() -> Iterator[str]:
    """The name of a kernel that is this interpreter, whatever kernels are installed; for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="seapkg-") as place:
        folder = Path(place) / "kernels" / "seapkg-this-python"
        folder.mkdir(parents=True)
        start = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--log-level=ERROR",
        ]
        spec = {"argv": start, "display_name": "This Python", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        path = os.pathsep.join([place, *filter(None, [os.environ.get("JUPYTER_PATH")])])
        own = {
            "JUPYTER_PATH": path,
            "JUPYTER_RUNTIME_DIR": f"{place}/runtime",
            "IPYTHONDIR": f"{place}/ipython",
        }
        with _environment(own):
            yield folder.name


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seapkg.studies.notebooks", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "profile", nargs="?", default="smoke", help=f"{', '.join(PROFILES)}; default: smoke"
    )
    parser.add_argument(
        "--only", nargs="+", action="extend", metavar="NAME", help="these notebooks, without .ipynb"
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="train no run: a missing one is left out if it can be",
    )
    parser.add_argument(
        "--list", action="store_true", help="show the notebooks and their parameters, run none"
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="list what would be trained, and how long; train nothing",
    )
    parser.add_argument(
        "--write-back", action="store_true", help="put the outputs into notebooks/, for committing"
    )
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
