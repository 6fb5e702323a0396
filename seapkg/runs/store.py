"""Finished runs on disk, one folder each, written completely or not at all."""

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from seapkg.errors import BrokenFile, RequestError, SeapkgError
from seapkg.files import locked, publish, remove_leftovers, temporary_folder, write_text
from seapkg.runs import locations
from seapkg.runs.archive import (
    CURVES,
    ITEM_GROUPS,
    PARTS,
    PARTS_SAMPLE,
    RECORD,
    STATE,
    USERS,
    public_record,
)
from seapkg.runs.run import Run
from seapkg.runs.spec import RunSpec
from seapkg.training.checkpoint import Checkpoint

log = logging.getLogger(__name__)

FAILED = ".failed-"
#: The files of a run's summary.
FILES = (RECORD, CURVES, USERS, PARTS, PARTS_SAMPLE, ITEM_GROUPS)


class Store:
    """Runs under `root`, each in a folder MODEL-DATASET-KEY; those under `reference` are only read.

    `Store()` is the project's store with its committed reference; a store at a given folder has
    no reference unless one is given.
    """

    def __init__(self, root: str | Path | None = None, reference: str | Path | None = None) -> None:
        if root is None and reference is None:
            reference = locations.reference_root()
        self.root = Path(root or locations.store_root())
        self.reference = Path(reference) if reference else None

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def find(self, spec: RunSpec) -> Run | None:
        """The finished run of `spec`, from the store, else from the reference; None if missing.

        Raises:
            SeapkgError: the default of an option has changed since the run was made.
        """
        for root in self._roots:
            if (root / spec.name).is_dir():
                return _with_same_defaults(Run(root / spec.name), spec)
        return None

    def list(self) -> list[Run]:
        """All finished runs, sorted by name; a broken one is left out with a warning."""
        runs = []
        for folder in self._folders().values():
            try:
                runs.append(Run(folder))
            except SeapkgError as error:
                log.warning("%s", error)
        return runs

    def get(self, name: str) -> Run:
        """The run called `name`: its full name, its key, or the beginning of either.

        Raises:
            RequestError: no run matches, or several do.
        """
        folders = self._folders()
        fitting = [full for full in folders if name and f"-{name}" in f"-{full}"]
        if len(fitting) > 1:
            raise RequestError(
                f"several runs match {name!r}: {', '.join(fitting)}; give more of the name"
            )
        if not fitting:
            raise RequestError(
                f"no run called {name!r} in {self.root}; `python -m seapkg runs` lists the runs"
            )
        return Run(folders[fitting[0]])

    def prepare(self) -> None:
        """Creates the root and checks that it is writable, before a long training."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.root)
            with temporary_folder(self.root):
                pass
        except OSError as error:
            raise RequestError(f"the store {self.root} cannot be written: {error}") from error

    def save(self, spec: RunSpec, files: Mapping[str, bytes]) -> Run:
        """Writes a finished run in one step; if another process saved it first, that one stays.

        Args:
            spec: of the run.
            files: name -> content, from `archive.pack` in this process or in another.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with temporary_folder(self.root) as folder:
            for name, content in files.items():
                _write(folder / name, content)
            publish(folder, self.root / spec.name)
        self._mark(spec).unlink(missing_ok=True)
        return Run(self.root / spec.name)

    def take(self, folder: Path) -> Run:
        """Copies a finished run of another store; a run that is here already stays as it is.

        Args:
            folder: a run of another store, or its summary without the model.

        Raises:
            RequestError: a file is damaged or missing, or the run's name does not fit its spec.
        """
        run = Run(folder)
        if run.spec.name != run.name:
            raise BrokenFile(f"{folder} is refused: its spec belongs to a run {run.spec.name}")
        names = [name for name in (*FILES, STATE) if (folder / name).is_file()]
        for name in {USERS, *names} - {RECORD, CURVES, PARTS, ITEM_GROUPS}:
            run.arrays(name)
        if len(run.curves) != run.record["epochs"]:
            raise BrokenFile(f"{folder} is refused: {CURVES} has not one row for each epoch")
        return self.save(run.spec, {name: (folder / name).read_bytes() for name in names})

    def mark_failed(self, spec: RunSpec, reason: str) -> None:
        """Records why `spec` could not be trained; `save` removes the mark."""
        write_text(self._mark(spec), reason)

    def failure(self, spec: RunSpec) -> str | None:
        """Why the last training of `spec` failed; None if it did not."""
        mark = self._mark(spec)
        return mark.read_text(encoding="utf-8") if mark.is_file() else None

    def failures(self) -> dict[str, str]:
        """Name -> reason of each failed run."""
        marks = sorted(self.root.glob(f"{FAILED}*"))
        return {mark.name.removeprefix(FAILED): mark.read_text(encoding="utf-8") for mark in marks}

    def locked(self, spec: RunSpec) -> AbstractContextManager[None]:
        """A lock that lets one process at a time train `spec`; the root must exist."""
        message = "another process is training %s; waiting for it"
        return locked(self.root / f".lock-{spec.name}", lambda: log.warning(message, spec.name))

    def checkpoint(self, spec: RunSpec) -> Checkpoint:
        """The checkpoint of an unfinished training of `spec`."""
        return Checkpoint(self.root / f".training-{spec.name}.npz", spec.key)

    def export(self, runs: Iterable[Run], folder: str | Path) -> None:
        """Writes summaries of `runs` for committing: without models and paths of this machine."""
        for run in runs:
            target = Path(folder) / run.name
            target.mkdir(parents=True, exist_ok=True)
            (target / RECORD).write_bytes(public_record(run.record))
            for name in set(FILES) - {RECORD}:
                if (run.folder / name).is_file():
                    shutil.copyfile(run.folder / name, target / name)

    def _mark(self, spec: RunSpec) -> Path:
        return self.root / f"{FAILED}{spec.name}"

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (self.root, self.reference) if self.reference else (self.root,)

    def _folders(self) -> dict[str, Path]:
        """Name -> folder of each run; the store takes precedence over its reference."""
        folders: dict[str, Path] = {}
        for root in reversed(self._roots):
            folders |= {path.name: path for path in root.glob("[!.]*") if path.is_dir()}
        return dict(sorted(folders.items()))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _with_same_defaults(run: Run, spec: RunSpec) -> Run:
    changed = spec.differs_from(run.spec)
    if changed:
        raise SeapkgError(
            f"{run.folder} was made when {', '.join(changed)} had another default; raise `version` "
            f"in the @system decorator of {run.model}, or restore the default"
        )
    return run
