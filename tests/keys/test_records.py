"""Params classes: their fields, their markers, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pydantic
import pytest

from persistable import ParamsError, Persistable, PersistableParams, UntrackableValueError, added, untracked
from persistable._canonical import encode
from persistable.params import ADDED, UNTRACKED, check_roles, readable, tracked_params


def test_the_class_counts_by_its_name_and_the_fields_by_theirs() -> None:
    def make(name: str, *fields: Any) -> Any:
        return dataclasses.make_dataclass(name, fields)

    first, renamed = make("A", ("x", int)), make("B", ("x", int))
    assert encode(first(1)) == encode(make("A", ("x", int))(1))
    assert len({encode(first(1)), encode(first(2)), encode(renamed(1)), encode(make("A", ("y", int))(1))}) == 4
    both, swapped = make("A", ("x", int), ("y", int)), make("A", ("y", int), ("x", int))
    assert encode(both(x=1, y=2)) == encode(swapped(x=1, y=2)) != encode(both(x=2, y=1))


def test_a_record_is_no_dict_and_no_named_tuple() -> None:
    record = dataclasses.make_dataclass("A", ["x"])(1)
    assert encode(record) != encode({"x": 1})


def test_slots_and_frozen_do_not_matter_and_fields_without_init_count() -> None:
    def make(**options: Any) -> Any:
        fields = [("x", int), ("y", int, field(init=False, default=3))]
        return dataclasses.make_dataclass("A", fields, **options)

    assert encode(make()(1)) == encode(make(slots=True)(1)) == encode(make(frozen=True)(1))
    changed = make()(1)
    changed.y = 4
    assert encode(changed) != encode(make()(1))


def test_a_field_that_was_never_set_is_named() -> None:
    @dataclass
    class Params(PersistableParams):
        later: int = field(init=False)

    with pytest.raises(UntrackableValueError, match="later"):
        encode(Params())


def test_class_variables_and_init_variables_do_not_count() -> None:
    @dataclass
    class Params(PersistableParams):
        n: int
        seen: dataclasses.InitVar[int] = 0
        shared: ClassVar[int] = 1

    before = encode(Params(1, seen=5))
    Params.shared = 2
    assert encode(Params(1, seen=6)) == before


def plain_dataclass() -> Any:
    @dataclass
    class Params(PersistableParams):
        n: int = 1
        grown: list[int] = added(default_factory=list, metadata={"unit": "m"})  # noqa: RUF009 - a field, like field()
        n_jobs: int = untracked(default=1, repr=False)

    return Params


def attrs_class() -> Any:
    @attrs.define
    class Params:
        n: int = 1
        grown: list[int] = attrs.field(factory=list, metadata=ADDED)
        n_jobs: int = attrs.field(default=1, metadata=UNTRACKED)

    return Params


def pydantic_model() -> Any:
    class Params(pydantic.BaseModel):
        n: int = 1
        grown: list[int] = pydantic.Field(default_factory=list, json_schema_extra=ADDED)
        n_jobs: int = pydantic.Field(1, json_schema_extra=UNTRACKED)

    return Params


def pydantic_dataclass() -> Any:
    @pydantic.dataclasses.dataclass
    class Params:
        n: int = 1
        grown: list[int] = pydantic.Field(default_factory=list, json_schema_extra=ADDED)
        n_jobs: int = pydantic.Field(1, json_schema_extra=UNTRACKED)

    return Params


KINDS = pytest.mark.parametrize("make", [plain_dataclass, attrs_class, pydantic_model, pydantic_dataclass])


@KINDS
def test_markers_are_honoured(make: Any) -> None:
    params = make()
    before = dataclasses.make_dataclass("Params", [("n", int, 1)])
    assert encode(params()) == encode(params(n_jobs=8)) == encode(before())
    assert len({encode(params()), encode(params(n=2)), encode(params(grown=[1]))}) == 3
    assert tracked_params(params(n_jobs=8)) == {"n": 1}
    assert tracked_params(params(grown=[1])) == {"n": 1, "grown": [1]}


@KINDS
def test_markers_are_honoured_in_nested_records(make: Any) -> None:
    params = make()
    outer = dataclasses.make_dataclass("Outer", ["inner"])
    assert encode(outer({"a": [params()]})) == encode(outer({"a": [params(n_jobs=8)]}))
    assert encode(outer({"a": [params()]})) != encode(outer({"a": [params(grown=[1])]}))
    assert readable(outer(params(n_jobs=8))) == {"$Outer": {"inner": {"$Params": {"n": 1}}}}


@KINDS
def test_untracked_fields_may_hold_anything(make: Any) -> None:
    params = make()
    outer = dataclasses.make_dataclass("Outer", [("log", Any, untracked(default=None))])
    assert encode(outer(object())) == encode(outer(params()))


def test_added_needs_a_default() -> None:
    with pytest.raises(ParamsError, match="default"):
        added()

    class Model(pydantic.BaseModel):
        n: int = pydantic.Field(json_schema_extra=ADDED)

    @attrs.define
    class Attrs:
        n: int = attrs.field(metadata=ADDED)

    @attrs.define
    class Dependent:
        n: int = attrs.field(default=attrs.Factory(lambda self: 1, takes_self=True), metadata=ADDED)

    for params in (Model(n=1), Attrs(1), Dependent()):
        with pytest.raises(ParamsError, match="is marked as added, and therefore needs a default"):
            encode(params)


def test_a_marker_that_is_not_known_raises() -> None:
    params = dataclasses.make_dataclass("P", [("n", int, field(default=1, metadata={"persistable": "untracket"}))])
    with pytest.raises(ParamsError, match="'untracket'"):
        encode(params())


def test_extra_fields_of_pydantic_models_count() -> None:
    class Open(pydantic.BaseModel, extra="allow"):
        pass

    class Closed(pydantic.BaseModel):
        pass

    Closed.__qualname__ = Open.__qualname__
    assert len({encode(Open()), encode(Open(a=1)), encode(Open(a=2)), encode(Open(b=1))}) == 4
    assert encode(Open()) == encode(Closed())
    assert tracked_params(Open(a=1)) == {"a": 1}

    @pydantic.dataclasses.dataclass(config={"extra": "allow"})
    class OpenData:
        n: int = 1

    assert len({encode(OpenData()), encode(OpenData(a=1)), encode(OpenData(a=2))}) == 3  # type: ignore[call-arg]


def test_a_generic_model_goes_by_its_own_name() -> None:
    from typing import Generic, TypeVar

    T = TypeVar("T")

    class Box(pydantic.BaseModel, Generic[T]):
        held: T

    assert Box[int](held=1) == Box(held=1)
    assert encode(Box[int](held=1)) == encode(Box(held=1))


def test_a_field_may_be_named_like_something_of_pydantic() -> None:
    params = dataclasses.make_dataclass("P", [("model_config", Any, None), ("model_fields", Any, None)])
    assert encode(params()) != encode(params("x"))


@pytest.mark.parametrize("base", [PersistableParams, plain_dataclass(), attrs_class(), pydantic_dataclass()])
def test_a_subclass_that_forgot_the_decorator_is_told(base: Any) -> None:
    namespace = {"__annotations__": {"lost": int}, "lost": 1}
    forgot = type("Forgot", (base,), namespace)
    heir = dataclass(type("Heir", (forgot,), {"__annotations__": {"n": int}, "n": 1}))
    for kind in (forgot, heir):
        with pytest.raises(ParamsError, match=r"Forgot .*@dataclass"):
            encode(kind())


def test_a_subclass_that_adds_methods_only_needs_no_decorator() -> None:
    base = plain_dataclass()
    assert encode(type("Params", (base,), {"method": len})()) == encode(base())


def test_a_record_that_is_a_container_too_is_refused() -> None:
    @dataclass
    class Both(dict[str, int]):
        n: int = 1

    with pytest.raises(UntrackableValueError, match="both a record and a dict"):
        encode(Both())


def test_to_dict_gives_all_fields() -> None:
    @dataclass
    class Outer(PersistableParams):
        inner: Any
        several: Any

    params = plain_dataclass()
    expected = {"n": 1, "grown": [], "n_jobs": 1}
    assert Outer(params(), (params(),)).to_dict() == {"inner": expected, "several": (expected,)}


# ---------------------------------------------------------------------------------------------------------------------
# Errors


class NoRule:
    pass


@dataclass
class Model(PersistableParams):
    schedule: Any = None


@dataclass
class Params(PersistableParams):
    model: Any = None


class ModelP(Persistable[Any, Params]):
    def _generate_payload(self) -> Any:
        return 0


@pytest.mark.parametrize(
    ("params", "path"),
    [
        (Params(NoRule()), "params.model"),
        (Params(Model([1, (2, NoRule())])), "params.model.schedule[1][1]"),
        (Params(Model({"a": {3: NoRule()}})), "params.model.schedule['a'][3]"),
        (Params({NoRule(): 1}), "params.model[NoRule]"),
        (Params(partial(len, NoRule())), "params.model[1][0]"),
        (Params({10**5000: NoRule()}), "params.model[int]"),
    ],
)
def test_an_error_names_the_place_and_the_ways_out(params: Any, path: str, tmp_path: Path) -> None:
    with pytest.raises(UntrackableValueError) as caught:
        _ = ModelP(tmp_path, params).key
    assert caught.value.path == path
    for way_out in ("NoRule", "register_encoder", "untracked()", "__persistable_key__", "as a dependency"):
        assert way_out in str(caught.value)


def test_a_persistable_in_params_is_told_to_be_a_dependency(tmp_path: Path) -> None:
    upstream = ModelP(tmp_path, Params())
    with pytest.raises(UntrackableValueError, match=r"params\.model\[0\]: .*tracked_persistable_dependencies"):
        _ = ModelP(tmp_path, Params([upstream])).key


def local_function() -> None: ...


@pytest.mark.parametrize("value", [lambda: 1, partial(lambda: 1), [].append, "".join, local_function.__get__(1)])
def test_functions_that_cannot_be_imported_are_refused(value: Any) -> None:
    with pytest.raises(UntrackableValueError):
        encode(value)


def test_functions_and_classes_go_by_where_they_are_imported_from() -> None:
    def local() -> None: ...

    assert len({encode(value) for value in (json.dumps, json.loads, dict, OrderedDict, pytest.raises)}) == 5
    with pytest.raises(UntrackableValueError, match="top level"):
        encode(local)


@pytest.mark.parametrize(
    "value",
    [
        type(f"My{base.__name__}", (base,), {})()
        for base in (int, str, float, bytes, list, dict, tuple, set, OrderedDict)
    ],
)
def test_subclasses_of_builtin_types_are_refused_with_a_way_out(value: Any) -> None:
    with pytest.raises(UntrackableValueError, match="register_encoder"):
        encode(value)


def test_a_cycle_is_named() -> None:
    cyclic: list[Any] = [0]
    cyclic.append({"again": cyclic})
    with pytest.raises(UntrackableValueError, match=r"^\[1\]\['again'\]: the value contains itself"):
        encode(cyclic)
    model = Model()
    model.schedule = [Params(model)]
    with pytest.raises(UntrackableValueError, match=r"^schedule\[0\]\.model: the value contains itself"):
        encode(model)


def test_a_value_that_is_nested_too_deeply_raises_and_does_not_crash() -> None:
    value: Any = 0
    for _ in range(100_000):
        value = [value]
    with pytest.raises(UntrackableValueError, match="nested too deeply"):
        encode(value)
    while value:  # or the interpreter recurses where it frees it
        value = value[0]


def test_an_object_that_is_its_own_key_raises() -> None:
    class Loop:
        def __persistable_key__(self) -> Any:
            return [self]

    with pytest.raises(UntrackableValueError, match="__persistable_key__"):
        encode(Loop())


def test_a_field_and_a_role_of_one_name_raise() -> None:
    with pytest.raises(ParamsError, match="'model'"):
        check_roles(Params(), ["model"], "P")
