"""Files that a reader finds whole at any time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to. What was written takes the place of `path` in one step when the block ends, and
    is removed where it raises. The name ends in the process's number, so that leftovers of a dead one can be told."""
    aside = path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, put into place whole."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
