"""Finished runs on disk, one folder each, written whole or not at all."""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from seapkg.errors import RequestError, SeapkgError
from seapkg.experiments import places, scratch
from seapkg.experiments.environment import environment
from seapkg.experiments.run import CURVES, FIT_FIELDS, RECORD, STATE, USERS, Run
from seapkg.experiments.spec import RunSpec

log = logging.getLogger(__name__)


class Store:
    """Runs under `root`, each in MODEL-DATASET-KEY/; those under `reference` are read, never written.

    `Store()` is the workplace's own store backed by its committed reference; a store at a folder
    of one's choice has no reference unless one is given.
    """

    def __init__(self, root: str | Path | None = None, reference: str | Path | None = None):
        if root is None and reference is None:
            reference = places.reference_root()
        self.root = Path(root) if root is not None else places.store_root()
        self.reference = Path(reference) if reference is not None else None

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def find(self, spec: RunSpec) -> Run | None:
        """The finished run of `spec`, from the store or else the reference; None where there is none."""
        for root, complete in self._roots():
            if (root / spec.name).is_dir():
                return Run(root / spec.name, complete=complete)
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
        folders = {}
        for root, complete in self._roots():
            for folder in _run_folders(root):
                folders.setdefault(folder.name, (folder, complete))
        exact = [full for full in folders if name in (full, _key(full))]
        fitting = exact or [f for f in folders if name and (f.startswith(name) or _key(f).startswith(name))]
        if len(fitting) != 1:
            raise RequestError(self._not_one(name, fitting))
        folder, complete = folders[fitting[0]]
        return Run(folder, complete=complete)

    def prepare(self) -> None:
        """Makes the root and sees that it can be written, before hours are spent on a run."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            scratch.sweep(self.root)
            shutil.rmtree(scratch.make(self.root))
        except OSError as error:
            raise RequestError(f"the store {self.root} cannot be written: {error}") from error

    def save(self, spec: RunSpec, fit: Any, *, model: Any, dataset: Any) -> Run:
        """Writes the run of a `Fit`; where another process finished the same run first, that one is kept."""
        self.root.mkdir(parents=True, exist_ok=True)
        scratch.sweep(self.root)
        with scratch.folder(self.root) as folder:
            _write_json(folder / RECORD, _record(spec, fit, dataset))
            _write_curves(folder / CURVES, fit.curves)
            _write_arrays(folder / USERS, fit.per_user)
            _write_arrays(folder / STATE, _state(model))
            scratch.publish(folder, self.root / spec.name)
        return Run(self.root / spec.name)

    def export(self, runs: Iterable[Run], folder: str | Path) -> list[Path]:
        """Writes summaries of `runs` for committing: no model, no path of this machine, the same bytes each time."""
        written = []
        for run in runs:
            target = Path(folder) / run.name
            target.mkdir(parents=True, exist_ok=True)
            _write_json(target / RECORD, _without_places(run.record))
            for name in (CURVES, USERS):
                if (run.folder / name).is_file():
                    shutil.copyfile(run.folder / name, target / name)
            written.append(target)
        return written

    def _roots(self) -> list[tuple[Path, bool]]:
        return [(self.root, True)] + ([(self.reference, False)] if self.reference else [])

    def _not_one(self, name: str, fitting: list[str]) -> str:
        if fitting:
            return f"{name!r} fits {len(fitting)} runs: {', '.join(sorted(fitting))}; give more of the name"
        return f"no run called {name!r} in {self.root}; `python -m seapkg runs` lists what is there"


def _run_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))


def _add(runs: dict[str, Run], folder: Path, complete: bool) -> None:
    try:
        runs[folder.name] = Run(folder, complete=complete)
    except SeapkgError as error:
        log.warning("%s", error)


def _key(name: str) -> str:
    return name.rsplit("-", 1)[-1]


def _record(spec: RunSpec, fit: Any, dataset: Any) -> dict[str, Any]:
    source = Path(dataset.source)
    return {
        "run": spec.name,
        "spec": spec.as_dict(),
        **{field: _json_value(getattr(fit, field)) for field in FIT_FIELDS},
        "data": {
            "source": str(dataset.source),
            "path": str(source.resolve()) if source.is_dir() else None,
            "provenance": dataset.provenance,
        },
        "environment": environment(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _without_places(record: Mapping[str, Any]) -> dict[str, Any]:
    data = record["data"]
    return {**record, "data": {**data, "source": Path(data["source"]).name, "path": None}}


def _json_value(value: Any) -> Any:
    """Numbers as plain Python ones; what is not finite becomes null, for JSON has no word for it."""
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_curves(path: Path, curves: list[dict[str, float]]) -> None:
    import pandas as pd

    pd.DataFrame(curves).to_csv(path, index=False, lineterminator="\n")


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz, flushed to the disk; array by array, so that no name is special."""
    import zipfile

    with open(path, "wb") as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())


def _state(model: Any) -> dict[str, np.ndarray]:
    """The model's tensors as arrays; what NumPy has no type for (bfloat16) is widened, which loses nothing."""
    arrays = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        half = tensor.is_floating_point() and tensor.element_size() < 4
        arrays[name] = (tensor.float() if half else tensor).numpy()
    return arrays
