"""Folders that appear whole or not at all, written aside and then renamed into place; what dead writers left, swept."""

import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".writing-"
FORGOTTEN_AFTER = 24 * 3600.0  # seconds; by then a writer on another machine is surely gone


@contextmanager
def folder(root: Path) -> Iterator[Path]:
    """A new folder beside the runs of `root`; gone afterwards unless it was published."""
    path = make(root)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def make(root: Path) -> Path:
    """A new folder whose name tells which process writes in it."""
    path = root / f"{PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    path.mkdir()
    return path


def publish(path: Path, target: Path) -> bool:
    """Renames `path` to `target` in one step. False where `target` is there already: the first wins."""
    try:
        os.rename(path, target)
    except OSError:
        if not target.is_dir():
            raise
        return False
    return True


def sweep(root: Path) -> None:
    """Removes what writers that died have left: folders, and files that end in their writer's number."""
    for path in root.glob(f"{PREFIX}*"):
        if _is_dead(path):
            shutil.rmtree(path, ignore_errors=True)
    for path in root.glob(".*.[0-9]*"):
        writer = path.name.rpartition(".")[2]
        if (
            path.is_file()
            and writer.isdigit()
            and os.name == "posix"
            and not _is_alive(int(writer))
        ):
            path.unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    machine, _, rest = path.name.removeprefix(PREFIX).partition("-")
    process = rest.partition("-")[0]
    if machine == _machine() and process.isdigit() and os.name == "posix":
        return not _is_alive(int(process))
    try:
        return time.time() - path.stat().st_mtime > FORGOTTEN_AFTER
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]
