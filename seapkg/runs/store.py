"""Finished runs on disk, one folder each, written whole or not at all."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seapkg.errors import RequestError, SeapkgError
from seapkg.files import write_text
from seapkg.locks import locked_file
from seapkg.runs import archive, atomic, locations
from seapkg.runs.run import CURVES, PARTS, PARTS_SAMPLE, RECORD, USERS, Run
from seapkg.runs.spec import RunSpec
from seapkg.training.checkpoint import Checkpoint

log = logging.getLogger(__name__)

FAILED = ".failed-"


class Store:
    """Runs under `root`, each in MODEL-DATASET-KEY/; those under `reference` are read, never written.

    `Store()` is the workplace's own store backed by its committed reference; a store at a folder
    of one's choice has no reference unless one is given.
    """

    def __init__(self, root: str | Path | None = None, reference: str | Path | None = None):
        if root is None and reference is None:
            reference = locations.reference_root()
        self.root = Path(root) if root is not None else locations.store_root()
        self.reference = Path(reference) if reference is not None else None

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def find(self, spec: RunSpec, *, reference: bool = True) -> Run | None:
        """The finished run of `spec`, from the store or else, if so asked, the reference; None where there is none."""
        for root, complete in self._roots() if reference else [(self.root, True)]:
            if (root / spec.name).is_dir():
                return _checked(Run(root / spec.name, complete=complete), spec)
        return None

    def list(self) -> list[Run]:
        """Every finished run by name; a broken one is named in a warning and left out."""
        runs: dict[str, Run] = {}
        for root, complete in self._roots():
            for folder in _run_folders(root):
                if folder.name not in runs:
                    _add(runs, folder, complete)
        return [runs[name] for name in sorted(runs)]

    def get(self, name: str) -> Run:
        """The run called `name`: its full name, its key, or the beginning of either where only one fits."""
        there = {}
        for root, complete in self._roots():
            for folder in _run_folders(root):
                there.setdefault(folder.name, (folder, complete))
        exact = [full for full in there if name in (full, _key(full))]
        fitting = exact or [full for full in there if _begins(full, name)]
        if len(fitting) != 1:
            raise RequestError(self._not_one(name, fitting))
        folder, complete = there[fitting[0]]
        return Run(folder, complete=complete)

    def prepare(self) -> None:
        """Makes the root and sees that it can be written, before hours are spent on a run."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            atomic.sweep(self.root)
            shutil.rmtree(atomic.make(self.root))
        except OSError as error:
            raise RequestError(f"the store {self.root} cannot be written: {error}") from error

    def save(self, spec: RunSpec, fit: Any, *, model: Any, dataset: Any) -> Run:
        """Writes the run of a `Fit`; where another process finished the same run first, that one is kept."""
        self.root.mkdir(parents=True, exist_ok=True)
        atomic.sweep(self.root)
        with atomic.folder(self.root) as folder:
            archive.write(folder, spec, fit, model=model, dataset=dataset)
            atomic.publish(folder, self.root / spec.name)
        self.forget_failure(spec)
        return Run(self.root / spec.name)

    def mark_failed(self, spec: RunSpec, reason: str) -> None:
        """Notes why `spec` could not be trained, until it is saved after all. Nothing draws a run so marked."""
        write_text(
            self._failed(spec), json.dumps({"run": spec.name, "seed": spec.seed, "reason": reason})
        )

    def forget_failure(self, spec: RunSpec) -> None:
        self._failed(spec).unlink(missing_ok=True)

    def failure(self, spec: RunSpec) -> str | None:
        """Why `spec` failed when it was last trained; None where it did not."""
        return _reason(self._failed(spec)) if self._failed(spec).is_file() else None

    def failures(self) -> dict[str, str]:
        """The runs marked as failed, by name, with the reason of each."""
        marks = sorted(self.root.glob(f"{FAILED}*.json"))
        return {
            mark.name.removeprefix(FAILED).removesuffix(".json"): _reason(mark) for mark in marks
        }

    def _failed(self, spec: RunSpec) -> Path:
        return self.root / f"{FAILED}{spec.name}.json"

    @contextmanager
    def locked(self, spec: RunSpec) -> Iterator[None]:
        """Of the processes that want to train `spec`, one at a time; the root must be there."""
        path = self.root / f".lock-{spec.name}"
        with locked_file(
            path, lambda: log.warning("another process is training %s; waiting for it", spec.name)
        ):
            yield

    def checkpoint(self, spec: RunSpec) -> Checkpoint:
        """Where an unfinished training of `spec` keeps its state."""
        return Checkpoint(self.root / f".training-{spec.name}.npz", spec.key)

    def export(self, runs: Iterable[Run], folder: str | Path) -> list[Path]:
        """Writes summaries of `runs` for committing: no model, no path of this machine."""
        written = []
        for run in runs:
            target = Path(folder) / run.name
            target.mkdir(parents=True, exist_ok=True)
            archive.write_json(target / RECORD, archive.without_places(run.record))
            for name in (CURVES, USERS, PARTS, PARTS_SAMPLE):
                if (run.folder / name).is_file():
                    shutil.copyfile(run.folder / name, target / name)
            written.append(target)
        return written

    def _roots(self) -> list[tuple[Path, bool]]:
        return [(self.root, True)] + ([(self.reference, False)] if self.reference else [])

    def _not_one(self, name: str, fitting: list[str]) -> str:
        if fitting:
            listed = ", ".join(sorted(fitting))
            return f"{name!r} fits {len(fitting)} runs: {listed}; give more of the name"
        return f"no run called {name!r} in {self.root}; `python -m seapkg runs` lists what is there"


def _checked(run: Run, spec: RunSpec) -> Run:
    changed = spec.differs_from(run.spec)
    if changed:
        raise SeapkgError(
            f"{run.folder} was made when {', '.join(changed)} had another default: raise `version` in "
            f"the @system decorator of {run.model}, or restore the default"
        )
    return run


def _reason(mark: Path) -> str:
    try:
        return str(json.loads(mark.read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"for a reason that {mark} no longer tells"


def _run_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))


def _add(runs: dict[str, Run], folder: Path, complete: bool) -> None:
    try:
        runs[folder.name] = Run(folder, complete=complete)
    except SeapkgError as error:
        log.warning("%s", error)


def _begins(full: str, name: str) -> bool:
    return bool(name) and (full.startswith(name) or _key(full).startswith(name))


def _key(name: str) -> str:
    return name.rsplit("-", 1)[-1]
