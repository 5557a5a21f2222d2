"""Rules for records: dataclasses, attrs classes, pydantic models. By class name, and fields sorted by name."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from ..exceptions import ParamsError, UntrackableValueError
from .core import RULES, Encoder, _encoders, add_rules, class_name, encode_dict, encode_str, encode_value

MARKER = "persistable"
"""The key under which a field's metadata says that it is "untracked" or "added"."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a record: its name, its marker, and how to make its default."""

    name: str
    marker: str | None
    default: Callable[[], Any] | None


_record_bases: set[type] = set()


def add_record_base(kind: type) -> None:
    """Let `kind`, which is no dataclass, count as a record without fields; those that derive from it must be one."""
    _record_bases.add(kind)


def _is_record(kind: type) -> bool:
    return (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or _is_pydantic(kind)
        or not _record_bases.isdisjoint(kind.__mro__)
    )


def _is_pydantic(kind: type) -> bool:
    return hasattr(kind, "__pydantic_validator__")


def record_fields(kind: type) -> Sequence[Field] | None:
    """Return the fields of a dataclass, attrs class or pydantic model; None if `kind` is none of these.

    Raises
    ------
    ParamsError
        If a class among its bases has annotations, but is not decorated: these fields would be lost. If a marker is
        not known, or says that a field without a default was added.
    """
    if not _is_record(kind):
        return None
    fields: list[Field] = []
    if dataclasses.is_dataclass(kind):
        described = getattr(kind, "__pydantic_fields__", {})  # of a dataclass by pydantic
        for field in dataclasses.fields(kind):
            marker, default = field.metadata.get(MARKER), _default_of(field.default, field.default_factory)
            if field.name in described:
                marker = marker or _pydantic_marker(described[field.name])
                default = _pydantic_default(described[field.name])
            fields.append(Field(field.name, marker, default))
    elif hasattr(kind, "__attrs_attrs__"):
        fields = [
            Field(field.name, field.metadata.get(MARKER), _attrs_default(field)) for field in kind.__attrs_attrs__
        ]
    elif _is_pydantic(kind):
        described = getattr(kind, "__pydantic_fields__" if hasattr(kind, "__pydantic_fields__") else "model_fields")
        fields = [Field(name, _pydantic_marker(field), _pydantic_default(field)) for name, field in described.items()]
        return _checked(kind, fields)
    _require_decorator(kind, {field.name for field in fields})
    return _checked(kind, fields)


def _checked(kind: type, fields: list[Field]) -> list[Field]:
    for field in fields:
        if field.marker not in (None, "untracked", "added"):
            raise ParamsError(
                f"{kind.__qualname__}.{field.name} is marked {field.marker!r}: not 'untracked' or 'added'."
            )
        if field.marker == "added" and field.default is None:
            raise ParamsError(
                f"{kind.__qualname__}.{field.name} is marked as added, and therefore needs a default (one that does "
                f"not depend on other fields)."
            )
    return fields


def _default_of(default: Any, factory: Any) -> Callable[[], Any] | None:
    if factory is not dataclasses.MISSING:
        return factory  # type: ignore[no-any-return]
    return None if default is dataclasses.MISSING else lambda: default


def _attrs_default(field: Any) -> Callable[[], Any] | None:
    attr = sys.modules["attr"]
    if isinstance(field.default, attr.Factory):
        return None if field.default.takes_self else field.default.factory
    return None if field.default is attr.NOTHING else lambda: field.default


def _pydantic_marker(field: Any) -> Any:
    extra = field.json_schema_extra
    return extra.get(MARKER) if isinstance(extra, dict) else None


def _pydantic_default(field: Any) -> Callable[[], Any] | None:
    if field.is_required() or getattr(field, "default_factory_takes_validated_data", False):
        return None
    return functools.partial(field.get_default, call_default_factory=True)


