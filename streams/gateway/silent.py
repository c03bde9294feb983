"""Connections that say nothing: aiohttp waits for their first request for ever, and each takes a file descriptor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from streams.gateway.at_hand import Handler

_LOOKS = 4
"""In the time that a connection has."""


class Silent:
    """Ends connections on which no whole request header has come in time.

    Once it has, aiohttp's own timers hold: for the rest of the body, and between requests.

    Parameters
    ----------
    limit_s
        How long a connection has.
    clock
        Seconds, never going back.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._heard: set[object] = set()
        self._since: dict[object, float] = {}

    @web.middleware
    async def hear(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through; its connection is not silent."""
        self._heard.add(request.protocol)
        return await handler(request)

    async def watch(self, runner: web.AppRunner) -> None:
        """End what is silent, for ever."""
        while True:
            await asyncio.sleep(self._limit_s / _LOOKS)
            now = self._clock()
            connections = {*runner.server.connections} if runner.server else set()
            self._heard &= connections
            silent = connections - self._heard
            self._since = {one: self._since.get(one, now) for one in silent}
            for one in silent:
                if now - self._since[one] >= self._limit_s:
                    one.force_close()
