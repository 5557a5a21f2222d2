"""What a catalogue knows of one entry of a store: a record, made from a manifest without opening the payload.

Manifests are laid out one section per line, so that most of one is cut out, not parsed: a list of a hundred thousand
needs the key, the times and the sizes of each; params and metrics are parsed when somebody looks at them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from xxhash import xxh3_128_hexdigest

from .._integrity import ALGORITHM
from .._text import printable
from ..artifacts import load, read_manifest
from ..exceptions import ArtifactNotFoundError, ManifestVersionError
from ..fileio import FileIO, PickleFileIO
from ..keys import ArtifactKey
from ..manifest import SCHEMA, Dependency, Manifest, _with_floats

if TYPE_CHECKING:
    from ..stores import Store

__all__ = [
    "LINES",
    "PLAIN",
    "STATES",
    "Fields",
    "Record",
    "State",
    "decoded_path",
    "dependencies_of",
    "facts_of",
    "fields_of_manifest",
    "record_of",
    "section",
]

State: TypeAlias = Literal["whole", "corrupt", "newer", "generating", "failed", "unfinished", "1.x", "foreign"]

STATES: Final[tuple[State, ...]] = (
    "whole",
    "corrupt",
    "newer",
    "generating",
    "failed",
    "unfinished",
    "1.x",
    "foreign",
)
"""What an entry may be.

