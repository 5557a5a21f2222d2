"""persistable: parameter-keyed artifacts, made once.

Subclass :class:`Persistable`, say how a payload is made from its params, and call ``load_generate()``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._persistable import Persistable as Persistable
    from .catalog import Catalog as Catalog
    from .cloud import CloudFileIO as CloudFileIO
    from .exceptions import *  # noqa: F403
    from .fileio import (
        AutoFileIO as AutoFileIO,
        BytesFileIO as BytesFileIO,
        CsvFileIO as CsvFileIO,
        FeatherFileIO as FeatherFileIO,
        FileIO as FileIO,
        FolderFileIO as FolderFileIO,
        JsonFileIO as JsonFileIO,
        NpyFileIO as NpyFileIO,
        NpzFileIO as NpzFileIO,
        ParquetFileIO as ParquetFileIO,
        PartsFileIO as PartsFileIO,
        PickleFileIO as PickleFileIO,
        TextFileIO as TextFileIO,
        TorchFileIO as TorchFileIO,
    )
    from .keys import (
        content_digest as content_digest,
        register_encoder as register_encoder,
    )
    from .lineage import (
        Explanation as Explanation,
        Lineage as Lineage,
        diff as diff,
    )
    from .manifest import Manifest as Manifest
    from .params import (
        PersistableParams as PersistableParams,
        added as added,
        untracked as untracked,
    )
    from .report import write_report as write_report
    from .stores import (
        CachedStore as CachedStore,
        FsspecStore as FsspecStore,
        LocalStore as LocalStore,
        ObjectStore as ObjectStore,
        ReadOnlyStore as ReadOnlyStore,
        RetryStore as RetryStore,
        Store as Store,
        store_for as store_for,
    )

__version__ = "2.0.0"

_HOMES = {
    "_persistable": ("Persistable",),
    "params": ("PersistableParams", "added", "untracked"),
    "keys": ("content_digest", "register_encoder"),
    "manifest": ("Manifest",),
    "catalog": ("Catalog",),
    "lineage": ("Explanation", "Lineage", "diff"),
    "report": ("write_report",),
    "cloud": ("CloudFileIO",),
    "stores": (
        "CachedStore",
        "FsspecStore",
        "LocalStore",
        "ObjectStore",
        "ReadOnlyStore",
        "RetryStore",
        "Store",
        "store_for",
    ),
    "fileio": (
        "AutoFileIO",
        "BytesFileIO",
        "CsvFileIO",
        "FeatherFileIO",
        "FileIO",
        "FolderFileIO",
        "JsonFileIO",
        "NpyFileIO",
        "NpzFileIO",
        "ParquetFileIO",
        "PartsFileIO",
        "PickleFileIO",
        "TextFileIO",
        "TorchFileIO",
    ),
    "exceptions": (
        "AmbiguousKeyError",
        "ArtifactCorruptError",
        "ArtifactNotFoundError",
        "CorruptArtifactWarning",
        "DuplicateDependencyError",
        "ForecastingError",
        "InvalidPayloadError",
        "InvalidPayloadWarning",
        "LeaseTimeoutError",
        "ManifestVersionError",
        "MissingDependencyError",
        "NoPayloadError",
        "OfflineWarning",
        "ParamsChangedWarning",
        "ParamsError",
        "PayloadError",
        "PersistError",
        "PersistableError",
        "PersistableWarning",
        "QueryError",
        "StaleCodeWarning",
        "StoreError",
        "StudyError",
        "UntrackableValueError",
        "UntrackedDependencyWarning",
    ),
}

_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULES)


_SUBMODULES = {
    "artifacts",
    "catalog",
    "exceptions",
    "fileio",
    "forecasting",
    "keys",
    "lineage",
    "manifest",
    "params",
    "report",
    "stores",
    "studies",
    "testing",
    "upkeep",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: a format or a store costs nothing until then."""
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES, "__version__", "__doc__"})
