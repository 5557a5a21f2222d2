"""Lossless or an error: formats that read back what they have just written, and compare.

Tables have more corners (zones, categories, missing values, labels) than any list of rules would cover. So the
rule is the promise itself: a table that would come back otherwise is refused at save.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from .base import FileIO

__all__ = ["ProvedFileIO"]


class ProvedFileIO(FileIO[Any]):
    """A format that proves at save that its payload comes back.

    Attributes
    ----------
    check : bool
        Whether the file is read back and compared before it is accepted.
    """

    check = True

    @abstractmethod
    def _write(self, payload: Any, filepath: Path) -> None:
        """Write `payload` to `filepath`; what is lost on the way need not be noticed here."""

    @abstractmethod
    def _loss(self, payload: Any, loaded: Any) -> str | None:
        """Return in what `loaded` differs from `payload`; None if it is the same."""

    def _save(self, payload: Any, filepath: Path) -> None:
        try:
            self._write(payload, filepath)
            loss = self._loss(payload, self._load(filepath)) if self.check else None
        except (OSError, ImportError):  # the disk or the installation, not the payload
            raise
        except Exception as error:
            raise self._refusal(payload, str(error).rstrip(".")) from error
        if loss:
            raise self._refusal(payload, loss)
