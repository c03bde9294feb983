"""Ingest service for the client: it accepts events over HTTP and keeps them."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Monitor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        unpacked = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.server.take([json.loads(line) for line in unpacked.splitlines()])
        self.send_response(202)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: tests read `Monitor.events`."""


class Monitor(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: list[dict[str, Any]] = []
        self._more = threading.Condition()

    def take(self, events: list[dict[str, Any]]) -> None:
        """Keep what was sent."""
        with self._more:
            self.events += events
            self._more.notify_all()

    def wait_for(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait until so many events have come."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.events) >= count, timeout_s), self.events

    @property
    def url(self) -> str:
        """What ``STREAMGAUGE_URL`` is set to."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def listening() -> Iterator[Monitor]:
    """Run a monitor while the context is open."""
    with Monitor() as monitor:
        thread = threading.Thread(target=monitor.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield monitor
        monitor.shutdown()
        thread.join()
