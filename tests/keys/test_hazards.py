"""How keys of other caches have failed their users: each line of the hazards is a test."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from persistable import DuplicateDependencyError, Persistable, PersistableParams
from persistable._canonical import encode

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class PointsParams(PersistableParams):
    n: Any = 1


class PointsP(Persistable[Any, PointsParams]):
    def _generate_payload(self) -> Any:
        return self.params.n


class ModelP(Persistable[Any, PointsParams]):
    def _generate_payload(self) -> Any:
        return 0


def different(*values: Any) -> bool:
    return len({encode(value) for value in values}) == len(values)


def same(*values: Any) -> bool:
    return len({encode(value) for value in values}) == 1


def test_large_arrays_that_differ_in_one_element_differ() -> None:
    array = np.zeros(5_000)
    other = array.copy()
    other[2_500] = 1e-300
    assert different(array, other)


@pytest.mark.parametrize("position", [0, 131_071, 131_072, 999_999])
def test_arrays_that_are_hashed_in_pieces_differ_by_any_element(position: int) -> None:
    array = np.zeros(1_000_000)
    other = array.copy()
    other[position] = 1.0
    assert different(array, other)


def test_arrays_that_are_equal_at_print_precision_differ() -> None:
    assert different(np.array([0.1]), np.array([np.nextafter(0.1, 1)]))


def test_the_order_of_a_dict_does_not_matter() -> None:
    assert same({"a": 1, "b": [2]}, {"b": [2], "a": 1})


def test_values_that_look_alike_differ() -> None:
    assert different(1, 1.0, True, "1", b"1", 1 + 0j, np.int32(1), np.float32(1), [1], (1,), {1}, {1: None}, None)
    assert different("", b"", [], (), {}, set(), None, 0, 0.0, -0.0, False)


def test_arrays_of_other_shape_or_dtype_differ() -> None:
    zeros = np.zeros(6)
    shaped = [zeros.reshape(shape) for shape in [(2, 3), (3, 2), (6, 1), (1, 6)]]
    assert different(zeros, *shaped, zeros.astype("f4"), zeros.astype("i8"), zeros.view("M8[s]"), zeros.tolist())
    assert different(np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0), np.zeros(()))


def test_tables_with_columns_swapped_across_dtypes_differ() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [1.0, 2.0]})
    assert different(frame, frame[["b", "a"]], frame.rename(columns={"a": "b", "b": "a"}), frame.astype("f8"))


def test_object_arrays_with_the_separator_in_their_texts_differ() -> None:
    assert different(np.array(["a-b", "c"], dtype=object), np.array(["a", "b-c"], dtype=object))
    assert different(pd.Series(["ab", "c"], dtype="string"), pd.Series(["a", "bc"], dtype="string"))


def test_an_array_and_its_transpose_differ() -> None:
    array = np.arange(9).reshape(3, 3)
    assert different(array, array.T)


def test_what_is_deep_down_counts() -> None:
    def nested(leaf: Any) -> Any:
        for _ in range(200):
            leaf = {"level": [leaf]}
        return leaf

    assert different(nested(1), nested(2))


def test_two_dependencies_of_one_class_need_roles(tmp_path: Path) -> None:
    first, second = PointsP(tmp_path, PointsParams(1)), PointsP(tmp_path, PointsParams(2))
    with pytest.raises(DuplicateDependencyError, match="Pass a mapping"):
        ModelP(tmp_path, PointsParams(), [first, second])
    one_way = ModelP(tmp_path, PointsParams(), {"train": first, "test": second})
    other_way = ModelP(tmp_path, PointsParams(), {"train": second, "test": first})
    assert one_way.key != other_way.key


def test_a_generator_of_dependencies_is_read_once(tmp_path: Path) -> None:
    def dependencies() -> Iterator[Any]:
        yield PointsP(tmp_path, PointsParams(1))

    model = ModelP(tmp_path, PointsParams(), dependencies())
    assert model.key == model.key == ModelP(tmp_path, PointsParams(), [PointsP(tmp_path, PointsParams(1))]).key


def test_a_payload_name_with_a_dot_does_not_swallow_the_key(tmp_path: Path) -> None:
    first, second = (PointsP(tmp_path, PointsParams(n), payload_name="model.v2") for n in (1, 2))
    assert first.load_generate() == 1
    assert second.load_generate() == 2
    assert PointsP(tmp_path, PointsParams(1), payload_name="model.v2").load() == 1


UNSTABLE = """
import sys
from persistable._canonical import encode
class Thing: pass
shared = "x" * 50
print(encode([frozenset(f"word{n}" for n in range(100)), {"a": 0.1}, {"b", "a"}, shared, shared]).hex())
try:
    encode(Thing())
except TypeError as error:
    print(error)
