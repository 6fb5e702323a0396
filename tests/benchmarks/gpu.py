"""What needs a GPU, within a time budget: `python tests/benchmarks gpu --minutes 9 --out DIR`.

tests       the tests marked `gpu`
table       an epoch of SEA at the shapes of the paper's Table 5, beside the published form
trainings   the runs that a profile misses, those that take longest on a CPU first

A second call goes on with what is not done. Nothing is downloaded. DIR gets

    tests.txt, table/, gpu.md   the tests' output; the measurements; their table
    MODEL-DATASET-KEY/          summaries of finished runs, for `python -m seapkg runs import DIR`
    store/                      the same runs with their models, and checkpoints
    failed/                     the output of what failed; the next call tries it again
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from seapkg.device import choose_device
from seapkg.errors import SeapkgError
from seapkg.files import write_text
from seapkg.runs import locations
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, carry_out
from seapkg.studies import plan
from seapkg.studies.notebooks import jobs
from seapkg.studies.paper import paper_costs
from seapkg.studies.variants import CHANGES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIGURE = ROOT / "figures" / "speed" / "gpu.md"
PARTS = ("tests", "table", "trainings")
SHAPES = ("baby", "sports", "clothing")
PUBLISHED = "SEAa-published"
#: Row of the table -> what differs from a job of child.py for the released SEA.
FORMS = {
    "SEAa": {},
    PUBLISHED: {"form": "published"},
    "SEAa-fast": {"precision": "fast"},
    "SEAb": {},
    "SEAc": {},
    "SEAd": {},
}
#: Most seconds of an epoch and most GB of SEAa; it should be 20 times as fast as published.
GOALS = {"baby": (0.5, 1), "sports": (1.5, 2), "clothing": (1.5, 3)}
TIMES_AS_FAST = 20
NOT_MEASURED = "not measured"
#: Trained first: these take longest on a CPU.
DEAREST = [
    ("rearm", "sports"),
    ("sea", "sports"),
    ("sea", "baby"),
    ("mmssl", "baby"),
    ("micro", "baby"),
]


class OutOfTime(Exception):
    """The time is up, and the unit is not done."""


@dataclass(frozen=True)
class Unit:
    """A piece of the work.

    Attributes:
        name: of the line that reports it, and of the file of a failure.
        work: gets the seconds left; raises SeapkgError with the output of a failure.
    """

    name: str
    work: Callable[[float], None]


def main(arguments: list[str] | None = None) -> int:
    """Returns 0; 1 if a unit failed; 2 if the request is wrong."""
    args = _parser().parse_args(arguments)
    args.out = args.out.resolve()
    try:
        choose_device(args.device)
        for folder in ("failed", "table"):
            (args.out / folder).mkdir(parents=True, exist_ok=True)
        n_failed = work_through(units(args), args.out, args.minutes)
    except SeapkgError as error:
        say(str(error))
        return error.exit_code
    return 1 if n_failed else 0


def units(args: argparse.Namespace) -> Iterator[Unit]:
    """What is not done yet, in order."""
    if "tests" in args.only and not (args.out / "tests.txt").exists():
        yield Unit("tests", partial(run_tests, args.out))
    if "table" in args.only:
        yield from measurements(args)
    if "trainings" in args.only:
        yield from trainings(args)


def work_through(todo: Iterable[Unit], out: Path, minutes: float) -> int:
    """Works on the units until the time is up. Returns how many failed."""
    end, n_failed = time.monotonic() + 60 * minutes, 0
    for unit in todo:
        started = time.monotonic()
        failure = out / "failed" / f"{unit.name}.txt"
        try:
            unit.work(end - started)
        except (OutOfTime, subprocess.TimeoutExpired):
            say(f"the time is up at {unit.name}; the same command goes on")
            break
        except SeapkgError as error:
            n_failed += 1
            write_text(failure, f"{error}\n")
            reason = str(error).strip().rpartition("\n")[2]
            say(f"{unit.name}: failed: {reason} (all of it in {failure})")
        else:
            failure.unlink(missing_ok=True)
            say(f"{unit.name}: done in {time.monotonic() - started:.1f} s")
    return n_failed


# Tests


def run_tests(out: Path, left: float) -> None:
    """Runs the tests marked `gpu`. Other files of tests may need packages that are not here."""
    files = [path for path in ROOT.glob("tests/**/test_*.py") if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", *map(str, files)]
    write_text(out / "tests.txt", output_of(command, left))


def output_of(command: list[str], left: float) -> str:
    """The output of a command that runs in the repository; raises SeapkgError if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(left, 0))
    if done.returncode:
        raise SeapkgError(done.stdout + done.stderr)
    return done.stdout


# Table 5


def measurements(args: argparse.Namespace) -> Iterator[Unit]:
    """The rows of the table that were not measured."""
    shapes = [args.shape] if args.shape else list(SHAPES)
    write_table(args.out, shapes)
    for shape in shapes:
        for form in FORMS:
            if not measured(args.out, shape, form):
                yield Unit(f"{shape}-{form}", partial(measure, args, shape, form))
                write_table(args.out, shapes)


def measure(args: argparse.Namespace, shape: str, form: str, left: float) -> None:
    """Measures a row of the table in a process of its own."""
    job = {"what": "steps", "form": "ours", "keep_memory": False, "precision": "exact"}
    job |= {"model": "sea", "shape": shape, "device": args.device, "steps": args.steps}
    variant = CHANGES[form.partition("-")[0]]
    job |= {"batch_size": 2048, "options": {"formulation": "released", **variant}}
    command = [sys.executable, str(HERE / "child.py"), json.dumps(job | FORMS[form])]
    last_line = output_of(command, left).splitlines()[-1]
    write_text(_file(args.out, shape, form), last_line + "\n")


