"""NpyFileIO and NpzFileIO: numpy arrays.

The files are numpy's own (``numpy.load`` opens them), and never hold a pickle: loading runs no code. An array
that needs one (dtype object) is refused at save.

Loading takes one pass and no memory beside the array's own: the file is read into the memory that the array
will own, and digested on the way; only then is its header parsed.
"""

from __future__ import annotations

import ast
import struct
import zipfile
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, TypeAlias

from ..exceptions import MissingDependencyError
from .base import FileIO, StoredPayload

try:
    import numpy as np
except ImportError as error:
    raise MissingDependencyError.of("numpy", extra="numpy", purpose="NpyFileIO and NpzFileIO") from error

__all__ = ["Array", "NpyFileIO", "NpzFileIO", "why_not_npy"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_LONGEST_HEADER = 1 << 24  # numpy's own limit guards against crafted files; these have been verified


class NpyFileIO(FileIO[Array]):
    """One numpy array, of any shape and memory order and of any dtype but object. Loading runs no code.

    Parameters
    ----------
    mmap_mode : {None, "r", "c"}
        None reads the array into memory. ``"r"`` maps the file, read-only: the array may be larger than memory.
        ``"c"`` maps it copy-on-write: what is assigned stays in memory. A mapped file is verified once per
        process, or by its length only in a store with ``verify="size"``.

    Raises
    ------
    TypeError
        At save: the payload is no plain array (a list, a matrix, a masked array), or its dtype cannot be stored.
    ValueError
        At construction: another `mmap_mode`. Payload files never change, so they cannot be mapped for writing.

    Notes
    -----
    An array that is read (not mapped) is a view of the memory that the file was read into, so it does not own
    its data, and cannot be resized in place.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "payload.npy")
    >>> NpyFileIO().save(np.arange(6).reshape(2, 3), path)
    >>> np.load(path, allow_pickle=False)
    array([[0, 1, 2],
           [3, 4, 5]])
    """

    suffix = ".npy"
    format_id: ClassVar[str] = "npy"

    def __init__(self, mmap_mode: Literal["r", "c"] | None = None) -> None:
        if mmap_mode not in (None, "r", "c"):
            raise ValueError(
                f"mmap_mode must be None, 'r' or 'c', got {mmap_mode!r}: a payload file is never changed once it is "
                f"written. Take 'c' for an array that can be assigned to in memory."
            )
        self.mmap_mode = mmap_mode
        self.loads_lazily = mmap_mode is not None

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({f'mmap_mode={self.mmap_mode!r}' if self.mmap_mode else ''})"

    def _save(self, payload: Array, filepath: Path) -> None:
        if reason := why_not_npy(payload):
            raise self._refusal(payload, reason)
        # Open for reading, too: numpy then writes in chunks through this file. What it does with a file for
        # writing only (ndarray.tofile) is silent about a full disk, and five times slower for a strided array.
        with filepath.open("x+b") as file:
            _write_array(file, payload)

    def _load(self, filepath: Path) -> Array:
        loaded: Array = np.load(filepath, self.mmap_mode, allow_pickle=False, max_header_size=_LONGEST_HEADER)
        return loaded

    def load(self, stored: StoredPayload) -> Array:
        """Verify `stored`, and return its array: read in one pass, or mapped."""
        if self.mmap_mode is not None:
            stored.check()
            return self._load(stored.path)
        content = np.empty(stored.size, np.uint8)
        stored.read_into(0, content.data)
        return _array_within(content)


class NpzFileIO(FileIO[dict[str, Array]]):
    """A dict of numpy arrays by name, in its order, of any dtype but object. Loading runs no code.

    Raises
    ------
    TypeError
        At save: the payload is not a dict from str to plain arrays, or a name or a dtype cannot be stored.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "payload.npz")
    >>> NpzFileIO().save({"weights": np.ones((2, 2)), "bias": np.zeros(2)}, path)
    >>> with np.load(path, allow_pickle=False) as arrays:
    ...     arrays["bias"]
    array([0., 0.])
    """

    suffix = ".npz"
    format_id: ClassVar[str] = "npz"
    loads_lazily = False

    def _save(self, payload: dict[str, Array], filepath: Path) -> None:
        if type(payload) is not dict:
            raise self._refusal(payload, "it takes a dict from names to arrays. Pass dict(payload)")
        for name, array in payload.items():
            if reason := _why_not_a_name(name) or why_not_npy(array):
                raise self._refusal(payload, f"at {name!r}, a {type(array).__qualname__}: {reason}")
        with zipfile.ZipFile(filepath, "x", zipfile.ZIP_STORED) as archive:
            for name, array in payload.items():
                # ZipInfo without a date: the same arrays make the same bytes.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    _write_array(file, array)

    def _load(self, filepath: Path) -> dict[str, Array]:
        arrays = {}
        with zipfile.ZipFile(filepath) as archive:
            for info in archive.infolist():
                with archive.open(info) as file:
                    arrays[info.filename.removesuffix(".npy")] = _read_array(file)
        return arrays


def why_not_npy(array: Any) -> str | None:
    """Return why an npy file would not give `array` back as it is; None if it would.

    Examples
    --------
    >>> why_not_npy(np.arange(3))
    >>> why_not_npy([0, 1, 2])
    'it takes a plain numpy array. Pass numpy.asarray(payload)'
    """
    if type(array) is np.ma.MaskedArray:
        return "an npy file has no mask. Persist payload.data and payload.mask with NpzFileIO"
    if type(array) is not np.ndarray and type(array) is not np.memmap:
        return "it takes a plain numpy array. Pass numpy.asarray(payload)"
    if array.dtype.hasobject:
        return (
            f"its dtype is {array.dtype}, which holds Python objects. Give it a dtype of its own, as with "
            f"payload.astype(float) or payload.astype('U'), or use PickleFileIO"
        )
    described = np.lib.format.dtype_to_descr(array.dtype)
    restored = np.lib.format.descr_to_dtype(described)
    if restored != array.dtype:
        return f"its dtype {array.dtype} would come back as {restored}. Convert it with payload.astype()"
    return None


def _write_array(file: IO[bytes], array: Array) -> None:
    array = array.view(np.ndarray)  # a memory map is written as the array that it shows
    described = repr(np.lib.format.dtype_to_descr(array.dtype))
    if not described.isascii() or len(described) > 60_000:
        np.lib.format.write_array(file, array, (3, 0), allow_pickle=False)  # left to itself, numpy would warn
    elif not array.flags.forc or not array.nbytes:
        np.lib.format.write_array(file, array, (1, 0), allow_pickle=False)
    else:  # in one piece, without the copies that numpy makes
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.reshape(-1, order="A").view(np.uint8).data)


