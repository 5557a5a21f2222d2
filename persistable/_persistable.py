"""Persistable: the life of a payload, from its params to memory, by way of the store or of its making."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import time
import types
from collections.abc import Iterable, Iterator, Mapping
from logging import Logger
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar

from . import _legacy, _source, artifacts
from ._declared import (
    by_role,
    check_hook_names,
    checked_io,
    checked_name,
    checked_suffix,
    params_argument_of,
    params_type_of,
    snake_case,
)
from ._guard import Generation, Guard, Notes, first, running
from ._hooks import call, hooks_of
from ._integrity import Verify
from ._leases import Lease
from ._logs import PayloadLogger, logger_for, recording
from ._warn import warn
from .artifacts import Artifact, Instead
from .exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    CorruptArtifactWarning,
    InvalidPayloadError,
    InvalidPayloadWarning,
    ManifestVersionError,
    NoPayloadError,
    ParamsChangedWarning,
    ParamsError,
    PersistableError,
    PersistError,
    StaleCodeWarning,
    UntrackableValueError,
    UntrackedDependencyWarning,
)
from .fileio.base import FileIO
from .fileio.pickle import PickleFileIO
from .keys import ArtifactKey
from .lineage import key_of, keys_of, params_tree, readable_params, readable_tree
from .manifest import Manifest
from .params import check_params, check_roles, plain_numbers, readable
from .stores import DataDir, LocalStore, Store, store_for

if TYPE_CHECKING:
    from .lineage import Explanation, Lineage

__all__ = ["Persistable"]

PayloadT = TypeVar("PayloadT")
ParamsT = TypeVar("ParamsT")

Dependencies: TypeAlias = "Iterable[Persistable[Any, Any]] | Mapping[str, Persistable[Any, Any]] | None"

_DEFAULT_IO: FileIO[Any] = PickleFileIO()
_WHATEVER = Instead(whatever=True)
_NO_DEPENDENCIES: Mapping[str, Any] = MappingProxyType({})

_stale_said: set[tuple[type, tuple[str, ...]]] = set()
"""Class and what changed in it, where it has been said: a hundred artifacts of one class need it once."""


class _Memory(NamedTuple):
    """A payload in memory, the key that it was made or loaded under, and its record."""

    key: ArtifactKey
    payload: Any
    manifest: Manifest | None
    artifact: Artifact | None  # what persist() needs, where the payload was made here
    notes: Notes | None  # None: as the manifest says


class _Claim(NamedTuple):
    """Whether a payload is ours to make, and the lease that says so to others, if there is one."""

    holds: bool
    lease: Lease | None


_UNCLAIMED = contextlib.nullcontext(_Claim(True, None))


class Persistable(Generic[PayloadT, ParamsT]):
    """A payload that is defined by params, and made once.

    Subclass it, say in :meth:`_generate_payload` how the payload is made, and ask for it with
    :meth:`load_generate`: it comes from memory, from the store, or is made and persisted. What it is made from,
    beside its params, are other persistables: pass them as dependencies, and the key follows theirs.

    Parameters
    ----------
    data_dir : str, Path or Store
        Where artifacts are: a folder, a URL (``s3://bucket/prefix``), a UPath, or a store. Nothing is touched until a
        payload is asked for.
    params : ParamsT
        What defines the payload: a dataclass (:class:`~persistable.PersistableParams`), an attrs object, a pydantic
        model, or None.
    tracked_persistable_dependencies : iterable of Persistable, or mapping of str to Persistable, optional
        The upstreams. From an iterable, each has its payload name as its role.
    payload_name : str, optional
        The class name in snake case if not given. Letters, digits, ``.``, ``_``, ``-``.
    payload_io : FileIO, optional
        The format to persist in; pickle if not given. An artifact that is there is read by the format that wrote it.
    payload_file_suffix : str, optional
        The suffix of the payload's file, dot included; the format's own if not given.
    verbose : bool
        Whether to log to the console from INFO up.
    logger : Logger, optional
        A logger to use instead of ``persistable.<payload name>``.
    storage_options : mapping, optional
        Credentials, endpoint and the like of a URL; see :func:`~persistable.store_for`.
    cache_dir : path, optional
        A folder on this machine that keeps what is read from, and written to, a place behind a network. For URLs, the
        environment variable ``PERSISTABLE_CACHE_DIR`` is the default.

    Raises
    ------
    ParamsError
        If the params cannot define a payload, or the payload name is not usable.
    DuplicateDependencyError
        If two dependencies have the same role.

    Notes
    -----
    A subclass may define these hooks; those that take keyword arguments get the ones of ``load_generate()`` and the
    like, which enter no key:

    - ``_generate_payload(self, **untracked)`` returns the payload. It may note numbers in ``self.metrics`` and words in
      ``self.tags``, and log with ``self.logger``;
    - ``_validate_payload(self, payload)`` raises unless the payload is what it must be;
    - ``_post_load(self, **untracked)`` and ``_post_generate(self, **untracked)`` complete what is in memory;
    - ``_is_sufficient(self, payload, **untracked)`` and ``_extend_payload(self, payload, **untracked)``, both or none:
      a payload may be whole, and yet not go as far as ``load_generate(n=100)`` asks. It then grows, under its key.

    The payload in memory is the object itself: what you change in place goes into what is made from it.

    Examples
    --------
    >>> import random, tempfile
    >>> from dataclasses import dataclass
    >>> from persistable import PersistableParams
    >>> @dataclass
    ... class DrawsParams(PersistableParams):
    ...     n: int
    ...     seed: int = 0
    >>> class DrawsP(Persistable[list[float], DrawsParams]):
    ...     def _generate_payload(self):
    ...         return [random.Random(self.params.seed).random() for _ in range(self.params.n)]
    >>> data_dir = tempfile.mkdtemp()
    >>> DrawsP(data_dir, DrawsParams(n=2)).load_generate()      # made, and persisted
    [0.8444218515250481, 0.8444218515250481]
    >>> DrawsP(data_dir, DrawsParams(n=2)).load()               # found
    [0.8444218515250481, 0.8444218515250481]
    """

    version: ClassVar[str | None] = None
    """Part of the key when it is set: raise it when the code has changed so that the payload is another one."""

    _is_made_together: ClassVar[bool] = False
    """Whether processes that miss the payload make it together, and agree among themselves, instead of one for all."""

    _default_payload_name: ClassVar[str] = "persistable"
    _params_argument: ClassVar[Any] = None  # what a class statement gives for ParamsT: a class, or a type variable
    _params_type: ClassVar[type | tuple[type, ...] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = cls.__dict__.get("payload_name")
        if isinstance(name, str):  # stated in the class body
            del cls.payload_name
            cls._default_payload_name = checked_name(name)
        else:
            cls._default_payload_name = snake_case(cls.__name__)
        cls._params_argument = params_argument_of(cls, Persistable)
        cls._params_type = params_type_of(cls._params_argument)
        check_hook_names(cls, Persistable)
        if not (cls.version is None or isinstance(cls.version, str)):
            raise ParamsError(f"{cls.__qualname__}.version must be a str or None, got {cls.version!r}.")

    def __init__(
        self,
        data_dir: DataDir,
        params: ParamsT,
        tracked_persistable_dependencies: Dependencies = None,
        *,
        payload_name: str | None = None,
        payload_io: FileIO[PayloadT] | None = None,
        payload_file_suffix: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        # Two underscores: a subclass is its user's, and may well have a _lock or a _load of its own.
        self.__store = store_for(data_dir, storage_options=storage_options, cache_dir=cache_dir)
        self.__store_was_given = self.__store is data_dir
        self.__name = self._default_payload_name if payload_name is None else checked_name(payload_name)
        self.__io: FileIO[PayloadT] = _DEFAULT_IO if payload_io is None else checked_io(payload_io)
        self.__suffix = None if payload_file_suffix is None else checked_suffix(payload_file_suffix)
        self.__dependencies: Mapping[str, Persistable[Any, Any]] = _NO_DEPENDENCIES
        self.__memory: _Memory | None = None
        self.__guard: Guard | None = None  # made when it is needed: most upstreams of a hit need none
        self.__logger = logger
        self.params = params
        if tracked_persistable_dependencies is not None:
            self.tracked_persistable_dependencies = tracked_persistable_dependencies
        self.verbose = verbose

    # -----------------------------------------------------------------------------------------------------------------
    # What a subclass says. To type checkers, `*_: Any, **…: Any` is a signature that any override fits: a hook that
    # takes no keyword arguments is called without.

    def _generate_payload(self, *_: Any, **untracked_payload_params: Any) -> PayloadT:
        """Return the payload, made from ``self.params`` and the payloads of the dependencies. To be overridden.

        Numbers that are worth keeping beside it go to ``self.metrics``, words to ``self.tags``.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} does not say how its payload is made: define _generate_payload(self)."
        )

    def _validate_payload(self, payload: PayloadT) -> None:
        """Raise (best an :class:`~persistable.InvalidPayloadError`) unless `payload` is what it must be."""

    def _post_load(self, *_: Any, **untracked_payload_params: Any) -> None:
        """Complete a payload that was loaded; ``self.payload`` is there."""

    def _post_generate(self, *_: Any, **untracked_payload_params: Any) -> None:
        """Complete a payload that was generated, after it was persisted; ``self.payload`` is there."""

    def _is_sufficient(self, payload: PayloadT, *_: Any, **untracked_payload_params: Any) -> bool:
        """Return whether a whole payload goes far enough for what ``load_generate()`` was asked."""
        return True

    def _extend_payload(self, payload: PayloadT, *_: Any, **untracked_payload_params: Any) -> PayloadT:
        """Return what a payload that is not sufficient has grown to: it is persisted in its place, under the same key.

        What two processes make of the same payload must be the same as far as both go: a payload grows, but none of
        what others may have read of it changes.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} does not say how its payload grows: define _extend_payload(self, payload)."
        )

    # -----------------------------------------------------------------------------------------------------------------
    # What defines the payload

    @property
    def params(self) -> ParamsT:
        """What defines the payload, beside its upstreams. May be changed; the next key follows."""
        return self.__params

    @params.setter
    def params(self, params: ParamsT) -> None:
        if params.__class__ is not self._params_type:
            check_params(params, self._params_type, type(self).__qualname__)
        if self.__dependencies:
            check_roles(params, self.__dependencies, type(self).__qualname__)
        self.__params = params

    @property
    def tracked_persistable_dependencies(self) -> Mapping[str, Persistable[Any, Any]]:
        """role -> upstream persistable. May be set to an iterable or a mapping; the next key follows."""
        return self.__dependencies

    @tracked_persistable_dependencies.setter
    def tracked_persistable_dependencies(self, dependencies: Dependencies) -> None:
        upstreams = {} if dependencies is None else by_role(dependencies, type(self), Persistable)
        check_roles(self.__params, upstreams, type(self).__qualname__)
        self.__dependencies = MappingProxyType(upstreams)

    @property
    def payload_name(self) -> str:
        """The name of the payload: part of the key, and the name of the folder that its artifacts are in."""
        return self.__name

    @payload_name.setter
    def payload_name(self, name: str) -> None:
        self.__name = checked_name(name)

    @property
    def payload_io(self) -> FileIO[PayloadT]:
        """The format to persist in. An artifact that is there is read by the format that wrote it."""
        return self.__io

    @payload_io.setter
    def payload_io(self, payload_io: FileIO[PayloadT]) -> None:
        self.__io = checked_io(payload_io)

    @property
    def payload_file_suffix(self) -> str | None:
        """The suffix of the payload's file; None for the format's own."""
        return self.__suffix

    @payload_file_suffix.setter
    def payload_file_suffix(self, suffix: str | None) -> None:
        self.__suffix = None if suffix is None else checked_suffix(suffix)

    @property
    def params_tree(self) -> dict[str, Any]:
        """The tracked params, and under its role the params tree of each upstream."""
        return params_tree(self)

    @property
    def key(self) -> ArtifactKey:
        """The fingerprint of the params tree under the payload's name: 32 hexadecimal digits."""
        return key_of(self)

    @property
    def persist_hash(self) -> str:
        """The key, as a plain str."""
        return str(self.key)

    @property
    def data_dir(self) -> Path | Store:
        """Where artifacts are: the store, if one was given; else the path of the folder."""
        store = self.__store
        return store.path if isinstance(store, LocalStore) and not self.__store_was_given else store

    @property
    def persist_filepath(self) -> Path:
        """The folder of the artifact. Of a store that is no local folder, relative to its root."""
        folder = self.key.folder
        return Path(self.__store.local_path(folder) or folder)

    @property
    def logger(self) -> PayloadLogger:
        """The logger of this payload. What it says from INFO up while the payload is made is kept beside it."""
        if self.__logger is not None:
            return PayloadLogger(self.__logger, {})
        return logger_for(self.__name, self.verbose)

    # -----------------------------------------------------------------------------------------------------------------
    # The payload

    @property
    def payload(self) -> PayloadT:
        """The payload: from memory, from the store, or made.

        What is in memory counts only for the params that it was made under: if they have changed since, the payload
        of the new ones is loaded or made. To know that, each access computes the key (some microseconds; 50 ms for a
        param that is an array of 100 MB): bind the payload to a name before a loop.
        """
        memory = self.__memory
        if memory is not None:
            key = self.key
            if memory.key == key:
                self.__note_use(key)
                return memory.payload  # type: ignore[no-any-return]
        return self.load_generate()

    @property
    def manifest(self) -> Manifest:
        """The record of the artifact, from memory or from the store.

        Raises
        ------
        ArtifactNotFoundError
            If the artifact has not been persisted.
        """
        key, memory = self.key, self.__memory
        if memory is not None and memory.key == key and memory.manifest is not None:
            return memory.manifest
        return artifacts.read_manifest(self.__store, key)

    @property
    def metrics(self) -> dict[str, Any]:
        """Numbers beside the payload: noted by ``_generate_payload``, and kept in the manifest."""
        return self.__notes().metrics

    @metrics.setter
    def metrics(self, metrics: Mapping[str, Any]) -> None:
        self.__notes(to_write="metrics").metrics = dict(metrics)

    @property
    def tags(self) -> list[str]:
        """Words beside the payload, as :attr:`metrics`."""
        return self.__notes().tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self.__notes(to_write="tags").tags = list(tags)

    def exists(self) -> bool:
        """Return whether the artifact has been persisted. Whether its payload is whole shows when it is loaded."""
        try:
            artifacts.read_manifest(self.__store, self.key)
        except ArtifactNotFoundError:
            return _legacy.find(self.__store, self, self.__suffix) is not None
        except ArtifactCorruptError:
            return False
        except ManifestVersionError:
            return True  # whole, if not for us to read
        return True

    def load(self, warn_if_validation_fails: bool = False, **untracked_payload_params: Any) -> PayloadT:
        """Load the payload from the store, and return it.

        Parameters
        ----------
        warn_if_validation_fails : bool
            Whether a payload that ``_validate_payload`` refuses is loaded with a warning.
        **untracked_payload_params
            Passed to ``_post_load``.

        Raises
        ------
        ArtifactNotFoundError
            If the artifact has not been persisted. It is a FileNotFoundError too.
        ArtifactCorruptError
            If it is not what was written.
        ManifestVersionError
            If a newer persistable, or a format that is not known here, wrote it.
        """
        with self.__guarded() as guard:
            if guard.notes is not None:
                self.__refuse_own_payload()
            key = self.key
            self.__note_use(key)
            return self.__load(key, warn_if_validation_fails, untracked_payload_params)

    def load_generate(self, **untracked_payload_params: Any) -> PayloadT:
        """Return the payload: from memory, from the store, or by making and persisting it.

        However many processes ask for a missing artifact at once, one makes it, and the others wait and load.

        Parameters
        ----------
        **untracked_payload_params
            Passed to the hooks.

        Raises
        ------
        PersistError
            If it was made, but could not be written; it is in memory then.
        LeaseTimeoutError
            If another process has been making it for longer than the store's patience.
        ManifestVersionError
            If a newer persistable, or a format that is not known here, wrote it.
        """
        with self.__guarded() as guard:
            if guard.notes is not None:
                self.__refuse_own_payload()
            keys = keys_of(self)
            key = ArtifactKey(keys[id(self)], self.__name)
            self.__note_use(key)
            memory = self.__memory
            if memory is not None and memory.key == key and self.__suffices(memory.payload, untracked_payload_params):
                return memory.payload  # type: ignore[no-any-return]
            made: bool | None = None
            while made is None:
                known, instead = None, Instead()
                try:
                    payload = self.__load(key, False, untracked_payload_params)
                    if self.__suffices(payload, untracked_payload_params):
                        return payload
                    known = self.__memory
                    if known is not None and known.manifest is not None:
                        instead = Instead(known.manifest.data)
                except ArtifactNotFoundError as error:
                    if error.key != key:  # an upstream's, or one that the user's own code asked for
                        raise
                except ArtifactCorruptError as error:
                    if error.key != key:
                        raise
                    instead = Instead(error.found, artifacts.problem_of(error))
                    warn(f"{instead.problem} It is made again.", CorruptArtifactWarning)
                # What is made together is made by all who ask; the right is then needed to persist it.
                with _UNCLAIMED if self._is_made_together else self.__claimed(key, instead) as claim:
                    if claim.holds:
                        made = self.__generate(
                            guard,
                            keys,
                            untracked_payload_params,
                            known=known,
                            instead=instead,
                            lease=claim.lease,
                            again="" if instead.problem is None else "its artifact is corrupt",
                        )
            return self.__complete(made, untracked_payload_params)

    def generate(self, persist: bool = True, **untracked_payload_params: Any) -> PayloadT:
        """Make the payload, whether or not there is one, and return it.

        Parameters
        ----------
        persist : bool
            Whether to persist it, in place of an artifact that is there.
        **untracked_payload_params
            Passed to the hooks.

        Raises
        ------
        PersistError
            If it could not be written; it is in memory then.
        ManifestVersionError
            If a newer persistable has persisted it: it is not replaced.
        """
        with self.__guarded() as guard:
            if guard.notes is not None:
                self.__refuse_own_payload()
            keys = keys_of(self)
            key = ArtifactKey(keys[id(self)], self.__name)
            self.__note_use(key)
            lease = found = None
            if persist:
                found = artifacts.replaceable(self.__store, key)
                artifacts.probe(self.__store, key)
                if self.__store.single_flight and not self._is_made_together:
                    # An order is carried out at once; the lease only tells others that it is worth waiting.
                    lease = artifacts.claim(self.__store, key, found, self.logger.info, wait=False)
            with lease or contextlib.nullcontext():
                again = "generate() was called" if persist and found is not None else ""
                made = self.__generate(
                    guard, keys, untracked_payload_params, persist=persist, instead=_WHATEVER, lease=lease, again=again
                )
            return self.__complete(made, untracked_payload_params)

    def persist(self) -> None:
        """Persist the payload that is in memory, in place of an artifact that is there.

        Raises
        ------
        NoPayloadError
            If there is none in memory, or the params have changed since it was made.
        PersistError
            If it cannot be written.
        """
        with self.__guarded():
            memory = self.__in_memory(self.key)
            if not self.__commit(memory, _WHATEVER):  # somebody was the first to create it, in this very moment
                self.__commit(memory, _WHATEVER)

    def validate_payload(self, payload: PayloadT | None = None) -> None:
        """Raise what ``_validate_payload`` raises for `payload`, or for the one in memory if it is None.

        Raises
        ------
        NoPayloadError
            If there is neither.
        """
        self.__require_valid(self.__in_memory(self.key).payload if payload is None else payload)

    def reset_payload(self) -> None:
        """Forget the payload in memory; the artifact stays."""
        with self.__guarded():
            self.__memory = None

    # -----------------------------------------------------------------------------------------------------------------
    # See and explain

    def explain(self, verify: Verify = "size", /, **untracked_payload_params: Any) -> Explanation:
        """Return what ``load_generate()`` would do now, and why. Nothing is made, and nothing is changed.

        A miss is explained by the nearest artifacts of the same name, what differs, and what would have to be made;
        a hit by who made it when, whether the code has changed since, and what has become of its upstreams.

        Parameters
        ----------
        verify : {"size", "digest"}
            How much of a payload that is there is checked: by default its manifest, and its size. By position, so
            that a hook may have an argument of that name.
        **untracked_payload_params
            What ``load_generate()`` would be asked with. The payload is loaded only if there is an ``_is_sufficient``
            to show it to.

        Returns
        -------
        Explanation
            ``print()`` shows it; ``state`` is ``"hit"``, ``"stale"``, ``"insufficient"``, ``"corrupt"``, ``"newer"``,
            ``"generating"`` or ``"miss"``.

        Raises
        ------
        StoreError
            If the store cannot be read.
        ParamsError
            If the params cannot define a payload.

        Examples
        --------
        >>> import tempfile
        >>> class NumbersP(Persistable[list[int], None]):
        ...     def _generate_payload(self):
        ...         return [1, 2, 3]
        >>> numbers_p = NumbersP(tempfile.mkdtemp(), None)
        >>> print(numbers_p.explain().one_line)
        numbers_p bcb9a18c: a miss, load_generate() would make it
        """
        from .lineage.explanation import Inside, explain

        kind: type = type(self)
        keys, memory = keys_of(self), self.__memory
        if memory is not None and memory.key != keys[id(self)]:
            memory = None

        def suffices(payload: Any, manifest: Manifest | None) -> bool:
            # The hook may look at self.payload, and what is in memory here is to stay what it is.
            twin = object.__new__(type(self))
            Persistable.__setstate__(twin, Persistable.__getstate__(self))
            twin.__memory = _Memory(ArtifactKey(keys[id(self)], self.__name), payload, manifest, None, None)
            return twin.__suffices(payload, untracked_payload_params)

        def grows(node: Any) -> bool:
            kind: type = type(node)
            return bool(hooks_of(kind, Persistable).suffices)

        inside = Inside(
            store_of=lambda node: node.__store,
            legacy=lambda node: _legacy.find(node.__store, node, node.__suffix),
            grows=grows,
            payload_io=self.__io,
            in_memory=None if memory is None else (memory.payload, memory.manifest),
            suffices=suffices if hooks_of(kind, Persistable).suffices else None,
            asked=untracked_payload_params,
            is_made_together=self._is_made_together,
        )
        return explain(self, keys, inside, verify)

    def lineage(self) -> Lineage:
        """Return the graph of all that the payload is made from, each node with its state.

        Examples
        --------
        >>> import tempfile
        >>> class NumbersP(Persistable[list[int], None]):
        ...     def _generate_payload(self):
        ...         return [1, 2, 3]
        >>> NumbersP(tempfile.mkdtemp(), None).lineage().root.state
        'missing'
        """
        from .lineage import Lineage

        return Lineage.of(self)

    # -----------------------------------------------------------------------------------------------------------------
    # How it is done. Keys are computed once per operation, and passed down.

    def __guarded(self) -> Guard:
        guard = self.__guard
        if guard is None or guard.pid != os.getpid():  # forked, maybe while a thread that is not there now held it
            with first():
                guard = self.__guard
                if guard is None or guard.pid != os.getpid():
                    guard = self.__guard = Guard(self.__name, self.__store.patience)
        return guard

    def __note_use(self, key: str) -> None:
        """Warn where a generation in this thread uses a payload that its own key does not know of."""
        generations = running.generations
        if generations and key not in generations[-1].keys:
            owner = generations[-1].payload_name
            warn(
                f"{self.__name} is used to make {owner}, but is not among its tracked dependencies: with another "
                f"{self.__name}, the same {owner} would be found. Pass it to super().__init__(…, [{self.__name}]).",
                UntrackedDependencyWarning,
            )

    def __notes(self, to_write: str = "") -> Notes:
        if (notes := self.__guarded().notes) is not None:
            return notes
        memory = self.__memory
        if memory is not None:
            if (notes := memory.notes) is None:
                manifest = memory.manifest
                notes = Notes(manifest.metrics, manifest.tags) if manifest is not None else Notes()
                self.__memory = memory._replace(notes=notes)
            return notes
        if to_write:
            raise NoPayloadError(f"self.{to_write} belong to a payload: set them in _generate_payload().")
        try:
            manifest = artifacts.read_manifest(self.__store, self.key)
        except PersistableError:
            return Notes()
        return Notes(manifest.metrics, manifest.tags)

    def __in_memory(self, key: ArtifactKey) -> _Memory:
        memory = self.__memory
        if memory is None:
            raise NoPayloadError(f"{self.__name} has no payload in memory: call load_generate() first.")
        if memory.key != key:
            raise NoPayloadError(
                f"The params of {self.__name} have changed since its payload was made (then {memory.key}, now {key}): "
                f"call load_generate() for the payload of the new ones."
            )
        return memory

    def __refuse_own_payload(self) -> NoReturn:
        raise NoPayloadError(f"{self.__name} asked for its own payload while that was being generated.")

    def __require_valid(self, payload: PayloadT) -> None:
        verdict: Any = self._validate_payload(payload)  # type: ignore[func-returns-value]
        if verdict is False:
            raise InvalidPayloadError(
                f"{type(self).__qualname__}._validate_payload returned False. To refuse a payload, it must raise "
                f"InvalidPayloadError, with the reason."
            )

    def __load(self, key: ArtifactKey, warn_if_invalid: bool, untracked: dict[str, Any]) -> PayloadT:
        kind: type = type(self)
        manifest: Manifest | None = None
        try:
            payload, manifest = artifacts.load(self.__store, key, self.__io)
        except ArtifactNotFoundError:
            found = _legacy.load(self.__store, self, self.__suffix, self.__io)
            if found is None:
                raise
            path, payload = found
            self.logger.info(f"Read {path}, which persistable 1.x wrote.")
        hooks = hooks_of(kind, Persistable)
        before, self.__memory = self.__memory, _Memory(key, payload, manifest, None, None)
        try:
            if hooks.validates:
                try:
                    self.__require_valid(payload)
                except Exception as error:
                    if not warn_if_invalid:
                        raise
                    warn(f"The payload of {self.__name} was loaded, but is not valid: {error}", InvalidPayloadWarning)
            if manifest is not None and not _source.is_same(kind, *manifest.head["code"]):
                self.__warn_stale(manifest)
            if hooks.completes_loaded:
                call(self._post_load, hooks.completes_loaded, untracked)
        except BaseException:
            self.__memory = before
            raise
        logger = self.logger
        if logger.isEnabledFor(logging.INFO):
            logger.info(f"Loaded {self.__name} {key} from {self.__store.place}.")
        return payload  # type: ignore[no-any-return]

    def __warn_stale(self, manifest: Manifest) -> None:
        kind: type = type(self)
        changes = tuple(_source.changes(manifest.code, _source.parts_of(kind)))
        if (kind, changes) in _stale_said:
            return
        _stale_said.add((kind, changes))
        warn(
            f"The code that made {self.__name} {manifest.key} has changed since: {', '.join(changes) or 'the class'}. "
            f"The artifact is used all the same. If the payload would be another one now, give {kind.__qualname__} a "
            f"new `version`, so that older artifacts no longer count; else call generate() once, or leave it.",
            StaleCodeWarning,
        )

    def __generate(
        self,
        guard: Guard,
        keys: Mapping[int, str],
        untracked: dict[str, Any],
        *,
        persist: bool = True,
        known: _Memory | None = None,
        instead: Instead,
        lease: Lease | None = None,
        again: str = "",
    ) -> bool:
        """Make the payload, or let the known one grow, and persist it; return whether it is ours that counts.

        `again` says why, where there is an artifact already; else its log tells which one is nearest.
        """
        kind: type = type(self)
        key = ArtifactKey(keys[id(self)], self.__name)
        # All that is to be recorded of what was asked for is looked at now: the hook may change it.
        upstreams, tree, params = dict(self.__dependencies), readable_tree(self), readable_params(self.params)
        code, parts = _source.digests_of(kind), _source.parts_of(kind)
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        before, guard.notes = self.__memory, Notes()
        running.generations.append(Generation(self.__name, frozenset(keys.values())))
        try:
            with recording() as log:
                try:
                    hooks = hooks_of(kind, Persistable)
                    if known is None:
                        why = f" again: {again}" if again else self.__why(tree, keys) if persist else ""
                        self.logger.info(f"Generating {self.__name} {key}{why}.")
                        payload = call(self._generate_payload, hooks.generates, untracked)
                    else:
                        self.logger.info(f"Extending {self.__name} {key}.")
                        payload = call(self._extend_payload, hooks.extends, untracked, known.payload)
                    _refuse_unfinished(payload, kind)
                    self.__memory = _Memory(key, payload, None, None, guard.notes)
                    self.__require_valid(payload)
                    seconds = time.perf_counter() - clock
                    self.logger.info(f"Generated {self.__name} {key} in {seconds:.3g} s.")
                except BaseException as error:
                    self.__memory = before
                    if persist and isinstance(error, Exception):
                        import traceback

                        artifacts.record_failure(self.__store, key, "\n".join([*log, traceback.format_exc()]))
                    raise
        finally:
            running.generations.pop()
            guard.notes = None
        memory = self.__memory
        if key_of(self) != key:
            self.__warn_params_changed(key)
            return True

        from ._provenance import provenance  # not on a hit: it is slow to import

        sections = {
            "params": params,
            "dependencies": _used(upstreams, keys),
            "generated": provenance(kind, payload, started, seconds) | _grown_from(known),
            "code": parts,
        }
        head = {"version": self.version, "code": code}
        artifact = Artifact(payload, sections, head, tree, "\n".join([*log, ""]))
        self.__memory = memory = memory._replace(artifact=artifact)
        while persist and not self.__publish(memory, instead, lease):
            lease = None  # should ours count after all, it is written under a new name
            try:
                theirs = self.__load(key, False, untracked)
            except ArtifactNotFoundError as error:
                if error.key != key:
                    raise
                self.__memory = memory  # theirs is gone again
            else:
                if self.__suffices(theirs, untracked):
                    self.logger.info(f"{self.__name} {key} was persisted by somebody else meanwhile: theirs counts.")
                    return False
                loaded, self.__memory = self.__memory, memory
                instead = Instead(loaded.manifest.data if loaded is not None and loaded.manifest is not None else None)
        return True

    def __why(self, tree: Mapping[str, Any], keys: Mapping[int, str]) -> str:
        from .lineage.nearest import why  # not on a hit

        return why(self, self.__store, keys, tree)

    def __suffices(self, payload: PayloadT, untracked: dict[str, Any]) -> bool:
        kind: type = type(self)
        hooks = hooks_of(kind, Persistable)
        return not hooks.suffices or bool(call(self._is_sufficient, hooks.suffices, untracked, payload))

    @contextlib.contextmanager
    def __claimed(self, key: ArtifactKey, instead: Instead) -> Iterator[_Claim]:
        """Hold the right to make the artifact, unless somebody else has made it meanwhile."""
        if not self.__store.single_flight:
            artifacts.probe(self.__store, key)
            yield _Claim(True, None)
            return
        logger = self.logger
        lease = artifacts.claim(self.__store, key, instead.found, logger.info, warn=logger.warning)
        with lease or contextlib.nullcontext():
            yield _Claim(lease is not None, lease)

    def __complete(self, made: bool, untracked: dict[str, Any]) -> PayloadT:
        """Return the payload, after the hook that completes one that was made here. No lease is held any more."""
        kind: type = type(self)
        hooks = hooks_of(kind, Persistable)
        if made and hooks.completes_generated:
            call(self._post_generate, hooks.completes_generated, untracked)
        if self.__memory is None:
            raise NoPayloadError(f"{self.__name} was reset by its own _post_generate().")
        return self.__memory.payload  # type: ignore[no-any-return]

    def __publish(self, memory: _Memory, instead: Instead, lease: Lease | None) -> bool:
        """Persist what was made, as :meth:`__commit`; one after the other, where several have made it together."""
        if not self._is_made_together or instead.whatever:
            return self.__commit(memory, instead, lease)
        with self.__claimed(memory.key, instead) as claim:
            return claim.holds and self.__commit(memory, instead, claim.lease)

    def __commit(self, memory: _Memory, instead: Instead, lease: Lease | None = None) -> bool:
        """Persist what is in memory; return whether it counts, or somebody else has committed first."""
        artifact = memory.artifact or self.__as_loaded(memory)
        artifact = artifact._replace(sections={**artifact.sections, **self.__annotations()})
        manifest = artifacts.commit(
            self.__store,
            memory.key,
            artifact,
            self.__io,
            suffix=self.__suffix,
            lease=lease,
            instead=instead,
        )
        if manifest is None:
            return False
        payload = memory.payload
        if self.__io.payload_is_the_file:
            with contextlib.suppress(ArtifactNotFoundError):  # somebody has removed it: what was made is still at hand
                payload, manifest = artifacts.load(self.__store, memory.key, self.__io)
        artifact = artifact._replace(payload=payload)
        self.__memory = _Memory(memory.key, payload, manifest, artifact, memory.notes)
        self.logger.info(f"Persisted {self.__name} {memory.key} in {self.__store.place}.")
        return True

    def __as_loaded(self, memory: _Memory) -> Artifact:
        """What persist() needs of a payload that was loaded: the record that it came with, as far as there is one."""
        if memory.manifest is None:  # of persistable 1.x
            from ._provenance import provenance

            made = provenance(type(self), memory.payload, dt.datetime.now(dt.UTC), 0.0)
            sections: dict[str, Any] = {"generated": made, "code": {}}
            head = {"version": self.version, "code": [None, None]}
        else:
            sections = {name: getattr(memory.manifest, name) for name in ("generated", "code")}
            head = {name: memory.manifest.head[name] for name in ("version", "code")}
        sections["params"] = readable_params(self.params)
        sections["dependencies"] = used = _used(self.__dependencies, keys_of(self))
        if memory.manifest is not None:  # what was used when it was made, and not what is at hand now
            for role, upstream in memory.manifest.dependencies.items():
                if role in used and used[role]["key"] == upstream.key:
                    used[role]["digest"] = upstream.digest
        return Artifact(memory.payload, sections, head, readable_tree(self), "Persisted again after it was loaded.\n")

    def __annotations(self) -> dict[str, Any]:
        """Metrics and tags, as a manifest can hold them."""
        try:
            if wrong := [tag for tag in self.tags if not isinstance(tag, str)]:
                raise UntrackableValueError(f"a {type(wrong[0]).__qualname__} is no word.", "tags")
            return {"metrics": readable(plain_numbers(self.metrics)), "tags": list(self.tags)}
        except UntrackableValueError as error:
            raise PersistError(
                f"The metrics or tags of {self.__name} hold what a manifest cannot: {error} The payload is still in "
                f"memory. Keep numbers in self.metrics and words in self.tags, and call persist() again."
            ) from error

    def __warn_params_changed(self, key: ArtifactKey) -> None:
        warn(
            f"The params or dependencies of {self.__name}, or of an upstream, changed while its payload was made. It "
            f"is in memory, but not persisted: under {key}, the key of what was asked for, it might be a wrong "
            f"artifact. Work on copies of params in _generate_payload().",
            ParamsChangedWarning,
        )

    def _payload_in_memory(self) -> PayloadT | None:
        """Return the payload, if it is in memory and the params are still those that it was made under."""
        memory = self.__memory
        return memory.payload if memory is not None and memory.key == self.key else None

    @staticmethod
    def _manifest_in_memory(upstream: Persistable[Any, Any], key: str) -> Manifest | None:
        memory = upstream.__memory
        return memory.manifest if memory is not None and memory.key == key else None

    # -----------------------------------------------------------------------------------------------------------------
    # As a Python object

    def __getstate__(self) -> Any:
        """Everything but the payload: an unpickled persistable finds its artifact."""
        state = super().__getstate__()
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        kept = {name: value for name, value in attributes.items() if name not in _NOT_PICKLED}
        return kept | {_DEPENDENCIES: dict(self.__dependencies)}, slots

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state
        self.__dict__.update(attributes)
        for name, value in (slots or {}).items():
            setattr(self, name, value)
        self.__dependencies = MappingProxyType(attributes[_DEPENDENCIES])
        self.__memory = None
        self.__guard = None

    if not TYPE_CHECKING:  # or type checkers would believe that there is every attribute

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_Persistable__"):
                kind = type(self).__qualname__
                raise ParamsError(
                    f"{kind}.__init__ must call super().__init__(data_dir, params, …) before anything else."
                )
            raise AttributeError(f"{type(self).__qualname__!r} object has no attribute {name!r}", name=name, obj=self)

    def __repr__(self) -> str:
        roles = f", dependencies={list(self.__dependencies)}" if self.__dependencies else ""
        return f"{type(self).__qualname__}(payload_name={self.__name!r}, params={self.params!r}{roles})"

    def _repr_html_(self) -> str:
        """Show the artifact as its manifest says it, or what is not there yet; no payload is loaded for that."""
        from ._html import artifact_card, wanted_card

        try:
            return artifact_card(self.manifest)
        except ArtifactNotFoundError:
            remark = "not made yet" if _legacy.find(self.__store, self, self.__suffix) is None else "of persistable 1.x"
        except PersistableError as error:
            remark = str(error)
        try:
            keys = keys_of(self)
            upstreams = {role: (up.payload_name, keys[id(up)]) for role, up in self.__dependencies.items()}
            return wanted_card(self.__name, keys[id(self)], remark, readable_params(self.params), upstreams)
        except ParamsError as error:
            return wanted_card(self.__name, "", str(error), {}, {})

    def __persistable_key__(self) -> NoReturn:
        raise UntrackableValueError(
            f"a persistable ({self.__name}) is not a parameter. Pass it in tracked_persistable_dependencies."
        )


