"""One process at a time: a lock on a path, which the system takes back when its holder ends, however it ends."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a folder or a file; where another holds it, `waiting` is called once, and then it is waited for."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _wait_for(descriptor, path, waiting)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_file(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a file that is made for it, in a folder that is there, and gone when its holder is done."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            _wait_for(descriptor, path, waiting)
            if not _is_at(
                path, descriptor
            ):  # its last holder took the file away: another may hold a new one
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _wait_for(descriptor: int, path: Path, waiting: Callable[[], None]) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        log.debug("%s is on a file system without locks", path)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
