"""Open connections: bounded, none silent for long, and shared fairly between senders."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from streams.ingest.in_flight_requests import Handler
from streams.runtime.metrics import INGEST_CONNECTIONS, INGEST_CONNECTIONS_CLOSED

_LOOKS = 4
"""In the time that a silent connection has."""
_FILES_KEPT = 64
"""File descriptors that are not for connections: Kafka's, the key file, the health pages."""


@dataclass(slots=True)
class _Connection:
    since: float
    holder: str = ""
    """Empty until a request on it has had a valid key."""
    heard: bool = False
    busy: bool = False


class Connections:
    """Follow the connections of the server, and close those that it can do without.

    aiohttp waits for the first request of a connection for ever; each connection takes a file descriptor. A connection
    without a whole request header in time is closed. Where there are too many, the sender that has most of them loses
    the one that it used longest ago; senders without a valid key count as one sender.

    Parameters
    ----------
    most
        Connections at once; fewer where the process may not open so many files.
    silent_s
        How long a connection has for its first header.
    clock
        Seconds, monotonic.
    """

    def __init__(self, most: int, silent_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = most if files == resource.RLIM_INFINITY else max(1, min(most, files - _FILES_KEPT))
        self._silent_s = silent_s
        self._clock = clock
        self._open: dict[web.RequestHandler, _Connection] = {}
        self._of: dict[str, OrderedDict[web.RequestHandler, None]] = {}
        """By holder, the one that was used last at the end."""

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: web.RequestHandler) -> None:
        """Take note of a connection; close another one where there are too many."""
        if len(self._open) >= self._most:
            self._close(self._least_needed(), "crowded")
        self._open[connection] = _Connection(self._clock())
        self._of.setdefault("", OrderedDict())[connection] = None
        INGEST_CONNECTIONS.set(len(self._open))

    def closed(self, connection: web.RequestHandler) -> None:
        """Take note of its end."""
        if (known := self._open.pop(connection, None)) is not None:
            self._forget(connection, known.holder)
            INGEST_CONNECTIONS.set(len(self._open))

    def belongs(self, connection: web.RequestHandler, holder: str) -> None:
        """Take note of whose connection it is, by the key of its current request."""
        known = self._open.get(connection)
        if known is not None and known.holder != holder:
            self._forget(connection, known.holder)
            known.holder = holder
            self._of.setdefault(holder, OrderedDict())[connection] = None

    @web.middleware
    async def hear(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through; its connection is not silent, and not the first to be closed."""
        connection = request.protocol
        known = self._open.get(connection)
        if known is None:  # closed while its request waited
            return await handler(request)
        known.heard = known.busy = True
        try:
            return await handler(request)
        finally:
            known.busy = False
            if connection in self._open:
                self._of[known.holder].move_to_end(connection)

    async def watch(self) -> None:
        """Close silent connections, until cancelled."""
        while True:
            await asyncio.sleep(self._silent_s / _LOOKS)
            before = self._clock() - self._silent_s
            for connection in [c for c, known in self._open.items() if not known.heard and known.since <= before]:
                self._close(connection, "silent")

    def _least_needed(self) -> web.RequestHandler:
        """Return the connection, idle if there is one, that was used longest ago by the sender that has most."""
        largest = max(self._of.values(), key=len)
        return next((c for c in largest if not self._open[c].busy), next(iter(largest)))

    def _close(self, connection: web.RequestHandler, reason: str) -> None:
        self.closed(connection)
        INGEST_CONNECTIONS_CLOSED.labels(reason).inc()
        connection.force_close()

    def _forget(self, connection: web.RequestHandler, holder: str) -> None:
        of = self._of[holder]
        del of[connection]
        if not of:
            del self._of[holder]
