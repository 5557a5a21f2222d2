"""Tables: CSV, Parquet and Feather give a frame back the same in everything, or refuse it and say why."""

from __future__ import annotations

import datetime
import decimal
import zoneinfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from persistable.fileio import CsvFileIO, FeatherFileIO, ParquetFileIO
from persistable.fileio.arrow import why_not_arrow
from persistable.fileio.frames import frame_difference
from persistable.testing import FileIOConformance
from persistable.testing.fileio import describe

NAT, NAN = pd.NaT, float("nan")
PANDAS_3 = pd.__version__ >= "3"
TEXTS = ["", "NA", "NA_", "nan", "None", 'a "quote"', "a,b", "a\nb", "a\rb", "a\r\nb", " a ", "株", "\ufeff", "1", "\0"]


def with_attrs(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs = {"unit": "m", "nested": [1, {"a": None}]}
    return frame


def objects(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype=object)


INTS = [f"{kind}nt{bits}" for kind in ("i", "ui") for bits in (8, 16, 32, 64)]
FRAMES = {
    "ints": pd.DataFrame({name: np.array([np.iinfo(name).min, np.iinfo(name).max], name) for name in INTS}),
    "floats": pd.DataFrame({"d": [0.1, -0.0, NAN, np.inf, -np.inf, 5e-324, 1.7976931348623157e308]}),
    "small floats": pd.DataFrame({"f": np.array([0.1, 3.4e38, 1e-45, NAN, -0.0], "f4")}),
    "bools": pd.DataFrame({"a": [True, False]}),
    "nullable": pd.DataFrame(
        {
            "i": pd.array([1, None, 2**63 - 1], "Int64"),
            "u": pd.array([1, None, 255], "UInt8"),
            "b": pd.array([True, None, False], "boolean"),
            "f": pd.array([0.1, None, -0.0], "Float64"),
            "g": pd.array([0.1, None, 2.0], "Float32"),
            "s": pd.array(["", None, "NA"], "string"),
        }
    ),
    "texts": pd.DataFrame({"plain": TEXTS, "some missing": [*TEXTS[:-1], None]}),
    "objects": pd.DataFrame({"plain": objects(*TEXTS), "none": objects(*TEXTS[:-1], None)}),
    "all missing": pd.DataFrame({"a": [NAN, NAN], "b": objects(None, None)}),
    "one empty text": pd.DataFrame({"a": [""]}),
    "categories": pd.DataFrame(
        {
            "a": pd.Categorical(["b", None, "a"], categories=["c", "b", "a"], ordered=True),
            "n": pd.Categorical([3, 1, None], categories=[3, 1, 2]),
            "d": pd.Categorical(pd.to_datetime(["2024-01-01", None, "2023-01-01"])),
            "empty": pd.Categorical([None, None, None], categories=["", "NA"]),
        }
    ),
    "dates": pd.DataFrame(
        {
            "day": pd.to_datetime(["2024-03-01", None]),
            "ns": np.array(["2024-03-01T00:00:00.000000001", "NaT"], "M8[ns]"),
            "us": np.array(["2024-03-01T12:30:00.000001", "1677-01-01"], "M8[us]"),
            "ms": np.array(["9999-12-31T23:59:59.999", "0001-01-01"], "M8[ms]"),
            "delta": np.array([1, "NaT"], "m8[ns]"),
            "delta ms": np.array([-(2**40), 5], "m8[ms]"),
        }
    ),
    "zones": pd.DataFrame(
        {
            "berlin": pd.date_range("2024-10-27", periods=30, freq="15min", tz="Europe/Berlin")[5:20].append(
                pd.DatetimeIndex([NAT], tz="Europe/Berlin")
            ),
            "utc": pd.date_range("2024-10-27", periods=16, tz="UTC"),
            "offset": pd.date_range("2024", periods=16, tz=datetime.timezone(datetime.timedelta(hours=5.5))),
            "new york": pd.date_range("2024", periods=16, tz=zoneinfo.ZoneInfo("America/New_York")).as_unit("ms"),
        }
    ),
    "empty": pd.DataFrame(),
    "no columns": pd.DataFrame(index=pd.RangeIndex(2, 9, 3)),
    "no rows": pd.DataFrame({"a": np.array([], "i2"), "b": pd.array([], "string"), "c": pd.Categorical([])}),
    "range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 1, -2, name="r")),
    "text index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["", "y"], name="name, please")),
    "int index": pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 3])),
    "float index": pd.DataFrame({"a": [1, 2]}, index=pd.Index([0.5, NAN], name="x")),
    "days": pd.DataFrame({"a": [1, 2]}, index=pd.DatetimeIndex(["2024-03-02", "2024-03-01"], name="day")),
    "freq": pd.DataFrame({"a": [1, 2, 3]}, index=pd.date_range("2024", periods=3, freq="MS", tz="Europe/Rome")),
    "delta index": pd.DataFrame({"a": [1, 2]}, index=pd.timedelta_range("1h", periods=2, freq="h")),
    "category index": pd.DataFrame({"a": [1, 2]}, index=pd.CategoricalIndex(["x", "y"], categories=["y", "x"])),
    "levels": pd.DataFrame(
        {"a": range(4)},
        index=pd.MultiIndex.from_product([["b", "a"], pd.to_datetime(["2024-01-01", "2023-01-01"])], names=["k", None]),
    ),
    "int labels": pd.DataFrame({0: [1], 1: [2.0]}),
    "range labels": pd.DataFrame(np.arange(4.0).reshape(2, 2)),
    "label name": pd.DataFrame({"a": [1]}).rename_axis(columns="what"),
    "attrs": with_attrs(pd.DataFrame({"a": [1]})),
    "twice": pd.DataFrame([[1, "x"]], columns=["a", "a"]),
    "mixed labels": pd.DataFrame([[1, 2, 3]], columns=pd.Index([0, "x", None], dtype=object)),
    "level labels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["u", None])),
    "date labels": pd.DataFrame([[1, 2]], columns=pd.date_range("2024", periods=2, name="d")),
    "nan objects": pd.DataFrame({"a": objects("x", NAN), "b": objects("NA", pd.NA)}),
    "half": pd.DataFrame({"h": np.array([0.1, NAN], "f2")}),
    "seconds": pd.DataFrame({"s": np.array(["2024-03-01T12:30:00", "NaT"], "M8[s]"), "d": np.array([1, 2], "m8[s]")}),
}
FOR_CSV = {
    "complex": pd.DataFrame({"c": [1j, complex(-0.0, np.inf), complex(NAN, 1)]}),
    "plain objects": pd.DataFrame({"a": objects(1, "1", None, True, [1, {"a": 2.5}])}),
    "one level": pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_arrays([["x"]], names=["k"])),
}
REFUSED_BY_ALL = (
    pd.DataFrame({"a": objects(object(), object())}),
    pd.DataFrame({"a": objects((1, 2), None)}),
    pd.Series([1]),
    {"a": [1]},
)


