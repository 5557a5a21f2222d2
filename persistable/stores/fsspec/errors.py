"""What goes wrong behind fsspec, in words for people, and without what a request was signed with.

Each file system raises what its library raises. Libraries are told by the names of their errors, as they may not be
installed; what a server has answered counts more than the class of the error that brings it.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from ..remote import Problem, problem_of_status

__all__ = ["Refused", "problem_of", "status_of"]


class Refused(Exception):
    """There is no login, and trying again does not help.

    Parameters
    ----------
    reason, remedy : str
        As those of a :class:`Problem`.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy


_REFUSALS = {
    "AuthenticationException",  # paramiko
    "BadHostKeyException",
    "NoCredentialsError",  # botocore
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "SSOTokenLoadError",
    "DefaultCredentialsError",  # Google
    "RefreshError",
    "ClientAuthenticationError",  # Azure
}

_AWAY = {
    "SSHException",  # paramiko
    "NoValidConnectionsError",
    "HTTPClientError",  # botocore
    "ConnectionError",  # Python, botocore, requests
    "ResponseParserError",
    "ClientError",  # aiohttp; botocore's has a response
    "TransportError",  # Google
    "ServiceRequestError",  # Azure
    "ServiceResponseError",
    "TimeoutError",  # Python, asyncio, fsspec
    "EOFError",
    "gaierror",
}

_AWAY_NUMBERS = {
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


def problem_of(error: Exception, options: Mapping[str, Any]) -> Problem:
    """Put an error into words.

    Parameters
    ----------
    error : Exception
        What a file system of fsspec has raised.
    options : mapping
        What it was made with: the secrets there are not repeated.
    """
    problem = _problem(error)
    return problem._replace(reason=_without_secrets(problem.reason, options))


def status_of(error: BaseException) -> int | None:
    """Return the status of HTTP that a server has answered with; None if it has not."""
    return _answer(error)[0]


def _problem(error: Exception) -> Problem:
    if isinstance(error, Refused):
        return Problem(error.reason, error.remedy, errno.EACCES)
    status, code, message = _answer(error)
    if status is not None:
        return problem_of_status(status, code, message)
    said = _said(error)
    kinds = {kind.__name__ for cause in _chain(error) for kind in type(cause).__mro__}
    if isinstance(error, FileNotFoundError):
        return _like(404, said)
    if kinds & _REFUSALS:
        return _like(401, said)
    if isinstance(error, PermissionError):
        return _like(403, said)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror):  # its numbers are not those of errno
        number = errno.EHOSTUNREACH
    if kinds & _AWAY or number in _AWAY_NUMBERS or said == "Socket is closed":  # so paramiko says it
        return _like(None, said, number)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _like(507, said, number)
    if isinstance(error, OSError):
        remedy = "Look at the server: whether it has space left, and what it permits."
        return Problem(said, remedy, number or errno.EIO)
    return _like(400, said)


def _like(status: int | None, said: str, number: int | None = None) -> Problem:
    """Return a problem as if a server had answered with `status`."""
    problem = problem_of_status(status, None, said)
    return problem._replace(reason=said, errno=number or problem.errno)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _answer(error: BaseException) -> tuple[int | None, str | None, str]:
    """Return what a server has answered: status, code, message; None, None, "" if it has not."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, Mapping) and "Error" in response:  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code, message = response["Error"].get("Code"), response["Error"].get("Message") or ""
            if status is None and str(code).isdecimal():
                status = int(code)
            return status, None if str(code).isdecimal() else code, message
        for name in ("status_code", "status", "code"):  # Azure and WebDAV; aiohttp; Google
            status = getattr(cause, name, None)
            if isinstance(status, int) and 300 <= status < 600:
                return status, None, _said(cause)
    return None, None, ""


def _said(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.errno is not None else str(error)
    if not text and isinstance(error, TimeoutError):
        return "there was no answer in time"
    if not text and isinstance(error, EOFError):
        return "the connection was cut"
    return (text or type(error).__name__).strip().partition("\n")[0].rstrip(".")


_SECRET = re.compile("pass|secret|token|key|cred|sas|connection_string", re.IGNORECASE)
_NO_SECRETS = {"key_filename", "host_key_policy"}


def _without_secrets(text: str, options: Mapping[str, Any]) -> str:
    """Return what a library says, without what a request may have been signed with."""
    for secret in _secrets(options):
        text = text.replace(secret, "***")
    text = re.sub(r"(://[^/\s:@]*):[^/\s@]*@", r"\1@", text)
    return re.sub(r"(://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) > 3 and _SECRET.search(name) and name not in _NO_SECRETS:
            yield value
