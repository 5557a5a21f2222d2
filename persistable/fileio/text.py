"""TextFileIO and BytesFileIO: a string or bytes, and nothing around it.

Loading runs no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from .base import FileIO, StoredPayload

__all__ = ["BytesFileIO", "TextFileIO"]


class TextFileIO(FileIO[str]):
    r"""A string, as a UTF-8 file that any editor opens. Newlines stay as they are. Loading runs no code.

    Raises
    ------
    TypeError
        At save: the payload is not a str, or no valid Unicode (it holds a surrogate).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "payload.txt")
    >>> TextFileIO().save("Grüße\r\n", path)
    >>> path.read_bytes()
    b'Gr\xc3\xbc\xc3\x9fe\r\n'
    """

    suffix = ".txt"
    format_id: ClassVar[str] = "text"
    loads_lazily = False

    def _save(self, payload: str, filepath: Path) -> None:
        if type(payload) is not str:
            raise self._refusal(payload, "it takes a str, and would give back a plain one. Pass str(payload)")
        try:
            data = payload.encode()
        except UnicodeEncodeError as error:
            raise self._refusal(
                payload,
                f"its character {error.start} is {payload[error.start]!a}, half of a surrogate pair, which UTF-8 "
                f"cannot hold. Mend the text where it was decoded, or use PickleFileIO",
            ) from error
        with filepath.open("xb") as file:
            file.write(data)

    def _load(self, filepath: Path) -> str:
        return filepath.read_bytes().decode()

    def load(self, stored: StoredPayload) -> str:
        """Verify `stored`, and decode the very bytes that were verified."""
        return str(stored.buffer(), "utf-8")


class BytesFileIO(FileIO[bytes]):
    r"""Bytes, as they are: an image, an archive, what a service answered. Loading runs no code.

    Raises
    ------
    TypeError
        At save: the payload is not exactly of type bytes.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "payload.bin")
    >>> BytesFileIO().save(b"\x00\x01", path)
    >>> path.read_bytes()
    b'\x00\x01'
    """

    suffix = ".bin"
    format_id: ClassVar[str] = "bytes"
    loads_lazily = False

    def _save(self, payload: bytes, filepath: Path) -> None:
        if type(payload) is not bytes:
            raise self._refusal(payload, "it takes bytes, and would give back bytes. Pass bytes(payload)")
        with filepath.open("xb") as file:
            file.write(payload)

    def _load(self, filepath: Path) -> bytes:
        return filepath.read_bytes()

    def load(self, stored: StoredPayload) -> bytes:
        """Verify `stored`, and return the very bytes that were verified."""
        return bytes(stored.buffer())  # of a large file: one copy, out of the mapping that was digested