def same_frames(saved: object, loaded: object) -> bool:
    if isinstance(saved, pd.DataFrame):
        return frame_difference(saved, loaded) is None
    return type(saved) is type(loaded) and saved.equals(loaded)


@pytest.mark.parametrize(
    ("frame", "advice"),
    [
        (pl.DataFrame({"a": [1]}), r"it is a polars DataFrame, .*payload\.to_pandas\(\), or use ParquetFileIO"),
        (pa.table({"a": [1]}), r"it is a pyarrow Table, .*payload\.to_pandas\(\), or use ParquetFileIO"),
        (pd.Series([1]), r"payload\.to_frame\(\)"),
    ],
)
def test_csv_says_what_to_do_with_another_table(frame, advice, tmp_path):
    with pytest.raises(TypeError, match=advice):
        CsvFileIO().save(frame, tmp_path / "payload")


class TestCsvFileIO(FileIOConformance):
    fileio = CsvFileIO()
    payloads = (*FRAMES.values(), *FOR_CSV.values())
    refused = (
        *REFUSED_BY_ALL,
        pd.DataFrame({"a": pd.period_range("2024", periods=2, freq="M")}),
        pd.DataFrame({"a": pd.interval_range(0, 2)}),
        pd.DataFrame({"a": pd.array([1], "int64[pyarrow]")}),
        pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
        pd.DataFrame({"a": np.array(["0.1"], np.longdouble)}),
        pd.DataFrame({"a": objects(b"x")}),
        pd.DataFrame({"a": objects("\ud83d")}),
        pd.DataFrame({"a": objects(decimal.Decimal(1))}),
        pd.DataFrame({"a": ["x" * 200_000]}),
        pd.DataFrame({"a": [1]}).set_axis(pd.Index([3], name=("not", "json")), axis=0),
        pd.DataFrame({("a", "b"): [1], "c": [2]}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        pl.DataFrame({"a": [1]}),
    )

    def equal(self, saved, loaded):
        return same_frames(saved, loaded)


POLARS = (
    pl.DataFrame(),
    pl.DataFrame({"a": [1, None], "b": ["", None], "c": [0.1, float("nan")], "d": [[1], []]}),
    pl.DataFrame({"u": pl.Series([1], dtype=pl.UInt8), "s": [{"x": 1, "y": "z"}], "b": [b"\0"], "t": [True]}),
    pl.DataFrame({"d": [datetime.date(2024, 3, 1)], "t": [datetime.datetime(2024, 3, 1, 12, 30)]}),
    pl.DataFrame({"z": pl.Series([datetime.datetime(2024, 3, 1)]).dt.replace_time_zone("Europe/Berlin")}),
    pl.DataFrame({"c": pl.Series(["x", "y", "x"], dtype=pl.Categorical)}),
)
TABLES = (
    pa.table({"a": [1, None], "b": ["x", None], "c": [0.1, float("nan")]}),
    pa.table({"a": pa.array([1], pa.int8()), "l": [[1, 2]]}).replace_schema_metadata({"k": "v"}),
    pa.table({}),
)
REFUSED_BY_ARROW = (
    *REFUSED_BY_ALL,
    pd.DataFrame({"a": objects(1, "x")}),
    pd.DataFrame({"a": objects([1], [2])}),
    pd.DataFrame({"a": objects(NAN, None, "x")}),
    pd.DataFrame({"a": [1j]}),
    pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_arrays([["x"]])),
    pl.Series([1]),
    pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}),
)


