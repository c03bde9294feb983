"""The counter of in-flight requests, for a graceful shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from schemas.errors import RequestError

log = logging.getLogger(__name__)

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"


class InFlightRequests:
    """Counter of in-flight requests; during a shutdown it rejects new requests on open connections."""

    def __init__(self) -> None:
        self._count = 0
        self._finishing = False
        self._finished = asyncio.Event()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Handle and count a request."""
        if self._finishing:
            raise RequestError(
                "the ingest service is stopping; send the request to another instance", 503, "stopping", 1.0
            )
        self._count += 1
        try:
            return await handler(request)
        finally:
            self._count -= 1
            if self._finishing and self._count == 0:
                self._finished.set()

    async def finish(self, timeout_s: float) -> None:
        """Reject new requests and wait until all in-flight requests have ended, at most ``timeout_s``."""
        self._finishing = True
        if self._count:
            try:
                await asyncio.wait_for(self._finished.wait(), timeout_s)
            except TimeoutError:
                log.warning("shutdown: %d requests did not end within %g s", self._count, timeout_s)
