"""The golden rows: name -> value, for every row of the key rules; run as a script, it prints name -> digest as JSON.

A script, so that any interpreter with any numpy and pandas can say what it makes of the same values. Dtypes and units
are explicit, because what pandas makes of ``["a"]`` differs by version. Each library's rows are left out where it is
not installed.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
import sys
import uuid
import warnings
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

from persistable._canonical import encode, register_encoder
from persistable.keys import fingerprint
from persistable.params import PersistableParams, added, untracked


class Colour(Enum):
    RED = 1
    SCARLET = 1  # noqa: PIE796 - an alias is the same member


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Access(Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Point(NamedTuple):
    x: int
    y: float


@dataclass
class Inner(PersistableParams):
    rate: float = 0.5


@dataclass(frozen=True)
class Frozen:
    b: int = 1
    a: str = "x"


@dataclass(slots=True)
class Slotted:
    a: int = 1


@dataclass
class Params(PersistableParams):
    n: int
    inner: Inner = field(default_factory=Inner)
    shown: ClassVar[int] = 3
    derived: int = field(init=False)
    grown: int = added(default=0)
    n_jobs: int = untracked(default=1)

    def __post_init__(self) -> None:
        self.derived = self.n + 1


class Keyed:
    def __persistable_key__(self) -> Any:
        return {"weights": (1, 2)}


class Registered:
    pass


register_encoder(Registered, lambda value: "registered")


class Fold(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1, minutes=30)

    def dst(self, moment: dt.datetime | None) -> None:
        return None


BERLIN = ZoneInfo("Europe/Berlin")

PLAIN: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "bool": lambda: [True, False],
    "int": lambda: [0, 1, -1, 255, 2**64, -(10**50)],
    "huge int": lambda: 7**20_000,
    "float": lambda: [0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, float("inf"), float("-inf"), float("nan")],
    "complex": lambda: [1 + 2j, complex("nan"), complex(-0.0, 0.0)],
    "str": lambda: ["", "a", "é", "e\u0301", "😀", "\ud83d\ude00", "\0"],
    "bytes": lambda: [b"", b"a", b"\xff"],
    "large bytes": lambda: bytes(range(256)) * 20_000,
    "bytearray": lambda: bytearray(b"a"),
    "list": lambda: [[], [1], [[1], 2]],
    "tuple": lambda: [(), (1,), ((1,), 2)],
    "named tuple": lambda: Point(1, 2.0),
    "dict": lambda: {"b": 1, "a": {1: "x", (1, 2): None}, None: [], 1.5: 2},
    "mapping proxy": lambda: MappingProxyType({"b": 1}),
    "OrderedDict": lambda: OrderedDict(b=1, a=2),
    "Counter": lambda: Counter("aab"),
    "defaultdict": lambda: defaultdict(list, a=[1]),
    "set": lambda: {"a", "b", "c", 1, 2.5, None, ("t",)},
    "frozenset": lambda: frozenset(f"word{number}" for number in range(50)),
    "range": lambda: [range(5), range(0), range(10, 0, -3), range(3, 4)],
    "slice": lambda: [slice(None), slice(1, None, 2)],
    "ellipsis": lambda: ...,
    "Decimal": lambda: [Decimal("1.0"), Decimal("1.00"), Decimal("-0"), Decimal("NaN"), Decimal("Infinity")],
    "Fraction": lambda: Fraction(-1, 3),
    "Enum": lambda: [Colour.RED, Colour.SCARLET, Level.LOW, Word.YES],
    "Flag": lambda: [Access.READ | Access.RUN, Access(0), Access.WRITE],
    "Path": lambda: [Path("a/b"), PurePosixPath("a/b"), PureWindowsPath(r"c:\a")],
    "UUID": lambda: uuid.UUID(int=7),
    "date": lambda: dt.date(2026, 1, 2),
    "time": lambda: [dt.time(1, 2, 3, 4), dt.time(1, fold=1), dt.time(1, tzinfo=BERLIN), dt.time(1, tzinfo=dt.UTC)],
    "naive datetime": lambda: [dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.datetime.min, dt.datetime(2026, 1, 2, fold=1)],
    "aware datetime": lambda: [
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=1))),
        dt.datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN),
        dt.datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=BERLIN),
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5))),
        dt.datetime(2026, 1, 2, tzinfo=Fold()),
    ],
    "timedelta": lambda: [dt.timedelta(-1, 2, 3), dt.timedelta.max],
    "zone": lambda: [dt.UTC, ZoneInfo("UTC"), BERLIN, dt.timezone(dt.timedelta(hours=2), "named")],
    "pattern": lambda: [re.compile("a+", re.I), re.compile(b"a")],
    "function": lambda: [json.dumps, len, dt.datetime.isoformat.__name__],
    "class": lambda: [int, Decimal, OrderedDict],
    "partial": lambda: functools.partial(json.dumps, [1], indent=2),
    "dataclass": lambda: [Params(1), Params(1, grown=2, n_jobs=8), Frozen(), Slotted(), PersistableParams()],
    "keyed": Keyed,
    "registered": Registered,
    "deep": lambda: functools.reduce(lambda value, _: [value, {"k": (value,)}] if _ < 8 else [value], range(100), 1),
}


def _numpy_rows() -> dict[str, Callable[[], Any]]:
    import numpy as np

    def masked() -> Any:
        return np.ma.array([1, 2, 3], mask=[0, 1, 0], dtype="i8", fill_value=-1)

    def matrix() -> Any:
        with warnings.catch_warnings(action="ignore"):
            return np.asmatrix(np.arange(4, dtype="i8").reshape(2, 2))

    fields = [("a", "<i4"), ("b", ">f8", (2,)), ("c", "U3"), ("d", [("e", "i1")])]
    return {
        "numpy scalars as Python's": lambda: [np.bool_(True), np.int64(5), np.float64(0.5), np.str_("a")],
        "numpy scalars": lambda: [
            np.int8(1), np.uint64(1), np.float32(0.1), np.float16(0.1), np.complex64(1j), np.bytes_(b"ab"),
            np.void(b"ab"), np.datetime64("2026-01-02", "D"), np.datetime64("NaT", "ns"), np.timedelta64(3, "s"),
        ],
        "integers": lambda: [np.arange(6, dtype=code).reshape(2, 3) for code in ("i1", "u2", "<i4", ">i4", "i8", "u8")],
        "floats": lambda: [np.array([0.0, -0.0, np.nan, np.inf, 0.1], dtype=code) for code in ("f2", ">f4", "f8")],
        "complexes": lambda: np.array([1j, complex(np.nan, 1)], dtype="c16"),
        "bools": lambda: np.array([True, False]),
        "texts": lambda: [np.array(["a", "é"], dtype="U3"), np.array([b"a"], dtype="S2")],
        "datetimes": lambda: [np.array(["2026-01-02", "NaT"], dtype=f"M8[{unit}]") for unit in ("D", "s", "ns")],
        "timedeltas": lambda: np.array([1, -1], dtype="m8[ms]"),
        "shapes": lambda: [np.zeros(()), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 1, 2))],
        "objects": lambda: [np.array(["a", "bc"], dtype=object), np.array([1, None, [2]], dtype=object)],
        "structured": lambda: np.array([(1, (0.5, np.nan), "x", (3,))], dtype=fields),
        "masked": masked,
        "matrix": matrix,
        "dtypes": lambda: [np.dtype(">f4"), np.dtype(fields), np.dtype("M8[us]")],
        "functions": lambda: [np.mean, np.sin, np.float64, np.bool_],
        "large": lambda: np.arange(1_000_003, dtype="f8").reshape(-1, 1),
        "raw": lambda: np.array([b"abc"], dtype="V3"),
    }  # fmt: skip


def _strings_rows() -> dict[str, Callable[[], Any]]:
    import numpy as np
    from numpy.dtypes import StringDType

    kinds = [StringDType(), StringDType(na_object=None), StringDType(na_object=float("nan"))]
    return {"variable width": lambda: [np.array(["b", "é"], dtype=kind) for kind in kinds]}


def _pandas_rows() -> dict[str, Callable[[], Any]]:
    import numpy as np
    import pandas as pd

    days = np.array(["2026-01-02", "2026-10-25T00:30", "NaT"], dtype="M8[ns]")

    def series(values: Any, dtype: Any) -> Any:
        return pd.Series(values, dtype=dtype, name="s", index=pd.Index([1, 2, 4], dtype="int64"))

    def frame() -> Any:
        columns = {"a": np.array([1.5, np.nan]), "b": np.array([1, 2], dtype="i8"), "c": np.array(["x", None], object)}
        return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})

    return {
        "Timestamp": lambda: [
            pd.Timestamp(1, unit="ns"), pd.Timestamp(0, unit="ns", tz="Europe/Berlin"), pd.Timestamp(0, tz="UTC"),
            pd.NaT,
        ],
        "Timedelta": lambda: [pd.Timedelta(1, "ns"), pd.Timedelta(days=-1), pd.NA],
        "Period": lambda: [pd.Period("2026-01", "M"), pd.Period("2026-01-02", "D"), pd.Period("2026Q1", "Q-DEC")],
        "Interval": lambda: [pd.Interval(0, 1), pd.Interval(0.0, 1.0, closed="both")],
        "Series": lambda: [
            series([0.5, np.nan, -0.0], "f8"), series([1, 2, 3], "i4"), series([True, False, True], "bool"),
        ],
        "object": lambda: [series(["a", None, 1], object), series(["a", "b", "c"], object)],
        "Index": lambda: [
            pd.RangeIndex(3), pd.Index([0, 1, 2], dtype="int64", name="i"), pd.DatetimeIndex(days),
            pd.MultiIndex.from_arrays([[1, 2], [0.5, 1.5]], names=["a", None]), pd.MultiIndex.from_arrays([[1, 2]]),
        ],
        "string": lambda: series(["a", None, "é"], "string[python]"),
        "nullable": lambda: [
            series([1, None, 3], "Int64"), series([0.5, None, 1], "Float32"), series([True, None, False], "boolean"),
        ],
        "categorical": lambda: pd.Categorical.from_codes([0, -1, 1], pd.Index(["b", "a"], dtype=object), ordered=True),
        "zoned": lambda: [pd.DatetimeIndex(days, tz="UTC").tz_convert(zone) for zone in ("UTC", "Europe/Berlin")],
        "periods": lambda: [
            pd.period_range("2026-01", periods=2, freq=freq)
            for freq in ("M", "Q-DEC", "Y-DEC", "W-SUN", "D", "h", "min", "s")
        ],
        "intervals": lambda: pd.interval_range(0.0, 2.0, periods=2, closed="left"),
        "sparse": lambda: pd.arrays.SparseArray([0, 0, 1], dtype=pd.SparseDtype("int64", 0)),
        "timedelta column": lambda: series([1, 2, None], "m8[ns]"),
        "DataFrame": frame,
        "empty DataFrame": lambda: [
            pd.DataFrame(index=pd.RangeIndex(2)), pd.DataFrame({"a": pd.Series([], dtype="f8")}),
        ],
        "labels": lambda: pd.DataFrame(
            np.zeros((1, 3)), columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["x", "y"])
        ),
    }  # fmt: skip


def _pydantic_rows() -> dict[str, Callable[[], Any]]:
    import pydantic

    class Model(pydantic.BaseModel, extra="allow"):
        n: int = 1
        grown: int = pydantic.Field(0, json_schema_extra={"persistable": "added"})
        n_jobs: int = pydantic.Field(1, json_schema_extra={"persistable": "untracked"})

    return {"pydantic": lambda: [Model(), Model(n_jobs=8), Model(grown=1), Model(note="x")]}


def _attrs_rows() -> dict[str, Callable[[], Any]]:
    import attrs

    @attrs.define
    class Attrs:
        n: int = 1
        grown: list[int] = attrs.field(factory=list, metadata={"persistable": "added"})
        n_jobs: int = attrs.field(default=1, metadata={"persistable": "untracked"})

    return {"attrs": lambda: [Attrs(), Attrs(grown=[1]), Attrs(n_jobs=8)]}


def _arrow_rows() -> dict[str, Callable[[], Any]]:
    import pandas as pd
    import pyarrow as pa

    def column(values: list[Any], kind: Any) -> Any:
        return pd.arrays.ArrowExtensionArray(pa.array(values, kind))

    moment = dt.datetime(2026, 1, 2)
    return {
        "arrow": lambda: [
            column([1, None], pa.int32()),
            column([0.5, None, float("nan")], pa.float64()),
            column(["a", None], pa.string()),
            column([True, None], pa.bool_()),
            column([moment, None], pa.timestamp("us", "UTC")),
            column([Decimal("1.50"), None], pa.decimal128(5, 2)),
            column([b"a", None], pa.binary()),
            column([moment.date()], pa.date32()),
        ]
    }


NODES: dict[str, Callable[[], str]] = {
    "node": lambda: fingerprint("points", None, Params(5), {}),
    "node with a version": lambda: fingerprint("points", "2", Params(5), {}),
    "node without params": lambda: fingerprint("points", None, None, {}),
    "node with dependencies": lambda: fingerprint("model", None, Params(5), {"train": "0" * 32, "test": "1" * 32}),
}

LIBRARIES = {
    "numpy": _numpy_rows,
    "numpy 2": _strings_rows,
    "pandas": _pandas_rows,
    "pydantic": _pydantic_rows,
    "attrs": _attrs_rows,
    "arrow": _arrow_rows,
}


def rows() -> dict[str, Callable[[], Any]]:
    """Return the rows of the standard library, and those of each library that is there."""
    found = dict(PLAIN)
    for library, library_rows in LIBRARIES.items():
        try:
            of_library = library_rows()
        except ImportError:
            continue
        found |= {f"{library}: {name}": build for name, build in of_library.items()}
    return found


def digests() -> dict[str, str]:
    """Return name -> digest: of the encoding of each value, and the key of each node."""
    values = {name: sha256(encode(build())).hexdigest() for name, build in rows().items()}
    return values | {name: build() for name, build in NODES.items()}


if __name__ == "__main__":
    json.dump(digests(), sys.stdout)
