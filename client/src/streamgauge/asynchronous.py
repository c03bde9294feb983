"""`AsyncEventPublisher`: the same publisher, whose waiting is awaited."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType

from streamgauge.publisher import EventPublisher

_LOOK_S = 0.005


class AsyncEventPublisher(EventPublisher):
    """As `EventPublisher`, for asyncio: `flush` and `close` are awaited, `publish` never waits anyway.

    Delivery is the same, by the background thread: a busy loop delays no event, and events delay no loop. It goes
    wherever an `EventPublisher` goes.
    """

    async def flush(self, timeout_s: float | None = None) -> bool:  # type: ignore[override] # awaited here, and only here
        """Wait until all that was published before is delivered or given up; ``False`` if the time was not enough."""
        done = self._ask_flush()
        if done is None:
            return self.stats.queued == 0
        until = time.monotonic() + (self.settings.flush_timeout_s if timeout_s is None else timeout_s)
        while not done.is_set() and time.monotonic() < until:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(_LOOK_S)
        return done.is_set()

    async def close(self, timeout_s: float | None = None) -> bool:  # type: ignore[override]
        """Flush, then let go of thread and connections; what is published later is dropped."""
        self._closed = True
        flushed = await self.flush(timeout_s)
        thread: threading.Thread | None = self._stop()
        while thread is not None and thread.is_alive():  # noqa: ASYNC110 - no loop ends a thread
            await asyncio.sleep(_LOOK_S)
        return flushed

    async def __aenter__(self) -> AsyncEventPublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
