"""ObjectStore: buckets of S3 and its look-alikes, of Google and of Azure, through obstore: the fast lane.

obstore brings its own threads, which a forked process does not inherit: there, a request would wait for ever. So a
process that is forked after its parent has used obstore takes fsspec's way to the same place (s3fs), if it is
installed, and else says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ..exceptions import MissingDependencyError, StoreError
from .base import Entry
from .remote import AT_ONCE, PART, Client, Problem, RemoteStore, problem_of_status

if TYPE_CHECKING:
    from obstore.store import S3Credential

__all__ = ["ObjectStore"]

T = TypeVar("T")

_MOST_PARTS = 9_000  # S3 takes 10,000

_PATIENCE = {"timeout": "1h", "read_timeout": "20s", "connect_timeout": "5s"}
"""A slow line may take its time, as long as something comes. (obstore's own: 30 s for the whole of a request.)"""

_PATIENCE_OF_UPLOADS = {**_PATIENCE, "read_timeout": "10m"}
_RETRIES_OF_UPLOADS = {"retry_timeout": timedelta(minutes=20)}
"""While a part is sent, nothing is read: so a `read_timeout` is the time that a line has for all parts under way."""

_QUICK = 2**20
"""Bytes up to which a file is sent with the usual patience, which finds out sooner that a server is silent."""

_RETRIES = 6  # a few seconds of pauses; obstore's own 10 would keep the user of a wrong endpoint waiting for a minute

_S3_OF_S3FS = {
    # what s3fs calls it -> what obstore calls it
    "key": "access_key_id",
    "secret": "secret_access_key",
    "token": "session_token",
    "anon": "skip_signature",
    "endpoint_url": "endpoint",
    "requester_pays": "request_payer",
}
_KINDS = {
    "s3": "S3Store",
    "s3a": "S3Store",
    "gs": "GCSStore",
    "gcs": "GCSStore",
    "az": "AzureStore",
    "abfs": "AzureStore",
}


SCHEMES = frozenset(_KINDS)
"""What the URLs of buckets begin with."""


_PUBLIC = ("endpoint", "region", "skip_signature", "virtual_hosted_style_request", "profile", "account_name")
"""The options that say where a store is, and nothing of who we are."""


class _Forks:
    """Whether obstore's threads are here."""

    used = False
    lost = False


def _after_fork() -> None:
    _Forks.lost = _Forks.lost or _Forks.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ObjectStore(RemoteStore):
    """Artifacts in a bucket.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``. The bucket must be there.
    storage_options : mapping, optional
        Credentials, endpoint, timeouts: the configuration keys of obstore (``access_key_id``, ``endpoint``,
        ``region``, ``client_options``, ``retry_config``, …), or those of s3fs (``key``, ``secret``, ``token``,
        ``endpoint_url``, ``client_kwargs``, ``anon``, ``profile``). What is not given comes from the environment
        (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, …) and from where the cloud keeps it. It enters
        no manifest, no log and no error.
    **options
        As for :class:`~persistable.stores.Store`.

    Raises
    ------
    MissingDependencyError
        If obstore is not installed, or botocore, where the credentials are in a profile.
    StoreError
        If `url` is of another kind; at the first request, if obstore does not know an option.
    TypeError
        If there is an option that only s3fs knows.

    Notes
    -----
    A hit on a payload of up to 16 MiB costs two requests: manifest and payload; a miss and what it makes, 17. Larger
    ones are moved in parts of 16 MiB, eight at once. ``create`` is a conditional request (``If-None-Match: *``). A line
    has ten minutes for the parts that are under way; ``client_options={"read_timeout": …}`` says otherwise.

    After a failure the next request connects anew: what was corrected in the environment, or in a profile, counts.

    Examples
    --------
    >>> store = ObjectStore("s3://team/artifacts", storage_options={"endpoint": "http://localhost:9000"})
    >>> store.url                                                       # nothing has been asked of the server yet
    's3://team/artifacts'
    """

    def __init__(self, url: str, *, storage_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        self._scheme, self._bucket, self._prefix = _parsed(url)
        super().__init__("/".join(filter(None, [f"{self._scheme}://{self._bucket}", self._prefix])), **options)
        if find_spec("obstore") is None:
            raise MissingDependencyError.of("obstore", extra="s3", purpose="ObjectStore")
        self._config = _config_of(self._scheme, storage_options or {})

    @property
    def endpoint(self) -> str | None:
        given = self._config.get("endpoint")
        return str(given) if given else _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

    @property
    def profile(self) -> str | None:
        """The profile of AWS that may say where the store is, beside who we are."""
        return self._config.get("profile") or os.environ.get("AWS_PROFILE")

    def _public_state(self) -> dict[str, Any]:
        return {"_config": {name: self._config[name] for name in _PUBLIC if name in self._config}}

    def connect(self) -> Client:
        if _Forks.lost:
            return self._connect_after_fork()
        import obstore.store

        config = dict(self._config)
        client_options = dict(config.pop("client_options", {}))
        retry_config = {"max_retries": _RETRIES, **config.pop("retry_config", {})}
        if unknown := retry_config.keys() - {"max_retries", "retry_timeout", "backoff"}:  # obstore ignores them
            raise StoreError(f"The store {self.url} cannot be used: retry_config has no {sorted(map(str, unknown))}.")
        if self._scheme.startswith("s3"):
            _add_profile(config, self.url)
            if endpoint := config.get("endpoint") or self.endpoint:
                config["endpoint"] = _checked_endpoint(str(endpoint), self.url)
                if config["endpoint"].startswith("http://"):  # whoever names such an endpoint allows it
                    client_options.setdefault("allow_http", True)
            _refuse_control_characters(config, self.url)
        kind: Any = getattr(obstore.store, _KINDS[self._scheme])

        def store_with(patience: Mapping[str, Any], retries: Mapping[str, Any]) -> Any:
            options = {"client_options": {**patience, **client_options}, "retry_config": {**retries, **retry_config}}
            return kind(self._bucket, prefix=self._prefix or None, **options, **config)

        try:
            store = store_with(_PATIENCE, {"retry_timeout": timedelta(seconds=45)})
        except Exception as error:
            # Without values: one may be a secret that was given under a wrong name.
            problem = re.sub(r'"[^"]*"', "…", _first_line(str(error)))
        else:
            _Forks.used = True
            uploads = partial(store_with, _PATIENCE_OF_UPLOADS, _RETRIES_OF_UPLOADS)
            return _ObstoreClient(store, uploads, int(retry_config["max_retries"]))
        raise StoreError(f"The store {self.url} cannot be used: {problem}. Mend the storage_options.")

    def _connect_after_fork(self) -> Client:
        say = (
            f"This process was forked after its parent had used {self.url}, and obstore does not work then. Start "
            f"processes by 'spawn' or 'forkserver' (multiprocessing.set_start_method)"
        )
        if not self._scheme.startswith("s3"):
            raise StoreError(f"{say}.")
        from .fsspec import FsspecStore  # the other lane to the same place

        try:
            return FsspecStore(self.url, storage_options=_as_s3fs(self._config, self.endpoint)).connect()
        except ImportError:
            raise StoreError(f"{say}; or install s3fs: pip install 'persistable[s3]'.") from None


class _ObstoreClient(Client):
    """Requests by obstore.

    Parameters
    ----------
    store : object
        A store of obstore's.
    uploads : callable
        Makes another one to the same place, for what may take long to be sent.
    retries : int
        How often a request is repeated.
    """

    def __init__(self, store: Any, uploads: Callable[[], Any], retries: int) -> None:
        import obstore
        from obstore import exceptions

        self._store = store
        self._uploads = cache(uploads)
        self._api: Any = obstore
        self._retries = retries
        self._exists = exceptions.AlreadyExistsError
        self._same = exceptions.NotModifiedError

    def get(self, path: str, etag: str | None = None) -> tuple[bytes, str | None] | None:
        def get() -> tuple[bytes, str | None]:
            result = self._api.get(self._store, path, options={"if_none_match": etag} if etag else None)
            return bytes(result.bytes()), result.meta["e_tag"]

        try:
            return self._surely(get)
        except self._same:
            return None

    def get_part(self, path: str, start: int, stop: int | None) -> Any:
        if stop is None:
            return self._surely(lambda: self._api.get(self._store, path).bytes())
        try:
            return self._surely(lambda: self._api.get_range(self._store, path, start=start, end=stop))
        except Exception as error:
            if _status_and_code(str(error))[0] == 416:  # there is nothing from `start` on
                return b""
            raise

    def size(self, path: str) -> int:
        return int(self._surely(lambda: self._api.head(self._store, path))["size"])

    def create(self, path: str, data: bytes) -> bool:
        for attempt in range(max(self._retries, _CONFLICTS) + 1):
            try:
                self._api.put(self._store, path, data, mode="create", use_multipart=False)
                return True
            except Exception as error:
                failure = error
            conflict = isinstance(failure, self._exists)
            if not (conflict or _may_have_happened(failure)):
                raise failure
            # Another's; or our own, if the answer to a try was lost; or, on a conflict (409), nobody's yet.
            with contextlib.suppress(FileNotFoundError):
                return bytes(self.get_part(path, 0, None)) == data
            if not _pause(attempt, _CONFLICTS if conflict else self._retries):
                raise failure
        raise AssertionError("unreachable")

    def put(self, path: str, data: bytes) -> None:
        self._surely(lambda: self._api.put(self._store, path, data, use_multipart=False))

    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        if size <= _QUICK:
            self.put(path, Path(local).read_bytes())
            advance(size)
            return
        store, part, stopped = self._uploads(), max(PART, -(-size // _MOST_PARTS)), threading.Event()

        def pieces() -> Iterator[bytes]:
            with open(local, "rb", buffering=0) as file:
                while piece := file.read(1 << 20):
                    if stopped.is_set():
                        raise InterruptedError(errno.EINTR, "the upload was interrupted")
                    yield piece
                    advance(len(piece))

        def send() -> None:
            if size <= PART:
                data = Path(local).read_bytes()
                self._surely(lambda: self._api.put(store, path, data, use_multipart=False))
                advance(size)
            else:
                self._api.put(store, path, pieces(), use_multipart=True, chunk_size=part, max_concurrency=AT_ONCE)

        try:
            _interruptibly(send, stopped)
        except Exception:
            # If the answer to the last request was lost, its repetition may be refused. There is all of it, or nothing.
            with contextlib.suppress(Exception):
                if self.size(path) == size:
                    return
            raise

    def list(self, folder: str) -> Iterator[Entry]:
        last: str | None = None
        for attempt in itertools.count():
            try:
                for chunk in self._api.list(self._store, folder or None, offset=last):
                    for entry in chunk:
                        last = entry["path"]
                        if not last.endswith("/"):  # a marker that some tools write for a folder
                            yield Entry(last, entry["size"], entry["last_modified"].timestamp())
                return
            except Exception as error:
                if not _was_tried_once(error) or not _pause(attempt, self._retries):
                    raise

    def delete(self, path: str) -> None:
        self._surely(lambda: self._api.delete(self._store, path))

    def _surely(self, request: Callable[[], T]) -> T:
        """Do a request that may be done twice."""
        for attempt in itertools.count():
            try:
                return request()
            except Exception as error:
                if not _was_tried_once(error) or not _pause(attempt, self._retries):
                    raise
        raise AssertionError("unreachable")

    def problem(self, error: Exception) -> Problem:
        text = str(error)
        if any(clue in text for clue in _CREDENTIAL_SERVICES):
            return _no_credentials()
        if _OF_PROVIDER in text:
            return _no_credentials()._replace(reason=_first_line(text.partition(_OF_PROVIDER)[2]))
        status, code = _status_and_code(text)
        if status is None and isinstance(error, FileNotFoundError):
            status = 404
        if status is not None or code is not None:
            message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
            return problem_of_status(status, code, message[1] if message else "")
        if isinstance(error, OSError) and error.errno is not None:
            return problem_of_status(None, None, error.strerror or "")._replace(errno=error.errno, transient=False)
        if "arsing Path" in text or "parse path" in text:
            return Problem(_first_line(text), "Give it another name.", errno.EINVAL)
        for clue, reason in _CLUES.items():
            if clue in text:
                return problem_of_status(None, None, reason)
        return problem_of_status(None, None, _first_line(text))


_CLUES = {
    "dns error": "the name of the endpoint is not known",
    "Connection refused": "the endpoint refuses the connection",
    "InvalidCertificate": "the certificate of the endpoint is not trusted",
    "InvalidContentType": "the endpoint does not speak https",
    "TimedOut": "the endpoint does not answer",
    "operation timed out": "the endpoint does not answer",
    "kind: Connect,": "there is no connection to the endpoint",
    "error sending request": "the connection was cut",
    "response body": "the connection was cut",
}
"""In obstore's words -> in ours."""

_CREDENTIAL_SERVICES = ("/latest/api/token", "/latest/meta-data", "169.254.170.")
_OF_PROVIDER = "External AWS credential provider: "

_CONFLICTS = 7  # how often a create that nobody has won is tried again
_LONGEST_PAUSE = 2.0  # seconds


def _interruptibly(work: Callable[[], None], stopped: threading.Event) -> None:
    """Do long work of obstore's in a thread of its own: the main one would hear of Ctrl-C when it is done."""
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=run, name="persistable upload", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # none to be had, as at the end of the interpreter
        run()
    try:
        if worker.ident is not None:
            worker.join()
    except BaseException:
        stopped.set()
        raise
    if failures:
        raise failures[0]


def _may_have_happened(error: Exception) -> bool:
    """Whether the answer to a request was lost."""
    text = str(error)
    return "HttpError {" in text and "kind: Connect," not in text


def _was_tried_once(error: Exception) -> bool:
    """Whether the answer was lost, and obstore did not repeat the request, as it does with most."""
    text = str(error)
    return _may_have_happened(error) and ("list response body" in text or re.search(r"\bretries: 0,", text) is not None)


def _pause(attempt: int, retries: int) -> bool:
    """Wait before another try; return False if this was the last."""
    if attempt >= retries:
        return False
    time.sleep(min(0.05 * 2**attempt, _LONGEST_PAUSE))
    return True


def _no_credentials() -> Problem:
    remedy = "Give them in storage_options, the environment (AWS_ACCESS_KEY_ID, …), or a profile (AWS_PROFILE)."
    return Problem("no credentials are found", remedy, errno.EACCES)


def _status_and_code(text: str) -> tuple[int | None, str | None]:
    """Return HTTP status and S3 code out of what obstore says."""
    if "redirect without LOCATION" in text:  # what S3 says with it is not passed on
        return 301, "PermanentRedirect"
    status = re.search(r"status code: (\d{3})|status: (\d{3})", text)
    code = re.search(r"<Code>(\w+)</Code>|\bcode: \"?([A-Z]\w+)", text)  # the latter where several are deleted at once
    return int(status[1] or status[2]) if status else None, (code[1] or code[2]) if code else None


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip().rstrip(".:")


def _parsed(url: str) -> tuple[str, str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _KINDS:
        kinds = ", ".join(f"{kind}://" for kind in _KINDS)
        raise StoreError(f"ObjectStore takes URLs that begin with {kinds}.")  # what it got may hold a password
    if "?" in rest or "#" in rest:  # and is not repeated: it may be a signature
        raise StoreError(f"The {scheme}:// URL of a store has neither '?' nor '#': give options as storage_options.")
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise StoreError("The URL of a bucket holds no credentials: give them as storage_options.")
    if not bucket:
        raise StoreError(f"The URL {url!r} names no bucket: {scheme}://bucket/prefix.")
    return scheme, bucket, prefix.strip("/")


def _config_of(scheme: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a storage in obstore's words.

    Raises
    ------
    TypeError
        If there is one that only fsspec's file systems know.
    """
    if not scheme.startswith("s3"):
        return dict(given)
    config = {name.lower().removeprefix("aws_"): value for name, value in given.items() if value is not None}
    for theirs, ours in _S3_OF_S3FS.items():
        if theirs in config:
            config[ours] = config.pop(theirs)
    for name, value in dict(config.pop("client_kwargs", None) or {}).items():
        match name:
            case "region_name":
                config["region"] = value
            case "endpoint_url":
                config.setdefault("endpoint", value)
            case "verify" if isinstance(value, bool):
                options = {"allow_invalid_certificates": not value}
                config["client_options"] = {**options, **config.get("client_options", {})}
            case _:
                raise TypeError(f"ObjectStore does not know client_kwargs[{name!r}] of s3fs: use FsspecStore.")
    return config


def serves(scheme: str, storage_options: Mapping[str, Any]) -> bool:
    """Return whether obstore is here, and can serve these options."""
    if scheme not in _KINDS or find_spec("obstore") is None:
        return False
    try:
        config = _config_of(scheme, storage_options)
    except TypeError:
        return False
    return not config.keys() & _FSSPEC_ONLY[scheme[:2]]


_FSSPEC_ONLY = {
    "s3": {
        "config_kwargs",
        "s3_additional_kwargs",
        "default_block_size",
        "default_fill_cache",
        "default_cache_type",
        "version_aware",
        "cache_regions",
        "use_ssl",
        "session",
        "max_concurrency",
        "fixed_upload_size",
        "asynchronous",
        "loop",
    },
    "gs": {"project", "token", "access", "consistency", "cache_timeout", "secure_serialize", "endpoint_url"},
    "gc": {"project", "token", "access", "consistency", "cache_timeout", "secure_serialize", "endpoint_url"},
    "az": {"connection_string", "credential", "anon", "location_mode", "account_host"},
    "ab": {"connection_string", "credential", "anon", "location_mode", "account_host"},
}
"""Options of s3fs, gcsfs and adlfs that have no word in obstore: whoever gives them is served by fsspec."""


def _as_s3fs(config: Mapping[str, Any], endpoint: str | None) -> dict[str, Any]:
    """Return the options of a storage in the words of s3fs."""
    theirs = {word: config[ours] for word, ours in _S3_OF_S3FS.items() if ours in config}
    theirs |= {name: config[name] for name in ("profile",) if name in config}
    if endpoint:
        theirs["endpoint_url"] = endpoint
    if region := config.get("region") or config.get("default_region") or _environment("AWS_REGION"):
        theirs["client_kwargs"] = {"region_name": region}
    return theirs


def _environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _checked_endpoint(endpoint: str, url: str) -> str:
    """Return an endpoint that obstore takes: some others make it panic."""
    if "@" in endpoint:
        raise StoreError(f"The endpoint of the store {url} holds credentials: give them as storage_options.")
    try:
        parts = urlsplit(endpoint)
        is_good = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        is_good = is_good and parts.port != 0 and not re.search(r"\s", endpoint)
    except ValueError:  # a port that is none, or half of an IPv6 address
        is_good = False
    if not is_good:
        shown = endpoint.partition("?")[0]
        raise StoreError(f"The endpoint of the store {url} is {shown!r}, and not a URL: http://host:port or https://….")
    return endpoint.rstrip("/")


def _refuse_control_characters(config: Mapping[str, Any], url: str) -> None:
    """Raise an error for a line break behind a credential, as files of secrets have: it makes obstore panic."""
    names = ("access_key_id", "secret_access_key", "session_token", "region", "default_region")
    for name in names:
        value = config.get(name) or os.environ.get(f"AWS_{name.upper()}")
        if isinstance(value, str) and not value.isprintable():
            raise StoreError(f"The store {url} cannot be used: {name} holds a line break, or the like. Mend it.")


def _add_profile(config: dict[str, Any], url: str) -> None:
    """Add what the files of AWS say, which obstore does not read; and credentials, if nobody gives any.

    botocore finds those as the tools of AWS do; and it waits a second for the service of a cloud's machines, where
    obstore may wait for minutes.
    """
    profile = config.pop("profile", None)
    signs = any(config.get(name) for name in ("access_key_id", "skip_signature", "credential_provider"))
    signs = signs or (profile is None and _environment(*_CREDENTIALS_IN_ENVIRONMENT) is not None)
    named = profile is not None or _environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE") is not None
    file = os.path.expanduser(_environment("AWS_CONFIG_FILE") or "~/.aws/config")
    if signs and not named and not os.path.exists(file):  # the file may say where, whoever says who
        return
    try:
        from botocore.configprovider import ConfiguredEndpointProvider  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
        from botocore.session import Session  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        if not named:
            return  # obstore looks for the service
        raise MissingDependencyError.of("botocore", extra="s3", purpose="a profile of AWS") from error
    try:
        session = Session(profile=profile)
        if not _environment("AWS_REGION", "AWS_DEFAULT_REGION") and (region := session.get_config_variable("region")):
            config.setdefault("region", region)
        endpoints = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), "s3")
        if endpoint := endpoints.provide():
            config.setdefault("endpoint", endpoint)
        credentials = None if signs else session.get_credentials()
    except BotoCoreError as error:
        problem = str(error).rstrip(".")
        raise StoreError(
            f"The profile of AWS cannot be used: {problem}. Check AWS_PROFILE and storage_options."
        ) from None
    if credentials is not None:
        config["credential_provider"] = _OfProfile(credentials)
    elif not signs:
        found = _no_credentials()
        failure = StoreError(f"The store {url} cannot be used: {found.reason}. {found.remedy}")
        failure.errno = found.errno
        raise failure


_CREDENTIALS_IN_ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class _OfProfile:
    """Credentials for obstore out of botocore's, which renews them."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> S3Credential:
        import datetime as dt

        frozen = self._credentials.get_frozen_credentials()
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": expires,
        }
