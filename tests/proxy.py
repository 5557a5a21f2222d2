"""A proxy between a client and an S3 server that counts the requests, and lets some of them go wrong.

It speaks plain HTTP on 127.0.0.1, and passes on every request as it came: the signature covers the Host header, which
is thus the proxy's own, and the servers check it against what they are told. Each connection carries one request, and
is closed after the answer, so that nothing that was cut leaks into the next request.

    with FaultyProxy(server.url) as proxy:
        rule = proxy.fault("PUT /team/", refuse(503, "SlowDown"), times=2)
        ...
        assert rule.hits == 2
        assert proxy.requests == ["PUT /team/x", "PUT /team/x", "PUT /team/x"]
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

__all__ = [
    "FaultyProxy",
    "Request",
    "Rule",
    "cut_request",
    "cut_response",
    "delay",
    "hang",
    "meanwhile",
    "refuse",
    "swallow_response",
]

_PIECE = 64 * 1024
_LONGEST_LINE = 64 * 1024
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    412: "Precondition Failed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Request:
    """The head of a request."""

    method: str
    target: str  # the path and the query, as they were sent
    headers: dict[str, str]  # the names are in lower case

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass
class Rule:
    """Which requests go wrong, how, and how often still; `times=None` is for ever."""

    match: str | Callable[[Request], bool]
    action: Action
    times: int | None = 1
    hits: int = 0

    def _fits(self, request: Request) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        return self.match in str(request) if isinstance(self.match, str) else self.match(request)


# --- What can go wrong -----------------------------------------------------------------------------------------------


def refuse(status: int, code: str, retry_after: int | None = None) -> Action:
    """Answer with this error of S3; the server never hears of the request."""

    def action(exchange: _Exchange) -> None:
        exchange.drain()
        exchange.answer(status, code, retry_after)

    return action


def cut_request(after_bytes: int) -> Action:
    """Pass on this much of the request's body, and never all of it; then reset both connections."""

    def action(exchange: _Exchange) -> None:
        exchange.send(up_to=after_bytes)
        exchange.reset()

    return action


def cut_response(after_bytes: int) -> Action:
    """Pass on the head of the answer and this much of its body, and never all of it; then reset the connection.

    Of an answer without a body, the client sees nothing.
    """

    def action(exchange: _Exchange) -> None:
        exchange.send()
        exchange.receive(up_to=after_bytes)
        exchange.reset()

    return action


def swallow_response() -> Action:
    """Let the request take effect on the server, and then reset the connection without an answer."""

    def action(exchange: _Exchange) -> None:
        exchange.send()
        exchange.receive(silent=True)
        exchange.reset()

    return action


def delay(seconds: float) -> Action:
    """Wait before the request is passed on."""

    def action(exchange: _Exchange) -> None:
        exchange.interrupted.wait(seconds)
        exchange.send()
        exchange.receive()

    return action


def hang() -> Action:
    """Take the request, and never answer: the connection stays open until the proxy is closed, or down."""

    def action(exchange: _Exchange) -> None:
        exchange.drain()
        while exchange.client.recv(_PIECE):  # until either side gives up
            pass
        exchange.reset()

    return action


def meanwhile(call: Callable[[], object]) -> Action:
    """Do something else first, such as what another writer does just then, and pass on the request afterwards."""

    def action(exchange: _Exchange) -> None:
        call()
        exchange.send()
        exchange.receive()

    return action


# --- The proxy -------------------------------------------------------------------------------------------------------