``whole``: its manifest is what was written (whether the payload is, ``verify`` tells). ``corrupt``: it is not.
``newer``: a newer persistable wrote it. No manifest is there while it is ``generating``, after it ``failed``, and where
something was interrupted or half deleted (``unfinished``). ``1.x``: persistable 1.x wrote it. ``foreign``: not ours.
"""


class Fields(NamedTuple):
    """An entry as an index keeps it: two fields for itself, what lists show, and six lines of the manifest."""

    scope: str
    stamp: int
    payload_name: str
    key: str
    state: State
    problem: str = ""
    path: str | bytes | None = None
    """None if it follows from name and key; bytes if it is no text."""
    at: str | None = None
    size: int | None = None
    modified: float = 0.0
    head: str = ""
    params: str = ""
    dependencies: str = ""
    generated: str = ""
    metrics: str = ""
    tags: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a store. It does not change; a later look at the store may find another one in its place.

    Attributes
    ----------
    payload_name, key : str, ArtifactKey
        Which artifact it is; "" for what is foreign.
    state, problem : str
        One of :data:`STATES`; and what is wrong, in one line, or "".
    path : str
        Its folder or file, relative to the store's root.
    at, seconds, host, user, class_name : str, float, str, str, str or None
        When it was made (UTC), in how long, where, by whom, and by which class.
    version : str or None
        The version of its class, if that states one.
    size, format, type, summary, digest : int, str, str, str, str or None
        Of the payload.
    modified : float
        When its manifest was last written, in seconds since the epoch, by the clock of the store.
    store : Store
        Where it lies. It is not shown, and not compared.
    """

    payload_name: str
    key: ArtifactKey
    state: State
    problem: str
    path: str
    at: str | None
    seconds: float | None
    host: str | None
    user: str | None
    class_name: str | None
    version: str | None
    size: int | None
    format: str | None
    type: str | None
    summary: str | None
    digest: str | None
    modified: float
    store: Store = field(compare=False, repr=False)
    _lines: Mapping[str, str] = field(repr=False)
    _parsed: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def params(self) -> dict[str, Any]:
        """The tracked params, readable (:func:`persistable.params.readable`)."""
        return self._section("params")  # type: ignore[no-any-return]

    @property
    def metrics(self) -> dict[str, Any]:
        """Numbers that the generation recorded."""
        metrics = self._section("metrics")
        try:
            return {name: _with_floats(value) for name, value in metrics.items()}
        except (TypeError, ValueError, RecursionError):  # a mark that none of ours has put there
            return metrics  # type: ignore[no-any-return]

    @property
    def tags(self) -> list[str]:
        """Words that the generation recorded."""
        return [tag for tag in self._section("tags") if isinstance(tag, str)]

    @property
    def dependencies(self) -> dict[str, Dependency]:
        """role -> upstream artifact."""
        return dict(dependencies_of(self._section("dependencies")))

    @property
    def packages(self) -> dict[str, str]:
        """Name -> version of the packages that were involved."""
        packages = self._section("generated").get("packages")
        return packages if isinstance(packages, dict) else {}

    @property
    def git(self) -> dict[str, Any] | None:
        """``commit`` and ``dirty`` of the checkout that made it; None if there was none."""
        git = self._section("generated").get("git")
        return git if isinstance(git, dict) else None

    @property
    def generated(self) -> dict[str, Any]:
        """All of that section of the manifest."""
        return self._section("generated")  # type: ignore[no-any-return]

    @property
    def manifest(self) -> Manifest:
        """Its manifest, read from the store now.

        Raises
        ------
        ArtifactNotFoundError, ArtifactCorruptError, ManifestVersionError
            If there is none (any more), or it cannot be read.
        """
        return read_manifest(self.store, self._artifact())

    def load(self, *, payload_io: FileIO[Any] | None = None) -> Any:
        """Return its payload, verified; see :meth:`persistable.catalog.Catalog.load`, also for whom to trust."""
        payload, _ = load(self.store, self._artifact(), PickleFileIO() if payload_io is None else payload_io)
        return payload

    def _artifact(self) -> ArtifactKey:
        if not self.key:
            raise ArtifactNotFoundError(f"{printable(self.path, 100)} in {self.store.url} is no artifact.", "")
        return self.key

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON; nan and the infinities as ``{"$float": "nan"}``."""
        plain = {name: getattr(self, name) for name in _SHOWN} | {"key": str(self.key)}
        return plain | {
            "params": self.params,
            "metrics": self._section("metrics"),
            "tags": self.tags,
            "dependencies": {role: upstream._asdict() for role, upstream in self.dependencies.items()},
            "packages": self.packages,
            "git": self.git,
        }

    def _section(self, name: str) -> Any:
        value = self._parsed.get(name)
        if value is None:
            value = self._parsed[name] = section(name, self._lines[name])
        return value


LINES: Final = Fields._fields[Fields._fields.index("head") :]
"""The lines of a manifest that are kept."""

PLAIN: Final = Fields._fields[2 : -len(LINES)]
"""What else is known of an entry."""

_KINDS: Final[dict[str, type]] = {"tags": list}
_SHOWN: Final = tuple(name for name in Record.__dataclass_fields__ if not name.startswith("_") and name != "store")


def section(name: str, line: str | None) -> Any:
    """Return what a line of a manifest says; nothing if it is no such line."""
    kind = _KINDS.get(name, dict)
    if not line:
        return kind()
    try:
        value = json.loads(line[line.index(": ") + 2 : -1])
    except (ValueError, RecursionError):  # no manifest of ours is nested so deeply
        return kind()
    return value if isinstance(value, kind) else kind()


def facts_of(head: Mapping[str, Any], generated: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says beside its key, from the head of a manifest, and from its section ``generated``."""
    payload = head.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    seconds = generated.get("seconds")
    return {
        "seconds": float(seconds) if isinstance(seconds, int | float) else None,
        "host": _text(generated.get("host")),
        "user": _text(generated.get("user")),
        "class_name": _text(generated.get("class")),
        "version": _text(head.get("version")),
        "format": _text(payload.get("format")),
        "type": _text(payload.get("type")),
        "summary": _text(payload.get("summary")),
        "digest": _text(payload.get("digest")),
    }


def decoded_path(payload_name: str, key: str, path: str | bytes | None) -> str:
    """Return the path of an entry, relative to the store's root."""
    if path is None:
        return f"{payload_name}/{key}"
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


def record_of(row: Sequence[Any], store: Store) -> Record:
    """Return the record of an entry of a store, from its :data:`PLAIN` fields and its :data:`LINES`."""
    name, key, state, problem, path, at, size, modified, *found = row
    lines = dict(zip(LINES, found, strict=True))
    made = section("generated", lines["generated"])
    return Record(
        payload_name=name,
        key=ArtifactKey(key, name),
        state=state,
        problem=problem,
        path=decoded_path(name, key, path),
        at=at,
        size=size,
        modified=modified,
        store=store,
        **facts_of(section("head", lines["head"]), made),
        _lines=lines,
        _parsed={"generated": made},
    )


