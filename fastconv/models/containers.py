"""Arrays and one text in a file: ``.npz`` with NumPy alone, ``.safetensors`` with its package; nothing is unpickled.

A file ends up whole or not at all, and carries a checksum over everything that is read from it. Reading never takes
more memory than the file has bytes, whatever its headers claim.
"""

from __future__ import annotations

import io
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastconv.layers.arguments import Array

SUFFIXES = (".npz", ".safetensors")

_TEXT_MEMBER = "fastconv.json"
# At the end of an archive, as its comment: a checksum of all bytes before the eight digits.
_SEAL = b"fastconv crc32 "
_DIGITS = 8
_NPY_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class DamagedFileError(ValueError):
    """A file is not what it should be."""


def write(path: Path, text: str, arrays: Mapping[str, Array], overwrite: bool = True) -> None:
    """Write a file; what stood there before stays whole until the new one is complete.

    Parameters
    ----------
    path : Path
        Its suffix says the format.
    text : str
    arrays : mapping of str to ndarray
    overwrite : bool

    Raises
    ------
    ValueError
        If the suffix is unknown.
    FileExistsError
        If the file exists and `overwrite` is false.
    ImportError
        If safetensors is not installed.
    """
    check_suffix(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists, and overwrite=False")
    if path.suffix == ".npz":
        _replace(path, lambda file: _write_npz(file, text, arrays))
    else:
        content = _safetensors_content(text, arrays)
        _replace(path, lambda file: file.write(content))


def read(path: Path) -> tuple[str, dict[str, Array]]:
    """Return the text and the arrays of a file that `write` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    DamagedFileError
        If the file is damaged or foreign, or its suffix unknown.
    ImportError
        If safetensors is not installed.
    """
    check_suffix(path)
    if path.is_dir():
        raise DamagedFileError(f"{path} is a folder, not a model")
    content = path.read_bytes()
    parse = _parse_npz if path.suffix == ".npz" else _parse_safetensors
    try:
        return parse(content)
    except ImportError:
        raise
    except Exception as error:  # whatever a parser says to bytes that nobody has written
        raise DamagedFileError(f"{path} is damaged, or no fastconv file: {error}") from error


def check_suffix(path: Path) -> None:
    """Raise a ValueError if a file name says no format that there is."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"filepath: expected a name that ends in .npz or .safetensors, got {str(path)!r}")


def _replace(path: Path, write_to: Callable[[BinaryIO], Any]) -> None:
    """Write to a file beside the path, then put it into its place."""
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb+") as file:
            write_to(file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


# --- .npz ---


def _write_npz(file: BinaryIO, text: str, arrays: Mapping[str, Array]) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_TEXT_MEMBER), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
        archive.comment = _SEAL + b"0" * _DIGITS
    file.seek(0)
    checksum = 0
    left = file.seek(0, os.SEEK_END) - _DIGITS
    file.seek(0)
    while left:
        block = file.read(min(left, 1 << 20))
        checksum = zlib.crc32(block, checksum)
        left -= len(block)
    file.write(b"%08x" % checksum)


def _parse_npz(content: bytes) -> tuple[str, dict[str, Array]]:
    import zipfile

    body, digits = content[:-_DIGITS], content[-_DIGITS:]
    if not body.endswith(_SEAL):
        raise ValueError("its end is missing")
    if digits != b"%08x" % zlib.crc32(body):
        raise ValueError("its checksum does not fit")
    text = None
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size > len(content):
                raise ValueError(f"{info.filename!r} is packed")
            member = archive.read(info)
            if info.filename == _TEXT_MEMBER:
                text = member.decode()
            elif info.filename.endswith(".npy"):
                arrays[info.filename.removesuffix(".npy")] = _parse_npy(member)
            else:
                raise ValueError(f"{info.filename!r} is no array")
    if text is None:
        raise ValueError(f"{_TEXT_MEMBER} is missing")
    return text, arrays


def _parse_npy(content: bytes) -> Array:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_READERS:
        raise ValueError(f"an array is in the format {version}")
    shape, fortran, dtype = _NPY_READERS[version](stream)
    start = stream.tell()
    if dtype.kind not in "f" or fortran or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} does not fit its bytes")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


# --- .safetensors ---


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("files that end in .safetensors need the package safetensors; .npz needs none") from error
    return safetensors.numpy


def _safetensors_content(text: str, arrays: Mapping[str, Array]) -> bytes:
    save = _safetensors().save
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    checksum = f"{_checksum(text, contiguous.items()):08x}"
    content: bytes = save(contiguous, {"fastconv": text, "crc32": checksum})
    return content


def _parse_safetensors(content: bytes) -> tuple[str, dict[str, Array]]:
    load = _safetensors().load
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError("its header is missing")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if not isinstance(metadata.get("fastconv"), str):
        raise ValueError("it does not say what it holds")
    arrays = load(content)
    if metadata.get("crc32") != f"{_checksum(metadata['fastconv'], arrays.items()):08x}":
        raise ValueError("its checksum does not fit")
    return metadata["fastconv"], arrays


def _checksum(text: str, arrays: Iterable[tuple[str, Array]]) -> int:
    """Return a checksum over a text and named arrays, in any order of theirs."""
    checksum = zlib.crc32(text.encode())
    for name, array in sorted(arrays, key=lambda item: item[0]):
        checksum = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.tobytes(), checksum)
    return checksum
