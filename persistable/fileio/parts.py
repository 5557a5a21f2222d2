"""PartsFileIO: several results of one generation, each in a format and a file of its own.

A fit that takes an hour gives a table of results, a report and the best parameters, and whoever needs the best
parameters need not load the table. On disk::

    payload.1f3a9c2e/
      parts.json         part -> file, format, version of the format
      best.json
      results.parquet
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..exceptions import ArtifactNotFoundError, PersistableError
from . import fileio_for
from .base import FileIO, StoredPayload
from .json import JsonFileIO

__all__ = ["Parts", "PartsFileIO"]

_INDEX = "parts.json"

# No dot, so that "a" with the suffix ".b.c" never meets "a.b" with the suffix ".c".
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")


class Parts(Mapping[str, Any]):
    """The parts of a stored payload, each loaded when it is asked for, and kept.

    An immutable mapping from part name to payload. ``repr`` loads nothing. The files must stay in place until the
    last part that is wanted has been loaded.
    """

    __slots__ = ("_folder", "_loaded", "_stored")

    def __init__(self, stored: Mapping[str, tuple[FileIO[Any], StoredPayload]], folder: StoredPayload) -> None:
        self._stored = stored
        self._folder = folder
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return a part; the first time, verify and load it.

        Raises
        ------
        KeyError
            If there is no part of this name.
        ArtifactCorruptError
            If its file is missing, or is not what was written.
        ArtifactNotFoundError
            If the whole payload is gone: it has been removed, or made again, since it was loaded.
        """
        if name not in self._loaded:
            if name not in self._stored:
                raise KeyError(f"{name!r} is no part of this payload; it has {', '.join(self._stored)}")
            fileio, stored = self._stored[name]
            try:
                part = fileio.load(stored)
            except Exception:
                if self._folder.path.is_dir():
                    raise
                raise self._gone(name) from None
            self._loaded.setdefault(name, part)  # two threads get one and the same object
        return self._loaded[name]

    def _gone(self, name: str) -> ArtifactNotFoundError:
        return ArtifactNotFoundError(
            f"The part {name!r} had not been loaded yet, and the payload {self._folder.name} is gone: it has been "
            f"removed, or made again, since. Load it once more, with load() or load_generate() of a new object.",
            self._folder.key,
        )

    def __contains__(self, name: object) -> bool:
        return name in self._stored  # without loading it, as Mapping would

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __repr__(self) -> str:
        shown = (f"{name}: {fileio.format_id}" for name, (fileio, _) in self._stored.items())
        return f"Parts({', '.join(shown)})"


class PartsFileIO(FileIO[Mapping[str, Any]]):
    """A mapping from names to payloads, each part in its own file and format, loaded when it is asked for.

    Parameters
    ----------
    parts : mapping of str to FileIO, optional
        Part name -> its format. Names hold letters, digits, ``_`` and ``-``. Without, PartsFileIO() loads whatever
        was written in formats that need no arguments and whose loading runs no code, and saves nothing.

    Raises
    ------
    ValueError
        At construction: a name that cannot be a file name everywhere.
    TypeError
        At save: the payload is no mapping with exactly these parts, or a part's format refuses it.

    Notes
    -----
    A load verifies every file, and deserialises none; when a part is asked for, its file is verified once more, on
    the bytes that are deserialised. Loading runs code only if you gave a part a format that does, as PickleFileIO():
    a part for which you named a format that carries data only is never unpickled, whatever the files say.

    Examples
    --------
    >>> import tempfile
    >>> from persistable.fileio import TextFileIO
    >>> folder = Path(tempfile.mkdtemp(), "payload")
    >>> fileio = PartsFileIO({"best": JsonFileIO(), "report": TextFileIO()})
    >>> fileio.save({"best": {"alpha": 0.5}, "report": "All is well."}, folder)
    >>> sorted(path.name for path in folder.iterdir())
    ['best.json', 'parts.json', 'report.txt']
    """

    format_id: ClassVar[str] = "parts"

    def __init__(self, parts: Mapping[str, FileIO[Any]] | None = None) -> None:
        self.parts = dict(parts or {})
        taken = {"parts"}
        for name, fileio in self.parts.items():
            if not isinstance(fileio, FileIO):
                raise TypeError(f"The part {name!r} needs a FileIO object, such as JsonFileIO(); got {fileio!r}.")
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(f"The part name {name!r} must be made of letters, digits, '_' and '-', up to 100.")
            if name.casefold() in taken:
                raise ValueError(
                    f"The part name {name!r} is taken: 'parts' is the index, and some file systems do not tell "
                    f"upper from lower case. Take another name."
                )
            taken.add(name.casefold())
        self.loading_runs_code = any(fileio.loading_runs_code for fileio in self.parts.values())

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({self.parts or ''})"

    def _save(self, payload: Mapping[str, Any], filepath: Path) -> None:
        if not self.parts:
            raise self._refusal(payload, "PartsFileIO() without parts can only load. Pass {name: FileIO, ...}")
        if not isinstance(payload, Mapping):
            raise self._refusal(payload, f"it takes a mapping with the parts {', '.join(self.parts)}")
        if payload.keys() != self.parts.keys():
            missing = [name for name in self.parts if name not in payload]
            extra = [name for name in payload if name not in self.parts]
            raise self._refusal(payload, f"parts missing: {missing}; parts that no format was given for: {extra}")
        filepath.mkdir()
        index = {name: _save_part(name, payload[name], self.parts[name], filepath) for name in self.parts}
        JsonFileIO().save(index, filepath / _INDEX)

    def _load(self, filepath: Path) -> Mapping[str, Any]:
        """Return all parts at once: without a manifest there is nothing to verify a part against later."""
        index = json.loads((filepath / _INDEX).read_bytes())
        return {name: self._format_of(name, entry)._load(filepath / entry["file"]) for name, entry in index.items()}

    def load(self, stored: StoredPayload) -> Parts:
        """Verify `stored`, and return its parts, each to be loaded when it is asked for."""
        stored.check()  # all of it: damage must show now, while the artifact can still be made again
        index = JsonFileIO().load(stored[_INDEX])
        parts = {}
        for name, entry in index.items():
            file = entry["file"]
            part = stored[file] if file in (stored.files or {}) else stored.folder(file)
            parts[name] = (self._format_of(name, entry), part)
        return Parts(parts, stored)

    def _format_of(self, name: str, entry: Mapping[str, Any]) -> FileIO[Any]:
        try:
            return fileio_for(entry["format"], entry["version"], self.parts.get(name, self))
        except PersistableError as error:
            error.add_note(f"persistable: this was raised for the part {name!r}; its format is the payload_io of it.")
            raise

    @classmethod
    def _in_place_of(cls, asked: FileIO[Any]) -> FileIO[Any]:
        fileio = cls()
        fileio.loading_runs_code = asked.loading_runs_code  # the parts are trusted as much as the whole
        return fileio


def _save_part(name: str, part: Any, fileio: FileIO[Any], folder: Path) -> dict[str, Any]:
    try:
        chosen = fileio.for_payload(part)
        file = f"{name}{chosen.suffix}"
        chosen.save(part, folder / file)
    except Exception as error:
        error.add_note(f"persistable: this was raised while the part {name!r} was written.")
        raise
    return {"file": file, "format": chosen.format_id, "version": chosen.version}
