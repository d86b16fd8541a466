"""Readers for IDX and ``.npz`` files that trust nothing in them.

A header's claim is checked against the bytes that are there before anything is allocated, so a truncated, foreign,
bit-flipped or forged file ends in a ValueError that names it, whatever the damage.
"""

from __future__ import annotations

import ast
import gzip
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_ARRAY_BYTES = 1 << 30
"""No array of a data set may be larger; MNIST's largest has 47 million bytes."""

_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NPY_MAX_HEADER = 4096


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a Path if a regular file stands there.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If it is a folder, a pipe or a device.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file")
    if not file.is_file():
        raise ValueError(f"{file}: not a regular file")
    return file


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one array from an IDX file, the format in which MNIST is distributed.

    Parameters
    ----------
    path : str or PathLike
        The file, plain or compressed with gzip; its first bytes tell which, not its name.

    Returns
    -------
    ndarray
        Shape and dtype as the header has them, in the machine's byte order, writable.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not IDX, is damaged, is shorter or longer than its header says, or holds more than
        `MAX_ARRAY_BYTES`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read_idx(file)
    array([7, 2, 1], dtype=uint8)
    """
    file = regular_file(path)
    try:
        with file.open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _parse_idx(file, raw)
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                return _parse_idx(file, stream)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{file}: damaged gzip data ({error})") from error
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror or error})") from error


def _parse_idx(file: Path, stream: BinaryIO | gzip.GzipFile) -> NDArray[Any]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or not 1 <= magic[3] <= 4:
        raise ValueError(f"{file}: not an IDX file (it begins with {magic.hex(' ') or 'nothing'})")
    rank = magic[3]
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise ValueError(f"{file}: truncated IDX header")
    shape = struct.unpack(f">{rank}I", header)
    dtype = np.dtype(_IDX_TYPES[magic[2]])
    data = _read_exactly(file, stream, math.prod(shape) * dtype.itemsize, f"an IDX array of shape {shape}")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_exactly(file: Path, stream: Any, size: int, what: str) -> bytearray:
    """Read the last `size` bytes of a stream piece by piece, so that a forged size allocates nothing."""
    if size > MAX_ARRAY_BYTES:
        raise ValueError(f"{file}: {what} would take {size} bytes, more than {MAX_ARRAY_BYTES}")
    data = bytearray()
    while len(data) <= size:
        piece = stream.read(min(_CHUNK, size + 1 - len(data)))
        if not piece:
            break
        data += piece
    if len(data) != size:
        found = "more follow" if len(data) > size else f"the file has {len(data)}"
        raise ValueError(f"{file}: {what} takes {size} bytes, {found}")
    return data


def read_npz(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays of an ``.npz`` file without ever unpickling anything.

    Parameters
    ----------
    path : str or PathLike
        A file that ``numpy.savez`` or ``numpy.savez_compressed`` wrote.
    names : sequence of str
        The arrays that must be in it; others are not looked at.

    Returns
    -------
    dict of str to ndarray
        One writable array for each name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a zip archive, is damaged, lacks one of `names`, or one of them is an object array or larger than
        `MAX_ARRAY_BYTES`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "pair.npz"
    >>> np.savez(file, a=np.arange(3), b=np.ones(2))
    >>> read_npz(file, ["a"])["a"].tolist()
    [0, 1, 2]
    """
    file = regular_file(path)
    try:
        with zipfile.ZipFile(file) as archive:
            return {name: _read_member(file, archive, name) for name in names}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, struct.error) as error:
        raise ValueError(f"{file}: not an .npz file, or a damaged one ({error})") from error
    except (NotImplementedError, RuntimeError, OverflowError, UnicodeError) as error:
        # What zipfile raises for compression methods, passwords and offsets that a flipped bit invents.
        raise ValueError(f"{file}: not an .npz file, or a damaged one ({error})") from error
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror or error})") from error


def _read_member(file: Path, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        held = ", ".join(sorted(archive.namelist())[:8]) or "nothing"
        raise ValueError(f"{file}: no array {name!r} in it (it holds {held})") from None
    with archive.open(info) as stream:
        prefix = stream.read(8)
        if prefix[:6] != b"\x93NUMPY" or len(prefix) < 8 or prefix[6] not in (1, 2, 3):
            raise ValueError(f"{file}: {name!r} is not a NumPy array")
        width = 2 if prefix[6] == 1 else 4
        length = int.from_bytes(stream.read(width), "little")
        if length > _NPY_MAX_HEADER:
            raise ValueError(f"{file}: {name!r} has a header of {length} bytes, more than {_NPY_MAX_HEADER}")
        shape, fortran_order, dtype = _parse_npy_header(file, name, stream.read(length))
        what = f"array {name!r} of shape {shape}"
        data = _read_exactly(file, stream, math.prod(shape) * dtype.itemsize, what)
    flat: NDArray[Any] = np.frombuffer(data, dtype)
    array = flat.reshape(shape[::-1]).T if fortran_order else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _parse_npy_header(file: Path, name: str, header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        fields = ast.literal_eval(header.decode("latin-1").strip())
        shape, fortran_order, descr = fields["shape"], fields["fortran_order"], fields["descr"]
        dtype = np.dtype(descr) if isinstance(descr, str) else None
    except (ValueError, TypeError, SyntaxError, KeyError, MemoryError, RecursionError) as error:
        raise ValueError(f"{file}: {name!r} has a damaged header ({type(error).__name__})") from error
    sizes_are_whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not sizes_are_whole or type(fortran_order) is not bool or dtype is None:
        raise ValueError(f"{file}: {name!r} has a damaged header")
    if dtype.kind not in "biufc":
        raise ValueError(f"{file}: {name!r} holds {dtype}, not numbers")
    return shape, fortran_order, dtype
