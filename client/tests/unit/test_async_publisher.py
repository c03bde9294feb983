"""`AsyncEventPublisher`."""

from __future__ import annotations

import asyncio
import time

from streamgauge import AsyncEventPublisher
from streamgauge.calls import Call


async def test_flush_and_close_are_awaited() -> None:
    async with AsyncEventPublisher("memory://async", tenant="t", app="a") as publisher:
        Call.start(publisher, provider="p").finish()
        assert publisher.publish({})
        assert await publisher.flush()
        assert publisher.stats.delivered == 2
    assert not publisher.publish({})
    assert publisher.stats.dropped["closed"] == 1


async def test_flush_with_an_unreachable_broker_does_not_block_the_loop() -> None:
    publisher = AsyncEventPublisher("kafka://127.0.0.1:1")
    publisher.publish({})
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    heart = asyncio.create_task(beat())
    start = time.monotonic()
    assert not await publisher.flush(0.5)
    assert time.monotonic() - start < publisher.settings.flush_timeout_s
    heart.cancel()
    assert beats > 10
    await publisher.close(0)


async def test_flush_without_events_returns_at_once() -> None:
    publisher = AsyncEventPublisher("kafka://127.0.0.1:1")
    assert await publisher.flush(0)
    assert await publisher.close(0)