_DEPENDENCIES = "_Persistable__dependencies"
_NOT_PICKLED = {"_Persistable__memory", "_Persistable__guard"}

_MOST_STEPS = 1000  # of a payload that grows, in its manifest


def _used(upstreams: Mapping[str, Persistable[Any, Any]], keys: Mapping[int, str]) -> dict[str, dict[str, str | None]]:
    """Return role -> which upstream, and the digest of its payload, if it was opened and is persisted."""
    used: dict[str, dict[str, str | None]] = {}
    for role, upstream in upstreams.items():
        key = keys[id(upstream)]
        opened = Persistable._manifest_in_memory(upstream, key)
        digest = opened.payload["digest"] if opened is not None else None
        used[role] = {"payload_name": upstream.payload_name, "key": key, "digest": digest}
    return used


def _grown_from(known: _Memory | None) -> dict[str, list[str]]:
    """Return what a payload grew from: who used one of these has nothing of it that has changed since."""
    if known is None or known.manifest is None:
        return {}
    before = known.manifest.generated.get("grown_from", [])
    return {"grown_from": [*before, known.manifest.payload["digest"]][-_MOST_STEPS:]}


def _refuse_unfinished(payload: Any, kind: type) -> None:
    if isinstance(payload, types.CoroutineType | types.GeneratorType | types.AsyncGeneratorType):
        what = type(payload).__name__.replace("_", " ")
        if isinstance(payload, types.CoroutineType):
            payload.close()
        raise InvalidPayloadError(
            f"{kind.__qualname__}._generate_payload returned a {what}, which holds no result yet. Return the payload "
            f"itself: await it with asyncio.run(), or collect what it yields in a list."
        )
