"""register_encoder and __persistable_key__: how other people's types get a key rule."""

from __future__ import annotations

import datetime as dt
import enum
import multiprocessing
import numbers
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from persistable import UntrackableValueError, register_encoder
from persistable._canonical import encode

ROOT = Path(__file__).resolve().parents[2]


def new_type(*bases: type) -> Any:
    return type("Third", bases, {})


def test_a_type_that_was_met_and_refused_can_be_registered() -> None:
    kind = new_type()
    with pytest.raises(UntrackableValueError, match="register_encoder"):
        encode(kind())
    register_encoder(kind, lambda value: 1)
    assert encode([kind()]) == encode([kind()])


def test_registering_again_replaces_the_function_even_for_types_that_were_met() -> None:
    base = new_type()
    derived = type("Derived", (base,), {})
    register_encoder(base, lambda value: 1)
    before = encode(base()), encode(derived())
    assert before[0] != before[1]  # under their own names
    register_encoder(base, lambda value: 2)
    assert encode(base()) != before[0]
    assert encode(derived()) != before[1]


def test_a_registered_value_is_not_what_its_function_returns() -> None:
    kind = new_type()
    register_encoder(kind, lambda value: [1])
    assert encode(kind()) != encode([1])


@pytest.mark.parametrize(
    "kind",
    [int, dict, object, Mapping, numbers.Number, dt.tzinfo, enum.Enum, np.ndarray, np.generic, pd.DataFrame, pd.Index],
)
def test_what_has_a_rule_cannot_be_registered_nor_can_its_bases(kind: type) -> None:
    before = encode([{"a": 1}, dt.UTC, np.zeros(2)])
    with pytest.raises(ValueError, match="has a key rule already"):
        register_encoder(kind, lambda value: 0)
    assert encode([{"a": 1}, dt.UTC, np.zeros(2)]) == before


def test_subclasses_of_arrays_and_tables_are_refused_until_they_are_registered() -> None:
    with_unit = type("Quantity", (np.ndarray,), {})
    table = type("GeoFrame", (pd.DataFrame,), {})
    values: list[tuple[type, Any, Callable[[Any], Any]]] = [
        (with_unit, np.zeros(2).view(with_unit), np.asarray),
        (table, table({"a": [1]}), pd.DataFrame),
    ]
    for kind, value, plain in values:
        with pytest.raises(UntrackableValueError, match="something more to it"):
            encode(value)
        register_encoder(kind, plain)
        assert encode(value) != encode(plain(value))


def test_two_threads_may_meet_a_new_type_while_it_is_registered_anew() -> None:
    kinds = [new_type() for _ in range(200)]
    for kind in kinds:
        register_encoder(kind, lambda value: "old")
    failures: list[BaseException] = []
    start = threading.Barrier(3)

    def meet() -> None:
        start.wait()
        try:
            for kind in kinds:
                encode(kind())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=meet) for _ in range(2)]
    for thread in threads:
        thread.start()
    start.wait()
    for kind in kinds:
        register_encoder(kind, lambda value: "new")
    for thread in threads:
        thread.join()
    assert not failures
    fresh = new_type()
    register_encoder(fresh, lambda value: "new")
    assert {encode(kind()) for kind in kinds} == {encode(fresh())}


SCRIPT = """
import multiprocessing
from persistable._canonical import encode
def function(): ...
def encoded(_): return encode(function)
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(encode(function) == pool.map(encoded, [0])[0])
        import script
        print(encode(function) == script.encoded(0))
"""


@pytest.mark.skipif("spawn" not in multiprocessing.get_all_start_methods(), reason="needs spawn")
def test_a_function_of_a_script_has_one_key_in_the_script_its_workers_and_its_importers(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    made = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert made.stdout.split() == ["True", "True"]
