"""The publisher whose waiting is awaited."""

from __future__ import annotations

import asyncio
import time

from streamgauge import AsyncEventPublisher
from streamgauge.calls import Call


async def test_flush_and_close_are_awaited() -> None:
    async with AsyncEventPublisher("memory://async", tenant="t", app="a") as publisher:
        Call.begin(publisher, provider="p").finish()
        assert publisher.publish({})
        assert await publisher.flush()
        assert publisher.stats.delivered == 2
    assert not publisher.publish({})
    assert publisher.stats.dropped["closed"] == 1


async def test_waiting_for_a_broker_that_is_gone_leaves_the_loop_free() -> None:
    publisher = AsyncEventPublisher("kafka://127.0.0.1:1")
    publisher.publish({})
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    heart = asyncio.create_task(beat())
    began = time.monotonic()
    assert not await publisher.flush(0.5)
    assert time.monotonic() - began < publisher.settings.flush_timeout_s
    heart.cancel()
    assert beats > 10
    await publisher.close(0)


async def test_with_nothing_published_there_is_nothing_to_wait_for() -> None:
    publisher = AsyncEventPublisher("kafka://127.0.0.1:1")
    assert await publisher.flush(0)
    assert await publisher.close(0)
