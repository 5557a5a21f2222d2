"""CloudFileIO: payloads in the cloud, and all that says what they are in a folder at hand.

Params, manifests and logs are small, and are browsed, searched and compared; payloads are large, and fetched when they
are needed. So the one can lie in a folder of the project, or of a team, and the other in a bucket. In the place of the
payload lies a pointer::

    points/3f9a0c…/manifest.json
                   payload.1f3a9c2e.cloud.json    {"url": "s3://bucket", "path": "points/3f9a0c…/payload.77ab01cd.npy",
                                                   "format": "npy", "format_version": 1, "size": …, "digest": …, …}

The pointer is verified by the manifest, and the payload by the pointer, so that a hit is as safe as any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ._integrity import StoredPayload, Verify, new_token
from ._payloads import drop_payload, load_payload, put_payload, spooled
from .exceptions import ArtifactCorruptError, PayloadError
from .fileio import FileIO, PickleFileIO
from .fileio.base import PayloadT
from .stores import CachedStore, Store, store_for

__all__ = ["CloudFileIO"]

_FIELDS = {"url": str, "path": str, "format": str, "format_version": int, "size": int, "digest": str}

# What is written, and so all that a pointer may name: whoever can write pointers has no say about other files.
_FOLDER = r"[A-Za-z0-9_-][A-Za-z0-9._-]*/[0-9a-f]{32}"
_PATH = re.compile(rf"(?:{_FOLDER}/)?payload\.(?:[0-9a-f]{{8}}){{1,2}}(?:\.[^/]*)?")
_ARTIFACT = re.compile(rf"(?:.*/)?({_FOLDER})", re.DOTALL)


class CloudFileIO(FileIO[PayloadT]):
    """Any format, with its files in the cloud: in the place of the payload lies a small pointer to it.

    Parameters
    ----------
    url : str or Store
        Where payloads are kept, as for ``data_dir``: ``s3://bucket/prefix``, another folder, or a store.
    fileio : FileIO, optional
        The format of the payload; pickle if not given.
    storage_options : mapping, optional
        Credentials, endpoint, timeouts, for a URL. They enter no file.

    Raises
    ------
    StoreError, MissingDependencyError, TypeError, ValueError
        At construction: as for :func:`~persistable.stores.store_for`.
    PayloadError
        At load: the payload lies at another URL than `url`. Nothing is fetched from a place that you did not name.

    Notes
    -----
    A payload that is replaced, or that loses against somebody else's, is removed from the cloud with its pointer; while
    the cloud is out of reach, both stay until a later sweep. What a process leaves that is killed while it uploads
    stays in the cloud, and so does what is a part of a PartsFileIO: take CloudFileIO(url, PartsFileIO(…)). A folder of
    artifacts that is copied shares its payloads with the original: if one of the two makes an artifact anew, the other
    will, too.

    With a cache (``cache_dir=``, PERSISTABLE_CACHE_DIR), payloads are kept here once they have been read; one that is
    written counts when it is in the cloud.

    Examples
    --------
    >>> import tempfile
    >>> from persistable.fileio import JsonFileIO
    >>> cloud, folder = tempfile.mkdtemp(), Path(tempfile.mkdtemp())
    >>> fileio = CloudFileIO(cloud, JsonFileIO())
    >>> fileio.save({"alpha": 0.5}, folder / "payload.cloud.json")
    >>> pointer = json.loads((folder / "payload.cloud.json").read_text())
    >>> pointer["format"], (Path(cloud) / pointer["path"]).suffix
    ('json', '.json')
    """

    suffix = ".cloud.json"
    format_id: ClassVar[str] = "cloud"
    loads_lazily = False  # the pointer is not needed any more; what is fetched is held as `fileio` needs it

    def __init__(
        self,
        url: str | os.PathLike[str] | Store,
        fileio: FileIO[PayloadT] | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not (fileio is None or isinstance(fileio, FileIO)):
            raise TypeError(f"fileio must be a FileIO object, such as PickleFileIO(); got {fileio!r}.")
        self.fileio: FileIO[PayloadT] = PickleFileIO() if fileio is None else fileio
        self.store = store_for(url, storage_options=storage_options)
        self.loading_runs_code = self.fileio.loading_runs_code

    @property
    def payload_is_the_file(self) -> bool:  # type: ignore[override]
        return self.fileio.payload_is_the_file

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({self._cloud.url!r}, {self.fileio!r})"

    @property
    def _cloud(self) -> Store:
        """The place that a payload must have reached. A cache may keep it for later, but publishes manifests only."""
        return self.store.inner if isinstance(self.store, CachedStore) else self.store

    def _save(self, payload: PayloadT, filepath: Path) -> None:
        cloud, fileio = self._cloud, self.fileio.for_payload(payload)
        path = _path_for(filepath, fileio.suffix)
        try:
            with spooled(cloud, path, payload, fileio) as spool:
                size, digest, files = put_payload(cloud, spool, path)
            pointer = {
                "url": cloud.url,
                "path": path,
                "format": fileio.format_id,
                "format_version": fileio.version,
                "size": size,
                "digest": digest,
                "files": files,
            }
            with filepath.open("x", encoding="utf-8") as file:
                json.dump(pointer, file, indent=2)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error counts
                drop_payload(cloud, path, fileio)
            raise

    def _load(self, filepath: Path) -> PayloadT:
        return self._follow(_parsed(filepath.read_bytes()), "digest", None)

    def load(self, stored: StoredPayload) -> PayloadT:
        """Verify the pointer, fetch the payload that it names, verify that, and return it."""
        try:
            pointer = _parsed(stored.read())
        except ValueError as error:
            raise ArtifactCorruptError(f"The payload file {stored.name} {error}.", stored.key) from error
        return self._follow(pointer, stored.verify, stored.key)

    def discard(self, filepath: Path) -> None:
        """Remove from the cloud what the pointer at `filepath` names, if it is one of this place."""
        pointer = _parsed(filepath.read_bytes())
        if pointer["url"] == self._cloud.url:
            drop_payload(self._cloud, pointer["path"], self.fileio)
            self.store.forget(pointer["path"])

    def _follow(self, pointer: Mapping[str, Any], verify: Verify, key: str | None) -> PayloadT:
        url, here = pointer["url"], self._cloud.url
        if url != here:
            raise PayloadError(
                f"The payload lies at {url}, and payload_io keeps payloads at {here}. Pass "
                f"payload_io={type(self).__qualname__}({url!r}, …) to load it from there, if you trust that place; or "
                f"call generate() to have it written anew."
            )
        payload: PayloadT = load_payload(self.store, pointer["path"], pointer, self.fileio, verify, key)
        return payload


def _path_for(filepath: Path, suffix: str) -> str:
    """Return a path in the cloud that nobody has used before: below name and key, where `filepath` tells them."""
    found = _ARTIFACT.fullmatch(filepath.parent.as_posix())
    return f"{found[1]}/payload.{new_token()}{suffix}" if found else f"payload.{new_token()}{new_token()}{suffix}"


def _parsed(data: bytes) -> dict[str, Any]:
    """Return the pointer in `data`, or raise ValueError."""
    try:
        pointer = json.loads(data)
    except ValueError as error:
        raise ValueError(f"is no pointer into the cloud: {error}") from error
    if not isinstance(pointer, dict):
        raise ValueError("is no pointer into the cloud")
    if wrong := [name for name, kind in _FIELDS.items() if not isinstance(pointer.get(name), kind)]:
        raise ValueError(f"is no pointer into the cloud: it does not state {wrong[0]!r}")
    if not _PATH.fullmatch(pointer["path"]):
        raise ValueError(f"points at {pointer['path']!r}, which is no payload")
    if not isinstance(pointer.setdefault("files", None), dict | None):
        raise ValueError("is no pointer into the cloud: it does not state 'files'")
    return pointer