def _read_array(file: IO[bytes]) -> Array:
    array: Array = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
    return array


def _array_within(content: Array) -> Array:
    """Return the array that the bytes of an npy file hold, as a view of them.

    The layout is that of numpy.lib.format: magic, version, length of the header, header, elements. It is parsed
    here because numpy offers only readers that would copy the elements.
    """
    version = int(content[6])
    start = 10 if version == 1 else 12
    (length,) = struct.unpack("<H" if version == 1 else "<I", content[8:start].tobytes())
    text = content[start : start + length].tobytes().decode("utf-8" if version == 3 else "latin-1")
    header = ast.literal_eval(text)
    dtype = np.lib.format.descr_to_dtype(header["descr"])
    if dtype.hasobject:  # the bytes would be taken for pointers
        raise ValueError("This npy file was not written by NpyFileIO: it holds pickled Python objects.")
    order: Literal["F", "C"] = "F" if header["fortran_order"] else "C"
    return np.ndarray(header["shape"], dtype, content, start + length, order=order)


def _why_not_a_name(name: Any) -> str | None:
    if type(name) is not str:
        return f"a name must be a str, got {type(name).__qualname__}"
    try:
        too_long = len(name.encode()) > 60_000
    except UnicodeEncodeError:
        return "the name is no valid Unicode"
    # A zip file ends a name at NUL, and Windows rewrites its own separator.
    if too_long or zipfile.ZipInfo(f"{name}.npy").filename != f"{name}.npy" or "\\" in name:
        return "a zip file cannot hold this name. Take a shorter one, without NUL and backslash"
    return None
