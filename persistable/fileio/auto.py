"""AutoFileIO: the format that fits the payload.

It only chooses: the manifest records the format that wrote, and that one reads.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from ..exceptions import MissingDependencyError
from .base import FileIO
from .json import JsonFileIO, why_not_json
from .pickle import PickleFileIO
from .text import BytesFileIO, TextFileIO

__all__ = ["AutoFileIO"]


class AutoFileIO(FileIO[Any]):
    """Any payload, each in the format that fits it.

    ====================================  ============================================================
    payload                               written by
    ====================================  ============================================================
    numpy array                           NpyFileIO
    DataFrame (pandas, polars), Table     FeatherFileIO, if Arrow carries it unchanged
    str, bytes                            TextFileIO, BytesFileIO
    plain values                          JsonFileIO, if JSON gives them back equal and of the same types
    anything else                         PickleFileIO
    ====================================  ============================================================

    Loading runs no code, except for a payload that was pickled. Where other people can write to the store,
    name the format instead.

    Examples
    --------
    >>> AutoFileIO().for_payload({"alpha": 0.5}).format_id
    'json'
    >>> AutoFileIO().for_payload({"alpha": {0.5}}).format_id
    'pickle'
    """

    format_id: ClassVar[str] = "auto"

    def for_payload(self, payload: Any) -> FileIO[Any]:
        """Return the FileIO that is to write `payload`."""
        if type(payload) is bytes:
            return BytesFileIO()
        found = _for_array(payload) or _for_table(payload)
        if found is not None:
            return found
        if why_not_json(payload) is not None:
            return PickleFileIO()
        return TextFileIO() if type(payload) is str else JsonFileIO()

    def _save(self, payload: Any, filepath: Path) -> None:
        self.for_payload(payload).save(payload, filepath)

    def _load(self, filepath: Path) -> NoReturn:
        raise TypeError(
            f"AutoFileIO chooses a format at save, and cannot tell which one wrote {filepath}. "
            f"Load it through its artifact, whose manifest names the format, or with that format's own FileIO."
        )


def _for_array(payload: Any) -> FileIO[Any] | None:
    # A payload can only be an array if its library has been imported already.
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(payload, numpy.ndarray):
        return None
    from .numpy import NpyFileIO, why_not_npy

    return NpyFileIO() if why_not_npy(payload) is None else PickleFileIO()


def _for_table(payload: Any) -> FileIO[Any] | None:
    if type(payload).__module__.partition(".")[0] not in ("pandas", "polars", "pyarrow"):
        return None
    try:
        from .arrow import FeatherFileIO, why_not_arrow
    except MissingDependencyError:  # pandas and polars do without pyarrow
        return PickleFileIO()
    # Proved here, so that it need not be proved again at save.
    return FeatherFileIO(check=False) if why_not_arrow(payload) is None else PickleFileIO()