def extra_fields(record: Any) -> dict[str, Any]:
    """Return what a pydantic object holds beside the fields that its class declares (``extra="allow"``)."""
    kind = type(record)
    if not _allows_extra(kind):
        return {}
    held = getattr(record, "__pydantic_extra__", None)
    declared = getattr(kind, "__pydantic_fields__", {})
    return {name: item for name, item in (vars(record) if held is None else held).items() if name not in declared}


def _allows_extra(kind: type) -> bool:
    config = getattr(kind, "__pydantic_config__" if dataclasses.is_dataclass(kind) else "model_config", None)
    return _is_pydantic(kind) and isinstance(config, dict) and config.get("extra") == "allow"


def _require_decorator(kind: type, names: set[str]) -> None:
    """Raise unless each class that `kind` inherits its fields from is decorated, if it has any."""
    for base in kind.__mro__:
        if not _is_record(base) or not base.__dict__.keys().isdisjoint(("__dataclass_fields__", "__attrs_attrs__")):
            continue
        lost = [
            name
            for name, annotation in inspect.get_annotations(base).items()
            if name not in names and "ClassVar" not in str(annotation)
        ]
        if lost:
            raise ParamsError(
                f"{base.__qualname__} adds {', '.join(lost)}, but is not decorated with @dataclass itself: these would "
                f"not be fields, and never reach the key. Put @dataclass above the class."
            )


def _record_encoder(kind: type, fields: Sequence[Field]) -> Encoder:
    """Return an encoder for the records of one class, with everything that does not vary worked out."""
    if builtin := next((base for base in kind.__mro__ if base in RULES), None):
        raise UntrackableValueError(
            f"a {class_name(kind)} is both a record and a {builtin.__qualname__}: its fields alone do not define it. "
            f"Hold the {builtin.__qualname__} in a field, or give the class a __persistable_key__() method."
        )
    tracked = sorted((field for field in fields if field.marker != "untracked"), key=lambda field: field.name)
    names = [field.name for field in tracked]
    tags = [encode_str(name) for name in names]
    added = {field.name: field.default for field in tracked if field.marker == "added" and field.default is not None}
    get: Callable[[Any], Iterable[Any]] = (
        attrgetter(*names) if len(names) > 1 else lambda value: [getattr(value, name) for name in names]
    )
    head = b"o6:record2:" + encode_str(class_name(kind))
    whole_head = head + b"m%d:" % len(names)
    allows_extra = _allows_extra(kind)

    def no_value(error: AttributeError) -> UntrackableValueError:
        return UntrackableValueError(f"a field of this {class_name(kind)} has no value: {error}.")

    def encode_record(value: Any) -> bytes:
        parts: list[bytes] = [whole_head]
        append, encoders = parts.append, _encoders
        try:
            items = get(value)
        except AttributeError as error:
            raise no_value(error) from None
        tag = b""
        try:
            for tag, item in zip(tags, items, strict=True):
                append(tag)
                append(encoders[type(item)](item))
        except UntrackableValueError as error:
            raise error.inside(names[tags.index(tag)]) from None
        return b"".join(parts)

    def encode_grown_record(value: Any) -> bytes:
        pairs: list[bytes] = []
        try:
            items = get(value)
        except AttributeError as error:
            raise no_value(error) from None
        for name, tag, item in zip(names, tags, items, strict=True):
            try:
                encoded = encode_value(item)
            except UntrackableValueError as error:
                raise error.inside(name) from None
            if name not in added or encoded != encode_value(added[name]()):
                pairs += [tag, encoded]
        if allows_extra and (extra := extra_fields(value)):
            pairs += [encode_str(""), encode_dict(extra)]
        return head + b"m%d:%b" % (len(pairs) // 2, b"".join(pairs))

    return encode_grown_record if added or allows_extra else encode_record


def encoder_for(kind: type) -> Encoder | None:
    """Return the encoder for a record; None for other types."""
    fields = record_fields(kind)
    return None if fields is None else _record_encoder(kind, fields)


add_rules({}, encoder_for)
