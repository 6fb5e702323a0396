"""Writes files and folders in one step, and locks them between processes.

Several machines may write into one folder: each writes under a random name, then renames.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = ".writing-"
LEFTOVER_SECONDS = 24 * 3600.0  # no writer takes a day: an older file is of a dead one


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary file name; when the block ends, that file replaces `path` in one step.

    Where the block raises, the temporary file is removed and `path` stays unchanged.
    """
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}")
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
    path = root / f"{PREFIX}{secrets.token_hex(8)}"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Renames `folder` to `target` in one step; where `target` exists, the first writer wins."""
    try:
        os.rename(folder, target)
    except OSError:
        if not target.is_dir():
            raise


def remove_leftovers(root: Path) -> None:
    """Removes temporary files and folders in `root` that are older than a day."""
    for path in root.glob(f"{PREFIX}*"):
        with suppress(OSError):  # its writer has renamed it, or it is another user's
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


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
