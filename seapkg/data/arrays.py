"""Reads .npy and .npz files without unpickling, and checks sizes before allocating memory."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from seapkg.data.validate import fault

UNPACKED = 256 << 20  # bytes that any archive may unpack to
EXPANSION = 100  # a larger one unpacks to at most so many times its size
REMEDY = "Save plain numbers with numpy.save (.npy) or numpy.savez (.npz), or download it again"


def read_npy(path: Path) -> np.ndarray:
    """The array [...] in a .npy file, mapped from the disk.

    Raises:
        DataError: the file is missing, damaged, cut short, or holds pickled objects.
    """
    with _readable(path):
        return npy.open_memmap(path, mode="r")


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays [...] in a .npz file by their keys.

    Raises:
        DataError: the file is damaged, unpacks to far more than it holds, or is pickled.
    """
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > max(UNPACKED, EXPANSION * path.stat().st_size):
            raise ValueError(f"it claims to unpack to {size} bytes")
        return {
            member.filename.removesuffix(".npy"): npy.read_array(archive.open(member))
            for member in members
        }


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Reports a missing or damaged file as a `DataError`."""
    try:
        yield
    except Exception as error:  # damaged bytes make numpy and zipfile raise nearly anything
        reason = str(error).partition(". ")[0]
        what = f"it cannot be read as numpy arrays ({reason}); it may be damaged or pickled"
        raise fault(str(path), what, REMEDY) from error
