"""What code made an artifact, and what of it has changed since.

A class is described by a digest per part: each of its methods, the rest of its body, and what these use of their own
module: functions, classes and plain constants, and what those use in turn. Functions and classes count by the syntax
tree of their source, wherever that is (a file, or any cell of a notebook); comments, docstrings, annotations and
formatting do not count. Constants count by value. What is used is what the compiled code names as global, looked up
in the running module. Left alone are other modules (for them a class states its ``version``), persistables and
params (they are in the key), paths, and what ``__init__`` uses.

On a hit this costs one read and one digest of the source file: while its text is the same, so is everything in it.
It is parsed only when it has changed. A notebook has no such text, because its cells are run in any order: there the
parts are looked up on each hit, and only what is new is parsed.

All of this is advice. Where the code cannot be told (no source; a file edited under a running process), there is no
digest, and nothing is said. Nothing here raises.
"""

from __future__ import annotations

from functools import lru_cache

from .._integrity import digest
from .parts import code_of
from .sources import text_digest

__all__ = ["changes", "digests_of", "is_same", "parts_of"]


def is_same(kind: type, text: str | None, parts: str | None) -> bool:
    """Return whether `kind` is the code that these digests are of; True where one of the two is not known."""
    if parts is None:
        return True
    same = _is_same(kind, text, parts)
    return _has_parts(kind, parts) if same is None else same


def parts_of(kind: type) -> dict[str, str]:
    """Return the parts of `kind`, of the bases that its user wrote, and of what these use; empty if not known.

    Returns
    -------
    dict of str to str
        Name of each part, as ``OutlierEstimatorP._generate_payload`` -> digest of its syntax tree, or of its value.
    """
    return code_of(kind).parts


def digests_of(kind: type) -> tuple[str | None, str | None]:
    """Return what a manifest's head says of the code of `kind`: the digest of its text, and of its parts."""
    code = code_of(kind)
    if not code.parts:
        return None, None
    return text_digest(kind, code.files), _digest_of_parts(code.parts)


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs between the parts of two codes, as sentences without a verb in front.

    >>> changes({"P.fit": "a", "P.plot": "b"}, {"P.fit": "c", "P.score": "d"})
    ['P.fit changed', 'P.plot is gone', 'P.score is new']
    """
    found = [f"{part} {'changed' if part in now else 'is gone'}" for part in before if before[part] != now.get(part)]
    return sorted(found + [f"{part} is new" for part in now if part not in before])


@lru_cache(maxsize=4096)
def _is_same(kind: type, text: str | None, parts: str) -> bool | None:
    """Answer :func:`is_same` for good; None if the answer may be another one after the next notebook cell."""
    now = text_digest(kind)
    if now is None:
        return None
    return now == text or _has_parts(kind, parts)


def _has_parts(kind: type, parts: str) -> bool:
    now = parts_of(kind)
    return not now or _digest_of_parts(now) == parts


def _digest_of_parts(parts: dict[str, str]) -> str:
    return digest(repr(sorted(parts.items())).encode("utf-8", "surrogatepass"))
