"""JSON, text and bytes: what goes in comes back, or is refused with the place where it stands."""

from __future__ import annotations

import enum
import json
import math

import pytest
from hypothesis import given, strategies as st

from persistable.fileio import BytesFileIO, JsonFileIO, TextFileIO
from persistable.fileio.equality import same
from persistable.fileio.json import why_not_json
from persistable.testing import FileIOConformance
from persistable.testing.fileio import describe


class Color(enum.IntEnum):
    RED = 1


class TestJsonFileIO(FileIOConformance):
    fileio = JsonFileIO()
    payloads = (
        None,
        True,
        0,
        10**600,
        -0.0,
        5e-324,
        "Grüße\r\n\0",
        [],
        {"b": [1, 1.0, "1", None, {"": {}}], "a": "", "株": [[]]},
        ["x" * 2_000_000],
    )
    refused = ((1, 2), {1, 2}, b"x", Color.RED, object(), float("nan"), 1j)


class TestTextFileIO(FileIOConformance):
    fileio = TextFileIO()
    payloads = ("", "a\r\nb\rc\n", "\ufeffGrüße 🎈\0", "x" * 2_000_000)
    refused = ("\ud83d", b"x", None, 1)


class TestBytesFileIO(FileIOConformance):
    fileio = BytesFileIO()
    payloads = (b"", b"\0\xff\r\n", bytes(2_000_000))
    refused = ("x", bytearray(b"x"), None)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ({"a": [0, 1, 2, (3,)]}, "$.a[3]: a tuple would come back as a list"),
        ({"a b": {2: 1}}, "$['a b']: the key 2 (int) would come back as the str '2'"),
        ([math.nan], "$[0]: the float nan has no JSON; None is the usual stand-in"),
        ([-math.inf], "$[0]: the float -inf has no JSON; None is the usual stand-in"),
        ({"x": Color.RED}, "$.x: a Color would come back as a int"),
        ({"x": {1}}, "$.x: a set has no JSON"),
        (["\ud83d\ude00"], "$[0]: a str with half of a surrogate pair is no valid Unicode"),
        ({"\ud83d": 1}, "$: the key '\\ud83d' is no valid Unicode"),
        (10**700, "$: an int of more than 640 digits cannot be read back everywhere"),
    ],
)
def test_json_says_where_and_why_it_refuses(payload, complaint, tmp_path):
    assert why_not_json(payload) == complaint
    with pytest.raises(TypeError, match="Convert it first, or use PickleFileIO"):
        JsonFileIO().save(payload, tmp_path / "payload.json")
    assert not (tmp_path / "payload.json").exists()


def test_json_refuses_what_contains_itself():
    payload: list[object] = []
    payload += [payload, payload]
    assert "contains itself" in why_not_json(payload)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.tuples(st.integers()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(payload=values)
def test_json_gives_back_the_same_or_refuses(payload, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "payload.json"
    try:
        JsonFileIO().save(payload, path)
    except TypeError:
        assert not same(payload, _through_json(payload))
    else:
        assert same(payload, JsonFileIO().load(describe(path)))


def _through_json(payload):
    """Return what a strict reader makes of `payload`; a stranger if it is no JSON at all."""
    try:
        return json.loads(json.dumps(payload, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, TypeError):
        return object()


@given(payload=st.text())
def test_text_comes_back_as_it_was(payload, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "payload.txt"
    TextFileIO().save(payload, path)
    assert TextFileIO().load(describe(path)) == payload


@pytest.mark.parametrize(
    ("saved", "loaded"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (1j, complex(-0.0, 1)),
        ("a", b"a"),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_what_is_equal_but_not_the_same_is_told_apart(saved, loaded):
    assert same(saved, saved)
    assert not same(saved, loaded)
