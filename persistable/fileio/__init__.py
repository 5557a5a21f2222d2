"""Formats. Each is one class in one module, and one line in the table below.

The modules are imported when a format is first asked for, so that numpy, pandas and pyarrow stay unimported
until a payload needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..exceptions import ManifestVersionError, PayloadError
from .base import FileIO, _known

if TYPE_CHECKING:
    from .arrow import FeatherFileIO as FeatherFileIO, ParquetFileIO as ParquetFileIO
    from .auto import AutoFileIO as AutoFileIO
    from .csv import CsvFileIO as CsvFileIO
    from .folder import FolderFileIO as FolderFileIO
    from .json import JsonFileIO as JsonFileIO
    from .numpy import NpyFileIO as NpyFileIO, NpzFileIO as NpzFileIO
    from .parts import PartsFileIO as PartsFileIO
    from .pickle import PickleFileIO as PickleFileIO
    from .text import BytesFileIO as BytesFileIO, TextFileIO as TextFileIO
    from .torch import TorchFileIO as TorchFileIO

_FORMATS = {
    # format_id: (module, class)
    "auto": ("auto", "AutoFileIO"),
    "bytes": ("text", "BytesFileIO"),
    "csv": ("csv", "CsvFileIO"),
    "feather": ("arrow", "FeatherFileIO"),
    "folder": ("folder", "FolderFileIO"),
    "json": ("json", "JsonFileIO"),
    "npy": ("numpy", "NpyFileIO"),
    "npz": ("numpy", "NpzFileIO"),
    "parquet": ("arrow", "ParquetFileIO"),
    "parts": ("parts", "PartsFileIO"),
    "pickle": ("pickle", "PickleFileIO"),
    "safetensors": ("torch", "TorchFileIO"),
    "text": ("text", "TextFileIO"),
}

_MODULES = {name: module for module, name in _FORMATS.values()}

__all__ = ["FileIO", "fileio_for", "keeps_elsewhere", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def fileio_for(format_id: str, version: int, asked: FileIO[Any]) -> FileIO[Any]:
    """Return the FileIO that reads what `format_id` wrote: `asked` if it is the one, else a known one.

    A format whose loading runs code is returned only if `asked` is one, too: otherwise whoever can write a manifest
    could choose pickle for a reader who chose JSON.

    Parameters
    ----------
    format_id : str
        The format that the manifest names.
    version : int
        The version of the format that wrote.
    asked : FileIO
        The ``payload_io`` of the persistable.

    Raises
    ------
    ManifestVersionError
        If no known format has this id, or only an older version of it.
    PayloadError
        If loading it runs code, and `asked` does not.
    """
    found: FileIO[Any] | None = asked if asked.format_id == format_id else None
    if found is None and format_id in _FORMATS:
        module, name = _FORMATS[format_id]
        found = getattr(import_module(f".{module}", __name__), name)._in_place_of(asked)
    elif found is None and format_id == "cloud":
        raise PayloadError(
            "The payload was written by CloudFileIO, and lies in the cloud; payload_io is "
            f"{asked!r}, which does not know where. Pass payload_io=CloudFileIO(url, {asked!r}), with the "
            f"URL that it was written with, or call generate() to have the payload written anew."
        )
    elif found is None and format_id in _known:
        try:
            found = _known[format_id]._in_place_of(asked)
        except TypeError as error:
            raise ManifestVersionError(
                f"The payload was written by the format {format_id!r}, whose class needs arguments ({error}). "
                f"Pass it as payload_io=."
            ) from error
    if found is None:
        raise ManifestVersionError(
            f"The payload was written by the format {format_id!r}, which is not known here. Import the module that "
            f"defines it, or pass its FileIO as payload_io= (now: {asked.format_id!r})."
        )
    if version > found.version:
        raise ManifestVersionError(
            f"The payload was written by version {version} of the format {format_id!r}, but version {found.version} "
            f"is installed. Upgrade the package that {type(found).__qualname__} comes from."
        )
    if found.loading_runs_code and not asked.loading_runs_code:
        what = "a pickle" if format_id == "pickle" else "it"
        raise PayloadError(
            f"The payload was written by {type(found).__qualname__}, and loading {what} runs code; payload_io is "
            f"{asked!r}, which never does. Pass payload_io={found!r} if you trust whoever can write to the store, or "
            f"call generate() to have the payload written anew."
        )
    return found


def keeps_elsewhere(format_id: str) -> bool | None:
    """Return whether a format keeps something of a payload beside its file; None if the format is not known here."""
    if format_id in _FORMATS:
        return False
    known = _known.get(format_id)
    return format_id == "cloud" or (None if known is None else known.discard is not FileIO.discard)