class TestParquetFileIO(FileIOConformance):
    fileio = ParquetFileIO()
    payloads = (*FRAMES.values(), *POLARS, *TABLES)
    refused = REFUSED_BY_ARROW

    def equal(self, saved, loaded):
        return _same_in_arrow(saved, loaded)


class TestFeatherFileIO(FileIOConformance):
    fileio = FeatherFileIO()
    payloads = (*FRAMES.values(), *POLARS, *TABLES)
    refused = REFUSED_BY_ARROW

    def equal(self, saved, loaded):
        return _same_in_arrow(saved, loaded)


def _same_in_arrow(saved, loaded):
    if isinstance(saved, pa.Table):
        same_schema = saved.schema.equals(loaded.schema) and saved.schema.metadata == loaded.schema.metadata
        return same_schema and str(saved.to_pylist()) == str(loaded.to_pylist())
    return same_frames(saved, loaded)


columns = st.one_of(
    st.sampled_from(["i1", "u8", "i8", "f4", "f8", "bool"]).flatmap(
        lambda dtype: st.lists(
            {"i": st.integers(-128, 127), "u": st.integers(0, 2**64 - 1), "b": st.booleans()}.get(
                dtype[0], st.floats(width=32 if dtype == "f4" else 64)
            ),
            min_size=3,
            max_size=3,
        ).map(lambda values: pd.Series(np.array(values, dtype)))
    ),
    st.lists(st.none() | st.text(st.characters()), min_size=3, max_size=3).map(lambda values: objects(*values)),
    st.lists(st.none() | st.text(), min_size=3, max_size=3).map(lambda values: pd.Series(pd.array(values, "string"))),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3).map(
        lambda values: pd.Series(pd.array(values, "Int64"))
    ),
    st.lists(st.none() | st.sampled_from(TEXTS), min_size=3, max_size=3).map(
        lambda values: pd.Series(pd.Categorical(values, categories=TEXTS[::-1]))
    ),
    st.lists(st.integers(-(2**62), 2**62), min_size=3, max_size=3).flatmap(
        lambda values: st.sampled_from(["M8[ns]", "M8[us]", "m8[ns]", "m8[ms]"]).map(
            lambda dtype: pd.Series(np.array([value // 1000 for value in values]).astype("i8").view(dtype))
        )
    ),
)
labels = st.text() | st.integers(-5, 5)


@pytest.mark.parametrize("fileio", [CsvFileIO(), ParquetFileIO(), FeatherFileIO()], ids=lambda fileio: fileio.format_id)
@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_frame_comes_back_the_same_or_is_refused(fileio, data, tmp_path_factory):
    chosen = data.draw(st.lists(columns, min_size=1, max_size=4))
    names = data.draw(st.lists(labels, min_size=len(chosen), max_size=len(chosen)))
    frame = pd.concat(chosen, axis=1)
    frame.columns = pd.Index(names)
    index = data.draw(st.none() | columns)
    if index is not None:
        frame.index = pd.Index(index, name=data.draw(st.none() | st.text()))
    path = tmp_path_factory.mktemp("table") / f"payload{fileio.suffix}"
    try:
        fileio.save(frame, path)
    except TypeError as error:
        assert "does not take this DataFrame" in str(error)  # noqa: PT017 - a refusal is as good as a round trip
    else:
        assert frame_difference(frame, fileio.load(describe(path))) is None


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (pd.DataFrame({"x": objects("a", decimal.Decimal(1))}), r"column 'x': it holds Decimal\('1'\) in row 1"),
        (pd.DataFrame({"x": pd.period_range("2024", periods=1, freq="M")}), r"column 'x': the dtype period\[M\]"),
        (pd.DataFrame({"x": objects("a", "\ud83d")}), "column 'x': the text in row 1 cannot be written"),
    ],
)
def test_csv_names_the_column_and_the_reason(frame, complaint, tmp_path):
    with pytest.raises(TypeError, match=f"CsvFileIO does not take this DataFrame: {complaint}"):
        CsvFileIO().save(frame, tmp_path / "payload")