"""


def test_neither_hash_seeds_nor_addresses_reach_a_key() -> None:
    made = {
        subprocess.run(
            [sys.executable, "-c", UNSTABLE],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(made) == 1
    assert " at 0x" not in made.pop()


def test_shared_references_do_not_matter() -> None:
    shared = [1, 2]
    assert same([shared, shared], [[1, 2], [1, 2]])


def test_the_layout_of_an_array_does_not_matter() -> None:
    array = np.arange(24, dtype="i4").reshape(4, 6)
    assert same(array, np.asfortranarray(array), array.copy(), array.astype(">i4"), np.repeat(array, 2, axis=0)[::2])
    reversed_twice = array[::-1, ::-1].copy()[::-1, ::-1]
    assert same(array, reversed_twice)
    assert same(array[:, ::2], array[:, ::2].copy())


def test_the_bits_of_a_nan_do_not_matter() -> None:
    payloads = np.array([0x7FF8000000000000, 0x7FF0000000000001, 0xFFF8000000000123], dtype="u8").view("f8")
    assert same(*payloads)
    assert same(*(payloads[i : i + 1] for i in range(3)))
    assert same(np.array([True]), np.array([2], dtype="u1").view(bool))


def test_equal_tables_are_one_value_however_they_were_built() -> None:
    block = np.random.default_rng(0).random((50, 3))
    columns = list("abc")
    built = pd.DataFrame(block, columns=columns)
    from_columns = pd.DataFrame({name: block[:, i].copy() for i, name in enumerate(columns)})
    added = pd.DataFrame(index=range(50))
    for i, name in enumerate(columns):
        added[name] = block[:, i]
    assert same(built, from_columns, added, built.copy(), pd.concat([built[:20], built[20:]]))
    assert same(built, built.set_axis(pd.Index(range(50), dtype="int64")))


def test_how_texts_are_kept_does_not_matter() -> None:
    pytest.importorskip("pyarrow")
    assert same(*(pd.Series(["a", None], dtype=f"string[{kept}]") for kept in ("python", "pyarrow")))


def test_numbers_of_numpy_are_those_of_python() -> None:
    assert same(1, np.int64(1))
    assert same(0.5, np.float64(0.5))
    assert same(True, np.bool_(True))
    assert same("a", np.str_("a"))


def test_the_same_code_reformatted_has_the_same_key(tmp_path: Path) -> None:
    class PointsP(Persistable[Any, PointsParams]):
        def _generate_payload(self) -> Any:
            return (
                self.params.n  # reformatted
            )

    assert PointsP(tmp_path, PointsParams()).key == globals()["PointsP"](tmp_path, PointsParams()).key


def test_moments_that_differ_by_zone_fold_or_nanosecond_differ() -> None:
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    moment = dt.datetime(2025, 10, 26, 2, 30)
    aware = moment.replace(tzinfo=berlin)
    assert different(
        moment,
        moment.replace(fold=1),
        aware,
        aware.replace(fold=1),
        aware.astimezone(dt.UTC),
        aware.astimezone(dt.timezone(dt.timedelta(hours=2))),
        moment.replace(tzinfo=dt.UTC),
        moment.date(),
        pd.Timestamp(moment),
        pd.Timestamp(moment) + pd.Timedelta(1, "ns"),
        moment.time(),
    )
    assert same(moment.replace(tzinfo=dt.UTC), moment.replace(tzinfo=ZoneInfo("UTC")))
    assert same(pd.Timestamp("2026-01-01").as_unit("s"), pd.Timestamp("2026-01-01").as_unit("ns"))


def test_missing_values_that_differ_differ() -> None:
    pa = pytest.importorskip("pyarrow")
    assert different(None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT"), np.timedelta64("NaT"))
    columns = [pa.array(values, pa.float64()) for values in ([None, 1.0], [float("nan"), 1.0], [0.0, 1.0])]
    assert different(*(pd.Series(pd.arrays.ArrowExtensionArray(column)) for column in columns))
    assert different(pd.Series([None], dtype="Int64"), pd.Series([0], dtype="Int64"), pd.Series([0]))


def test_indexes_that_differ_by_name_level_or_kind_differ() -> None:
    index = pd.Index([1, 2])
    assert different(
        index,
        index.rename("a"),
        pd.MultiIndex.from_arrays([[1, 2]]),
        pd.MultiIndex.from_arrays([[1, 2], [1, 2]]),
        pd.CategoricalIndex([1, 2]),
        index.astype("f8"),
        pd.Series(index),
        index.array,
    )


def test_categories_count_with_their_order() -> None:
    values = ["a", "b"]
    assert different(
        pd.Categorical(values),
        pd.Categorical(values, ordered=True),
        pd.Categorical(values, categories=["b", "a"]),
        pd.Categorical(values, categories=["a", "b", "c"]),
    )


def test_masked_arrays_count_in_full() -> None:
    def masked(data: list[int], mask: list[int], fill: int = -1) -> Any:
        return np.ma.array(data, mask=mask, fill_value=fill)

    assert different(
        np.array([1, 2]),
        masked([1, 2], [0, 0]),
        masked([1, 2], [0, 1]),
        masked([1, 3], [0, 1]),
        masked([1, 2], [0, 1], 9),
    )
