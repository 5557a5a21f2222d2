"""Properties of the encoding and of keys, over values that hypothesis makes."""

from __future__ import annotations

import copy
import json
import math
import pickle
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as npst

from persistable import ParamsError, Persistable, PersistableParams, lineage
from persistable._canonical import encode
from persistable.keys import ArtifactKey, content_digest, fingerprint
from persistable.params import readable

steady = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
"""On a machine that is busy, and from any folder."""

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 20_000).map(lambda power: -(7**power))  # more digits than Python converts
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals().filter(lambda number: not number.is_snan())  # has no hash
    | st.fractions()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
    | st.uuids()
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
    ),
    max_leaves=20,
)
ARRAYS = npst.arrays(
    npst.boolean_dtypes() | npst.integer_dtypes() | npst.floating_dtypes(sizes=(16, 32, 64)) | npst.datetime64_dtypes(),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def structure(value: Any) -> Any:
    """Return what distinguishes `value`, made in another way than the encoding: a hashable tree of tagged leaves."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack("<d", value))
    if isinstance(value, complex):
        return ("complex", structure(value.real), structure(value.imag))
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(structure, value))
    if isinstance(value, set | frozenset):
        return ("set", *sorted(map(repr, map(structure, value))))
    if isinstance(value, dict):
        return ("dict", *sorted(repr((structure(key), structure(item))) for key, item in value.items()))
    if hasattr(value, "tzinfo") and value.tzinfo is not None:
        zone = getattr(value.tzinfo, "key", None) or str(value.utcoffset())
        return ("aware", "UTC" if zone == "0:00:00" else zone, str(value.utcoffset()), value.isoformat())
    return (type(value).__name__, value.hex() if type(value) is bytes else format_leaf(value))


def format_leaf(value: Any) -> str:
    return hex(value) if type(value) is int else f"{value.fold} {value!r}" if hasattr(value, "fold") else repr(value)


def shuffled(value: Any, order: random.Random) -> Any:
    """Return a copy with dicts and sets filled in another order."""
    if isinstance(value, list | tuple):
        return type(value)(shuffled(item, order) for item in value)
    if isinstance(value, dict):
        pairs = [(shuffled(key, order), shuffled(item, order)) for key, item in value.items()]
        return dict(order.sample(pairs, len(pairs)))
    if isinstance(value, set | frozenset):
        return type(value)(order.sample([*value], len(value)))
    return value


@steady
@given(VALUES, st.randoms(use_true_random=False))
def test_equal_values_have_equal_encodings(value: Any, order: random.Random) -> None:
    encoded = encode(value)
    assert encode(shuffled(value, order)) == encoded
    assert encode(copy.deepcopy(value)) == encoded
    assert encode(pickle.loads(pickle.dumps(value))) == encoded


@steady
@given(VALUES, VALUES)
def test_two_values_have_one_encoding_only_if_they_are_the_same(left: Any, right: Any) -> None:
    assert (encode(left) == encode(right)) == (structure(left) == structure(right))


@steady
@given(VALUES, VALUES, LEAVES, LEAVES)
def test_no_encoding_begins_with_another(left: Any, right: Any, one: Any, other: Any) -> None:
    for first, second in ((encode(left), encode(right)), (encode(one), encode(other))):
        assert first == second or not first.startswith(second)


@steady
@given(st.lists(LEAVES, min_size=1, max_size=8), st.data())
def test_any_single_change_changes_the_encoding(items: list[Any], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(items) - 1))
    changed = [*items]
    changed[position] = data.draw(LEAVES.filter(lambda leaf: structure(leaf) != structure(items[position])))
    inside: Any = {"a": ({"b": items},)}
    assert encode(inside) != encode({"a": ({"b": changed},)})
    assert encode(items) != encode(items[:-1])
    assert encode(items) != encode([items])


@steady
@given(ARRAYS)
def test_the_layout_of_an_array_does_not_matter(array: Any) -> None:
    encoded = encode(array)
    assert encode(array.copy(order="F")) == encoded
    assert encode(array.astype(array.dtype.newbyteorder())) == encoded
    assert encode(pickle.loads(pickle.dumps(array))) == encoded
    if array.ndim:
        assert encode(np.repeat(array, 2, axis=-1)[..., ::2]) == encoded


@steady
@given(ARRAYS, ARRAYS)
def test_two_arrays_have_one_encoding_only_if_they_are_the_same(left: Any, right: Any) -> None:
    def parts(array: Any) -> Any:
        native = array.astype(array.dtype.newbyteorder("="))
        values = [structure(float(item)) for item in native.ravel()] if native.dtype.kind == "f" else native.tobytes()
        return native.dtype.str, native.shape, values

    assert (encode(left) == encode(right)) == (parts(left) == parts(right))


@steady
@given(VALUES | ARRAYS | st.lists(ARRAYS, max_size=2))
def test_whatever_has_an_encoding_can_be_shown_as_json(value: Any) -> None:
    encode(value)
    json.dumps(readable(value), allow_nan=False)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text().filter(lambda key: key[:1] != "$"), inner),
    max_leaves=10,
)


@steady
@given(JSON_VALUES)
def test_what_json_can_hold_is_shown_as_it_is(value: Any) -> None:
    assert encode(json.loads(json.dumps(readable(value)))) == encode(value)


def test_the_deepest_value_that_has_a_key_can_be_shown() -> None:
    value: Any = 0
    for _ in range(460):
        value = (value,)
    encode(value)
    assert json.dumps(readable(value), allow_nan=False)


def test_large_arrays_and_tables_are_shown_by_digest() -> None:
    shown = readable(np.zeros((1000, 2), "f4"))["$ndarray"]
    assert shown["shape"] == [1000, 2]
    assert shown["dtype"] == "float32"
    assert len(shown["sha256"]) == 64
    assert readable(pd.DataFrame({"dtype": [1]}))["$DataFrame"]["columns"] == ["dtype"]
    assert readable(np.array([[1, 2]], "i4")) == {"$ndarray": {"dtype": "int32", "shape": [1, 2], "values": [[1, 2]]}}


def test_wide_values_are_no_problem() -> None:
    wide = {f"k{number}": [number, number * 0.5] for number in range(20_000)}
    assert encode(wide) == encode(dict(reversed(wide.items())))


# ---------------------------------------------------------------------------------------------------------------------
# Keys of nodes


@dataclass
class NodeParams(PersistableParams):
    n: int


class NodeP(Persistable[int, NodeParams]):
    def _generate_payload(self) -> int:
        return self.params.n


def ladder(layers: int, n: int = 0, place: Path | str = "nowhere") -> NodeP:
    left, right = NodeP(place, NodeParams(n)), NodeP(place, NodeParams(-1))
    for layer in range(1, layers):
        left, right = (
            NodeP(place, NodeParams(number), {"left": left, "right": right}) for number in (layer, -layer - 1)
        )
    return left


def test_a_ladder_of_sixty_layers_takes_as_many_fingerprints_as_nodes() -> None:
    with mock.patch.object(lineage.nodes, "fingerprint", side_effect=fingerprint) as counted:
        _ = ladder(60).key
    assert counted.call_count == 2 * 59 + 1


def test_a_change_at_the_very_root_changes_the_key() -> None:
    assert ladder(60).key == ladder(60).key != ladder(60, n=1).key


def test_roles_matter_and_swapped_dependencies_differ() -> None:
    one, two = "1" * 32, "2" * 32
    keys = {
        fingerprint("m", None, None, dependencies)
        for dependencies in ({}, {"a": one}, {"b": one}, {"a": one, "b": two}, {"a": two, "b": one}, {"a": two})
    }
    assert len(keys) == 6
    assert fingerprint("m", None, None, {"a": one, "b": two}) == fingerprint("m", None, None, {"b": two, "a": one})


@steady
@given(
    st.tuples(st.text(), st.none() | st.text(), VALUES, st.dictionaries(st.text(), st.text(), max_size=3)),
    st.tuples(st.text(), st.none() | st.text(), VALUES, st.dictionaries(st.text(), st.text(), max_size=3)),
)
def test_two_nodes_have_one_key_only_if_they_are_the_same(left: Any, right: Any) -> None:
    assert (fingerprint(*left) == fingerprint(*right)) == (structure(left) == structure(right))


def test_a_version_that_is_no_text_raises() -> None:
    for version in (1, True, 1.0):
        with pytest.raises(ParamsError, match="must be a str or None"):
            fingerprint("m", version, None, {})  # type: ignore[arg-type]


def test_a_key_survives_pickle_and_copy() -> None:
    key = ArtifactKey("3f9a0c", "points")
    for other in (pickle.loads(pickle.dumps(key)), copy.deepcopy(key), copy.copy(key)):
        assert (other, other.payload_name, other.folder) == ("3f9a0c", "points", "points/3f9a0c")


def test_the_digest_of_a_file_follows_its_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    assert content_digest(tmp_path / "a") == content_digest(str(tmp_path / "b"))
    (tmp_path / "b").write_bytes(b"other")
    assert content_digest(tmp_path / "a") != content_digest(tmp_path / "b")
