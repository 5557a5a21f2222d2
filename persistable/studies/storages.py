"""Where the trials of a running search lie, while workers add to them.

Usually a journal (:mod:`.journal`), which needs no server, and serves many workers on one machine or on a shared drive;
or else a database, Redis, a gRPC proxy, or a storage object of Optuna's. A payload does not lie here: it is made from
the trials when there are enough of them.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import random
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from .._mounts import NETWORK_FILE_SYSTEMS, file_system
from .._warn import warn
from ..exceptions import MissingDependencyError, PersistableWarning, StudyError
from ..keys import ArtifactKey

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import StudyDirection

__all__ = [
    "TrialStorage",
    "afresh",
    "create_study",
    "find_study",
    "private_folder",
    "set_trial_params",
    "takes_one_at_a_time",
]

_POSSIBLE: Final = (
    "A storage is the path of a journal file; a URL: sqlite:///path, postgresql://..., mysql://... or what else "
    "SQLAlchemy knows, redis://host:port/0, grpc://host:port; or a storage object of Optuna's."
)

_SECONDS_TO_OPEN: Final = 15.0  # while others make the same tables; seconds for six on two cores, busy with imports
_SECONDS_TO_ANSWER: Final = 5.0

_DRIVERS: Final = {
    "MySQLdb": "mysqlclient",
    "cx_Oracle": "cx_Oracle",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
}
"""What to install for a driver, where that has another name."""


class TrialStorage:
    """Where the trials of a search lie; a value, which can be sent to a worker. Nothing is touched before `open`.

    Parameters
    ----------
    storage : str, path, BaseStorage or None
        The path of a journal file; a URL; a storage object of Optuna's; None for the default.
    default : Path
        The journal file that None stands for.

    Attributes
    ----------
    url : str
        The storage as optuna-dashboard takes it, with the password, if there is one; `str()` masks that.
    path : Path or None
        The journal file or the SQLite file; None if it is neither.

    Raises
    ------
    StudyError
        If `storage` is nothing of that.

    Examples
    --------
    >>> str(TrialStorage("postgresql://ann:secret@db/trials", Path("journal.log")))
    'postgresql://ann:***@db/trials'
    >>> TrialStorage("sqlite:////data/trials.db", Path("journal.log")).path.as_posix()
    '/data/trials.db'
    """

    def __init__(self, storage: str | os.PathLike[str] | BaseStorage | None, default: Path) -> None:
        self.path: Path | None = None
        self._given: BaseStorage | None = None
        if storage is None:
            storage = default
        name = os.fsdecode(storage) if isinstance(storage, str | os.PathLike) else ""
        if "://" in name:
            self._kind, self.url = _kind(name), name
            if self._kind == "sqlite":
                self.path, self.url = _absolute_sqlite(name)
        elif name:
            self._kind, self.path = "journal", _absolute(name)
            self.url = str(self.path)
        elif _is_storage(storage):
            self._kind, self._given = "given", cast("BaseStorage", storage)
            self.url = f"<{type(storage).__name__}>"
        else:
            raise StudyError(f"storage={storage!r} is no storage for trials. {_POSSIBLE}")

    def __str__(self) -> str:
        masked = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", self.url)
        return re.sub(r"([?&][^=&]*pass[^=&]*=)[^&]*", r"\1***", masked, flags=re.IGNORECASE)

    def __repr__(self) -> str:
        return f"TrialStorage({str(self)!r})"

    def exists(self) -> bool | None:
        """Return whether the file is there; None where only opening can tell."""
        return None if self.path is None else self.path.exists()

    def open(self) -> BaseStorage:
        """Return Optuna's storage, ready to use; make what is not there yet. Close it with :meth:`close`.

        Raises
        ------
        StudyError
            If it cannot be opened, or what lies there is no storage.
        MissingDependencyError
            If a library that it needs is not installed.
        """
        if find_spec("optuna") is None:
            raise MissingDependencyError.of("optuna", extra="optuna", purpose="A study")
        if self._given is not None:
            return afresh(self._given)
        if self._kind == "journal":
            from .journal import open_journal

            assert self.path is not None
            return open_journal(self.path)
        if self._kind == "redis":
            return self._open_redis()
        if self._kind == "grpc":
            return self._open_grpc()
        return self._open_database()

    def close(self, storage: BaseStorage) -> None:
        """Close the connections of what `open` returned; a storage object that was given stays as it is."""
        if self._given is not None:
            return
        if self._kind == "grpc":
            storage.close()  # type: ignore[attr-defined]
        elif self._kind == "redis":
            storage._backend._redis.close()  # type: ignore[attr-defined]
        elif self._kind != "journal":
            storage.remove_session()
            _dispose(storage._backend)  # type: ignore[attr-defined]

    def set_aside(self, study_name: str) -> Path:
        """Move the journal to a name beside it that says when, and return that: the search starts afresh.

        Parameters
        ----------
        study_name : str
            Whose trials lie in it, for the message.

        Raises
        ------
        StudyError
            If there is none, or the trials do not lie in a journal.
        """
        if self._kind != "journal" or self.path is None:
            raise StudyError(
                f"Only a journal can be set aside, and the trials of {study_name} lie in {self}. Delete the study "
                f"there, with optuna.delete_study(study_name={study_name!r}, storage=...), or pass another storage."
            )
        from .journal import set_aside

        return set_aside(self.path, study_name)

    def _open_database(self) -> BaseStorage:
        """Open a database; several hosts that open a new one at once make its tables twice, and all but one fail."""
        from optuna.exceptions import StorageInternalError
        from optuna.storages import RDBStorage, get_storage
        from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

        arguments: dict[str, Any] = {}
        if self._kind == "sqlite":
            self._prepare_sqlite()
            arguments["connect_args"] = {"timeout": 60}
        # Optuna fills braces in, and would take those of a path or a password for its own.
        url = self.url.replace("{", "{{").replace("}", "}}")
        deadline = time.monotonic() + _SECONDS_TO_OPEN
        pause = 0.05
        while True:
            storage = RDBStorage.__new__(RDBStorage)  # to have hold of the engine of one that fails
            try:
                RDBStorage.__init__(storage, url, arguments)
                return get_storage(storage)
            except (OperationalError, ProgrammingError, IntegrityError, StorageInternalError, AssertionError) as error:
                reached = _is_reached(storage)
                _dispose(storage)
                if not reached or time.monotonic() > deadline:
                    raise StudyError(f"{self} cannot be opened: {error}") from error
            except ImportError as error:
                raise self._missing_driver(error) from error
            except ArgumentError as error:
                raise StudyError(f"{self} cannot be opened: {error} {_POSSIBLE}") from error
            except BaseException as error:
                _dispose(storage)
                # No database, or one that a newer Optuna has made.
                if isinstance(error, DBAPIError | RuntimeError):
                    raise StudyError(f"{self} cannot be opened: {error}") from error
                raise
            time.sleep(pause * random.SystemRandom().uniform(0.5, 1.5))  # not in step with the others
            pause = min(2 * pause, 1.0)

    def _prepare_sqlite(self) -> None:
        assert self.path is not None
        kind = file_system(self.path)
        if kind in NETWORK_FILE_SYSTEMS:
            warn(
                f"{self.path} lies on a network drive ({kind}), where SQLite loses data when two machines write "
                f"('database disk image is malformed'). Use a journal there: the path of a file, without 'sqlite:///'.",
                PersistableWarning,
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(f"{self} cannot be opened: {error}") from error

    def _missing_driver(self, error: ImportError) -> MissingDependencyError:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        module = (cause.name or str(cause)).partition(".")[0]
        return MissingDependencyError(
            f"{self} needs the driver {module!r}, which is not installed. "
            f"Install it with: pip install '{_DRIVERS.get(module, module)}'"
        )

    def _open_redis(self) -> BaseStorage:
        if find_spec("redis") is None:
            raise MissingDependencyError(
                f"{self} needs 'redis', which is not installed. Install it with: pip install redis"
            )
        from optuna.storages.journal import JournalRedisBackend, JournalStorage
        from redis.exceptions import RedisError

        backend: Any = None
        try:
            with _experimental():
                backend = JournalRedisBackend(self.url)
            return JournalStorage(backend)
        except (RedisError, ValueError) as error:
            if backend is not None:
                backend._redis.close()
            raise StudyError(f"{self} cannot be opened: {error}") from error

    def _open_grpc(self) -> BaseStorage:
        if find_spec("grpc") is None or find_spec("google.protobuf") is None:
            raise MissingDependencyError(
                f"{self} needs 'grpcio', which is not installed. Install it with: pip install grpcio protobuf"
            )
        from optuna.storages import GrpcStorageProxy

        match = re.fullmatch(r"grpc://(\[[^\]]+\]|[^:/]+):(\d+)/?", self.url)
        assert match is not None, "checked when it was made"
        with _experimental():
            storage = GrpcStorageProxy(host=match[1], port=int(match[2]))
        try:
            storage.wait_server_ready(timeout=_SECONDS_TO_ANSWER)
        except ConnectionError as error:
            storage.close()
            raise StudyError(f"{self} cannot be opened: no server answered in {_SECONDS_TO_ANSWER:.0f} s.") from error
        return storage


def afresh(storage: BaseStorage) -> BaseStorage:
    """Return the storage without what this process has read of it, where that can be wrong.

    A JournalStorage counts an entry as read before it has applied it: Ctrl-C in between, and a trial that is complete
    runs for ever in the eyes of this process, which would then repeat it.
    """
    from optuna.storages import JournalStorage

    return copy.copy(storage) if isinstance(storage, JournalStorage) else storage  # its copies read from the beginning


def takes_one_at_a_time(storage: BaseStorage) -> bool:
    """Return whether exactly one of several workers gets a trial that waits.

    Not so in SQLite: Optuna reads and writes the state in one transaction, and SQLite lets two of them read first.
    """
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)
    return engine is None or engine.dialect.name != "sqlite"


def set_trial_params(storage: BaseStorage, trial_id: int, params: Mapping[str, tuple[float, BaseDistribution]]) -> None:
    """Write the parameters of a trial down: their internal values and distributions, in a journal by one write."""
    from optuna.distributions import distribution_to_json
    from optuna.storages import JournalStorage
    from optuna.storages.journal._storage import JournalOperation

    if not isinstance(storage, JournalStorage):
        for name, (value, distribution) in params.items():
            storage.set_trial_param(trial_id, name, value, distribution)
        return
    with storage._thread_lock:
        of_trial = {
            "op_code": JournalOperation.SET_TRIAL_PARAM,
            "worker_id": storage._replay_result.worker_id,
            "trial_id": trial_id,
        }
        storage._backend.append_logs(
            [
                of_trial
                | {
                    "param_name": name,
                    "param_value_internal": value,
                    "distribution": distribution_to_json(distribution),
                }
                for name, (value, distribution) in params.items()
            ]
        )
        try:
            storage._sync_with_backend()
        except Exception:  # the trial has been taken over: each entry is refused, one at a time
            for _ in params:
                with contextlib.suppress(Exception):
                    storage._sync_with_backend()
            raise


def create_study(storage: BaseStorage, name: str, directions: Sequence[str | StudyDirection]) -> tuple[int, bool]:
    """Make a study without trials, unless another process has; return its id in the storage, and whether it was we."""
    from optuna.exceptions import DuplicatedStudyError
    from optuna.study import StudyDirection

    study_id = find_study(storage, name)
    if study_id is not None:
        return study_id, False
    wanted = [StudyDirection[way.upper()] if isinstance(way, str) else way for way in directions]
    with contextlib.suppress(DuplicatedStudyError), _unheard():
        return storage.create_new_study(wanted, name), True
    return storage.get_study_id_from_name(name), False


def find_study(storage: BaseStorage, name: str) -> int | None:
    """Return the id of a study in the storage; None if there is none of this name."""
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def private_folder(url: str, key: ArtifactKey, *, make: bool = True) -> Path:
    """Return a folder of this user for the journal of an artifact whose store is no folder, and make it if need be.

    Among the state of programs, and not in a cache: until the payload is committed, the trials may lie nowhere else.
    """
    from platformdirs import user_state_path

    top = user_state_path("persistable") / "studies"
    folder = top / sha256(url.encode()).hexdigest()[:16] / key.folder
    if make:
        top.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _kind(url: str) -> str:
    scheme = url.partition("://")[0].lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?", scheme):
        raise StudyError(f"storage={url!r} is no URL. {_POSSIBLE}")
    if scheme in ("journal", "file"):  # what people write who think that a journal needs a scheme
        raise StudyError(f"storage={url!r}: a journal has no scheme, only a path. {_POSSIBLE}")
    if scheme in ("redis", "rediss"):
        return "redis"
    if scheme == "grpc" and re.fullmatch(r"grpc://(\[[^\]]+\]|[^:/]+):(\d+)/?", url) is None:
        raise StudyError(f"storage={url!r} does not name a host and a port. Pass 'grpc://host:port'.")
    return scheme if scheme == "grpc" else scheme.partition("+")[0]


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _absolute_sqlite(url: str) -> tuple[Path, str]:
    """Return the file, and the URL with its absolute path: a relative one means another file in another folder."""
    before, _, rest = url.partition("://")
    database, mark, query = rest.removeprefix("/").partition("?")
    if database in ("", ":memory:") or database.startswith("file:") or not rest.startswith("/"):
        raise StudyError(
            f"storage={url!r} names no file that workers could share, and that would stay. Pass 'sqlite:///' and the "
            f"path of a file."
        )
    path = _absolute(database)
    return path, f"{before}:///{path}{mark}{query}"


def _is_storage(storage: object) -> bool:
    optuna = sys.modules.get("optuna.storages")  # which whoever has such an object has imported
    return optuna is not None and isinstance(storage, optuna.BaseStorage)


def _dispose(storage: Any) -> None:
    """Close the connections of a database, as far as it has been opened."""
    if hasattr(storage, "scoped_session"):
        storage.scoped_session.remove()
    if hasattr(storage, "engine"):
        storage.engine.dispose()


def _is_reached(storage: Any) -> bool:
    """Whether a database answers at all, so that it makes sense to try again."""
    from sqlalchemy.exc import DBAPIError

    try:
        storage.engine.connect().close()
    except DBAPIError:
        return False
    return True


_filters = threading.Lock()


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Make what Optuna calls experimental: it was chosen on purpose. The filters belong to the process."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep what Optuna says of a new study, in this thread, from the user's console: it is no news."""
    here = threading.get_ident()

    def of_another_thread(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno > logging.INFO

    loggers = [
        logging.getLogger(f"optuna.storages.{name}") for name in ("journal._storage", "_rdb.storage", "_in_memory")
    ]
    for logger in loggers:
        logger.addFilter(of_another_thread)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(of_another_thread)
