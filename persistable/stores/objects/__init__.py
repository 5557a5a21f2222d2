"""ObjectStore: buckets of S3 and its look-alikes, of Google and of Azure, through obstore: the fast lane.

obstore brings its own threads, which a forked process does not inherit: there, a request would wait for ever. So a
process that is forked after its parent has used obstore takes fsspec's way to the same place (s3fs), if it is
installed, and else says what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any

from ...exceptions import MissingDependencyError, StoreError
from ..remote import Client, RemoteStore, check_url
from .client import ObstoreClient
from .errors import first_line
from .options import (
    PUBLIC,
    as_s3fs,
    checked_endpoint,
    environment,
    in_words_of_obstore,
    only_fsspec_knows,
    refuse_control_characters,
)
from .profiles import add_profile

__all__ = ["SCHEMES", "ObjectStore", "serves"]

_PATIENCE = {"timeout": "1h", "read_timeout": "20s", "connect_timeout": "5s"}
"""A slow line may take its time, as long as something comes. (obstore's own: 30 s for the whole of a request.)"""

_PATIENCE_OF_UPLOADS = {**_PATIENCE, "read_timeout": "10m"}
_RETRIES_OF_UPLOADS = {"retry_timeout": timedelta(minutes=20)}
"""While a part is sent, nothing is read: so a `read_timeout` is the time that a line has for all parts under way."""

_RETRIES = 6  # a few seconds of pauses; obstore's own 10 would keep the user of a wrong endpoint waiting for a minute

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
        self._config = in_words_of_obstore(self._scheme, storage_options or {})

    @property
    def endpoint(self) -> str | None:
        given = self._config.get("endpoint")
        return str(given) if given else environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

    @property
    def profile(self) -> str | None:
        """The profile of AWS that may say where the store is, beside who we are."""
        return self._config.get("profile") or os.environ.get("AWS_PROFILE")

    def _public_state(self) -> dict[str, Any]:
        return {"_config": {name: self._config[name] for name in PUBLIC if name in self._config}}

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
            add_profile(config, self.url)
            if endpoint := config.get("endpoint") or self.endpoint:
                config["endpoint"] = checked_endpoint(str(endpoint), self.url)
                if config["endpoint"].startswith("http://"):  # whoever names such an endpoint allows it
                    client_options.setdefault("allow_http", True)
            refuse_control_characters(config, self.url)
        kind: Any = getattr(obstore.store, _KINDS[self._scheme])

        def store_with(patience: Mapping[str, Any], retries: Mapping[str, Any]) -> Any:
            options = {"client_options": {**patience, **client_options}, "retry_config": {**retries, **retry_config}}
            return kind(self._bucket, prefix=self._prefix or None, **options, **config)

        try:
            store = store_with(_PATIENCE, {"retry_timeout": timedelta(seconds=45)})
        except Exception as error:
            # Without values: one may be a secret that was given under a wrong name.
            problem = re.sub(r'"[^"]*"', "…", first_line(str(error)))
        else:
            _Forks.used = True
            uploads = partial(store_with, _PATIENCE_OF_UPLOADS, _RETRIES_OF_UPLOADS)
            return ObstoreClient(store, uploads, int(retry_config["max_retries"]))
        raise StoreError(f"The store {self.url} cannot be used: {problem}. Mend the storage_options.")

    def _connect_after_fork(self) -> Client:
        say = (
            f"This process was forked after its parent had used {self.url}, and obstore does not work then. Start "
            f"processes by 'spawn' or 'forkserver' (multiprocessing.set_start_method)"
        )
        if not self._scheme.startswith("s3"):
            raise StoreError(f"{say}.")
        from ..fsspec import FsspecStore  # the other lane to the same place

        try:
            return FsspecStore(self.url, storage_options=as_s3fs(self._config, self.endpoint)).connect()
        except ImportError:
            raise StoreError(f"{say}; or install s3fs: pip install 'persistable[s3]'.") from None


def _parsed(url: str) -> tuple[str, str, str]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _KINDS:
        kinds = ", ".join(f"{kind}://" for kind in _KINDS)
        raise StoreError(f"ObjectStore takes URLs that begin with {kinds}.")  # what it got may hold a password
    check_url(scheme, rest, is_bucket=True)
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise StoreError(f"The URL {url!r} names no bucket: {scheme}://bucket/prefix.")
    return scheme, bucket, prefix.strip("/")


def serves(scheme: str, storage_options: Mapping[str, Any]) -> bool:
    """Return whether obstore is here, and can serve these options."""
    return scheme in _KINDS and find_spec("obstore") is not None and not only_fsspec_knows(scheme, storage_options)
