"""What can go wrong, and the class that says so.

Every error of the library is a :class:`PersistableError`; where Python has a word for the same thing, the
error is that too, so that ``except FileNotFoundError`` and ``except OSError`` mean what they always did::

    PersistableError
    ├── ParamsError                      what defines an artifact is not usable
    │   ├── UntrackableValueError        a value that no key rule covers        (also TypeError)
    │   └── DuplicateDependencyError     two dependencies of one role
    ├── ArtifactNotFoundError            the store holds nothing under this key (also FileNotFoundError)
    ├── AmbiguousKeyError                several artifacts have keys that begin so (also LookupError)
    ├── QueryError                       a condition for a catalogue makes no sense (also ValueError)
    ├── ArtifactCorruptError             it does, but not what was written
    ├── ManifestVersionError             written by a newer persistable
    ├── PayloadError
    │   ├── NoPayloadError               there is no payload in memory
    │   └── InvalidPayloadError          ``_validate_payload`` refused it
    ├── PersistError                     the payload could not be written       (also OSError)
    ├── LeaseTimeoutError                somebody else is generating, for too long (also TimeoutError)
    ├── StudyError                       a search cannot go on, or has not gone far enough
    ├── ForecastingError                 a series cannot be used as it is, or a comparison is not fair (also ValueError)
    ├── StoreError                       a place does not do what it must       (also OSError)
    └── MissingDependencyError           an extra is not installed              (also ImportError)

    PersistableWarning (UserWarning)
    ├── InvalidPayloadWarning            loaded although ``_validate_payload`` refused it
    ├── StaleCodeWarning                 the code has changed since the artifact was made
    ├── CorruptArtifactWarning           a damaged artifact is being made again
    ├── OfflineWarning                   a store is out of reach, and its cache is used instead
    ├── ParamsChangedWarning             the params changed while the payload was being made
    └── UntrackedDependencyWarning       a generation used a payload that its key does not know of

An error carries one message and plain attributes, so that it can be pickled and sent to another process.
"""

from __future__ import annotations

from typing import Any

__all__ = [
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
]


class PersistableError(Exception):
    """Base of every error that persistable raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.__dict__
        if isinstance(self, OSError) and self.errno is not None:
            state = {**state, "errno": self.errno}  # an OSError keeps it elsewhere, and would lose it
        return type(self), self.args, state


class ParamsError(PersistableError):
    """The params, or the dependencies, cannot define an artifact."""


class UntrackableValueError(ParamsError, TypeError):
    """A value in the params has a type that no key rule covers.

    Attributes
    ----------
    problem : str
        What is wrong with the value, and the ways out.
    path : str
        Where the value stands, as ``params.model.schedule``; grows as the error climbs out of the containers.
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem, path)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        return f"{self.path or 'the value'}: {self.problem}"

    def inside(self, step: str) -> UntrackableValueError:
        """Note that the value stands at `step` of a container; return the error, to be raised again."""
        separator = "" if not self.path or self.path.startswith("[") else "."
        self.path = f"{step}{separator}{self.path}"
        self.args = (self.problem, self.path)
        return self


class DuplicateDependencyError(ParamsError):
    """Two dependencies have the same role."""


class ArtifactNotFoundError(PersistableError, FileNotFoundError):
    """The store holds no artifact under this key.

    Attributes
    ----------
    key : str or None
        The key that was asked for.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class AmbiguousKeyError(PersistableError, LookupError):
    """Several artifacts have keys that begin with what was given.

    Attributes
    ----------
    candidates : list of str
        ``name/key`` of each.
    """

    def __init__(self, message: str, candidates: list[str] | None = None) -> None:
        super().__init__(message)
        self.candidates = candidates or []


class QueryError(PersistableError, ValueError):
    """A condition for a catalogue is no expression of its language, or asks for what no artifact has."""


class ArtifactCorruptError(PersistableError):
    """The store holds something under this key, but not what was written there.

    Attributes
    ----------
    key : str or None
        The key that was asked for.
    found : bytes or None
        The manifest that does not count, where the store holds one.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.found: bytes | None = None


class ManifestVersionError(PersistableError):
    """The artifact was written by a persistable (or by a file format) newer than the one that is running."""


class PayloadError(PersistableError):
    """Something about the payload itself."""


class NoPayloadError(PayloadError):
    """There is no payload in memory, and the call does not make one."""


class InvalidPayloadError(PayloadError):
    """The payload is not what it must be; meant to be raised by ``_validate_payload``."""


class PersistError(PersistableError, OSError):
    """The payload could not be written. It stays in memory: mend the cause, and call ``persist()`` again."""


class LeaseTimeoutError(PersistableError, TimeoutError):
    """Another process has been generating this artifact for longer than the store is willing to wait."""


class StudyError(PersistableError):
    """A search cannot go on, is not the one that was asked for, or has not gone as far as was asked."""


class ForecastingError(PersistableError, ValueError):
    """A series cannot be used as it is, a model cannot be fitted to it, or a comparison would not be fair."""


class StoreError(PersistableError, OSError):
    """A place cannot be used, or does not keep the promises that a store needs.

    Attributes
    ----------
    transient : bool
        Whether the same may work a moment later: the place is out of reach, or too busy, or failed inside.
    """

    transient: bool = False


class MissingDependencyError(PersistableError, ImportError):
    """A library that a format or an adapter needs is not installed.

    Examples
    --------
    >>> print(MissingDependencyError.of("pyarrow", extra="parquet", purpose="ParquetFileIO"))
    ParquetFileIO needs 'pyarrow', which is not installed. Install it with: pip install 'persistable[parquet]'
    """

    @classmethod
    def of(cls, package: str, *, extra: str, purpose: str) -> MissingDependencyError:
        """Return the error for `package`, which the extra `extra` installs, and which `purpose` needs."""
        return cls(
            f"{purpose} needs {package!r}, which is not installed. Install it with: pip install 'persistable[{extra}]'"
        )


class PersistableWarning(UserWarning):
    """Base of every warning that persistable gives."""


class InvalidPayloadWarning(PersistableWarning):
    """A payload was loaded although ``_validate_payload`` refused it."""


class StaleCodeWarning(PersistableWarning):
    """The class that made this artifact has changed since."""


class CorruptArtifactWarning(PersistableWarning):
    """A damaged artifact was found, and is made again."""


class OfflineWarning(PersistableWarning):
    """A store is out of reach: its cache serves what it holds, and keeps what is made."""


class ParamsChangedWarning(PersistableWarning):
    """The params changed while the payload was being made from them."""


class UntrackedDependencyWarning(PersistableWarning):
    """A generation used the payload of a persistable that is not among its tracked dependencies."""
