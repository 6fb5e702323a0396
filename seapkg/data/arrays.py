"""Reading .npy and .npz files: nothing is unpickled, and no header is believed before a check."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from seapkg.data.validate import fault

UNPACKED = 256 << 20  # bytes that any archive may unpack to
EXPANSION = 100  # beyond that, at most so many times its packed size


def read_npy(path: Path) -> np.ndarray:
    """The array [...] in a .npy file, mapped from the disk.

    Raises:
        DataError: the file is damaged, cut short, or holds pickled objects.
    """
    with _readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive")
        return array


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays [...] in a .npz file by their keys.

    Raises:
        DataError: the file is damaged, unpacks to far more than it holds, or is pickled.
    """
    with _readable(path), zipfile.ZipFile(path) as archive:
        return {
            member.filename.removesuffix(".npy"): _read_member(archive, member)
            for member in archive.infolist()
        }


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.file_size > max(UNPACKED, EXPANSION * member.compress_size):
        raise ValueError(f"{member.filename} claims to unpack to {member.file_size} bytes")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(stream)
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} claims shape {shape} and is shorter")
        stream.seek(0)
        return npy.read_array(stream, allow_pickle=False)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns every way in which a file can be broken into one `DataError`."""
    try:
        yield
    except Exception as error:  # damaged bytes make numpy and zipfile raise nearly anything
        reason = str(error).partition(". ")[0]
        raise fault(
            str(path),
            f"it cannot be read as numpy arrays ({reason})",
            "It may be damaged, cut short or pickled: save plain numbers with numpy.save (.npy) "
            "or numpy.savez (.npz), or download it again",
        ) from error
