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
    anything else                         PickleFileIO, unless ``allow_pickle=False``
    ====================================  ============================================================

    Parameters
    ----------
    allow_pickle : bool
        Whether what has no other format is pickled, and pickles are loaded. Without, the former is refused at save,
        and the latter at load.

    Raises
    ------
    TypeError
        At save, with ``allow_pickle=False``: no other format carries the payload. The message says why.

    Warnings
    --------
    AutoFileIO() may pickle, and loads what was pickled: it runs code for whoever can write to the store. Where other
    people can, pass ``allow_pickle=False``, or name the format.

    Examples
    --------
    >>> AutoFileIO().for_payload({"alpha": 0.5}).format_id
    'json'
    >>> AutoFileIO().for_payload({"alpha": {0.5}}).format_id
    'pickle'
    >>> AutoFileIO(allow_pickle=False).save({"alpha": {0.5}}, Path("payload"))
    Traceback (most recent call last):
    ...
    TypeError: AutoFileIO does not take this dict: $.alpha: a set has no JSON. Convert it first, or allow pickle.
    """

    format_id: ClassVar[str] = "auto"

    def __init__(self, *, allow_pickle: bool = True) -> None:
        self.loading_runs_code = allow_pickle

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({'' if self.loading_runs_code else 'allow_pickle=False'})"

    def for_payload(self, payload: Any) -> FileIO[Any]:
        """Return the FileIO that is to write `payload`: this one, which refuses it, if none is to."""
        found = _data_only(payload)
        if isinstance(found, FileIO):
            return found
        return PickleFileIO() if self.loading_runs_code else self

    def _save(self, payload: Any, filepath: Path) -> None:
        fileio = self.for_payload(payload)
        if fileio is self:
            raise self._refusal(payload, f"{_data_only(payload)}. Convert it first, or allow pickle")
        fileio.save(payload, filepath)

    def _load(self, filepath: Path) -> NoReturn:
        raise TypeError(
            f"AutoFileIO chooses a format at save, and cannot tell which one wrote {filepath}. "
            f"Load it through its artifact, whose manifest names the format, or with that format's own FileIO."
        )


def _data_only(payload: Any) -> FileIO[Any] | str:
    """Return the format that carries `payload` without a pickle; if there is none, why not."""
    if type(payload) is bytes:
        return BytesFileIO()
    found = _for_array(payload) or _for_table(payload)
    if found is not None:
        return found
    if (reason := why_not_json(payload)) is not None:
        return reason
    return TextFileIO() if type(payload) is str else JsonFileIO()


def _for_array(payload: Any) -> FileIO[Any] | str | None:
    # A payload can only be an array if its library has been imported already.
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(payload, numpy.ndarray):
        return None
    from .numpy import NpyFileIO, why_not_npy

    return why_not_npy(payload) or NpyFileIO()


def _for_table(payload: Any) -> FileIO[Any] | str | None:
    if type(payload).__module__.partition(".")[0] not in ("pandas", "polars", "pyarrow"):
        return None
    try:
        from .arrow import FeatherFileIO, why_not_arrow
    except MissingDependencyError as error:  # pandas and polars do without pyarrow
        return str(error)
    # Proved here, so that it need not be proved again at save.
    return why_not_arrow(payload) or FeatherFileIO(check=False)
