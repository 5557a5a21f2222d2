"""The record of an artifact. An artifact exists if and only if its manifest does.

A manifest is one JSON object, laid out in lines, so that a hit reads little of it::

    {"digest": "xxh3:…",                the digest of all that follows this line
    "artifact": {…},                    what a hit needs: schema, key, payload file, size and digest, code
    "params": {…},                      and what people ask later, parsed when they do
    …}

A flipped byte or a missing tail is found by the first line, whatever it hits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from xxhash import xxh3_128_hexdigest

from ._integrity import ALGORITHM, digest
from ._text import printable
from .exceptions import ManifestVersionError
from .keys import is_artifact

__all__ = ["SCHEMA", "Dependency", "Manifest", "PayloadRecord"]

SCHEMA = 1
"""Version of the layout. A library that meets a newer one refuses it."""

_SECTIONS = ("params", "dependencies", "generated", "code", "metrics", "tags")
_BEGIN, _END = b'{"digest": "', b'",\n'
_HEAD = '"artifact": '

_PAYLOAD_FILE = re.compile(r"payload\.[0-9a-f]{8}[^/\\\0]*")

_decode = json.JSONDecoder().decode


class PayloadRecord(TypedDict):
    """What a manifest says of the payload.

    Attributes
    ----------
    file : str
        The name of the payload's file or folder, beside the manifest.
    format, format_version : str, int
        The FileIO that wrote it.
    size : int
        In bytes; of a folder, of all its files together.
    digest : str
        ``xxh3:`` and 32 hexadecimal digits.
    files : dict of str to [int, str], or None
        For a folder: relative path -> size in bytes and digest of each file.
    type, summary : str
        The Python type of the payload, and a line about it.
    """

    file: str
    format: str
    format_version: int
    size: int
    digest: str
    files: dict[str, tuple[int, str]] | None
    type: str
    summary: str


class Dependency(NamedTuple):
    """An upstream artifact, as a manifest names it.

    Attributes
    ----------
    payload_name, key : str
        Which artifact it is.
    digest : str or None
        The digest of the payload that was used; None if the generation did not open it, or if it was not persisted.
    """

    payload_name: str
    key: str
    digest: str | None


class Manifest:
    """The record of one artifact, as it lies in a store. It does not change.

    Attributes
    ----------
    key, payload_name, version : str
        Which artifact it is; the version is None if its class states none.
    payload : PayloadRecord
        File, format, size, digest, type and summary of the payload.
    params : dict
        The tracked params, readable (:func:`persistable.params.readable`).
    dependencies : dict of str to Dependency
        role -> upstream artifact.
    generated : dict
        ``at`` (UTC), ``seconds``, ``host``, ``user``, ``pid``, ``python``, ``packages``, ``git``; and, of a payload
        that was extended, ``grown_from``: the digests that it had before, oldest first.
    code : dict
        The digests of the code that made it: of its source files, and of each part of its class.
    metrics : dict
        Numbers that the generation recorded.
    tags : list of str
        Words that the generation recorded.
    data : bytes
        The manifest as it was read.
    """

    __slots__ = ("_body", "data", "head")

    def __init__(self, data: bytes, head: dict[str, Any]) -> None:
        self.data = data
        self.head = head
        self._body: dict[str, Any] | None = None

    @classmethod
    def compose(cls, head: Mapping[str, Any], sections: Mapping[str, Any]) -> Manifest:
        """Return the manifest with this head and these sections.

        Raises
        ------
        TypeError, ValueError
            If something in them is not JSON.
        """
        lines = [_HEAD + json.dumps({"schema": SCHEMA, **head}, allow_nan=False)]
        lines += [f'"{name}": {json.dumps(sections[name], allow_nan=False)}' for name in _SECTIONS]
        body = (",\n".join(lines) + "}\n").encode()
        return cls.parse(b"%b%b%b%b" % (_BEGIN, digest(body).encode(), _END, body))

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Return the manifest in `data`.

        Raises
        ------
        ValueError
            If `data` is not what was written.
        ManifestVersionError
            If a newer persistable wrote it.
        """
        start = data.find(b"\n") + 1
        found = (ALGORITHM + xxh3_128_hexdigest(data[start:])).encode()
        if data[:start] != b"%b%b%b" % (_BEGIN, found, _END):
            written = data[len(_BEGIN) : max(start - len(_END), 0)].decode("ascii", "replace")
            expected = f"but {written} was written" if written else "and it does not begin with one"
            raise ValueError(f"its content has the digest {found.decode()}, {expected}")
        text = data[start : data.find(b"\n", start)].decode()
        if not text.startswith(_HEAD):
            raise ManifestVersionError(_newer("of another layout"))
        try:
            head = _decode(text[len(_HEAD) : -1])
            if head["schema"] > SCHEMA:
                raise ManifestVersionError(_newer(f"of schema {head['schema']}"))
            _check(head)
        except (TypeError, LookupError, AttributeError, RecursionError):
            # The digest is no seal: whoever can write to the store can write a manifest that holds anything.
            raise ValueError("what it says of its artifact makes no sense") from None
        return cls(data, head)

    @property
    def key(self) -> str:
        return str(self.head["key"])

    @property
    def payload_name(self) -> str:
        return str(self.head["payload_name"])

    @property
    def version(self) -> str | None:
        return self.head["version"]  # type: ignore[no-any-return]

    @property
    def payload(self) -> PayloadRecord:
        return self.head["payload"]  # type: ignore[no-any-return]

    @property
    def params(self) -> dict[str, Any]:
        return self._section("params")

    @property
    def dependencies(self) -> dict[str, Dependency]:
        return {
            role: Dependency(**dependency)
            for role, dependency in self._section("dependencies").items()
            if _is_dependency(dependency)
        }

    @property
    def generated(self) -> dict[str, Any]:
        return self._section("generated")

    @property
    def code(self) -> dict[str, Any]:
        return self._section("code")

    @property
    def metrics(self) -> dict[str, Any]:
        return _with_floats(self._section("metrics"))  # type: ignore[no-any-return]

    @property
    def tags(self) -> list[str]:
        tags = self._parsed().get("tags")
        return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []

    def _section(self, name: str) -> dict[str, Any]:
        section = self._parsed().get(name)
        return section if isinstance(section, dict) else {}

    def _parsed(self) -> dict[str, Any]:
        body = self._body
        if body is None:
            try:
                body = json.loads(self.data)
            except (ValueError, RecursionError):  # signed all the same: see parse()
                body = {}
            self._body = body
        return body

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, Manifest) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        made, payload = self.generated, self.payload
        return printable(
            f"<Manifest of {self.payload_name} {self.key[:8]}…: {payload['summary']}, {payload['size']} bytes, "
            f"made {made.get('at')} in {made.get('seconds')} s by {made.get('user')}@{made.get('host')}>",
            500,
        )

    def _repr_html_(self) -> str:
        from ._html import artifact_card

        return artifact_card(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Manifest.parse, (self.data,)


def _check(head: Mapping[str, Any]) -> None:
    """Raise, whatever, unless a head is one that a hit can rely on, and leads to no file but the payload's."""
    payload, version = head["payload"], head["version"]
    _, _ = head["code"]
    if not (
        type(head["key"]) is type(head["payload_name"]) is type(payload["format"]) is type(payload["digest"]) is str
        and type(payload["size"]) is type(payload["format_version"]) is int
        and type(payload["summary"]) is type(payload["type"]) is str
        and (version is None or type(version) is str)
        and _PAYLOAD_FILE.fullmatch(payload["file"])
    ):
        raise TypeError
    if (files := payload["files"]) is not None:
        for name, (size, found) in files.items():
            if type(size) is not int or type(found) is not str or not _is_inside(name):
                raise TypeError


def _is_inside(name: str) -> bool:
    """Whether a relative path stays in its folder."""
    return "\0" not in name and not {"", ".", ".."} & {*name.split("/")}


def _is_dependency(dependency: Any) -> bool:
    return (
        isinstance(dependency, dict)
        and dependency.keys() == set(Dependency._fields)
        and is_artifact(dependency["payload_name"], dependency["key"])
        and isinstance(dependency["digest"], str | None)
    )


def _newer(what: str) -> str:
    return f"This artifact was written by a newer persistable ({what}; this one reads up to {SCHEMA}). Upgrade it."


def _with_floats(value: Any) -> Any:
    """Return JSON with the floats that it has no words for: nan and the infinities."""
    if isinstance(value, dict):
        return float(value["$float"]) if value.keys() == {"$float"} else {k: _with_floats(v) for k, v in value.items()}
    return [_with_floats(item) for item in value] if isinstance(value, list) else value
