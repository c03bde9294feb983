"""The minimum upload rate of request bodies."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader

from schemas.errors import RequestError


class PacedReader:
    """Reader of a body that fails if the sender is too slow; time between two reads does not count.

    A body may pause for ``stall_s``. Each byte that arrives restores a part of that time. So a body that stops after a
    fast start fails as soon as a body that arrives byte by byte.

    Parameters
    ----------
    content
        Stream of the body.
    bytes_per_s
        Minimum rate.
    stall_s
        Maximum pause, in seconds.
    total_s
        Maximum time for the whole body, in seconds.
    """

    def __init__(self, content: StreamReader, bytes_per_s: float, stall_s: float, total_s: float) -> None:
        self._content = content
        self._bytes_per_s = bytes_per_s
        self._stall_s = self._pause_s = stall_s
        self._total_s = total_s

    async def read(self) -> bytes:
        """Return the received bytes, empty at the end; raise `RequestError` (408) if the body arrives too slowly."""
        chunk = self._content.read_nowait()
        if chunk or self._content.at_eof():  # most bodies arrive together with their headers
            return chunk
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout_at(start + min(self._pause_s, self._total_s)):
                chunk = await self._content.readany()
        except TimeoutError as error:
            minimum = f"minimum {self._bytes_per_s:,.0f} bytes/s, ingest.body_bytes_per_s"
            raise RequestError(
                f"body: upload too slow ({minimum}); send fewer events per request", 408, "slow body"
            ) from error
        spent = loop.time() - start
        self._total_s -= spent
        self._pause_s = min(self._stall_s, self._pause_s - spent + len(chunk) / self._bytes_per_s)
        return chunk
