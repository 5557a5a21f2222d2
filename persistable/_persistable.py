"""Persistable: the life of a payload, from its params to memory, by way of the store or of its making."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from logging import Logger
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar

from . import _legacy, _source, artifacts
from ._declared import by_role, checked_io, checked_name, checked_suffix, params_argument_of, snake_case
from ._hooks import call, hooks_of
from ._logs import PayloadLogger, logger_for, recording
from .artifacts import Artifact, Lease
from .exceptions import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    CorruptArtifactWarning,
    InvalidPayloadWarning,
    ManifestVersionError,
    NoPayloadError,
    ParamsChangedWarning,
    ParamsError,
    PersistError,
    StaleCodeWarning,
    UntrackableValueError,
)
from .fileio.base import FileIO
from .fileio.pickle import PickleFileIO
from .keys import ArtifactKey
from .lineage import key_of, keys_of, params_tree, readable_params, readable_tree
from .manifest import Manifest
from .params import check_params, check_roles, readable
from .stores import Store, store_for

__all__ = ["Persistable"]

PayloadT = TypeVar("PayloadT")
ParamsT = TypeVar("ParamsT")

Dependencies: TypeAlias = "Iterable[Persistable[Any, Any]] | Mapping[str, Persistable[Any, Any]] | None"

_DEFAULT_IO: FileIO[Any] = PickleFileIO()
_NO_DEPENDENCIES: Mapping[str, Any] = MappingProxyType({})


class _Memory(NamedTuple):
    """A payload in memory, the key that it was made or loaded under, and its record."""

    key: ArtifactKey
    payload: Any
    manifest: Manifest | None
    artifact: Artifact | None  # what persist() needs, where the payload was made here


class Persistable(Generic[PayloadT, ParamsT]):
    """A payload that is defined by params, and made once.

    Subclass it, say in :meth:`_generate_payload` how the payload is made, and ask for it with
    :meth:`load_generate`: it comes from memory, from the store, or is made and persisted. What it is made from,
    beside its params, are other persistables: pass them as dependencies, and the key follows theirs.

    Parameters
    ----------
    data_dir : str, Path or Store
        Where artifacts are. Nothing is touched until a payload is asked for.
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

    Raises
    ------
    ParamsError
        If the params cannot define a payload, or the payload name is not usable.
    DuplicateDependencyError
        If two dependencies have the same role.

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

    _default_payload_name: ClassVar[str] = "persistable"
    _params_argument: ClassVar[Any] = None  # what a class statement gives for ParamsT: a class, or a type variable
    _params_type: ClassVar[type | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._default_payload_name = snake_case(cls.__name__)
        cls._params_argument = argument = params_argument_of(cls, Persistable)
        cls._params_type = argument if isinstance(argument, type) and argument not in (Any, object) else None
        if not (cls.version is None or isinstance(cls.version, str)):
            raise ParamsError(f"{cls.__qualname__}.version must be a str or None, got {cls.version!r}.")

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | Store,
        params: ParamsT,
        tracked_persistable_dependencies: Dependencies = None,
        *,
        payload_name: str | None = None,
        payload_io: FileIO[PayloadT] | None = None,
        payload_file_suffix: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        self.store = store_for(data_dir)
        self.payload_name = self._default_payload_name if payload_name is None else checked_name(payload_name)
        self.params = params
        self.tracked_persistable_dependencies = tracked_persistable_dependencies
        self.payload_io: FileIO[PayloadT] = _DEFAULT_IO if payload_io is None else checked_io(payload_io)
        self.payload_file_suffix = None if payload_file_suffix is None else checked_suffix(payload_file_suffix)
        self.verbose = verbose
        self._metrics: dict[str, Any] | None = None
        self._tags: list[str] | None = None
        self._logger = logger
        self._memory: _Memory | None = None
        self._generating = False
        self._lock = threading.RLock()

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

    # -----------------------------------------------------------------------------------------------------------------
    # What defines the payload

    @property
    def _kind(self) -> type:
        return self.__class__

    @property
    def params(self) -> ParamsT:
        """What defines the payload, beside its upstreams. May be changed; the next key follows."""
        return self._params

    @params.setter
    def params(self, params: ParamsT) -> None:
        if params.__class__ is not self._params_type:
            check_params(params, self._params_type, type(self).__qualname__)
            if "_dependencies" in self.__dict__:
                check_roles(params, self._dependencies, type(self).__qualname__)
        self._params = params

    @property
    def tracked_persistable_dependencies(self) -> Mapping[str, Persistable[Any, Any]]:
        """role -> upstream persistable. May be set to an iterable or a mapping; the next key follows."""
        return self._dependencies

    @tracked_persistable_dependencies.setter
    def tracked_persistable_dependencies(self, dependencies: Dependencies) -> None:
        if dependencies is None:
            self._dependencies: Mapping[str, Persistable[Any, Any]] = _NO_DEPENDENCIES
            return
        upstreams = by_role(dependencies, type(self), Persistable)
        check_roles(self._params, upstreams, type(self).__qualname__)
        self._dependencies = MappingProxyType(upstreams)

    @property
    def dependencies(self) -> Mapping[str, Persistable[Any, Any]]:
        """The same, as the lineage knows it."""
        return self._dependencies

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
        """Where artifacts are: a path if it is a folder of this machine, else the store."""
        local = self.store.local_path("")
        return self.store if local is None else Path(local)

    @property
    def persist_filepath(self) -> Path:
        """The folder of the artifact. Of a store that is no local folder, relative to its root."""
        folder = self.key.folder
        return Path(self.store.local_path(folder) or folder)

    @property
    def logger(self) -> PayloadLogger:
        """The logger of this payload. What it says from INFO up while the payload is made is kept beside it."""
        if self._logger is not None:
            return PayloadLogger(self._logger, {})
        return logger_for(self.payload_name, self.verbose)

    # -----------------------------------------------------------------------------------------------------------------
    # The payload

    @property
    def payload(self) -> PayloadT:
        """The payload: from memory, from the store, or made. In a tight loop, bind it to a name.

        What is in memory counts only for the params that it was made under: if they have changed since, the
        payload of the new ones is loaded or made.
        """
        memory = self._memory
        if memory is not None and memory.key == self.key:
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
        key, memory = self.key, self._memory
        if memory is not None and memory.key == key and memory.manifest is not None:
            return memory.manifest
        return artifacts.read_manifest(self.store, key)

    @property
    def metrics(self) -> dict[str, Any]:
        """Numbers beside the payload: set by ``_generate_payload``, and read from the manifest after a load."""
        if self._metrics is None:
            manifest = self._memory.manifest if self._memory is not None else None
            self._metrics = dict(manifest.metrics) if manifest is not None else {}
        return self._metrics

    @property
    def tags(self) -> list[str]:
        """Words beside the payload, as :attr:`metrics`."""
        if self._tags is None:
            manifest = self._memory.manifest if self._memory is not None else None
            self._tags = list(manifest.tags) if manifest is not None else []
        return self._tags

    def exists(self) -> bool:
        """Return whether the artifact has been persisted. Whether its payload is whole shows when it is loaded."""
        try:
            artifacts.read_manifest(self.store, self.key)
        except (ArtifactNotFoundError, ArtifactCorruptError):
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
        with self._lock:
            return self._load(self.key, warn_if_validation_fails, untracked_payload_params)

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
        with self._lock:
            if self._generating:
                self._refuse_own_payload()
            keys = keys_of(self)
            key = ArtifactKey(keys[id(self)], self.payload_name)
            if self._memory is not None and self._memory.key == key:
                return self._memory.payload  # type: ignore[no-any-return]
            bad: bytes | None = None
            while True:
                try:
                    return self._load(key, False, untracked_payload_params)
                except ArtifactNotFoundError as error:
                    if error.key != key:  # an upstream's, or one that the user's own code asked for
                        raise
                except ArtifactCorruptError as error:
                    if error.key != key:
                        raise
                    bad = error.found
                    message = f"{error} It is made again."
                    self.logger.warning(message)
                    warnings.warn(message, CorruptArtifactWarning, stacklevel=2)
                if not self.store.single_flight:
                    artifacts.probe(self.store, key)
                    return self._generate(keys, untracked_payload_params, over=bad)
                lease = artifacts.claim(self.store, key, bad, self.logger.info)
                if lease is not None:
                    with lease:
                        return self._generate(keys, untracked_payload_params, over=bad, lease=lease)

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
        with self._lock:
            if self._generating:
                self._refuse_own_payload()
            keys = keys_of(self)
            if not persist:
                return self._generate(keys, untracked_payload_params, persist=False)
            key = ArtifactKey(keys[id(self)], self.payload_name)
            found = artifacts.replaceable(self.store, key)
            artifacts.probe(self.store, key)
            lease = None
            if self.store.single_flight:
                # An order is carried out at once; the lease only tells others that it is worth waiting.
                lease = artifacts.claim(self.store, key, found, self.logger.info, wait=False)
            with lease or contextlib.nullcontext():
                return self._generate(keys, untracked_payload_params, force=True, lease=lease)

    def persist(self) -> None:
        """Persist the payload that is in memory, in place of an artifact that is there.

        Raises
        ------
        NoPayloadError
            If there is none in memory, or the params have changed since it was made.
        PersistError
            If it cannot be written.
        """
        with self._lock:
            self._commit(self._in_memory(self.key), force=True)

    def validate_payload(self, payload: PayloadT | None = None) -> None:
        """Raise what ``_validate_payload`` raises for `payload`, or for the one in memory.

        Raises
        ------
        NoPayloadError
            If there is neither.
        """
        self._validate_payload(self._in_memory(self.key).payload if payload is None else payload)

    def reset_payload(self) -> None:
        """Forget the payload in memory; the artifact stays."""
        with self._lock:
            self._memory = None

    # -----------------------------------------------------------------------------------------------------------------
    # How it is done. Keys are computed once per operation, and passed down.

    def _in_memory(self, key: ArtifactKey) -> _Memory:
        memory = self._memory
        if memory is None:
            raise NoPayloadError(f"{self.payload_name} has no payload in memory: call load_generate() first.")
        if memory.key != key:
            raise NoPayloadError(
                f"The params of {self.payload_name} have changed since its payload was made (then {memory.key}, now "
                f"{key}): call load_generate() for the payload of the new ones."
            )
        return memory

    def _refuse_own_payload(self) -> NoReturn:
        raise NoPayloadError(f"{self.payload_name} asked for its own payload while that was being generated.")

    def _load(self, key: ArtifactKey, warn_if_invalid: bool, untracked: dict[str, Any]) -> PayloadT:
        try:
            payload, manifest = artifacts.load(self.store, key, self.payload_io)
        except ArtifactNotFoundError:
            found = _legacy.find(self.store, self, self.payload_file_suffix)
            if found is None:
                raise
            self.logger.info(f"Reading {found}, which persistable 1.x wrote.")
            payload, manifest = self.payload_io._load(found), None
        hooks = hooks_of(self._kind, Persistable)
        if hooks.validates:
            self._validate(payload, warn_if_invalid)
        if manifest is not None and not _source.is_same(self._kind, *manifest.head["code"]):
            self._warn_stale(manifest)
        self._memory = _Memory(key, payload, manifest, None)
        self._metrics = self._tags = None
        if hooks.completes_loaded:
            try:
                call(self._post_load, hooks.completes_loaded, untracked)
            except BaseException:
                self._memory = None
                raise
        logger = self.logger
        if logger.isEnabledFor(logging.INFO):
            logger.info(f"Loaded {self.payload_name} {key} from {self.store.url}.")
        return payload  # type: ignore[no-any-return]

    def _validate(self, payload: PayloadT, warn: bool) -> None:
        try:
            self._validate_payload(payload)
        except Exception as error:
            if not warn:
                raise
            message = f"The payload of {self.payload_name} was loaded, but is not valid: {error}"
            self.logger.warning(message)
            warnings.warn(message, InvalidPayloadWarning, stacklevel=4)

    def _warn_stale(self, manifest: Manifest) -> None:
        changes = _source.changes(manifest.code, _source.parts_of(self._kind))
        message = (
            f"The code that made {self.payload_name} {manifest.key} has changed since: {', '.join(changes)}. "
            f"The artifact is used all the same. If the payload would be another one now, give "
            f"{type(self).__qualname__} a new `version`, so that older artifacts no longer count; else call "
            f"generate() once, or leave it."
        )
        self.logger.warning(message)
        warnings.warn(message, StaleCodeWarning, stacklevel=4)

    def _generate(
        self,
        keys: Mapping[int, str],
        untracked: dict[str, Any],
        *,
        persist: bool = True,
        force: bool = False,
        over: bytes | None = None,
        lease: Lease | None = None,
    ) -> PayloadT:
        key, hooks = ArtifactKey(keys[id(self)], self.payload_name), hooks_of(self._kind, Persistable)
        tree, params = readable_tree(self), readable_params(self.params)
        self._metrics, self._tags = {}, []
        started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
        self._generating = True
        try:
            with recording() as log:
                try:
                    self.logger.info(f"Generating {self.payload_name} {key}.")
                    payload = call(self._generate_payload, hooks.generates, untracked)
                    self._validate_payload(payload)
                    seconds = time.perf_counter() - clock
                    self.logger.info(f"Generated {self.payload_name} {key} in {seconds:.3g} s.")
                except Exception:
                    if persist:
                        import traceback

                        artifacts.record_failure(self.store, key, "\n".join([*log, traceback.format_exc()]))
                    raise
        finally:
            self._generating = False
        from ._provenance import provenance  # not on a hit: it is slow to import

        artifact = Artifact(
            payload,
            sections={
                "params": params,
                "dependencies": self._dependencies_used(keys),
                "generated": provenance(type(self), payload, started, seconds),
                "code": _source.parts_of(self._kind),
            },
            head={"version": self.version, "code": _source.digests_of(self._kind)},
            params=tree,
            log="\n".join([*log, ""]),
        )
        self._memory = memory = _Memory(key, payload, None, artifact)
        if persist and not self._commit(memory, lease=lease, over=over, force=force):
            self.logger.info(f"{self.payload_name} {key} was persisted by somebody else meanwhile: theirs counts.")
            return self._load(key, False, untracked)
        if self.key != key:
            self._warn_params_changed(key)
        if hooks.completes_generated:
            call(self._post_generate, hooks.completes_generated, untracked)
        return self._memory.payload  # type: ignore[no-any-return]

    def _commit(
        self, memory: _Memory, *, lease: Lease | None = None, over: bytes | None = None, force: bool = False
    ) -> bool:
        """Persist what is in memory; return whether it counts, or somebody else has committed first."""
        payload_io = self.payload_io
        artifact = memory.artifact or self._as_loaded(memory)
        artifact = artifact._replace(sections={**artifact.sections, **self._annotations()})
        suffix = self.payload_file_suffix
        manifest = artifacts.commit(
            self.store, memory.key, artifact, payload_io, suffix=suffix, lease=lease, over=over, force=force
        )
        if manifest is None:
            return False
        payload = memory.payload
        if payload_io.payload_is_the_file:
            payload, manifest = artifacts.load(self.store, memory.key, payload_io)
        self._memory = memory._replace(payload=payload, manifest=manifest, artifact=artifact._replace(payload=payload))
        self.logger.info(f"Persisted {self.payload_name} {memory.key} in {self.store.url}.")
        return True

    def _as_loaded(self, memory: _Memory) -> Artifact:
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
        sections["dependencies"] = self._dependencies_used(keys_of(self))
        return Artifact(memory.payload, sections, head, readable_tree(self), "Persisted again after it was loaded.\n")

    def _annotations(self) -> dict[str, Any]:
        """Metrics and tags, as a manifest can hold them."""
        try:
            if wrong := [tag for tag in self.tags if not isinstance(tag, str)]:
                raise UntrackableValueError(f"a {type(wrong[0]).__qualname__} is no word.", "tags")
            return {"metrics": readable(_plain_numbers(self.metrics)), "tags": list(self.tags)}
        except UntrackableValueError as error:
            raise PersistError(
                f"The metrics or tags of {self.payload_name} hold what a manifest cannot: {error} The payload is still "
                f"in memory. Keep numbers in self.metrics and words in self.tags, and call persist() again."
            ) from error

    def _dependencies_used(self, keys: Mapping[int, str]) -> dict[str, dict[str, str | None]]:
        """role -> which upstream, and the digest of its payload, if it was opened and is persisted."""
        used: dict[str, dict[str, str | None]] = {}
        for role, upstream in self._dependencies.items():
            key, memory = keys[id(upstream)], upstream._memory
            opened = memory.manifest if memory is not None and memory.key == key else None
            digest = opened.payload["digest"] if opened is not None else None
            used[role] = {"payload_name": upstream.payload_name, "key": key, "digest": digest}
        return used

    def _warn_params_changed(self, key: ArtifactKey) -> None:
        message = (
            f"The params of {self.payload_name}, or of an upstream, changed while its payload was made: it is kept "
            f"under {key}, the key of the params that it was asked for with, but the object now stands for another. "
            f"Work on copies of params in _generate_payload()."
        )
        self.logger.warning(message)
        warnings.warn(message, ParamsChangedWarning, stacklevel=4)

    # -----------------------------------------------------------------------------------------------------------------
    # As a Python object

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the payload: an unpickled persistable finds its artifact."""
        state = {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_memory")}
        return state | {"_dependencies": dict(self._dependencies), "_generating": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._dependencies = MappingProxyType(state["_dependencies"])
        self._memory = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        roles = f", dependencies={list(self._dependencies)}" if self._dependencies else ""
        return f"{type(self).__qualname__}(payload_name={self.payload_name!r}, params={self.params!r}{roles})"

    def __persistable_key__(self) -> NoReturn:
        raise UntrackableValueError(
            f"a persistable ({self.payload_name}) is not a parameter. Pass it in tracked_persistable_dependencies."
        )


def _plain_numbers(value: Any) -> Any:
    """Return metrics with numpy's and torch's scalars as the numbers that they are."""
    if isinstance(value, Mapping):
        return {str(name): _plain_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