class FaultyProxy:
    """A proxy on 127.0.0.1 for the server at this URL, from `with` to the end of the block."""

    url: str
    requests: list[str]  # "GET /team/x?y", in the order in which they came; a test may clear it
    errors: list[BaseException]  # what went wrong in the proxy itself; raised at the end of the block

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"Not a URL of a plain HTTP server: {url!r}")
        self._target = (parts.hostname, parts.port or 80)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._placeholder: socket.socket | None = None
        self._serving: dict[_Exchange, threading.Thread] = {}
        self._bytes_up = self._bytes_down = 0
        self._port = 0
        self.requests = []
        self.errors = []
        self.url = ""

    def __enter__(self) -> FaultyProxy:
        self.up()
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.down()
        if self._placeholder is not None:
            self._placeholder.close()
        if self.errors and kind is None:
            raise ExceptionGroup("The proxy failed", [exc for exc in self.errors if isinstance(exc, Exception)])

    def fault(self, match: str | Callable[[Request], bool], action: Action, times: int | None = 1) -> Rule:
        """Let the next requests that match go wrong; a string matches a part of "METHOD path?query".

        The first rule that fits a request is applied, alone.
        """
        rule = Rule(match, action, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget the rules, and the requests."""
        with self._lock:
            self._rules.clear()
            self.requests.clear()

    def count(self, part: str) -> int:
        """How many requests had this in their "METHOD path?query"."""
        return sum(part in request for request in list(self.requests))

    @property
    def bytes_up(self) -> int:
        """What was passed on to the server, heads and bodies."""
        return self._bytes_up

    @property
    def bytes_down(self) -> int:
        """What was passed on to the clients, heads and bodies."""
        return self._bytes_down

    def down(self) -> None:
        """Reset all connections, and refuse new ones."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept, on Linux
            assert self._accepting is not None
            self._accepting.join()
            listener.close()
            # Bound, but not listening: connections are refused, and the port stays ours.
            self._placeholder = _bound(self._port)
        with self._lock:
            serving = dict(self._serving)
            for exchange in serving:
                exchange.interrupt()
        for thread in serving.values():
            if thread is not threading.current_thread():  # a `meanwhile` may call us
                thread.join()

    def up(self) -> None:
        """Accept connections again, on the same port."""
        if self._listener is not None:
            return
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        self._listener = _bound(self._port)
        self._listener.settimeout(0.1)
        self._listener.listen(128)
        self._port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.setblocking(True)
            exchange = _Exchange(self, client)
            thread = threading.Thread(target=self._serve, args=(exchange,), daemon=True)
            with self._lock:
                self._serving[exchange] = thread
            thread.start()

    def _serve(self, exchange: _Exchange) -> None:
        try:
            if exchange.read_head():
                self._rule_for(exchange.request)(exchange)
        except (OSError, EOFError):  # either side went away: that is what we are here for
            exchange.reset()
        except BaseException as exc:
            self.errors.append(exc)
            exchange.reset()
        finally:
            with self._lock:  # so that down() does not touch a socket that is closed
                del self._serving[exchange]
                exchange.close()

    def _rule_for(self, request: Request) -> Action:
        with self._lock:
            self.requests.append(str(request))
            for rule in self._rules:
                if rule._fits(request):
                    rule.hits += 1
                    return rule.action
        return _pass_on

    def _count(self, *, up: int = 0, down: int = 0) -> None:
        with self._lock:
            self._bytes_up += up
            self._bytes_down += down


def _pass_on(exchange: _Exchange) -> None:
    exchange.send()
    exchange.receive()


@dataclass(eq=False)
class _Exchange:
    """One request of a client, and its answer."""

    proxy: FaultyProxy
    client: socket.socket
    server: socket.socket | None = None
    request: Request = field(default_factory=lambda: Request("", "", {}))
    interrupted: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._from_client = self.client.makefile("rb")
        self._raw_head = b""

    def read_head(self) -> bool:
        """Read the head of the request; False if the client went away without one, as those of a pool may."""
        first, headers, self._raw_head = _read_head(self._from_client)
        if not first:
            return False
        method, target, _ = first.split(" ", 2)
        self.request = Request(method, target, headers)
        return True

    def drain(self) -> None:
        """Read all of the request, and pass on none of it."""
        for _ in self._body():
            pass

    def send(self, up_to: int | None = None) -> None:
        """Pass on the request, or the head and so many bytes of its body, but then never all of it."""
        body = self._body() if up_to is None else _first_bytes(self._body(), up_to)
        if up_to is not None and (up_to <= 0 or not self._has_body()):
            # Nothing, or it would be a whole request: the server is to see a part of it at most.
            body, self._raw_head = iter(()), self._raw_head[:-2]
        if self.interrupted.is_set():
            raise ConnectionAbortedError("the proxy is down")
        self.server = socket.create_connection(self.proxy._target)
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._to_server(self._raw_head)
        for piece in body:
            try:
                self._to_server(piece)
            except OSError:  # it refuses the rest, and may have said why
                for _ in body:
                    pass
                return

    def receive(self, *, up_to: int | None = None, silent: bool = False) -> None:
        """Pass on the answer, or its head and so many bytes of its body, or nothing of it."""
        assert self.server is not None
        with self.server.makefile("rb") as answer:
            while True:
                first, headers, raw_head = _read_head(answer)
                if not first:
                    raise EOFError("no answer")
                status = int(first.split(" ", 2)[1])
                if status >= 200:  # and not "100 Continue", which the client was told before
                    break
            bodiless = self.request.method == "HEAD" or status in (204, 304)
            body = iter(()) if bodiless else _body(answer, headers, until_closed=True)
            if up_to is not None:
                body = _first_bytes(body, up_to)
                if bodiless or headers.get("content-length") == "0":
                    return
            if not silent:
                self._to_client(_closing_head(raw_head))
            for piece in body:
                if not silent:
                    self._to_client(piece)

    def answer(self, status: int, code: str, retry_after: int | None = None) -> None:
        """Answer as S3 does when it refuses."""
        said = f"<Code>{escape(code)}</Code><Message>The proxy of the tests says {escape(code)}.</Message>"
        path = f"<Resource>{escape(self.request.path)}</Resource><RequestId>0</RequestId>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{said}{path}</Error>'.encode()
        reason = _REASONS.get(status, "Error")
        lines = [f"HTTP/1.1 {status} {reason}", "Content-Type: application/xml", f"Content-Length: {len(body)}"]
        if retry_after is not None:
            lines.append(f"Retry-After: {retry_after}")
        lines += ["Connection: close", "", ""]
        head = "\r\n".join(lines).encode()
        self._to_client(head if self.request.method == "HEAD" else head + body)

    def reset(self) -> None:
        """Let both connections end with a reset, once they are closed: what the client sees is an error, and no end."""
        for connection in (self.client, self.server):
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def interrupt(self) -> None:
        """Wake the thread that waits for either side, from another; it then closes both connections."""
        self.interrupted.set()
        self.reset()
        for connection in (self.client, self.server):
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._from_client.close()
        self.client.close()
        if self.server is not None:
            self.server.close()

    def _has_body(self) -> bool:
        return self.request.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.request.headers

    def _body(self) -> Iterator[bytes]:
        if self.request.headers.get("expect", "").lower() == "100-continue":
            self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return _body(self._from_client, self.request.headers, until_closed=False)

    def _to_server(self, data: bytes) -> None:
        assert self.server is not None
        self.server.sendall(data)
        self.proxy._count(up=len(data))

    def _to_client(self, data: bytes) -> None:
        self.proxy._count(down=len(data))  # before: whoever has read it may look at the count at once
        self.client.sendall(data)


Action = Callable[[_Exchange], Any]


# --- As much of HTTP as it takes -------------------------------------------------------------------------------------


def _read_head(stream: BufferedReader) -> tuple[str, dict[str, str], bytes]:
    """The first line, the headers, and both as they came; nothing at all if the other side went away before."""
    first = stream.readline(_LONGEST_LINE)
    if not first:
        return "", {}, b""
    raw, headers = [first], {}
    while (line := stream.readline(_LONGEST_LINE)) != b"\r\n":
        if not line.endswith(b"\r\n"):
            raise EOFError("the head ends too soon")
        raw.append(line)
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return first.decode("latin-1").strip(), headers, b"".join([*raw, b"\r\n"])


def _closing_head(raw_head: bytes) -> bytes:
    """The head of an answer, with word that the connection is closed after it."""
    first, *lines = raw_head[:-4].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def _body(stream: BufferedReader, headers: dict[str, str], *, until_closed: bool) -> Iterator[bytes]:
    """The body, in pieces, as it is on the wire: the sizes of chunks are passed on too."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        yield from _chunks(stream)
    elif "content-length" in headers:
        yield from _exactly(stream, int(headers["content-length"]))
    elif until_closed:
        while piece := stream.read1(_PIECE):
            yield piece


def _chunks(stream: BufferedReader) -> Iterator[bytes]:
    while True:
        line = stream.readline(_LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise EOFError("the body ends too soon")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            trailers = [line]
            while trailers[-1] != b"\r\n":
                if not trailers[-1]:
                    raise EOFError("the body ends too soon")
                trailers.append(stream.readline(_LONGEST_LINE))
            yield b"".join(trailers)
            return
        yield line
        yield from _exactly(stream, size + 2)


def _exactly(stream: BufferedReader, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read1(min(size, _PIECE))
        if not piece:
            raise EOFError("the body ends too soon")
        size -= len(piece)
        yield piece


def _first_bytes(pieces: Iterator[bytes], up_to: int) -> Iterator[bytes]:
    """So many bytes of these pieces, but all of them save the last byte at most."""
    held = b""  # a byte is held back, until we know that another follows
    for piece in pieces:
        held += piece
        passed = held[: min(up_to, len(held) - 1)]
        held = held[len(passed) :]
        up_to -= len(passed)
        if passed:
            yield passed
        if up_to <= 0:
            return


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