def measured(out: Path, shape: str, form: str) -> dict[str, Any]:
    """What was measured; {} if nothing was."""
    path = _file(out, shape, form)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _file(out: Path, shape: str, form: str) -> Path:
    return out / "table" / f"{shape}-{form}.json"


def write_table(out: Path, shapes: list[str]) -> None:
    """Writes DIR/gpu.md; what a GPU measured at the paper's shapes, also to figures/speed."""
    rows = [row(out, shape, form) for shape in shapes for form in FORMS]
    found = [measured(out, shape, form) for shape in shapes for form in FORMS]
    devices = {each["device"] for each in found if each}
    title = "SEA (released) at the shapes of the paper's Table 5, batch size 2048"
    title = ", ".join([title, *sorted(devices)])
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    text = f"{title}\n\n{table}\n"
    write_text(out / "gpu.md", text)
    is_of_gpu = devices and all(device.startswith("cuda") for device in devices)
    if is_of_gpu and shapes == list(SHAPES):
        write_text(FIGURE, text)


def row(out: Path, shape: str, form: str) -> dict[str, str]:
    """A row of the table: measurements, goals, and the paper's numbers on its authors' GPU."""
    cells = {"shape": shape, "form": form, "epoch s": NOT_MEASURED, "peak GB": NOT_MEASURED}
    ours, published = measured(out, shape, form), measured(out, shape, PUBLISHED)
    if ours:
        cells |= {"epoch s": f"{ours['epoch']:.3g}", "peak GB": f"{ours['peak_mb'] / 1000:.2f}"}
    ratio = form.startswith("SEAa") and form != PUBLISHED and ours and published
    cells["times as fast"] = f"{published['epoch'] / ours['epoch']:.1f}" if ratio else ""
    is_same = ratio and abs(ours["final_loss"] / published["final_loss"] - 1) < 0.01
    cells["same loss"] = {True: "yes", False: "no"}[is_same] if ratio else ""
    is_goal = form == "SEAa" and shape in GOALS
    goal = "{} s, {} GB, {} times".format(*GOALS[shape], TIMES_AS_FAST) if is_goal else ""
    costs = paper_costs().query("dataset == @shape and system == @form")
    paper = [f"{cost.seconds:g} s, {cost.memory_gb:g} GB" for cost in costs.itertuples()]
    return cells | {"goal": goal, "paper": "".join(paper)}


# Trainings


def trainings(args: argparse.Namespace) -> Iterator[Unit]:
    """The missing runs whose data is here; a line for each dataset that is not."""
    store = Store(args.out / "store", locations.reference_root())
    Store(store.root).export(Store(store.root).list(), args.out)
    absent = Counter()
    for planned in missing(args.profile, store):
        if plan.can_train(planned):
            yield Unit(planned.spec.name, partial(train, args, planned, store))
        else:
            absent[planned.dataset.name] += 1
    for dataset, n_runs in absent.items():
        say(f"{n_runs} runs skipped: the dataset {dataset} is not here")


def missing(profile: str, store: Store) -> list[Plan]:
    """The runs that are in neither store, once each.

    Notebook by notebook, and in each the dearest systems first, seed by seed.
    """
    asked = plan.missing({job.name: job.parameters for job in jobs(profile)}, store)
    here, plans = Store(), {}
    for of_notebook in asked.values():
        for each in sorted(of_notebook, key=_cost):
            if here.find(each.spec) is None:
                plans.setdefault(each.spec.key, each)
    return list(plans.values())


def _cost(planned: Plan) -> tuple[bool, int, int]:
    """Sorts the dearest first, seed by seed; others keep their order."""
    pair = planned.spec.model, planned.spec.dataset
    if pair not in DEAREST:
        return True, 0, 0
    return False, planned.spec.seed, DEAREST.index(pair)


def train(args: argparse.Namespace, planned: Plan, store: Store, left: float) -> None:
    """Trains a run in a process of its own, which ends when the time is up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(planned, store, args.device, theirs))
    process.start()
    theirs.close()
    process.join(max(left, 0))
    if process.is_alive():
        process.kill()
        process.join()
        raise OutOfTime
    if process.exitcode:
        raise SeapkgError(ours.recv() if ours.poll() else f"exit code {process.exitcode}")
    store.export([store.find(planned.spec)], args.out)


def _train(planned: Plan, store: Store, device: str, errors) -> None:
    try:
        carry_out(planned, store, device=device, progress=False)
    except Exception:  # whatever it is, the parent reports it
        errors.send(traceback.format_exc())
        sys.exit(1)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(
        "tests/benchmarks gpu", description=__doc__, formatter_class=form
    )
    add = parser.add_argument
    add("--minutes", type=float, default=9, help="no longer than this; default: 9")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="results, and the state between calls",
    )
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts; default: all")
    add("--profile", default="paper", help="whose missing runs are trained; default: paper")
    add("--shape", choices=["smoke", *SHAPES], help="of the table; default: all but smoke")
    add("--steps", type=int, default=20, help="timed steps of two epochs in each row; default: 20")
    add("--device", default="cuda", help="default: cuda")
    return parser
