"""What the files of AWS say, and who we are where nobody says it: obstore reads no profiles, and botocore does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...exceptions import MissingDependencyError, StoreError
from .errors import no_credentials
from .options import environment

if TYPE_CHECKING:
    from obstore.store import S3Credential

__all__ = ["add_profile"]

_CREDENTIALS_IN_ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def add_profile(config: dict[str, Any], url: str) -> None:
    """Add what the files of AWS say, which obstore does not read; and credentials, if nobody gives any.

    botocore finds those as the tools of AWS do; and it waits a second for the service of a cloud's machines, where
    obstore may wait for minutes.
    """
    profile = config.pop("profile", None)
    signs = any(config.get(name) for name in ("access_key_id", "skip_signature", "credential_provider"))
    signs = signs or (profile is None and environment(*_CREDENTIALS_IN_ENVIRONMENT) is not None)
    named = profile is not None or environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE") is not None
    file = os.path.expanduser(environment("AWS_CONFIG_FILE") or "~/.aws/config")
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
        if not environment("AWS_REGION", "AWS_DEFAULT_REGION") and (region := session.get_config_variable("region")):
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
        found = no_credentials()
        failure = StoreError(f"The store {url} cannot be used: {found.reason}. {found.remedy}")
        failure.errno = found.errno
        raise failure


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
