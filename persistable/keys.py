"""Keys: the fingerprint of a params tree under a payload's name.

A key is the first 128 bits of SHA-256 over the canonical encoding of (scheme, payload name, version, params,
dependencies by role). A dependency enters by its own key, as in a Merkle tree, so that the cost is linear in the
number of nodes, on diamonds too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from ._canonical import encode, encode_name, encode_str, register_encoder
from .exceptions import ParamsError

__all__ = ["KEY", "NAME", "SCHEME", "ArtifactKey", "content_digest", "fingerprint", "is_artifact", "register_encoder"]

SCHEME = "persistable-key-1"
"""Version of the key rules. Golden digests in the tests hold it: whoever changes a rule must change this too."""


NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
"""What a payload name looks like: it names a folder everywhere."""

KEY = re.compile(r"[0-9a-f]{32}")
"""What a key looks like."""


def is_artifact(payload_name: object, key: object) -> bool:
    """Return whether a name and a key that somebody else has written down are such, and no way out of the store.

    >>> is_artifact("points", "3f9a0c" * 5 + "00"), is_artifact("../points", "3f9a0c" * 5 + "00")
    (True, False)
    """
    if not (isinstance(payload_name, str) and isinstance(key, str)):
        return False
    return NAME.fullmatch(payload_name) is not None and KEY.fullmatch(key) is not None


class ArtifactKey(str):
    """32 hexadecimal digits that stand for one params tree, and the payload name that they were made under.

    >>> key = ArtifactKey("3f9a0c", "gaussian_points")
    >>> key, key.payload_name, key.folder
    ('3f9a0c', 'gaussian_points', 'gaussian_points/3f9a0c')
    """

    __slots__ = ("payload_name",)

    payload_name: str

    def __new__(cls, digest: str, payload_name: str) -> ArtifactKey:
        """Return the key with these hexadecimal digits."""
        key = super().__new__(cls, digest)
        key.payload_name = payload_name
        return key

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.payload_name

    @property
    def folder(self) -> str:
        """Where a store keeps the artifact: a path relative to its root."""
        return f"{self.payload_name}/{self}"


def fingerprint(payload_name: str, version: str | None, params: Any, dependencies: Mapping[str, str]) -> str:
    """Return the digits of the key of a node.

    Parameters
    ----------
    payload_name : str
        The name of the payload.
    version : str or None
        The version of the code that makes it, if its class states one.
    params : object
        What defines the payload beside its upstreams.
    dependencies : mapping of str to str
        role -> fingerprint of the upstream node.

    Returns
    -------
    str
        32 hexadecimal digits.

    Raises
    ------
    UntrackableValueError
        If a value in `params` has a type that no key rule covers.
    ParamsError
        If a class of params is no whole dataclass, or `version` is neither a str nor None.

    Examples
    --------
    >>> points = fingerprint("points", None, {"n": 5}, {})
    >>> fingerprint("model", "2", {"alpha": 0.5}, {"points": points})
    '81ddd46a9e02a9b9be5175e346a8c4ec'
    """
    parts = [_head(payload_name, version), encode(params), b"m%d:" % len(dependencies)]
    for role in sorted(dependencies):
        parts += encode_name(role), encode_str(dependencies[role])
    return sha256(b"".join(parts)).hexdigest()[:32]


@lru_cache(maxsize=1024, typed=True)  # 1 and True are equal, and would share an entry
def _head(payload_name: str, version: str | None) -> bytes:
    if not (version is None or isinstance(version, str)):
        raise ParamsError(f"The version of {payload_name} must be a str or None; got {version!r}.")
    return encode_str(SCHEME) + encode_str(payload_name) + encode(version)


def content_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, as a parameter that follows the file and not its name.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits; the same that ``sha256sum`` prints.

    Raises
    ------
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as empty:
    ...     content_digest(empty.name)
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    with Path(path).open("rb") as file:
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"
