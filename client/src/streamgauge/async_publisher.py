"""`AsyncEventPublisher`: the publisher for asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType

from streamgauge.publisher import EventPublisher

_POLL_INTERVAL_S = 0.005


class AsyncEventPublisher(EventPublisher):
    """`EventPublisher` whose `flush` and `close` are awaited; `publish` never waits.

    The background thread delivers events, as for `EventPublisher`: a busy event loop delays no event, and events never
    delay the loop. Every function that takes an `EventPublisher` takes this class too.
    """

    async def flush(self, timeout_s: float | None = None) -> bool:  # type: ignore[override] # awaited, unlike the base
        """Wait until every event published before is delivered or has failed; return ``False`` on timeout."""
        done = self._request_flush()
        if done is None:
            return self.stats.queued == 0
        deadline = time.monotonic() + (self.settings.flush_timeout_s if timeout_s is None else timeout_s)
        while not done.is_set() and time.monotonic() < deadline:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(_POLL_INTERVAL_S)
        return done.is_set()

    async def close(self, timeout_s: float | None = None) -> bool:  # type: ignore[override]
        """Flush, then stop the thread and close the connections; events published afterwards are dropped."""
        self._closed = True
        flushed = await self.flush(timeout_s)
        thread: threading.Thread | None = self._stop()
        while thread is not None and thread.is_alive():  # noqa: ASYNC110 - a thread cannot be awaited
            await asyncio.sleep(_POLL_INTERVAL_S)
        return flushed

    async def __aenter__(self) -> AsyncEventPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
