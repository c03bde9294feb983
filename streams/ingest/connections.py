"""Limit on open connections: idle connections are closed, and the rest is shared fairly between senders."""

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

_CHECKS = 4
"""Checks for idle connections per idle timeout."""
_RESERVED_FILES = 64
"""File descriptors reserved for Kafka, the key file and the health pages."""


@dataclass(slots=True)
class _Connection:
    opened_at: float
    holder: str = ""
    """Sender; empty until a request with a valid key."""
    active: bool = False
    """True after the first request."""
    busy: bool = False
    """True during a request."""


class ConnectionLimiter:
    """Limiter that tracks all connections of the server and closes idle and surplus connections.

    aiohttp waits forever for the first request of a connection, and each connection takes a file descriptor. A
    connection without a complete request header within the idle timeout is closed. Above the limit, the least recently
    used connection of the sender with the most connections is closed; all senders without a valid key count as one.

    Parameters
    ----------
    max_connections
        Maximum open connections; lower if the process may open fewer files.
    idle_s
        Seconds to receive the first request header of a connection.
    clock
        Monotonic clock, in seconds.
    """

    def __init__(self, max_connections: int, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            max_connections = max(1, min(max_connections, files - _RESERVED_FILES))
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._clock = clock
        self._open: dict[web.RequestHandler, _Connection] = {}
        self._by_holder: dict[str, OrderedDict[web.RequestHandler, None]] = {}
        """Connections by sender, least recently used first."""

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: web.RequestHandler) -> None:
        """Register a new connection; close another connection if the limit is reached."""
        if len(self._open) >= self._max_connections:
            self._close(self._surplus_connection(), "crowded")
        self._open[connection] = _Connection(self._clock())
        self._by_holder.setdefault("", OrderedDict())[connection] = None
        INGEST_CONNECTIONS.set(len(self._open))

    def closed(self, connection: web.RequestHandler) -> None:
        """Remove a closed connection."""
        if (state := self._open.pop(connection, None)) is not None:
            self._remove(connection, state.holder)
            INGEST_CONNECTIONS.set(len(self._open))

    def assign(self, connection: web.RequestHandler, holder: str) -> None:
        """Assign a connection to the sender of its current request."""
        state = self._open.get(connection)
        if state is not None and state.holder != holder:
            self._remove(connection, state.holder)
            state.holder = holder
            self._by_holder.setdefault(holder, OrderedDict())[connection] = None

    @web.middleware
    async def track(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Handle a request; mark its connection active, busy meanwhile, and most recently used at the end."""
        connection = request.protocol
        state = self._open.get(connection)
        if state is None:  # closed while its request waited
            return await handler(request)
        state.active = state.busy = True
        try:
            return await handler(request)
        finally:
            state.busy = False
            if connection in self._open:
                self._by_holder[state.holder].move_to_end(connection)

    async def close_idle(self) -> None:
        """Close idle connections until cancelled."""
        while True:
            await asyncio.sleep(self._idle_s / _CHECKS)
            deadline = self._clock() - self._idle_s
            for connection in [
                c for c, state in self._open.items() if not state.active and state.opened_at <= deadline
            ]:
                self._close(connection, "silent")

    def _surplus_connection(self) -> web.RequestHandler:
        """Return the least recently used connection of the sender with the most connections, not busy if possible."""
        largest = max(self._by_holder.values(), key=len)
        return next((c for c in largest if not self._open[c].busy), next(iter(largest)))

    def _close(self, connection: web.RequestHandler, reason: str) -> None:
        self.closed(connection)
        INGEST_CONNECTIONS_CLOSED.labels(reason).inc()
        connection.force_close()

    def _remove(self, connection: web.RequestHandler, holder: str) -> None:
        connections = self._by_holder[holder]
        del connections[connection]
        if not connections:
            del self._by_holder[holder]
