"""Files and folders that readers only ever see whole, and locks between processes.

Writers on several machines may share a folder: each writes under a name of its own, then renames.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

FOLDER_PREFIX = ".writing-"
LEFTOVER_SECONDS = 24 * 3600.0  # after a day a writer on another machine counts as dead
WRITER = re.compile(r"(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}$")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary file name; when the block ends, that file replaces `path` in one step.

    Where the block raises, the temporary file is removed and `path` stays as it was.
    """
    temporary = path.with_name(f".{path.name.lstrip('.')}.{_new_writer()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file (UTF-8) in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def temporary_folder(root: Path) -> Iterator[Path]:
    """Yields a new hidden folder in `root`; removes it afterwards unless `publish` renamed it."""
    path = root / f"{FOLDER_PREFIX}{_new_writer()}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish(folder: Path, target: Path) -> bool:
    """Renames `folder` to `target` in one step.

    Returns False where `target` exists: the first writer wins.
    """
    try:
        os.rename(folder, target)
    except OSError:
        if not target.is_dir():
            raise
        return False
    return True


def remove_leftovers(root: Path) -> None:
    """Removes temporary files and folders in `root` whose writer is dead.

    A writer on this machine is dead when its process is gone; one on another machine, after a day.
    """
    for path in root.glob(".*"):
        writer = WRITER.search(path.name)
        if writer is None or not _is_leftover(path, writer):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a lock that one process (and one thread of it) can hold at a time.

    Args:
        path: the lock file, which exists while the lock is held; or a folder, which then holds the
            file `.lock`.
        waiting: called once where another process holds the lock, before waiting for it.
    """
    path = path / ".lock" if path.is_dir() else path
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release: whoever waits sees that the file is gone
        lock.release()


def _new_writer() -> str:
    """A name that no other writer has: machine, process, random digits."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_leftover(path: Path, writer: re.Match) -> bool:
    if writer["host"] == _host() and not _is_alive(int(writer["process"])):
        return True
    try:
        return time.time() - path.stat().st_mtime > LEFTOVER_SECONDS
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
