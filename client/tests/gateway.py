"""Ingest service for tests of the delivery: it sends queued responses and keeps the accepted items."""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``hang_up`` breaks the connection instead."""

    status: int = 202
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """One request."""

    path: str
    headers: dict[str, str]
    items: list[dict[str, Any]]
    answer: Answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        items = [json.loads(line) for line in gzip.decompress(body).splitlines()]
        answer = self.server.next_answer()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.posts.append(Post(self.path, headers, items, answer))
        if answer.hang_up:
            self.close_connection = True
            return
        raw = json.dumps({"accepted": len(items)} if answer.body is None else answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class Gateway(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1; 202 unless told otherwise.

    Attributes
    ----------
    posts
        What came, oldest first.
    will
        The next answers.
    connections
        How many were made.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.posts: list[Post] = []
        self.will: deque[Answer] = deque()
        self.connections = 0

    def next_answer(self) -> Answer:
        """Return what was told, else 202."""
        try:
            return self.will.popleft()
        except IndexError:
            return Answer()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count it."""
        self.connections += 1
        super().process_request(request, client_address)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def taken(self) -> list[dict[str, Any]]:
        """All items of requests answered by 202."""
        return [
            item for post in self.posts if post.answer.status == 202 and not post.answer.hang_up for item in post.items
        ]


@contextmanager
def listening(port: int = 0) -> Iterator[Gateway]:
    """Run one while the context is open."""
    with Gateway(port) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield gateway
        gateway.shutdown()
        thread.join()
