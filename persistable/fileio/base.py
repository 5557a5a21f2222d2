"""What a format is: payload <-> a local path.

A FileIO knows nothing of places, keys or manifests. It writes one payload to a path that it is given, which does
not exist yet, as a file or as a folder, and reads it back. A format of one's own is two methods::

    class NpzPointsFileIO(FileIO[Points]):
        suffix = ".points.npz"

        def _save(self, payload, filepath):
            np.savez(filepath, x=payload.x, y=payload.y)

        def _load(self, filepath):
            with np.load(filepath) as arrays:
                return Points(arrays["x"], arrays["y"])

``_load`` is called only after the file has been verified; where it unpickles, or otherwise runs what the file says,
the class says ``loading_runs_code = True``. A format that can read its payload and verify it in
one pass overrides :meth:`FileIO.load` instead, and takes the bytes from the
:class:`~persistable._integrity.StoredPayload`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from .._integrity import StoredPayload

__all__ = ["FileIO", "PayloadT", "StoredPayload"]

PayloadT = TypeVar("PayloadT")

_known: dict[str, type[FileIO[Any]]] = {}
"""format_id -> class, of every FileIO that has been defined in this process."""


class FileIO(ABC, Generic[PayloadT]):
    """A format: how a payload becomes a file or a folder, and comes back.

    Attributes
    ----------
    suffix : str
        What the payload's file name ends with, the dot included; empty for a folder.
    format_id : str
        The name of the format in manifests. Module and class name if a subclass gives none; give one to a
        format that may move to another module.
    payload_is_the_file : bool
        Whether the payload is the stored file itself, and not what is in it: a persistable then holds the stored
        one as soon as it is committed.
    loading_runs_code : bool
        Whether a file of this format can run code when it is loaded, as a pickle can. Whoever asks for a format that
        cannot is never given one that can, whatever a manifest says.
    loads_lazily : bool
        Whether a loaded payload may go on reading its file, as a memory map does: a copy of it that was fetched from
        elsewhere is then kept for the life of the process, and else removed as soon as it is loaded. Say False in a
        format whose `_load` reads all that it needs.
    version : int
        Raised when files written from now on cannot be read by the code of before.
    """

    suffix: str = ""
    format_id: ClassVar[str]
    version: ClassVar[int] = 1
    payload_is_the_file: ClassVar[bool] = False
    loading_runs_code: bool = False
    loads_lazily: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "format_id" not in cls.__dict__:
            cls.format_id = f"{cls.__module__}.{cls.__qualname__}"
        _known[cls.format_id] = cls

    def __repr__(self) -> str:
        # What an object was made with may be a secret, so that a format that wants it shown shows it itself.
        return f"{type(self).__qualname__}({'...' if vars(self) else ''})"

    @abstractmethod
    def _save(self, payload: PayloadT, filepath: Path) -> None:
        """Write `payload` to `filepath`, a path that does not exist yet, as a file or as a folder.

        Raise whatever fits if the payload cannot be written so that :meth:`_load` gives it back: the caller
        turns it into a :class:`~persistable.exceptions.PersistError`, and nothing is left behind.
        """

    @abstractmethod
    def _load(self, filepath: Path) -> PayloadT:
        """Return the payload that :meth:`_save` wrote to `filepath`. The file has been verified."""

    def for_payload(self, payload: PayloadT) -> FileIO[Any]:
        """Return the FileIO that is to write `payload`: this one, unless the format depends on the payload."""
        return self

    def save(self, payload: PayloadT, filepath: Path) -> None:
        """Write `payload` to `filepath`; see :meth:`_save`."""
        self._save(payload, filepath)

    def load(self, stored: StoredPayload) -> PayloadT:
        """Verify `stored`, and return its payload.

        Raises
        ------
        ArtifactCorruptError
            If the file is missing, or is not what was written.
        """
        stored.check()
        return self._load(stored.path)

    def discard(self, filepath: Path) -> None:
        """Remove what is kept elsewhere of the payload at `filepath`, before that is removed itself.

        For a format that writes more than its file, such as a pointer to a place in the cloud. What is at `filepath`
        may be half of a payload, or none, or one of another format: what it is not sure to have written, it leaves.
        """

    @classmethod
    def _in_place_of(cls, asked: FileIO[Any]) -> FileIO[Any]:
        """Return the object that reads what this class wrote, where `asked` was asked for."""
        return cls()

    def _refusal(self, payload: Any, reason: str) -> TypeError:
        """Return the error that says why this format does not take `payload`, and what to do instead."""
        return TypeError(f"{type(self).__qualname__} does not take this {type(payload).__qualname__}: {reason}.")
