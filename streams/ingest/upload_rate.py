"""The slowest that a body may arrive."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader

from schemas.errors import RequestError


class Pace:
    """Read a body, and raise when its sender is too slow; time that is spent between two reads does not count.

    A body may pause for ``stall_s``; each byte that arrives buys a part of that time back. So a body that stops after a
    fast beginning is cut as soon as one that drips.

    Parameters
    ----------
    content
        The body.
    bytes_per_s
        The slowest it may arrive.
    stall_s
        Longest pause.
    total_s
        Longest time for all of it.
    """

    def __init__(self, content: StreamReader, bytes_per_s: float, stall_s: float, total_s: float) -> None:
        self._content = content
        self._bytes_per_s = bytes_per_s
        self._stall_s = self._pause_s = stall_s
        self._total_s = total_s

    async def read(self) -> bytes:
        """Return what has arrived, nothing at the end; raise `RequestError` (408) when that takes too long."""
        chunk = self._content.read_nowait()
        if chunk or self._content.at_eof():  # most bodies are here with their headers
            return chunk
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout_at(start + min(self._pause_s, self._total_s)):
                chunk = await self._content.readany()
        except TimeoutError as error:
            least = f"ingest.body_bytes_per_s: {self._bytes_per_s:,.0f}"
            raise RequestError(f"body: arrives too slowly ({least}); send less at once", 408, "slow body") from error
        spent = loop.time() - start
        self._total_s -= spent
        self._pause_s = min(self._stall_s, self._pause_s - spent + len(chunk) / self._bytes_per_s)
        return chunk
