"""ParquetFileIO and FeatherFileIO: tables of pandas, polars and pyarrow, through Arrow.

A frame becomes an Arrow table, with a note in the table's metadata of the library that it came from, so that
the same kind of frame comes back. The files open in anything that reads Parquet or Arrow. Loading runs no code.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

from ..exceptions import MissingDependencyError
from .base import StoredPayload
from .equality import same
from .proved import ProvedFileIO

try:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]  # it ships no annotations
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
except ImportError as error:
    raise MissingDependencyError.of("pyarrow", extra="parquet", purpose="ParquetFileIO and FeatherFileIO") from error

__all__ = ["FeatherFileIO", "ParquetFileIO", "why_not_arrow"]

_NOTE = b"persistable"  # the key of our entry in the metadata of a table


class _ArrowFileIO(ProvedFileIO):
    """What the two formats share: frame <-> Arrow table <-> verified bytes.

    Parameters
    ----------
    check : bool
        Whether the file is read back at save and compared, which costs about one load and the memory of a second
        table. Without, what Arrow does not carry is lost without a word.
    """

    def __init__(self, check: bool = True) -> None:
        self.check = check

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({'' if self.check else 'check=False'})"

    @abstractmethod
    def _write_table(self, table: pa.Table, file: BinaryIO) -> None: ...

    @abstractmethod
    def _read_table(self, source: pa.Buffer) -> pa.Table: ...

    def _write(self, payload: Any, filepath: Path) -> None:
        table = _to_table(payload)
        with filepath.open("xb") as file:
            self._write_table(table, file)

    def _load(self, filepath: Path) -> Any:
        return _from_table(self._read_table(pa.py_buffer(filepath.read_bytes())))

    def _loss(self, payload: Any, loaded: Any) -> str | None:
        return _library_of(payload).difference(payload, loaded)

    def load(self, stored: StoredPayload) -> Any:
        """Verify `stored`, and return the table that the verified bytes hold, in the library that it came from."""
        return _from_table(self._read_table(pa.py_buffer(stored.buffer())))


class ParquetFileIO(_ArrowFileIO):
    """A pandas or polars DataFrame, or a pyarrow Table, as a Parquet file: small, and read everywhere.

    The same kind of frame comes back, with dtypes, index (and its frequency), labels and attrs; what Parquet does
    not carry is refused at save. Loading runs no code.

    Parameters
    ----------
    check : bool
        Whether the file is read back at save and compared, which costs about one load and the memory of a second
        table. Without, what Parquet does not carry is lost without a word.

    Raises
    ------
    TypeError
        At save: the payload is no such frame, or would not come back the same. The message says in what.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp(), "payload.parquet")
    >>> ParquetFileIO().save(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]), path)
    >>> pd.read_parquet(path)
       a
    x  1
    y  2
    """

    suffix = ".parquet"
    format_id: ClassVar[str] = "parquet"
    loads_lazily = False

    def _write_table(self, table: pa.Table, file: BinaryIO) -> None:
        pq.write_table(table, file)

    def _read_table(self, source: pa.Buffer) -> pa.Table:
        return pq.ParquetFile(pa.BufferReader(source)).read()


class FeatherFileIO(_ArrowFileIO):
    """A pandas or polars DataFrame, or a pyarrow Table, as a Feather file (Arrow IPC): the fastest to load.

    The same kind of frame comes back, with dtypes, index (and its frequency), labels and attrs; what Arrow does
    not carry is refused at save. Loading runs no code.

    Parameters
    ----------
    check : bool
        Whether the file is read back at save and compared, which costs about one load and the memory of a second
        table. Without, what Arrow does not carry is lost without a word.

    Raises
    ------
    TypeError
        At save: the payload is no such frame, or would not come back the same. The message says in what.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp(), "payload.feather")
    >>> FeatherFileIO().save(pd.DataFrame({"a": [1, 2]}), path)
    >>> pd.read_feather(path)
       a
    0  1
    1  2
    """

    suffix = ".feather"
    format_id: ClassVar[str] = "feather"
    loads_lazily = False

    def _write_table(self, table: pa.Table, file: BinaryIO) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(file, table.schema, options=options) as writer:
            writer.write_table(table)

    def _read_table(self, source: pa.Buffer) -> pa.Table:
        return pa.ipc.open_file(source).read_all()


def why_not_arrow(payload: Any) -> str | None:
    """Return in what `payload` would come back changed from an Arrow table; None if it would be the same.

    A Feather file holds its Arrow table as it is, so this proves a save by FeatherFileIO, too.

    Examples
    --------
    >>> import pandas as pd
    >>> why_not_arrow(pd.DataFrame({"a": [1, 2]}))
    >>> why_not_arrow(pd.DataFrame({"a": [(1, 2)]}))
    "column 'a' holds (1, 2) in row 0 (a tuple), which would come back as array([1, 2]) (a ndarray)"
    """
    try:
        return _library_of(payload).difference(payload, _from_table(_to_table(payload)))
    except Exception as error:  # Arrow, pandas and polars raise what they like
        return str(error).rstrip(".")


class _Library(NamedTuple):
    """A library whose frames are persisted through Arrow."""

    to_table: Callable[[Any], tuple[pa.Table, dict[str, Any]]]
    """Return the table, and what must be noted beside it."""
    from_table: Callable[[pa.Table, dict[str, Any]], Any]
    difference: Callable[[Any, Any], str | None]


def _library_of(payload: Any) -> _Library:
    kind = f"{type(payload).__module__.partition('.')[0]}.{type(payload).__qualname__}"
    if kind not in _LIBRARIES:
        raise TypeError(
            "it takes a DataFrame of pandas or polars, or a pyarrow Table. Pass payload.to_frame() for a Series, "
            "payload.collect() for a LazyFrame"
        )
    return _LIBRARIES[kind]


def _to_table(payload: Any) -> pa.Table:
    library = _library_of(payload)
    table, note = library.to_table(payload)
    kind = next(kind for kind, known in _LIBRARIES.items() if known is library)
    metadata = {**(table.schema.metadata or {}), _NOTE: json.dumps({"kind": kind, **note}).encode()}
    return table.replace_schema_metadata(metadata)


def _from_table(table: pa.Table) -> Any:
    metadata = dict(table.schema.metadata)
    note = json.loads(metadata.pop(_NOTE))
    return _LIBRARIES[note["kind"]].from_table(table.replace_schema_metadata(metadata or None), note)


def _from_pandas(frame: Any) -> tuple[pa.Table, dict[str, Any]]:
    from .pandas_arrow import to_table

    return to_table(frame)


def _to_pandas(table: pa.Table, note: dict[str, Any]) -> Any:
    _need("pandas")
    from .pandas_arrow import from_table

    return from_table(table, note)


def _pandas_difference(saved: Any, loaded: Any) -> str | None:
    from .frames import frame_difference

    return frame_difference(saved, loaded)


def _from_polars(frame: Any) -> tuple[pa.Table, dict[str, Any]]:
    for name, dtype in frame.schema.items():
        if str(dtype) == "Object":  # older polars panics, which is no Exception
            raise TypeError(f"column {name!r} has the dtype Object, which Arrow does not carry. Give it another")
    return frame.to_arrow(), {}


def _to_polars(table: pa.Table, note: dict[str, Any]) -> Any:
    return _need("polars").from_arrow(table)


def _polars_difference(saved: Any, loaded: Any) -> str | None:
    for name, dtype in saved.schema.items():
        if loaded.schema.get(name) != dtype:
            return f"column {name!r} has the dtype {dtype}, but would come back as {loaded.schema.get(name)}"
        if not saved[name].equals(loaded[name], null_equal=True):
            return f"column {name!r} holds values that would not come back equal (dtype {dtype})"
    return None if saved.shape == loaded.shape else f"its shape {saved.shape} would come back as {loaded.shape}"


def _table_difference(saved: pa.Table, loaded: pa.Table) -> str | None:
    metadata = [[schema.metadata, [field.metadata for field in schema]] for schema in (saved.schema, loaded.schema)]
    if not saved.schema.equals(loaded.schema) or metadata[0] != metadata[1]:
        return f"its schema would come back changed: {loaded.schema}"
    for name, before, after in zip(saved.column_names, saved.columns, loaded.columns, strict=True):
        # equals() takes no NaN for equal to another; the slow way is for those columns alone
        if not before.equals(after) and not same(before.to_pylist(), after.to_pylist()):
            return f"column {name!r} holds values that would not come back equal (type {before.type})"
    return None


def _need(package: str) -> Any:
    """Return the library that a stored frame belongs to."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise MissingDependencyError.of(package, extra=package, purpose=f"A table that {package} made") from error


_LIBRARIES = {
    "pandas.DataFrame": _Library(_from_pandas, _to_pandas, _pandas_difference),
    "polars.DataFrame": _Library(_from_polars, _to_polars, _polars_difference),
    "pyarrow.Table": _Library(lambda table: (table, {}), lambda table, note: table, _table_difference),
}
