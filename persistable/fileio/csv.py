"""CsvFileIO: pandas tables that people open in a spreadsheet.

CSV says nothing of dtypes, index, zones or missing values, so a schema stands beside the table::

    payload.1f3a9c2e/
      table.csv       UTF-8 with a byte-order mark (Excel then reads it right), a header, RFC 4180 quotes
      schema.json     how each column's cells become values again, and what index and labels are

What people see: numbers with all digits they need, dates as ``2024-03-01 12:30:00`` (with a ``Z`` and in UTC
if the column has a zone), time differences as a count of their unit, an empty cell (or, in a column that holds
empty texts, ``NA``) where a value is missing. A column of other Python values holds their JSON.

Loading runs no code.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar

from ..exceptions import MissingDependencyError
from .json import why_not_json
from .proved import ProvedFileIO

try:
    import pandas as pd
except ImportError as error:
    raise MissingDependencyError.of("pandas", extra="pandas", purpose="CsvFileIO") from error

from .cells import (
    array_from_cells,
    array_to_cells,
    index_from_cells,
    index_from_json,
    index_to_cells,
    index_to_json,
    named,
)
from .frames import frame_difference, plain

__all__ = ["CsvFileIO"]


class CsvFileIO(ProvedFileIO):
    """A pandas DataFrame as a folder: ``table.csv`` for people, ``schema.json`` for a lossless way back.

    Lossless or an error: what was written is read back and compared before it is accepted, with dtypes, index,
    labels, zones, categories, frequency, attrs, missing values, and floats to the last bit. Loading runs no code.

    Raises
    ------
    TypeError
        At save: the payload is not a DataFrame, or something in it would not come back. The message names the
        column and the reason. ParquetFileIO carries more dtypes, PickleFileIO carries them all.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp(), "payload")
    >>> CsvFileIO().save(pd.DataFrame({"day": pd.to_datetime(["2024-03-01"]), "price": [0.1]}), folder)
    >>> print((folder / "table.csv").read_text(encoding="utf-8-sig"))
    day,price
    2024-03-01,0.1
    <BLANKLINE>
    """

    format_id: ClassVar[str] = "csv"
    loads_lazily = False

    def _write(self, payload: pd.DataFrame, filepath: Path) -> None:
        kind = f"{type(payload).__module__.partition('.')[0]} {type(payload).__qualname__}"
        if kind in ("polars DataFrame", "pyarrow Table"):
            raise TypeError(
                f"it is a {kind}, and CsvFileIO takes a pandas DataFrame. Pass payload.to_pandas(), or use "
                f"ParquetFileIO, which gives a {kind} back"
            )
        if type(payload) is not pd.DataFrame:
            raise TypeError("it takes a pandas DataFrame. Pass payload.to_frame() for a Series")
        if reason := why_not_json(payload.attrs):
            raise TypeError(f"its attrs cannot be kept: {reason}")
        index, levels = index_to_cells(payload.index)
        columns, specs = [], []
        for position, label in enumerate(payload.columns):
            cells, spec = named(f"column {label!r}", array_to_cells, plain(payload.iloc[:, position]))
            columns.append(cells)
            specs.append(spec)
        schema = {
            "index": index,
            "labels": named("columns", index_to_json, payload.columns),
            "columns": specs,
            "attrs": payload.attrs,
        }
        filepath.mkdir()
        with (filepath / "schema.json").open("x", encoding="utf-8") as file:
            json.dump(schema, file, ensure_ascii=False, indent=1)
        header = ["" if name is None else name for name in payload.index.names[: len(levels)]]
        with (filepath / "table.csv").open("x", encoding="utf-8", newline="") as file:
            file.write("\ufeff")
            writer = csv.writer(file)
            writer.writerow([*header, *payload.columns])
            writer.writerows(zip(*levels, *columns, strict=True))

    def _load(self, filepath: Path) -> pd.DataFrame:
        schema = json.loads((filepath / "schema.json").read_bytes())
        width = len(schema["index"].get("levels", ())) + len(schema["columns"])
        with (filepath / "table.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            next(rows)
            cells = _transposed(rows, width)
        index = index_from_cells(schema["index"], cells)
        columns = cells[width - len(schema["columns"]) :]
        values = (array_from_cells(column, spec) for column, spec in zip(columns, schema["columns"], strict=True))
        frame = pd.DataFrame(
            # A Series with its dtype spelled out: nothing is inferred anew.
            {n: pd.Series(array, index=index, dtype=array.dtype) for n, array in enumerate(values)},
            index=index,
        )
        frame.columns = index_from_json(schema["labels"])
        frame.attrs = schema["attrs"]
        return frame

    def _loss(self, payload: pd.DataFrame, loaded: pd.DataFrame) -> str | None:
        return frame_difference(payload, loaded)


def _transposed(rows: Iterator[list[str]], width: int) -> list[list[str]]:
    """Return the columns of `rows`; by chunks, for a million living lists would slow the garbage collector down."""
    columns: list[list[str]] = [[] for _ in range(width)]
    while chunk := list(islice(rows, 4096)):
        for column, cells in zip(columns, zip(*chunk, strict=True), strict=True):
            column.extend(cells)
    return columns
