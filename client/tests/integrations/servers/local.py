"""Local HTTP server with queued replies: bodies, streams, errors, and broken connections.

Examples
--------
>>> import urllib.request
>>> with Server(lambda request: Reply.of({"path": request.path})) as server:
...     urllib.request.urlopen(f"{server.url}/v1/hello").read()
b'{"path": "/v1/hello"}'
"""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server sends back.

    Parameters
    ----------
    chunks
        The body; with ``streamed`` each chunk is sent and flushed on its own.
    arrived
        Set when the request is here.
    hold
        Wait for this event before the last chunk: a stream that stands still.
    cut
        Break the connection after the last chunk instead of ending the body.
    """

    status: int = 200
    chunks: tuple[bytes, ...] = ()
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    streamed: bool = False
    arrived: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event | None = None
    cut: bool = False

    @classmethod
    def of(cls, body: Any, status: int = 200, **more: Any) -> Reply:
        """Return a JSON body."""
        return cls(status, (json.dumps(body).encode(),), **more)

    @classmethod
    def stream(cls, chunks: Iterable[bytes], content_type: str = "text/event-stream", **more: Any) -> Reply:
        """Return a body that comes in pieces."""
        return cls(200, tuple(chunks), content_type, streamed=True, **more)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(Request("POST", self.path, _lower(self.headers.items()), json.loads(body or b"null")))

    def do_GET(self) -> None:
        self._answer(Request("GET", self.path, _lower(self.headers.items()), None))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: tests read the client's side."""

    def _answer(self, request: Request) -> None:
        with self.server.arrived:
            self.server.requests.append(request)
            self.server.arrived.notify_all()
        reply = self.server.queued.popleft() if self.server.queued else self.server.answer(request)
        reply.arrived.set()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self._send_streamed(reply) if reply.streamed else self._send_whole(reply)

    def _send_whole(self, reply: Reply) -> None:
        body = b"".join(reply.chunks)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if reply.hold is not None:
            reply.hold.wait(30)
        self.wfile.write(body)

    def _send_streamed(self, reply: Reply) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        last = len(reply.chunks) - 1
        for n, chunk in enumerate(reply.chunks):
            if n == last and reply.hold is not None:
                reply.hold.wait(30)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        if reply.cut:
            self._break()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _break(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[Request] = []
        self.arrived = threading.Condition()
        self.queued: deque[Reply] = deque()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away in the middle of an answer is what some tests are about."""


class Server:
    """Answer HTTP requests on a free port of 127.0.0.1 while the context is open.

    Parameters
    ----------
    answer
        What to send for a request, unless a reply was queued with `will`.
    """

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self._http = _Http(answer)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Where the server listens, without a slash at the end."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def requests(self) -> list[Request]:
        """All that was received, oldest first."""
        return self._http.requests

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        with self._http.arrived:
            if not self._http.arrived.wait_for(lambda: len(self.requests) >= count, 30):
                raise TimeoutError(f"{len(self.requests)} of {count} requests arrived within 30 s")

    def will(self, *replies: Reply) -> Self:
        """Send these, in turn, to the next requests."""
        self._http.queued.extend(replies)
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def unused_url() -> str:
    """Return an address of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