def test_parquet_names_the_column_and_what_would_come_back(tmp_path):
    frame = pd.DataFrame({"x": objects([1], [2])})
    with pytest.raises(TypeError, match=r"column 'x' holds \[1\] in row 0 \(a list\), which would come back as array"):
        ParquetFileIO().save(frame, tmp_path / "a.parquet")
    ParquetFileIO(check=False).save(frame, tmp_path / "b.parquet")
    assert "array" in why_not_arrow(frame)


def test_the_files_are_what_other_programs_read(tmp_path):
    frame = FRAMES["dates"][["day"]].assign(n=[1.5, NAN], s=["x,y", ""])
    CsvFileIO().save(frame, tmp_path / "csv")
    assert (tmp_path / "csv" / "table.csv").read_bytes() == (b'\xef\xbb\xbfday,n,s\r\n2024-03-01,1.5,"x,y"\r\n,,\r\n')
    ParquetFileIO().save(frame, tmp_path / "a.parquet")
    FeatherFileIO().save(frame, tmp_path / "a.feather")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), frame)
    pd.testing.assert_frame_equal(pd.read_feather(tmp_path / "a.feather"), frame)
    assert pl.read_parquet(tmp_path / "a.parquet").columns == ["day", "n", "s"]


@pytest.mark.parametrize("fileio", [CsvFileIO(), ParquetFileIO(), FeatherFileIO()], ids=lambda fileio: fileio.format_id)
def test_a_loaded_frame_can_be_assigned_to(fileio, tmp_path):
    path = tmp_path / f"payload{fileio.suffix}"
    fileio.save(pd.DataFrame({"a": np.arange(150_000.0)}), path)
    loaded = fileio.load(describe(path))
    loaded.iloc[0, 0] = 7
    loaded.loc[1, "a"] = 8
    assert loaded["a"].iloc[:3].tolist() == [7, 8, 2]


@pytest.mark.parametrize(
    ("saved", "loaded"),
    [
        ({"a": [0.0]}, {"a": [-0.0]}),
        ({"a": [1]}, {"a": [True]}),
        ({"a": objects(None)}, {"a": objects(NAN)}),
        ({"a": objects(1)}, {"a": objects(True)}),
        ({"a": pd.Categorical(["x"], ["x", "y"])}, {"a": pd.Categorical(["x"], ["y", "x"])}),
        ({"a": pd.array([0.0], "Float64")}, {"a": pd.array([-0.0], "Float64")}),
        ({"a": np.array([0], "M8[ns]")}, {"a": np.array([0], "M8[us]")}),
    ],
)
def test_frames_that_pandas_may_call_equal_are_told_apart(saved, loaded):
    assert frame_difference(pd.DataFrame(saved), pd.DataFrame(saved)) is None
    assert frame_difference(pd.DataFrame(saved), pd.DataFrame(loaded)) is not None


def test_an_index_is_compared_in_full():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2024", periods=2))
    assert "frequency" in frame_difference(frame, frame.set_axis(pd.DatetimeIndex(list(frame.index)), axis=0))
    assert "RangeIndex" in frame_difference(frame.reset_index(drop=True), frame.set_axis([0, 1], axis=0))
    assert "names" in frame_difference(frame, frame.rename_axis("t"))
