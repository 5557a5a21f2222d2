"""Storage options in two vocabularies: obstore's, which are used here, and those of fsspec's file systems.

Whoever knows pandas gives `key` and `secret`; whoever knows obstore, `access_key_id` and `secret_access_key`. Both are
taken. What only s3fs, gcsfs or adlfs know is theirs to serve.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...exceptions import StoreError

__all__ = [
    "PUBLIC",
    "as_s3fs",
    "checked_endpoint",
    "environment",
    "in_words_of_obstore",
    "only_fsspec_knows",
    "refuse_control_characters",
]

_S3_OF_S3FS = {
    # what s3fs calls it -> what obstore calls it
    "key": "access_key_id",
    "secret": "secret_access_key",
    "token": "session_token",
    "anon": "skip_signature",
    "endpoint_url": "endpoint",
    "requester_pays": "request_payer",
}
PUBLIC = ("endpoint", "region", "skip_signature", "virtual_hosted_style_request", "profile", "account_name")
"""The options that say where a store is, and nothing of who we are."""

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


def in_words_of_obstore(scheme: str, given: Mapping[str, Any]) -> dict[str, Any]:
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


def only_fsspec_knows(scheme: str, storage_options: Mapping[str, Any]) -> bool:
    """Return whether there is an option that obstore has no word for."""
    try:
        config = in_words_of_obstore(scheme, storage_options)
    except TypeError:
        return True
    return bool(config.keys() & _FSSPEC_ONLY[scheme[:2]])


def as_s3fs(config: Mapping[str, Any], endpoint: str | None) -> dict[str, Any]:
    """Return the options of a storage in the words of s3fs."""
    theirs = {word: config[ours] for word, ours in _S3_OF_S3FS.items() if ours in config}
    theirs |= {name: config[name] for name in ("profile",) if name in config}
    if endpoint:
        theirs["endpoint_url"] = endpoint
    if region := config.get("region") or config.get("default_region") or environment("AWS_REGION"):
        theirs["client_kwargs"] = {"region_name": region}
    return theirs


def environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def checked_endpoint(endpoint: str, url: str) -> str:
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


def refuse_control_characters(config: Mapping[str, Any], url: str) -> None:
    """Raise an error for a line break behind a credential, as files of secrets have: it makes obstore panic."""
    names = ("access_key_id", "secret_access_key", "session_token", "region", "default_region")
    for name in names:
        value = config.get(name) or os.environ.get(f"AWS_{name.upper()}")
        if isinstance(value, str) and not value.isprintable():
            raise StoreError(f"The store {url} cannot be used: {name} holds a line break, or the like. Mend it.")
