"""Logging in by SSH: whether the server is the one that is meant, and what a login lacks, in words.

Whoever stands between a client and its server could put pickles in its way, and those run as they are loaded; so the
key of a server must be known, as it must for ssh. This is done here, between the greeting and the login, for fsspec
accepts every key, and older versions of it cannot be told otherwise.
"""

from __future__ import annotations

import base64
import logging
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...exceptions import PersistableWarning
from .errors import Refused

__all__ = ["Login"]

_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")

# A logger that nobody listens to prints the traceback of each failure to stderr, beside the error that is raised.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Login:
    """One login, by a file system of fsspec.

    Parameters
    ----------
    options : mapping
        What the file system is made with. A `host_key_policy` that is a class or an object of paramiko's replaces the
        one here.

    Attributes
    ----------
    options : dict
        What to make it with instead.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        from paramiko import Transport  # type: ignore[import-untyped]

        self.options = dict(options)
        policy = self.options.get("host_key_policy")
        self._policy = None
        if policy is None or isinstance(policy, str):
            self._policy = policy or "reject"
            self.options.pop("host_key_policy", None)
        host, port = self.options["host"], int(self.options.get("port") or 22)
        self._name = host if port == 22 else f"[{host}]:{port}"
        self._make = self.options.get("transport_factory") or Transport
        self.options["transport_factory"] = self._transport_of
        self._transport: Any = None
        self._greeted = False

    def end(self) -> None:
        """Close what a login that has failed leaves open."""
        if self._transport is not None:
            self._transport.close()

    def refusal(self, error: BaseException) -> Refused | None:
        """Return in words what logging in has raised; None if it was not the login, but the network, or the server."""
        from paramiko import AuthenticationException, SSHException

        if isinstance(error, OSError) and (isinstance(error, FileNotFoundError) or error.filename is not None):
            # By no means "there is no such file": none has been asked for yet.
            what = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            file = "a file that the login needs" if error.filename is None else f"the key file {error.filename}"
            return Refused(f"cannot log in: {file} {what}", "Give its whole path: storage_options={'key_filename': …}.")
        said_no = isinstance(error, SSHException) and not isinstance(error, AuthenticationException)
        if not (said_no and self._greeted and self._transport.is_active() and not self._transport.is_authenticated()):
            return None
        if "No authentication methods" in str(error):
            reason = "cannot log in: there is neither a key nor a password to try"
            return Refused(reason, "Give one: storage_options={'key_filename': …}, or {'password': …}.")
        reason = f"cannot log in: {str(error).rstrip('.')}"
        return Refused(reason, "Check the storage_options 'key_filename', 'password' and 'host_key_policy'.")

    def _transport_of(self, *arguments: Any, **options: Any) -> Any:
        """Make what paramiko talks to a server by, so that nothing is said to a stranger but hello."""
        transport = self._transport = self._make(*arguments, **options)
        known = list(_known(self._name)) if self._policy else []
        _prefer(transport, {key.kind for key in known})

        def start_client(*arguments: Any, **options: Any) -> None:
            del transport.start_client
            transport.start_client(*arguments, **options)
            key = transport.get_remote_server_key()
            self._greeted = True
            if self._policy:
                _check(self._name, key, known, self._policy)

        transport.start_client = start_client
        return transport


class _HostKey(NamedTuple):
    """A line of a file with known hosts."""

    file: str
    kind: str
    data: bytes


def _known(name: str) -> Iterator[_HostKey]:
    """Yield the keys that a server may have."""
    for file in _KNOWN_HOSTS:
        try:
            with open(os.path.expanduser(file), encoding="utf-8", errors="replace") as lines:
                entries = [line.split() for line in lines if not line.startswith(("#", "@"))]
        except OSError:
            continue
        for names, kind, data in (entry[:3] for entry in entries if len(entry) >= 3):
            try:
                if any(_is(name.lower(), other) for other in names.split(",")):
                    yield _HostKey(file, kind, base64.b64decode(data))
            except (ValueError, IndexError, AssertionError):
                continue  # no line of ssh's


def _is(name: str, other: str) -> bool:
    """Return whether a name in a file is that of a server; it may be hashed."""
    from paramiko import HostKeys

    return bool(HostKeys.hash_host(name, other) == other) if other.startswith("|1|") else other.lower() == name


def _prefer(transport: Any, kinds: set[str]) -> None:
    """Ask a server, which may have keys of several kinds, for one of a kind that can be compared."""
    if "ssh-rsa" in kinds:
        kinds = kinds | {"rsa-sha2-512", "rsa-sha2-256"}
    security = transport.get_security_options()
    security.key_types = sorted(security.key_types, key=lambda kind: kind not in kinds)


def _check(name: str, key: Any, known: list[_HostKey], policy: str) -> None:
    """Refuse a key that is not the one that is known; and one that is not known at all, unless `policy` allows it."""
    if any(other.data == key.asbytes() for other in known):
        return
    if known:
        of_all = "" if known[0].file.startswith("~") else f" -f {known[0].file}"
        raise Refused(
            f"the host key of {name} is not the one in {known[0].file}",
            f"Somebody may be in between; if the server was set up anew: ssh-keygen -R {shlex.quote(name)}{of_all}.",
        )
    if policy == "reject":
        raise Refused(
            f"the host key of {name} is not known",
            "Log in once with ssh, or add it to ~/.ssh/known_hosts with ssh-keyscan; "
            "storage_options={'host_key_policy': 'auto_add'} accepts any.",
        )
    if policy == "warning":
        warnings.warn(f"The host key of {name} is not known; it is accepted.", PersistableWarning, stacklevel=2)
