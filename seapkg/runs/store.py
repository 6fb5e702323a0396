"""Finished runs on disk, one folder each, complete or not there."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from seapkg.errors import RequestError, SeapkgError
from seapkg.files import locked, publish, remove_leftovers, temporary_folder, write_text
from seapkg.runs import locations
from seapkg.runs.archive import CURVES, PARTS, PARTS_SAMPLE, RECORD, USERS, public_record
from seapkg.runs.run import Run
from seapkg.runs.spec import RunSpec
from seapkg.training.checkpoint import Checkpoint

log = logging.getLogger(__name__)

FAILED = ".failed-"


class Store:
    """Runs under `root`, each in a folder MODEL-DATASET-KEY; those under `reference` are only read.

    `Store()` is the workplace's store with its committed reference; a store at a given folder has
    no reference unless one is given.
    """

    def __init__(self, root: str | Path | None = None, reference: str | Path | None = None) -> None:
        if root is None and reference is None:
            reference = locations.reference_root()
        self.root = Path(root) if root is not None else locations.store_root()
        self.reference = Path(reference) if reference is not None else None

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def find(self, spec: RunSpec, *, reference: bool = True) -> Run | None:
        """The finished run of `spec`, from the store, else from the reference; None where there is
        none.

        Raises:
            SeapkgError: where the run was made when an option had another default.
        """
        for root, complete in self._roots() if reference else [(self.root, True)]:
            if (root / spec.name).is_dir():
                return _same_defaults(Run(root / spec.name, complete=complete), spec)
        return None

    def list(self) -> list[Run]:
        """Every finished run by name; a broken one is left out with a warning."""
        runs = []
        for folder, complete in self._folders().values():
            try:
                runs.append(Run(folder, complete=complete))
            except SeapkgError as error:
                log.warning("%s", error)
        return runs

    def get(self, name: str) -> Run:
        """The run called `name`: its full name, its key, or the beginning of either where only one
        fits.
        """
        folders = self._folders()
        exact = [full for full in folders if name in (full, _key(full))]
        fitting = exact or [full for full in folders if name and _begins(full, name)]
        if len(fitting) > 1:
            listed = ", ".join(fitting)
            raise RequestError(
                f"{name!r} fits {len(fitting)} runs: {listed}; give more of the name"
            )
        if not fitting:
            raise RequestError(
                f"no run called {name!r} in {self.root}; `python -m seapkg runs` lists the runs"
            )
        folder, complete = folders[fitting[0]]
        return Run(folder, complete=complete)

    def prepare(self) -> None:
        """Creates the root and checks that it can be written, before a long training."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.root)
            with temporary_folder(self.root):
                pass
        except OSError as error:
            raise RequestError(f"the store {self.root} cannot be written: {error}") from error

    def save(self, spec: RunSpec, files: Mapping[str, bytes]) -> Run:
        """Writes a finished run as one step; where another process saved it first, that one stays.

        Args:
            files: name -> content, from `archive.pack` in this process or in another.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with temporary_folder(self.root) as folder:
            for name, content in files.items():
                _write(folder / name, content)
            publish(folder, self.root / spec.name)
        self.forget_failure(spec)
        return Run(self.root / spec.name)

    def mark_failed(self, spec: RunSpec, reason: str) -> None:
        """Notes why `spec` could not be trained, until it is saved; tables leave out a run with
        this mark.
        """
        mark = {"run": spec.name, "seed": spec.seed, "reason": reason}
        write_text(self._mark(spec), json.dumps(mark))

    def forget_failure(self, spec: RunSpec) -> None:
        """Removes the mark of `mark_failed`."""
        self._mark(spec).unlink(missing_ok=True)

    def failure(self, spec: RunSpec) -> str | None:
        """Why `spec` failed when it was last trained; None where it did not."""
        return _reason(self._mark(spec)) if self._mark(spec).is_file() else None

    def failures(self) -> dict[str, str]:
        """Names of the failed runs, with the reason of each."""
        marks = sorted(self.root.glob(f"{FAILED}*.json"))
        return {mark.stem.removeprefix(FAILED): _reason(mark) for mark in marks}

    @contextmanager
    def locked(self, spec: RunSpec) -> Iterator[None]:
        """Lets one process at a time train `spec`; the root must exist."""

        def waiting() -> None:
            log.warning("another process is training %s; waiting for it", spec.name)

        with locked(self.root / f".lock-{spec.name}", waiting):
            yield

    def checkpoint(self, spec: RunSpec) -> Checkpoint:
        """The checkpoint of an unfinished training of `spec`."""
        return Checkpoint(self.root / f".training-{spec.name}.npz", spec.key)

    def export(self, runs: Iterable[Run], folder: str | Path) -> list[Path]:
        """Writes summaries of `runs` for committing, without model and without paths of this
        machine.
        """
        targets = []
        for run in runs:
            target = Path(folder) / run.name
            target.mkdir(parents=True, exist_ok=True)
            (target / RECORD).write_bytes(public_record(run.record))
            for name in (CURVES, USERS, PARTS, PARTS_SAMPLE):
                if (run.folder / name).is_file():
                    shutil.copyfile(run.folder / name, target / name)
            targets.append(target)
        return targets

    def _mark(self, spec: RunSpec) -> Path:
        return self.root / f"{FAILED}{spec.name}.json"

    def _roots(self) -> list[tuple[Path, bool]]:
        """Where runs are, and whether those there are complete."""
        roots = [(self.root, True)]
        return roots + [(self.reference, False)] if self.reference else roots

    def _folders(self) -> dict[str, tuple[Path, bool]]:
        """Name -> folder of every run, and whether it is complete; the store comes before its
        reference.
        """
        folders: dict[str, tuple[Path, bool]] = {}
        for root, complete in self._roots():
            for folder in root.iterdir() if root.is_dir() else ():
                if folder.is_dir() and not folder.name.startswith("."):
                    folders.setdefault(folder.name, (folder, complete))
        return dict(sorted(folders.items()))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _same_defaults(run: Run, spec: RunSpec) -> Run:
    changed = spec.differs_from(run.spec)
    if changed:
        raise SeapkgError(
            f"{run.folder} was made when {', '.join(changed)} had another default: raise `version` "
            f"in the @system decorator of {run.model}, or restore the default"
        )
    return run


def _reason(mark: Path) -> str:
    try:
        return str(json.loads(mark.read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"for a reason that {mark} no longer tells"


def _begins(full: str, name: str) -> bool:
    return full.startswith(name) or _key(full).startswith(name)


def _key(name: str) -> str:
    return name.rsplit("-", 1)[-1]
