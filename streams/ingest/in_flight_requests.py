"""The requests at hand: a stop waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from schemas.errors import RequestError

log = logging.getLogger(__name__)

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"


class AtHand:
    """Counts the requests at hand; once it is to finish, new ones on connections that are open are refused."""

    def __init__(self) -> None:
        self._number = 0
        self._finishing = False
        self._none = asyncio.Event()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, counted."""
        if self._finishing:
            raise RequestError("the gateway is stopping; send it to another", 503, "stopping", 1.0)
        self._number += 1
        try:
            return await handler(request)
        finally:
            self._number -= 1
            if self._finishing and self._number == 0:
                self._none.set()

    async def finish(self, limit_s: float) -> None:
        """Wait until none is at hand, no longer than so long."""
        self._finishing = True
        if self._number:
            try:
                await asyncio.wait_for(self._none.wait(), limit_s)
            except TimeoutError:
                log.warning("stop: %d requests did not end in %g s", self._number, limit_s)
