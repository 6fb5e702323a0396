"""Reading .npy and .npz without pickle, and without believing a header before it is checked."""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from seapkg.data.places import fault
from seapkg.errors import DataError

PLAIN, EXPANSION = (
    256 << 20,
    100,
)  # bytes that any archive may unpack to; beyond, so many times its packed size
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
BROKEN = (
    ValueError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    zlib.error,
)


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file, mapped from disk and not yet read; any dtype but objects."""
    with _readable(path), path.open("rb") as stream:
        empty = _check_header(stream, path.stat().st_size, str(path)) == 0
        return np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array in a .npz file by its key; any dtype but objects."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        return {
            info.filename.removesuffix(".npy"): _read_member(archive, info, path)
            for info in archive.infolist()
        }


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    if info.file_size > max(PLAIN, EXPANSION * info.compress_size):
        raise fault(
            f"{path}, {info.filename}",
            f"{info.compress_size} bytes claim to unpack to {info.file_size}",
            "Write it without compression, as numpy.savez does",
        )
    with archive.open(info) as stream:
        _check_header(stream, info.file_size, f"{path}, {info.filename}")
    with archive.open(info) as stream:
        return npy.read_array(stream, allow_pickle=False)


def _check_header(stream: BinaryIO, size: int, where: str) -> int:
    """Number of entries of the array; raises before memory is claimed for what is not there."""
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"format version {version}")
    shape, _, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise fault(
            where,
            "it holds pickled Python objects, which are never loaded",
            "Save plain numbers, as numpy.save does with a numeric array",
        )
    claimed, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if min(shape, default=0) < 0 or max(shape, default=0) >= 2**63 or claimed > held:
        raise fault(
            where,
            f"its header claims shape {shape} of {dtype}, {claimed} bytes, but {held} follow",
            "The file is cut short or damaged: write or download it again",
        )
    return math.prod(shape)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn every way in which a file can be broken into one `DataError`."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise fault(
            str(path),
            f"it cannot be read ({error.strerror or error})",
            "Look after the file and try again",
        ) from error
    except BROKEN as error:
        raise fault(
            str(path),
            f"it cannot be read as a numpy file ({error})",
            "Write it with numpy.save (.npy) or numpy.savez (.npz), or download it again",
        ) from error