def _text(value: Any) -> str | None:
    """Return text that any database takes: JSON may spell halves of letters."""
    if value is None:
        return None
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def dependencies_of(section: Mapping[str, Any]) -> Iterable[tuple[str, Dependency]]:
    """Yield role and upstream from the section of a manifest; what is none is left out."""
    for role, upstream in section.items():
        if isinstance(upstream, dict) and upstream.keys() == set(Dependency._fields):
            yield role, Dependency(**upstream)


# ---------------------------------------------------------------------------------------------------------------------
# From a manifest

_START: Final = len('{"digest": "xxh3:",\n') + 32
_DIGEST: Final = '{"digest": "' + ALGORITHM
_HEAD: Final = f'"artifact": {{"schema": {SCHEMA}, "key": "'
_PAYLOAD: Final = re.compile(
    r'"payload": \{"file": "payload\.[0-9a-f]{8}[^"/\\]*", "format": "[^"\\]*", "format_version": \d{1,9}, '
    r'"size": (\d{1,18}), "digest": "xxh3:[0-9a-f]{32}", "files": null, "type": "[^"\\]*", "summary": "'
)
"""A payload that is one file, as it is written down; all else is parsed, and looked at."""
_FIRST: Final = '"generated": {"at": "'


_new: Final = tuple.__new__  # what is made a hundred thousand times is not counted again


def fields_of_manifest(payload_name: str, key: str, data: bytes, stamp: int, modified: float) -> Fields:
    """Return what is to be kept of the manifest `data`, found in the folder of this name and key.

    Whatever is wrong with it is a state, and no error. A manifest as this version of the library writes it is known by
    its digest and the beginnings of its lines, which takes a fourth of the time of reading its JSON.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return _looked_at(payload_name, key, data, stamp, modified)
    if (
        text.startswith(f'{_DIGEST}{xxh3_128_hexdigest(data[_START:])}",\n')
        and text.startswith(
            f'"artifact": {{"schema": {SCHEMA}, "key": "{key}", "payload_name": "{payload_name}", ', _START
        )
        and (size := _PAYLOAD.search(text, _START)) is not None
    ):
        lines = text.split("\n")
        if len(lines) == 9 and lines[4].startswith(_FIRST) and lines[3].startswith('"dependencies": {'):
            _, head, params, dependencies, generated, _, metrics, tags, _ = lines
            at = generated.split('"', 6)[5]
            known = (payload_name, stamp, payload_name, key, "whole", "", None, at, int(size[1]), modified)
            return _new(Fields, (*known, head, params, dependencies, generated, metrics, tags))
    return _looked_at(payload_name, key, data, stamp, modified)


def _looked_at(payload_name: str, key: str, data: bytes, stamp: int, modified: float) -> Fields:
    """Return the same of a manifest that is damaged, newer, or laid out in another way."""
    try:
        manifest = Manifest.parse(data)
        if manifest.key != key or manifest.payload_name != payload_name:
            raise ValueError(f"it is the one of {manifest.payload_name} {manifest.key}")
        at, size = _text(manifest.generated["at"]), min(max(int(manifest.payload["size"]), 0), (1 << 63) - 1)
        head = {"version": manifest.version, "payload": manifest.payload}
        sections = {"head": head} | {name: manifest._section(name) for name in LINES[1:]}
        lines = [f'"{name}": {json.dumps(value)},' for name, value in sections.items()]
        return Fields(payload_name, stamp, payload_name, key, "whole", "", None, at, size, modified, *lines)
    except ManifestVersionError as error:
        return Fields(payload_name, stamp, payload_name, key, "newer", str(error), modified=modified)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # What is signed, but not by us, may hold anything.
        cause = str(error) if isinstance(error, ValueError) else "it does not hold what a manifest holds"
        problem = f"Its manifest is damaged: {printable(cause, 300)}."
        return Fields(payload_name, stamp, payload_name, key, "corrupt", _text(problem) or "", modified=modified)
